"""Three implementations of CFDP class 2 behind one face, in virtual time: ours, cfdp-py, LibreCube's cfdp.

The peers read the clock and start threads by themselves. Here their clock is the simulation's, and what they would do in threads is
done when it is due; nothing else of them is changed. The patches hold while `virtual_peers` is open.
"""

import functools
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol
from unittest import mock

import cfdp
from cfdp.filestore import NativeFileStore
from cfdppy.handler.dest import DestHandler
from cfdppy.handler.source import SourceHandler
from cfdppy.request import PutRequest
from spacepackets.cfdp import TransmissionMode
from spacepackets.util import ByteFieldU16

from benchmarks.cfdp_py_peer import Peer
from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_destination_transaction import DestinationSettings
from downlink.cfdp_events import FileCompleted
from downlink.cfdp_source import CfdpSource
from downlink.cfdp_source_transaction import SourceSettings

AIR, GROUND, TRANSACTION = 0x0203, 0x0405, 0x11
PDU_BYTES = 1024
SEGMENT_BYTES = 1000
"""Of LibreCube, which has no limit for PDUs."""
ACK_MS, NAK_MS = 1000, 200
POLL_MS = 10
LIMIT = 1_000_000


class End(Protocol):
    """One end of a transfer."""

    def take(self, pdu: bytes, now_ms: int) -> None:
        """A PDU has arrived."""

    def next_pdu(self, now_ms: int) -> bytes | None:
        """The next PDU, for a free transmitter."""

    def next_wakeup_ms(self, now_ms: int) -> int | None:
        """When to ask again, if there was none."""

    def is_over(self) -> bool:
        """Source: it need do nothing more. Destination: it has the whole file."""


class VirtualClock:
    """The time of the simulation, and what threads would do later."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._timers: list[tuple[int, int, VirtualTimer]] = []
        self._count = itertools.count()

    def add(self, timer: "VirtualTimer", delay_ms: int) -> None:
        heapq.heappush(self._timers, (self.now_ms + delay_ms, next(self._count), timer))

    def next_ms(self) -> int | None:
        """When the next timer ends."""
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def run_due(self) -> None:
        """Ends the timers whose time has come."""
        while (due_ms := self.next_ms()) is not None and due_ms <= self.now_ms:
            _, _, timer = heapq.heappop(self._timers)
            timer.function()


class VirtualTimer:
    """What `threading.Timer` does, in the simulation's time."""

    def __init__(self, clock: VirtualClock, interval_s: float, function: Callable[[], None]) -> None:
        self._clock, self._delay_ms, self.function = clock, round(interval_s * 1000), function
        self.cancelled = False

    def start(self) -> None:
        self._clock.add(self, self._delay_ms)

    def cancel(self) -> None:
        self.cancelled = True


@contextmanager
def virtual_peers() -> Iterator[VirtualClock]:
    """Peers made inside run on this clock and in no thread."""
    clock = VirtualClock()
    segments = functools.partial(cfdp.core.Transaction, maximum_file_segment_length=SEGMENT_BYTES)
    with (
        mock.patch("spacepackets.countdown.time_ms", lambda: clock.now_ms),
        mock.patch("cfdp.machines.timer.threading.Timer", functools.partial(VirtualTimer, clock)),
        mock.patch("cfdp.core.threading.Thread", mock.Mock()),
        mock.patch("cfdp.core.Transaction", segments),
    ):
        yield clock


# ---- ours


class OurSource:
    """Our sending entity with one file."""

    def __init__(self, file: Path) -> None:
        settings = SourceSettings(
            max_pdu_bytes=PDU_BYTES, ack_timeout_ms=ACK_MS, max_ack_timeout_ms=ACK_MS, transaction_seq_bytes=2
        )
        self._source = CfdpSource(AIR, GROUND, settings)
        self._source.put(
            transaction_seq=TRANSACTION, source_name=file.name, destination_name="arrived", file_bytes=file.read_bytes()
        )
        self.next_pdu = self._source.next_pdu
        self.next_wakeup_ms = self._source.next_wakeup_ms

    def take(self, pdu: bytes, now_ms: int) -> None:
        self._source.receive(pdu, now_ms)

    def is_over(self) -> bool:
        return not self._source.open_transactions


class OurDestination:
    """Our receiving entity."""

    def __init__(self, file: Path) -> None:
        settings = DestinationSettings(
            reordering_delay_ms=5, nak_timeout_ms=NAK_MS, finished_timeout_ms=ACK_MS, max_pdu_bytes=PDU_BYTES
        )
        self._destination = CfdpDestination(GROUND, {AIR}, settings)
        self._expected = file.read_bytes()
        self._whole = False
        self.next_pdu = self._destination.next_pdu
        self.next_wakeup_ms = self._destination.next_wakeup_ms

    def take(self, pdu: bytes, now_ms: int) -> None:
        for event in self._destination.receive(pdu, now_ms):
            self._whole |= isinstance(event, FileCompleted) and event.data == self._expected

    def is_over(self) -> bool:
        return self._whole


# ---- cfdp-py


class CfdpPyEnd:
    """A handler of cfdp-py; subclasses say which."""

    def __init__(self, handler: type, local: int, remote: int, *, immediate_nak: bool) -> None:
        self._outbox: deque[bytes] = deque()
        self._peer = Peer(
            handler,
            local,
            remote,
            pdu_bytes=PDU_BYTES,
            ack_s=ACK_MS / 1000,
            nak_s=NAK_MS / 1000,
            immediate_nak=immediate_nak,
        )

    def take(self, pdu: bytes, now_ms: int) -> None:
        self._advance(pdu)

    def next_pdu(self, now_ms: int) -> bytes | None:
        if not self._outbox:
            self._advance(None)
        return self._outbox.popleft() if self._outbox else None

    def next_wakeup_ms(self, now_ms: int) -> int | None:
        return now_ms + POLL_MS

    def _advance(self, pdu: bytes | None) -> None:
        with suppress(Exception):  # it raises at every PDU that it cannot use just now; a program that uses it goes on
            self._outbox.extend(self._peer.step(pdu))
        self._outbox.extend(self._peer.packets())


class CfdpPySource(CfdpPyEnd):
    """cfdp-py's sending handler with one file."""

    def __init__(self, file: Path, *, immediate_nak: bool) -> None:
        super().__init__(SourceHandler, AIR, GROUND, immediate_nak=immediate_nak)
        request = PutRequest(
            destination_id=ByteFieldU16(GROUND),
            source_file=file,
            dest_file=file.with_name("arrived"),
            trans_mode=TransmissionMode.ACKNOWLEDGED,
            closure_requested=False,
        )
        self._peer.handler.put_request(request)

    def is_over(self) -> bool:
        return self._peer.idle and not self._outbox


class CfdpPyDestination(CfdpPyEnd):
    """cfdp-py's receiving handler."""

    def __init__(self, file: Path, *, immediate_nak: bool) -> None:
        super().__init__(DestHandler, GROUND, AIR, immediate_nak=immediate_nak)
        self._file = file

    def is_over(self) -> bool:
        arrived = self._file.with_name("arrived")
        return bool(self._peer.user.finished) and arrived.read_bytes() == self._file.read_bytes()


# ---- LibreCube


class _Outbox:
    """A transport whose PDUs wait for the transmitter."""

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()
        self.indication: Callable[[bytes], None] = lambda pdu: None

    def is_ready(self) -> bool:
        return True

    def request(self, pdu: bytes) -> None:
        self.waiting.append(pdu)


class LibreCubeEnd:
    """An entity of LibreCube's; its events are worked off one PDU at a time, so that the transmitter sets the pace."""

    def __init__(self, file: Path, clock: VirtualClock, *, sends: bool) -> None:
        self._clock, self._file = clock, file
        self._outbox = _Outbox()
        self.entity = cfdp.CfdpEntity(
            AIR if sends else GROUND,
            NativeFileStore(str(file.parent)),
            self._outbox,
            transaction_inactivity_limit=LIMIT,
            positive_ack_timer_interval=ACK_MS / 1000,
            positive_ack_timer_expiration_limit=LIMIT,
            nak_timer_interval=NAK_MS / 1000,
            nak_timer_expiration_limit=LIMIT,
        )
        self._sends, self._dead = sends, False
        if sends:
            self._id = self.entity.put(
                GROUND, file.name, "arrived", transmission_mode=cfdp.TransmissionMode.ACKNOWLEDGED
            )

    def take(self, pdu: bytes, now_ms: int) -> None:
        self.entity.pdu_received(pdu)
        if not self._sends:
            self._work_off()

    def next_pdu(self, now_ms: int) -> bytes | None:
        self._clock.run_due()
        while not self._outbox.waiting and self._work_one():
            pass
        return self._outbox.waiting.popleft() if self._outbox.waiting else None

    def next_wakeup_ms(self, now_ms: int) -> int | None:
        return self._clock.next_ms()

    def is_over(self) -> bool:
        if self._sends:
            return bool(self.entity.is_complete(self._id)) and not self._outbox.waiting
        arrived = self._file.with_name("arrived")
        return arrived.exists() and arrived.read_bytes() == self._file.read_bytes()

    def _work_off(self) -> None:
        while self._work_one():
            pass

    def _work_one(self) -> bool:
        """One event, as its thread would do; after an exception that thread is gone."""
        if self._dead or self.entity._event_queue.empty():
            return False
        event, pdu = self.entity._event_queue.get_nowait()
        machine = self.entity.machines.get(event.transaction.id)
        try:
            if machine:
                machine.update_state(event, pdu)
        except (AttributeError, ValueError):
            self._dead = True
        return True
