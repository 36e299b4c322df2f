"""What the ground has acknowledged, kept in the state folder to predict from: the main process's end of the reference store.

References are worth bytes of the link, never the service: where the disk is short nothing is taken, and what the disk refuses is told in
`problem` until something is taken again. What the ground has lost must be forgotten, though: as long as that fails, StoreError is raised,
and the order stands.
"""

import shutil
from pathlib import Path
from typing import Final

from downlink.products import LayerAddress
from onboard.errors import StoreError
from onboard.reference_store import ReferenceStore

LEFT_FREE_BYTES: Final = 16 * 1024 * 1024
"""References leave so much of the disk free: layers, marks and raw tiles go first."""
DISK_SHARE: Final = 0.1
"""Of its disk that references take at most, whatever their capacity."""


class ReferenceKeeper:
    """A reference store that may have a disk that refuses (`mission.onboard_end.AcknowledgedLayers`)."""

    def __init__(self, folder: Path, *, capacity_bytes: int) -> None:
        self._folder = folder
        self._capacity_bytes = capacity_bytes
        self._store: ReferenceStore | None = None
        self.problem = ""
        """What the disk refused last; empty where it did not."""
        self.passed_over = 0
        """Layers not taken for want of room on the disk, since the service started."""
        self._opened_quietly()

    @property
    def scenes(self) -> int:
        """Scenes of which anything is held."""
        return 0 if self._store is None else len(self._store.scenes)

    @property
    def used_bytes(self) -> int:
        """Of files."""
        return 0 if self._store is None else self._store.used_bytes

    @property
    def capacity_bytes(self) -> int:
        """What they may take."""
        return self._capacity_bytes if self._store is None else self._store.capacity_bytes

    def take(self, address: LayerAddress, payload: bytes) -> None:
        """An acknowledged layer. Raises StoreError where the disk refuses it."""
        try:
            if shutil.disk_usage(self._folder.parent).free < LEFT_FREE_BYTES + len(payload):
                self.passed_over += 1
                return
            self._opened().take(address, payload)
        except (StoreError, OSError) as error:
            self.problem = str(error)
            raise StoreError(f"{address} is not kept as a reference: {error}") from error
        self.problem = ""

    def forget(self, scene: int | None) -> None:
        """Hold nothing of a scene any more, or of any, durably. Raises StoreError; then ask again."""
        try:
            self._opened().forget(scene)
        except StoreError as error:
            self.problem = str(error)
            raise
        self.problem = ""

    def _opened_quietly(self) -> None:
        try:
            self._opened()
        except StoreError as error:
            self.problem = str(error)

    def _opened(self) -> ReferenceStore:
        if self._store is None:
            self._store = ReferenceStore(self._folder, capacity_bytes=self._bounded_bytes())
        return self._store

    def _bounded_bytes(self) -> int:
        try:
            disk_bytes = shutil.disk_usage(self._folder.parent).total
        except OSError as error:
            raise StoreError(f"cannot ask for the size of the disk under {self._folder.parent}: {error}") from error
        return min(self._capacity_bytes, round(DISK_SHARE * disk_bytes))
