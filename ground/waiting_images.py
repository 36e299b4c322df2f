"""Images that arrived and cannot be shown before another one is here: they are predicted from it."""

from dataclasses import dataclass

from downlink.errors import MissingReferenceError
from downlink.scene import Window


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class MissingReference:
    """A block of an earlier scene, as an image names it."""

    scene: int
    """Number of the earlier scene."""
    product: int
    """Number of the block."""
    steps: int
    """Steps that it was to be decoded from."""


class WaitingImages:
    """The images of one scene that wait, found while it is rebuilt."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, Window], MissingReference] = {}

    def note(self, product: int, window: Window, error: MissingReferenceError) -> None:
        """An image cannot be shown; told again of the same image nothing changes."""
        missing = MissingReference(scene=error.scene, product=error.product, steps=error.steps)
        self._waiting[product, window] = missing

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def references(self) -> tuple[MissingReference, ...]:
        """What they wait for, each once, in order."""
        return tuple(sorted(set(self._waiting.values())))

    @property
    def scenes(self) -> tuple[int, ...]:
        """Scenes that this is part of, in order of number."""
        return tuple(sorted({missing.scene for missing in self._waiting.values()}))
