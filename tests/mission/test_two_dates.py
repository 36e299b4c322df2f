"""Two dates of one harbour: the second leans on what the ground has acknowledged of the first, and arrives as it was stated."""

from pathlib import Path

import pytest
import rasterio
from rasterio.windows import Window as RasterWindow

from downlink.image_header import distortion, unpack_header
from downlink.products import FIRST_BLOCK
from ground.quality import BYTE_EXACT
from mission.flight import Flight
from mission.measures import coding_figures, compare_scene
from mission.outcome import publish_scenes
from mission.scenario import load_scenario
from onboard.ingest import IngestSettings, open_scene
from onboard.policy import load_policy
from onboard.reference_choice import Choice

SAMPLES = str(Path(__file__).resolve().parents[2] / "sample_data" / "harbour_{}.tif")
CORNER = RasterWindow(512, 512, 384, 320)
"""Land and quay: most of it is the same ten days later."""
POLICY = load_policy()
SCENARIO = """
[mission]
name = "two dates"
start = 2025-02-28T00:05:00Z
seed = 11
[sensor]
capture_before_first_contact_s = 60.0
capture_interval_s = 3000.0
[power]
meter = "model"
[contacts]
source = "list"
[[contact]]
station = "first"
aos_s = 100.0
duration_s = 60.0
downlink_bps = 1000000
[[contact]]
station = "second"
aos_s = 6000.0
duration_s = {second_s}
downlink_bps = 1000000
[channel]
frame_loss = 0.02
"""


@pytest.fixture(scope="module")
def dates(tmp_path_factory):
    """The same corner on both dates, as files."""
    paths = []
    for date in ("20260301", "20260311"):
        with rasterio.open(SAMPLES.format(date)) as scene:
            profile = scene.profile | {
                "height": CORNER.height, "width": CORNER.width, "transform": scene.window_transform(CORNER)
            }  # fmt: skip
            path = tmp_path_factory.mktemp("dates") / f"corner_{date}.tif"
            with rasterio.open(path, "w", **profile) as corner:
                corner.write(scene.read(window=CORNER))
                corner.descriptions = scene.descriptions
        paths.append(path)
    return paths


@pytest.fixture(scope="module")
def fly(dates, tmp_path_factory):
    """Fly both dates; gives the record and the figures of the second scene on the ground."""

    def flown(*, enabled=True, second_s=60.0):
        folder = tmp_path_factory.mktemp("flight")
        (folder / "scenario.toml").write_text(SCENARIO.format(second_s=second_s))
        rules = POLICY.reference.model_copy(update={"enabled": enabled})
        flight = Flight(
            scenario=load_scenario(str(folder / "scenario.toml")),
            policy=POLICY.model_copy(update={"reference": rules}),
            detector=None,
            seed=5,
        )
        first, second = (open_scene(path, IngestSettings()) for path in dates)
        with first, second:
            record = flight.fly([first, second])
            published = publish_scenes(record, folder)
            quality = compare_scene(second, record.scenes[1], published[2])
        return record, quality, published[2]

    return flown


@pytest.fixture(scope="module")
def leaning(fly):
    return fly()


def layers_of(record, scene):
    return [layer for address, layer in record.captured.items() if address.scene == scene and address.is_block]


def test_the_second_date_costs_less_at_equal_quality(fly, leaning):
    alone, exact, _ = fly(enabled=False)
    record, quality, _ = leaning
    assert quality.scene.identical and exact.scene.identical
    sizes = [sum(layer.size_bytes for layer in layers_of(one, 2)) for one in (record, alone)]
    assert sizes[0] < 0.95 * sizes[1]
    assert layers_of(record, 1) == layers_of(alone, 1)
    first, second = record.coding.blocks
    assert (first.choice, second.choice, second.reference_scene) == (Choice.ALONE, Choice.DIFFERENCE, 1)
    assert coding_figures(record).blocks == {"alone": 1, "difference": 1}
    assert coding_figures(alone).blocks == {"alone": 2}


def test_the_ground_shows_what_was_stated(leaning):
    _, _, published = leaning
    with rasterio.open(published.cog) as scene:
        quality = scene.read(scene.descriptions.index("quality") + 1)
    assert (quality == BYTE_EXACT).all()


def test_a_contact_cut_short_leaves_the_error_that_was_stated(fly):
    record, quality, _ = fly(second_s=0.25)
    store = record.layer_store
    held = sorted(one for one in store.addresses if (one.scene, one.product) == (2, FIRST_BLOCK))
    assert 1 <= len(held) < len(layers_of(record, 2))
    header, _ = unpack_header(store.payload(held[0]))
    assert header.reference is not None
    assert quality.scene.samples == quality.original_valid * 4 == quality.rebuilt_valid * 4
    stated = distortion(header.distortion_codes[len(held) - 1])
    # Measured on board on a sample of rows, and carried within 4.5 %.
    assert quality.scene.mse == pytest.approx(stated, rel=0.15)
