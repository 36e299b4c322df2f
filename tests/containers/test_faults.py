"""The living system put through every fault; after each, nothing acknowledged is lost and both ends agree to the pixel."""

import json
import time
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.containers.compose import CommandFailedError, docker
from tests.containers.living_system import (
    AIR,
    CHANNEL_ON_AIR,
    CHANNEL_ON_EARTH,
    EARTH,
    HERE,
    PASS_S,
    SERVICES,
    LivingSystem,
    wait_until,
)

pytestmark = pytest.mark.containers

CHANNEL_ADDRESSES = (("air", CHANNEL_ON_AIR), ("earth", CHANNEL_ON_EARTH))


def page_of(system: LivingSystem, path: str) -> str:
    port = system.compose.environment["TIANSHU_PAGE_PORT"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return answer.read().decode()


def test_scenes_come_down_whole(system: LivingSystem) -> None:
    system.capture(3)
    system.settle()
    page = page_of(system, "/")
    scenes = json.loads(page_of(system, "/status"))["scenes"]
    assert {scene["name"] for scene in scenes} == set(system.captured_names())
    for scene in scenes:
        assert scene["name"] in page
    assert system.status("ground")["onboard"] is not None


@pytest.mark.parametrize("service", SERVICES)
def test_killed_at_any_moment(system: LivingSystem, service: str) -> None:
    with system.capturing():
        system.wait_at_random(1.0, 4.0)
        boots = system.status(service)["boot"]
        if system.chance.random() < 0.5:
            system.compose.crash(service)
        else:
            system.compose.kill(service)
            system.wait_at_random(0.0, 1.5)
            system.compose.start(service)
        wait_until(lambda: system.well(service) and system.status(service)["boot"] > boots, f"{service} is back")
    system.settle()


def test_paused(system: LivingSystem) -> None:
    with system.capturing():
        for service in ("onboard", "channel", "ground"):
            system.wait_at_random(0.0, 1.0)
            system.compose.pause(service)
            system.wait_at_random(1.0, 3.0)
            system.compose.unpause(service)
    system.settle()


@pytest.mark.parametrize(("network", "address"), CHANNEL_ADDRESSES)
def test_partition_in_mid_pass(system: LivingSystem, network: str, address: str) -> None:
    system.capture(2)
    system.wait_for_pass(after_aos_s=system.chance.uniform(0.5, PASS_S / 2))
    system.compose.disconnect("channel", network)
    system.wait_at_random(2.0, 5.0)
    system.compose.connect("channel", network, address)
    system.settle()


def test_loss_of_signal_in_mid_file(system: LivingSystem) -> None:
    """More waits than a pass can carry, so that the pass ends within a file."""
    system.lose_references()
    network, address = CHANNEL_ADDRESSES[0]
    system.compose.disconnect("channel", network)
    system.capture(12)
    wait_until(lambda: system.status("onboard")["coding"]["waiting_tiles"] == 0, "everything is coded")
    delivered = system.status("onboard")["ledger"]["delivered_layers"]
    system.compose.connect("channel", network, address)

    def ended_within_a_file() -> bool:
        onboard = system.status("onboard")
        ledger = onboard["ledger"]
        went_on = ledger["delivered_layers"] > delivered and ledger["queued_layers"] > 0
        return onboard["contact"] is None and onboard["open_files"] > 0 and went_on

    wait_until(ended_within_a_file, "a pass has ended within a file", limit_s=40)
    system.settle()


@pytest.mark.parametrize("service", ["onboard", "ground"])
def test_full_disk(system: LivingSystem, service: str) -> None:
    system.lose_references()
    system.hands(f"dd if=/dev/zero of=/at/{service}/ballast bs=4k 2>/dev/null || true")
    system.capture(2)
    port = {"onboard": 9101, "ground": 8080}[service]

    def unwell() -> bool:
        try:
            system.compose.execute(service, "tianshu", "health", f"127.0.0.1:{port}")
        except CommandFailedError:
            return True
        return False

    wait_until(unwell, f"{service} says that its disk is full")
    system.wait_at_random(2.0, 4.0)
    assert system.compose.state(service) == "running"
    restarts = system.compose.restarts(service)
    system.hands(f"rm /at/{service}/ballast")
    system.settle()
    assert system.compose.restarts(service) == restarts, f"{service} has ended because of a full disk"


@pytest.mark.parametrize("service", ["onboard", "ground"])
def test_clock_steps(system: LivingSystem, service: str) -> None:
    system.capture(2)
    for skew_ms in (4000, -6000):
        system.hands(f"echo {skew_ms} > /at/{service}/.skew && mv /at/{service}/.skew /at/{service}/skew_ms")
        system.wait_at_random(2.0, 4.0)
    system.hands(f"rm /at/{service}/skew_ms")
    assert system.status(service)["clock"]["steps"] > 0
    system.settle()


def test_power_drop(system: LivingSystem) -> None:
    """At 5 W, less than the bus alone takes, nothing is worked on and nothing is dropped."""
    system.hands("""echo 'cap_w = 5' > /at/eps/control.toml""")
    wait_until(lambda: system.status("onboard")["energy"]["cap_w"] == 5, "the flight computer has heard of it")
    system.capture(2)
    wait_until(lambda: system.status("onboard")["effort"]["waiting_for_power"], "work waits for power")
    captured = system.status("onboard")["ledger"]["captured_layers"]
    time.sleep(3)
    onboard = system.status("onboard")
    assert onboard["ledger"]["captured_layers"] == captured
    assert onboard["scenes"]["in_work"] > 0 and onboard["scenes"]["waiting"] > 0
    system.hands("rm /at/eps/control.toml")
    system.settle()


def test_recorded_decisions_replay(system: LivingSystem) -> None:
    """Both ends record what they are told and what they decide, a reboot in between; the same cores decide the same again."""
    system.lose_references()
    system.compose.environment["TIANSHU_RECORD"] = "true"
    system.compose.up("onboard", "ground")
    try:
        wait_until(
            lambda: all(status.get("recording") for status in system.statuses("onboard", "ground")), "both ends record"
        )
        system.capture(1)
        system.wait_for_pass(after_aos_s=system.chance.uniform(0.5, PASS_S))
        system.compose.kill("onboard")
        system.compose.start("onboard")
        system.capture(1)
        system.settle()
    finally:
        system.compose.environment.pop("TIANSHU_RECORD")
        system.compose.up("onboard", "ground")
    logs = system.hands("ls /at/*/record/*").split()
    assert [log.split("/")[2] for log in logs].count("onboard") >= 2
    assert any(log.startswith("/at/ground/") for log in logs)
    events = {"onboard": 0, "ground": 0}
    for log in logs:
        outcome = json.loads(system.compose.execute("hands", "tianshu", "replay", "--json", log))
        assert outcome["hash_recorded"] == outcome["hash_replayed"], (log, outcome)
        assert outcome["divergence"] is None and outcome["damaged_at_byte"] is None, (log, outcome)
        events[log.split("/")[2]] += outcome["events"]
    assert min(events.values()) > 200, events
    system.hands("rm -r /at/*/record")


def test_corrupted_frames(system: LivingSystem) -> None:
    """One full frame in four arrives damaged, and there are dozens of them."""
    system.lose_references()
    system.compose.environment["TIANSHU_BIT_ERRORS"] = "3e-5"
    system.compose.up("channel")
    try:
        damaged = system.status("ground")["link"]["corrupt"]
        system.capture(3)
        system.settle()
        assert system.status("ground")["link"]["corrupt"] > damaged
    finally:
        system.compose.environment.pop("TIANSHU_BIT_ERRORS")
        system.compose.up("channel")


def test_strangers(system: LivingSystem, image: str) -> None:
    """They send from elsewhere to every port; then from the channel's own address, in its absence."""
    onboard, ground = f"{AIR}.10:7001", f"{EARTH}.12:7002"
    system.capture(2)
    with ThreadPoolExecutor() as together:
        strangers = [
            together.submit(send_strange_packets, system, image, "air", onboard, f"{CHANNEL_ON_AIR}:7000"),
            together.submit(send_strange_packets, system, image, "earth", ground, f"{CHANNEL_ON_EARTH}:7003"),
        ]
        assert all(stranger.result() > 100 for stranger in strangers)
        relayed = system.status("channel")["relayed"]
        assert min(relayed["up"]["strangers"], relayed["down"]["strangers"]) > 100, relayed
        assert system.status("ground")["link"]["strangers"] > 100
        for network, _ in CHANNEL_ADDRESSES:
            system.compose.disconnect("channel", network)
        impostors = [
            together.submit(send_strange_packets, system, image, "air", onboard, as_peer=(CHANNEL_ON_AIR, 7000)),
            together.submit(send_strange_packets, system, image, "earth", ground, as_peer=(CHANNEL_ON_EARTH, 7003)),
        ]
        assert all(impostor.result() > 100 for impostor in impostors)
        assert system.status("ground")["link"]["foreign"] > 10
        for network, address in CHANNEL_ADDRESSES:
            system.compose.connect("channel", network, address)
    system.settle()


def send_strange_packets(
    system: LivingSystem, image: str, network: str, *targets: str, as_peer: tuple[str, int] | None = None
) -> int:
    """Three seconds of a stranger on a network, with an address and a port of its own or the channel's; how much it sent."""
    address, port = as_peer or ("", 0)
    options = ["run", "--rm", "--interactive", "--network", system.compose.network(network)]
    options += ["--ip", address] if address else []
    seed = str(zlib.crc32(network.encode()) + port)
    script = (HERE / "stranger.py").read_bytes()
    return int(docker(*options, "--entrypoint", "python3", image, "-", seed, "3", str(port), *targets, stdin=script))


def test_ten_reboots(system: LivingSystem) -> None:
    system.capture(4)
    for _ in range(10):
        service = system.chance.choice(("onboard", "onboard", "channel", "ground"))
        system.compose.kill(service)
        system.compose.start(service)
        system.wait_at_random(0.5, 2.5)
    system.settle()
