"""Layers on their way down in files: bundles by CFDP, resumed byte by byte after a loss of signal or a reboot (sans-I/O).

Which layers a file holds is noted in the store before its first byte leaves. After a reboot every file that was open is
taken up as one that has been sent whole: its EndOfFile goes out again and the ground asks for what it lacks, so nothing
that it has is sent twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from downlink.cfdp_events import PduRefused, SourceEvent, TransactionFinished
from downlink.cfdp_source import CfdpSource
from downlink.frame_assembler import FrameAssembler
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.products import Layer, LayerAddress
from downlink.space_packet import PRIMARY_HEADER_BYTES
from downlink.transfer_frame import FRAME_OVERHEAD_BYTES
from onboard.sending_order import SendingOrder
from onboard.store import ProductStore

PRIORITY_PER_VALUE_PER_BYTE = 1e12
"""File delivery ranks by whole numbers: value per byte in this unit."""

UNHEARD_DOUBT = 0.1
"""Chance that a layer which has been sent is not on the ground, while nothing is heard of it."""


@dataclass(slots=True, kw_only=True)
class FileNews:
    """What a step of file delivery means for layers."""

    put: list[Layer] = field(default_factory=list)
    """Layers that went into a new file, in order."""
    delivered: list[LayerAddress] = field(default_factory=list)
    """Layers that the ground has, since now."""
    given_up: list[Layer] = field(default_factory=list)
    """Layers of files that were given up: they wait again."""
    asked_again: bool = False
    """Whether the ground has asked for parts of files again."""


class FileLane:
    """Virtual channel 1 of the downlink."""

    def __init__(self, store: ProductStore, profile: LinkProfile, packets: PacketSender) -> None:
        self.refused_pdus = 0
        self.naks_heard = 0
        self._repeated_bytes = 0
        self._store = store
        self._profile = profile
        self._packets = packets
        self._source = CfdpSource(profile.onboard_entity, profile.ground_entity, profile.source_settings)
        self._frames = FrameAssembler(profile.spacecraft_id, VirtualChannel.FILES, frame_bytes=profile.frame_bytes)
        self._in_flight: dict[LayerAddress, Layer] = {}
        self._take_up_open_files({layer.address: layer for layer in store.backlog()})

    @property
    def in_flight(self) -> frozenset[LayerAddress]:
        """Layers of open files."""
        return frozenset(self._in_flight)

    @property
    def open_files(self) -> int:
        """Files that the ground has not acknowledged."""
        return len(self._source.open_transactions)

    @property
    def unsent_bytes(self) -> int:
        """Bytes of open files that have still to be sent, once at least or again."""
        return self._source.unsent_bytes + self._source.asked_again_bytes

    @property
    def pending_bytes(self) -> int:
        """Bytes of packets that no frame has carried yet."""
        return self._frames.pending_bytes

    @property
    def repeated_bytes(self) -> int:
        """File bytes sent again so far."""
        under_way = (self._source.statistics(one.transaction_seq) for one in self._source.open_transactions)
        return self._repeated_bytes + sum(statistics.retransmitted_bytes for statistics in under_way)

    def holds(self, address: LayerAddress) -> bool:
        """Whether a layer is in an open file."""
        return address in self._in_flight

    def owed_layers(self, now_ms: int) -> list[tuple[float, Layer]]:
        """Layers of open files with their value per byte; those sent whole, of which nobody has heard, count for little."""
        owed: list[tuple[float, Layer]] = []
        for number, addresses in self._store.files.items():
            end, sent_until = 0, self._source.sent_until(number)
            for layer in (self._in_flight[address] for address in addresses):
                end += layer.size_bytes
                if self._store.waits(layer.address):
                    doubt = 1.0 if end > sent_until else UNHEARD_DOUBT
                    owed.append((doubt * layer.value_at(now_ms) / layer.size_bytes, layer))
        return owed

    def best_density(self, order: SendingOrder) -> float | None:
        """The highest value per byte of what has never been sent, in open files or in the order; None where there is none."""
        unsent = self._source.unsent_priority
        known = (order.best_density, None if unsent is None else unsent / PRIORITY_PER_VALUE_PER_BYTE)
        return max((density for density in known if density is not None), default=None)

    def forget(self, addresses: Iterable[LayerAddress]) -> None:
        """The ground has these by another way: files of which no layer waits any more are given up."""
        if not any(address in self._in_flight for address in addresses):
            return
        for number, held in self._store.files.items():
            if not any(self._store.waits(address) for address in held):
                self._source.cancel(number)
        # One of which nothing has been sent is over at once; it has no layers to tell of.
        self._settle(self._source.take_events(), FileNews())

    def suspend(self, now_ms: int) -> None:
        """Loss of signal."""
        self._source.suspend(now_ms)

    def resume(self, now_ms: int) -> None:
        """Acquisition of signal."""
        self._source.resume(now_ms)

    def push_report(self, report: bytes) -> None:
        """Send a command report in the next frame, among files, where it costs no frame of its own; it is not repeated."""
        self._frames.push(self._packets.packet(Apid.COMMAND_REPORT, report))

    def next_frame(
        self, order: SendingOrder, now_ms: int, *, contact_bytes: int, frame_loss: float
    ) -> tuple[bytes | None, FileNews]:
        """The next frame, None when nothing is due. New files are taken from `order` as the old ones run dry, or overtake them.

        `contact_bytes` is what the contact still carries: a file is no longer than that where layers can be found that fit.
        `frame_loss` is what it is expected to lose: the less, the longer are the PDUs.
        """
        news = FileNews()
        frames_per_pdu = self._profile.frames_per_pdu(frame_loss, contact_bytes)
        further_bytes = (frames_per_pdu - 1) * (self._profile.frame_bytes - FRAME_OVERHEAD_BYTES)
        while not self._frames.full_frame_ready:
            self._start_file(order, news, contact_bytes)
            pdu = self._source.next_pdu(now_ms, self._frames.room_bytes + further_bytes - PRIMARY_HEADER_BYTES)
            self._settle(self._source.take_events(), news)
            if pdu is None:
                break
            self._frames.push(self._packets.packet(Apid.FILES_DOWN, pdu))
        return self._frames.next_frame(flush=True), news

    def next_due_ms(self, now_ms: int) -> int | None:
        """When `next_frame` may have something again, None where only a PDU from the ground can help."""
        return self._source.next_wakeup_ms(now_ms)

    def take(self, pdu: bytes, now_ms: int) -> FileNews:
        """A PDU from the ground."""
        news = FileNews()
        before_bytes = self._source.asked_again_bytes
        self._settle(self._source.receive(pdu, now_ms), news)
        news.asked_again = self._source.asked_again_bytes > before_bytes
        return news

    # ---- files

    def _take_up_open_files(self, waiting: dict[LayerAddress, Layer]) -> None:
        for number, addresses in self._store.files.items():
            if not all(address in waiting for address in addresses):
                self._store.close_file(number, delivered=False)
                continue
            content = self._store.file_content(number)
            layers = [waiting[address] for address in addresses]
            density = sum(layer.value for layer in layers) / len(content)
            self._put(number, layers, content=content, density=density, sent_before=True)

    def _start_file(self, order: SendingOrder, news: FileNews, contact_bytes: int) -> None:
        """A new file when nothing new is left to send, or when the order holds something better."""
        density = order.best_density
        if density is None:
            return
        best_unsent = self._source.unsent_priority
        if best_unsent is None or _priority(density) > best_unsent:
            layers: list[Layer] = []
            # The order may be older than the last receipt: whole files of it may have been delivered meanwhile.
            while not layers and order.best_density is not None:
                taken = order.take(self._profile.bundle_bytes, room_bytes=contact_bytes - self.unsent_bytes)
                layers = [layer for layer in taken if self._store.waits(layer.address)]
            if layers:
                number = self._store.open_file([layer.address for layer in layers])
                content = self._store.file_content(number)
                self._put(number, layers, content=content, density=density, sent_before=False)
                news.put.extend(layers)

    def _put(self, number: int, layers: Sequence[Layer], *, content: bytes, density: float, sent_before: bool) -> None:
        self._in_flight.update((layer.address, layer) for layer in layers)
        self._source.put(
            transaction_seq=number,
            source_name="",
            destination_name="",
            file_bytes=content,
            priority=_priority(density),
            sent_before=sent_before,
        )

    def _settle(self, events: Iterable[SourceEvent], news: FileNews) -> None:
        """What the end of a file means for its layers: delivered, or waiting again."""
        for event in events:
            if isinstance(event, PduRefused):
                self.refused_pdus += 1
            if not isinstance(event, TransactionFinished):
                continue
            self._repeated_bytes += event.statistics.retransmitted_bytes
            self.naks_heard += event.statistics.naks_received
            number, delivered = event.transaction.transaction_seq, bool(event.delivered)
            layers = [self._in_flight.pop(address) for address in self._store.files[number]]
            news.delivered.extend(self._store.close_file(number, delivered=delivered))
            news.given_up.extend(layer for layer in layers if self._store.waits(layer.address))


def _priority(density: float) -> int:
    return int(density * PRIORITY_PER_VALUE_PER_BYTE)
