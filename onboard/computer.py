"""The onboard computer: keeps the layers, ranks them, and answers the radio with frames (sans-I/O).

`handle(event, now_ms) -> actions`. The radio pulls one frame at a time, so what leaves next is decided at the last
moment: express records that are due, then what file delivery has to say (acknowledgements, repeats, new segments),
and when that runs dry a new bundle of the best layers. Layers worth more per byte than every file still to be sent do
not wait for that: their bundle overtakes.

After a reboot the computer starts from its store alone: layers that the ground has not acknowledged are sent again in
new bundles, and the ground recognises what it already has by its address.
"""

from collections.abc import Iterable, Sequence

from downlink.cfdp_events import PduRefused, SourceEvent, TransactionFinished
from downlink.cfdp_source import CfdpSource
from downlink.errors import RecordError
from downlink.express import decode_receipt
from downlink.frame_assembler import FrameAssembler
from downlink.frame_reader import FrameReader, FrameVerdict
from downlink.link_events import ContactEnded, ContactStarted, FrameHeard, TransmitFrame, TransmitterReady, WakeAt
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.products import Layer, LayerAddress
from downlink.record import Record, RecordKind, encode_record
from downlink.scheduler import rank, rank_groups, worst_first
from downlink.space_packet import PRIMARY_HEADER_BYTES
from onboard.link_events import Action, Event, LayersCaptured, LayersDelivered, LayersEvicted, LayersSent
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
        self.verdicts: dict[FrameVerdict, int] = dict.fromkeys(FrameVerdict, 0)
        """Frames heard, by what became of them."""
        self.refused_packets = 0
        """Packets of strangers, and packets that say nothing this computer knows."""
        self.naks_heard = 0
        self._repeated_bytes = 0
        self._source = CfdpSource(profile.onboard_entity, profile.ground_entity, profile.source_settings)
        self._packets = PacketSender()
        self._express = FrameAssembler(profile.spacecraft_id, VirtualChannel.EXPRESS, frame_bytes=profile.frame_bytes)
        self._files = FrameAssembler(profile.spacecraft_id, VirtualChannel.FILES, frame_bytes=profile.frame_bytes)
        self._reader = FrameReader(profile.spacecraft_id, frame_bytes=profile.uplink_frame_bytes)
        self._bundles: dict[int, tuple[LayerAddress, ...]] = {}
        self._in_flight: set[LayerAddress] = set()
        self._express_waiting = {layer.address: layer for layer in store.backlog() if layer.address.is_express}
        self._ever_sent: set[LayerAddress] = set()
        # In this contact: when to send a record again, and the wait that ends then.
        self._express_due_ms: dict[LayerAddress, int] = {}
        self._express_wait_ms: dict[LayerAddress, int] = {}
        # (value per byte of its group, layer), the next one last.
        self._plan: list[tuple[float, Layer]] = []
        self._plan_is_stale = True
        self._in_contact = False

    def handle(self, event: Event, now_ms: int) -> list[Action]:
        """React to one event."""
        match event:
            case LayersCaptured():
                return self._capture(event, now_ms)
            case ContactStarted():
                self._in_contact = True
                self._source.resume(now_ms)
                self._express_due_ms.clear()
                self._express_wait_ms.clear()
                self._plan_is_stale = True
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
    def open_files(self) -> int:
        """Files that the ground has not acknowledged."""
        return len(self._source.open_transactions)

    @property
    def link_queue_bytes(self) -> int:
        """Bytes of packets that no frame has carried yet."""
        return self._express.pending_bytes + self._files.pending_bytes

    @property
    def repeated_bytes(self) -> int:
        """Bytes of records and file segments sent again so far."""
        under_way = (self._source.statistics(one.transaction_seq) for one in self._source.open_transactions)
        return self._repeated_bytes + sum(statistics.retransmitted_bytes for statistics in under_way)

    # ---- keeping

    def _capture(self, event: LayersCaptured, now_ms: int) -> list[Action]:
        self.store.add(event.layers)
        self._plan_is_stale = True
        for valued in event.layers:
            if valued.layer.address.is_express and self.store.waits(valued.layer.address):
                self._express_waiting[valued.layer.address] = valued.layer
        evicted = self._choose_evictions(self.store.queued_bytes - self.capacity_bytes, now_ms)
        if not evicted:
            return []
        self.store.evict(evicted)
        self._forget_express(evicted)
        return [LayersEvicted(addresses=evicted)]

    def _choose_evictions(self, excess_bytes: int, now_ms: int) -> tuple[LayerAddress, ...]:
        """Least valuable first, never a layer of a file that is on its way; none where there is no excess."""
        chosen: list[LayerAddress] = []
        if excess_bytes <= 0:
            return ()
        for layer in worst_first(self._not_in_flight(), now_ms):
            if excess_bytes <= 0:
                break
            chosen.append(layer.address)
            excess_bytes -= layer.size_bytes
        return tuple(chosen)

    def _not_in_flight(self) -> list[Layer]:
        """Layers of the backlog that are in no bundle."""
        return [layer for layer in self.store.backlog() if layer.address not in self._in_flight]

    # ---- sending

    def _replan(self, now_ms: int) -> None:
        waiting = (layer for layer in self._not_in_flight() if not layer.address.is_express)
        self._plan = [(group.density, layer) for group in rank_groups(waiting, now_ms) for layer in group.layers]
        self._plan.reverse()
        self._plan_is_stale = False

    def _next_frame(self, now_ms: int) -> list[Action]:
        actions: list[Action] = []
        self._push_express(now_ms, actions)
        frame = self._express.next_frame(flush=True)
        if frame is not None:
            return [*actions, TransmitFrame(frame=frame)]
        while not self._files.full_frame_ready:
            self._start_bundle(now_ms, actions)
            pdu = self._source.next_pdu(now_ms, self._files.room_bytes - PRIMARY_HEADER_BYTES)
            actions.extend(self._settle(self._source.take_events()))
            if pdu is None:
                break
            self._files.push(self._packets.packet(Apid.FILES_DOWN, pdu))
        frame = self._files.next_frame(flush=True)
        if frame is not None:
            return [*actions, TransmitFrame(frame=frame)]
        return [*actions, WakeAt(at_ms=self._next_wakeup_ms(now_ms))]

    def _push_express(self, now_ms: int, actions: list[Action]) -> None:
        """Express records that have not been sent in this contact, or whose receipt is overdue, best first; a frame's worth.

        The wait doubles each time, so that records whose receipts do not come leave room for files.
        """
        pushed = []
        for layer in rank(self._express_waiting.values(), now_ms):
            address = layer.address
            if now_ms < self._express_due_ms.get(address, now_ms):
                continue
            if self._express.full_frame_ready:
                break
            last_wait_ms = self._express_wait_ms.get(address)
            wait_ms = max(1, self.profile.express_repeat_ms) if last_wait_ms is None else 2 * last_wait_ms
            self._express_wait_ms[address] = wait_ms
            self._express_due_ms[address] = now_ms + wait_ms
            self._express.push(self._packets.packet(Apid.EXPRESS, self._record(address)))
            pushed.append(layer)
        actions.extend(self._note_sent(pushed))

    def _start_bundle(self, now_ms: int, actions: list[Action]) -> None:
        """Hand file delivery a new bundle when it has nothing new left, or when the plan holds something better."""
        if self._plan_is_stale:
            self._replan(now_ms)
        if not self._plan:
            return
        priority = int(self._plan[-1][0] * PRIORITY_PER_VALUE_PER_BYTE)
        best_unsent = self._source.unsent_priority
        if best_unsent is None or priority > best_unsent:
            actions.extend(self._note_sent(self._put_bundle(priority)))

    def _put_bundle(self, priority: int) -> list[Layer]:
        layers: list[Layer] = []
        content = b""
        while self._plan and (not content or len(content) + self._plan[-1][1].size_bytes <= self.profile.bundle_bytes):
            layers.append(self._plan.pop()[1])
            content += self._record(layers[-1].address)
        addresses = tuple(layer.address for layer in layers)
        self._bundles[self.next_transaction] = addresses
        self._in_flight.update(addresses)
        self._source.put(
            transaction_seq=self.next_transaction,
            source_name="",
            destination_name="",
            file_bytes=content,
            priority=priority,
        )
        self.next_transaction += 1
        return layers

    def _note_sent(self, layers: Sequence[Layer]) -> list[Action]:
        """Tell of layers that go for the first time; the others are repeats."""
        fresh = tuple(layer.address for layer in layers if layer.address not in self._ever_sent)
        self._repeated_bytes += sum(layer.size_bytes for layer in layers if layer.address in self._ever_sent)
        self._ever_sent.update(fresh)
        return [LayersSent(addresses=fresh)] if fresh else []

    def _record(self, address: LayerAddress) -> bytes:
        return encode_record(Record(kind=RecordKind.LAYER, address=address, payload=self.store.payload(address)))

    def _next_wakeup_ms(self, now_ms: int) -> int | None:
        times = [*self._express_due_ms.values(), self._source.next_wakeup_ms(now_ms)]
        return min((time_ms for time_ms in times if time_ms is not None), default=None)

    # ---- hearing

    def _hear(self, frame: bytes, now_ms: int) -> list[Action]:
        actions: list[Action] = []
        reading = self._reader.feed(frame)
        self.verdicts[reading.verdict] += 1
        for packet in reading.packets:
            if packet.apid == Apid.EXPRESS_RECEIPT:
                actions.extend(self._take_receipt(packet.data))
            elif packet.apid == Apid.FILES_UP:
                actions.extend(self._settle(self._source.receive(packet.data, now_ms)))
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

    def _settle(self, events: list[SourceEvent]) -> list[Action]:
        """What the end of a file means for its layers: delivered, or back in the plan."""
        actions: list[Action] = []
        for event in events:
            if isinstance(event, PduRefused):
                self.refused_packets += 1
            if not isinstance(event, TransactionFinished):
                continue
            self._repeated_bytes += event.statistics.retransmitted_bytes
            self.naks_heard += event.statistics.naks_received
            addresses = self._bundles.pop(event.transaction.transaction_seq, ())
            self._in_flight.difference_update(addresses)
            if event.delivered:
                actions.extend(self._deliver(addresses))
            else:
                self._plan_is_stale = True
        return actions

    def _deliver(self, addresses: Iterable[LayerAddress]) -> list[Action]:
        fresh = self.store.mark_delivered(addresses)
        self._forget_express(fresh)
        return [LayersDelivered(addresses=fresh)] if fresh else []

    def _forget_express(self, addresses: Iterable[LayerAddress]) -> None:
        for address in addresses:
            self._express_waiting.pop(address, None)
            self._express_due_ms.pop(address, None)
            self._express_wait_ms.pop(address, None)
