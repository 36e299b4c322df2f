"""One end of the link by a clock that the test holds; the simulation's world is the oracle where there is one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.errors import JournalError
from downlink.link_events import ContactEnded, ContactStarted, FrameHeard, TransmitFrame, TransmitterReady, WakeAt
from downlink.link_profile import LinkProfile
from mission.contacts import plan_contacts
from mission.dice import Dice
from mission.link_ends import ground_station
from mission.live.contact_windows import ContactWindows
from mission.live.link_driver import FRAMES_PER_TURN, LONGEST_REST_MS, MADE_UP_MS, PASSES_KEPT, LinkDriver
from mission.onboard_end import onboard_computer
from mission.scenario import Scenario
from mission.seeded_captures import Capture, seeded_captures
from mission.simulation import World
from mission.streams import Streams
from onboard.link_events import LayersCaptured
from tests.mission.live.live_doubles import FakeClock, FakeCore, FakePort, GreedyCore

PERIOD_MS, DURATION_MS = 20_000, 14_000
AOS_MS = 1_795_374_000_000
LOS_MS = AOS_MS + DURATION_MS
RATE_BPS = 1_000_000
PROFILE = LinkProfile(frame_bytes=250, uplink_frame_bytes=100)
FRAME_MS = 2
"""250 bytes at that rate."""


def windows(**changes: Any) -> ContactWindows:
    contacts = {
        "source": "repeating",
        "period_s": PERIOD_MS / 1000,
        "duration_s": DURATION_MS / 1000,
        "downlink_bps": RATE_BPS,
        "uplink_bps": 64_000,
    }
    return ContactWindows(Scenario.model_validate({"orbit": {"altitude_km": 500.0}, "contacts": contacts | changes}))


class Bench:
    """A driver, its clock, its port and its core."""

    def __init__(self, core: Any = None, *, now_ms: int = AOS_MS - 1000, **given_settings: Any) -> None:
        self.clock = FakeClock(now_ms)
        self.port = FakePort(self.clock)
        self.core = core or FakeCore(PROFILE)
        settings: dict[str, Any] = {"direction": "down", "windows": windows()} | given_settings
        self.driver = LinkDriver(self.core, self.port, clock=self.clock, **settings)

    def run_until(self, until_ms: int, late_ms: Callable[[], int] = lambda: 0) -> None:
        """Turns when the driver wants it, or later."""
        while (wanted_ms := self.driver.turn()) < until_ms:
            assert self.clock.time_ms <= wanted_ms <= self.clock.time_ms + LONGEST_REST_MS
            self.clock.time_ms = max(self.clock.time_ms, min(wanted_ms + late_ms(), until_ms))
        self.clock.time_ms = until_ms


# ---- contacts


def test_edges_of_contacts_are_told_on_time() -> None:
    bench = Bench()
    bench.run_until(AOS_MS + PERIOD_MS + 1)
    assert [
        (at_ms - AOS_MS, type(event)) for at_ms, event in bench.core.told if type(event) is not TransmitterReady
    ] == [
        (-1000, ContactEnded),
        (0, ContactStarted),
        (DURATION_MS, ContactEnded),
        (PERIOD_MS, ContactStarted),
    ]
    assert bench.driver.contact is not None and bench.driver.contact.aos_ms == AOS_MS + PERIOD_MS
    assert [one.contact.aos_ms for one in bench.driver.passes] == [AOS_MS, AOS_MS + PERIOD_MS]


def test_an_end_that_starts_within_a_contact_is_told_so_at_once() -> None:
    bench = Bench(now_ms=AOS_MS + 5000)
    bench.driver.turn()
    assert bench.core.names == ["ContactStarted"]


def test_contacts_that_touch_end_and_begin() -> None:
    bench = Bench(now_ms=AOS_MS, windows=windows(duration_s=PERIOD_MS / 1000))
    bench.run_until(AOS_MS + PERIOD_MS + 1)
    assert bench.core.names == ["ContactStarted", "ContactEnded", "ContactStarted"]


@given(st.lists(st.integers(0, 3 * PERIOD_MS), max_size=40), st.booleans())
@settings(max_examples=60)
def test_every_edge_is_told_once_whatever_the_clock_does(jumps_ms: list[int], within: bool) -> None:
    bench = Bench(now_ms=AOS_MS + (10 if within else -10))
    for jump_ms in jumps_ms:
        bench.driver.turn()
        in_contact = bench.driver.contact is not None
        assert in_contact == ((bench.clock.time_ms - AOS_MS) % PERIOD_MS < DURATION_MS)
        bench.clock.time_ms += jump_ms
    names = bench.core.names
    assert not names or names == (["ContactStarted", "ContactEnded"] * 50)[names[0] == "ContactEnded" :][: len(names)]
    for at_ms, event in bench.core.told:
        if isinstance(event, ContactStarted):
            assert event.contact.aos_ms <= at_ms < event.contact.los_ms


def test_only_the_latest_passes_are_kept() -> None:
    bench = Bench()
    for number in range(PASSES_KEPT + 7):
        for moment in (0, DURATION_MS):
            bench.clock.time_ms = AOS_MS + number * PERIOD_MS + moment
            bench.driver.turn()
    assert len(bench.driver.passes) == PASSES_KEPT
    assert bench.driver.passes[0].contact.aos_ms == AOS_MS + 7 * PERIOD_MS


# ---- pacing


def test_frames_leave_at_the_rate_and_fill_the_contact() -> None:
    bench = Bench(GreedyCore(PROFILE))
    bench.run_until(LOS_MS + 1000)
    times = [at_ms for at_ms, _ in bench.port.sent]
    assert times == list(range(AOS_MS, LOS_MS, FRAME_MS))
    assert bench.driver.sent_frames == DURATION_MS // FRAME_MS
    assert bench.driver.sent_bytes == bench.driver.passes[0].sent_bytes == DURATION_MS * RATE_BPS // 8000


@given(st.lists(st.integers(0, 400), min_size=1), st.integers(200, 900_000), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_late_calls_are_made_up_for_and_never_exceed_the_rate(
    lateness_ms: list[int], rate_bps: int, robust_each: int
) -> None:
    core = GreedyCore(PROFILE, robust_each=robust_each)
    bench = Bench(core, windows=windows(downlink_bps=rate_bps, duration_s=3.0))
    turn = iter(lateness_ms * 100_000)
    bench.run_until(AOS_MS + 4000, late_ms=lambda: next(turn))
    los_ms = AOS_MS + 3000
    bits = 0
    for at_ms, frame in bench.port.sent:
        assert bits <= rate_bps * (at_ms - AOS_MS) / 1000 + rate_bps / 1000, "left before the frames before it had"
        bits += 8 * len(frame)
        assert at_ms + 8000 * len(frame) / rate_bps <= los_ms
    frame_ms = 8000 * 250 / rate_bps
    latest_ms = max(lateness_ms)
    if latest_ms <= MADE_UP_MS // 2 and latest_ms + frame_ms < 500:
        lost_ms = 2 * latest_ms + 2 * frame_ms + 2  # at the beginning and at the end
        assert bits >= rate_bps * (3000 - lost_ms) / 1000


def test_a_turn_is_bounded() -> None:
    bench = Bench(GreedyCore(PROFILE), now_ms=AOS_MS, windows=windows(downlink_bps=100_000_000))
    bench.driver.turn()
    bench.clock.time_ms += 150
    assert bench.driver.turn() == bench.clock.time_ms
    assert len(bench.port.sent) <= 2 * FRAMES_PER_TURN


def test_a_core_that_thinks_past_the_end_sends_nothing_after_it() -> None:
    core = GreedyCore(PROFILE)
    bench = Bench(core, now_ms=LOS_MS - 10)
    quick = core.answer

    def thinking(event: Any, now_ms: int) -> Sequence[Any]:
        if isinstance(event, TransmitterReady):
            bench.clock.time_ms += 4
        return quick(event, now_ms)

    core.answer = thinking
    bench.run_until(LOS_MS + 100)
    assert bench.port.sent and all(at_ms < LOS_MS for at_ms, _ in bench.port.sent)
    assert core.names[-1] == "ContactEnded"


def test_a_port_that_refuses_takes_its_time_all_the_same() -> None:
    bench = Bench(GreedyCore(PROFILE), now_ms=AOS_MS)
    bench.port.accepts = False
    bench.run_until(AOS_MS + 100)
    assert bench.driver.sent_frames == 0
    assert bench.driver.refused_frames == bench.driver.passes[0].refused_frames == 100 // FRAME_MS
    assert bench.core.told[-1][0] == AOS_MS + 98


def test_wake_up_times_are_kept_and_a_frame_heard_comes_before_them() -> None:
    core = FakeCore(PROFILE)
    core.answer = lambda event, now_ms: [WakeAt(at_ms=AOS_MS + 700)] if isinstance(event, TransmitterReady) else []
    bench = Bench(core, now_ms=AOS_MS)
    bench.driver.turn()
    assert bench.driver.turn() == AOS_MS + 700
    bench.clock.time_ms += 300
    bench.port.inbox = [b"\x12" * 100]
    bench.driver.turn()
    assert [(at_ms - AOS_MS, type(event)) for at_ms, event in core.told[-2:]] == [
        (300, FrameHeard),
        (300, TransmitterReady),
    ]


def test_a_station_that_only_listens_is_never_offered_a_transmitter() -> None:
    bench = Bench(GreedyCore(PROFILE), direction="up", windows=windows(uplink_bps=0))
    bench.port.inbox = [b"\x01" * 250]
    bench.run_until(LOS_MS + 10)
    assert not bench.port.sent and not any(isinstance(event, TransmitterReady) for _, event in bench.core.told)


def test_the_station_sends_at_the_rate_of_the_uplink() -> None:
    core = GreedyCore(PROFILE)
    core.answer = lambda event, now_ms: [TransmitFrame(frame=bytes(100))] if isinstance(event, TransmitterReady) else []
    bench = Bench(core, direction="up", now_ms=AOS_MS)
    bench.run_until(LOS_MS)
    assert len(bench.port.sent) == DURATION_MS * 64_000 // 8000 // 100


# ---- hearing


def test_nobody_listens_on_board_without_contact() -> None:
    bench = Bench()
    bench.port.inbox = [b"\x01" * 100]
    bench.driver.turn()
    assert bench.driver.unheard_frames == 1 and "FrameHeard" not in bench.core.names


def test_the_station_hears_what_was_on_its_way_at_the_end() -> None:
    bench = Bench(direction="up", now_ms=LOS_MS - 5)
    bench.driver.turn()
    bench.clock.time_ms = LOS_MS + 20
    bench.port.inbox = [b"\x01" * 250]
    bench.driver.turn()
    assert bench.core.names[-2:] == ["ContactEnded", "FrameHeard"]
    assert bench.driver.heard_frames == 1 and bench.driver.heard_bytes == 250
    assert bench.driver.passes[-1].heard_frames == 0


# ---- a core that fails


def failing(exception: Exception, kind: type) -> Callable[[Any, int], Sequence[Any]]:
    def answer(event: Any, now_ms: int) -> Sequence[Any]:
        if isinstance(event, kind):
            raise exception
        return []

    return answer


@pytest.mark.parametrize("kind", [ContactStarted, ContactEnded, FrameHeard, TransmitterReady])
def test_what_the_core_raises_comes_out_and_a_new_core_goes_on(kind: type) -> None:
    full = JournalError("no room")
    core = FakeCore(PROFILE)
    core.answer = failing(full, kind)
    bench = Bench(core, now_ms=AOS_MS + 100)
    with pytest.raises(JournalError):
        bench.driver.turn()
        bench.port.inbox = [b"\x01" * 100, b"\x02" * 100]
        bench.driver.turn()
        bench.clock.time_ms = LOS_MS
        bench.driver.turn()
    told = len(core.told)
    assert bench.driver.core_failed and bench.driver.failure is full
    with pytest.raises(JournalError):
        bench.driver.tell(LayersCaptured(layers=()))
    bench.port.inbox = [b"\x03" * 100]
    bench.driver.turn()  # goes on without it
    assert len(core.told) == told and not bench.port.inbox

    successor = GreedyCore(PROFILE)
    bench.clock.time_ms = AOS_MS + PERIOD_MS + 500
    bench.driver.replace_core(successor)
    assert successor.names == ["ContactStarted"] and not bench.driver.core_failed
    bench.run_until(bench.clock.time_ms + 100)
    assert successor.names == ["ContactStarted"]
    assert len(bench.port.sent) == 100 // FRAME_MS
    assert bench.driver.unheard_frames == (2 if kind is FrameHeard else 1)


def test_a_core_replaced_in_mid_contact_goes_on_where_the_transmitter_is() -> None:
    bench = Bench(GreedyCore(PROFILE), now_ms=AOS_MS)
    bench.run_until(AOS_MS + 101)
    successor = GreedyCore(PROFILE)
    bench.driver.replace_core(successor)
    bench.run_until(LOS_MS + 10)
    assert successor.names == ["ContactStarted", "ContactEnded"]
    assert [at_ms for at_ms, _ in bench.port.sent] == list(range(AOS_MS, LOS_MS, FRAME_MS))
    assert len(bench.driver.passes) == 1


def test_a_core_replaced_without_contact_is_told_that() -> None:
    bench = Bench()
    bench.driver.turn()
    successor = FakeCore(PROFILE)
    bench.driver.replace_core(successor)
    assert successor.names == ["ContactEnded"]
    bench.run_until(AOS_MS + 10)
    assert successor.names == ["ContactEnded", "ContactStarted"]


def test_a_core_that_fails_when_it_takes_over_can_be_replaced_again() -> None:
    bench = Bench(now_ms=AOS_MS + 10)
    bench.driver.turn()
    broken = FakeCore(PROFILE)
    broken.answer = failing(JournalError("still no room"), ContactStarted)
    with pytest.raises(JournalError, match="still"):
        bench.driver.replace_core(broken)
    assert bench.driver.core_failed
    successor = GreedyCore(PROFILE)
    bench.driver.replace_core(successor)
    bench.driver.turn()
    assert successor.names == ["ContactStarted"] and bench.port.sent


# ---- a clock that goes back


@pytest.mark.parametrize("back_ms", [3000, DURATION_MS + 1000, PERIOD_MS + 1, 5 * PERIOD_MS])
def test_a_clock_that_has_gone_back_stops_nothing(back_ms: int) -> None:
    bench = Bench(GreedyCore(PROFILE), now_ms=AOS_MS)
    bench.run_until(AOS_MS + 5001)
    sent = len(bench.port.sent)
    bench.clock.time_ms -= back_ms
    successor = GreedyCore(PROFILE)
    bench.driver.replace_core(successor)
    in_contact = (bench.clock.time_ms - AOS_MS) % PERIOD_MS < DURATION_MS
    assert successor.names == ["ContactStarted" if in_contact else "ContactEnded"]
    began_ms = bench.clock.time_ms
    bench.run_until(began_ms + 6000)
    in_contact_ms = sum((at_ms - AOS_MS) % PERIOD_MS < DURATION_MS for at_ms in range(began_ms, began_ms + 6000))
    assert len(bench.port.sent) - sent >= in_contact_ms // FRAME_MS - 2


# ---- what else is told


def test_other_actions_go_to_the_service_and_everything_to_the_recorder() -> None:
    heard: list[tuple[str, Any]] = []

    class Recorder:
        def event(self, event: Any, now_ms: int) -> None:
            heard.append(("event", (type(event).__name__, now_ms - AOS_MS)))

        def actions(self, actions: Sequence[Any]) -> None:
            heard.append(("actions", list(actions)))

    core = FakeCore(PROFILE)
    core.answer = lambda event, now_ms: ["delivered"] if isinstance(event, LayersCaptured) else [WakeAt(at_ms=None)]
    bench = Bench(
        core,
        now_ms=AOS_MS + 7,
        recorder=Recorder(),
        on_action=lambda action, now_ms: heard.append(("done", (action, now_ms - AOS_MS))),
    )
    bench.driver.turn()
    bench.driver.tell(LayersCaptured(layers=()))
    assert heard == [
        ("event", ("ContactStarted", 7)),
        ("actions", [WakeAt(at_ms=None)]),
        ("event", ("TransmitterReady", 7)),
        ("actions", [WakeAt(at_ms=None)]),
        ("event", ("LayersCaptured", 7)),
        ("actions", ["delivered"]),
        ("done", ("delivered", 7)),
    ]


# ---- the simulation as oracle


@dataclass
class Tape:
    """What one end of the simulated link sent, and what it heard."""

    sent: list[tuple[int, bytes]] = field(default_factory=list)
    heard: list[tuple[int, bytes, bool]] = field(default_factory=list)
    """When, what, and whether the transmitter had been offered at that moment before."""
    offered_ms: int = 0

    def note(self, event: Any, now_ms: int) -> None:
        if isinstance(event, TransmitterReady):
            self.offered_ms = now_ms
        elif isinstance(event, FrameHeard):
            self.heard.append((now_ms, event.frame, self.offered_ms == now_ms))


class TapedWorld(World):
    """A world that writes down when each frame leaves and when each is heard."""

    def __init__(self, *args: Any) -> None:
        self.air, self.earth = Tape(), Tape()
        super().__init__(*args)

    def tell_computer(self, event: Any) -> None:
        self.air.note(event, self.now_ms)
        super().tell_computer(event)

    def tell_station(self, event: Any) -> None:
        self.earth.note(event, self.now_ms)
        super().tell_station(event)

    def _transmit_down(self, frame: bytes, *, robust: bool) -> None:
        if self.contact is not None:
            self.air.sent.append((self.now_ms, frame))
        super()._transmit_down(frame, robust=robust)

    def _transmit_up(self, frame: bytes) -> None:
        if self.contact is not None:
            self.earth.sent.append((self.now_ms, frame))
        super()._transmit_up(frame)


def driven(bench: Bench, captures: Sequence[Capture], tape: Tape, until_ms: int) -> None:
    """Runs the driver; it is told of captures, and hears what the simulated end heard, in the same order."""
    events: list[tuple[int, bool, Capture | bytes]] = [(capture.at_ms, False, capture) for capture in captures]
    events += [(at_ms, after_offer, frame) for at_ms, frame, after_offer in tape.heard]
    for at_ms, after_offer, what in sorted(events, key=lambda event: event[0]):
        if at_ms > bench.clock.time_ms:
            bench.run_until(at_ms)
        if after_offer:
            bench.driver.turn()
        if isinstance(what, Capture):
            bench.driver.tell(LayersCaptured(layers=what.layers))
        else:
            bench.port.inbox.append(what)
        bench.driver.turn()
    bench.run_until(until_ms)


@pytest.mark.parametrize("seed", range(6))
def test_both_ends_send_the_frames_of_the_simulation_at_the_same_times(seed: int) -> None:
    """Even seeds have an uplink, odd ones do not; frames are lost, damaged, doubled and overtake each other."""
    scenario = Scenario.model_validate(
        {
            "orbit": {"altitude_km": 500.0},
            "contacts": {
                "source": "repeating",
                "period_s": 60.0,
                "duration_s": 25.0,
                "offset_s": 5.0,
                "horizon_h": 0.1,
                "downlink_bps": 557_500,  # a frame takes 16 ms exactly: the world waits for whole milliseconds
                "uplink_bps": 0 if seed % 2 else 32_000,
                "delay_ms": 31,
            },
            "channel": {
                "frame_loss": 0.05,
                "bit_error_rate": 1e-6,
                "duplicate": 0.01,
                "reorder": 0.02,
                "uplink_loss": 0.1,
            },
        }
    )
    start_ms = scenario.start_ms
    live = ContactWindows(scenario)
    planned = [
        replace(one, contact=live_one.contact)  # numbered as live contacts are
        for one, live_one in zip(plan_contacts(scenario, raw_bytes=1), live.coming(start_ms, 6), strict=True)
    ]
    profile = LinkProfile()
    captures = seeded_captures(
        Dice(np.random.default_rng(seed)), times_ms=(start_ms + 777, start_ms + 40_011), total_bytes=400_000
    )

    world = TapedWorld(onboard_computer(profile, capacity_bytes=10**8), ground_station(profile), planned, Streams(seed))
    for capture in captures:
        told = LayersCaptured(layers=capture.layers)
        world.schedule(capture.at_ms, lambda told=told: world.tell_computer(told))  # type: ignore[misc]
    world.run()
    assert len(world.air.sent) > 300 and bool(world.earth.sent) == (seed % 2 == 0)

    air = Bench(onboard_computer(profile, capacity_bytes=10**8), now_ms=start_ms, direction="down", windows=live)
    driven(air, captures, world.air, scenario.horizon_ms)
    assert air.port.sent == world.air.sent
    earth = Bench(ground_station(profile), now_ms=start_ms, direction="up", windows=live)
    driven(earth, (), world.earth, scenario.horizon_ms)
    assert earth.port.sent == world.earth.sent
