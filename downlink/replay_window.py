"""Which sequence numbers are new: each is accepted once, a little out of order at most (the anti-replay of 355.0-B-2).

Numbers follow the sender's clock (`downlink.frame_security`), so lateness is told in time: a frame that was overtaken is still good
while its number is at most two seconds behind the newest and fewer than 64 later ones have come.
"""

from heapq import heappop, heappush
from typing import Final

from downlink.frame_security import NUMBERS_PER_MS

REMEMBERED_NUMBERS: Final = 64
LATE_MS: Final = 2000
"""How far behind the newest number an older one may come, by the sender's clock."""


class ReplayWindow:
    """The numbers of one key: a floor at or below which everything is refused, and at most 64 accepted ones above it."""

    def __init__(self, floor: int = 0) -> None:
        """`floor` is at or above every number accepted before."""
        self.floor = floor
        self._accepted: list[int] = []
        self._highest = floor

    def is_new(self, number: int) -> bool:
        """Whether the number may be accepted. Changes nothing."""
        return number > self.floor and number not in self._accepted

    def accept(self, number: int) -> None:
        """Use up a new number, and let the floor follow."""
        heappush(self._accepted, number)
        self._highest = max(self._highest, number)
        self.floor = max(self.floor, self._highest - LATE_MS * NUMBERS_PER_MS)
        while self._accepted and (len(self._accepted) > REMEMBERED_NUMBERS or self._accepted[0] <= self.floor):
            self.floor = max(self.floor, heappop(self._accepted))
