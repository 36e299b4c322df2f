"""When housekeeping has its turn on the downlink (sans-I/O).

A report leaves at the beginning of a contact, then whenever a newer one has been taken, never more than one in ten seconds, and
never so often that its frames take more than a fiftieth of the link.
"""

from typing import Final

from downlink.contact import Contact
from downlink.housekeeping import Housekeeping

HOUSEKEEPING_MS: Final = 10_000
"""Shortest time between two reports."""
FRAMES_BETWEEN: Final = 50
"""On a slow link, a report takes at most every so-manieth frame."""


class HousekeepingTurn:
    """The latest report, and when it is due."""

    def __init__(self, frame_bytes: int) -> None:
        """`frame_bytes`: length of the downlink frame that carries a report."""
        self._frame_bits = 8 * frame_bytes
        self._latest: Housekeeping | None = None
        self._is_news = False
        self._earliest_ms = 0

    def take(self, report: Housekeeping) -> None:
        """A report has been taken; it replaces one that has not left."""
        self._latest = report
        self._is_news = True

    def start_contact(self) -> None:
        """The ground is told how things stand, even if it has been told before."""
        self._is_news = self._latest is not None
        self._earliest_ms = 0

    def due_ms(self) -> int | None:
        """When the next report may leave, None where there is nothing new to tell."""
        return self._earliest_ms if self._is_news else None

    def next_report(self, contact: Contact | None, now_ms: int) -> Housekeeping | None:
        """The report to send now, None where none is due."""
        if self._latest is None or not self._is_news or now_ms < self._earliest_ms:
            return None
        rate_bps = 0 if contact is None else contact.rate_bps_at(now_ms)
        frames_ms = FRAMES_BETWEEN * self._frame_bits * 1000 // rate_bps if rate_bps > 0 else 0
        self._earliest_ms = now_ms + max(HOUSEKEEPING_MS, frames_ms)
        self._is_news = False
        return self._latest
