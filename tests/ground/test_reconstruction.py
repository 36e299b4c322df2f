import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.errors import MissingReferenceError
from downlink.image_encoding import encode_image
from downlink.image_layers import DecodedImage, ImageAssembly
from downlink.scene import SceneSummary, Window
from ground.comparison import region_mask, squared_error
from ground.errors import GroundError, ImageMismatchError
from ground.quality import psnr_of_code_db, quality_code
from ground.reconstruction import (
    RebuiltScene,
    UndecodedImage,
    decoded_on_demand,
    rebuild_window,
    rebuild_windows,
    reconstruct,
    tile_windows,
)
from ground.waiting_images import WaitingImages

HEIGHT, WIDTH = 40, 56
MakeSummary = Callable[..., SceneSummary]
MakeImage = Callable[..., DecodedImage]


@st.composite
def windows(draw: st.DrawFn) -> Window:
    row, col = draw(st.integers(0, HEIGHT - 1)), draw(st.integers(0, WIDTH - 1))
    return Window(row=row, col=col, height=draw(st.integers(1, HEIGHT - row)), width=draw(st.integers(1, WIDTH - col)))


@st.composite
def received(draw: st.DrawFn) -> tuple[Window, float, bool, int]:
    """Window, stated error, lossless, and the DN by which a lossy image is off (different for each error)."""
    step = draw(st.integers(0, 6))
    return draw(windows()), float(step * step), step == 0, step


def original_scene(bands: int = 4, dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(3).integers(100, 240, (bands, HEIGHT, WIDTH)).astype(dtype)


def best_by_hand(original: np.ndarray, images: list[DecodedImage]) -> tuple[np.ndarray, np.ndarray]:
    """Oracle: pixel by pixel, the least stated error, None where no image reaches."""
    pixels, errors = np.zeros_like(original), np.full(original.shape[1:], np.inf)
    for row in range(HEIGHT):
        for col in range(WIDTH):
            for image in images:
                window = image.window
                if window.contains(col, row) and image.mse < errors[row, col]:
                    errors[row, col] = image.mse
                    pixels[:, row, col] = image.pixels[:, row - window.row, col - window.col]
    return pixels, errors


@given(st.lists(received(), max_size=6), st.randoms(use_true_random=False))
def test_the_best_image_wins_at_each_pixel_whatever_the_order(
    make_summary: MakeSummary,
    make_image: MakeImage,
    descriptions: list[tuple[Window, float, bool, int]],
    order: random.Random,
) -> None:
    summary, original = make_summary(), original_scene()
    images = [
        make_image(original, window, mse=mse, lossless=lossless, off_by=off_by)
        for window, mse, lossless, off_by in descriptions
    ]
    rebuilt = reconstruct(summary, images)
    expected, errors = best_by_hand(original, images)
    came = np.isfinite(errors)
    np.testing.assert_array_equal(rebuilt.pixels, expected)
    np.testing.assert_array_equal(rebuilt.valid, came)
    codes = np.zeros((HEIGHT, WIDTH), np.uint8)
    for error in np.unique(errors[came]):
        codes[errors == error] = quality_code(mse=float(error), lossless=error == 0, peak_dn=summary.peak_dn)
    np.testing.assert_array_equal(rebuilt.quality, codes)
    order.shuffle(images)
    again = reconstruct(summary, images)
    np.testing.assert_array_equal(again.pixels, rebuilt.pixels)
    np.testing.assert_array_equal(again.quality, rebuilt.quality)


def test_a_chip_wins_over_a_block_of_the_same_error(make_summary: MakeSummary, make_image: MakeImage) -> None:
    original = original_scene()
    block = make_image(original, Window(row=0, col=0, height=16, width=16), mse=4.0, off_by=2)
    chip = make_image(original, Window(row=3, col=5, height=4, width=7), mse=4.0, off_by=1)
    for images in ([block, chip], [chip, block]):
        rebuilt = reconstruct(make_summary(), images)
        np.testing.assert_array_equal(rebuilt.pixels[:, 3:7, 5:12], original[:, 3:7, 5:12] + 1)
        np.testing.assert_array_equal(rebuilt.pixels[:, 0, :16], original[:, 0, :16] + 2)


def test_a_coarse_chip_never_spoils_a_better_block(make_summary: MakeSummary, make_image: MakeImage) -> None:
    original = original_scene()
    block = make_image(original, Window(row=0, col=0, height=16, width=16), lossless=True)
    chip = make_image(original, Window(row=3, col=5, height=4, width=7), mse=9.0, off_by=3)
    rebuilt = reconstruct(make_summary(), [block, chip])
    np.testing.assert_array_equal(rebuilt.pixels[:, :16, :16], original[:, :16, :16])
    assert (rebuilt.quality[:16, :16] == 255).all()


@pytest.mark.parametrize(("nodata", "fill"), [(65_535.0, 65_535), (0.0, 0), (None, 0), (-9999.0, 0), (7.5, 0)])
def test_what_never_came_is_masked(make_summary: MakeSummary, nodata: float | None, fill: int) -> None:
    rebuilt = reconstruct(make_summary(nodata=nodata), [])
    assert not rebuilt.valid.any()
    assert not rebuilt.quality.any()
    assert (rebuilt.pixels == fill).all()
    assert rebuilt.pixels.dtype == np.uint16


@pytest.mark.parametrize(("nodata", "neighbour"), [(150, 151), (65_535, 65_534), (0, 1)])
def test_nodata_comes_back_exactly_and_means_only_that(
    make_summary: MakeSummary, make_image: MakeImage, nodata: int, neighbour: int
) -> None:
    summary = make_summary(nodata=float(nodata))
    original = original_scene()
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[2:5, 3:9] = False
    original[:, 7, 7] = nodata  # a lossy decoder lands on the value in a pixel that has data
    original[:, ~valid] = 12_345  # whatever the decoder left where there is no data
    window = Window(row=0, col=0, height=16, width=16)
    lossy = reconstruct(summary, [make_image(original, window, valid=valid, mse=25.0)])
    assert (lossy.pixels[:, 2:5, 3:9] == nodata).all()
    assert not lossy.valid[2:5, 3:9].any()
    assert (lossy.quality[2:5, 3:9] == 255).all()
    assert (lossy.pixels[:, 7, 7] == neighbour).all() and lossy.valid[7, 7]
    np.testing.assert_array_equal((lossy.pixels == nodata).any(axis=0), ~lossy.valid)
    exact = reconstruct(summary, [make_image(original, window, valid=valid, lossless=True)])
    assert (exact.pixels[:, 7, 7] == nodata).all() and exact.valid[7, 7]
    assert (exact.pixels[:, 2:5, 3:9] == nodata).all()


@given(st.lists(received(), max_size=4))
def test_tile_by_tile_equals_all_at_once(
    make_summary: MakeSummary, make_image: MakeImage, descriptions: list[tuple[Window, float, bool, int]]
) -> None:
    summary, original = make_summary(), original_scene()
    images = [make_image(original, window, mse=m, lossless=exact, off_by=off) for window, m, exact, off in descriptions]
    whole = reconstruct(summary, images)
    decoded = [UndecodedImage(window=image.window, decode=lambda image=image: image) for image in images]
    parts = list(rebuild_windows(summary, decoded_on_demand(decoded)))
    assert [part.window for part in parts] == list(tile_windows(summary))
    for part, cut in zip(parts, whole.windows(), strict=True):
        for name in ("pixels", "valid", "quality"):
            np.testing.assert_array_equal(getattr(part, name), getattr(cut, name))


def test_only_what_overlaps_a_window_is_decoded(make_summary: MakeSummary, make_image: MakeImage) -> None:
    summary, original = make_summary(), original_scene()
    asked: list[Window] = []

    def undecoded(window: Window) -> UndecodedImage:
        def decode() -> DecodedImage:
            asked.append(window)
            return make_image(original, window, lossless=True)

        return UndecodedImage(window=window, decode=decode)

    blocks = [undecoded(window) for window in tile_windows(summary)]
    for _ in rebuild_windows(summary, decoded_on_demand(blocks)):
        pass
    assert asked == list(tile_windows(summary))
    # A step 0 that has not come is no image.
    empty = decoded_on_demand([UndecodedImage(window=asked[0], decode=lambda: None)])
    assert not next(rebuild_windows(summary, empty)).valid.any()


def test_a_scene_of_real_layers_comes_back_byte_exact(make_summary: MakeSummary) -> None:
    summary = make_summary(height=HEIGHT, width=WIDTH, band_names=("a", "b"), nodata=113.0)
    original = original_scene(bands=2)
    original[:, 4:9, 30:50] = 113
    images, coarse = [], []
    for window in tile_windows(summary):
        part = original[:, *window.slices]
        product = encode_image(
            part,
            window,
            valid=(part != 113).any(axis=0),
            quality_percent=(8.0, 100.0),
            levels=2,
            nodata=summary.nodata,
        )
        for steps, shelf in ((1, coarse), (2, images)):
            assembly = ImageAssembly(nodata=summary.nodata)
            for step, payload in enumerate(product.payloads[:steps]):
                assembly.add(step, payload)
            decoded = assembly.decode()
            assert decoded is not None
            shelf.append(decoded)
    exact = reconstruct(summary, [*coarse, *images])
    np.testing.assert_array_equal(exact.pixels, original)
    np.testing.assert_array_equal(exact.valid, (original != 113).any(axis=0))
    assert (exact.quality == 255).all()
    lossy = reconstruct(summary, coarse)
    np.testing.assert_array_equal(lossy.valid, exact.valid)
    assert (lossy.pixels[:, ~lossy.valid] == 113).all()
    assert 0 < lossy.quality[lossy.valid].max() < 255
    # What the code promises is what is measured, but for the 4.5 % within which a header states the error.
    for window in tile_windows(summary):
        here = region_mask(lossy.valid.shape, [window]) & lossy.valid
        if here.any():
            measured_db = squared_error(original, lossy.pixels, here).psnr_db(summary.peak_dn)
            promised_db = psnr_of_code_db(int(lossy.quality[here].max()))
            assert measured_db is not None and promised_db is not None
            assert (
                promised_db <= measured_db <= promised_db + 0.95
            )  # half a decibel and a distortion byte, both rounded down


def bad(image: DecodedImage, **fields: object) -> DecodedImage:
    values = {name: getattr(image, name) for name in ("window", "pixels", "valid", "mse", "lossless")}
    return DecodedImage(**(values | fields))


def test_an_image_that_does_not_fit_is_refused_with_its_numbers(
    make_summary: MakeSummary, make_image: MakeImage
) -> None:
    summary, original = make_summary(), original_scene()
    window = Window(row=8, col=40, height=16, width=16)
    image = make_image(original, window, lossless=True)
    outside = Window(row=8, col=41, height=16, width=16)
    for wrong, told in (
        (bad(image, window=outside), r"col 41 .*\(8, 41, 24, 57\).*\(0, 0, 40, 56\)"),
        (bad(image, pixels=image.pixels[:3]), r"\(3, 16, 16\).*\(4, 16, 16\)"),
        (bad(image, pixels=image.pixels.astype(np.uint8)), "uint8.*uint16"),
        (bad(image, valid=image.valid[1:]), r"\(15, 16\).*\(16, 16\)"),
    ):
        with pytest.raises(ImageMismatchError, match=told) as refusal:
            reconstruct(summary, [image, wrong])
        assert refusal.value.scene == summary.scene
        assert isinstance(refusal.value, GroundError)
    with pytest.raises(GroundError, match="nan"):
        rebuild_window(summary, window, [bad(image, mse=float("nan"), lossless=False)])


def test_a_rebuilt_scene_gives_its_windows_back(make_summary: MakeSummary, make_image: MakeImage) -> None:
    original = original_scene()
    window = Window(row=0, col=0, height=HEIGHT, width=WIDTH)
    rebuilt: RebuiltScene = reconstruct(make_summary(), [make_image(original, window, lossless=True)])
    joined = np.zeros_like(original)
    for part in rebuilt.windows():
        joined[:, *part.window.slices] = part.pixels
    np.testing.assert_array_equal(joined, original)


def test_images_that_wait_for_a_reference_are_left_out_and_counted_once(
    make_summary: MakeSummary, make_image: MakeImage
):
    summary = make_summary()
    original = np.full((4, 40, 56), 900, np.uint16)
    windows = list(tile_windows(summary))
    shown = make_image(original, windows[0], lossless=True)

    def waits(product: int) -> DecodedImage:
        raise MissingReferenceError("not here", scene=3, product=product, steps=2)

    held = [
        UndecodedImage(window=windows[0], decode=lambda: shown, product=1),
        *(UndecodedImage(window=windows[n], decode=lambda n=n: waits(n % 2 + 1), product=n + 1) for n in (1, 2, 3)),
    ]
    waiting = WaitingImages()
    for _ in range(2):
        parts = list(rebuild_windows(summary, decoded_on_demand(held, waiting)))
    assert parts[0].valid.all() and not any(part.valid.any() for part in parts[1:])
    assert len(waiting) == 3 and waiting.scenes == (3,)
    assert [(one.scene, one.product, one.steps) for one in waiting.references] == [(3, 1, 2), (3, 2, 2)]
    with pytest.raises(MissingReferenceError):
        list(rebuild_windows(summary, decoded_on_demand(held)))
