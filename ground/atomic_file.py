"""Files that are replaced whole or not at all (edge: files).

A reader sees the old file or the new one; a process killed at any instant leaves the old one and at most a hidden
unfinished copy, which the next write of the same file removes. One publisher writes to a folder at a time.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ground.errors import CatalogueError


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` in place of the file, durably. Raises CatalogueError and keeps the old file when it cannot."""
    with workshop(path) as folder:
        unfinished = folder / path.name
        try:
            unfinished.write_bytes(data)
        except OSError as error:
            raise _cannot_write(path, error) from error
        move_into_place(unfinished, path)


def move_into_place(finished: Path, path: Path) -> None:
    """Rename a finished file of the same disk over `path`, durably: file first, then its folder."""
    try:
        _synchronise(finished)
        finished.replace(path)
        _synchronise(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error


@contextmanager
def workshop(path: Path) -> Iterator[Path]:
    """A hidden empty folder beside `path` to make it in, removed at the end whatever happens."""
    folder = path.parent / f".{path.name}.unfinished"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _synchronise(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _cannot_write(path: Path, error: OSError) -> CatalogueError:
    return CatalogueError(
        f"cannot write {path}: {error.strerror or error}; check free space and rights of the folder, then publish again",
        path=path,
    )
