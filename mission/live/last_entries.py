"""Folders into which a service puts what it is done with: they keep the last entries, or they would fill the disk (edge: files)."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

KEPT_LIMIT: Final = 100
"""Entries kept in such a folder."""


def keep_last(folder: Path, *, reason_suffix: str) -> None:
    """Removes the entries, with the files of their reasons, that were put there before the last `KEPT_LIMIT`. What cannot be removed stays.

    Ordered by the change time of their inodes, which moving them there sets; by name where it is the same.
    """
    with suppress(OSError):  # what somebody else removes meanwhile
        entries = [entry for entry in os.scandir(folder) if not entry.name.endswith(reason_suffix)]
        if len(entries) <= KEPT_LIMIT:
            return
        entries.sort(key=lambda entry: (entry.stat(follow_symlinks=False).st_ctime_ns, entry.name))
        for entry in entries[: len(entries) - KEPT_LIMIT]:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
                Path(entry.path + reason_suffix).unlink(missing_ok=True)
