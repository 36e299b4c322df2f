"""A scene worked through again after a restart: nothing that is kept is coded twice, whatever energy there is now."""

import pytest

from downlink.products import FIRST_BLOCK, SUMMARY_PRODUCT
from downlink.scene import TileOutcome
from onboard.energy_prices import EnergyStep
from onboard.governor import Effort
from onboard.pipeline import PipelineSettings, ScenePipeline
from onboard.screening import ScreeningSettings
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


def batches_of(kept=frozenset(), *efforts):
    """What is handed over together, the scene, and the energy port, where these products are kept already."""
    pixels = sea(200, 300)
    for x, y in ((30, 40), (150, 60), (260, 160)):
        paint_ship(pixels, x, y)
    batches, energy = [], Allowing(*efforts)
    pipeline = ScenePipeline(
        policy=POLICY,
        settings=PipelineSettings(
            screening=ScreeningSettings(), peak_dn=10_000, tile_px=TILE_PX, halo_px=HALO_PX, edge_px=8
        ),
        detector=BrightPixelDetector(),
        energy=energy,
        emit=lambda layers: batches.append([(one.layer.address, one.payload) for one in layers]),
        is_kept=kept.__contains__,
    )
    return batches, pipeline.process(frame_of(pixels), scene=5, captured_ms=CAPTURED_MS), energy


def products(batches):
    return [{address.product for address, _ in batch} for batch in batches]


def test_a_restart_between_any_two_handovers_leaves_exactly_the_rest_to_do():
    whole, scene, _ = batches_of()
    assert len(whole) == 6 + 1 + 3, "six blocks, a summary with alerts, three chips"
    for done in range(len(whole) + 1):
        kept = frozenset().union(*products(whole[:done]))
        rest, again, energy = batches_of(kept)
        assert rest == whole[done:]
        assert again.summary == scene.summary and again.chips == scene.chips
        coded = sum(step is EnergyStep.ENCODE for step, _ in energy.charged)
        assert coded == sum(SUMMARY_PRODUCT not in batch for batch in products(rest))


@pytest.mark.parametrize("effort", [Effort.SKIP, Effort.SCREEN_ONLY])
def test_with_less_energy_than_before_no_product_gets_a_second_coding(effort):
    whole, _, _ = batches_of()
    for done in (1, 5, 6, 7, 8):
        kept = frozenset().union(*products(whole[:done]))
        rest, again, _ = batches_of(kept, effort)
        assert all(kept.isdisjoint(batch) for batch in products(rest))
        for index, tile in enumerate(again.tiles):
            if FIRST_BLOCK + index in kept:
                assert tile.outcome is TileOutcome.SCREENED, (
                    "its block is on its way: the summary must not say otherwise"
                )
