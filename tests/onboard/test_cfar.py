"""The classical baseline: its parts against independent oracles, its constant false alarm rate, and what it finds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onboard import cfar
from onboard.blobs import blobs_of, box_sums, smallest_rectangles
from onboard.cfar import EVIDENCE, CfarSettings, candidates_in, cfar_detector, terms_of
from onboard.detector import Detector
from onboard.errors import DetectorInputError, ModelFileError
from onboard.rotated_boxes import corners_of, overlaps
from onboard.training.cfar_fit import fit_discriminant
from onboard.training.matching import match

BANDS = ("B02", "B03", "B04", "B08")
SEA = np.array([600.0, 480.0, 260.0, 130.0])[:, None, None]
LAND = np.array([900.0, 1100.0, 1200.0, 1900.0])[:, None, None]
HULL = np.array([1300.0, 1400.0, 1500.0, 1600.0])[:, None, None]
masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))


@pytest.fixture(scope="module")
def baseline() -> Detector:
    return cfar_detector()


def sea(side: int = 200, *, noise_dn: float = 12.0, seed: int = 5) -> np.ndarray:
    return SEA + np.random.default_rng(seed).normal(0, noise_dn, (4, side, side))


def add_ship(
    image: np.ndarray, x: float, y: float, angle: float, *, length: float = 24.0, width: float = 5.0
) -> np.ndarray:
    """Paint a hull, soft at its edge; returns its (4, 2) outline."""
    rows, columns = np.mgrid[: image.shape[1], : image.shape[2]] + 0.5
    along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    across = -(columns - x) * np.sin(angle) + (rows - y) * np.cos(angle)
    share = np.clip(0.5 + np.minimum(length / 2 - np.abs(along), width / 2 - np.abs(across)), 0, 1)
    image += share * (HULL + SEA - image)
    return corners_of(np.array([[x, y, length, width, angle]]))[0]


def counts(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 1, 65_535).astype(np.uint16)


# ---- the parts


@given(masks, st.integers(1, 6))
def test_blobs_are_those_of_scipy(mask: np.ndarray, least: int) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    expected = {
        frozenset(zip(*np.nonzero(labels == number), strict=True))
        for number in range(1, count + 1)
        if (labels == number).sum() >= least
    }
    blobs = blobs_of(mask, min_px=least)
    ends = blobs.starts + blobs.sizes
    found = {
        frozenset(zip(blobs.rows[first:end], blobs.columns[first:end], strict=True))
        for first, end in zip(blobs.starts, ends, strict=True)
    }
    assert found == expected and len(blobs) == len(expected)
    assert blobs.sizes.sum() == len(blobs.blob)


def test_blobs_that_are_too_large_are_left_out() -> None:
    mask = np.zeros((9, 9), bool)
    mask[0, :8] = mask[4, 2:5] = mask[8, 0] = True
    assert blobs_of(mask, min_px=2, max_px=7).sizes.tolist() == [3]


@settings(max_examples=40)
@given(hnp.arrays(np.int16, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)), st.integers(0, 5))
def test_box_sums_add_up_what_is_inside(values: np.ndarray, reach: int) -> None:
    expected = [
        [
            values[max(0, r - reach) : r + reach + 1, max(0, c - reach) : c + reach + 1].sum(dtype=np.int64)
            for c in range(values.shape[1])
        ]
        for r in range(values.shape[0])
    ]
    assert np.array_equal(box_sums(values, reach), expected)


@given(st.floats(0, np.pi), st.floats(14, 40), st.floats(5, 9), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=40)
def test_the_rectangle_of_a_drawn_rectangle_is_that_rectangle(
    angle: float, length: float, width: float, dx: float, dy: float
) -> None:
    drawn = corners_of(np.array([[32 + dx, 32 + dy, length, width, angle]]))
    rows, columns = np.mgrid[:64, :64] + 0.5
    along = (columns - 32 - dx) * np.cos(angle) + (rows - 32 - dy) * np.sin(angle)
    across = -(columns - 32 - dx) * np.sin(angle) + (rows - 32 - dy) * np.cos(angle)
    boxes = smallest_rectangles(blobs_of((np.abs(along) <= length / 2) & (np.abs(across) <= width / 2)))
    iou, _ = overlaps(corners_of(boxes), drawn)
    assert iou[0] > 0.6
    assert np.abs(boxes[0, :2] - (32 + dx, 32 + dy)).max() < 1


def test_no_rectangles_of_no_blobs() -> None:
    assert smallest_rectangles(blobs_of(np.zeros((3, 4), bool))).shape == (0, 5)


def test_terms_are_a_constant_the_evidence_and_every_product() -> None:
    terms = terms_of(np.array([[3.0, -50.0]]), np.array([1.0, 0.0]), np.array([2.0, 5.0]))
    assert terms.tolist() == [[1.0, 1.0, -3.0, 1.0, -3.0, 9.0]]


# ---- the sea alone


@pytest.mark.parametrize("noise_dn", [3.0, 12.0, 60.0, 150.0])
def test_noise_of_any_strength_is_no_ship(baseline: Detector, noise_dn: float) -> None:
    image = SEA * 3 + np.random.default_rng(3).normal(0, noise_dn, (4, 300, 300))
    assert baseline.detect(counts(image), BANDS) == []


def test_the_rate_of_false_alarms_does_not_follow_the_noise() -> None:
    """Pixels over the limit, before blobs are weighed: the same share on a rough sea as on one three times rougher."""
    settings = CfarSettings(spreads=2.0, floor_dn=1.0, size_px=(1, 900), length_px=(0.0, 62.0), levels=1)
    rates = []
    for noise_dn in (40.0, 120.0):
        grain = np.random.default_rng(8).normal(0, noise_dn, (1, 300, 300))
        image = SEA * 4 + grain
        rates.append(len(candidates_in(counts(image), BANDS, settings).corners))
    assert rates[0] > 300
    assert rates[0] == pytest.approx(rates[1], rel=0.1)


def test_a_gradient_of_glint_is_no_ship(baseline: Detector) -> None:
    image = sea() + np.linspace(0, 700, 200)[None, None, :]
    assert baseline.detect(counts(image), BANDS) == []


@pytest.mark.parametrize("value", [0, 137, 10_000, 65_535])
def test_a_tile_of_one_number_has_no_ships(baseline: Detector, value: int) -> None:
    assert baseline.detect(np.full((4, 64, 64), value, np.uint16), BANDS) == []


def test_land_without_water_has_no_ships(baseline: Detector) -> None:
    rough = LAND * np.random.default_rng(1).uniform(0.6, 1.6, (1, 128, 128))
    assert baseline.detect(counts(rough), BANDS) == []


# ---- ships


@pytest.mark.parametrize("angle", np.deg2rad(np.arange(0, 180, 22.5)))
def test_a_ship_at_sea_is_found_once_at_any_heading(baseline: Detector, angle: float) -> None:
    image = sea()
    outline = add_ship(image, 97.3, 104.8, angle)
    found = baseline.detect(counts(image), BANDS)
    assert len(found) == 1
    iou, _ = overlaps(np.array([found[0].corners_px]), outline[None])
    assert iou[0] > 0.5
    assert baseline.model.threshold - 1e-9 <= found[0].confidence <= 1


def test_a_second_ship_close_by_does_not_hide_the_first(baseline: Detector) -> None:
    """The sea around is measured without what stands out of it."""
    image = sea()
    ships = np.array([add_ship(image, 70, 60 + 13 * number, 0.05) for number in range(6)])
    found = baseline.detect(counts(image), BANDS)
    corners = np.array([one.corners_px for one in found])
    assert match(corners, np.array([one.confidence for one in found]), ships).sum() >= 5


def test_a_bright_ship_at_a_quay_comes_free_of_it(baseline: Detector) -> None:
    image = sea()
    image[:, :, :90] = LAND * 0.5 + np.random.default_rng(2).normal(0, 20, (4, 200, 90))
    outline = add_ship(image, 94.0, 100.0, np.pi / 2, length=26, width=6)
    candidates = candidates_in(counts(image), BANDS, CfarSettings()).corners
    iou, _ = overlaps(candidates, np.repeat(outline[None], len(candidates), axis=0))
    assert iou.max() > 0.5


def test_the_place_of_a_ship_moves_with_it(baseline: Detector) -> None:
    image = sea()
    add_ship(image, 97, 104, 0.4)
    pixels = counts(image)
    (whole,) = baseline.detect(pixels, BANDS)
    (part,) = baseline.detect(pixels[:, 40:, 30:], BANDS)
    assert np.abs(np.array(whole.center_px) - part.center_px - (30, 40)).max() < 1.0


def test_the_order_of_bands_does_not_matter(baseline: Detector) -> None:
    image = sea()
    add_ship(image, 97, 104, 0.4)
    pixels, order = counts(image), [3, 0, 2, 1]
    assert baseline.detect(pixels[order], tuple(BANDS[i] for i in order)) == baseline.detect(pixels, BANDS)


def test_the_threshold_can_be_lowered(baseline: Detector) -> None:
    image = sea()
    add_ship(image, 97, 104, 0.4)
    for x in (20, 45, 150):
        add_ship(image, x, 40, 1.0, length=5, width=3)
    eager = cfar_detector(threshold=0.01)
    assert eager.model == baseline.model
    assert len(eager.detect(counts(image), BANDS)) >= len(baseline.detect(counts(image), BANDS)) >= 1


# ---- what is refused


def test_missing_bands_are_refused(baseline: Detector) -> None:
    with pytest.raises(DetectorInputError, match="missing B08") as caught:
        baseline.detect(np.zeros((3, 32, 32), np.uint16), BANDS[:3])
    assert caught.value.needed == baseline.model.bands


def test_other_numbers_are_refused(baseline: Detector) -> None:
    with pytest.raises(DetectorInputError, match="not float32"):
        baseline.detect(np.zeros((4, 32, 32), np.float32), BANDS)


@pytest.mark.parametrize("harm", ["absent", "no JSON", "a weight short"])
def test_a_damaged_file_of_weights_is_refused(harm, tmp_path, monkeypatch) -> None:
    path = tmp_path / "cfar.json"
    if harm == "no JSON":
        path.write_text("weights")
    if harm == "a weight short":
        content = json.loads(cfar.CFAR_FILE.read_text())
        content["discriminant"]["weights"].pop()
        path.write_text(json.dumps(content))
    monkeypatch.setattr(cfar, "CFAR_FILE", path)
    with pytest.raises(ModelFileError, match="restore the file") as caught:
        cfar_detector()
    assert caught.value.path == path


def test_the_committed_weights_are_for_this_evidence() -> None:
    content = json.loads(cfar.CFAR_FILE.read_text())
    assert len(content["discriminant"]["centre"]) == len(EVIDENCE)
    assert min(content["discriminant"]["spread"]) > 0


# ---- the fit


def test_the_fit_tells_what_differs_from_what_does_not() -> None:
    rng = np.random.default_rng(4)
    evidence = rng.normal(0, 1, (400, len(EVIDENCE))) * np.arange(1, len(EVIDENCE) + 1)
    on_ship = evidence[:, 2] + rng.normal(0, 0.3, 400) > 1
    judged = {"one": (cfar.Candidates(corners=np.zeros((400, 4, 2)), evidence=evidence), on_ship)}
    scores = fit_discriminant(judged).scores(evidence)
    assert ((scores > 0.5) == on_ship).mean() > 0.93
    assert scores.mean() == pytest.approx(on_ship.mean(), abs=0.02)
