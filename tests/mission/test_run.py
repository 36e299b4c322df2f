"""Whole runs of a tiny scene: from a GeoTIFF to report.json, with a detector that is known to the last pixel."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from downlink.journal import FileJournal
from downlink.scene import TileOutcome
from ground.store import LayerStore
from mission import cli
from onboard.detection import Detection
from onboard.detector import DetectorModel, PlattCalibration
from onboard.store import ProductStore

HEIGHT, WIDTH, BANDS = 200, 300, 4
SHIPS = ((60, 50), (200, 120), (250, 30))
"""(x, y) of single bright pixels in the sea."""

SCENARIO = """
[mission]
name = "tiny"
start = 2025-02-28T00:05:00Z
seed = 11
[sensor]
capture_before_first_contact_s = 20.0
[power]
meter = "model"
[contacts]
source = "list"
[[contact]]
station = "first"
aos_s = 30.0
duration_s = {first_s}
downlink_bps = 100000
[[contact]]
station = "second"
aos_s = 6000.0
duration_s = {second_s}
downlink_bps = 100000
[channel]
frame_loss = {frame_loss}
[[order]]
at_s = 6001.0
scene = 1
"""


class ShipDetector:
    """Calls bright pixels of the last band ships of 9 x 5 px."""

    model = DetectorModel(
        name="bright", version="0.0.1", classes=("ship",), bands=("B08",), dn_to_input="sqrt_reflectance",
        training_gsd_m=10.0, input_px=640, threshold=0.5, calibration=PlattCalibration(),
        files={"openvino": {"bright.xml": "12" * 32}}, training_data="none", licence="AGPL-3.0-or-later",
    )  # fmt: skip

    def detect(self, pixels, band_names):
        found = []
        for y, x in zip(*np.nonzero(pixels[3] > 9000), strict=True):
            left, top, right, bottom = x - 4.0, y - 2.0, x + 5.0, y + 3.0
            corners = ((left, top), (right, top), (right, bottom), (left, bottom))
            found.append(Detection(class_id=0, confidence=0.75, corners_px=corners))
        return found


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """A scene of sea with three ships, and the detector that finds them."""
    monkeypatch.setattr("mission.run.open_detector", lambda scenario, **_: ShipDetector())
    pixels = np.random.default_rng(0x5EA).integers(300, 420, (BANDS, HEIGHT, WIDTH)).astype(np.uint16)
    for x, y in SHIPS:
        pixels[3, y, x] = 9500
    path = tmp_path / "sea.tif"
    profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": BANDS, "dtype": "uint16"}
    with rasterio.open(path, "w", crs="EPSG:32630", transform=Affine(10, 0, 5e5, 0, -10, 5e6), **profile) as dataset:
        dataset.write(pixels)
        dataset.descriptions = ("B02", "B03", "B04", "B08")
    return path


@pytest.fixture
def fly(scene, tmp_path, capsys):
    """Fly the scene through the command line; gives the output folder."""

    def flown(name="out", *options, first_s=30.0, second_s=30.0, frame_loss=0.05, expect=0):
        scenario = tmp_path / f"{name}.toml"
        scenario.write_text(SCENARIO.format(first_s=first_s, second_s=second_s, frame_loss=frame_loss))
        arguments = ["run", str(scene), "--out", str(tmp_path / name), "--scenario", str(scenario), *options]
        code = cli.main(arguments)
        assert code == expect, capsys.readouterr().err
        return tmp_path / name

    return flown


def report_in(folder):
    return json.loads((folder / "report.json").read_text())


def original(scene):
    with rasterio.open(scene) as dataset:
        return dataset.read()


def rebuilt(folder, scene="sea"):
    with rasterio.open(folder / "ground" / scene / "scene.tif") as dataset:
        return dataset.read()[:BANDS], dataset.dataset_mask() > 0


KEYS = {
    "bytes": {"raw", "lossless", "lossy_equal_quality", "crops_only", "downlinked", "overhead"},
    "saved": {"vs_raw", "vs_lossless", "vs_lossy_equal_quality"},
    "detections": {"onboard", "delivered", "truth", "true_positive", "precision", "recall", "f1"},
    "quality": {"roi_psnr_db", "scene_psnr_db", "valid_fraction"},
    "latency_s": {"first_alert", "alerts_p50", "alerts_p90"},
    "energy_j": {"budget", "spent", "by_step"},
    "throughput": {"mpix_per_s", "wall_s"},
    "ledger": {"captured", "delivered", "queued", "evicted", "discarded", "reasons", "balanced"},
}


def test_contacts_that_carry_everything_bring_the_original_to_the_last_bit(fly, scene):
    folder = fly("all", "--quiet")
    report = report_in(folder)
    assert (report["schema"], report["seed"]) == (1, 11)
    assert {"name": "sea", "bands": BANDS, "height": HEIGHT, "width": WIDTH, "dtype": "uint16"}.items() <= (
        report["scenes"][0].items()
    )
    for part, keys in KEYS.items():
        assert keys <= set(report[part]), part
    pixels, valid = rebuilt(folder)
    assert valid.all()
    assert np.array_equal(pixels, original(scene))
    raw = HEIGHT * WIDTH * BANDS * 2
    ledger = report["ledger"]
    assert (ledger["captured"], ledger["delivered"], ledger["balanced"]) == (1, 1, True)
    assert (ledger["raw_bytes"]["captured"], ledger["raw_bytes"]["delivered"]) == (raw, raw)
    assert ledger["layer_bytes"]["captured"] == ledger["layer_bytes"]["delivered"]
    assert report["bytes"]["raw"] == raw
    assert report["saved"]["vs_raw"] == pytest.approx(1 - report["bytes"]["downlinked"] / raw)
    assert report["quality"]["valid_fraction"] == 1.0
    assert report["quality"]["scene_lossless"] and report["quality"]["scene_psnr_db"] is None
    # Exact pixels everywhere: a file of equal quality is the best exact one.
    assert report["bytes"]["lossy_equal_quality"] == report["bytes"]["lossless"]
    assert (report["detections"]["onboard"], report["detections"]["delivered"]) == (3, 3)
    assert 20.0 < report["latency_s"]["first_alert"] < 30.0
    assert sum(report["energy_j"]["by_step"].values()) == pytest.approx(report["energy_j"]["spent"])
    assert (folder / "report.html").stat().st_size > 10_000
    assert report["coding"]["tiles"] == {"kept": 1, "coded": 1, "waiting": 0, "discarded": 0, "damaged": 0}
    assert report["coding"]["encode_j_saved"] == 0 < report["coding"]["encode_j"]
    uplink = report["link"]["uplink"]
    assert uplink["frames_accepted"] > 0 and uplink["frames_refused"] == 0
    assert (uplink["orders_given"], uplink["orders_acknowledged"]) == (1, 1)
    assert "1 of 1 order executed" in (folder / "report.html").read_text(encoding="utf-8")


def test_journals_hold_what_the_ledger_says(fly):
    folder = fly("books", "--quiet")
    layers = report_in(folder)["ledger"]["layer_bytes"]
    with FileJournal(folder / "onboard" / "products.journal") as journal:
        account = ProductStore(journal).account()
    assert (account.captured_bytes, account.queued_bytes) == (layers["captured"], 0)
    with FileJournal(folder / "ground" / "layers.journal") as journal:
        assert (
            sum(18 + LayerStore(journal).payload_bytes(one) for one in LayerStore(journal).addresses)
            == (layers["delivered"])
        )


@pytest.mark.parametrize(("first_s", "second_s", "whole"), [(0.2, 0.05, False), (0.2, 0.2, True)])
def test_contacts_cut_short_leave_a_scene_with_its_holes_and_errors_stated(fly, scene, first_s, second_s, whole):
    folder = fly("cut", "--quiet", first_s=first_s, second_s=second_s, frame_loss=0.0)
    report = report_in(folder)
    assert report["detections"]["delivered"] == 3
    pixels, valid = rebuilt(folder)
    assert valid.any() and valid.all() == whole
    assert not pixels[:, ~valid].any()
    assert report["quality"]["valid_fraction"] == pytest.approx(valid.mean())
    error = (original(scene)[:, valid].astype(float) - pixels[:, valid]) ** 2
    assert error.any()
    assert report["quality"]["scene_psnr_db"] == pytest.approx(10 * np.log10(10_000**2 / error.mean()))
    assert report["ledger"]["balanced"] is True
    assert report["ledger"]["layer_bytes"]["queued"] > 0
    assert report["bytes"]["downlinked"] <= 100_000 / 8 * (first_s + second_s)
    assert report["bytes"]["lossy_equal_quality"] < report["bytes"]["lossless"]


def test_a_contact_too_short_for_anything_leaves_everything_queued(fly):
    folder = fly("nothing", "--quiet", first_s=0.01, second_s=0.01)
    report = report_in(folder)
    assert report["bytes"]["downlinked"] == 0
    assert (report["ledger"]["queued"], report["ledger"]["balanced"]) == (1, True)
    assert report["ledger"]["reasons"] == {"waiting": 1}
    coding = report["coding"]
    assert (coding["tiles"]["waiting"], coding["encode_j"]) == (1, 0.0) and coding["encode_j_saved"] > 0.3
    assert coding["raw_store_bytes"]["waiting"] == sum(one.stat().st_size for one in folder.glob("onboard/raw/*/*.raw"))
    assert report["detections"]["delivered"] == 0
    assert report["latency_s"]["first_alert"] is None
    assert not list(folder.glob("ground/*/scene.tif"))


def test_the_same_seed_writes_the_same_report_and_another_seed_another(fly):
    def comparable(folder):
        report = report_in(folder)
        del report["throughput"], report["software"]["command"]
        return json.dumps(report)

    one, other = fly("one", "--json"), fly("two", "--json")
    assert comparable(one) == comparable(other)
    assert (one / "ground" / "sea" / "scene.tif").read_bytes() == (other / "ground" / "sea" / "scene.tif").read_bytes()
    journals = ("onboard/products.journal", "ground/layers.journal")
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in journals)
    assert comparable(fly("three", "--quiet", "--seed", "12")) != comparable(one)


def test_json_prints_the_report_alone_and_quiet_prints_nothing(fly, capsys):
    folder = fly("json", "--json", "--no-baselines")
    captured = capsys.readouterr()
    assert captured.out == (folder / "report.json").read_text()
    assert captured.err == ""
    assert json.loads(captured.out)["bytes"]["lossless"] is None
    fly("quiet", "--quiet", "--no-baselines")
    assert capsys.readouterr() == ("", "")


def test_without_either_a_table_is_printed(fly, capsys):
    folder = fly("table", "--no-baselines")
    assert str(folder.name) in capsys.readouterr().out.replace("\n", "")


def test_truth_as_geojson_and_as_labels_gives_the_same_figures(fly, tmp_path, scene):
    boxes = [[(x - 4, y - 2), (x + 5, y - 2), (x + 5, y + 3), (x - 4, y + 3)] for x, y in (*SHIPS[:2], (100, 150))]
    labels = tmp_path / "sea.txt"
    labels.write_text("\n".join("0 " + " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in box) for box in boxes) + "\n\n")
    features = [
        {"type": "Feature", "properties": {"class": "ship", "corners_px": box}, "geometry": None} for box in boxes
    ]
    features.append({"type": "Feature", "properties": {"obscured": True}, "geometry": None})
    collection = tmp_path / "sea.geojson"
    collection.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    figures = [
        report_in(fly(name, "--quiet", "--no-baselines", "--truth", str(truth)))["detections"]
        for name, truth in (("labels", labels), ("geojson", collection))
    ]
    assert figures[0] == figures[1]
    assert (figures[0]["truth"], figures[0]["true_positive"]) == (3, 2)
    assert figures[0]["precision"] == pytest.approx(2 / 3)
    assert figures[0]["recall"] == pytest.approx(2 / 3)


def test_a_damaged_tile_is_told_and_the_run_goes_on(fly, scene, monkeypatch):
    from onboard.errors import TileReadError
    from onboard.sensor_frame import SensorFrame

    def unreadable(self, core, padded):
        raise TileReadError("cannot read block 3: checksum", scene=self.name, window=core)

    monkeypatch.setattr(SensorFrame, "read_around", unreadable)
    folder = fly("damaged", "--quiet")
    report = report_in(folder)
    assert report["ledger"]["reasons"] == {TileOutcome.UNREADABLE.value: 1}
    assert (report["ledger"]["discarded"], report["ledger"]["balanced"]) == (1, True)
    assert report["bytes"]["lossless"] is None
    _, valid = rebuilt(folder)
    assert not valid.any()
