"""Gain and offset are found though much has changed, in the units that travel."""

import numpy as np
import pytest

from onboard.radiometric_fit import fit_details, fit_levels


@pytest.mark.parametrize("fit", [fit_levels, fit_details])
def test_gain_and_offset_survive_changes(fit: object) -> None:
    rng = np.random.default_rng(7)
    old = rng.normal(0, 40, (2, 90, 100)).cumsum(axis=2) % 3000 + 800
    new = np.stack([1.25 * old[0] - 300, 0.5 * old[1] + 77.5]) + rng.normal(0, 3, old.shape)
    new[:, :25] = rng.uniform(0, 9000, (2, 25, 100))  # more than a quarter has changed
    usable = np.ones((90, 100), bool)
    usable[80:] = False
    new[:, 80:] = 0
    found = fit(np.rint(new), np.rint(old), usable)  # type: ignore[operator]
    assert found is not None
    assert [gain / 4096 for gain in found.gains] == pytest.approx([1.25, 0.5], abs=0.01)
    at_mean = [gain / 4096 * 2000 + offset / 16 for gain, offset in zip(found.gains, found.offsets, strict=True)]
    assert at_mean == pytest.approx([1.25 * 2000 - 300, 0.5 * 2000 + 77.5], abs=4)


@pytest.mark.parametrize("fit", [fit_levels, fit_details])
def test_a_flat_or_opposite_reference_gives_the_mean(fit: object) -> None:
    rng = np.random.default_rng(8)
    old = np.stack([np.full((30, 30), 500.0), rng.normal(900, 50, (30, 30))])
    new = np.stack([rng.normal(640, 5, (30, 30)), 2000 - old[1]])
    found = fit(np.rint(new), np.rint(old), np.ones((30, 30), bool))  # type: ignore[operator]
    assert found is not None and found.gains == (0, 0)
    assert [offset / 16 for offset in found.offsets] == pytest.approx([640, 1100], abs=8)


def test_too_few_pixels_give_nothing() -> None:
    levels, usable = np.ones((1, 20, 20)), np.zeros((20, 20), bool)
    usable[:3, :21] = True
    assert fit_levels(levels, levels, usable) is None and fit_details(levels, levels, usable) is None
