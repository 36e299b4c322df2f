"""One satellite, one ground and the link between them in virtual time: a discrete-event world around the two cores.

Nothing here knows what a layer is. Events wait in a heap ordered by time, then by the order in which they were made;
chance comes from named streams of one seed. The same seed gives the same events, and so the same `log_hash`.

The radio opens and closes by true time. Each end begins and ends its contacts by its own clock, as it does when it is live
(`mission.live.link_driver`): what it sends outside the true contact is lost.
"""

import hashlib
import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from downlink import link_events
from downlink.contact import Contact
from downlink.products import LayerAddress
from ground import link_events as ground_events
from ground.station import GroundStation
from mission.channel import Arrival, Channel, ChannelCounts
from mission.contacts import PlannedContact
from mission.event_log import Recorder
from mission.simulated_clock import SimulatedClock
from mission.streams import Streams
from onboard import link_events as onboard_events
from onboard.computer import OnboardComputer


@dataclass(slots=True, kw_only=True)
class ContactLog:
    """What one contact carried."""

    contact: Contact
    """The pass as planned."""
    sent_bytes: int = 0
    """Bytes of transfer frames on the downlink."""
    frames: int = 0
    """Transfer frames on the downlink."""
    uplink_bytes: int = 0
    """Bytes of transfer frames on the uplink."""
    repeated_bytes: int = 0
    """Bytes of records and file segments among them that had been sent before."""
    downlink: ChannelCounts = field(default_factory=ChannelCounts)
    """What the channel did to the frames on the downlink."""
    uplink: ChannelCounts = field(default_factory=ChannelCounts)
    """What the channel did to the frames on the uplink."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Something that happened to layers."""

    at_ms: int
    """When."""
    what: str
    """`sent`, `arrived`, `delivered` (acknowledged on board) or `evicted`."""
    addresses: tuple[LayerAddress, ...]
    """Which."""
    link_bytes: int
    """Downlink bytes sent up to then."""


class _Pass:
    """One contact with its channels."""

    def __init__(self, planned: PlannedContact, log: ContactLog, streams: Streams) -> None:
        number = planned.contact.contact_id
        self.contact = planned.contact
        self.log = log
        self.cut = False
        self.down = Channel(planned.downlink, streams.generator(f"downlink/{number}"))
        self.up = None if planned.uplink is None else Channel(planned.uplink, streams.generator(f"uplink/{number}"))
        log.downlink = self.down.counts
        if self.up is not None:
            log.uplink = self.up.counts


class _End:
    """What one end believes, and its transmitter."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.recorder: Recorder | None = None
        self.is_up = True
        self.now_in: _Pass | None = None
        """The contact that goes on by its own clock."""
        self.los_ms = 0
        """When that ends, in true time."""
        self.wake_token = 0


class World:
    """The simulated world. Build it, `schedule` what happens on board, then `run`."""

    def __init__(
        self,
        computer: OnboardComputer,
        station: GroundStation,
        contacts: Sequence[PlannedContact],
        streams: Streams,
        *,
        onboard_clock: SimulatedClock | None = None,
        ground_clock: SimulatedClock | None = None,
    ) -> None:
        """Clocks are right where none are given."""
        self.computer = computer
        self.station = station
        self.onboard, self.ground = _End(onboard_clock or SimulatedClock()), _End(ground_clock or SimulatedClock())
        self.at_work = self.ground
        """The end whose core was called last: who is to blame where one raises."""
        self.now_ms = 0
        """True time."""
        self.observations: list[Observation] = []
        self.contact_logs: list[ContactLog] = []
        self.frames_out_of_contact = 0
        """Sent by an end whose clock was wrong, and lost."""
        self.after_event: Callable[[], None] = lambda: None
        """Called after every event: the place for invariants."""
        self.on_time: Callable[[int], None] = lambda now_ms: None
        """Told of the time before every event."""
        self.as_received: Callable[[bytes], bytes] = lambda frame: frame
        """What the ground's receiver makes of a frame: the place for damage that no frame check shows."""
        self.as_sent_up: Callable[[bytes], None] = lambda frame: None
        """Told of every frame that the ground has sent."""
        self.as_heard_on_board: Callable[[bytes], None] = lambda frame: None
        """Told of every frame that the satellite has heard, and of none in which it lost its power."""
        self._streams = streams
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._counter = itertools.count()
        self._hash = hashlib.sha256()
        self._link_bytes = 0
        self._passes: list[_Pass] = []
        self._radio: _Pass | None = None
        for planned in contacts:
            self.add_contact(planned)

    def add_contact(self, planned: PlannedContact) -> None:
        """Have a contact happen. Contacts must not overlap; the satellite has one transmitter."""
        log = ContactLog(contact=planned.contact)
        self.contact_logs.append(log)
        each = _Pass(planned, log, self._streams)
        self._passes.append(each)
        self.schedule(planned.contact.aos_ms, lambda: self._open_radio(each))
        for end in (self.ground, self.onboard):
            self._schedule_edge(end, planned.contact.aos_ms)
        self.schedule(planned.contact.los_ms, self._close_radio)
        for end in (self.onboard, self.ground):
            self._schedule_edge(end, planned.contact.los_ms)

    def schedule(self, at_ms: int, action: Callable[[], None]) -> None:
        """Have `action` called at a time, after everything scheduled for that time before."""
        heapq.heappush(self._queue, (at_ms, next(self._counter), action))

    def run(self) -> None:
        """Until nothing is left to happen."""
        while self._queue:
            at_ms, _, action = heapq.heappop(self._queue)
            if at_ms > self.now_ms:
                self.now_ms = at_ms
            self.on_time(self.now_ms)
            action()
            self.after_event()

    def tell_computer(self, event: onboard_events.Event) -> None:
        """Give the onboard computer an event and do what it answers."""
        if not self.onboard.is_up:
            return
        for action in self.ask_computer(event):
            match action:
                case link_events.TransmitFrame():
                    self._transmit_down(action.frame, robust=action.robust)
                case link_events.WakeAt():
                    self._wake(self.onboard, action.at_ms)
                case onboard_events.LayersSent():
                    self._observe("sent", action.addresses)
                case onboard_events.LayersDelivered():
                    self._observe("delivered", action.addresses)
                case onboard_events.LayersEvicted():
                    self._observe("evicted", action.addresses)
        if not isinstance(event, link_events.TransmitterReady | link_events.ContactEnded):
            self._offer_at(self.onboard, self.now_ms)

    def tell_station(self, event: ground_events.Event) -> None:
        """Give the ground station an event and do what it answers."""
        if not self.ground.is_up:
            return
        for action in self.ask_station(event):
            match action:
                case link_events.TransmitFrame():
                    self._transmit_up(action.frame)
                case link_events.WakeAt():
                    self._wake(self.ground, action.at_ms)
                case ground_events.LayersArrived():
                    self._observe("arrived", action.addresses)
        if not isinstance(event, link_events.TransmitterReady | link_events.ContactEnded):
            self._offer_at(self.ground, self.now_ms)

    def ask_computer(self, event: onboard_events.Event) -> list[onboard_events.Action]:
        """What the onboard computer answers to an event; nothing is done."""
        self.at_work = self.onboard
        own_ms, recorder = self.onboard.clock.read(self.now_ms), self.onboard.recorder
        if recorder is None:
            return self.computer.handle(event, own_ms)
        recorder.event(event, own_ms)
        actions = self.computer.handle(event, own_ms)
        recorder.actions(actions)
        return actions

    def ask_station(self, event: ground_events.Event) -> list[ground_events.Action]:
        """What the ground station answers to an event; nothing is done."""
        self.at_work = self.ground
        own_ms, recorder = self.ground.clock.read(self.now_ms), self.ground.recorder
        if recorder is None:
            return self.station.handle(event, own_ms)
        recorder.event(event, own_ms)
        actions = self.station.handle(event, own_ms)
        recorder.actions(actions)
        return actions

    @property
    def log_hash(self) -> str:
        """SHA-256 over everything that happened."""
        return self._hash.hexdigest()

    @property
    def contact(self) -> Contact | None:
        """The contact that goes on, None without signal."""
        return None if self._radio is None else self._radio.contact

    @property
    def events_waiting(self) -> int:
        """Events that have still to happen."""
        return len(self._queue)

    # ---- reboots and clocks

    def replace_computer(self, computer: OnboardComputer) -> None:
        """The onboard computer has started again; frames on their way still arrive."""
        if self._radio is not None:
            self._radio.log.repeated_bytes += self.computer.repeated_bytes - computer.repeated_bytes
        self.computer = computer
        self.onboard.is_up = True
        self._note("onboard reboot", b"")
        self.tell_computer(_contact_event(self.onboard))

    def replace_station(self, station: GroundStation) -> None:
        """The ground station has started again; frames on their way still arrive."""
        self.station = station
        self.ground.is_up = True
        self._note("ground reboot", b"")
        self.tell_station(_contact_event(self.ground))

    def step_clock(self, end: _End, step_ms: int) -> bool:
        """Somebody sets the clock of an end; returns whether it has gone back, so that the end must start again."""
        gone_back = end.clock.step(step_ms, self.now_ms)
        own_ms = end.clock.read(self.now_ms)
        self._note("clock step", b"")
        for each in self._passes:
            for edge_ms in (each.contact.aos_ms, each.contact.los_ms):
                if edge_ms > own_ms:
                    self._schedule_edge(end, edge_ms)
        self._follow_contacts(end)
        if end.now_in is not None:
            end.los_ms = end.clock.true_ms(end.now_in.contact.los_ms)
            self._offer_at(end, self.now_ms)
        return gone_back

    # ---- contacts

    def _open_radio(self, each: _Pass) -> None:
        self._radio = each
        each.log.repeated_bytes -= self.computer.repeated_bytes

    def _close_radio(self) -> None:
        if self._radio is not None:
            self._radio.log.repeated_bytes += self.computer.repeated_bytes
        self._radio = None

    def cut_contact(self) -> None:
        """Loss of signal before its time: what is still on its way arrives, nothing more is sent or heard on board."""
        if self._radio is not None:
            self._radio.cut = True
            self._close_radio()
            for end in (self.onboard, self.ground):
                self._follow_contacts(end)

    def _schedule_edge(self, end: _End, own_ms: int) -> None:
        self.schedule(end.clock.true_ms(own_ms), lambda: self._follow_contacts(end))

    def _follow_contacts(self, end: _End) -> None:
        """Begin and end contacts as the end's own clock says."""
        own_ms = end.clock.read(self.now_ms)
        due = next(
            (one for one in self._passes if one.contact.aos_ms <= own_ms < one.contact.los_ms and not one.cut), None
        )
        if due is end.now_in:
            return
        tell = self.tell_computer if end is self.onboard else self.tell_station
        # Noted first: an end that breaks down in between is told of the contact when it starts again.
        before, end.now_in = end.now_in, due
        if due is not None:
            end.los_ms = end.clock.true_ms(due.contact.los_ms)
        if before is not None:
            tell(link_events.ContactEnded())
        if due is not None:
            tell(link_events.ContactStarted(contact=due.contact))

    # ---- the link

    def _transmit_down(self, frame: bytes, *, robust: bool) -> None:
        each = self.onboard.now_in
        if each is None:
            return
        each.log.sent_bytes += len(frame)
        each.log.frames += 1
        self._link_bytes += len(frame)
        self._note("down", frame)
        free_ms = each.down.departure_ms(len(frame), self.now_ms, robust)
        arrivals = each.down.transmit(frame, self.now_ms, robust)
        if self._is_carried(each, free_ms):
            for arrival in arrivals:
                self.schedule(arrival.at_ms, lambda a=arrival: self._arrive_down(a))  # type: ignore[misc]
        self._offer_at(self.onboard, free_ms)

    def _transmit_up(self, frame: bytes) -> None:
        each = self.ground.now_in
        if each is None or each.up is None:
            return
        each.log.uplink_bytes += len(frame)
        self._note("up", frame)
        self.as_sent_up(frame)
        free_ms = each.up.departure_ms(len(frame), self.now_ms)
        arrivals = each.up.transmit(frame, self.now_ms)
        if self._is_carried(each, free_ms):
            for arrival in arrivals:
                self.schedule(arrival.at_ms, lambda a=arrival: self._arrive_up(a))  # type: ignore[misc]
        self._offer_at(self.ground, free_ms)

    def _is_carried(self, each: _Pass, departure_ms: int) -> bool:
        """Whether a frame sent now meets the true contact."""
        carried = self._radio is each and departure_ms <= each.contact.los_ms
        self.frames_out_of_contact += not carried
        return carried

    def _arrive_down(self, arrival: Arrival) -> None:
        frame = self.as_received(arrival.frame)
        self._note("heard", frame)
        self.tell_station(link_events.FrameHeard(frame=frame))

    def _arrive_up(self, arrival: Arrival) -> None:
        if self.onboard.now_in is not None and self.onboard.now_in.up is not None:
            self._note("heard on board", arrival.frame)
            self.tell_computer(link_events.FrameHeard(frame=arrival.frame))
            if self.onboard.is_up:
                self.as_heard_on_board(arrival.frame)

    def _wake(self, end: _End, own_ms: int | None) -> None:
        """Offer a transmitter at a time of its end's own clock."""
        if own_ms is not None and end.now_in is not None:
            self._offer_at(end, own_ms if end.clock.is_right else end.clock.true_ms(own_ms))

    def _offer_at(self, end: _End, at_ms: int) -> None:
        """Offer a transmitter, in place of any offer made before; never before it is free, nor after the contact."""
        channel = self._channel(end)
        if channel is None or at_ms >= end.los_ms:
            return
        end.wake_token += 1
        token = end.wake_token
        self.schedule(max(at_ms, channel.busy_until_ms), lambda: self._offer(end, token))

    def _offer(self, end: _End, token: int) -> None:
        channel = self._channel(end)
        if channel is None or token != end.wake_token:
            return
        is_onboard = end is self.onboard
        frame_bytes = self.computer.profile.frame_bytes if is_onboard else self.station.profile.uplink_frame_bytes
        if channel.departure_ms(frame_bytes, self.now_ms, robust=True) > end.los_ms:  # the slower of the two
            return
        if is_onboard:
            self.tell_computer(link_events.TransmitterReady())
        else:
            self.tell_station(link_events.TransmitterReady())

    def _channel(self, end: _End) -> Channel | None:
        if end.now_in is None:
            return None
        return end.now_in.down if end is self.onboard else end.now_in.up

    # ---- the record

    def _observe(self, what: str, addresses: tuple[LayerAddress, ...]) -> None:
        self.observations.append(
            Observation(at_ms=self.now_ms, what=what, addresses=addresses, link_bytes=self._link_bytes)
        )
        self._note(what, b"".join(address.pack() for address in addresses))

    def _note(self, what: str, data: bytes) -> None:
        self._hash.update(f"{self.now_ms} {what} {len(data)} ".encode() + data)


def _contact_event(end: _End) -> link_events.ContactStarted | link_events.ContactEnded:
    """What an end that starts is told of contacts."""
    if end.now_in is None:
        return link_events.ContactEnded()
    return link_events.ContactStarted(contact=end.now_in.contact)
