"""Orders of people and programs: a JSON file put into a folder becomes a command to the satellite (edge: files).

    {"kind": "request_layers", "scene": 3, "products": "chips", "last_step": 255, "factor": 100, "for_s": 86400}
    {"kind": "drop_scene", "scene": 2}
    {"kind": "cancel_request", "number": 1767225600123}
    {"kind": "forget_references", "scene": 2}
    {"kind": "forget_references", "scene": "all"}

A file is written under a name that begins with a dot and then renamed, or written in place: one that is not whole yet is left alone
for `HALF_WRITTEN_MS`. An order is durable at the command desk before its file goes to `done/`; a crash between the two gives it
again, which does what it did the first time. What cannot be used goes to `refused/` with the reason beside it. Both keep the last hundred.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from downlink.command import CancelRequest, DropScene, ForgetReferences, Order, RequestLayers
from downlink.requests import LARGEST_FACTOR, LayerRequest
from mission.live.last_entries import keep_last
from mission.scenario_orders import DAY_S, PRODUCTS

ORDERS_FOLDER: Final = "orders"
DONE_FOLDER: Final = "done"
REFUSED_FOLDER: Final = "refused"
REASON_SUFFIX: Final = ".reason"
LARGEST_FILE_BYTES: Final = 64 * 1024
FILES_PER_LOOK: Final = 16
HALF_WRITTEN_MS: Final = 2000
"""A file younger than this may still be being written."""

_SceneNumber = Annotated[int, Field(ge=1, le=0xFFFF_FFFF)]


class _OrderModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RequestLayersFile(_OrderModel):
    """Rank layers of a scene higher."""

    kind: Literal["request_layers"]
    scene: _SceneNumber
    """Number of the scene."""
    products: Literal["all", "blocks", "chips"] = "all"
    """Which layers."""
    last_step: Annotated[int, Field(ge=0, le=255)] = 255
    """Highest quality step; 255: up to the exact pixels."""
    factor: Annotated[float, Field(ge=1, le=LARGEST_FACTOR)] = 100.0
    """What values are multiplied by."""
    for_s: Annotated[float, Field(gt=0, le=365 * DAY_S)] = DAY_S
    """How long it holds, seconds."""

    def order(self, now_ms: int) -> Order:
        """What goes up."""
        first, last = PRODUCTS[self.products]
        return RequestLayers(
            request=LayerRequest(
                scene=self.scene,
                first_product=first,
                last_product=last,
                last_step=self.last_step,
                factor=self.factor,
                until_ms=now_ms + round(self.for_s * 1000),
            )
        )


class DropSceneFile(_OrderModel):
    """Give up what still waits of a scene."""

    kind: Literal["drop_scene"]
    scene: _SceneNumber
    """Number of the scene."""

    def order(self, now_ms: int) -> Order:
        """What goes up."""
        return DropScene(scene=self.scene)


class CancelRequestFile(_OrderModel):
    """Take a request back."""

    kind: Literal["cancel_request"]
    number: Annotated[int, Field(ge=1, lt=1 << 48)]
    """Number of the command that made it, as it was logged."""

    def order(self, now_ms: int) -> Order:
        """What goes up."""
        return CancelRequest(request_number=self.number)


class ForgetReferencesFile(_OrderModel):
    """The ground has lost what it had of a scene: nothing is to be predicted from it."""

    kind: Literal["forget_references"]
    scene: _SceneNumber | Literal["all"]
    """Number of the scene, or every scene."""

    def order(self, now_ms: int) -> Order:
        """What goes up."""
        return ForgetReferences(scene=None if self.scene == "all" else self.scene)


_AnyFile = RequestLayersFile | DropSceneFile | CancelRequestFile | ForgetReferencesFile
OrderFile = Annotated[_AnyFile, Field(discriminator="kind")]
_ORDER: Final[TypeAdapter[_AnyFile]] = TypeAdapter(OrderFile)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundOrder:
    """A file in the folder."""

    path: Path
    """Where it is."""
    order: Order | None
    """What it asks for; None where it is refused."""
    problem: str = ""
    """Why it is refused."""
    version: tuple[int, int] = (0, 0)
    """Inode and time of modification: another file of its name is another order."""


class OrderFolder:
    """STATE/orders with its two subfolders."""

    def __init__(self, state: Path) -> None:
        """Makes the folders. Raises OSError where they cannot be made."""
        self.path = state / ORDERS_FOLDER
        for folder in (self.path, self.path / DONE_FOLDER, self.path / REFUSED_FOLDER):
            folder.mkdir(parents=True, exist_ok=True)
        self._given: dict[Path, tuple[int, int]] = {}
        """Orders that were given and whose files could not be moved yet, by version."""

    def look(self, now_ms: int) -> Iterator[FoundOrder]:
        """Orders that wait, oldest name first, a few at a time; each is to be `done` or `refused`. Raises OSError."""
        names = sorted(name for name in os.listdir(self.path) if name.endswith(".json") and not name.startswith("."))
        for name in names[:FILES_PER_LOOK]:
            found = self._read(self.path / name, now_ms)
            if found is None:
                continue
            if self._given.get(found.path) == found.version:
                self.done(found)
            else:
                yield found

    def done(self, found: FoundOrder) -> None:
        """It has been given. Raises OSError, and `look` tries to move it again instead of giving it."""
        self._given[found.path] = found.version
        found.path.rename(_free_name(self.path / DONE_FOLDER / found.path.name))
        del self._given[found.path]
        keep_last(self.path / DONE_FOLDER, reason_suffix=REASON_SUFFIX)

    def refused(self, found: FoundOrder, problem: str) -> None:
        """It cannot be given. Raises OSError."""
        target = _free_name(self.path / REFUSED_FOLDER / found.path.name)
        found.path.rename(target)
        keep_last(target.parent, reason_suffix=REASON_SUFFIX)
        target.with_name(target.name + REASON_SUFFIX).write_text(f"{problem}\n", encoding="utf-8")

    def _read(self, path: Path, now_ms: int) -> FoundOrder | None:
        """None for a file that has gone, or that may not be whole yet."""
        try:
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                return FoundOrder(path=path, order=None, problem="it is not a file")
            if status.st_size > LARGEST_FILE_BYTES:
                return FoundOrder(
                    path=path, order=None, problem=f"{status.st_size} bytes; at most {LARGEST_FILE_BYTES}"
                )
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            return FoundOrder(path=path, order=None, problem=f"it cannot be read: {error.strerror}")
        try:
            version = status.st_ino, status.st_mtime_ns
            return FoundOrder(path=path, order=_ORDER.validate_json(content).order(now_ms), version=version)
        except ValidationError as error:
            if abs(now_ms - status.st_mtime_ns // 1_000_000) < HALF_WRITTEN_MS:
                return None
            return FoundOrder(path=path, order=None, problem=_told(error))


def _free_name(path: Path) -> Path:
    """The path, or one like it that is not taken."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def _told(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in problems[:5])
