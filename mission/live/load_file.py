"""The file in which the flight computer says what power it draws (edge: files).

The power simulator reads it; on a board nobody needs it. It is written anew all the time: one that has not changed for a while is
of a flight computer that is gone, and says nothing.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mission.live.state_folder import replace_small_file

LIFE_MS = 10_000
"""How long an unchanged file is believed."""
LONGEST_FILE_BYTES = 4096


class Load(BaseModel):
    """What the flight computer draws beside its idle power."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    at_ms: int = 0
    """When this was so, by the flight computer's clock, Unix ms."""
    compute_w: float = Field(default=0.0, ge=0, le=10_000)
    """Mean power of image processing over the last 10 s, watts."""
    radio_on: bool = False
    """Whether the transmitter is on."""


def write_load(path: Path, load: Load) -> None:
    """Put it in place of the file. Raises OSError and keeps the old one."""
    replace_small_file(path, load.model_dump_json().encode() + b"\n", durable=False)


class LoadFile:
    """The other end: the last word of the flight computer."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._content: bytes | None = None
        self._changed_ms = 0
        self._load = Load()
        self.problem = ""
        """Why the file says nothing now; empty where it does, or where there is none."""

    def read(self, now_ms: int) -> Load:
        """What is drawn now, `now_ms` on any clock that is not set; nothing where the file is absent, old or wrong."""
        if self._path is None:
            return Load()
        try:
            with self._path.open("rb") as file:
                content = file.read(LONGEST_FILE_BYTES)
        except FileNotFoundError:
            self.problem, self._content = "", None
            return Load()
        except OSError as error:
            self.problem, self._content = f"{self._path} cannot be read: {error.strerror}", None
            return Load()
        if content != self._content:
            self._content, self._changed_ms = content, now_ms
            self._load, self.problem = self._parsed(content)
        elif not self.problem and now_ms - self._changed_ms > LIFE_MS:
            self._load = Load()
        return self._load

    def _parsed(self, content: bytes) -> tuple[Load, str]:
        try:
            return Load.model_validate_json(content), ""
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            return Load(), f"{self._path}: {place}: {first['msg']}"
