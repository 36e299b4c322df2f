"""The benchmark of reference coding on a small pair of its own: rows, savings and plot hang together."""

from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks.coding_reference import as_json, measure, saving
from benchmarks.coding_reference_pairs import ScenePair
from benchmarks.coding_reference_plot import draw_savings


def pair(*, nodata: float | None = None) -> ScenePair:
    rng = np.random.default_rng(5)
    frequencies = np.hypot(np.fft.fftfreq(200)[:, None], np.fft.rfftfreq(200)[None])
    spectrum = np.fft.rfft2(rng.normal(0, 1, (200, 200))) / np.maximum(frequencies, 0.005) ** 1.4
    levels = np.fft.irfft2(spectrum, (200, 200))
    scene = np.stack([110 + 25 * levels / levels.std(), 90 + 20 * levels / levels.std()])

    def taken(top: int, gain: float) -> np.ndarray:
        noisy = gain * scene[:, top : top + 150, 10:160] + rng.normal(0, 1, (2, 150, 150))
        return np.clip(np.rint(noisy), 1, 255).astype(np.uint8)

    return ScenePair(
        sensor="NAIP",
        new_date="2020-08-31",
        old_date="2019-09-04",
        gap_days=362,
        new=taken(22, 1.0),
        old=taken(20, 0.8),
        row_shift_px=2.0,
        col_shift_px=0.0,
        nodata=nodata,
        block_px=75,
        peak_dn=255,
    )


def test_a_fresh_pair_saves_and_plain_differencing_saves_less() -> None:
    rows = measure(pair(nodata=0), [100.0, 5.0])
    assert [row.reference_percent for row in rows] == [100.0, 5.0]
    exact, coarse = rows
    assert exact.choices["difference"] == 1.0
    for target in ("35", "40", "lossless"):
        assert saving(exact, target) > max(0.0, saving(exact, target, plain=True))
    assert saving(exact, "35") > max(0.5, saving(coarse, "35"))
    assert sum(coarse.choices.values()) == pytest.approx(1.0)
    assert len(as_json(rows)["rows"]) == 2


def test_the_plot_is_well_formed() -> None:
    svg = draw_savings(measure(pair(), [5.0]))
    root = ElementTree.fromstring(svg)
    assert len(root.findall(".//{http://www.w3.org/2000/svg}polyline")) == 5
    assert "reference at 5 % of raw bytes" in svg
