"""Fuzz targets of what layers carry: scene summaries, image headers, codestreams, whole images."""

import math
import struct
from dataclasses import replace
from functools import cache

import numpy as np
import zstandard

from downlink.alerts import AlertDetection
from downlink.audit_sample import AuditManifest, AuditStratum, AuditUnit, DiscardKind, decode_audit, encode_audit
from downlink.band_transform import MOST_BANDS
from downlink.codestream import CodestreamShape, first_layers, join_layers, main_header, split_layers
from downlink.errors import CodestreamError, LayerError
from downlink.image_encoding import ImageProduct, encode_image
from downlink.image_header import (
    FILLED,
    MASKED,
    REFERENCED,
    SIXTEEN_BITS,
    TRANSFORMED,
    ImageHeader,
    pack_header,
    unpack_header,
)
from downlink.image_layers import ImageAssembly
from downlink.prediction import Predicted, Reference, ReferenceBlock
from downlink.scene import Georeference, SceneSummary, TileOutcome, Window, decode_summary, encode_summary
from downlink.varint import varint
from tests.fuzz.contract import Target, require, value_or_refusal
from tests.fuzz.tape import Tape

_FAST = zstandard.ZstdCompressor(level=1)


def summary(data: bytes) -> None:
    """A summary or LayerError, of the bytes as they are and of JSON behind version and compression."""
    for encoded in (data, b"\x01" + data, b"\x01" + _FAST.compress(data), b"\x01" + _FAST.compress(_unrolled(data))):
        decoded = value_or_refusal(LayerError, decode_summary, encoded)
        if decoded is not None:
            require(decode_summary(encode_summary(decoded)) == decoded, "a summary changes on the way")


def _unrolled(data: bytes) -> bytes:
    """The middle third many times: JSON as long as a packet of some kilobytes can carry."""
    third = len(data) // 3
    middle = data[third : 2 * third]
    return data[:third] + middle * min(200, 400_000 // max(1, len(middle))) + data[2 * third :]


def image_header(data: bytes) -> None:
    """A header or LayerError, of the bytes as they are and with a mask behind compression."""
    for payload in (data, _with_packed_mask(Tape(data))):
        unpacked = value_or_refusal(LayerError, unpack_header, payload)
        if unpacked is None:
            continue
        header, packets = unpacked
        again, rest = unpack_header(pack_header(header) + packets)
        require(rest == packets and _without_mask(again) == _without_mask(header), "an image header changes on the way")
        if header.valid is not None:
            require(again.valid is not None and np.array_equal(again.valid, header.valid), "a mask changes on the way")


def _without_mask(header: ImageHeader) -> ImageHeader:
    return replace(header, valid=None)


def _with_packed_mask(tape: Tape) -> bytes:
    """A header whose mask is a sound zstd frame of the tape's bytes, as long as the header says or not."""
    height, width, steps, bands = 1 + tape.below(40), 1 + tape.below(40), 1 + tape.below(4), 1 + tape.below(4)
    bits = tape.chunk(512)
    if tape.flag():
        bits = bits.ljust(height * -(-width // 8), b"\xa5")
    mask = _FAST.compress(bits * (1 + tape.below(256)) if tape.flag() else bits)
    transform = _some_transform(tape, bands) if tape.flag() else b""
    reference = tape.chunk(64) if tape.flag() else None
    start = _start(
        tape,
        window=(tape.number(4), tape.number(4), height, width),
        bands=bands,
        steps=steps,
        flags=MASKED | FILLED,
        reference=reference,
        transform=transform,
    )
    return start + varint(len(mask)) + mask + tape.rest()


def _start(
    tape: Tape,
    *,
    window: tuple[int, int, int, int],
    bands: int,
    steps: int,
    flags: int,
    reference: bytes | None,
    transform: bytes,
) -> bytes:
    """A header up to its mask, its codes sound, its bits and levels whatever the tape says."""
    flags |= REFERENCED * (reference is not None) | TRANSFORMED * bool(transform) | SIXTEEN_BITS * tape.flag()
    signed, deep = flags & (REFERENCED | TRANSFORMED), flags & SIXTEEN_BITS
    bits = 9 + tape.below(17) if signed else 9 + tape.below(8) if deep else 8
    codes = (b"\x63" + tape.take(-(-(steps - 2) // 2)).ljust(-(-(steps - 2) // 2), b"\x12")) if steps > 1 else b""
    return b"".join(
        (
            bytes((3, flags, bands % 256, tape.below(34), steps)),
            *map(varint, window),
            bytes([bits]),
            codes,
            tape.take(4).ljust(4, b"\x13"),
            b"" if reference is None else varint(len(reference)) + reference,
            transform,
        )
    )


def codestream(data: bytes) -> None:
    """Layers or CodestreamError, of the bytes as they are and behind a main header that fits."""
    shape = CodestreamShape(height_px=48, width_px=61, components=2, bits=16, levels=2, qualities=3)
    for stream in (data, main_header(shape) + data):
        for count in (0, 1, 3):
            value_or_refusal(CodestreamError, first_layers, stream, count)
        layers = value_or_refusal(CodestreamError, split_layers, stream, shape)
        if layers is not None:
            require(len(layers) == shape.qualities, f"{len(layers)} layers of {shape.qualities}")
            joined = join_layers(shape, layers)
            require(all(joined.count(layer[1:]) >= 1 for layer in layers), "layers do not come back whole")


def image(data: bytes) -> None:
    """An image or LayerError or CodestreamError, however the payloads of its steps are damaged, alone or predicted."""
    tape = Tape(data)
    choices = tape.byte()
    product = _sound_image(predicted=bool(choices & 2))
    assembly = ImageAssembly(nodata=7.0 if choices & 1 else None)
    for step in range(tape.below(6)):
        payload = product.payloads[step % len(product.payloads)]
        match tape.below(5):
            case 4:
                payload = _hostile_start(tape) + tape.chunk()
            case 0:
                payload = tape.chunk()
            case 1:
                at, piece = tape.below(len(payload)), tape.chunk(64)
                payload = payload[:at] + piece + payload[at + len(piece) :]
            case 2:
                payload = payload[: tape.below(len(payload))]
        assembly.add(step, payload)
    value_or_refusal(LayerError, lambda: assembly.reference)
    steps = None if choices & 4 else 1 + (choices >> 4)
    predict = None if choices & 8 else _some_prediction
    decoded = value_or_refusal((LayerError, CodestreamError), assembly.decode, predict, steps=steps)
    if decoded is not None:
        window = decoded.window
        require(
            decoded.pixels.shape[1:] == (window.height, window.width) == decoded.valid.shape,
            "pixels do not fill the window",
        )
        require(not decoded.lossless or decoded.mse == 0, "a lossless image has an error")


def _some_prediction(reference: Reference, window: Window) -> np.ndarray:
    """Pixels of two bands that any machine would find, whatever the window."""
    rows, cols = np.mgrid[0 : window.height, 0 : window.width]
    return np.stack([(rows * 35 + cols * 11) % 251 + 300, (rows * cols) % 91 + 903]).astype(np.uint16)


def _some_transform(tape: Tape, bands: int) -> bytes:
    """A band transform of any coefficients, its components in an order that is one or not."""
    means = b"".join(varint(tape.number(2)) for _ in range(bands))
    order_bytes = -(-(math.factorial(bands) - 1).bit_length() // 8)
    order = bytes(order_bytes) if tape.flag() else tape.take(order_bytes).ljust(order_bytes, b"\x02")
    widths = tape.byte()
    rest_bytes = -(-(1 + (widths & 15)) * (bands - 1) * (bands + 1) // 8)
    return means + order + bytes([widths]) + tape.take(rest_bytes).ljust(rest_bytes, b"\x7f")


def _hostile_start(tape: Tape) -> bytes:
    """A header that can be read and may announce anything: mostly a small image."""
    unit = 1 if tape.below(16) else 100
    height, width, bands = (
        unit * (1 + tape.below(80)),
        unit * (1 + tape.below(80)),
        1 + tape.below(5 if unit == 1 else 256),
    )
    transform = _some_transform(tape, bands) if 2 <= bands <= MOST_BANDS and tape.flag() else b""
    reference = tape.chunk(64) if tape.flag() else None
    return _start(
        tape,
        window=(9, 7, height, width),
        bands=bands,
        steps=1 + tape.below(4),
        flags=FILLED * tape.flag(),
        reference=reference,
        transform=transform,
    )


@cache
def _sound_image(*, predicted: bool = False) -> ImageProduct:
    """2 bands of 20 x 24 px in three steps, four with a prediction, with pixels without data."""
    rows, cols = np.mgrid[0:20, 0:24]
    pixels = np.stack([(rows * 37 + cols * 11) % 251 + 300, (rows * cols) % 97 + 900]).astype(np.uint16)
    valid = (rows + cols) % 9 > 0
    pixels[:, ~valid] = 7
    window = Window(row=512, col=1024, height=20, width=24)
    reference = Reference(
        scene=0x01020304,
        row_shift=65,
        col_shift=-3,
        blocks=(ReferenceBlock(product=17, steps=3, check=0x90ABCDEF),),
        gains=(4096, 4000),
        offsets=(16, -7),
    )
    return encode_image(
        pixels, window, valid=valid, quality_percent=(5.0, 20.0, 100.0), levels=2, nodata=7,
        predicted=Predicted(reference=reference, pixels=_some_prediction(reference, window)) if predicted else None,
    )  # fmt: skip


def _summary_seeds() -> list[bytes]:
    scene = SceneSummary(
        scene=305419896, name="harbour", captured_ms=1692230400123, height=1126, width=1351, dtype="uint16",
        band_names=("B02", "B08"), nodata=7.0,
        georeference=Georeference(crs_wkt='LOCAL_CS["x"]', transform=(10.0, 0.5, 300000.0, -0.25, -10.0, 4000000.0)),
        peak_dn=10000, tile_px=1024,
        tile_outcomes=(TileOutcome.KEPT, TileOutcome.CLOUD, TileOutcome.UNREADABLE, TileOutcome.POWER), gsd_m=9.5,
        footprint_lonlat=((3.0, 36.5), (3.25, 36.5), (3.25, 36.25), (3.0, 36.25)), model="ships@3", classes=("ship",),
        policy="ports",
    )  # fmt: skip
    text = scene.model_dump_json().encode()
    many = b'{"tile_outcomes":[' + b'0,"kept",' * 40 + b"1]}"
    return [
        encode_summary(scene),
        text,
        text.replace(b"1126", b"1e3"),
        many,
        b'{"classes":' + b"[" * 60,
        b'{"a":0,"b":1,"c":2}',
    ]


def _image_header_seeds() -> list[bytes]:
    bomb = _FAST.compress(bytes(1 << 20))
    claim = struct.pack("<IBQ", 0xFD2FB528, 0xE0, 1 << 45) + b"\x01\0\0"
    start = bytes.fromhex("03 08 01 00 01 8322 05 08 08 08 abcdef01")
    return [
        _sound_image().payloads[0], _sound_image(predicted=True).payloads[0],
        bytes.fromhex("03 00 01 00 01 03 05 08 08 08 abcdef01") + b"packets", start + varint(len(bomb)) + bomb,
        start + varint(len(claim)) + claim, b"\x13\x17\x02\x01\x30" + bytes(range(200, 248)) + b"\x01\x00" + bytes(range(20)),
    ]  # fmt: skip


def _codestream_seeds() -> list[bytes]:
    shape = CodestreamShape(height_px=48, width_px=61, components=2, bits=16, levels=2, qualities=3)
    packets = [bytes([0x80 | n]) * (n + 1) for n in range(shape.qualities * shape.packets_per_quality)]
    lengths = b"".join(bytes([len(packet)]) for packet in packets)
    plt = struct.pack(">HHB", 0xFF58, len(lengths) + 3, 0) + lengths
    tile = struct.pack(">HHHIBB", 0xFF90, 10, 0, 0, 0, 1) + plt + b"\xff\x93" + b"".join(packets) + b"\xff\xd9"
    comment = struct.pack(">HHH", 0xFF64, 6, 1) + b"hi"
    return [
        tile,
        main_header(shape) + tile,
        main_header(shape)[:-4],
        main_header(shape) + comment + tile,
        comment + tile,
    ]


def _image_seeds() -> list[bytes]:
    return [
        bytes((5, 3, 3, 3, 3)), bytes((5, 1, 3)), bytes((5, 2, 3, 1, 0, 4, 9, 8, 7, 6)), bytes((4, 3, 3, 2, 3, 3)),
        bytes((5, 1, 1, 9, 5, 1, 0, 64, 0, 64)), bytes((5, 5, 3, 3, 3, 3, 3)),
        bytes((7, 4, 3, 3, 3, 3)), bytes((15, 4, 3, 3, 3, 3)), bytes((0x23, 4, 3, 3, 3, 3)), bytes((7, 4, 3, 1, 4, 3, 9, 9, 9, 3, 3)),
        bytes((5, 1, 4, 1, 20, 30, 2, 1, 2, 0, 0, 0, 0, 0, 0, 40)) + bytes(range(0x80, 0xA8)),
    ]  # fmt: skip


def audit(data: bytes) -> None:
    """A draw with its image or LayerError; what is decoded encodes to what decodes to it, where its candidates lie in a scene."""
    decoded = value_or_refusal(LayerError, decode_audit, data)
    if decoded is None:
        return
    manifest, image_step = decoded
    require(all(0 <= stratum.share <= 1 for stratum in manifest.strata), "an impossible chance")
    require(all(len(stratum.units) <= stratum.population for stratum in manifest.strata), "more drawn than there is")
    packed = value_or_refusal(LayerError, encode_audit, manifest, image_step)
    if packed is not None:
        again, same_image = decode_audit(packed)
        require(same_image == image_step, "the image of an audit changes on the way")
        places = [(kind, unit.row, unit.col) for kind, unit in manifest.units]
        require(places == [(kind, unit.row, unit.col) for kind, unit in again.units], "units change on the way")


def _audit_seeds() -> list[bytes]:
    candidate = AlertDetection(class_id=3, confidence=0.2, corners_px=((10, 20), (42, 20), (42, 28), (10, 28)))
    cloud = AuditStratum(
        kind=DiscardKind.CLOUD,
        population=1920,
        share=0.015625,
        units=(AuditUnit(row=0x1234, col=0x56), AuditUnit(row=0x1274, col=0x96)),
    )
    gate = AuditStratum(kind=DiscardKind.SEA_GATE, population=12_345, share=0.0, units=())
    below = AuditStratum(
        kind=DiscardKind.BELOW_THRESHOLD,
        population=9,
        share=0.25,
        units=(AuditUnit(row=5, col=7, candidate=candidate),),
    )
    return [
        encode_audit(AuditManifest(cell_px=64, strata=(cloud, gate, below)), _image_seeds()[0]),
        encode_audit(AuditManifest(cell_px=8, strata=(below,)), b"\x03"),
        encode_audit(AuditManifest(cell_px=256, strata=(gate,))),
    ]


TARGETS = {
    "audit": Target(run=audit, seeds=_audit_seeds, longest=1024),
    "summary": Target(run=summary, seeds=_summary_seeds, longest=2048),
    "image_header": Target(run=image_header, seeds=_image_header_seeds, longest=1024),
    "codestream": Target(run=codestream, seeds=_codestream_seeds, longest=1024),
    "image": Target(run=image, seeds=_image_seeds, longest=1024),
}
