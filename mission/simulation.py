"""One satellite, one ground and the link between them in virtual time: a discrete-event world around the two cores.

Nothing here knows what a layer is. Events wait in a heap ordered by time, then by the order in which they were made;
chance comes from named streams of one seed. The same seed gives the same events, and so the same `log_hash`.
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


class World:
    """The simulated world. Build it, `schedule` what happens on board, then `run`."""

    def __init__(
        self, computer: OnboardComputer, station: GroundStation, contacts: Sequence[PlannedContact], streams: Streams
    ) -> None:
        self.computer = computer
        self.station = station
        self.now_ms = 0
        self.observations: list[Observation] = []
        self.contact_logs: list[ContactLog] = []
        self.after_event: Callable[[], None] = lambda: None
        """Called after every event: the place for invariants."""
        self.on_time: Callable[[int], None] = lambda now_ms: None
        """Told of the time before every event."""
        self.as_received: Callable[[bytes], bytes] = lambda frame: frame
        """What the ground's receiver makes of a frame: the place for damage that no frame check shows."""
        self.as_heard_on_board: Callable[[bytes], None] = lambda frame: None
        """Told of every frame that has reached the satellite, and of none in which it lost its power."""
        self.onboard_recorder: Recorder | None = None
        """Told of everything that the onboard computer hears and answers."""
        self.ground_recorder: Recorder | None = None
        """The same of the ground station."""
        self._streams = streams
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._counter = itertools.count()
        self._hash = hashlib.sha256()
        self._link_bytes = 0
        self._log: ContactLog | None = None
        self._down: Channel | None = None
        self._up: Channel | None = None
        self._los_ms = 0
        self._wake_token = {"down": 0, "up": 0}
        for planned in contacts:
            self.add_contact(planned)

    def add_contact(self, planned: PlannedContact) -> None:
        """Have a contact happen. Contacts must not overlap; the satellite has one transmitter."""
        log = ContactLog(contact=planned.contact)
        self.contact_logs.append(log)
        self.schedule(planned.contact.aos_ms, lambda: self._start_contact(planned, log))
        self.schedule(planned.contact.los_ms, self._end_contact)

    def schedule(self, at_ms: int, action: Callable[[], None]) -> None:
        """Have `action` called at a time, after everything scheduled for that time before."""
        heapq.heappush(self._queue, (at_ms, next(self._counter), action))

    def run(self) -> None:
        """Until nothing is left to happen."""
        while self._queue:
            at_ms, _, action = heapq.heappop(self._queue)
            self.now_ms = max(self.now_ms, at_ms)
            self.on_time(self.now_ms)
            action()
            self.after_event()

    def tell_computer(self, event: onboard_events.Event) -> None:
        """Give the onboard computer an event and do what it answers."""
        for action in self.ask_computer(event):
            match action:
                case link_events.TransmitFrame():
                    self._transmit_down(action.frame, robust=action.robust)
                case link_events.WakeAt():
                    self._wake("down", action.at_ms)
                case onboard_events.LayersSent():
                    self._observe("sent", action.addresses)
                case onboard_events.LayersDelivered():
                    self._observe("delivered", action.addresses)
                case onboard_events.LayersEvicted():
                    self._observe("evicted", action.addresses)
        if not isinstance(event, link_events.TransmitterReady | link_events.ContactEnded):
            self._wake("down", self.now_ms)

    def tell_station(self, event: ground_events.Event) -> None:
        """Give the ground station an event and do what it answers."""
        for action in self.ask_station(event):
            match action:
                case link_events.TransmitFrame():
                    self._transmit_up(action.frame)
                case link_events.WakeAt():
                    self._wake("up", action.at_ms)
                case ground_events.LayersArrived():
                    self._observe("arrived", action.addresses)
        if not isinstance(event, link_events.TransmitterReady | link_events.ContactEnded):
            self._wake("up", self.now_ms)

    def ask_computer(self, event: onboard_events.Event) -> list[onboard_events.Action]:
        """What the onboard computer answers to an event; nothing is done."""
        if self.onboard_recorder is None:
            return self.computer.handle(event, self.now_ms)
        self.onboard_recorder.event(event, self.now_ms)
        actions = self.computer.handle(event, self.now_ms)
        self.onboard_recorder.actions(actions)
        return actions

    def ask_station(self, event: ground_events.Event) -> list[ground_events.Action]:
        """What the ground station answers to an event; nothing is done."""
        if self.ground_recorder is None:
            return self.station.handle(event, self.now_ms)
        self.ground_recorder.event(event, self.now_ms)
        actions = self.station.handle(event, self.now_ms)
        self.ground_recorder.actions(actions)
        return actions

    @property
    def log_hash(self) -> str:
        """SHA-256 over everything that happened."""
        return self._hash.hexdigest()

    @property
    def contact(self) -> Contact | None:
        """The contact that goes on now, None without signal."""
        return None if self._log is None else self._log.contact

    @property
    def events_waiting(self) -> int:
        """Length of the queue."""
        return len(self._queue)

    # ---- reboots

    def replace_computer(self, computer: OnboardComputer) -> None:
        """The onboard computer has started again; frames on their way still arrive."""
        if self._log is not None:
            self._log.repeated_bytes += self.computer.repeated_bytes - computer.repeated_bytes
        self.computer = computer
        self._note("onboard reboot", b"")
        contact = self.contact
        self.tell_computer(link_events.ContactStarted(contact=contact) if contact else link_events.ContactEnded())

    def replace_station(self, station: GroundStation) -> None:
        """The ground station has started again; frames on their way still arrive."""
        self.station = station
        self._note("ground reboot", b"")
        contact = self.contact
        self.tell_station(link_events.ContactStarted(contact=contact) if contact else link_events.ContactEnded())

    # ---- contacts

    def _start_contact(self, planned: PlannedContact, log: ContactLog) -> None:
        number = planned.contact.contact_id
        self._down = Channel(planned.downlink, self._streams.generator(f"downlink/{number}"))
        self._log = log
        log.downlink = self._down.counts
        if planned.uplink is not None:
            self._up = Channel(planned.uplink, self._streams.generator(f"uplink/{number}"))
            log.uplink = self._up.counts
        log.repeated_bytes = -self.computer.repeated_bytes
        self._los_ms = planned.contact.los_ms
        self.tell_station(link_events.ContactStarted(contact=planned.contact))
        self.tell_computer(link_events.ContactStarted(contact=planned.contact))

    def _end_contact(self) -> None:
        if self._log is not None:
            self._log.repeated_bytes += self.computer.repeated_bytes
        self._down = self._up = self._log = None
        self.tell_computer(link_events.ContactEnded())
        self.tell_station(link_events.ContactEnded())

    def cut_contact(self) -> None:
        """Loss of signal before its time: what is still on its way arrives, nothing more is sent or heard on board."""
        if self._down is not None:
            self._end_contact()

    # ---- the link

    def _transmit_down(self, frame: bytes, *, robust: bool) -> None:
        if self._down is None or self._log is None:
            return
        self._log.sent_bytes += len(frame)
        self._log.frames += 1
        self._link_bytes += len(frame)
        self._note("down", frame)
        free_ms = self._down.departure_ms(len(frame), self.now_ms, robust)
        for arrival in self._down.transmit(frame, self.now_ms, robust):
            self.schedule(arrival.at_ms, lambda a=arrival: self._arrive_down(a))  # type: ignore[misc]
        self._wake("down", free_ms)

    def _transmit_up(self, frame: bytes) -> None:
        if self._up is None or self._log is None:
            return
        self._log.uplink_bytes += len(frame)
        self._note("up", frame)
        free_ms = self._up.departure_ms(len(frame), self.now_ms)
        for arrival in self._up.transmit(frame, self.now_ms):
            self.schedule(arrival.at_ms, lambda a=arrival: self._arrive_up(a))  # type: ignore[misc]
        self._wake("up", free_ms)

    def _arrive_down(self, arrival: Arrival) -> None:
        frame = self.as_received(arrival.frame)
        self._note("heard", frame)
        self.tell_station(link_events.FrameHeard(frame=frame))

    def _arrive_up(self, arrival: Arrival) -> None:
        if self._up is not None:
            self._note("heard on board", arrival.frame)
            self.tell_computer(link_events.FrameHeard(frame=arrival.frame))
            self.as_heard_on_board(arrival.frame)

    def _wake(self, direction: str, at_ms: int | None) -> None:
        """Offer a transmitter at a time, in place of any offer made before; never before it is free, nor after the contact."""
        channel = self._down if direction == "down" else self._up
        if channel is None or at_ms is None or at_ms >= self._los_ms:
            return
        self._wake_token[direction] += 1
        token = self._wake_token[direction]
        self.schedule(max(at_ms, channel.busy_until_ms), lambda: self._offer(direction, token))

    def _offer(self, direction: str, token: int) -> None:
        channel = self._down if direction == "down" else self._up
        if channel is None or token != self._wake_token[direction]:
            return
        frame_bytes = (
            self.computer.profile.frame_bytes if direction == "down" else self.station.profile.uplink_frame_bytes
        )
        if channel.departure_ms(frame_bytes, self.now_ms, robust=True) > self._los_ms:  # the slower of the two
            return
        if direction == "down":
            self.tell_computer(link_events.TransmitterReady())
        else:
            self.tell_station(link_events.TransmitterReady())

    # ---- the record

    def _observe(self, what: str, addresses: tuple[LayerAddress, ...]) -> None:
        self.observations.append(
            Observation(at_ms=self.now_ms, what=what, addresses=addresses, link_bytes=self._link_bytes)
        )
        self._note(what, b"".join(address.pack() for address in addresses))

    def _note(self, what: str, data: bytes) -> None:
        self._hash.update(f"{self.now_ms} {what} {len(data)} ".encode() + data)
