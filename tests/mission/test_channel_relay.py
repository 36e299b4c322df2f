"""The relay: datagrams fare as the emulator says, in both directions, in time, and the process ends as it should.

Which datagrams are lost is known beforehand: a channel of the same seed, asked here, loses the same ones.
"""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from mission.channel import Channel, ChannelSettings, GilbertElliott
from mission.channel_relay import ChannelRelay
from mission.cli import main
from mission.errors import RelayError
from mission.streams import Streams
from mission.udp_port import parsed_address

LOOPBACK = ("127.0.0.1", 0)
FAST = ChannelSettings(rate_bps=1_000_000_000, delay_ms=0)
PATIENCE_S = 10
AT_ONCE = 32
"""Datagrams sent before what came out is read: few enough for the buffers of a socket."""


class Peer:
    """A program beside the relay."""

    def __init__(self, relay_address=None):
        self.relay_address = relay_address
        self.port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.port.bind(LOOPBACK)
        self.port.settimeout(PATIENCE_S)

    @property
    def address(self):
        return self.port.getsockname()

    def send(self, datagram):
        self.port.sendto(datagram, self.relay_address)

    def receive(self, timeout_s=PATIENCE_S):
        """The next datagram, None where none comes in time."""
        self.port.settimeout(timeout_s)
        try:
            return self.port.recv(65_535)
        except TimeoutError:
            return None


@contextmanager
def running(down=FAST, up=FAST, **options) -> Iterator[tuple[ChannelRelay, Peer, Peer]]:
    """A relay in a thread, with a peer on each side that it knows."""
    air, ground = Peer(), Peer()
    known = {"air_peer": air.address, "ground_peer": ground.address} | options
    with ChannelRelay(down, up, seed=7, air=LOOPBACK, ground=LOOPBACK, **known) as relay:
        air.relay_address, ground.relay_address = relay.air_address, relay.ground_address
        thread = threading.Thread(target=relay.run, args=(6 * PATIENCE_S,))
        thread.start()
        try:
            yield relay, air, ground
        finally:
            relay.stop()
            thread.join(PATIENCE_S)
            air.port.close()
            ground.port.close()
        assert not thread.is_alive()


def datagrams(count):
    return [number.to_bytes(4, "big") * 16 for number in range(1, count + 1)]


def through(sender, receiver, sent, expected):
    """Sends all in small lots and takes out of the other side what is expected to come, lot by lot."""
    received = []
    for first in range(0, len(sent), AT_ONCE):
        lot = sent[first : first + AT_ONCE]
        for datagram in lot:
            sender.send(datagram)
        wanted = set(lot) & expected
        while wanted and (datagram := receiver.receive()) is not None:
            received.append(datagram)
            wanted.discard(datagram)
    return received


def foretold(channel_settings, stream, sent):
    """What of `sent` arrives, by a channel of the same seed."""
    channel = Channel(channel_settings, Streams(7).generator(stream))
    return [arrival.frame for datagram in sent for arrival in channel.transmit(datagram, 0)]


LOSSY = replace(FAST, loss=GilbertElliott.independent(0.1))
BURSTY = replace(FAST, loss=GilbertElliott.with_mean(0.2, p_bad_to_good=0.2, loss_good=0.0, loss_bad=1.0))


@pytest.mark.parametrize("channel_settings", [FAST, LOSSY, BURSTY], ids=["clean", "independent", "bursts"])
@pytest.mark.parametrize("direction", ["down", "up"])
def test_what_the_seed_lets_through_comes_out_and_nothing_else(direction, channel_settings):
    sent = datagrams(1000)
    kept = foretold(channel_settings, f"relay/{direction}", sent)
    with running(**{direction: channel_settings}) as (relay, air, ground):
        sender, receiver = (air, ground) if direction == "down" else (ground, air)
        received = through(sender, receiver, sent, set(kept))
        sender.send(b"last")  # when it is counted, so is everything before it
        while (mine := getattr(relay.counts(), direction)).channel.sent <= 1000:
            assert relay.counts().seconds < PATIENCE_S
    assert received == kept
    assert len(kept) / 1000 == pytest.approx(1 - channel_settings.loss.mean_loss, abs=0.07)
    assert len(kept) <= mine.channel.arrived == 1001 - mine.channel.lost <= len(kept) + 1


def test_delay_and_rate_are_kept():
    """20 datagrams of 1000 bytes at 800 kbit/s take 10 ms each, then 100 ms of travel."""
    slow = ChannelSettings(rate_bps=800_000, delay_ms=100)
    with running(down=slow) as (_, air, ground):
        began = time.monotonic()
        for number in range(20):
            air.send(bytes([number]) * 1000)
        arrivals = [(ground.receive()[0], time.monotonic() - began) for _ in range(20)]
    assert [number for number, _ in arrivals] == list(range(20))
    for number, seconds in arrivals:
        assert seconds >= 0.1 + 0.01 * (number + 1) - 0.002


def test_a_queue_that_is_full_drops():
    with running(down=ChannelSettings(rate_bps=80_000, delay_ms=0), queue_ms=250) as (relay, air, ground):
        for number in range(20):
            air.send(bytes([number]) * 1000)  # 100 ms each: three wait up to 250 ms, the fourth too long
        heard = [ground.receive()[0] for _ in range(3)]
        counts = relay.counts().down
    assert heard == [0, 1, 2]
    assert counts.queue_dropped + counts.channel.sent == 20
    assert counts.queue_dropped >= 14


def test_loss_of_signal_in_the_middle():
    """80 kbit/s and 250 ms of contact from the first datagram on: 10 ms each, so 25 fit, and those in flight arrive."""
    passing = ChannelSettings(rate_bps=80_000, delay_ms=150, windows=((0, 250),))
    with running(down=passing, from_first_datagram=True) as (relay, air, ground):
        sent = [bytes([number]) * 100 for number in range(1, 61)]
        for datagram in sent:
            air.send(datagram)
        received = []
        while (datagram := ground.receive(0.5)) is not None:
            received.append(datagram)
        counts = relay.counts().down.channel
        air.send(b"after LOS")
        assert ground.receive(0.05) is None
    assert received == sent[: len(received)]
    assert 1 <= len(received) <= 25
    assert counts.unsent == 60 - len(received)


def test_a_blackout_swallows_what_is_sent_in_it():
    dark = replace(FAST, blackouts=((0, 150),))
    with running(down=dark, from_first_datagram=True) as (relay, air, ground):
        began = time.monotonic()
        number = 0
        while ground.receive(0.01) is None:
            air.send(bytes([number % 256]))
            number += 1
            assert time.monotonic() - began < PATIENCE_S
        assert time.monotonic() - began >= 0.1
        counts = relay.counts().down.channel
    assert counts.blacked_out == counts.lost >= 3


def test_strangers_are_ignored_and_a_peer_is_the_first_sender_or_the_given_one():
    with running() as (relay, air, ground):
        stranger = Peer(relay.air_address)
        stranger.send(b"not for you")
        air.send(b"for you")
        assert ground.receive() == b"for you"
        assert relay.counts().down.strangers == 1
        stranger.port.close()
    listener = Peer()
    with ChannelRelay(FAST, FAST, seed=1, air=LOOPBACK, ground=LOOPBACK, ground_peer=listener.address) as relay:
        thread = threading.Thread(target=relay.run, args=(PATIENCE_S,))
        thread.start()
        sender = Peer(relay.air_address)
        sender.send(b"to one who never spoke")
        assert listener.receive() == b"to one who never spoke"
        listener.relay_address = relay.ground_address
        listener.send(b"and back")
        assert sender.receive() == b"and back"
        relay.stop()
        thread.join(PATIENCE_S)
        sender.port.close()
    listener.port.close()


def test_what_arrives_for_nobody_is_counted():
    with ChannelRelay(FAST, FAST, seed=1, air=LOOPBACK, ground=LOOPBACK) as relay:
        sender = Peer(relay.air_address)
        sender.send(b"anyone?")
        relay.run(0.05)
        assert relay.counts().down.undeliverable == 1
        sender.port.close()


# ---- the process


def started(*options):
    """A relay process and the addresses it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mission.cli", "channel", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stderr.readline()
    addresses = re.findall(r"(127\.0\.0\.1):(\d+)", line)
    assert len(addresses) == 2, line
    return process, *((host, int(port)) for host, port in addresses)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_relays_both_ways_and_prints_its_counts_when_told_to_stop(number, tmp_path):
    profile = tmp_path / "pass.toml"
    profile.write_text("seed = 3\n[down]\nframe_loss = 0.5\n[up]\ndelay_ms = 20\n", encoding="utf-8")
    process, air_address, ground_address = started("--json", "--profile", str(profile))
    air, ground = Peer(air_address), Peer(ground_address)
    try:
        air.send(b"hello")  # first, so that what comes up finds its peer known
        ground.send(b"hello")
        while ground.receive(0.05) is None:
            air.send(b"again")
        ground.send(b"up")
        assert {air.receive(), air.receive()} <= {b"hello", b"up"}
        process.send_signal(number)
        printed, complaints = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
        air.port.close()
        ground.port.close()
    counts = json.loads(printed)
    assert (process.returncode, complaints) == (0, "")
    assert counts["down"]["sent"] == counts["down"]["lost"] + counts["down"]["arrived"]
    assert counts["down"]["delivered"] >= 1
    assert counts["up"]["sent"] == 2
    assert counts["seconds"] > 0


def test_a_duration_ends_it(capsys):
    assert main(["channel", "--duration", "0.02", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["seconds"] == pytest.approx(0.02, abs=1)


def test_plain_text_says_what_happened(capsys):
    assert main(["channel", "--duration", "0.01"]) == 0
    down, up = capsys.readouterr().out.splitlines()
    assert down.startswith("down: 0 sent, 0 lost") and up.strip().startswith("up: 0 sent")


def refusal(capsys, *options):
    assert main(["channel", "--duration", "0.01", *options]) == 2
    out, message = capsys.readouterr()
    assert out == ""
    return message


def test_a_port_in_use_is_refused(capsys):
    other = Peer()
    message = refusal(capsys, "--ground", f"127.0.0.1:{other.address[1]}")
    assert f"ground side cannot listen at 127.0.0.1:{other.address[1]}" in message
    assert "choose another address" in message
    other.port.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--loss", "1.5"), "down.frame_loss = 1.5"),
        (("--rate", "0"), "down.rate_bps = 0"),
        (("--air", "5001"), "'5001' is not an address"),
        (("--air", "127.0.0.1:70000"), "is not an address"),
        (("--profile", "/no/such/file.toml"), "cannot be read"),
    ],
)
def test_impossible_options_are_refused(capsys, options, said):
    assert said in refusal(capsys, *options)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[down]\nrate = 5\n", "down.rate = 5: there is no such key. Did you mean 'rates'?"),
        ("seed = ", "not valid TOML"),
        ("windows_s = [[5.0, 1.0]]\n", "each begins before it ends"),
        ("[[up.rates]]\nfrom_s = 1.0\n", "up.rates[0].rate_bps"),
        ("[down]\nframe_loss = 0.99\n[down.burst]\nloss_bad = 0.5\n", "must lie from loss_good"),
    ],
)
def test_impossible_profiles_are_refused(capsys, tmp_path, text, said):
    file = tmp_path / "pass.toml"
    file.write_text(text, encoding="utf-8")
    assert said in refusal(capsys, "--profile", str(file))


def test_addresses():
    assert parsed_address("127.0.0.1:5001") == ("127.0.0.1", 5001)
    with pytest.raises(RelayError, match="HOST:PORT"):
        parsed_address(":5001")
