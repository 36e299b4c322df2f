"""A clock, a port and a core whose every word is in the test's hands."""

from collections.abc import Callable, Sequence
from typing import Any

from downlink.link_events import TransmitFrame, TransmitterReady
from downlink.link_profile import LinkProfile
from mission.live.frame_port import PortCounts


class FakeClock:
    def __init__(self, now_ms: int) -> None:
        self.time_ms = now_ms

    def now_ms(self) -> int:
        return self.time_ms


class FakePort:
    """Keeps what is sent with its time; gives what is put into `inbox`."""

    def __init__(self, clock: FakeClock) -> None:
        self.counts = PortCounts()
        self.problem = ""
        self.clock = clock
        self.sent: list[tuple[int, bytes]] = []
        self.inbox: list[bytes] = []
        self.accepts = True

    def send(self, frame: bytes) -> bool:
        if self.accepts:
            self.sent.append((self.clock.time_ms, frame))
        return self.accepts

    def receive(self) -> list[bytes]:
        heard, self.inbox = self.inbox, []
        return heard

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


class FakeCore:
    """Says what it is asked to, and remembers what it was told."""

    def __init__(self, profile: LinkProfile | None = None) -> None:
        self.profile = profile or LinkProfile()
        self.told: list[tuple[int, Any]] = []
        self.answer: Callable[[Any, int], Sequence[Any]] = lambda event, now_ms: []

    def handle(self, event: Any, now_ms: int) -> Sequence[Any]:
        self.told.append((now_ms, event))
        return self.answer(event, now_ms)

    @property
    def names(self) -> list[str]:
        """Names of the events told, but for offers of the transmitter."""
        return [type(event).__name__ for _, event in self.told if not isinstance(event, TransmitterReady)]


class GreedyCore(FakeCore):
    """Always has a frame to send."""

    def __init__(self, profile: LinkProfile | None = None, *, robust_each: int = 0) -> None:
        super().__init__(profile)
        self.count = 0
        self.robust_each = robust_each
        self.answer = self._frame

    def _frame(self, event: Any, now_ms: int) -> Sequence[Any]:
        if not isinstance(event, TransmitterReady):
            return []
        self.count += 1
        robust = bool(self.robust_each) and self.count % self.robust_each == 0
        return [TransmitFrame(frame=self.count.to_bytes(self.profile.frame_bytes, "big"), robust=robust)]
