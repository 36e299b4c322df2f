"""`tianshu sensor`: a camera as a process, which puts scene files into the flight computer's spool at its rate (edge: files, clock).

A capture is a copy of one of the scenes, in turn, named `<stem>_<number>.tif`. It is written under a name that begins with a dot, put
on the disk, then counted on the disk, then renamed: whatever moment the process ends at, no number is used twice, none is left out,
and nobody sees half a file. At the next start a capture that was counted and not renamed is renamed; a half one is removed.
"""

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mission.errors import ServiceError
from mission.live.service import Service
from mission.live.service_status import ServiceStatus
from mission.live.state_folder import replace_small_file

SHOW_S = 1.0
KEPT_FILE = "sensor.json"
SUFFIX = ".tif"
UNFINISHED_SUFFIX = ".unfinished"
UNFINISHED = re.compile(r"\.(?P<name>.+_(?P<number>[0-9]{6,})\.tif)\.unfinished")
PIECE_BYTES = 1 << 20
NAME_LIMIT_BYTES = 160
"""Of a scene's stem: its captures must have names that every file system takes."""


class KeptCount(BaseModel):
    """What outlives the process."""

    model_config = ConfigDict(frozen=True)

    captured: int = Field(default=0, ge=0)
    """Captures so far; the number of the last one."""
    gaps: int = Field(default=0, ge=0)
    """Captures held back because the spool was full."""
    captured_ms: int = Field(default=0, ge=0)
    """When the last one was taken, Unix ms."""


class SensorStatus(ServiceStatus):
    """What `/status` says."""

    captured: int
    """Captures since the first start."""
    gaps: int
    """Captures held back because the spool was full, since the first start."""
    failed: int
    """Captures that could not be written, since this start; each is tried again at the next turn."""
    waiting: int
    """Scene files in the spool that the flight computer has not yet done with."""
    last: str
    """File name of the last capture of this start."""
    finished: bool
    """Whether all captures that were asked for are taken."""


class SensorService:
    """The camera on the frame of a service."""

    def __init__(
        self,
        service: Service,
        scenes: Sequence[Path],
        *,
        spool: Path,
        interval_s: float,
        count: int = 0,
        max_waiting: int | None = None,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`count` 0 is without end; with `max_waiting` files in the spool a capture is held back.

        Raises ServiceError: a scene cannot be read, the spool cannot be made, what was counted cannot be read.
        """
        self._service = service
        self._scenes = tuple(scenes)
        self._spool = spool
        self._interval_s = interval_s
        self._count = count
        self._max_waiting = max_waiting
        self._wall_ms = wall_ms
        self._failed = 0
        self._problem = ""
        self._last = ""
        self._unnamed: tuple[Path, str] | None = None
        require_readable(self._scenes)
        try:
            spool.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ServiceError(
                f"the spool {spool} cannot be made: {error.strerror}; give another with --spool"
            ) from error
        self._kept = self._kept_count()
        self._finish_interrupted()
        metrics = service.metrics
        metrics.counted("captures", "Captures since the first start.", lambda: self._kept.captured)
        metrics.counted("gaps", "Captures held back because the spool was full.", lambda: self._kept.gaps)
        metrics.counted("failures", "Captures that could not be written.", lambda: self._failed)

    @property
    def finished(self) -> bool:
        """Whether all captures that were asked for are taken."""
        return 0 < self._count <= self._kept.captured

    def start(self) -> None:
        """Put it on the service's loop. A restart does not bring the next capture forward."""
        since_ms = self._wall_ms() - self._kept.captured_ms
        rest_s = self._interval_s - since_ms / 1000
        early = 0 < rest_s <= self._interval_s and not self.finished
        self._service.after(rest_s if early else 0.0, lambda: self._service.every(self._interval_s, self.capture))
        self._service.every(SHOW_S, self.show)

    def capture(self) -> None:
        """Take one picture, unless the spool is full; after the last one the camera rests."""
        if self.finished and self._unnamed is None:
            return
        try:
            if self._unnamed is not None:
                self._rename(*self._unnamed)
            elif self._max_waiting is not None and (waiting := self._waiting()) >= self._max_waiting:
                self._hold_back(waiting)
            else:
                self._take()
            self._problem = ""
        except OSError as error:
            self._failed += 1
            self._problem = f"{error.filename or self._spool}: {error.strerror or error}"
            self._service.log.warning("capture failed", problem=self._problem, failed=self._failed)
        self.show()
        if self.finished:
            self._service.log.info("all captures taken", captured=self._kept.captured)

    def show(self) -> None:
        """The status as it is now."""
        waiting, problem = 0, self._problem
        try:
            waiting = self._waiting()
        except OSError as error:
            problem = problem or f"the spool {self._spool} cannot be read: {error.strerror}"
        status = SensorStatus(
            captured=self._kept.captured,
            gaps=self._kept.gaps,
            failed=self._failed,
            waiting=waiting,
            last=self._last,
            finished=self.finished,
        )
        self._service.show(status, healthy=not problem, reason=problem)

    def _take(self) -> None:
        number = self._kept.captured + 1
        scene = self._scenes[(number - 1) % len(self._scenes)]
        name = f"{scene.stem}_{number:06d}{SUFFIX}"
        unfinished = self._spool / f".{name}{UNFINISHED_SUFFIX}"
        try:
            copy_durably(scene, unfinished)
            self._keep(KeptCount(captured=number, gaps=self._kept.gaps, captured_ms=self._wall_ms()))
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        self._unnamed = unfinished, name
        self._rename(unfinished, name)

    def _rename(self, unfinished: Path, name: str) -> None:
        """Give a counted capture its name."""
        os.rename(unfinished, self._spool / name)
        self._unnamed = None
        self._last = name
        self._service.log.info("captured", file=name, captured=self._kept.captured)
        synchronise(self._spool)

    def _hold_back(self, waiting: int) -> None:
        kept = self._kept.model_copy(update={"gaps": self._kept.gaps + 1})
        self._service.log.warning("capture held back", waiting=waiting, limit=self._max_waiting, gaps=kept.gaps)
        self._keep(kept)

    def _waiting(self) -> int:
        """Scene files in the spool, the one in work among them."""
        with os.scandir(self._spool) as entries:
            return sum(entry.name.endswith(SUFFIX) and not entry.name.startswith(".") for entry in entries)

    def _keep(self, kept: KeptCount) -> None:
        replace_small_file(self._service.state.path / KEPT_FILE, kept.model_dump_json().encode() + b"\n")
        self._kept = kept

    def _kept_count(self) -> KeptCount:
        file = self._service.state.path / KEPT_FILE
        try:
            return KeptCount.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return KeptCount()
        except (OSError, ValidationError) as error:
            raise ServiceError(
                f"{file} does not say how many captures were taken ({error}); "
                'write {"captured": N} into it, N the highest number used, so that no number is used twice'
            ) from error

    def _finish_interrupted(self) -> None:
        """What the last process began: counted captures get their names, half ones go."""
        try:
            for path in sorted(self._spool.iterdir()):
                named = UNFINISHED.fullmatch(path.name)
                if named is None:
                    continue
                if int(named["number"]) == self._kept.captured:
                    self._rename(path, named["name"])
                else:
                    path.unlink()
                    self._service.log.warning("half a capture removed", file=path.name)
        except OSError as error:
            raise ServiceError(
                f"the spool {self._spool} cannot be cleaned: {error.strerror}; check rights, then start again"
            ) from error


def require_readable(scenes: Sequence[Path]) -> None:
    """Raises ServiceError where there is no scene, or one that cannot be read."""
    if not scenes:
        raise ServiceError("the sensor has no scene to take; name scene files, or set scenes in [services.sensor]")
    for scene in scenes:
        try:
            with scene.open("rb") as file:
                empty = not file.read(1)
        except OSError as error:
            raise ServiceError(f"scene {scene} cannot be read: {error.strerror}; check its name and rights") from error
        if empty:
            raise ServiceError(f"scene {scene} is empty; give a raster file")
        if len(scene.stem.encode()) > NAME_LIMIT_BYTES:
            raise ServiceError(f"scene {scene} has a name of more than {NAME_LIMIT_BYTES} bytes; rename it")


def copy_durably(source: Path, target: Path) -> None:
    """A copy that is on the disk, with the time of now. Raises OSError."""
    with source.open("rb") as scene, target.open("wb") as copy:
        while piece := scene.read(PIECE_BYTES):
            copy.write(piece)
        copy.flush()
        os.fsync(copy.fileno())


def synchronise(folder: Path) -> None:
    """Puts the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
