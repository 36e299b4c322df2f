"""What misleads ship detectors: each of these images through the cascade, with the shipped network and with the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from downlink.scene import TileOutcome
from onboard.cfar import cfar_detector
from onboard.detector import Detector, load_detector
from tests.onboard import failure_images
from tests.onboard.failure_images import FAILURES, FailureImage
from tests.onboard.failure_search import SearchedImage, search, verdict_of

MODEL_DIR = Path(__file__).resolve().parents[2] / "onboard" / "models" / "ship_s2"
NETWORK, BASELINE = "ship_s2", "cfar"
KNOWN_FALSE_ALARMS = {
    (BASELINE, "breakwaters"): "9 false alarms, 3 allowed: pieces of a mole, cut at rising levels",
}
KNOWN_MISSES: dict[tuple[str, str], str] = {}
"""By detector and image: what was measured. A case that passes again is to be taken off."""
NAMES = [paint.__name__ for paint in FAILURES]


@cache
def image_of(name: str) -> FailureImage:
    painted: FailureImage = getattr(failure_images, name)()
    return painted


@cache
def detector_of(name: str) -> Detector:
    return cfar_detector() if name == BASELINE else load_detector(MODEL_DIR, threads=1)


@cache
def searched(detector: str, name: str) -> SearchedImage:
    return search(image_of(name), detector_of(detector))


def cases(names: Sequence[str], known: Mapping[tuple[str, str], str]) -> list[object]:
    """Each image with each detector; what is known to fail is marked with its figure."""
    return [
        pytest.param(
            detector,
            name,
            marks=[pytest.mark.xfail(reason=known[detector, name], strict=False)] if (detector, name) in known else [],
        )
        for detector in (NETWORK, BASELINE)
        for name in names
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_screen_says_what_it_is(name: str) -> None:
    assert searched(BASELINE, name).outcomes[0] is image_of(name).outcome


@pytest.mark.parametrize(("detector", "name"), cases(NAMES, KNOWN_FALSE_ALARMS))
def test_few_false_alarms(detector: str, name: str) -> None:
    image = image_of(name)
    assert verdict_of(image, searched(detector, name).detections).false_alarms <= image.most_false_alarms


@pytest.mark.parametrize(("detector", "name"), cases([name for name in NAMES if image_of(name).ships], KNOWN_MISSES))
def test_ships_that_can_be_seen_are_found_and_each_once(detector: str, name: str) -> None:
    image = image_of(name)
    verdict = verdict_of(image, searched(detector, name).detections)
    assert verdict.found >= image.least_found
    assert verdict.repeated == 0


@pytest.mark.parametrize("detector", [NETWORK, BASELINE])
@pytest.mark.parametrize("name", [name for name in NAMES if image_of(name).outcome is not TileOutcome.KEPT])
def test_what_the_screen_sets_aside_shows_the_detector_nothing(detector: str, name: str) -> None:
    """Screening can be set to let anything pass."""
    assert detector_of(detector).detect(image_of(name).pixels, failure_images.BANDS) == []


@pytest.mark.parametrize("detector", [NETWORK, BASELINE])
def test_the_wake_is_no_part_of_the_ship(detector: str) -> None:
    image = image_of("wakes")
    for one in searched(detector, "wakes").detections:
        distances = [float(np.hypot(*(ship.mean(axis=0) - one.center_px))) for ship in image.ships]
        outline = image.ships[int(np.argmin(distances))]
        longest = max(float(np.linalg.norm(outline[1] - outline[0])), float(np.linalg.norm(outline[2] - outline[1])))
        assert one.length_px <= 1.5 * longest + 2, f"{one.length_px:.0f} px for a ship of {longest:.0f} px"


@pytest.mark.parametrize("paint", [failure_images.ragged_swath_edge, failure_images.quay_cranes])
def test_the_same_name_gives_the_same_pixels(paint) -> None:
    np.testing.assert_array_equal(paint().pixels, image_of(paint.__name__).pixels)


def test_foam_gives_the_light_of_one_per_cent_of_the_sea() -> None:
    """1 % of 0.22 is 22 digital numbers, on the mean of blue, green and red."""
    canvas = failure_images.Canvas(height_px=failure_images.SIDE_PX, width_px=failure_images.SIDE_PX)
    foam = failure_images.foam(canvas, failure_images.stream(failure_images.SEED, "surface of whitecaps"))
    assert 17 <= foam[:3].mean() <= 27


def test_glint_is_as_bright_as_thin_cloud_and_no_cloud() -> None:
    image = image_of("sun_glint").pixels
    assert 700 < np.median(image[3]) < 1500
    # White: near infrared is at least two thirds of blue, where clear water has a tenth.
    assert np.median(image[3] / image[0]) > 0.6


def test_ships_lie_across_the_seams() -> None:
    seam = failure_images.TILE_PX
    image = image_of("tile_seams")
    crossing = [int(((ship.min(axis=0) < seam) & (seam < ship.max(axis=0))).sum()) for ship in image.ships]
    assert len(searched(BASELINE, "tile_seams").outcomes) == 4
    assert min(crossing) == 1 and max(crossing) == 2


def test_near_infrared_sees_the_clouds_elsewhere_than_blue() -> None:
    """The bands look at a cloud one after the other: its edges lie a fraction of a pixel apart."""
    image = image_of("cloud_edges").pixels.astype(np.float64)
    blue, nir = image[0] > 2500, image[3] > 2500
    assert 0 < (blue != nir).sum() < blue.sum()
