"""A prediction is the same bits everywhere, says exactly what it needs, and refuses what it cannot be."""

import binascii
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.errors import LayerError
from downlink.image_layers import DecodedImage
from downlink.prediction import (
    MOST_SMOOTHING,
    Reference,
    ReferenceBlock,
    interpolation_taps,
    predict,
    region_of,
)
from downlink.reference_canvas import Canvas, canvas_of, canvas_over
from downlink.scene import Window

GOLDEN = Reference(
    scene=0x12345678,
    row_shift=-0x1234,
    col_shift=0x0157,
    blocks=(
        ReferenceBlock(product=0x1357, steps=3, check=0x89ABCDEF),
        ReferenceBlock(product=0x0246, steps=5, check=0x01234567),
    ),
    gains=(4096, 0x0F9F, 0x1002),
    offsets=(-5, 7, 0x012345),
    smoothing=2,
)
GOLDEN_HEX = "0212345678ffffedcc000001570213570389abcdef0246050123456710000f9f1002fffffb000007012345"
WINDOW = Window(row=30, col=40, height=9, width=11)


def reference(
    row_shift: int, col_shift: int, *, gain: int = 4096, offset: int = 0, smoothing: int = 0, bands: int = 1
) -> Reference:
    return Reference(
        scene=1,
        row_shift=row_shift,
        col_shift=col_shift,
        blocks=(ReferenceBlock(product=1, steps=1, check=0),),
        gains=(gain,) * bands,
        offsets=(offset,) * bands,
        smoothing=smoothing,
    )


def canvas(region: Window, *, dtype: str = "uint16", bands: int = 1, seed: int = 3) -> Canvas:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, np.iinfo(dtype).max + 1, (bands, region.height, region.width)).astype(dtype)
    return Canvas(window=region, pixels=pixels, valid=np.ones((region.height, region.width), bool))


def test_golden_bytes() -> None:
    assert GOLDEN.pack().hex() == GOLDEN_HEX
    assert Reference.unpack(bytes.fromhex(GOLDEN_HEX), bands=3) == GOLDEN


def test_golden_pixels() -> None:
    """Computed in whole numbers, so any machine has these very bits."""
    region = region_of(GOLDEN, WINDOW)
    assert (region.row, region.col, region.height, region.width) == (30 - 73 - 4, 40 + 5 - 4, 9 + 9, 11 + 9)
    rows, cols, bands = np.ogrid[: region.height, : region.width, :3]
    levels = (rows * 977 + cols * 1231 + bands * 313 + rows * cols * 57) % 60000
    valid = (rows + 2 * cols)[..., 0] % 11 != 3
    there = Canvas(window=region, pixels=levels.transpose(2, 0, 1).astype(np.uint16), valid=valid)
    predicted = predict(GOLDEN, WINDOW, there)
    assert predicted.dtype == np.uint16
    assert predicted[:, 0, 0].tolist() == GOLDEN_CORNER
    assert binascii.crc32(predicted.astype("<u2").tobytes()) == GOLDEN_CHECK


GOLDEN_CORNER = [12535, 12544, 17828]
GOLDEN_CHECK = 0x8ECC7F75


@st.composite
def references(draw: st.DrawFn, bands: int) -> Reference:
    shift = st.integers(-(1 << 31) + 1, (1 << 31) - 1)
    products = draw(st.lists(st.integers(1, 0x7FFF), min_size=1, max_size=9, unique=True))
    return Reference(
        scene=draw(st.integers(0, 0xFFFF_FFFF)),
        row_shift=draw(shift),
        col_shift=draw(shift),
        blocks=tuple(
            ReferenceBlock(product=product, steps=draw(st.integers(1, 255)), check=draw(st.integers(0, 0xFFFF_FFFF)))
            for product in products
        ),
        gains=tuple(draw(st.lists(st.integers(0, 0xFFFF), min_size=bands, max_size=bands))),
        offsets=tuple(draw(st.lists(st.integers(-(1 << 23) + 1, (1 << 23) - 1), min_size=bands, max_size=bands))),
        smoothing=draw(st.integers(0, MOST_SMOOTHING)),
    )


@given(st.integers(1, 13).flatmap(lambda bands: st.tuples(st.just(bands), references(bands))))
def test_any_reference_comes_back(case: tuple[int, Reference]) -> None:
    bands, some = case
    assert Reference.unpack(some.pack(), bands=bands) == some


@given(st.binary(max_size=120), st.integers(1, 13))
def test_hostile_bytes_are_refused_or_are_a_reference(data: bytes, bands: int) -> None:
    try:
        some = Reference.unpack(data, bands=bands)
    except LayerError:
        return
    assert some.pack() == data


@pytest.mark.parametrize("cut", range(len(GOLDEN_HEX) // 2))
def test_a_cut_reference_is_refused(cut: int) -> None:
    with pytest.raises(LayerError):
        Reference.unpack(bytes.fromhex(GOLDEN_HEX)[:cut], bands=3)


@pytest.mark.parametrize(
    ("at", "byte"),
    [(0, 0), (0, 10), (13, 4), (14, 0x80), (16, 0)],
    ids=["no block", "ten blocks", "smoothing 4", "a chip", "no steps"],
)
def test_a_damaged_field_is_refused(at: int, byte: int) -> None:
    data = bytearray.fromhex(GOLDEN_HEX)
    data[at] = byte
    with pytest.raises(LayerError):
        Reference.unpack(bytes(data), bands=3)


def test_the_same_block_twice_is_refused() -> None:
    block = ReferenceBlock(product=4, steps=1, check=0)
    with pytest.raises(LayerError, match="1 of them distinct"):
        Reference(scene=1, row_shift=0, col_shift=0, blocks=(block, block), gains=(1,), offsets=(1,))


@pytest.mark.parametrize(
    "wrong",
    [
        {"scene": -1},
        {"scene": 1 << 32},
        {"row_shift": 1 << 31},
        {"col_shift": -(1 << 31)},
        {"gains": (-1,)},
        {"gains": (1 << 16,)},
        {"offsets": (1 << 23,)},
        {"gains": (1, 2)},
        {"gains": (), "offsets": ()},
        {"smoothing": -1},
        {"blocks": ()},
    ],
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    fields: dict[str, object] = {
        "scene": 1,
        "row_shift": 0,
        "col_shift": 0,
        "blocks": (ReferenceBlock(product=1, steps=1, check=0),),
        "gains": (4096,),
        "offsets": (0,),
    }
    with pytest.raises(LayerError):
        Reference(**(fields | wrong))  # type: ignore[arg-type]


@given(st.integers(-70, 70), st.integers(-70, 70), st.sampled_from(["uint8", "uint16"]))
def test_a_whole_shift_with_gain_one_shows_the_reference_itself(rows: int, cols: int, dtype: str) -> None:
    some = reference(64 * rows, 64 * cols, bands=2)
    assert region_of(some, WINDOW) == WINDOW.shifted(rows, cols)
    there = canvas(region_of(some, WINDOW), dtype=dtype, bands=2)
    assert np.array_equal(predict(some, WINDOW, there), there.pixels)


@settings(max_examples=150)
@given(references(1), st.sampled_from(["uint8", "uint16"]), st.integers(0, 1 << 16))
def test_any_prediction_is_what_exact_fractions_give_to_a_few_levels(some: Reference, dtype: str, seed: int) -> None:
    """Against an oracle in rational numbers, with the hardest pixels there are: the extremes of the type."""
    region = region_of(some, Window(row=5, col=-3, height=2, width=3))
    top = np.iinfo(dtype).max
    extremes = np.random.default_rng(seed).integers(0, 2, (1, region.height, region.width)) * top
    there = Canvas(window=region, pixels=extremes.astype(dtype), valid=np.ones((region.height, region.width), bool))
    levels = extremes[0].astype(object)
    for _ in range(some.smoothing):
        levels = (levels[:, :-2] + 2 * levels[:, 1:-1] + levels[:, 2:]) * Fraction(1, 4)
        levels = (levels[:-2] + 2 * levels[1:-1] + levels[2:]) * Fraction(1, 4)
    for shift, transposed in ((some.col_shift % 64, False), (some.row_shift % 64, True)):
        if shift:
            levels = levels.T if transposed else levels
            taps = [Fraction(tap, 1 << 12) for tap in interpolation_taps(shift)]
            length = levels.shape[1] - 5
            levels = sum(levels[:, place : place + length] * tap for place, tap in enumerate(taps))  # type: ignore[assignment]
            levels = levels.T if transposed else levels
    exact = levels * Fraction(some.gains[0], 4096) + Fraction(some.offsets[0], 16)
    expected = np.clip(exact.astype(float), 0, top)
    predicted = predict(some, Window(row=5, col=-3, height=2, width=3), there)[0]
    # Each pass rounds to a quarter level, which the gain makes larger.
    assert np.abs(predicted - expected).max() <= 0.51 + 1.6 * some.gains[0] / 4096


@pytest.mark.parametrize("fraction", range(64))
def test_taps_keep_a_flat_surface_and_fit_32_bits(fraction: int) -> None:
    taps = interpolation_taps(fraction)
    assert sum(taps) == 1 << 12
    assert sum(map(abs, taps)) <= 1.4 * (1 << 12)
    # A polynomial of low degree is met between pixels to what the taps round.
    ramp = np.arange(-2, 4) * 1000.0
    assert np.dot(taps, ramp) / (1 << 12) == pytest.approx(1000 * fraction / 64, abs=1.5)


def test_smoothing_takes_from_a_point_what_the_binomial_filter_does() -> None:
    some = reference(0, 0, smoothing=1)
    region = region_of(some, Window(row=0, col=0, height=3, width=3))
    pixels = np.zeros((1, 5, 5), np.uint8)
    pixels[0, 2, 2] = 160
    predicted = predict(
        some,
        Window(row=0, col=0, height=3, width=3),
        Canvas(window=region, pixels=pixels, valid=np.ones((5, 5), bool)),
    )
    assert predicted[0].tolist() == [[10, 20, 10], [20, 40, 20], [10, 20, 10]]


def test_what_is_not_known_counts_as_the_mean_of_the_rest() -> None:
    some = reference(0, 0)
    valid = np.array([[True, True, False], [False, True, True]])
    pixels = np.array([[[10, 20, 99], [99, 30, 41]]], np.uint8)
    window = Window(row=0, col=0, height=2, width=3)
    assert predict(some, window, Canvas(window=window, pixels=pixels, valid=valid)).tolist() == [
        [[10, 20, 25], [25, 30, 41]]
    ]
    nothing = Canvas(window=window, pixels=pixels, valid=np.zeros((2, 3), bool))
    assert not predict(some, window, nothing).any()


def test_only_the_region_has_a_say_in_the_fill() -> None:
    """Two ends may hold canvases of different size: the prediction is the same."""
    some = reference(33, -7, smoothing=1)
    region = region_of(some, WINDOW)
    larger = canvas(Window(row=region.row - 5, col=region.col - 3, height=region.height + 9, width=region.width + 8))
    larger.valid[::3, ::2] = False
    assert np.array_equal(predict(some, WINDOW, larger), predict(some, WINDOW, canvas_over(region, larger)))


def test_a_canvas_that_is_too_small_or_of_other_bands_is_refused() -> None:
    some = reference(10, 0)
    region = region_of(some, WINDOW)
    with pytest.raises(LayerError, match="needs"):
        predict(some, WINDOW, canvas(region.shifted(1, 0)))
    with pytest.raises(LayerError, match="2 bands"):
        predict(some, WINDOW, canvas(region, bands=2))


def decoded(window: Window, level: int, *, bands: int = 1, dtype: str = "uint16") -> DecodedImage:
    pixels = np.full((bands, window.height, window.width), level, dtype)
    return DecodedImage(
        window=window, pixels=pixels, valid=np.ones((window.height, window.width), bool), mse=0.0, lossless=True
    )


def test_a_canvas_shows_what_blocks_cover() -> None:
    left, right = Window(row=0, col=0, height=4, width=4), Window(row=0, col=4, height=4, width=3)
    images = [decoded(left, 7), decoded(right, 9)]
    images[1].valid[0, 0] = False
    there = canvas_of(Window(row=-1, col=2, height=3, width=6), images)
    assert there.pixels[0].tolist() == [[0] * 6, [7, 7, 0, 9, 9, 0], [7, 7, 9, 9, 9, 0]]
    assert there.valid.tolist() == (there.pixels[0] > 0).tolist()
    smaller = canvas_over(Window(row=0, col=3, height=1, width=9), there)
    assert smaller.pixels[0].tolist() == [[7, 0, 9, 9, 0, 0, 0, 0, 0]]
    assert not canvas_over(left.shifted(50, 0), there).valid.any()


def test_a_canvas_of_nothing_or_of_unlike_images_is_refused() -> None:
    window = Window(row=0, col=0, height=2, width=2)
    with pytest.raises(LayerError, match="one kind"):
        canvas_of(window, [])
    with pytest.raises(LayerError, match="one kind"):
        canvas_of(window, [decoded(window, 1), decoded(window, 1, bands=2)])
    with pytest.raises(LayerError, match="one kind"):
        canvas_of(window, [decoded(window, 1), decoded(window, 1, dtype="uint8")])
    with pytest.raises(LayerError, match="do not fill"):
        Canvas(window=window, pixels=np.zeros((1, 2, 3), np.uint8), valid=np.ones((2, 2), bool))
