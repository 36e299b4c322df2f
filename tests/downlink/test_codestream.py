"""Quality layers are cut and joined at packet boundaries; every prefix is a codestream that strict decoders take."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.codestream import CodestreamShape, first_layers, join_layers, main_header, split_layers
from downlink.errors import CodestreamError
from downlink.jpeg2000 import codestream_shape, decode_layers, encode_layers, tight_shape

PERCENT = (1.0, 5.0, 20.0, 100.0)


def textured(bands: int, height: int, width: int, dtype: str, seed: int = 7) -> np.ndarray:
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 3, (bands, height, width)).cumsum(axis=1).cumsum(axis=2)
    top = 250 if dtype == "uint8" else 9000
    return (abs(steps) % top).astype(dtype)


@pytest.mark.parametrize(
    ("bands", "height", "width"),
    [(4, 128, 96), (1, 1, 1), (13, 5, 70), (3, 63, 64), (2, 1, 300), (4, 3, 2), (1, 64, 512)],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_each_prefix_decodes_better_and_the_whole_is_exact(bands: int, height: int, width: int, dtype: str) -> None:
    pixels = textured(bands, height, width, dtype)
    shape = codestream_shape(pixels, levels=5, qualities=len(PERCENT))
    layers = encode_layers(pixels, shape, PERCENT)
    errors = []
    for count in range(1, len(layers) + 1):
        rebuilt = decode_layers(shape, layers[:count])
        errors.append(float(((rebuilt.astype(float) - pixels) ** 2).mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == 0


def test_header_follows_from_the_shape_alone() -> None:
    shape = CodestreamShape(height_px=0x1234, width_px=0x567, components=2, bits=16, levels=1, qualities=3)
    assert main_header(shape).hex() == (
        "ff4f"
        "ff51002c000000000567000012340000000000000000000005670000123400000000000000000002" + "0f0101" * 2 + ""
        "ff52000e010000030001040401" + "01ffff"
        "ff5c00074080888890"
    )


def test_a_coder_that_ignores_the_code_block_style_is_named() -> None:
    pixels = textured(2, 40, 50, "uint16")
    shape = codestream_shape(pixels, levels=3, qualities=4)
    whole = join_layers(shape, encode_layers(pixels, shape, PERCENT))
    plain = whole.replace(main_header(shape), main_header(shape, code_block_style=0))
    with pytest.raises(CodestreamError, match="CODEBLOCK_STYLE=BYPASS"):
        split_layers(plain, shape)


@pytest.mark.parametrize("bits", [None, 12])
def test_every_prefix_is_the_same_image_to_another_decoder(bits: int | None) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    pixels = textured(3, 150, 200, "uint16")
    shape = codestream_shape(pixels, levels=4, qualities=len(PERCENT))
    if bits is not None:
        pixels = pixels * 16 % (1 << bits)
        shape = tight_shape(pixels, shape)
        assert shape.bits == bits
    layers = encode_layers(pixels, shape, PERCENT)
    for count in range(1, len(layers) + 1):
        other = imagecodecs.jpeg2k_decode(join_layers(shape, layers[:count]), planar=True)
        assert np.array_equal(other, decode_layers(shape, layers[:count]))


def test_packets_at_the_end_of_a_layer_that_hold_nothing_do_not_travel() -> None:
    shape = CodestreamShape(height_px=48, width_px=61, components=2, bits=16, levels=2, qualities=2)
    first = (b"\x80", b"\xc1\x23\x45", b"\x80", b"\xd6\x78", b"\x80", b"\x80")
    second = (b"\x91",) * 5 + (b"\xa2\x80",)  # its last byte is data
    lengths = bytes(len(packet) for packet in first + second)
    tile = bytes.fromhex("ff90 000a 0000 00000000 00 01 ff58 000f 00") + lengths
    stream = main_header(shape) + tile + b"\xff\x93" + b"".join(first + second) + b"\xff\xd9"
    layers = split_layers(stream, shape)
    assert [layer.hex() for layer in layers] == ["0280c1234580d678", "009191919191a280"]
    assert join_layers(shape, layers).endswith(b"".join(first + second) + b"\xff\xd9")
    for damaged in (b"\x07" + layers[0][1:], b"", b"\xff" * 9):
        with pytest.raises(CodestreamError, match="quality layer"):
            join_layers(shape, [damaged])


def test_a_stream_of_another_shape_is_refused() -> None:
    pixels = textured(2, 40, 50, "uint16")
    shape = codestream_shape(pixels, levels=3, qualities=4)
    layers = encode_layers(pixels, shape, PERCENT)
    whole = join_layers(shape, layers)
    other = codestream_shape(pixels, levels=2, qualities=4)
    with pytest.raises(CodestreamError, match="is not that of"):
        split_layers(whole, other)


@pytest.mark.parametrize("count", [0, 5])
def test_no_layers_and_too_many_are_refused(count: int) -> None:
    shape = CodestreamShape(height_px=8, width_px=8, components=1, bits=8, levels=0, qualities=4)
    with pytest.raises(CodestreamError, match=f"{count} layers given"):
        join_layers(shape, [b"\x80"] * count)


def test_pixels_that_cannot_be_coded_are_refused() -> None:
    with pytest.raises(CodestreamError, match="float32"):
        codestream_shape(np.ones((1, 4, 4), "float32"), levels=1, qualities=1)


@given(st.binary(max_size=300))
def test_noise_is_one_clear_error(noise: bytes) -> None:
    shape = CodestreamShape(height_px=8, width_px=8, components=1, bits=8, levels=1, qualities=2)
    for data in (noise, main_header(shape) + noise):
        with pytest.raises(CodestreamError):
            split_layers(data, shape)


def test_packets_that_reach_past_the_end_are_refused() -> None:
    pixels = textured(2, 40, 50, "uint16")
    shape = codestream_shape(pixels, levels=1, qualities=2)
    whole = main_header(shape) + bytes.fromhex("ff90 000a 0000 00000000 00 01 ff58")
    for lengths in (b"\x01\x02\x03\x04\x05\x06\x07\x70", b"\x01" * 7 + b"\xff\xff\xff\xff\x7f"):
        stream = whole + (3 + len(lengths)).to_bytes(2, "big") + b"\x00" + lengths + b"\xff\x93" + bytes(range(40))
        for cut in (lambda data: split_layers(data, shape), lambda data: first_layers(data, 2)):
            with pytest.raises(CodestreamError, match=r"codestream of \d+ bytes"):
                cut(stream)
