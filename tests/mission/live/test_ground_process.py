"""`tianshu ground` as a process over loopback: a scene comes down, the process is killed, nothing acknowledged is lost."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import nullcontext

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from downlink.housekeeping import Housekeeping
from downlink.image_encoding import encode_image
from downlink.image_layers import pixel_check
from downlink.journal import FileJournal
from downlink.layer_digest import layer_digest
from downlink.prediction import Predicted, Reference, ReferenceBlock
from downlink.products import FIRST_BLOCK, SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from downlink.record import OVERHEAD_BYTES
from downlink.scene import Georeference, SceneSummary, TileOutcome, encode_summary
from downlink.scene import Window as SceneWindow
from ground.store import LayerStore
from mission.link_setup import link_keys, link_profile
from mission.live.contact_windows import ContactWindows
from mission.live.frame_port import open_frame_port
from mission.live.ground_radio import LAYERS_FILE
from mission.live.link_driver import LinkDriver
from mission.live.live_clock import LiveClock
from mission.onboard_end import onboard_computer
from mission.pipeline_setup import ingest_settings, pipeline_settings
from mission.scenario import load_scenario
from onboard.governor import Decision, Effort
from onboard.ingest import open_scene
from onboard.link_events import HousekeepingTaken, LayersCaptured
from onboard.pipeline import ScenePipeline
from onboard.policy import load_policy
from onboard.valuation import ValuedLayer

SIDE_PX = 192
PATIENCE_S = 60
SCENARIO = """
[mission]
name = "loopback"
[contacts]
source = "repeating"
station = "loopback"
period_s = 3.0
duration_s = 2.7
downlink_bps = 400_000
delay_ms = 0
[link]
frame_bytes = 279
"""


class FreeEnergy:
    def decide(self, mpix):
        return Decision(effort=Effort.SCREEN_ONLY, reason="test")

    def may_spend(self, step, mpix):
        return Decision(effort=Effort.DETECT, reason="test")

    def charge(self, step, mpix):
        return nullcontext()


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenario") / "loopback.toml"
    path.write_text(SCENARIO)
    return path, load_scenario(path)


@pytest.fixture(scope="module")
def scene(tmp_path_factory, repository, scenario):
    """A cut of a sample scene: its pixels, and the layers that the pipeline makes of it."""
    cut = tmp_path_factory.mktemp("scene") / "cut & <paste>.tif"
    with rasterio.open(repository / "sample_data" / "harbour_20260301.tif") as whole:
        window = Window(500, 500, SIDE_PX, SIDE_PX)
        pixels = whole.read(window=window)
        profile = {**whole.profile, "width": SIDE_PX, "height": SIDE_PX, "transform": whole.window_transform(window)}
        profile.update(tiled=False, blockxsize=None, blockysize=None)
        with rasterio.open(cut, "w", **{key: value for key, value in profile.items() if value is not None}) as file:
            file.write(pixels)
            file.descriptions = whole.descriptions
    made = []
    with open_scene(cut, ingest_settings(scenario[1])) as frame:
        pipeline = ScenePipeline(
            policy=load_policy(scenario[1].policy.file),
            settings=pipeline_settings(scenario[1], frame.dtype),
            detector=None,
            energy=FreeEnergy(),
            emit=made.extend,
        )
        pipeline.process(frame, scene=3, captured_ms=1_767_225_600_000)
    return pixels, tuple(made)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class GroundProcess:
    """The service, started and killed as often as a test likes."""

    def __init__(self, scenario_path, state):
        self.scenario_path, self.state = scenario_path, state
        self.port, self.peer = free_port(), free_port()
        self.link = f"udp://127.0.0.1:{self.port}?peer=127.0.0.1:{self.peer}"
        self.log = state.parent / "ground.log"
        self.process = None

    def start(self):
        command = ["ground", "--scenario", self.scenario_path, "--state", self.state, "--http", "127.0.0.1:0"]
        command += ["--link", self.link]
        with self.log.open("ab") as log:
            seen = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mission.cli", *map(str, command)],
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s and self.process.poll() is None:
            started = [one for one in self.events(seen) if one["event"] == "service started"]
            if started:
                self.address = started[0]["http"]
                return
            select.select([], [], [], 0.05)
        pytest.fail(self.log.read_text())

    def events(self, seen=0):
        return [json.loads(line) for line in self.log.read_bytes()[seen:].splitlines() if line.endswith(b"}")]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=20) as answer:
            return answer.read()

    def status(self):
        return json.loads(self.get("/status"))


@pytest.fixture
def ground(tmp_path, scenario):
    service = GroundProcess(scenario[0], tmp_path / "state")
    service.start()
    yield service
    if service.process.poll() is None:
        service.kill()


class Satellite:
    """The flight computer with its link driver, in the test's own process."""

    def __init__(self, scenario, ground, layers, references=None):
        profile = link_profile(scenario)
        keys = link_keys(scenario, seed=0)
        self.computer = onboard_computer(profile, capacity_bytes=1 << 30, keys=keys, references=references)
        self.clock = LiveClock()
        self.port = open_frame_port(
            f"udp://127.0.0.1:{ground.peer}?peer=127.0.0.1:{ground.port}",
            frame_bytes_in=profile.uplink_frame_bytes,
            frame_bytes_out=profile.frame_bytes,
        )
        windows = ContactWindows(scenario)
        self.driver = LinkDriver(self.computer, self.port, direction="down", windows=windows, clock=self.clock)
        self.driver.tell(LayersCaptured(layers=layers))
        self.told_s = 0.0

    def until(self, done, what):
        """Flies until that is so."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline_s, f"{what}: {len(self.computer.store.delivered)} layers delivered"
            if time.monotonic() - self.told_s > 1:
                self.told_s = time.monotonic()
                self.driver.tell(HousekeepingTaken(report=self.housekeeping()))
            rest_ms = self.driver.turn() - self.clock.now_ms()
            select.select([self.port.fileno()], [], [], min(0.05, max(0.0005, rest_ms / 1000)))

    def housekeeping(self):
        delivered = self.computer.store.delivered
        return Housekeeping(
            at_ms=self.clock.now_ms(), boot=1, uptime_s=1, delivered_layers=len(delivered), delivered_digest=layer_digest(delivered)
        )  # fmt: skip

    def every_s(self, seconds, done):
        """`done`, asked no more often than that."""
        asked_s = 0.0

        def asked():
            nonlocal asked_s
            if time.monotonic() - asked_s < seconds:
                return False
            asked_s = time.monotonic()
            return done()

        return asked


def test_killed_in_mid_file_the_scene_comes_down_whole_and_both_ends_agree(ground, scenario, scene, tmp_path):
    pixels, layers = scene
    satellite = Satellite(scenario[1], ground, layers)
    store = satellite.computer.store
    satellite.until(lambda: len(store.delivered) > 0 and satellite.computer.open_files > 0, "a beginning")
    heard = satellite.driver.sent_frames
    satellite.until(lambda: satellite.driver.sent_frames > heard + 20, "the middle of a file")
    ground.kill()
    acknowledged = store.delivered
    assert 0 < len(acknowledged) < len(layers)
    with FileJournal(ground.state / LAYERS_FILE) as journal:
        assert LayerStore(journal).addresses >= acknowledged
    ground.start()
    everything = {one.layer.address for one in layers}
    satellite.until(lambda: store.delivered == everything, "everything")
    satellite.until(satellite.every_s(0.5, lambda: ground.status()["agreement"] == "agree"), "agreement")
    satellite.until(satellite.every_s(0.5, lambda: is_whole(ground.status())), "publication")
    status = ground.status()
    assert status["held_digest"] == layer_digest(everything).hex()
    assert (status["boot"], status["healthy"], status["mission"]) == (2, True, "loopback")
    assert status["ledger"]["held_layers"] == len(layers)
    (published,) = status["scenes"]
    assert (published["scene"], published["name"], published["problem"]) == (3, "cut & <paste>", "")
    with rasterio.open(ground.state / "ground" / published["folder"] / "scene.tif") as file:
        assert np.array_equal(file.read(range(1, len(pixels) + 1)), pixels)
    check_pages(ground, published)
    ground.process.send_signal(signal.SIGTERM)
    assert ground.process.wait(20) == 0
    assert ground.events()[-1]["event"] == "service stopped"


def is_whole(status):
    return [one["byte_exact_fraction"] for one in status["scenes"]] == [1.0]


def check_pages(ground, published):
    page = ground.get("/").decode()
    assert "cut &amp; &lt;paste&gt;" in page and "Both ends agree" in page and "Whole, exact to the last bit." in page
    assert ground.get(f"/catalogue/{published['folder']}/browse.png").startswith(b"\x89PNG")
    assert json.loads(ground.get("/catalogue/catalog.json"))["type"] == "Catalog"
    assert json.loads(ground.get("/healthz"))["healthy"] is True
    assert b"tianshu_ground_held_layers" in ground.get("/metrics")
    for path in ("/catalogue/../layers.journal", "/catalogue/%2e%2e/layers.journal", "/layers.journal", "/state"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            ground.get(path)
        assert refused.value.code == 404


def test_a_publisher_that_is_killed_is_replaced_and_the_radio_goes_on(ground, scenario, scene):
    _, layers = scene
    satellite = Satellite(scenario[1], ground, layers)
    satellite.until(satellite.every_s(0.05, lambda: ground.status()["publisher"]["pid"]), "a publisher")
    pid = ground.process.pid
    os.kill(ground.status()["publisher"]["pid"], signal.SIGKILL)
    (ground.state / "orders" / "drop.json").write_text('{"kind": "drop_scene", "scene": 9}')
    satellite.until(satellite.every_s(0.5, lambda: is_whole(ground.status())), "publication")
    status = ground.status()
    assert (status["pid"], status["core_restarts"], status["healthy"]) == (pid, 0, True)
    assert status["publisher"]["starts"] >= 2
    assert "publisher ended" in [one["event"] for one in ground.events()]
    satellite.until(satellite.every_s(0.3, lambda: ground.status()["orders"]["last_executed"] > 0), "the order")
    assert (ground.state / "orders" / "done" / "drop.json").exists()
    children = status["publisher"]["pid"]
    ground.kill()
    satellite.until(satellite.every_s(0.1, lambda: not exists(children)), "the publisher ends with its parent")


class Forgetting:
    """A store of references that notes what it is told."""

    def __init__(self):
        self.taken, self.forgotten = set(), []

    def take(self, address, payload):
        self.taken.add(address)

    def forget(self, scene):
        self.forgotten.append(scene)


def predicted_scene(number, *, on):
    """The layers of a scene whose only block is the exact difference to a block of an earlier scene; its pixels."""
    window = SceneWindow(row=0, col=0, height=SIDE_PX, width=SIDE_PX)
    rng = np.random.default_rng(number)
    earlier, pixels = (rng.integers(1, 4000, (1, SIDE_PX, SIDE_PX)).astype(np.uint16) for _ in range(2))
    valid = np.ones((SIDE_PX, SIDE_PX), bool)
    block = ReferenceBlock(product=FIRST_BLOCK, steps=1, check=pixel_check(earlier))
    reference = Reference(scene=on, row_shift=0, col_shift=0, blocks=(block,), gains=(4096,), offsets=(0,))
    payloads = {}
    for scene, image in (
        (on, encode_image(earlier, window, valid=valid, quality_percent=(100.0,), levels=2, nodata=None)),
        (number, encode_image(
            pixels, window, valid=valid, quality_percent=(100.0,), levels=2, nodata=None,
            predicted=Predicted(reference=reference, pixels=earlier),
        )),
    ):  # fmt: skip
        summary = SceneSummary(
            scene=scene, name=f"scene {scene}", captured_ms=1_767_225_600_000 + scene, height=SIDE_PX, width=SIDE_PX,
            dtype="uint16", band_names=("B02",), nodata=None,
            georeference=Georeference(crs_wkt=None, transform=(1, 0, 0, 0, -1, 0)), peak_dn=4000, tile_px=SIDE_PX,
            tile_outcomes=(TileOutcome.KEPT,), gsd_m=None, footprint_lonlat=None, model=None, classes=(), policy="test",
        )  # fmt: skip
        payloads[LayerAddress(scene=scene, product=SUMMARY_PRODUCT, step=0)] = encode_summary(summary)
        for step, payload in enumerate(image.payloads):
            payloads[LayerAddress(scene=scene, product=FIRST_BLOCK, step=step)] = payload
    return payloads, pixels


def valued(payloads):
    return tuple(
        ValuedLayer(
            layer=Layer(
                address=one, rung=Rung.REFINEMENT, size_bytes=OVERHEAD_BYTES + len(payload), value=1000.0, half_life_s=1e9,
                captured_ms=1_767_225_600_000,
            ),
            payload=payload,
        )
        for one, payload in payloads.items()
    )  # fmt: skip


def test_a_missing_reference_is_told_and_ordered_forgotten_and_its_image_shown_once_it_has_come(ground, scenario):
    payloads, pixels = predicted_scene(5, on=4)
    missing = LayerAddress(scene=4, product=FIRST_BLOCK, step=0)
    late = {missing: payloads.pop(missing)}
    references = Forgetting()
    satellite = Satellite(scenario[1], ground, valued(payloads), references)
    satellite.until(lambda: references.forgotten, "the order to forget")
    assert references.forgotten == [4]
    satellite.until(satellite.every_s(0.3, lambda: waiting_images(ground.status()) == {4: 0, 5: 1}), "its status")
    assert "1 image waits for its reference" in ground.get("/").decode()
    told = [
        (one["scene"], one["images"]) for one in ground.events() if one["event"] == "images wait for their reference"
    ]
    assert told[0] == (5, 1)
    satellite.driver.tell(LayersCaptured(layers=valued(late)))
    satellite.until(satellite.every_s(0.5, lambda: exact_scenes(ground.status()) == {4, 5}), "both scenes")
    folder = {one["scene"]: one for one in ground.status()["scenes"]}[5]["folder"]
    with rasterio.open(ground.state / "ground" / folder / "scene.tif") as file:
        assert np.array_equal(file.read(1), pixels[0])
    assert references.forgotten == [4] and references.taken == payloads.keys() | late.keys()


def waiting_images(status):
    return {one["scene"]: one["waiting_images"] for one in status["scenes"]}


def exact_scenes(status):
    return {one["scene"] for one in status["scenes"] if one["byte_exact_fraction"] == 1.0}


def exists(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_link_that_is_down_is_told_and_no_illness(tmp_path, scenario):
    service = GroundProcess(scenario[0], tmp_path / "state")
    service.link = f"tcp://127.0.0.1:{service.port}"  # nobody listens there
    service.start()
    try:
        deadline_s = time.monotonic() + PATIENCE_S
        while "refused" not in (status := service.status())["link"]["problem"] or not status["healthy"]:
            assert time.monotonic() < deadline_s, status["link"]
            select.select([], [], [], 0.05)
        assert status["link"]["open"] is False
        told = [one["reason"] for one in service.events() if one["event"] == "link closed"]
        assert told[-1] == f"127.0.0.1:{service.port}: Connection refused" and len(told) <= 2
    finally:
        service.kill()
