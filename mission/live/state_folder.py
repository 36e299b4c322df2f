"""The folder of everything of a service that outlives its process (edge: files).

One process uses a state folder at a time; the lock goes with the process, however it ends.
"""

import fcntl
import os
from pathlib import Path

from mission.errors import ServiceError

BOOTS_FILE = "boots"
LOCK_FILE = "lock"
STATUS_FILE = "status.json"
_BOOTS_DIGITS = 10


class StateFolder:
    """A state folder in use by this process."""

    def __init__(self, path: Path, *, service: str) -> None:
        """Makes it where it is absent, and takes it. Raises ServiceError: it cannot be made, or another process has it."""
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ServiceError(
                f"the {service} service cannot use its state folder {path} ({error.strerror or error}); "
                "check rights and free space, or give another with --state"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise ServiceError(
                f"the state folder {path} is used by another process; stop that one, or give another folder with --state"
            ) from error

    def count_boot(self) -> tuple[int, str]:
        """Adds one to the durable count of starts; returns it, and why it could not be kept (empty where it was).

        The number is overwritten in its place, which a full disk allows.
        """
        problem = ""
        try:
            number = int((self.path / BOOTS_FILE).read_text(encoding="ascii").strip() or 0) + 1
        except FileNotFoundError:
            number = 1
        except (OSError, ValueError) as error:
            number, problem = 1, f"{BOOTS_FILE} cannot be read, counting from 1: {error}"
        try:
            _overwrite(self.path / BOOTS_FILE, f"{number:0{_BOOTS_DIGITS}d}\n".encode("ascii"))
        except OSError as error:
            problem = f"{BOOTS_FILE} cannot be written: {error}"
        return number, problem

    def close(self) -> None:
        """Lets another process have it."""
        os.close(self._lock)


def replace_small_file(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Puts `data` in place of a file: a reader sees the old one or the new one, whole.

    Not `durable`: after a loss of power it may be the old one, or empty; for what is written anew all the time. One process
    writes a file at a time. Raises OSError and keeps the old file.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    if durable:
        _synchronise(path.parent)


def _overwrite(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.pwrite(handle, data, 0)
        os.fsync(handle)
    finally:
        os.close(handle)
    _synchronise(path.parent)


def _synchronise(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
