"""Points: what a step adds, what all steps add up to, and which alerts go first."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.alerts import BATCH_LIMIT, decode_alerts
from downlink.image_encoding import ImageProduct, encode_image
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, FIRST_CHIP, LayerAddress, Rung
from downlink.record import OVERHEAD_BYTES
from downlink.scene import Georeference, SceneSummary, TileOutcome, Window, decode_summary
from onboard.coding_forecast import BlockForecast
from onboard.detection import Detection
from onboard.policy import load_policy
from onboard.valuation import (
    block_points,
    expected_layers,
    settled_mse,
    usefulness,
    value_alerts,
    value_image,
    value_summary,
)
from onboard.value_map import value_map

POLICY = load_policy()
PEAK_DN = 10_000
CAPTURED_MS = 1_750_000_000_123


def image(*mse, weighted_mse=None):
    payloads = tuple(bytes([0x12 + n]) * (5 + 3 * n) for n in range(len(mse)))
    window = Window(row=0, col=0, height=4, width=4)
    return ImageProduct(window=window, payloads=payloads, mse=mse, weighted_mse=weighted_mse or mse)


def valued(product, points=7.0, number=FIRST_BLOCK, interest=POLICY.blocks):
    address = LayerAddress(scene=3, product=number, step=0)
    return value_image(
        product, address, points=points, interest=interest, policy=POLICY, captured_ms=CAPTURED_MS, peak_dn=PEAK_DN
    )


def mse_of(psnr_db):
    return PEAK_DN**2 / 10 ** (psnr_db / 10)


DISTORTIONS = st.lists(st.floats(0.01, 1e8), max_size=5).map(lambda mse: (*mse, 0.0))


@given(DISTORTIONS, st.floats(0, 1e6))
def test_the_steps_of_an_image_are_together_worth_its_points_and_the_bonus_of_exactness(mse, points):
    layers = valued(image(*mse), points)
    assert sum(one.layer.value for one in layers) == pytest.approx(points * (1 + POLICY.blocks.lossless_bonus))
    assert all(one.layer.value >= 0 for one in layers)


@given(DISTORTIONS)
def test_a_prefix_is_worth_the_best_quality_reached_in_it(mse):
    layers, best, total = valued(image(*mse), 1.0), 0.0, 0.0
    for one, reached in zip(layers[:-1], mse[:-1], strict=True):
        best, total = max(best, usefulness(reached, POLICY, PEAK_DN)), total + one.layer.value
        assert total == pytest.approx(best, abs=1e-12)


@given(st.floats(1e-6, 1e12), st.floats(1e-6, 1e12))
def test_usefulness_never_rises_with_distortion_and_stays_within_0_and_1(one, other):
    low, high = sorted((one, other))
    assert 0 <= usefulness(high, POLICY, PEAK_DN) <= usefulness(low, POLICY, PEAK_DN) <= 1
    assert usefulness(0.0, POLICY, PEAK_DN) == 1


def test_usefulness_is_linear_in_decibels_between_the_bounds_of_the_policy():
    low, high = POLICY.useful_psnr_db
    assert usefulness(mse_of(low - 3), POLICY, PEAK_DN) == 0
    assert usefulness(mse_of(high + 3), POLICY, PEAK_DN) == 1
    assert usefulness(mse_of(low + (high - low) / 4), POLICY, PEAK_DN) == pytest.approx(0.25)


def test_layers_of_a_block_climb_the_ladder_and_those_of_a_chip_are_chips():
    blocks = valued(image(900.0, 50.0, 0.0))
    assert [one.layer.rung for one in blocks] == [Rung.PREVIEW, Rung.REFINEMENT, Rung.LOSSLESS]
    assert [one.layer.address.step for one in blocks] == [0, 1, 2]
    assert [one.layer.size_bytes for one in blocks] == [OVERHEAD_BYTES + size for size in (5, 8, 11)]
    assert {one.layer.half_life_s for one in blocks} == {POLICY.blocks.half_life_s}
    assert {one.layer.captured_ms for one in blocks} == {CAPTURED_MS}
    chips = valued(image(900.0, 0.0), number=FIRST_CHIP + 9, interest=POLICY.chips)
    assert {one.layer.rung for one in chips} == {Rung.CHIP}
    assert {one.layer.address.product for one in chips} == {FIRST_CHIP + 9}


def test_one_exact_step_is_a_preview_worth_everything():
    (only,) = valued(image(0.0), 2.0)
    assert only.layer.value == pytest.approx(2.0 * (1 + POLICY.blocks.lossless_bonus))


@given(DISTORTIONS, st.floats(1e-3, 1e3))
def test_the_error_where_it_matters_counts_and_not_that_of_every_pixel(mse, factor):
    weighted = tuple(value * factor for value in mse)
    steps = [one.layer for one in valued(image(*mse, weighted_mse=weighted))]
    assert steps == [one.layer for one in valued(image(*weighted))]


FORECASTS = st.lists(st.tuples(st.integers(1, 10**6), st.floats(0.01, 1e8)), min_size=1, max_size=6)


@given(FORECASTS, st.floats(0, 1e6))
def test_expected_layers_follow_the_laws_of_coded_ones(steps, points):
    mse = (*(left for _, left in steps[:-1]), 0.0)
    payloads = tuple(bytes(size_bytes % 1000) for size_bytes, _ in steps)
    coded = ImageProduct(
        window=Window(row=0, col=0, height=4, width=4), payloads=payloads, mse=(7.0,) * len(mse), weighted_mse=mse
    )
    expected = expected_layers(
        BlockForecast(size_bytes=tuple(len(payload) for payload in payloads), mse=mse),
        LayerAddress(scene=3, product=FIRST_BLOCK, step=0),
        points=points, interest=POLICY.blocks, policy=POLICY, captured_ms=CAPTURED_MS, peak_dn=PEAK_DN,
    )  # fmt: skip
    assert expected == tuple(one.layer for one in valued(coded, points))


@given(st.lists(st.floats(0, 9), min_size=1, max_size=40), st.floats(0, 50), st.floats(0.1, 10))
def test_points_of_a_block_are_its_weights_in_millions_of_pixels(weights, area_weight, factor):
    weights = np.array(weights, np.float32)[None]
    points = block_points(weights, POLICY.blocks, area_weight=area_weight)
    assert points == pytest.approx(POLICY.blocks.value * weights.sum() / 1e6 * area_weight, rel=1e-5)
    assert block_points(weights * np.float32(factor), POLICY.blocks, area_weight=area_weight) == pytest.approx(
        points * factor, rel=1e-5
    )


def coded_block(cloud, *, weights=POLICY.map):
    """A textured block under a map, coded for real; the values of its layers."""
    window = Window(row=0, col=0, height=64, width=64)
    pixels = np.random.default_rng(5).integers(200, 900, (2, 64, 64)).astype(np.uint16)
    valid = np.ones((64, 64), bool)
    made = value_map(window, valid, cloud=cloud, detections=(), changed=None, weights=weights)
    coded = encode_image(
        pixels, window, valid=valid, quality_percent=POLICY.blocks.quality_percent, levels=3, nodata=None, weights=made
    )
    points = block_points(made, POLICY.blocks, area_weight=1.0)
    return [one.layer.value for one in valued(coded, points)]


def test_a_block_under_cloud_is_worth_next_to_nothing_and_a_scaled_map_scales_every_step():
    everywhere = np.ones((64, 64), bool)
    clear, cloudy = coded_block(~everywhere), coded_block(everywhere)
    assert sum(cloudy) == pytest.approx(POLICY.map.cloud * sum(clear), rel=1e-4) and sum(cloudy) < 0.1 * sum(clear)
    doubled = POLICY.map.model_copy(update={"clear": 2 * POLICY.map.clear, "cloud": 2 * POLICY.map.cloud})
    assert coded_block(everywhere, weights=doubled) == pytest.approx([2 * value for value in cloudy], rel=1e-4)
    worthless = POLICY.map.model_copy(update={"cloud": 0.0})
    assert not any(coded_block(everywhere, weights=worthless))


def detection(number, confidence):
    x, y = 10.0 + 7 * number, 20.0 + 3 * number
    return Detection(class_id=0, confidence=confidence, corners_px=((x, y), (x + 6, y), (x + 6, y + 2), (x, y + 2)))


def test_alerts_go_in_batches_the_most_valuable_first():
    count = 2 * BATCH_LIMIT + 3
    points = [math.sin(number) + 2 for number in range(count)]
    detections = [detection(number, number / count) for number in range(count)]
    batches = value_alerts(detections, points, scene=9, policy=POLICY, captured_ms=CAPTURED_MS)
    assert [one.layer.address for one in batches] == [
        LayerAddress(scene=9, product=ALERTS_PRODUCT, step=step) for step in range(3)
    ]
    alerts = [decode_alerts(one.payload) for one in batches]
    assert [len(batch) for batch in alerts] == [BATCH_LIMIT, BATCH_LIMIT, 3]
    ranked = sorted(range(count), key=lambda number: -points[number])
    sent_rows = [alert.corners_px[0][1] for batch in alerts for alert in batch]
    assert sent_rows == [pytest.approx(20.0 + 3 * number, abs=0.1) for number in ranked]
    values = [one.layer.value for one in batches]
    assert values[0] == pytest.approx(POLICY.alerts.value * sum(sorted(points)[-BATCH_LIMIT:]))
    assert sum(values) == pytest.approx(POLICY.alerts.value * sum(points))


def test_no_detections_give_no_alerts():
    assert value_alerts([], [], scene=9, policy=POLICY, captured_ms=CAPTURED_MS) == ()


def test_the_summary_is_valued_as_the_policy_says():
    summary = SceneSummary(
        scene=0x01020304, name="harbour", captured_ms=CAPTURED_MS, height=512, width=512, dtype="uint16",
        band_names=("B02",), nodata=None, georeference=Georeference(crs_wkt=None, transform=(1, 0, 0, 0, 1, 0)),
        peak_dn=PEAK_DN, tile_outcomes=(TileOutcome.KEPT,), gsd_m=None, footprint_lonlat=None, model=None, classes=(),
        policy="maritime",
    )  # fmt: skip
    one = value_summary(summary, POLICY)
    assert decode_summary(one.payload) == summary
    assert (one.layer.value, one.layer.half_life_s) == (POLICY.summary.value, POLICY.summary.half_life_s)
    assert (one.layer.rung, one.layer.address.is_express) == (Rung.SUMMARY, True)
    assert one.layer.size_bytes == OVERHEAD_BYTES + len(one.payload)


def test_less_than_the_settled_error_is_no_more_use() -> None:
    policy = POLICY
    settled = settled_mse(policy, 10_000)
    assert usefulness(settled, policy, 10_000) == pytest.approx(1.0)
    assert usefulness(settled * 1.5, policy, 10_000) < 1.0 == usefulness(settled / 2, policy, 10_000)
