"""The spool: the folder into which the sensor puts scene files, and from which the flight computer takes them (edge: files).

spool/scene_000123.tif          waits, or is in work
spool/.scene_000124.tif         is still being written: nobody looks at it
spool/done/scene_000122.tif     its layers are stored; kept only where told so, the last hundred
spool/rejected/picture.tif      could not be used; picture.tif.reason.txt says why; the last hundred
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mission.live.last_entries import keep_last

SCENE_SUFFIXES: Final = frozenset({".tif", ".tiff", ".jp2"})
DONE_FOLDER: Final = "done"
REJECTED_FOLDER: Final = "rejected"
REASON_SUFFIX: Final = ".reason.txt"
LOOK_LIMIT: Final = 10_000
"""Entries of the folder looked at in one turn."""
NAME_LIMIT_BYTES: Final = 200
"""Longest name taken: names of files made from it must fit 255 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolFile:
    """One file, as it was when it was looked at."""

    name: str
    """Within the spool; bytes that are no UTF-8 as lone surrogates."""
    mtime_ns: int
    """When it was last written, Unix nanoseconds: the time of capture."""
    size_bytes: int
    """Its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolView:
    """What lies in the spool."""

    waiting: int
    """Scene files, the one in work among them."""
    first: SpoolFile | None
    """The one that was written first."""


class Spool:
    """A spool folder. What the operating system refuses comes out as OSError, and nothing has changed."""

    def __init__(self, folder: Path, *, keep_done: bool = False) -> None:
        self.folder = folder
        self._keep_done = keep_done

    def look(self) -> SpoolView:
        """Count what waits and find the oldest; of two of the same time the first by name."""
        waiting = 0
        first: SpoolFile | None = None
        with os.scandir(self.folder) as entries:
            for _, entry in zip(range(LOOK_LIMIT), entries, strict=False):
                if not _is_scene(entry.name):
                    continue
                try:
                    found = _as_found(entry.name, entry.stat(follow_symlinks=False))
                except FileNotFoundError:  # the sensor has taken it back
                    continue
                waiting += 1
                if first is None or (found.mtime_ns, found.name) < (first.mtime_ns, first.name):
                    first = found
        return SpoolView(waiting=waiting, first=first)

    def path_of(self, file: SpoolFile) -> Path:
        """Where it lies."""
        return self.folder / file.name

    def still_holds(self, file: SpoolFile) -> bool:
        """Whether it lies there as it was, and not another of its name."""
        try:
            return _as_found(file.name, self.path_of(file).lstat()) == file
        except FileNotFoundError:
            return False

    def objection_to(self, file: SpoolFile) -> str:
        """Why it cannot be a scene, from its name and kind alone; empty where it may be one."""
        path = self.path_of(file)
        if not file.name.isprintable():
            return f"the name {file.name!a} has characters that cannot be printed; give it a plain name"
        if len(os.fsencode(file.name)) > NAME_LIMIT_BYTES:
            return f"the name has {len(os.fsencode(file.name))} bytes, at most {NAME_LIMIT_BYTES} are taken; shorten it"
        if path.is_symlink():
            return "this is a link; put the scene file itself into the spool"
        if path.is_dir():
            return "this is a folder; put scene files into the spool themselves"
        if not path.is_file():
            return "this is no ordinary file; put scene files into the spool"
        if not os.access(path, os.R_OK):
            return "no permission to read it; give the flight computer's user the right to"
        return ""

    def move_done(self, file: SpoolFile) -> None:
        """Its layers are stored: into `done`, or away. Nothing where it is gone, or another has taken its name."""
        if not self.still_holds(file):
            return
        if self._keep_done:
            self._move(file, DONE_FOLDER)
        else:
            self.path_of(file).unlink()

    def move_rejected(self, file: SpoolFile, reason: str) -> str:
        """Into `rejected`, with a text file that says why; nothing where it is gone. Returns its name there, or nothing."""
        if not self.still_holds(file):
            return ""
        target = self._move(file, REJECTED_FOLDER)
        with suppress(OSError):  # on a full disk the log alone has the reason
            target.with_name(target.name + REASON_SUFFIX).write_text(reason + "\n", encoding="utf-8")
        return target.name

    def _move(self, file: SpoolFile, folder: str) -> Path:
        target_folder = self.folder / folder
        target_folder.mkdir(exist_ok=True)
        target = _free_name(target_folder, file.name)
        self.path_of(file).rename(target)
        keep_last(target_folder, reason_suffix=REASON_SUFFIX)
        return target


def _is_scene(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SCENE_SUFFIXES


def _as_found(name: str, stat: os.stat_result) -> SpoolFile:
    return SpoolFile(name=name, mtime_ns=stat.st_mtime_ns, size_bytes=stat.st_size)


def _free_name(folder: Path, name: str) -> Path:
    """The name, or one with a number where it is taken; a long one is cut to leave room for its reason."""
    stem, suffix = os.path.splitext(name)
    short = os.fsdecode(os.fsencode(stem)[: NAME_LIMIT_BYTES - len(os.fsencode(suffix))])
    candidate, number = folder / (short + suffix), 1
    while os.path.lexists(candidate):
        number += 1
        candidate = folder / f"{short}.{number}{suffix}"
    return candidate
