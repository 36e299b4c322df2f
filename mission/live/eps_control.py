"""The file of faults of the power simulator: read again every turn, JSON or TOML (edge: files).

    {"cap_w": 5}            or            cap_w = 5
                                          sunlit = false

A value holds as long as it stands there. A file that says something impossible changes nothing: what held before holds on.
"""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mission.live.eps_model import EpsControl

LONGEST_FILE_BYTES = 65_536


class ControlSection(BaseModel):
    """What the file may say."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cap_w: Annotated[float, Field(ge=0, le=1e6)] | None = None
    """Limit on the whole satellite's power, watts."""
    panel_w: Annotated[float, Field(ge=0, le=1e6)] | None = None
    """What the panels give in sunlight, watts."""
    charge_fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    """Charge of the battery."""
    temperature_c: Annotated[float, Field(ge=-150, le=300)] | None = None
    """Of the electronics, degrees Celsius."""
    sunlit: bool | None = None
    """Whether the panels see the Sun."""


class ControlFile:
    """The faults in force."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[bytes | None, str] = (None, "")
        self.control = EpsControl()
        self.problem = ""
        """Why the file was not taken; empty where it was, or where there is none."""

    def read(self) -> bool:
        """Look at the file again; True where it says something else than before, well or badly."""
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        content, self.problem = seen
        if content is None:
            if not self.problem:
                self.control = EpsControl()
            return True
        try:
            section = ControlSection.model_validate(_parsed(content))
        except ValueError as error:
            self.problem = f"{self._path}: {_told(error)}"
        else:
            self.control = EpsControl(**section.model_dump())
        return True

    def _look(self) -> tuple[bytes | None, str]:
        """The content, None where there is none, and why it cannot be read."""
        if self._path is None:
            return None, ""
        try:
            with self._path.open("rb") as file:
                return file.read(LONGEST_FILE_BYTES), ""
        except FileNotFoundError:
            return None, ""
        except OSError as error:
            return None, f"{self._path} cannot be read: {error.strerror}"


def _parsed(content: bytes) -> Any:
    """JSON where it begins with a brace, TOML otherwise. Raises ValueError, of which both their errors are."""
    text = content.decode("utf-8")
    return json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)


def _told(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, one['loc']))} = {one['input']!r}: {one['msg']}" for one in error.errors())
    return f"neither JSON nor TOML: {error}"
