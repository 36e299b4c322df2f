"""The channel as a service: contacts of a scenario by the clock, faults from outside, and what it tells."""

import argparse
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mission.cli import main
from mission.cli_channel import add_channel_command
from mission.live.channel_service import open_channel
from mission.live.named_peer import NamedPeer
from mission.live.service_settings import OptionSource, scenario_of
from mission.live.structured_log import StructuredLog

PATIENCE_S = 20
SCENARIO = """
[contacts]
source = "repeating"
station = "Svalbard"
period_s = 86400.0
duration_s = 3600.0
offset_s = {offset_s}
downlink_bps = 100_000_000
uplink_bps = 8_000_000
delay_ms = 1
"""


def scenario_file(folder, *, aos_in_s):
    """A contact of an hour that begins so many seconds from now."""
    file = folder / "live.toml"
    file.write_text(SCENARIO.format(offset_s=float((int(time.time()) + aos_in_s) % 86400)), encoding="utf-8")
    return file


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    add_channel_command(parser.add_subparsers())
    return parser.parse_args(["channel", *map(str, arguments)])


class Program:
    """What stands on one side of the channel."""

    def __init__(self):
        self.port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.port.bind(("127.0.0.1", 0))
        self.relay_address = None

    @property
    def told(self):
        host, port = self.port.getsockname()
        return f"{host}:{port}"

    def send(self, datagram):
        self.port.sendto(datagram, self.relay_address)

    def receive(self, timeout_s=PATIENCE_S):
        self.port.settimeout(timeout_s)
        try:
            return self.port.recv(65_535)
        except TimeoutError:
            return None


@contextmanager
def running(tmp_path, *arguments, aos_in_s=-60, environment=None, named=True):
    """A channel in a thread with a program on each side, and its log."""
    air, ground = Program(), Program()
    peers = ("--air-peer", air.told, "--ground-peer", ground.told) if named else ()
    file = scenario_file(tmp_path, aos_in_s=aos_in_s)
    options = parsed("--scenario", file, "--state", tmp_path / "state", "--http", "127.0.0.1:0", *peers, *arguments)
    scenario = scenario_of(options, {})
    channel = open_channel(OptionSource(options, scenario.services.channel, environment=environment or {}), scenario)
    stream = io.StringIO()
    channel.service.log = StructuredLog("channel", stream=stream, environment={})
    air.relay_address, ground.relay_address = channel.relay.air.address, channel.relay.ground.address
    codes = []
    thread = threading.Thread(target=lambda: codes.append(channel.service.run()))
    thread.start()
    try:
        yield channel, air, ground, stream
    finally:
        channel.service.stop()
        thread.join(PATIENCE_S)
        air.port.close()
        ground.port.close()
    assert codes == [0], stream.getvalue()


def ask(channel, path):
    with urllib.request.urlopen(f"http://{channel.service.endpoints.address}{path}", timeout=PATIENCE_S) as answer:
        return answer.read().decode()


def events(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def until(condition, do=lambda: None):
    """Waits for what must come."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        do()
        assert time.monotonic() < end_s


def test_in_a_contact_it_relays_both_ways_and_tells_of_it(tmp_path):
    with running(tmp_path) as (channel, air, ground, stream):
        for number in range(40):
            air.send(bytes([number, 0x12]))
            assert ground.receive() == bytes([number, 0x12])
        ground.send(b"\x34up")
        assert air.receive() == b"\x34up"
        until(lambda: json.loads(ask(channel, "/status"))["relayed"]["down"]["delivered"] == 40)
        status = json.loads(ask(channel, "/status"))
        values = {
            sample.name: sample.value
            for family in text_string_to_metric_families(ask(channel, "/metrics"))
            for sample in family.samples
        }
    assert status["service"] == "channel" and status["healthy"] is True
    assert status["contact"]["station"] == "Svalbard" and status["next_contact"]["aos_ms"] > status["at_ms"]
    assert status["contact"]["aos_ms"] <= status["at_ms"] < status["contact"]["los_ms"]
    assert status["air_peer"] == air_address(status) and status["relayed"]["up"]["delivered"] == 1
    assert values["tianshu_channel_down_delivered_datagrams_total"] == 40
    assert values["tianshu_channel_down_delivered_bytes_total"] == 80
    assert values["tianshu_channel_up_sent_datagrams_total"] == 1
    assert values["tianshu_channel_in_contact"] == 1 and values["tianshu_channel_healthy"] == 1
    (started,) = [line for line in events(stream) if line["event"] == "contact started"]
    assert (started["station"], started["downlink_bps"], started["delay_ms"]) == ("Svalbard", 100_000_000, 1)


def air_address(status):
    """The peer as the status names it: it is HOST:PORT."""
    assert re.fullmatch(r"127\.0\.0\.1:\d+", status["air_peer"])
    return status["air_peer"]


def test_without_a_contact_nothing_comes_through(tmp_path):
    with running(tmp_path, aos_in_s=3600) as (channel, air, ground, _):
        for _ in range(3):
            air.send(b"\x12")
            ground.send(b"\x34")
        until(lambda: (channel.counts().down.channel.unsent, channel.counts().up.channel.unsent) == (3, 3))
        assert ground.receive(0.05) is None
        until(lambda: json.loads(ask(channel, "/status")).get("contact", "") is None)


def test_losses_and_bit_errors_come_from_the_environment(tmp_path):
    environment = {"TIANSHU_LOSS": "0.5", "TIANSHU_BIT_ERRORS": "0.01", "TIANSHU_DELAY": "0"}
    sent = [bytes([number]) * 100 for number in range(200)]
    with running(tmp_path, environment=environment) as (channel, air, _, _):
        for first in range(0, 200, 20):
            for datagram in sent[first : first + 20]:
                air.send(datagram)
            until(lambda first=first: channel.counts().down.channel.sent == first + 20)
        counts = channel.counts().down.channel
    assert 60 <= counts.lost <= 140  # 200 with chance 0.5: 5.7 standard deviations
    assert counts.corrupted >= 0.9 * (200 - counts.lost)  # 800 bits with chance 0.01: 3 in 10,000 stay whole


def test_the_weather_file_changes_a_contact_that_goes_on(tmp_path):
    file = tmp_path / "weather.toml"
    with running(tmp_path, "--weather", file) as (channel, air, ground, stream):
        air.send(b"\x12")
        assert ground.receive() == b"\x12"
        file.write_text("blackout = true\n")
        until(
            lambda: channel.counts().down.channel.blacked_out > 0, do=lambda: (air.send(b"\x34"), ground.receive(0.02))
        )
        file.write_text("blackot = true\n")
        until(lambda: "Did you mean 'blackout'" in json.loads(ask(channel, "/status"))["reason"])
        file.unlink()
        until(lambda: ground.receive(0.02) is not None, do=lambda: air.send(b"\x56"))
        until(lambda: json.loads(ask(channel, "/status"))["healthy"])
    told = [line for line in events(stream) if line["event"] == "weather changed"]
    assert [line.get("blackout") for line in told] == [True, None]


def test_strangers_are_counted_logged_and_ignored(tmp_path):
    with running(tmp_path) as (channel, air, ground, stream):
        stranger = Program()
        stranger.relay_address = air.relay_address
        for _ in range(5):
            stranger.send(b"\xffnot for you")
        air.send(b"\x12for you")
        assert ground.receive() == b"\x12for you"
        assert channel.counts().down.strangers == 5
        until(lambda: any(line["event"] == "strangers ignored" for line in events(stream)))
        (told,) = [line for line in events(stream) if line["event"] == "strangers ignored"]
        assert (told["datagrams"], told["air"]) == (5, stranger.told)
        stranger.port.close()


def test_peers_that_nobody_named_are_learnt(tmp_path):
    with running(tmp_path, named=False) as (channel, air, ground, _):
        air.send(b"\x12")
        until(lambda: channel.counts().down.undeliverable == 1)
        ground.send(b"\x34")
        assert air.receive() == b"\x34"
        air.send(b"\x56")
        assert ground.receive() == b"\x56"


def test_a_peer_may_be_given_by_name():
    peer = NamedPeer("localhost:7001")
    until(lambda: peer.address is not None)
    assert peer.address == ("127.0.0.1", 7001)
    assert peer.hears(("127.0.0.1", 7001), 0) and not peer.hears(("127.0.0.1", 7002), 0)
    peer.close()


def test_a_clock_that_is_set_back_lets_out_what_is_inside_and_goes_on(tmp_path):
    with running(tmp_path, "--delay", "3600000") as (channel, air, ground, stream):
        air.send(b"\x12")
        until(lambda: channel.counts().in_flight == 1)
        steps = [-5000]
        check = channel.clock.check
        channel.clock.check = lambda: steps.pop() if steps else check()
        assert ground.receive() == b"\x12"
        air.send(b"\x34")
        until(lambda: channel.counts().in_flight == 1)
        assert [line["step_ms"] for line in events(stream) if line["event"] == "clock stepped"] == [-5000]


# ---- the process


def test_the_process_logs_json_prints_its_counts_and_ends_with_0(tmp_path):
    file = scenario_file(tmp_path, aos_in_s=-60)
    process = subprocess.Popen(
        [sys.executable, "-m", "mission.cli", "channel", "--json", "--http", "none", "--state", str(tmp_path / "s")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"TIANSHU_SCENARIO": str(file), "PATH": ""},
    )
    air, ground = Program(), Program()
    try:
        relaying = json.loads(process.stderr.readline())
        for program, side in ((air, "air"), (ground, "ground")):
            host, _, port = relaying[side].rpartition(":")
            program.relay_address = (host, int(port))
        until(lambda: ground.receive(0.02) is not None, do=lambda: (ground.send(b"\x12"), air.send(b"\x34")))
        process.send_signal(signal.SIGTERM)
        printed, log = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
        air.port.close()
        ground.port.close()
    assert process.returncode == 0
    assert json.loads(printed)["down"]["delivered"] >= 1
    assert [json.loads(line)["event"] for line in log.splitlines()][-2:] == ["told to stop", "service stopped"]


def test_a_duration_ends_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = scenario_file(tmp_path, aos_in_s=-60)
    assert main(["channel", "--scenario", str(file), "--http", "none", "--duration", "0.01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["down"]["sent"] == 0
    assert json.loads((tmp_path / "channel-state" / "status.json").read_text())["service"] == "channel"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--loss", "1.5"), "loss = 1.5"),
        (("--delay", "-1"), "delay = -1"),
        (("--queue", "0"), "--queue = '0' cannot be used"),
        (("--air", "nowhere"), "'nowhere' is not an address"),
        (("--ground-peer", "7001"), "'7001' is not an address"),
        (("--profile", "x.toml"), "--profile and --scenario both"),
        (("--http", "nowhere"), "http = 'nowhere' is not an address"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    file = scenario_file(tmp_path, aos_in_s=-60)
    assert main(["channel", "--scenario", str(file), "--http", "none", "--duration", "0.01", *arguments]) == 2
    assert said in capsys.readouterr().err
