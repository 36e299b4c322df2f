"""Both ends of the link in real time, in one thread over real ports: everything captured comes down, and both ends know it."""

import os
import pty
import select
import threading
import time
import tty
from typing import Any

import numpy as np

from downlink.frame_reader import FrameVerdict
from downlink.link_profile import LinkProfile
from downlink.products import LayerAddress
from ground.link_events import LayersArrived
from ground.station import GroundStation
from mission.dice import Dice
from mission.link_ends import ground_station
from mission.link_setup import EndJournals, LinkKeys
from mission.live.contact_windows import ContactWindows
from mission.live.frame_port import FramePort, open_frame_port
from mission.live.link_driver import LinkDriver
from mission.live.live_clock import LiveClock
from mission.live.tcp_frame_port import TcpListener
from mission.live.udp_frame_port import UdpFramePort
from mission.onboard_end import onboard_computer
from mission.scenario import Scenario
from mission.seeded_captures import seeded_captures
from onboard.computer import OnboardComputer
from onboard.link_events import LayersCaptured, LayersDelivered

PATIENCE_S = 20.0
PROFILE = LinkProfile(express_repeat_ms=100, ack_timeout_ms=100, nak_timeout_ms=50)
"""Short timers, for contacts of half a second."""
KEYS = LinkKeys(reboot_lockout_ms=100)
"""Replay protection that lets a satellite hear the ground soon after a reboot."""
SCENARIO = Scenario.model_validate(
    {
        "orbit": {"altitude_km": 500.0},
        "contacts": {
            "source": "repeating",
            "period_s": 0.6,
            "duration_s": 0.5,
            "downlink_bps": 8_000_000,
            "uplink_bps": 1_000_000,
            "delay_ms": 1,
        },
    }
)


class Link:
    """Two ends, each with its driver."""

    def __init__(self, air: FramePort, earth: FramePort) -> None:
        clock, windows = LiveClock(), ContactWindows(SCENARIO)
        self.delivered: set[LayerAddress] = set()
        self.arrived: set[LayerAddress] = set()
        self.computer_journals, self.station_journals = EndJournals(), EndJournals()
        self.clock = clock
        self.computer = self.new_computer()
        self.station = self.new_station()
        self.air = LinkDriver(self.computer, air, direction="down", windows=windows, clock=clock, on_action=self.note)
        self.earth = LinkDriver(self.station, earth, direction="up", windows=windows, clock=clock, on_action=self.note)
        self.ports = (air, earth)

    def new_computer(self) -> OnboardComputer:
        return onboard_computer(PROFILE, capacity_bytes=10**8, journals=self.computer_journals, keys=KEYS)

    def new_station(self) -> GroundStation:
        return ground_station(PROFILE, journals=self.station_journals, now_ms=self.clock.now_ms())

    def note(self, action: Any, now_ms: int) -> None:
        match action:
            case LayersDelivered():
                self.delivered.update(action.addresses)
            case LayersArrived():
                self.arrived.update(action.addresses)

    def capture(self, total_bytes: int, seed: int = 5) -> set[LayerAddress]:
        addresses: set[LayerAddress] = set()
        for capture in seeded_captures(Dice(np.random.default_rng(seed)), times_ms=(0, 1), total_bytes=total_bytes):
            self.air.tell(LayersCaptured(layers=capture.layers))
            addresses.update(valued.layer.address for valued in capture.layers)
        return addresses

    def run(self, until: Any) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while not until():
            assert time.monotonic() < give_up_s, (list(self.air.passes), [port.counts for port in self.ports])
            wanted_ms = min(self.air.turn(), self.earth.turn())
            rest_s = (wanted_ms - self.clock.now_ms()) / 1000
            if rest_s > 0:
                select.select(self.ports, [], [], rest_s)

    def close(self) -> None:
        for port in self.ports:
            port.close()


def udp_pair() -> tuple[FramePort, FramePort]:
    """Two ports of which each knows the other's address."""
    down, up = PROFILE.frame_bytes, PROFILE.uplink_frame_bytes
    earth = open_frame_port("udp://127.0.0.1:0", frame_bytes_in=down, frame_bytes_out=up)
    assert isinstance(earth, UdpFramePort)
    peer = f"127.0.0.1:{earth.address[1]}"
    return open_frame_port(f"udp://127.0.0.1:0?peer={peer}", frame_bytes_in=up, frame_bytes_out=down), earth


def test_everything_comes_down_over_udp() -> None:
    link = Link(*udp_pair())
    captured = link.capture(700_000)
    link.run(lambda: not link.computer.store.queued_bytes)
    assert captured == link.delivered == link.arrived
    assert all(link.station.store.holds(address) for address in captured)
    sent, heard = link.air.sent_frames, link.earth.heard_frames
    assert sent == link.ports[0].counts.sent >= heard > 600
    for one in link.air.passes:
        assert one.sent_bytes * 8 <= 8_000_000 * one.contact.duration_ms / 1000
    link.close()


def test_both_ends_start_again_in_mid_contact() -> None:
    """From their journals alone, several times: nothing that was acknowledged is lost, and all comes down in the end."""
    link = Link(*udp_pair())
    captured = link.capture(700_000)
    for share in (0.1, 0.3, 0.5, 0.7):
        link.run(lambda share=share: link.air.contact and len(link.delivered) >= share * len(captured))
        link.computer, link.station = link.new_computer(), link.new_station()
        link.air.replace_core(link.computer)
        link.earth.replace_core(link.station)
        assert all(link.station.store.holds(address) for address in link.delivered)
    link.run(lambda: not link.computer.store.queued_bytes)
    assert all(link.station.store.holds(address) for address in captured)
    link.close()


def test_everything_comes_down_over_a_serial_line_with_faults() -> None:
    """Two pseudo-terminals, and between them what a modem does: wrong bits, missing bytes."""
    rng = np.random.default_rng(3)
    ends = [pty.openpty() for _ in range(2)]
    for held, device in ends:
        tty.setraw(device)
        os.set_blocking(held, False)
    ports = [
        open_frame_port(f"serial://{os.ttyname(device)}?baud=921600", frame_bytes_in=into, frame_bytes_out=out)
        for (_, device), into, out in zip(
            ends,
            (PROFILE.uplink_frame_bytes, PROFILE.frame_bytes),
            (PROFILE.frame_bytes, PROFILE.uplink_frame_bytes),
            strict=True,
        )
    ]
    ended = threading.Event()

    def modem() -> None:
        held = [end for end, _ in ends]
        while not ended.is_set():
            for source in select.select(held, [], [], 0.02)[0]:
                data = np.frombuffer(os.read(source, 4096), np.uint8).copy()
                data[rng.random(len(data)) < 2e-5] ^= 0x24
                data = data[rng.random(len(data)) > 2e-5]
                target = held[1 - held.index(source)]
                if select.select([], [target], [], 0.1)[1]:
                    os.write(target, data.tobytes())

    carrying = threading.Thread(target=modem, daemon=True)
    carrying.start()
    link = Link(ports[0], ports[1])
    captured = link.capture(250_000)
    try:
        link.run(lambda: not link.computer.store.queued_bytes)
    finally:
        ended.set()
        carrying.join()
    assert all(link.station.store.holds(address) for address in captured)
    assert link.station.verdicts[FrameVerdict.CORRUPT] > 0
    link.close()
    for held, device in ends:
        os.close(held)
        os.close(device)


def test_everything_comes_down_over_connections_that_break() -> None:
    breaks = 2
    down, up = PROFILE.frame_bytes, PROFILE.uplink_frame_bytes
    earth = open_frame_port("tcp-listen://127.0.0.1:0", frame_bytes_in=down, frame_bytes_out=up)
    listener = earth._source  # type: ignore[attr-defined]
    assert isinstance(listener, TcpListener)
    air = open_frame_port(f"tcp://127.0.0.1:{listener.address[1]}", frame_bytes_in=up, frame_bytes_out=down)
    link = Link(air, earth)
    captured = link.capture(700_000)
    for share in range(breaks):
        link.run(lambda share=share: len(link.delivered) > share * len(captured) / (breaks + 1))
        earth._broke()  # type: ignore[attr-defined]
    link.run(lambda: not link.computer.store.queued_bytes)
    assert all(link.station.store.holds(address) for address in captured)
    assert air.counts.opened == breaks + 1
    link.close()
