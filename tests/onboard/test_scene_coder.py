"""Coding in order of value: what is coded, at which price and energy, and that a restart codes the same."""

from pathlib import Path

import numpy as np
import pytest

from downlink.image_layers import ImageAssembly
from downlink.products import FIRST_BLOCK
from downlink.requests import LayerRequest
from onboard.energy_prices import EnergyStep
from onboard.processed_scene import PipelineSettings, TilePixels
from onboard.raw_store import RawStore
from onboard.reference_choice import Choice
from onboard.scene_coder import SceneCoder
from onboard.scene_survey import SceneSurvey
from onboard.screening import ScreeningSettings
from onboard.uncoded_tiles import UncodedTiles
from tests.onboard.test_pipeline import (
    CAPTURED_MS,
    HALO_PX,
    POLICY,
    TILE_PX,
    Allowing,
    BrightPixelDetector,
    frame_of,
    paint_ship,
    sea,
)


class Satellite:
    """Survey and coder over one raw store."""

    def __init__(self, raw=None, *, energy=None, policy=POLICY, references=None):
        self.places = {}
        self.raw = raw or RawStore(None, capacity_bytes=1 << 40)
        self.tiles = UncodedTiles(
            self.raw, on_pixels=lambda scene, tile, pixels: self.places.__setitem__((scene, tile), pixels)
        )
        self.energy, self.layers = energy or Allowing(), []
        self.coder = SceneCoder(
            policy=policy, tiles=self.tiles, energy=self.energy, emit=self.layers.extend, references=references
        )

    def survey(self, pixels, scene=5):
        survey = SceneSurvey(
            policy=POLICY,
            settings=PipelineSettings(
                screening=ScreeningSettings(), peak_dn=10_000, tile_px=TILE_PX, halo_px=HALO_PX, edge_px=8
            ),
            detector=BrightPixelDetector(),
            energy=self.energy,
            tiles=self.tiles,
            emit=lambda layers: None,
        )
        return survey.survey(frame_of(pixels), scene=scene, captured_ms=CAPTURED_MS)

    def code(self, price=0.0, requests=()):
        return self.coder.code_next(CAPTURED_MS, price=price, requests=requests)

    def code_all(self):
        return list(iter(self.code, None))

    def pixels_of(self, product, scene=5):
        assembly = ImageAssembly(nodata=None)
        for one in self.layers:
            if (one.layer.address.scene, one.layer.address.product) == (scene, product):
                assembly.add(one.layer.address.step, one.payload)
        return assembly.decode()


def coast(seed=7):
    """Six tiles: quiet sea, rough land, and a ship in tile 4."""
    pixels = sea(256, 384, seed=seed)
    pixels[:, :128, 128:256] *= 9
    paint_ship(pixels, 190, 200)
    return pixels


def test_all_is_coded_exactly_and_nothing_stays_raw():
    pixels = coast()
    satellite = Satellite()
    satellite.survey(pixels)
    blocks = satellite.code_all()
    assert sorted(block.tile for block in blocks) == list(range(6))
    assert satellite.raw.scenes == () and set(satellite.places.values()) == {TilePixels.CODED}
    for block in blocks:
        image = satellite.pixels_of(block.product)
        assert image.lossless and np.array_equal(image.pixels, pixels[(slice(None), *image.window.slices)])
        sent = sum(one.layer.size_bytes for one in satellite.layers if one.layer.address.product == block.product)
        assert (block.size_bytes, block.choice, block.reference_scene) == (sent, Choice.ALONE, None)
    assert satellite.code() is None and satellite.coder.refusal == ""


def first_density(satellite, product):
    """Value per byte of the best beginning of a coded block."""
    layers = [one.layer for one in satellite.layers if one.layer.address.product == product]
    sums = np.cumsum([[layer.value, layer.size_bytes] for layer in layers], axis=0)
    return (sums[:, 0] / sums[:, 1]).max()


def test_what_turns_out_to_be_worth_least_comes_last_and_not_at_all_below_the_price():
    satellite = Satellite()
    satellite.survey(coast())
    blocks = satellite.code_all()
    found = [first_density(satellite, block.product) for block in blocks]
    assert blocks[-1].tile == 1, "rough land takes most bytes"
    assert found[-1] < min(found[:-1]) / 10
    dear = Satellite()
    dear.survey(coast())
    assert dear.code(price=max(found) * 100) is None
    some = list(iter(lambda: dear.code(price=min(found[:-1]) / 3), None))
    assert [block.tile for block in some] == [block.tile for block in blocks[:-1]]
    assert dear.raw.tiles(5) == (1,) and dear.places[5, 1] is TilePixels.RAW


def test_a_request_of_the_ground_comes_first():
    wanted = LayerRequest(
        scene=5,
        first_product=FIRST_BLOCK + 1,
        last_product=FIRST_BLOCK + 1,
        last_step=255,
        factor=1e4,
        until_ms=1 << 60,
    )
    satellite = Satellite()
    satellite.survey(coast())
    assert satellite.code(requests=[wanted]).tile == 1
    assert satellite.code().tile != 1


def test_without_energy_nothing_is_coded_and_nothing_is_lost():
    satellite = Satellite(energy=Allowing(codings=2))
    satellite.survey(coast())
    charged = len(satellite.energy.charged)
    assert len(satellite.code_all()) == 2
    assert satellite.coder.refusal == "0 left"
    assert [step for step, _ in satellite.energy.charged[charged:]] == [EnergyStep.ENCODE] * 2
    satellite.energy.codings = 9
    assert len(satellite.code_all()) == 4 and satellite.coder.refusal == ""


@pytest.mark.parametrize("done", [0, 1, 3, 5])
def test_a_restart_anywhere_codes_exactly_the_rest(tmp_path: Path, done):
    whole = Satellite()
    whole.survey(coast())
    whole.survey(coast(seed=8), scene=6)
    whole.code_all()
    before = Satellite(RawStore(tmp_path, capacity_bytes=1 << 40))
    before.survey(coast())
    before.survey(coast(seed=8), scene=6)
    for _ in range(done):
        before.code()
    after = Satellite(RawStore(tmp_path, capacity_bytes=1 << 40))
    after.coder.resume()
    after.code_all()
    layers = [(one.layer, one.payload) for one in before.layers + after.layers]
    assert layers == [(one.layer, one.payload) for one in whole.layers]
    assert after.tiles.account.kept.tiles == 12 - done


def test_a_block_that_was_durable_before_the_restart_is_not_coded_again(tmp_path: Path):
    before = Satellite(RawStore(tmp_path, capacity_bytes=1 << 40))
    before.survey(coast())
    after = Satellite(RawStore(tmp_path, capacity_bytes=1 << 40))
    after.coder.resume()
    after.tiles.coded_before(5, [FIRST_BLOCK, FIRST_BLOCK + 3, FIRST_BLOCK + 77])
    assert sorted(block.tile for block in after.code_all()) == [1, 2, 4, 5]


def test_a_scene_whose_note_is_damaged_is_given_up_and_the_others_are_coded(monkeypatch):
    satellite = Satellite()
    satellite.survey(coast())
    satellite.survey(coast(seed=8), scene=6)
    note = satellite.raw.note
    monkeypatch.setattr(satellite.raw, "note", lambda scene: b"{" if scene == 5 else note(scene))
    assert {block.scene for block in satellite.code_all()} == {6}
    assert satellite.tiles.account.damaged.tiles == 6 and satellite.raw.scenes == ()


def test_pixels_around_detections_are_told_better_than_the_rest():
    pixels = coast()
    plain, weighted = (
        Satellite(policy=POLICY.model_copy(update={"map": POLICY.map.model_copy(update={"detection": 1.0})})),
        Satellite(),
    )
    for satellite in (plain, weighted):
        satellite.survey(pixels)
        satellite.code_all()
    product = FIRST_BLOCK + 4
    values = [
        sum(one.layer.value for one in satellite.layers if one.layer.address.product == product)
        for satellite in (plain, weighted)
    ]
    assert values[1] > values[0] * 1.05


class Asked:
    """References that hold nothing, and note what was asked."""

    def __init__(self):
        self.windows = []

    def candidates(self, georeference, band_names, dtype, window, *, newest=2):
        self.windows.append((dtype, band_names, window, newest))
        return ()


def test_references_are_asked_for_each_block_unless_the_policy_forbids_it():
    asked = Asked()
    satellite = Satellite(references=asked)
    satellite.survey(coast())
    blocks = satellite.code_all()
    assert [(window.row // TILE_PX) * 3 + window.col // TILE_PX for _, _, window, _ in asked.windows] == [
        block.tile for block in blocks
    ]
    assert asked.windows[0][:2] == ("uint16", ("B02", "B03", "B04", "B05"))
    forbidden = Asked()
    rules = POLICY.reference.model_copy(update={"enabled": False})
    alone = Satellite(references=forbidden, policy=POLICY.model_copy(update={"reference": rules}))
    alone.survey(coast())
    alone.code_all()
    assert forbidden.windows == []
