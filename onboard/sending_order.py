"""What the files of the current contact are made of, best first: a queue that the plan fills and the link empties."""

from collections.abc import Sequence

from downlink.products import Layer


class SendingOrder:
    """Layers with the value per byte of the group that each belongs to."""

    def __init__(self) -> None:
        # The next one last.
        self._layers: list[tuple[float, Layer]] = []

    def replace(self, ranked: Sequence[tuple[float, Layer]]) -> None:
        """A new plan, best first."""
        self._layers = list(ranked)
        self._layers.reverse()

    @property
    def best_density(self) -> float | None:
        """Value per byte of what comes next, None where nothing waits."""
        return self._layers[-1][0] if self._layers else None

    def take(self, limit_bytes: int) -> list[Layer]:
        """The next layers, removed: as many as fit, one at least."""
        layers: list[Layer] = []
        taken_bytes = 0
        while self._layers and (not layers or taken_bytes + self._layers[-1][1].size_bytes <= limit_bytes):
            layers.append(self._layers.pop()[1])
            taken_bytes += layers[-1].size_bytes
        return layers
