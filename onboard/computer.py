"""The onboard computer: keeps the layers, ranks them, and answers the radio with frames (sans-I/O).

`handle(event, now_ms) -> actions`. The radio pulls one frame at a time, so what leaves next is decided at the last
moment: express records that are due, then what file delivery has to say (acknowledgements, repeats, new segments),
and when that runs dry, or something worth more per byte has come, a new bundle of the best layers.

After a reboot the computer starts from its store alone: layers that the ground has not acknowledged are sent again in
new bundles, and the ground recognises what it already has by its address.
"""

from collections.abc import Iterable

from downlink.cfdp_events import SourceEvent, TransactionFinished
from downlink.cfdp_source import CfdpSource
from downlink.errors import RecordError
from downlink.express import decode_receipt
from downlink.frame_assembler import FrameAssembler
from downlink.frame_reader import FrameReader
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.products import Layer, LayerAddress
from downlink.record import Record, RecordKind, encode_record
from downlink.scheduler import rank, worst_first
from onboard.link_events import (
    Action,
    ContactEnded,
    ContactStarted,
    Event,
    FrameHeard,
    LayersCaptured,
    LayersDelivered,
    LayersEvicted,
    LayersSent,
    TransmitFrame,
    TransmitterReady,
    WakeAt,
)
from onboard.store import ProductStore

PRIORITY_PER_VALUE_PER_BYTE = 1e12
"""File delivery ranks by whole numbers: value per byte in this unit."""


class OnboardComputer:
    """One satellite's end of the link."""

    def __init__(
        self, store: ProductStore, profile: LinkProfile, *, capacity_bytes: int, first_transaction: int = 0
    ) -> None:
        """`first_transaction` must be above every number used before a reboot."""
        self.store = store
        self.profile = profile
        self.capacity_bytes = capacity_bytes
        self.next_transaction = first_transaction
        self.refused_packets = 0
        self.naks_heard = 0
        self._repeated_bytes = 0
        self._source = CfdpSource(profile.onboard_entity, profile.ground_entity, profile.source_settings)
        self._packets = PacketSender()
        self._express = FrameAssembler(profile.spacecraft_id, VirtualChannel.EXPRESS, frame_bytes=profile.frame_bytes)
        self._files = FrameAssembler(profile.spacecraft_id, VirtualChannel.FILES, frame_bytes=profile.frame_bytes)
        self._reader = FrameReader(profile.spacecraft_id, frame_bytes=profile.uplink_frame_bytes)
        self._bundles: dict[int, tuple[LayerAddress, ...]] = {}
        self._in_flight: set[LayerAddress] = set()
        self._express_sent_ms: dict[LayerAddress, int] = {}
        self._express_ever_sent: set[LayerAddress] = set()
        self._plan: list[Layer] = []
        self._newest_density = 0.0
        self._in_contact = False

    def handle(self, event: Event, now_ms: int) -> list[Action]:
        """React to one event."""
        match event:
            case LayersCaptured():
                return self._capture(event, now_ms)
            case ContactStarted():
                self._in_contact = True
                self._source.resume(now_ms)
                self._express_sent_ms.clear()
                self._replan(now_ms)
                return []
            case ContactEnded():
                self._in_contact = False
                self._source.suspend(now_ms)
                return []
            case FrameHeard():
                return self._hear(event.frame, now_ms)
            case TransmitterReady():
                return self._next_frame(now_ms) if self._in_contact else [WakeAt(at_ms=None)]

    @property
    def has_unfinished_business(self) -> bool:
        """Whether anything waits to be sent or acknowledged."""
        return bool(self.store.backlog())

    @property
    def repeated_bytes(self) -> int:
        """Bytes of records and file segments sent again so far."""
        under_way = (self._source.statistics(one.transaction_seq) for one in self._source.open_transactions)
        return self._repeated_bytes + sum(statistics.retransmitted_bytes for statistics in under_way)

    # ---- keeping

    def _capture(self, event: LayersCaptured, now_ms: int) -> list[Action]:
        self.store.add(event.layers)
        actions: list[Action] = []
        excess = self.store.queued_bytes - self.capacity_bytes
        if excess > 0:
            evicted = self._choose_evictions(excess, now_ms)
            self.store.evict(evicted)
            actions.append(LayersEvicted(addresses=evicted))
        if self._in_contact:
            self._replan(now_ms)
        return actions

    def _choose_evictions(self, excess_bytes: int, now_ms: int) -> tuple[LayerAddress, ...]:
        """Least valuable first, never a layer that is on its way."""
        chosen: list[LayerAddress] = []
        for layer in worst_first(self._waiting(express=None), now_ms):
            if excess_bytes <= 0:
                break
            chosen.append(layer.address)
            excess_bytes -= layer.size_bytes
        return tuple(chosen)

    def _waiting(self, *, express: bool | None) -> list[Layer]:
        """Layers of the backlog that are in no bundle; `express` selects the channel, None takes both."""
        return [
            layer
            for layer in self.store.backlog()
            if layer.address not in self._in_flight and express in (None, layer.address.is_express)
        ]

    # ---- sending

    def _replan(self, now_ms: int) -> None:
        self._plan = list(reversed(rank(self._waiting(express=False), now_ms)))

    def _next_frame(self, now_ms: int) -> list[Action]:
        actions: list[Action] = []
        self._push_express(now_ms, actions)
        frame = self._express.next_frame(flush=True)
        if frame is not None:
            return [*actions, TransmitFrame(frame=frame, express=True)]
        while not self._files.full_frame_ready:
            self._start_bundle(now_ms, actions)
            pdu = self._source.next_pdu(now_ms)
            actions.extend(self._settle(self._source.take_events(), now_ms))
            if pdu is None:
                break
            self._files.push(self._packets.packet(Apid.FILES_DOWN, pdu))
        frame = self._files.next_frame(flush=True)
        if frame is not None:
            return [*actions, TransmitFrame(frame=frame, express=False)]
        return [*actions, WakeAt(at_ms=self._next_wakeup_ms(now_ms))]

    def _push_express(self, now_ms: int, actions: list[Action]) -> None:
        """Every express record that has not been sent in this contact, or whose receipt is overdue; best first."""
        first_time = []
        for layer in rank(self._waiting(express=True), now_ms):
            sent_ms = self._express_sent_ms.get(layer.address)
            if sent_ms is not None and now_ms < sent_ms + self.profile.express_repeat_ms:
                continue
            if sent_ms is None and layer.address not in self._express_ever_sent:
                first_time.append(layer.address)
                self._express_ever_sent.add(layer.address)
            else:
                self._repeated_bytes += layer.size_bytes
            self._express_sent_ms[layer.address] = now_ms
            self._express.push(self._packets.packet(Apid.EXPRESS, self._record(layer.address)))
        if first_time:
            actions.append(LayersSent(addresses=tuple(first_time)))

    def _start_bundle(self, now_ms: int, actions: list[Action]) -> None:
        """Hand file delivery a new bundle when it has nothing new left, or when the plan holds something better."""
        if not self._plan:
            return
        density = self._plan[-1].value_at(now_ms) / self._plan[-1].size_bytes
        if self._source.unsent_bytes == 0 or density > self._newest_density:
            self._newest_density = density
            actions.append(self._put_bundle(density))

    def _put_bundle(self, density: float) -> LayersSent:
        addresses: list[LayerAddress] = []
        content = b""
        while self._plan and (not content or len(content) + self._plan[-1].size_bytes <= self.profile.bundle_bytes):
            address = self._plan.pop().address
            addresses.append(address)
            content += self._record(address)
        self._bundles[self.next_transaction] = tuple(addresses)
        self._in_flight.update(addresses)
        self._source.put(
            transaction_seq=self.next_transaction,
            source_name="",
            destination_name="",
            file_bytes=content,
            priority=int(density * PRIORITY_PER_VALUE_PER_BYTE),
        )
        self.next_transaction += 1
        return LayersSent(addresses=tuple(addresses))

    def _record(self, address: LayerAddress) -> bytes:
        return encode_record(Record(kind=RecordKind.LAYER, address=address, payload=self.store.payload(address)))

    def _next_wakeup_ms(self, now_ms: int) -> int | None:
        times = [sent + self.profile.express_repeat_ms for sent in self._express_sent_ms.values()]
        due = self._source.next_wakeup_ms(now_ms)
        return min([*times, *([] if due is None else [due])], default=None)

    # ---- hearing

    def _hear(self, frame: bytes, now_ms: int) -> list[Action]:
        actions: list[Action] = []
        for packet in self._reader.feed(frame).packets:
            if packet.apid == Apid.EXPRESS_RECEIPT:
                actions.extend(self._take_receipt(packet.data))
            elif packet.apid == Apid.FILES_UP:
                actions.extend(self._settle(self._source.receive(packet.data, now_ms), now_ms))
            elif not packet.is_idle:
                self.refused_packets += 1
        return actions

    def _take_receipt(self, payload: bytes) -> list[Action]:
        try:
            named = decode_receipt(payload)
        except RecordError:
            self.refused_packets += 1
            return []
        return self._deliver(address for address in named if address.is_express)

    def _settle(self, events: list[SourceEvent], now_ms: int) -> list[Action]:
        """What the end of a file means for its layers: delivered, or back in the plan."""
        actions: list[Action] = []
        for event in events:
            if not isinstance(event, TransactionFinished):
                continue
            self._repeated_bytes += event.statistics.retransmitted_bytes
            self.naks_heard += event.statistics.naks_received
            addresses = self._bundles.pop(event.transaction.transaction_seq, ())
            self._in_flight.difference_update(addresses)
            if event.delivered:
                actions.extend(self._deliver(addresses))
            else:
                self._replan(now_ms)
        return actions

    def _deliver(self, addresses: Iterable[LayerAddress]) -> list[Action]:
        fresh = self.store.mark_delivered(addresses)
        for address in fresh:
            self._express_sent_ms.pop(address, None)
        return [LayersDelivered(addresses=fresh)] if fresh else []
