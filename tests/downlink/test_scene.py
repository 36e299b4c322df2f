"""Windows, and the scene summary on the wire."""

import contextlib
import json
import time
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from downlink.errors import LayerError
from downlink.scene import (
    SUMMARY_LIMIT_BYTES,
    Georeference,
    SceneSummary,
    TileOutcome,
    Window,
    decode_summary,
    encode_summary,
)

GOLDEN_JSON = (
    '{"scene":305419896,"name":"harbour","captured_ms":1692230400123,"acquired_ms":null,"height":1126,"width":1351,"dtype":"uint16",'
    '"band_names":["B02","B08"],"nodata":7.0,"georeference":{"crs_wkt":"LOCAL_CS[\\"x\\"]",'
    '"transform":[10.0,0.5,300000.0,-0.25,-10.0,4000000.0]},"peak_dn":10000,"tile_px":1024,'
    '"tile_outcomes":["kept","cloud","unreadable","power"],"gsd_m":9.5,'
    '"footprint_lonlat":[[3.0,36.5],[3.25,36.5],[3.25,36.25],[3.0,36.25]],"model":"ships@3","classes":["ship"],'
    '"policy":"ports"}'
)


def summary(**changes: Any) -> SceneSummary:
    return SceneSummary.model_validate({**json.loads(GOLDEN_JSON), **changes})


windows = st.builds(
    Window, row=st.integers(-9, 9), col=st.integers(-9, 9), height=st.integers(1, 9), width=st.integers(1, 9)
)


def pixels_of(window: Window) -> set[tuple[int, int]]:
    return {(y, x) for y in range(window.row, window.row_stop) for x in range(window.col, window.col_stop)}


@given(windows, windows)
def test_intersection_is_the_set_of_shared_pixels(one: Window, other: Window) -> None:
    shared = one.intersection(other)
    assert (pixels_of(shared) if shared else set()) == pixels_of(one) & pixels_of(other)
    assert shared == other.intersection(one)


@given(windows, st.integers(-20, 20), st.integers(-20, 20))
def test_a_window_contains_its_pixels_and_no_others(window: Window, x: int, y: int) -> None:
    assert window.contains(x, y) == ((y, x) in pixels_of(window))
    assert window.contains(x + 0.999, y + 0.999) == window.contains(x, y)


@given(windows, st.integers(-20, 20), st.integers(-20, 20))
def test_shifting_moves_down_and_right(window: Window, rows: int, cols: int) -> None:
    assert pixels_of(window.shifted(rows, cols)) == {(y + rows, x + cols) for y, x in pixels_of(window)}


def test_slices_index_rows_first() -> None:
    assert Window(row=2, col=5, height=3, width=7).slices == (slice(2, 5), slice(5, 12))
    with pytest.raises(LayerError, match="row -1, col 5"):
        _ = Window(row=-1, col=5, height=3, width=7).slices


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(LayerError, match="0 x 4 px"):
        Window(row=1, col=1, height=0, width=4)


def test_the_bytes_of_a_summary_are_a_version_and_zstd_of_compact_json() -> None:
    encoded = encode_summary(summary())
    assert encoded[0] == 1
    assert zstandard.ZstdDecompressor().decompress(encoded[1:]).decode() == GOLDEN_JSON


names = st.text(min_size=1, max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.integers(0, 2**32 - 1),
    names,
    st.integers(0, 2**45),
    st.tuples(st.integers(1, 70), st.integers(1, 70), st.integers(16, 40)),
    st.lists(names, min_size=1, max_size=13),
    st.none() | finite,
    st.tuples(finite, finite, finite, finite, finite, finite),
    st.data(),
)
def test_a_summary_comes_back_as_it_was(
    scene: int,
    name: str,
    captured_ms: int,
    shape: tuple[int, int, int],
    bands: list[str],
    nodata: float | None,
    transform: tuple[float, float, float, float, float, float],
    data: st.DataObject,
) -> None:
    height, width, tile_px = shape
    tiles = -(-height // tile_px) * -(-width // tile_px)
    outcomes = data.draw(st.lists(st.sampled_from(list(TileOutcome)), min_size=tiles, max_size=tiles))
    given_summary = summary(
        scene=scene,
        name=name,
        captured_ms=captured_ms,
        height=height,
        width=width,
        tile_px=tile_px,
        band_names=tuple(bands),
        nodata=nodata,
        georeference=Georeference(crs_wkt=None, transform=transform),
        tile_outcomes=tuple(outcomes),
        gsd_m=None,
        footprint_lonlat=None,
        model=None,
    )
    assert decode_summary(encode_summary(given_summary)) == given_summary


@given(st.binary(max_size=300))
def test_noise_is_refused_and_never_crashes(data: bytes) -> None:
    with pytest.raises(LayerError):
        decode_summary(data)


@given(st.data())
def test_a_damaged_summary_is_refused_or_still_a_summary(data: st.DataObject) -> None:
    encoded = bytearray(encode_summary(summary()))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(LayerError):
        assert isinstance(decode_summary(bytes(encoded)), SceneSummary)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\x02" + encode_summary(summary())[1:], "version 2"),
        (encode_summary(summary())[:-4], "damaged"),
        (encode_summary(summary()) + b"\x9c", "damaged"),
        (b"\x01" + zstandard.compress(b"[" * 10_000), "recursion"),
        (b"\x01" + zstandard.compress(b'{"scene": 1}'), "Field required"),
        (b"\x01" + zstandard.compress(bytes(SUMMARY_LIMIT_BYTES + 1)), f"{SUMMARY_LIMIT_BYTES + 1} bytes"),
        (b"\x01" + zstandard.ZstdCompressor(write_content_size=False).compress(GOLDEN_JSON.encode()), "at most"),
    ],
)
def test_what_is_wrong_with_a_summary_is_said(data: bytes, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        decode_summary(data)


def test_a_summary_too_large_to_read_is_not_written() -> None:
    with pytest.raises(LayerError, match="at most"):
        encode_summary(summary(policy="p" * SUMMARY_LIMIT_BYTES))


@pytest.mark.parametrize(
    "changes",
    [
        {"tile_outcomes": ["kept"] * 3},
        {"tile_outcomes": ["kept"] * 3 + ["lost"]},
        {"scene": 2**32},
        {"dtype": "int16"},
        {"band_names": ["b"] * 14},
        {"nodata": float("nan")},
        {"gsd_m": 0.0},
        {"surprise": 1},
    ],
)
def test_a_summary_that_contradicts_itself_cannot_be_made(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        summary(**changes)


@pytest.mark.parametrize(
    "text",
    [
        b'{"tile_outcomes":[' + b"0," * 1_000_000 + b"0]}",
        b'{"classes":[' + b"0," * 1_000_000 + b"0]}",
        b"{" + b",".join(b'"%x":0' % n for n in range(200_000)) + b"}",
        b'{"georeference":{' + b",".join(b'"%x":0' % n for n in range(200_000)) + b"}}",
    ],
    ids=["outcomes", "classes", "keys", "keys inside"],
)
def test_many_faults_in_a_few_bytes_cost_little(text: bytes) -> None:
    encoded = b"\x01" + zstandard.compress(text)
    start_s = time.process_time()
    with pytest.raises(LayerError, match="does not describe a scene"):
        decode_summary(encoded)
    assert time.process_time() - start_s < 2, "every fault is reported by itself"
