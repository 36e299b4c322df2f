"""`tianshu onboard` as real processes over loopback: killed at random, out of disk, given bad files, told to stop.

The ground is a stand-in in the test: a ground station over a link driver. What it gets is compared with what the pipeline makes of the
same scenes in this process.
"""

import json
import os
import random
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import rasterio
from rasterio.windows import Window

from downlink.layer_digest import layer_digest
from downlink.products import LayerAddress
from ground.link_events import LayersArrived
from mission.link_ends import ground_station
from mission.link_setup import link_keys, link_profile
from mission.live.contact_windows import ContactWindows
from mission.live.frame_port import open_frame_port
from mission.live.link_driver import LinkDriver
from mission.live.live_clock import LiveClock
from mission.pipeline_setup import ingest_settings, open_detector, pipeline_settings
from mission.scenario import Scenario, load_scenario
from onboard.ingest import open_scene
from onboard.pipeline import ScenePipeline
from onboard.policy import load_policy
from onboard.valuation import ValuedLayer
from tests.onboard.test_pipeline import Allowing

REPOSITORY = Path(__file__).resolve().parents[3]
HARBOUR = REPOSITORY / "sample_data" / "harbour_20260301.tif"
SCENARIO = """
[mission]
name = "process test"
[detector]
threads = 1
[power]
meter = "model"
[contacts]
source = "repeating"
period_s = 3.0
duration_s = 2.5
downlink_bps = 8_000_000
uplink_bps = 256_000
delay_ms = 1
[link]
alert_repeat_s = 0.3
ack_timer_s = 0.4
nak_timer_s = 0.3
[security]
reboot_lockout_s = 0.2
"""
FIRST_MTIME_S = 1_770_000_000
LIMIT_S = 60.0


def cut_scene(path: Path, *, row: int, height: int) -> None:
    """Rows of the sample harbour, over its whole width: two tiles."""
    with rasterio.open(HARBOUR) as whole:
        window = Window(0, row, whole.width, height)
        profile = {"driver": "GTiff", "count": whole.count, "dtype": whole.dtypes[0], "crs": whole.crs}
        profile |= {"width": whole.width, "height": height, "transform": whole.window_transform(window)}
        with rasterio.open(path, "w", **profile) as part:
            part.write(whole.read(window=window))
            part.descriptions = whole.descriptions
            part.update_tags(**whole.tags())


def free_port() -> int:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class GroundStandIn:
    """The ground's end in this process; whoever waits for something lets it work meanwhile."""

    def __init__(self, scenario: Scenario, address: str) -> None:
        profile = link_profile(scenario)
        self.station = ground_station(profile, keys=link_keys(scenario, seed=0))
        self.arrivals: Counter[LayerAddress] = Counter()
        self.clock = LiveClock()
        self.port = open_frame_port(
            address, frame_bytes_in=profile.frame_bytes, frame_bytes_out=profile.uplink_frame_bytes
        )
        self.driver = LinkDriver(
            self.station,
            self.port,
            direction="up",
            windows=ContactWindows(scenario),
            clock=self.clock,
            on_action=self._take,
        )

    def _take(self, action: Any, now_ms: int) -> None:
        if isinstance(action, LayersArrived):
            self.arrivals.update(action.addresses)

    def work(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            wake_ms = self.driver.turn()
            rest_s = max(0.0, (wake_ms - self.clock.now_ms()) / 1000)
            select.select([self.port.fileno()], [], [], min(left_s, rest_s))

    def wait_until(self, what: str, holds: Callable[[], Any]) -> Any:
        until_s = time.monotonic() + LIMIT_S
        while time.monotonic() < until_s:
            if found := holds():
                return found
            self.work(0.05)
        raise AssertionError(f"not within {LIMIT_S:.0f} s: {what}")

    @property
    def payloads(self) -> dict[LayerAddress, bytes]:
        store = self.station.store
        return {address: store.payload(address) for address in store.addresses}


class Flight:
    """The service's processes, started over one folder as often as the test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool, self.state = folder / "spool", folder / "state"
        self.spool.mkdir()
        self.scenario_file = folder / "scenario.toml"
        self.scenario_file.write_text(SCENARIO)
        self.scenario = load_scenario(self.scenario_file)
        self.onboard_port, ground_port = free_port(), free_port()
        self.ground_address = f"udp://127.0.0.1:{ground_port}?peer=127.0.0.1:{self.onboard_port}"
        self.link = f"udp://127.0.0.1:{self.onboard_port}?peer=127.0.0.1:{ground_port}"
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.ground = GroundStandIn(self.scenario, self.ground_address)

    def start(self, **environment: str) -> None:
        command = [sys.executable, "-m", "mission.cli", "onboard", "--http", "none"]
        folders = {"scenario": self.scenario_file, "state": self.state, "spool": self.spool, "link": self.link}
        folders |= {"power": self.folder / "power", "load": self.folder / "load.json", "skew": self.folder / "skew"}
        for name, value in folders.items():
            command += [f"--{name}", str(value)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=REPOSITORY, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def count(self, event: str) -> int:
        return sum(one["event"] == event for one in self.events)

    @property
    def status(self) -> dict[str, Any]:
        """Of the process that runs now; empty while it has shown none."""
        with suppress(OSError, ValueError):
            shown = json.loads((self.state / "status.json").read_text())
            if shown["pid"] == self.pid:
                return dict(shown)
        return {}

    def worker_pid(self) -> int:
        """The child that works scenes through, 0 without one."""
        for line in reversed(self.events):
            if line["event"] == "worker ready":
                return int(line["worker_pid"])
        return 0

    def kill(self, *pids: int) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None and self.pid in pids:
            self.process.wait(10)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def put(self, name: str, source: Path, *, mtime_s: int) -> None:
        unfinished = self.spool / f".{name}"
        unfinished.write_bytes(source.read_bytes())
        os.utime(unfinished, (mtime_s, mtime_s))
        unfinished.rename(self.spool / name)


@contextmanager
def flying(folder: Path) -> Iterator[Flight]:
    flight = Flight(folder)
    try:
        yield flight
    finally:
        if flight.process is not None and flight.process.poll() is None:
            flight.kill(flight.pid)
        flight.ground.port.close()


def children_of(pid: int) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.add(int(entry.name))
    return found


def runs(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scenes")
    paths = [folder / f"strip_{number}.tif" for number in range(3)]
    for path, row in zip(paths, (0, 512, 640), strict=True):
        cut_scene(path, row=row, height=128)
    return paths


def expected_layers(scenario: Scenario, scenes: list[Path]) -> dict[LayerAddress, bytes]:
    """What the pipeline makes of the scenes, undisturbed."""
    made: list[ValuedLayer] = []
    policy = load_policy(scenario.policy.file)
    detector = open_detector(scenario, searched_from=policy.audit.searched_from)
    for number, path in enumerate(scenes, 1):
        with open_scene(path, ingest_settings(scenario)) as frame:
            pipeline = ScenePipeline(
                policy=policy,
                settings=pipeline_settings(scenario, frame.dtype),
                detector=detector,
                energy=Allowing(),
                emit=made.extend,
            )
            pipeline.process(frame, scene=number, captured_ms=1000 * (FIRST_MTIME_S + number))
    return {one.layer.address: one.payload for one in made}


def test_killed_at_random_every_layer_arrives_once_and_as_if_nothing_had_been(
    tmp_path: Path, scenes: list[Path]
) -> None:
    chance = random.Random(20260301)
    with flying(tmp_path) as flight:
        ground = flight.ground
        expected = expected_layers(flight.scenario, scenes)
        assert {address.product for address in expected} >= {0, 1, 2, 0x8000, 0xFFFE, 0xFFFF}
        for number, path in enumerate(scenes, 1):
            flight.put(path.name, path, mtime_s=FIRST_MTIME_S + number)
        handover = flight.state / "handover"
        flight.start()
        ground.wait_until("a handover", handover.exists)
        flight.kill(flight.pid)
        orphan = flight.worker_pid()
        flight.start()
        ground.wait_until("the worker of the killed process has ended", lambda: not runs(orphan))
        before = handover.stat().st_mtime_ns
        ground.wait_until("another handover", lambda: handover.stat().st_mtime_ns != before)
        flight.kill(flight.worker_pid())
        ground.wait_until("the end of the worker noted", lambda: flight.count("worker ended") == 1)
        ready = flight.count("worker ready")
        ground.wait_until("a new worker", lambda: flight.count("worker ready") > ready)
        ground.work(chance.uniform(0.0, 0.7))
        flight.kill(flight.pid, flight.worker_pid())
        for _ in range(3):
            flight.start()
            ready = flight.count("worker ready")
            ground.wait_until("a worker", lambda ready=ready: flight.count("worker ready") > ready)
            ground.work(chance.uniform(0.0, 0.7))
            flight.kill(*chance.choice([(flight.pid,), (flight.pid, flight.worker_pid())]))
        flight.start()
        ground.wait_until("all layers", lambda: len(ground.station.store) >= len(expected))
        status = ground.wait_until(
            "nothing left to send",
            lambda: (
                (s := flight.status)
                and s["scenes"]["done"] == 3
                and s["coding"]["waiting_tiles"] == s["ledger"]["queued_layers"] == 0
                and s
            ),
        )
        assert ground.payloads == expected
        assert ground.arrivals == Counter(dict.fromkeys(expected, 1))
        assert status["ledger"]["balanced"] and status["ledger"]["captured_layers"] == len(expected)
        assert status["delivered_digest"] == layer_digest(expected).hex()
        assert status["scenes"] == {"waiting": 0, "in_work": 0, "done": 3, "rejected": 0} and status["boot"] == 6
        assert not [path for path in flight.spool.iterdir() if path.suffix == ".tif"]
        assert not list((flight.state / "raw").iterdir())
        lost = [status["coding"][f"{name}_tiles"] for name in ("discarded", "damaged", "given_up")]
        assert lost == [0, 0, 0]
        assert status["references"]["scenes"] == 3 and status["references"]["problem"] == ""
        assert flight.stop() == 0


def test_bad_files_a_full_disk_a_clock_set_back_and_a_clean_stop(tmp_path: Path, scenes: list[Path]) -> None:
    with flying(tmp_path) as flight:
        ground = flight.ground
        _put_bad_files(flight, scenes[0])
        flight.start()
        ground.wait_until("all bad files rejected", lambda: flight.status and flight.status["scenes"]["rejected"] == 6)
        reasons = {path.name: path.read_text() for path in (flight.spool / "rejected").glob("*.reason.txt")}
        assert len(reasons) == 6 and all(reasons.values())
        assert "does not open as a raster" in reasons["text.tif.reason.txt"]
        assert "folder" in reasons["folder.tif.reason.txt"]
        assert flight.status["worker"]["starts"] == 1 and flight.status["healthy"]
        assert flight.status["link"]["open"] and flight.status["link"]["problem"] == ""
        assert (flight.spool / ".writing.tif").exists()
        _assert_small_and_free_of_pixels(flight)

        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.prlimit(flight.pid, resource.RLIMIT_FSIZE, (9000, limit))
        worker_pid = flight.worker_pid()
        flight.put("strip.tif", scenes[0], mtime_s=FIRST_MTIME_S)
        ground.wait_until("a core that was given up", lambda: flight.count("core given up") >= 2)
        status = ground.wait_until(
            "a status that says so", lambda: "products.journal" in flight.status["reason"] and flight.status
        )
        assert not status["healthy"] and status["boot"] == 1
        resource.prlimit(flight.pid, resource.RLIMIT_FSIZE, (limit, limit))
        # The worker's own disk is full, too: what the survey hands over still fits, a block does not.
        resource.prlimit(worker_pid, resource.RLIMIT_FSIZE, (18_000, limit))
        held = ground.wait_until(
            "a worker that is held", lambda: "handover" in flight.status.get("reason", "") and flight.status
        )
        assert held["coding"]["waiting_tiles"] == 2 and held["coding"]["scene"] == 7
        assert held["ledger"]["captured_layers"] > 0 and held["scenes"]["done"] == 1, "the survey is stored"
        resource.prlimit(worker_pid, resource.RLIMIT_FSIZE, (limit, limit))
        ground.wait_until("both images coded", lambda: flight.status.get("coding", {}).get("coded_images") == 2)
        done = ground.wait_until("healthy again", lambda: flight.status.get("healthy") and flight.status)
        assert done["worker"] == {"pid": worker_pid, "starts": 1, "tiles": 2}, "nobody died of a full disk"

        (flight.folder / "skew").write_text("-7200000")
        back = ground.wait_until(
            "a core built again", lambda: flight.status.get("clock", {}).get("restarts") == 1 and flight.status
        )
        assert back["clock"]["now_ms"] < time.time_ns() // 1_000_000 - 7_000_000
        (step,) = [event for event in flight.events if event["event"] == "clock stepped"]
        assert -7_210_000 < step["step_ms"] < -7_190_000
        load = json.loads((flight.folder / "load.json").read_text())
        assert load["at_ms"] > 0 and load["compute_w"] >= 0

        children = children_of(flight.pid)
        assert worker_pid in children
        began_s = time.monotonic()
        assert flight.stop() == 0
        assert time.monotonic() - began_s < 5
        ground.wait_until("no child left", lambda: not any(runs(pid) for pid in children))
        assert not [event for event in flight.events if event["level"] == "error"]


def _put_bad_files(flight: Flight, whole: Path) -> None:
    (flight.spool / "text.tif").write_text("this is no picture\n")
    (flight.spool / "cut.tif").write_bytes(whole.read_bytes()[:300])
    (flight.spool / "odd\nname.tif").write_bytes(whole.read_bytes())
    (flight.spool / os.fsdecode(b"caf\xe9.tif")).write_bytes(whole.read_bytes())
    (flight.spool / "folder.tif").mkdir()
    (flight.spool / "nowhere.tif").symlink_to("absent")
    (flight.spool / ".writing.tif").write_bytes(b"half a pict")
    (flight.spool / "notes.txt").write_text("not looked at")


def _assert_small_and_free_of_pixels(flight: Flight) -> None:
    """The radio's process has loaded no library that reads or codes pixels, and its child has."""
    heavy = ("rasterio", "openvino", "gdal")
    loaded = {
        pid: {word for word in heavy if word in (Path("/proc") / str(pid) / "maps").read_text()}
        for pid in (flight.pid, flight.worker_pid())
    }
    assert loaded[flight.pid] == set() and loaded[flight.worker_pid()] == set(heavy)
    resident = int((Path("/proc") / str(flight.pid) / "statm").read_text().split()[1]) * resource.getpagesize()
    assert resident < 120 * 1024 * 1024
