"""The choice per block: never worse than coding alone, and the ground rebuilds what was chosen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.image_encoding import encode_image
from downlink.image_layers import DecodedImage, ImageAssembly, pixel_check
from downlink.prediction import Reference, ReferenceBlock, predict, region_of
from downlink.reference_canvas import canvas_of, canvas_over
from downlink.scene import Window
from onboard.reference_choice import (
    CANVAS_MARGIN_PX,
    SLACK_BYTES,
    Choice,
    CodedImage,
    ReferenceCandidate,
    ReferenceSettings,
    byte_ratios_measured,
    code_best,
)

STACKS = Path(__file__).parents[2].parent / "shared/data/multitemporal"
LADDER = (0.5, 2.0, 8.0, 20.0, 100.0)
SIDE = 128


def place(seed: int, *, bands: int = 3, side: int = 2 * SIDE) -> np.ndarray:
    """A landscape (bands, side, side), levels of about 12 bits."""
    rng = np.random.default_rng(seed)
    frequencies = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    spectrum = np.fft.rfft2(rng.normal(0, 1, (side, side))) / np.maximum(frequencies, 1 / side) ** 1.4
    shared = np.fft.irfft2(spectrum * (frequencies < 0.4), (side, side))
    return np.stack([2000 + 100 * band + (400 + 90 * band) * shared / shared.std() for band in range(bands)])


def as_pixels(levels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(levels), 0, 65535).astype(np.uint16)


def blocks_of(scene: np.ndarray) -> list[DecodedImage]:
    """An earlier scene as four blocks that the ground holds."""
    return [
        DecodedImage(
            window=window,
            pixels=scene[:, window.slices[0], window.slices[1]],
            valid=np.ones((SIDE, SIDE), bool),
            mse=0.0,
            lossless=True,
        )
        for window in (Window(row=row, col=col, height=SIDE, width=SIDE) for row in (0, SIDE) for col in (0, SIDE))
    ]


def candidate_of(images: list[DecodedImage], window: Window, *, scene: int = 9) -> ReferenceCandidate:
    margin = CANVAS_MARGIN_PX
    region = Window(
        row=window.row - margin,
        col=window.col - margin,
        height=window.height + 2 * margin,
        width=window.width + 2 * margin,
    )
    return ReferenceCandidate(
        scene=scene,
        captured_ms=1,
        row_shift_px=0.0,
        col_shift_px=0.0,
        blocks=tuple(
            ReferenceBlock(product=number, steps=3, check=pixel_check(image.pixels))
            for number, image in enumerate(images, start=1)
        ),
        canvas=canvas_of(region, images),
        windows=tuple(image.window for image in images),
    )


def code(
    pixels: np.ndarray,
    window: Window,
    candidates: list[ReferenceCandidate],
    *,
    valid: np.ndarray | None = None,
    seen: list[np.ndarray | None] | None = None,
) -> CodedImage:
    def weights_of(changed: np.ndarray | None) -> np.ndarray | None:
        if seen is not None:
            seen.append(changed)
        return None

    return code_best(
        pixels,
        window,
        valid=np.ones(pixels.shape[1:], bool) if valid is None else valid,
        quality_percent=LADDER,
        levels=5,
        nodata=0,
        weights_of=weights_of,
        candidates=candidates,
        settings=ReferenceSettings(),
    )


def decode(coded: CodedImage, images: list[DecodedImage]) -> DecodedImage:
    """As the ground does it: from the blocks that are named, and no others."""

    def predicted(reference: Reference, window: Window) -> np.ndarray:
        named = [images[block.product - 1] for block in reference.blocks]
        assert [pixel_check(image.pixels) for image in named] == [block.check for block in reference.blocks]
        return predict(reference, window, canvas_of(region_of(reference, window), named))

    assembly = ImageAssembly(nodata=0)
    for step, payload in enumerate(coded.image.payloads):
        assembly.add(step, payload)
    decoded = assembly.decode(predicted)
    assert decoded is not None
    return decoded


WINDOW = Window(row=0, col=SIDE, height=SIDE, width=SIDE)


def alone(pixels: np.ndarray, valid: np.ndarray | None = None) -> int:
    everywhere = np.ones(pixels.shape[1:], bool)
    image = encode_image(
        pixels, WINDOW, valid=everywhere if valid is None else valid, quality_percent=LADDER, levels=5, nodata=0
    )
    return sum(map(len, image.payloads))


def test_a_fresh_reference_saves_most_and_the_ground_rebuilds_the_pixels() -> None:
    old = place(1)
    rng = np.random.default_rng(2)
    phase = np.fft.fftfreq(2 * SIDE)[:, None] * 0.4 + np.fft.fftfreq(2 * SIDE)[None] * -1.3
    moved = np.real(np.fft.ifft2(np.fft.fft2(old) * np.exp(2j * np.pi * phase)))
    new = as_pixels(1.1 * moved - 150 + rng.normal(0, 6, old.shape))[:, WINDOW.slices[0], WINDOW.slices[1]]
    images = blocks_of(as_pixels(old + rng.normal(0, 6, old.shape)))
    coded = code(new, WINDOW, [candidate_of(images, WINDOW)])
    assert coded.choice is Choice.DIFFERENCE and "scene 9" in coded.reason
    first, *rest = coded.image.payloads
    assert len(first) < 100 and len(rest) == len(LADDER)
    assert coded.image.mse[0] < 20**2  # of a landscape whose levels spread by 400 and more
    assert sum(map(len, coded.image.payloads)) < 0.9 * alone(new)
    rebuilt = decode(coded, images)
    assert rebuilt.lossless and np.array_equal(rebuilt.pixels, new)


def test_only_blocks_that_are_needed_are_named() -> None:
    images = blocks_of(as_pixels(place(1)))
    window = Window(row=20, col=SIDE + 20, height=64, width=64)
    new = as_pixels(place(1) + 3)[:, window.slices[0], window.slices[1]]
    coded = code(new, window, [candidate_of(images, window)])
    assembly = ImageAssembly(nodata=0, payloads={0: coded.image.payloads[0]})
    assert assembly.reference is not None
    assert [block.product for block in assembly.reference.blocks] == [2]


def test_the_same_picture_again_is_unchanged() -> None:
    images = blocks_of(as_pixels(place(3)))
    new = images[1].pixels.copy()
    coded = code(new, WINDOW, [candidate_of(images, WINDOW)])
    assert coded.choice is Choice.UNCHANGED and len(coded.image.payloads) == 2
    assert sum(map(len, coded.image.payloads)) < 0.01 * new.nbytes
    assert coded.changed is not None and not coded.changed.any()
    assert np.array_equal(decode(coded, images).pixels, new)


def test_another_place_is_coded_alone_in_the_very_bytes() -> None:
    images = blocks_of(as_pixels(place(4)))
    new = as_pixels(place(5))[:, WINDOW.slices[0], WINDOW.slices[1]]
    coded = code(new, WINDOW, [candidate_of(images, WINDOW)])
    assert coded.choice is Choice.ALONE
    assert sum(map(len, coded.image.payloads)) == alone(new)


def test_the_better_of_two_scenes_is_taken() -> None:
    old = place(6)
    near, far = blocks_of(as_pixels(old + 5)), blocks_of(as_pixels(0.5 * old + 300 * np.sin(np.arange(256) / 3)))
    rng = np.random.default_rng(1)
    new = as_pixels(old + rng.normal(0, 8, old.shape))[:, WINDOW.slices[0], WINDOW.slices[1]]
    candidates = [candidate_of(far, WINDOW, scene=1), candidate_of(near, WINDOW, scene=2)]
    coded = code(new, WINDOW, candidates)
    assert coded.choice is not Choice.ALONE and "scene 2" in coded.reason


def test_what_has_changed_is_known_before_the_value_map_is_asked_for() -> None:
    images = blocks_of(as_pixels(place(7)))
    rng = np.random.default_rng(3)
    new = as_pixels(images[1].pixels + rng.normal(0, 4, images[1].pixels.shape))
    new[:, 40:52, 60:80] = 9000
    seen: list[np.ndarray | None] = []
    coded = code(new, WINDOW, [candidate_of(images, WINDOW)], seen=seen)
    assert len(seen) == 1 and seen[0] is coded.changed
    assert coded.changed is not None and coded.changed[40:52, 60:80].all() and coded.changed.mean() < 0.05
    assert coded.choice is Choice.DIFFERENCE


@pytest.mark.parametrize("case", ["none", "other bands", "other type", "unknown", "small"])
def test_without_a_reference_that_fits_blocks_are_coded_alone(case: str) -> None:
    images = blocks_of(as_pixels(place(8, bands=2 if case == "other bands" else 3)))
    candidate = candidate_of(images, WINDOW)
    if case == "other type":
        pixels = (candidate.canvas.pixels // 32).astype(np.uint8)
        candidate = replace(candidate, canvas=replace(candidate.canvas, pixels=pixels))
    if case == "unknown":
        candidate.canvas.valid[:] = False
    new = as_pixels(place(8))[:, WINDOW.slices[0], WINDOW.slices[1]]
    window = Window(row=0, col=SIDE, height=40, width=40) if case == "small" else WINDOW
    coded = code(new[:, : window.height, : window.width], window, [] if case == "none" else [candidate])
    assert coded.choice is Choice.ALONE and coded.changed is None and "no earlier scene" in coded.reason


def test_a_canvas_that_lacks_part_of_a_named_block_is_not_used() -> None:
    """The ground would know more pixels than the board had, and predict others."""
    images = blocks_of(as_pixels(place(1)))
    candidate = candidate_of(images, WINDOW)
    cut = canvas_over(Window(row=5, col=SIDE, height=SIDE, width=SIDE), candidate.canvas)
    narrow = replace(candidate, canvas=cut)
    assert code(images[1].pixels, WINDOW, [narrow]).choice is Choice.ALONE


@settings(max_examples=10, deadline=None)
@given(
    gain=st.floats(0.3, 2.0),
    offset=st.floats(-500, 500),
    noise=st.floats(0, 120),
    changed=st.floats(0, 1),
    holes=st.booleans(),
    seed=st.integers(0, 1 << 16),
)
def test_never_worse_than_alone(
    gain: float, offset: float, noise: float, changed: float, holes: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    old = place(seed)
    images = blocks_of(as_pixels(old))
    if holes:
        images[1].valid[:50, :30] = False
    new = gain * old + offset + rng.normal(0, noise, old.shape)
    rows = round(changed * SIDE)
    new[:, :rows] = place(seed + 1)[:, :rows]
    pixels = as_pixels(np.maximum(new, 1))[:, WINDOW.slices[0], WINDOW.slices[1]]
    valid = np.ones((SIDE, SIDE), bool)
    valid[70:90, 20:60] = False
    pixels[:, ~valid] = 0
    coded = code(pixels, WINDOW, [candidate_of(images, WINDOW)], valid=valid)
    rebuilt = decode(coded, images)
    assert np.array_equal(rebuilt.pixels, pixels) and np.array_equal(rebuilt.valid, valid)
    plain = encode_image(pixels, WINDOW, valid=valid, quality_percent=LADDER, levels=5, nodata=0)
    assert (
        byte_ratios_measured(plain, coded.image, slack_bytes=SLACK_BYTES).max()
        <= ReferenceSettings().worst_ratio + 0.005
    )


def stack(pattern: str) -> np.ndarray:
    if not STACKS.is_dir():
        pytest.skip(f"no multi-temporal stacks at {STACKS}")
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(next(STACKS.glob(pattern))) as dataset:
        pixels: np.ndarray = dataset.read()
    return pixels


@pytest.mark.parametrize(
    ("new", "old", "most"),
    [
        ("s2_l1c*/*2015-09-09.tif", "s2_l1c*/*2015-08-30.tif", 0.5),
        ("s2_l1c*/*2015-08-30.tif", "s2_l1c*/*2015-08-20.tif", 1.0),
        ("naip*/*2020*.tif", "naip*/*2019*.tif", 1.0),
        ("landsat*/*2020.tif", "landsat*/*2015.tif", 0.8),
    ],
    ids=["ten days", "cloud before", "a year", "five years"],
)
def test_real_scenes_are_never_worse_than_alone(new: str, old: str, most: float) -> None:
    bands = [1, 2, 3, 7] if new.startswith("s2") else [0, 1, 2, 3]
    pixels, before = stack(new)[bands], stack(old)[bands]
    height, width = min(200, pixels.shape[1]), min(200, pixels.shape[2])
    pixels, before = pixels[:, :height, :width].copy(), before[:, :height, :width].copy()
    window = Window(row=0, col=0, height=height, width=width)
    image = DecodedImage(window=window, pixels=before, valid=np.ones((height, width), bool), mse=0, lossless=True)
    coded = code(pixels, window, [candidate_of([image], window)])
    assert np.array_equal(decode(coded, [image]).pixels, pixels)
    plain = encode_image(
        pixels, window, valid=np.ones((height, width), bool), quality_percent=LADDER, levels=5, nodata=0
    )
    ratios = byte_ratios_measured(plain, coded.image)
    assert ratios.max() <= ReferenceSettings().worst_ratio
    assert float(np.exp(np.log(ratios).mean())) <= most + 1e-9
