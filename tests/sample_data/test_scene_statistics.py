"""The committed scenes against figures measured on real Sentinel-2 ports."""

from __future__ import annotations

from pathlib import Path

import pytest

import sample_data
from sample_data.geotiff import scene_stem
from sample_data.measure import Figures, measure, read_subject

REAL_SCENES = Path(__file__).parents[3] / "shared" / "data" / "s2_ships"

REAL = {
    "sea B02 p50": (270, 1530), "sea B03 p50": (133, 1542), "sea B04 p50": (58, 1294), "sea B08 p50": (41, 1293),
    "land B02 p50": (534, 1473), "land B03 p50": (759, 1621), "land B04 p50": (680, 1803), "land B08 p50": (2015, 3131),
    "land B02 p95": (1308, 2461), "land B03 p95": (1788, 2921), "land B04 p95": (1996, 3327), "land B08 p95": (2993, 4743),
    "sea residual B02, DN": (9.7, 33.4), "sea residual B08, DN": (4.2, 28.4),
    "sea residual correlation, lag 1": (0.39, 0.72), "sea residual correlation, lag 2": (0.0, 0.43),
    "sea residual correlation B02-B08": (0.05, 0.69), "sea residual correlation B02-B03": (0.05, 0.62),
    "land texture B04, DN": (78, 419), "land texture B08, DN": (198, 520),
    "land gradient B04 p90": (256, 608), "land gradient B08 p90": (277, 494),
    "land correlation B04, lag 1": (0.75, 0.90), "land correlation B08, lag 1": (0.73, 0.91),
    "land B04 power at 2-4 px": (0.01, 0.15), "land B04 power at 4-8 px": (0.13, 0.35),
    "land B04 power at 8-16 px": (0.28, 0.37),
    "ship outline length p50, m": (88, 282), "ship outline width p50, m": (42, 73),
    "ship contrast B02, DN": (162, 1142), "ship contrast B08, DN": (149, 840),
    "ship peak contrast B02, DN": (510, 2722), "ship peak contrast B08, DN": (420, 2010),
    "outline minus half-maximum width, m": (20, 52),
}  # fmt: skip
"""Lowest and highest over nine real scenes (sen2ships, github.com/ShipDetectionExperts/sen2ships @ d8e83c1, without
santos, which has other bands), printed by `python -m sample_data.measure` and rounded outwards."""

SLACK = 0.05
"""Generated figures may leave the real range by this fraction of its upper end: nine scenes do not show all there is."""


@pytest.fixture(scope="module", params=(0, 1))
def generated(request: pytest.FixtureRequest) -> Figures:
    folder = Path(sample_data.__file__).parent
    return measure(read_subject(folder / f"{scene_stem(request.param)}.tif"))


@pytest.mark.parametrize("figure", REAL)
def test_generated_figure_lies_in_the_range_of_the_real_scenes(generated: Figures, figure: str) -> None:
    low, high = REAL[figure]
    assert low - SLACK * high <= generated[figure] <= high + SLACK * high


def test_the_recorded_ranges_hold_for_a_real_scene() -> None:
    path = REAL_SCENES / "images" / "casablanca_2023-04-26.tif"
    if not path.exists():
        pytest.skip(f"the real scene {path.name} is not here: ../shared/data/s2_ships is absent")
    figures = measure(read_subject(path))
    outside = {name: figures[name] for name, (low, high) in REAL.items() if not low <= figures[name] <= high}
    assert not outside


def test_sea_is_dark_and_land_is_bright_in_the_near_infrared(generated: Figures) -> None:
    assert generated["sea B08 p5"] >= 50 and generated["sea B08 p95"] <= 400
    assert generated["land B08 p5"] > 3 * generated["sea B08 p95"]
