"""One end of the link in real time: contacts begin and end by the clock, frames come and go through a port.

What the world of the simulation does for an end in virtual time (`mission.simulation.World`), this does by the clock: it tells the
core of contacts, of frames heard and of room in the transmitter, and paces what the core sends at the contact's rate. A call
that comes late is made up for, so that a busy computer does not cost capacity; nothing leaves earlier than the rate allows,
and nothing after loss of signal.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from downlink.contact import Contact
from downlink.link_events import ContactEnded, ContactStarted, FrameHeard, TransmitFrame, TransmitterReady, WakeAt
from downlink.link_profile import LinkProfile
from mission.contacts import PlannedContact
from mission.live.frame_port import FramePort
from mission.live.transmitter_pace import Direction, TransmitterPace

LONGEST_REST_MS: Final = 1000
"""`turn` wants to be called again after this at the latest: ports open again, clocks step."""
MADE_UP_MS: Final = 200
"""So much lateness of calls is made up for by frames sent at once."""
FRAMES_PER_TURN: Final = 64
"""So many frames leave in one turn at most."""
PASSES_KEPT: Final = 50


class LinkCore(Protocol):
    """An end of the link: `onboard.computer.OnboardComputer`, `ground.station.GroundStation`."""

    @property
    def profile(self) -> LinkProfile:
        """Lengths of frames."""

    def handle(self, event: Any, now_ms: int) -> Sequence[Any]:
        """React to one event with actions."""


class EventRecorder(Protocol):
    """Writes down what a core was told and what it answered (`mission.event_log`)."""

    def event(self, event: Any, now_ms: int) -> None:
        """Called before the core is told."""

    def actions(self, actions: Sequence[Any]) -> None:
        """Called when it has answered."""


class Windows(Protocol):
    """When there is contact (`mission.live.contact_windows`)."""

    def at(self, now_ms: int) -> PlannedContact | None:
        """The contact that goes on."""

    def next_after(self, now_ms: int) -> PlannedContact | None:
        """The first that begins later."""


class Clock(Protocol):
    """What time it is (`mission.live.live_clock`)."""

    def now_ms(self) -> int:
        """Unix milliseconds."""


@dataclass(slots=True, kw_only=True)
class PassCounts:
    """What this end sent and heard in one contact."""

    contact: Contact
    """Which."""
    sent_frames: int = 0
    """Frames that left."""
    sent_bytes: int = 0
    """Their bytes."""
    refused_frames: int = 0
    """Frames that the port could not send."""
    heard_frames: int = 0
    """Frames that came in."""
    heard_bytes: int = 0
    """Their bytes."""


class LinkDriver:
    """One end in real time. Not for several threads: whoever owns it calls `turn` when it says so and when the port is readable.

    What the core raises comes out of `tell`, `turn` and `replace_core`. From then on the core is told nothing; contacts and the port go on,
    frames heard are lost, and `tell` raises the same error again, until `replace_core` brings a core that works.
    """

    def __init__(
        self,
        core: LinkCore,
        port: FramePort,
        *,
        direction: Direction,
        windows: Windows,
        clock: Clock,
        recorder: EventRecorder | None = None,
        on_action: Callable[[Any, int], None] = lambda action, now_ms: None,
    ) -> None:
        """`direction` says which way this end sends. `on_action` gets what the core answers beside frames and wake-up times."""
        self.core = core
        self.passes: deque[PassCounts] = deque(maxlen=PASSES_KEPT)
        """The latest contacts, oldest first; the last one is going on where `contact` is not None."""
        self.sent_frames = self.sent_bytes = self.refused_frames = 0
        self.heard_frames = self.heard_bytes = 0
        self.unheard_frames = 0
        """Frames that came in while nobody listened: on board without contact, and at both ends while the core is broken."""
        self._port = port
        self._direction: Direction = direction
        self._windows = windows
        self._clock = clock
        self._recorder = recorder
        self._on_action = on_action
        self._planned: PlannedContact | None = None
        self._pace: TransmitterPace | None = None
        self._offer_ms: int | None = None
        """When the transmitter is to be offered."""
        self._asked_ms = self._edge_ms = 0
        """Between these two times contacts stay as they are."""
        self._latest_ms = 0
        self._waiting: deque[bytes] = deque()
        """Frames heard that the core has not been told of."""
        self._begun = False
        self._failure: BaseException | None = None

    @property
    def contact(self) -> Contact | None:
        """The contact that goes on, None without one."""
        return None if self._planned is None else self._planned.contact

    @property
    def core_failed(self) -> bool:
        """Whether the core has raised and must be replaced."""
        return self._failure is not None

    @property
    def failure(self) -> BaseException | None:
        """What it has raised."""
        return self._failure

    def tell(self, event: Any) -> None:
        """Gives the core an event and does what it answers. Call `turn` afterwards: there may be something to send."""
        if self._failure is not None:
            raise self._failure
        now_ms = self._now_ms()
        self._tell(event, now_ms, offer_from_ms=now_ms)

    def turn(self) -> int:
        """Does all that is due; gives the Unix ms at which it wants to be called again, if the port is not readable before."""
        self._follow_contacts(self._now_ms())
        self._waiting.extend(self._port.receive())
        while self._waiting:
            self._hear(self._waiting.popleft(), self._now_ms())
        for _ in range(FRAMES_PER_TURN):
            if not self._offer(self._now_ms()):
                break
        now_ms = self._now_ms()
        rests_ms = [now_ms + LONGEST_REST_MS, self._edge_ms]
        if self._offer_ms is not None and self._failure is None:
            rests_ms.append(self._offer_ms)
        return max(now_ms, min(rests_ms))

    def replace_core(self, core: LinkCore) -> None:
        """The end has started again: this core is told whether there is contact, and takes over."""
        now_ms = self._now_ms()
        self.core = core
        self._failure = None
        self._begun = True
        self._edge_ms = now_ms  # contacts are looked up again: the clock may have gone back
        self._follow_contacts(now_ms, told=False)
        contact = self.contact
        self._tell(ContactStarted(contact=contact) if contact else ContactEnded(), now_ms, offer_from_ms=now_ms)

    def _now_ms(self) -> int:
        now_ms = self._clock.now_ms()
        if now_ms < self._latest_ms and self._planned is not None:
            # The clock has gone back: until when the transmitter is busy was said in another time.
            self._pace = self._new_pace(self._planned.contact)
            self._wake(now_ms)
        self._latest_ms = now_ms
        return now_ms

    # ---- contacts

    def _follow_contacts(self, now_ms: int, *, told: bool = True) -> None:
        """Tells of the contact that has ended and of the one that has begun; nobody where not `told` or the core is broken."""
        if self._asked_ms <= now_ms < self._edge_ms:
            return
        going_on = self._windows.at(now_ms)
        self._asked_ms = now_ms
        self._edge_ms = self._next_edge_ms(going_on, now_ms)
        if self._begun and _same(going_on, self._planned):
            return
        ended = self._planned is not None or (going_on is None and not self._begun)
        self._planned, self._pace, self._offer_ms, self._begun = None, None, None, True
        if ended and told:
            self._tell_if_working(ContactEnded(), now_ms)
        if going_on is None:
            return
        self._planned = going_on
        self._pace = self._new_pace(going_on.contact)
        self.passes.append(PassCounts(contact=going_on.contact))
        if told:
            self._tell_if_working(ContactStarted(contact=going_on.contact), now_ms)

    def _new_pace(self, contact: Contact) -> TransmitterPace | None:
        has_link = self._direction == "down" or contact.uplink_bps > 0
        return TransmitterPace(contact, self._direction) if has_link else None

    def _next_edge_ms(self, going_on: PlannedContact | None, now_ms: int) -> int:
        if going_on is not None:
            return going_on.contact.los_ms
        coming = self._windows.next_after(now_ms)
        return now_ms + LONGEST_REST_MS if coming is None else coming.contact.aos_ms

    # ---- the core

    def _tell_if_working(self, event: Any, now_ms: int) -> None:
        if self._failure is None:
            self._tell(event, now_ms, offer_from_ms=now_ms)

    def _tell(self, event: Any, now_ms: int, *, offer_from_ms: int) -> None:
        """`offer_from_ms` is when the transmitter should have been offered, were all calls in time."""
        for action in self._handle(event, now_ms):
            match action:
                case TransmitFrame():
                    self._transmit(action, offer_from_ms)
                case WakeAt():
                    self._wake(action.at_ms)
                case _:
                    self._on_action(action, now_ms)
        if not isinstance(event, TransmitterReady | ContactEnded):
            self._wake(now_ms)

    def _handle(self, event: Any, now_ms: int) -> Sequence[Any]:
        if self._recorder is not None:
            self._recorder.event(event, now_ms)
        try:
            actions = self.core.handle(event, now_ms)
        except BaseException as failure:
            self._failure = failure
            self._offer_ms = None
            raise
        if self._recorder is not None:
            self._recorder.actions(actions)
        return actions

    # ---- the link

    def _hear(self, frame: bytes, now_ms: int) -> None:
        deaf = self._direction == "down" and self._planned is None
        if deaf or self._failure is not None:
            self.unheard_frames += 1
            return
        self.heard_frames += 1
        self.heard_bytes += len(frame)
        if self._planned is not None:
            self.passes[-1].heard_frames += 1
            self.passes[-1].heard_bytes += len(frame)
        self._tell(FrameHeard(frame=frame), now_ms, offer_from_ms=now_ms)

    def _wake(self, at_ms: int | None) -> None:
        """Offer the transmitter at a time, in place of any before; never before it is free, nor after the contact."""
        if self._pace is None or self._planned is None or at_ms is None or at_ms >= self._planned.contact.los_ms:
            return
        self._offer_ms = max(at_ms, self._pace.busy_until_ms)

    def _offer(self, now_ms: int) -> bool:
        """Offers the transmitter where it is due; False where it is not."""
        if self._offer_ms is None or self._offer_ms > now_ms or self._failure is not None:
            return False
        due_ms, self._offer_ms = max(self._offer_ms, now_ms - MADE_UP_MS), None
        if self._pace is None or self._planned is None:
            return False
        profile = self.core.profile
        frame_bytes = profile.frame_bytes if self._direction == "down" else profile.uplink_frame_bytes
        # Whatever is made up for, and at the slower of the two rates: the last bit leaves before loss of signal.
        if self._pace.departure_ms(frame_bytes, now_ms, robust=True) > self._planned.contact.los_ms:
            return False
        self._tell(TransmitterReady(), now_ms, offer_from_ms=due_ms)
        return True

    def _transmit(self, action: TransmitFrame, from_ms: int) -> None:
        if self._pace is None or self._planned is None:
            return
        frame = action.frame
        self._pace.occupy(len(frame), from_ms, robust=action.robust)
        self._wake(self._pace.busy_until_ms)
        counts = self.passes[-1]
        in_time = self._clock.now_ms() < self._planned.contact.los_ms  # a core may think for long
        if in_time and self._port.send(frame):
            self.sent_frames += 1
            self.sent_bytes += len(frame)
            counts.sent_frames += 1
            counts.sent_bytes += len(frame)
        else:
            self.refused_frames += 1
            counts.refused_frames += 1


def _same(one: PlannedContact | None, other: PlannedContact | None) -> bool:
    """Whether both are the same contact, or both none."""
    if one is None or other is None:
        return one is other
    return (one.contact.contact_id, one.contact.aos_ms) == (other.contact.contact_id, other.contact.aos_ms)
