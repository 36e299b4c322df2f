"""What has changed is marked, noise and single pixels are not."""

import numpy as np

from onboard.change_mask import changed_pixels, is_noise, noise_dn


def pair(seed: int = 2, *, noise: float = 6.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scene = 1000 + 200 * np.sin(np.arange(80) / 7)[None, :, None] * np.cos(np.arange(90) / 9)[None, None]
    old = np.rint(np.broadcast_to(scene, (3, 80, 90))).astype(np.uint16)
    new = np.rint(scene + rng.normal(0, noise, (3, 80, 90))).astype(np.uint16)
    return new, old, np.ones((80, 90), bool)


def test_noise_alone_changes_nothing() -> None:
    new, old, usable = pair()
    assert not changed_pixels(new, old, usable, sigmas=4.0).any()
    assert is_noise(new, old, usable, sigmas=1.25)


def test_a_small_ship_is_found_and_a_hot_pixel_is_not() -> None:
    new, old, usable = pair()
    new[1, 20:24, 30:33] += 90
    new[2, 60, 70] += 4000
    changed = changed_pixels(new, old, usable, sigmas=4.0)
    assert changed[20:24, 30:33].all()
    assert changed.sum() <= 40
    assert not changed[55:65, 65:75].any()


def test_a_block_that_changed_all_over_is_not_taken_for_noise() -> None:
    new, old, usable = pair()
    new = new + np.rint(150 * np.sin(np.arange(90) / 2)).astype(np.int32)
    assert changed_pixels(new, old, usable, sigmas=4.0).mean() > 0.7
    assert not is_noise(new, old, usable, sigmas=1.25)


def test_unknown_pixels_have_no_say() -> None:
    new, old, usable = pair()
    usable[:30] = False
    new[:, :30] = 0
    assert not changed_pixels(new, old, usable, sigmas=4.0).any()
    assert is_noise(new, old, usable, sigmas=1.25)
    assert not changed_pixels(new, old, np.zeros_like(usable), sigmas=4.0).any()


def test_noise_is_measured_beneath_structure() -> None:
    rng = np.random.default_rng(3)
    slope = np.add.outer(np.arange(200) * 3.0, np.arange(201) * 5.0)
    usable = np.ones(slope.shape, bool)
    noisy = (slope + rng.normal(0, 8, slope.shape)).astype(np.float32)
    assert 7.4 < noise_dn(noisy, usable) < 8.6
    assert noise_dn(slope.astype(np.float32), usable) == 0
