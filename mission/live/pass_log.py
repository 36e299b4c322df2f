"""What each contact brought, beside what the link driver counts of it."""

from collections.abc import Iterable

from mission.live.ground_status import PassStatus, pass_of
from mission.live.link_driver import PASSES_KEPT, PassCounts


class PassLog:
    """Frames lost and layers arrived, by contact."""

    def __init__(self) -> None:
        self._lost: dict[int, int] = {}
        self._arrived: dict[int, int] = {}
        self._lost_before = 0

    def count(self, aos_ms: int | None, *, frames_lost: int, arrived_layers: int = 0) -> None:
        """Layers arrived in the contact that began at `aos_ms` (None: outside of any); `frames_lost` counts since the core's start."""
        fresh = frames_lost - self._lost_before if frames_lost >= self._lost_before else frames_lost
        self._lost_before = frames_lost
        if aos_ms is None:
            return
        for counts, amount in ((self._lost, fresh), (self._arrived, arrived_layers)):
            counts[aos_ms] = counts.get(aos_ms, 0) + amount
            while len(counts) > PASSES_KEPT:
                del counts[next(iter(counts))]

    def passes(self, counted: Iterable[PassCounts]) -> tuple[PassStatus, ...]:
        """The contacts that a driver has counted, with what is known here."""
        return tuple(
            pass_of(
                one,
                lost_frames=self._lost.get(one.contact.aos_ms, 0),
                arrived_layers=self._arrived.get(one.contact.aos_ms, 0),
            )
            for one in counted
        )
