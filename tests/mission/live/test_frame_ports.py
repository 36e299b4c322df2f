"""What every kind of frame port promises, tried on all of them alike: UDP, TCP and serial (over a pair of pseudo-terminals)."""

import io
import json
import os
import pty
import random
import select
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from mission.errors import PortError
from mission.live.frame_port import FramePort, PortSettings, open_frame_port
from mission.live.link_watch import LinkWatch
from mission.live.serial_frame_port import serial_frame_port
from mission.live.stream_frame_port import StreamFramePort
from mission.live.structured_log import StructuredLog
from mission.live.tcp_frame_port import TcpListener, tcp_client_port
from mission.live.udp_frame_port import UdpFramePort

DOWN_BYTES, UP_BYTES = 223, 64
PATIENCE_S = 5.0


class Fixed:
    """A monotonic clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Pair(Protocol):
    """Two ports that talk to each other."""

    left: FramePort
    right: FramePort
    clock: Fixed

    def carry(self) -> None:
        """Moves what is on its way, where the test is the cable."""

    def close_right(self) -> None:
        """The right end is gone."""

    def open_right(self) -> None:
        """It is back, at the same address."""

    def close(self) -> None:
        """Everything."""


def settings_of(clock: Fixed, *, left: bool) -> PortSettings:
    frame_bytes = (UP_BYTES, DOWN_BYTES) if left else (DOWN_BYTES, UP_BYTES)
    return PortSettings(
        address="test://", frame_bytes_in=frame_bytes[0], frame_bytes_out=frame_bytes[1], monotonic_s=clock
    )


class UdpPair:
    def __init__(self) -> None:
        self.clock = Fixed()
        first = UdpFramePort(settings_of(self.clock, left=True), ("127.0.0.1", 0))
        here = first.address
        right = UdpFramePort(settings_of(self.clock, left=False), ("127.0.0.1", 0), here)
        self.right: FramePort = right
        self.there = right.address
        first.close()
        self.left: FramePort = UdpFramePort(settings_of(self.clock, left=True), here, self.there)
        self.here = here

    def carry(self) -> None:
        pass

    def close_right(self) -> None:
        self.right.close()

    def open_right(self) -> None:
        self.right = UdpFramePort(settings_of(self.clock, left=False), self.there, self.here)

    def close(self) -> None:
        self.left.close()
        self.right.close()


class TcpPair:
    def __init__(self) -> None:
        self.clock = Fixed()
        self.here = ("127.0.0.1", 0)
        self.open_right()
        self.left: FramePort = tcp_client_port(settings_of(self.clock, left=True), self.here)

    def carry(self) -> None:
        pass

    def close_right(self) -> None:
        self.right.close()

    def open_right(self) -> None:
        settings = settings_of(self.clock, left=False)
        listener = TcpListener(settings, self.here)
        self.here = listener.address
        self.right: FramePort = StreamFramePort(settings, listener, randomize=True)

    def close(self) -> None:
        self.left.close()
        self.right.close()


class SerialPair:
    """Two serial devices; the test carries the bytes from one to the other and may do to them what a modem does."""

    def __init__(self) -> None:
        self.clock = Fixed()
        self.left_end, self.left_path = new_terminal()
        self.on_the_way: Callable[[bytes], bytes] = lambda data: data
        self.right_end = -1
        self.left: FramePort = serial_frame_port(settings_of(self.clock, left=True), self.left_path, {})
        self.right_link = Path(f"/tmp/serial-{os.getpid()}-{id(self)}")
        self.open_right()

    def carry(self) -> None:
        ends = (self.left_end, self.right_end)
        for source, target in (ends, ends[::-1]):
            while source >= 0 and select.select([source], [], [], 0)[0]:
                try:
                    data = self.on_the_way(os.read(source, 1024))
                except OSError:  # no program has opened that device
                    break
                if target >= 0:
                    os.write(target, data)

    def close_right(self) -> None:
        """The device is unplugged: its driver hangs up, its name disappears."""
        os.close(self.right_end)
        self.right_link.unlink()
        self.right_end = -1

    def open_right(self) -> None:
        self.right_end, path = new_terminal()
        self.right_link.symlink_to(path)
        if not hasattr(self, "right"):
            self.right: FramePort = serial_frame_port(settings_of(self.clock, left=False), str(self.right_link), {})

    def close(self) -> None:
        self.left.close()
        self.right.close()
        for end in (self.left_end, self.right_end):
            if end >= 0:
                os.close(end)
        self.right_link.unlink(missing_ok=True)


def new_terminal() -> tuple[int, str]:
    """The end that the test holds, and the name of the device at the other end."""
    held, device = pty.openpty()
    tty.setraw(device)
    path = os.ttyname(device)
    os.close(device)
    os.set_blocking(held, False)
    return held, path


@pytest.fixture(params=[UdpPair, TcpPair, SerialPair], ids=["udp", "tcp", "serial"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    made: Pair = request.param()
    try:
        connect(made)
        yield made
    finally:
        made.close()


def connect(pair: Pair) -> None:
    """Until frames cross both ways."""
    probes = (bytes([0x5A]) * DOWN_BYTES, bytes([0xA5]) * UP_BYTES)
    down = up = False
    until = time.monotonic() + PATIENCE_S
    while not (down and up):
        assert time.monotonic() < until, (pair.left.counts, pair.right.counts)
        down |= bool(crossed(pair, pair.left, pair.right, [probes[0]]))
        up |= bool(crossed(pair, pair.right, pair.left, [probes[1]]))
        pair.clock.now_s += 1
    assert not crossed(pair, pair.left, pair.right, []) and not crossed(pair, pair.right, pair.left, [])


def crossed(pair: Pair, sender: FramePort, receiver: FramePort, frames: list[bytes]) -> list[bytes]:
    """What arrives of these frames, sent one by one; stops when nothing comes any more."""
    came: list[bytes] = []
    for frame in frames:
        sender.send(frame)
        pair.carry()
        came += receiver.receive()
    quiet = 0
    while len(came) < len(frames) and quiet < 5:
        pair.carry()
        sender.receive()
        fresh = receiver.receive()
        came += fresh
        quiet = 0 if fresh else quiet + 1
        if not fresh:
            select.select([receiver.fileno()], [], [], 0.01)
    return came


def frames_of(count: int, frame_bytes: int, seed: int = 0) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(frame_bytes) for _ in range(count)]


# ---- the promises


def test_frames_cross_both_ways_whole_and_in_order(pair: Pair) -> None:
    down, up = frames_of(300, DOWN_BYTES), frames_of(300, UP_BYTES)
    before = pair.right.counts.received
    assert crossed(pair, pair.left, pair.right, down) == down
    assert crossed(pair, pair.right, pair.left, up) == up
    assert pair.right.counts.received - before == 300
    assert pair.left.counts.refused == pair.right.counts.refused or pair.left.counts.sent >= 300


def test_a_waiting_frame_makes_the_port_readable(pair: Pair) -> None:
    (frame,) = frames_of(1, DOWN_BYTES)
    assert not select.select([pair.right.fileno()], [], [], 0)[0]
    assert pair.left.send(frame)
    until = time.monotonic() + PATIENCE_S
    received: list[bytes] = []
    while not received and time.monotonic() < until:
        pair.carry()
        assert select.select([pair.right.fileno()], [], [], PATIENCE_S)[0] or isinstance(pair, SerialPair)
        received = pair.right.receive()
    assert received == [frame]
    assert not select.select([pair.right.fileno()], [], [], 0)[0]


def test_the_descriptor_to_watch_stays_the_same(pair: Pair) -> None:
    watched = pair.left.fileno()
    pair.close_right()
    pair.left.receive()
    pair.left.send(bytes(DOWN_BYTES))
    pair.open_right()
    connect(pair)
    assert pair.left.fileno() == watched


def test_a_frame_of_another_length_is_a_mistake(pair: Pair) -> None:
    with pytest.raises(PortError, match=r"65 bytes .* frames of 64"):
        pair.right.send(bytes(65))


def test_sending_never_waits_for_a_reader(pair: Pair) -> None:
    """What the other side reads in the end is a part of what was sent, whole and in order."""
    frames = frames_of(20_000, DOWN_BYTES, seed=5)
    began = time.monotonic()
    taken = [frame for frame in frames if pair.left.send(frame)]
    assert time.monotonic() - began < PATIENCE_S
    came = crossed(pair, pair.left, pair.right, frames_of(1, DOWN_BYTES, seed=6))
    for _ in range(100):
        pair.carry()
        pair.left.receive()
        came += pair.right.receive()
    left_over = iter([*taken, *frames_of(1, DOWN_BYTES, seed=6)])
    assert len(came) > 10 and all(frame in left_over for frame in came)
    assert pair.left.counts.refused >= 20_000 - len(taken)
    if not isinstance(pair, UdpPair):
        assert len(taken) < 20_000 and len(came) >= len(taken)  # a stream loses nothing that it has taken


def test_a_peer_that_is_gone_costs_frames_and_nothing_else(pair: Pair) -> None:
    pair.close_right()
    for frame in frames_of(50, DOWN_BYTES):
        pair.left.send(frame)
        assert pair.left.receive() == []
        pair.clock.now_s += 0.2
    pair.open_right()
    connect(pair)
    down, up = frames_of(20, DOWN_BYTES, seed=1), frames_of(20, UP_BYTES, seed=2)
    assert crossed(pair, pair.left, pair.right, down) == down
    assert crossed(pair, pair.right, pair.left, up) == up


def test_closing_gives_back_every_file(pair: Pair) -> None:
    made = type(pair)()
    connect(made)
    before = len(os.listdir("/proc/self/fd"))
    made.close()
    assert len(os.listdir("/proc/self/fd")) <= before - 2
    count = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        again = type(pair)()
        connect(again)
        again.close()
    assert len(os.listdir("/proc/self/fd")) == count


# ---- serial


def test_a_serial_link_that_damages_and_drops_bytes_costs_only_frames() -> None:
    pair = SerialPair()
    connect(pair)
    rng = random.Random(77)

    def modem(data: bytes) -> bytes:
        kept = bytearray(byte for byte in data if rng.random() > 5e-4)
        for at in range(len(kept)):
            if rng.random() < 1e-3:
                kept[at] ^= 1 << rng.randrange(8)
        return bytes(kept)

    pair.on_the_way = modem
    sent = frames_of(1000, DOWN_BYTES, seed=8)
    came = crossed(pair, pair.left, pair.right, sent)
    intact = [frame for frame in came if frame in set(sent)]
    order = [sent.index(frame) for frame in intact]
    assert order == sorted(set(order))
    # A frame and its marker have 227 bytes: 0.9985^227 = 71 % meet no fault, and a fault costs no second frame.
    assert 0.64 * 1000 < len(intact) < 0.80 * 1000
    pair.on_the_way = lambda data: data
    assert crossed(pair, pair.left, pair.right, sent[:50])[-49:] == sent[1:50]
    pair.close()


def test_a_serial_device_that_is_plugged_in_late() -> None:
    clock = Fixed()
    port = serial_frame_port(settings_of(clock, left=True), "/tmp/no-such-serial-device", {"baud": "921600"})
    assert not port.send(bytes(DOWN_BYTES)) and port.receive() == [] and not port.is_open
    assert port.counts.refused == 1 and port.counts.opened == 0
    port.close()


def test_a_serial_device_belongs_to_one_port() -> None:
    clock = Fixed()
    held, path = new_terminal()
    first = serial_frame_port(settings_of(clock, left=True), path, {})
    second = serial_frame_port(settings_of(clock, left=True), path, {})
    assert first.is_open and not second.is_open
    first.close()
    clock.now_s += 1
    second.receive()
    assert second.is_open
    second.close()
    os.close(held)


def test_a_serial_device_is_tried_less_and_less_often() -> None:
    clock = Fixed()
    port = serial_frame_port(settings_of(clock, left=True), "/tmp/no-such-serial-device", {})
    held, path = new_terminal()
    link = Path(f"/tmp/serial-late-{os.getpid()}")
    port.close()
    port = serial_frame_port(settings_of(clock, left=True), str(link), {})
    for _ in range(10):
        clock.now_s += 8.1
        port.receive()
    link.symlink_to(path)
    try:
        clock.now_s += 7.0
        port.receive()
        assert not port.is_open
        clock.now_s += 1.1
        port.receive()
        assert port.is_open
    finally:
        link.unlink()
        port.close()
        os.close(held)


# ---- TCP


def test_a_connection_that_breaks_within_a_frame_starts_with_a_whole_frame_again() -> None:
    pair = TcpPair()
    connect(pair)
    pair.left.send(frames_of(1, DOWN_BYTES)[0])
    pair.close_right()
    pair.open_right()
    connect(pair)
    down = frames_of(5, DOWN_BYTES, seed=3)
    assert crossed(pair, pair.left, pair.right, down) == down
    assert pair.left.counts.opened == 2
    pair.close()


def test_the_same_host_takes_the_place_of_its_old_connection() -> None:
    pair = TcpPair()
    connect(pair)
    second = tcp_client_port(settings_of(pair.clock, left=True), pair.here)
    old, pair.left = pair.left, second
    connect(pair)
    assert pair.right.counts.opened == 2 and pair.right.counts.strangers == 0
    old.close()
    pair.close()


def test_a_host_that_was_not_named_is_a_stranger() -> None:
    clock = Fixed()
    settings = settings_of(clock, left=False)
    listener = TcpListener(settings, ("127.0.0.1", 0), peer_host="127.0.0.2")
    port = StreamFramePort(settings, listener, randomize=True)
    stranger = tcp_client_port(settings_of(clock, left=True), listener.address)
    until = time.monotonic() + PATIENCE_S
    while not port.counts.strangers and time.monotonic() < until:
        stranger.receive()
        port.receive()
    assert port.counts.strangers >= 1 and not port.is_open
    stranger.close()
    port.close()


# ---- UDP


def test_datagrams_of_strangers_and_of_wrong_lengths_are_no_frames() -> None:
    pair = UdpPair()
    connect(pair)
    stranger = UdpFramePort(settings_of(pair.clock, left=True), ("127.0.0.1", 0), pair.there)
    assert stranger.send(frames_of(1, DOWN_BYTES)[0])
    assert crossed(pair, stranger, pair.right, frames_of(3, DOWN_BYTES)) == []
    assert pair.right.counts.strangers == 4
    wrong = PortSettings(address="test://", frame_bytes_in=10, frame_bytes_out=33)
    pair.left.close()
    pair.left = UdpFramePort(wrong, pair.here, pair.there)
    assert crossed(pair, pair.left, pair.right, [bytes(33)]) == [] and pair.right.counts.skipped_bytes == 33
    stranger.close()
    pair.close()


def test_without_a_peer_the_first_that_sends_is_it() -> None:
    clock = Fixed()
    open_port = UdpFramePort(settings_of(clock, left=False), ("127.0.0.1", 0))
    assert not open_port.send(bytes(UP_BYTES)) and open_port.counts.refused == 1
    first = UdpFramePort(settings_of(clock, left=True), ("127.0.0.1", 0), open_port.address)
    second = UdpFramePort(settings_of(clock, left=True), ("127.0.0.1", 0), open_port.address)
    for port in (first, second):
        port.send(bytes(DOWN_BYTES))
    assert len(open_port.receive()) == 1 and open_port.counts.strangers == 1
    assert open_port.send(b"\x11" * UP_BYTES)
    assert first.receive() == [b"\x11" * UP_BYTES] and second.receive() == []
    for port in (open_port, first, second):
        port.close()


# ---- addresses


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:7001", "begin it with udp://"),
        ("http://127.0.0.1:7001", "begin it with udp://"),
        ("udp://127.0.0.1", "no host and port"),
        ("udp://127.0.0.1:70000", "no host and port"),
        ("udp://127.0.0.1:7001?per=127.0.0.1:1", "per, which udp:// does not know; it knows peer"),
        ("udp://127.0.0.1:0?peer=ground", "'ground' in"),
        ("udp://192.0.2.7:0", "cannot listen at 192.0.2.7:0"),
        ("tcp-listen://192.0.2.7:0", "cannot listen at 192.0.2.7:0"),
        ("tcp://127.0.0.1:1/path", "/path"),
        ("tcp://127.0.0.1:1?randomizer=yes", "write on or off"),
        ("serial://ttyUSB0", "write three slashes, serial:///dev/ttyUSB0"),
        (
            "serial://dev/ttyUSB0?baud=9600",
            "'dev' stands where a host would; write three slashes, serial:///dev/ttyUSB0",
        ),
        ("serial:", "names no device"),
        ("serial:///dev/ttyUSB0?baud=123", "115200"),
        ("serial:///dev/ttyUSB0?flow=xon", "write none or rtscts"),
    ],
)
def test_addresses_that_make_no_sense_are_refused_with_the_remedy(address: str, message: str) -> None:
    with pytest.raises(PortError) as caught:
        open_frame_port(address, frame_bytes_in=64, frame_bytes_out=64)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "udp://127.0.0.1:0?peer=no-such-host.invalid:7000",
        "tcp://no-such-host.invalid:7000",
        "tcp-listen://127.0.0.1:0?peer=no-such-host.invalid",
        "serial:///dev/no-such-device?baud=921600",
    ],
)
def test_what_is_not_there_yet_is_waited_for(address: str) -> None:
    port = open_frame_port(address, frame_bytes_in=64, frame_bytes_out=32)
    assert not port.send(bytes(32)) and port.receive() == []
    assert port.counts.refused == 1
    assert ("no-such-" in port.problem) and ("not resolve" in port.problem or "No such file" in port.problem)
    port.close()


# ---- whether a port is open


def test_a_port_says_that_it_is_open(pair: Pair) -> None:
    assert pair.left.problem == pair.right.problem == ""


def test_a_broken_stream_says_so_until_it_is_back() -> None:
    for made, reasons in (
        (TcpPair(), ["broke", "refused"]),
        (SerialPair(), ["hung up", "No such file"]),
    ):
        connect(made)
        made.close_right()
        lost = made.left if isinstance(made, TcpPair) else made.right
        for reason in reasons:
            until = time.monotonic() + PATIENCE_S
            while reason not in lost.problem:
                assert time.monotonic() < until, lost.problem
                made.clock.now_s += 1.0
                lost.receive()
        made.open_right()
        connect(made)
        assert lost.problem == ""
        made.close()


def test_a_port_that_is_not_open_says_what_it_waits_for(tmp_path: Path) -> None:
    held, path = new_terminal()
    first = serial_frame_port(settings_of(Fixed(), left=True), path, {})
    second = serial_frame_port(settings_of(Fixed(), left=True), path, {})
    assert first.problem == "" and second.problem == f"another program holds {path}"
    (tmp_path / "file").touch()
    none = serial_frame_port(settings_of(Fixed(), left=True), str(tmp_path / "file"), {})
    assert "is no serial device" in none.problem
    listening = open_frame_port("tcp-listen://127.0.0.1:0", frame_bytes_in=64, frame_bytes_out=32)
    assert listening.problem == "nobody is connected"
    for port in (first, second, none, listening):
        port.close()
    os.close(held)


def test_each_change_of_a_link_is_logged_once(tmp_path: Path) -> None:
    stream = io.StringIO()
    clock = Fixed()
    link = tmp_path / "device"
    port = serial_frame_port(settings_of(clock, left=True), str(link), {})
    watch = LinkWatch(port, StructuredLog("onboard", stream=stream))
    held, path = new_terminal()

    def pass_time() -> None:
        for _ in range(3):
            clock.now_s += 10.0
            port.receive()
            watch.look()

    pass_time()
    link.symlink_to(path)
    pass_time()
    link.unlink()
    os.close(held)
    pass_time()
    port.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line.get("reason", "")) for line in lines] == [
        ("link closed", f"{link} cannot be opened: No such file or directory"),
        ("link open", ""),
        ("link closed", f"{link} has hung up"),
        ("link closed", f"{link} cannot be opened: No such file or directory"),
    ]
    assert lines[1]["opened"] == 1
