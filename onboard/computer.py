"""The onboard computer: keeps the layers, ranks them, and answers the radio with frames (sans-I/O).

`handle(event, now_ms) -> actions`. The radio pulls one frame at a time, so what leaves next is decided at the last
moment: express records that are due, then files. Layers worth more per byte than every file still to be sent do
not wait: their file overtakes.

What is heard passes the command gate: only authentic, new frames change anything here. After a reboot the computer starts
from its journals alone, open files and standing orders included.
"""

from collections.abc import Callable, Iterable, Sequence

from downlink.command import DropScene, ForgetReferences, Order, ReportLink
from downlink.contact import Contact
from downlink.contact_plan import PlannerSettings
from downlink.erasure_choice import erasure_is_better
from downlink.errors import RecordError
from downlink.express import decode_receipt
from downlink.frame_loss import LossCount, expected_loss
from downlink.link_events import ContactEnded, ContactStarted, FrameHeard, TransmitFrame, TransmitterReady, WakeAt
from downlink.link_profile import Apid, LinkProfile
from downlink.packet_sender import PacketSender
from downlink.products import Layer, LayerAddress
from downlink.requests import LayerRequest
from onboard.command_gate import CommandGate
from onboard.erasure_lane import ErasureLane
from onboard.errors import StoreError
from onboard.express_lane import ExpressLane
from onboard.file_lane import FileLane, FileNews
from onboard.housekeeping_turn import HousekeepingTurn
from onboard.link_events import (
    Action,
    ContactsExpected,
    Event,
    HousekeepingTaken,
    LayersCaptured,
    LayersDelivered,
    LayersEvicted,
    LayersSent,
    RoomWanted,
)
from onboard.sending_order import SendingOrder
from onboard.store import ProductStore


class OnboardComputer:
    """One satellite's end of the link."""

    def __init__(
        self,
        store: ProductStore,
        gate: CommandGate,
        profile: LinkProfile,
        *,
        capacity_bytes: int,
        expected_contacts: Sequence[Contact] = (),
        planning: PlannerSettings | None = None,
        forget_references: Callable[[int | None], None] | None = None,
        discard_uncoded: Callable[[int], None] | None = None,
    ) -> None:
        """`expected_contacts` are planned over until the ground uploads others.

        `discard_uncoded` is told of each scene that the ground has dropped, so that nothing more is coded of it.

        `forget_references` does durably what the order `ForgetReferences` asks, or raises StoreError and is called again later.
        """
        self.store = store
        self.gate = gate
        self.profile = profile
        self.capacity_bytes = capacity_bytes
        self.references_problem = ""
        """Why references that the ground no longer has cannot be forgotten; empty where none stand."""
        self._forget_references_of = forget_references
        self._discard_uncoded_of = discard_uncoded
        self._strange_packets = 0
        packets = PacketSender()
        self._express = ExpressLane(store, profile, packets)
        self._files = FileLane(store, profile, packets)
        self._erasure = ErasureLane(store, profile, packets)
        self._housekeeping = HousekeepingTurn(profile.frame_bytes)
        self._ever_sent: set[LayerAddress] = set()
        self._repeated_bytes = 0
        waiting = [layer for layer in store.backlog() if not self._files.holds(layer.address)]
        self._planning = planning or PlannerSettings()
        self._order = SendingOrder(waiting, gate.orders, expected_contacts, self._planning)
        self._order.discount(waiting, self._erasure.arrived)
        self._in_contact = False
        self._contact: Contact | None = None
        # Whether this contact is served without waiting for answers.
        self._without_answers = False
        # Frame loss as the ground has told it.
        self._measured_before, self._measured_now = LossCount(), LossCount()
        # A mark of eviction that rotted brings its layer back at a start: then there is more than there is room for.
        self._fits = False
        self._drop_scenes()
        self._forget_references()

    def handle(self, event: Event, now_ms: int) -> list[Action]:
        """React to one event."""
        if self._fits:
            return self._react(event, now_ms)
        evicted = self._evict_excess(now_ms)
        self._fits = True
        return [*evicted, *self._react(event, now_ms)]

    def _react(self, event: Event, now_ms: int) -> list[Action]:
        match event:
            case LayersCaptured():
                return self._capture(event, now_ms)
            case RoomWanted():
                self.store.make_room()
                return []
            case HousekeepingTaken():
                self._housekeeping.take(event.report)
                return []
            case ContactsExpected():
                self._order.expect(event.contacts)
                return []
            case ContactStarted():
                ended = self._end_contact(now_ms) if self._in_contact else []
                self._start_contact(event.contact, now_ms)
                return ended
            case ContactEnded():
                return self._end_contact(now_ms)
            case FrameHeard():
                return self._hear(event.frame, now_ms)
            case TransmitterReady():
                return self._next_frame(now_ms) if self._in_contact else [WakeAt(at_ms=None)]

    @property
    def open_files(self) -> int:
        """Files that the ground has not acknowledged."""
        return self._files.open_files

    @property
    def link_queue_bytes(self) -> int:
        """Bytes of packets that no frame has carried yet."""
        return self._express.pending_bytes + self._files.pending_bytes + self._erasure.pending_bytes

    @property
    def repeated_bytes(self) -> int:
        """Bytes of records and file segments sent again so far."""
        return self._repeated_bytes + self._files.repeated_bytes

    @property
    def refused_packets(self) -> int:
        """Authentic packets that say nothing this computer knows."""
        return self._strange_packets + self._files.refused_pdus

    @property
    def naks_heard(self) -> int:
        """Requests of the ground for missing parts of files."""
        return self._files.naks_heard

    def coding_price(self, now_ms: int) -> float:
        """Points per byte below which an image coded now is not expected to fly: at it the backlog fills the next contacts.

        0 where the backlog does not fill them or no contact is known: then all that is worth something is worth coding.
        """
        return self._order.price(now_ms, committed_bytes=self._files.unsent_bytes)

    def standing_requests(self, now_ms: int) -> tuple[LayerRequest, ...]:
        """Requests of the ground that hold now: they raise what images are worth that are not coded yet."""
        return self.gate.orders.requests(now_ms)

    # ---- contacts

    def _start_contact(self, contact: Contact, now_ms: int) -> None:
        self._in_contact = True
        self._without_answers = erasure_is_better(contact)
        self._measured_before, self._measured_now = self._measured_before + self._measured_now, LossCount()
        self._express.start_contact()
        self._housekeeping.start_contact()
        self.gate.start_contact()
        self._contact = contact
        self._order.start_contact(contact)
        self._forget_references()
        if self._without_answers:
            self._order.refresh(now_ms, committed_bytes=0)
            self._erasure.begin(contact, self._best_first(now_ms), self._measured_before)
        else:
            self._files.resume(now_ms)

    def _end_contact(self, now_ms: int) -> list[Action]:
        sent: list[Layer] = []
        if self._in_contact and self._without_answers:
            self._erasure.end()
            arrived = self._erasure.arrived
            sent = [layer for layer in self.store.backlog() if layer.address in arrived]
            self._order.discount((layer for layer in sent if not self._files.holds(layer.address)), arrived)
        self._in_contact = False
        self._files.suspend(now_ms)
        self.store.compact_when_long()
        return self._note_sent([layer for layer in sent if layer.address not in self._ever_sent])

    # ---- keeping

    def _capture(self, event: LayersCaptured, now_ms: int) -> list[Action]:
        fresh = [valued for valued in event.layers if not self.store.has_seen(valued.layer.address)]
        self.store.add(fresh)
        layers = [valued.layer for valued in fresh]
        self._order.add(layers)
        self._express.add(layer for layer in layers if layer.address.is_express)
        actions = self._evict_excess(now_ms)
        self.store.compact_when_long()
        return actions

    def _evict_excess(self, now_ms: int) -> list[Action]:
        excess_bytes = self.store.queued_bytes - self.capacity_bytes
        return self._evict(self._order.evictions(excess_bytes, now_ms=now_ms, kept=self._files.in_flight))

    def _evict(self, addresses: Sequence[LayerAddress]) -> list[Action]:
        if not addresses:
            return []
        self.store.evict(addresses)
        self._express.forget(addresses)
        self._erasure.forget(addresses)
        self._order.remove(addresses)
        self._order.changed()
        return [LayersEvicted(addresses=tuple(addresses))]

    # ---- sending

    def _next_frame(self, now_ms: int) -> list[Action]:
        if self._order.refresh(now_ms, committed_bytes=self._files.unsent_bytes) and self._without_answers:
            self._erasure.offer(self._best_first(now_ms))
        if (housekeeping := self._housekeeping.next_report(self._contact, now_ms)) is not None:
            self._express.push_housekeeping(housekeeping.encode(self.gate.answering_association))
        if self._without_answers:
            return self._next_unanswered_frame(now_ms)
        if (report := self.gate.next_report(now_ms)) is not None:
            self._files.push_report(report)
        actions: list[Action] = []
        if self._express_is_best(now_ms):
            frame, pushed = self._express.next_frame(now_ms)
            actions.extend(self._note_sent(pushed))
            if frame is not None:
                return [*actions, TransmitFrame(frame=frame, robust=True)]
        frame, news = self._files.next_frame(
            self._order, now_ms, contact_bytes=self._contact_bytes(now_ms), frame_loss=self._frame_loss(now_ms)
        )
        actions.extend(self._take_news(news))
        if frame is not None:
            return [*actions, TransmitFrame(frame=frame)]
        times = (self._express.next_due_ms(), self._files.next_due_ms(now_ms), self.gate.report_due_ms(now_ms))
        return [*actions, self._wake_at(*times, self._housekeeping.due_ms())]

    def _contact_bytes(self, now_ms: int) -> int:
        """Bytes of layers that may still arrive in this contact, by its rate and loss now."""
        if self._contact is None:
            return 0
        arriving = 1 - self._contact.frame_loss_at(now_ms)
        frames_bytes = self._contact.rate_bps_at(now_ms) * max(0, self._contact.los_ms - now_ms) / 8000
        return int(frames_bytes * arriving * self._planning.payload_fraction)

    def _frame_loss(self, now_ms: int) -> float:
        """Share of frames that is being lost: as planned, corrected by what the ground has counted."""
        planned = 0.0 if self._contact is None else self._contact.frame_loss_at(now_ms)
        return self._measured_now.belief(expected_loss(planned)).mean

    def _express_is_best(self, now_ms: int) -> bool:
        """Whether a summary or an alert that is due is worth more per byte than every file: fresh ones are."""
        express = self._express.best_due_density(now_ms)
        files = self._files.best_density(self._order)
        return express is not None and (files is None or express >= files)

    def _next_unanswered_frame(self, now_ms: int) -> list[Action]:
        """The same where the station only listens: no files and no report, which both wait for answers."""
        frame, pushed = self._express.next_frame(now_ms)
        if frame is not None:
            return [*self._note_sent(pushed), TransmitFrame(frame=frame, robust=True)]
        frame = self._erasure.next_frame()
        if frame is not None:
            return [TransmitFrame(frame=frame)]
        return [self._wake_at(self._express.next_due_ms(), self._housekeeping.due_ms())]

    @staticmethod
    def _wake_at(*times_ms: int | None) -> WakeAt:
        """When the first of these is due."""
        return WakeAt(at_ms=min((time_ms for time_ms in times_ms if time_ms is not None), default=None))

    def _best_first(self, now_ms: int) -> list[tuple[float, Layer]]:
        """What may go to a station that only listens, with its value per byte: the order, and what open files still owe."""
        return sorted([*self._order.ranked(), *self._files.owed_layers(now_ms)], key=lambda ranked: -ranked[0])

    def _note_sent(self, layers: Iterable[Layer]) -> list[Action]:
        """Tell of layers that go for the first time; the others are repeats."""
        fresh: list[LayerAddress] = []
        for layer in layers:
            if layer.address in self._ever_sent:
                self._repeated_bytes += layer.size_bytes
            else:
                fresh.append(layer.address)
        self._ever_sent.update(fresh)
        return [LayersSent(addresses=tuple(fresh))] if fresh else []

    # ---- hearing

    def _hear(self, frame: bytes, now_ms: int) -> list[Action]:
        actions: list[Action] = []
        reading = self.gate.hear(frame)
        for packet in reading.packets:
            if packet.apid == Apid.EXPRESS_RECEIPT:
                actions.extend(self._take_receipt(packet.data))
            else:
                actions.extend(self._take_news(self._files.take(packet.data, now_ms)))
        for order in reading.orders:
            actions.extend(self._follow(order))
        return actions

    def _follow(self, order: Order) -> list[Action]:
        """A new order of the ground; it is durable already, and what stands is asked of the gate when it is needed."""
        match order:
            case DropScene():
                return self._drop_scenes()
            case ForgetReferences():
                self._forget_references()
            case ReportLink():
                self._measured_now = LossCount(heard=order.frames_heard, lost=order.frames_lost, bursts=order.bursts)
            case _:
                self._order.changed()
        return []

    def _drop_scenes(self) -> list[Action]:
        """Give up what waits of scenes that the ground does not want, coded or not, but for files on their way."""
        actions: list[Action] = []
        for scene in self.gate.orders.scenes_to_drop:
            if self._discard_uncoded_of is not None:
                self._discard_uncoded_of(scene)
            actions.extend(
                self._evict([one.address for one in self.store.backlog() if self._may_go(one.address, scene)])
            )
            self.gate.orders.scene_dropped(scene)
        return actions

    def _forget_references(self) -> None:
        """Nothing is predicted any more from what the ground has lost; what fails is tried again with the next contact or start."""
        self.references_problem = ""
        for scene in self.gate.orders.references_to_forget:
            try:
                if self._forget_references_of is not None:
                    self._forget_references_of(scene)
            except StoreError as error:
                self.references_problem = str(error)
            else:
                self.gate.orders.references_forgotten(scene)

    def _may_go(self, address: LayerAddress, scene: int) -> bool:
        return address.scene == scene and not self._files.holds(address)

    def _take_receipt(self, payload: bytes) -> list[Action]:
        try:
            named = decode_receipt(payload)
        except RecordError:
            self._strange_packets += 1
            return []
        return self._delivered(self.store.mark_delivered(named))

    def _take_news(self, news: FileNews) -> list[Action]:
        if news.given_up:
            self._order.add(news.given_up)
        if news.asked_again:
            self._order.changed()
        return [*self._note_sent(news.put), *self._delivered(tuple(news.delivered))]

    def _delivered(self, fresh: tuple[LayerAddress, ...]) -> list[Action]:
        if not fresh:
            return []
        self._express.forget(fresh)
        self._files.forget(fresh)
        self._erasure.forget(fresh)
        self._order.remove(fresh)
        return [LayersDelivered(addresses=fresh)]
