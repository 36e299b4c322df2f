"""A JPEG 2000 codestream as a main header and quality layers (pure bytes, no decoder).

An image is coded as one tile without precincts in layer-resolution-component-position order, so that the packets of
one quality layer lie together and the packets of the first n layers are a prefix of the stream. A receiver that holds
n whole layers writes n as the number of layers into the header and has a complete, valid codestream. The main header
follows from the shape alone (see `main_header`), so it never travels.

At low rates most packets say that they hold nothing, in one byte each, and the last of a layer are those of the finest details. So a layer
travels as the count of such packets at its end (a varint), then the packets before them.

Source: ISO/IEC 15444-1, A.4 to A.7 (marker segments), B.10 (packets), B.12.1.1 (LRCP), E.1 (quantization exponents).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from downlink.errors import CodestreamError, LayerError
from downlink.varint import read_varint, varint

SOC, SOT, SOD, EOC = 0xFF4F, 0xFF90, 0xFF93, 0xFFD9
SIZ, COD, QCD, COM, PLT = 0xFF51, 0xFF52, 0xFF5C, 0xFF64, 0xFF58
CODE_BLOCK_EXPONENT = 6
"""Code-blocks of 64 x 64 coefficients."""
CODE_BLOCK_STYLE = 1
"""Selective arithmetic coding bypass (A.6.1, D.6): the lower bit-planes are written raw, which is faster and costs next to nothing."""
GUARD_BITS = 2
PRECINCTS_LISTED = 1
NOTHING_INCLUDED = b"\x80"
"""A packet that includes no code-block for the first time or again, where all that it must say fits a byte (B.10.3, B.10.4)."""
LARGEST_COMPONENT_BITS = 24
"""Of signed samples."""
SIGNED_BIT = 0x80
"""In Ssiz, A.5.1."""
WHOLE_IMAGE_PRECINCT = 0xFF
"""Precinct exponents 15 and 15: one precinct at each resolution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodestreamShape:
    """Everything that a main header says."""

    height_px: int
    """Rows of the image, 1 or more."""
    width_px: int
    """Columns of the image, 1 or more."""
    components: int
    """Bands, 1 to 16384."""
    bits: int
    """Bit depth of the samples: 8 to 16 of pixels, up to 24 of signed components."""
    levels: int
    """Wavelet decompositions, 0 to 32."""
    qualities: int
    """Quality layers, 1 to 65535."""
    signed: bool = False
    """Whether samples lie around 0: components of a band transform."""

    @property
    def packets_per_quality(self) -> int:
        return (self.levels + 1) * self.components


def smallest_bits(pixel_bits: int, signed: bool) -> int:
    """Of samples of pixels of 8 or 16 bits: the coder takes samples of 16 bits in 9 at least, and has no signed ones of 8."""
    return 8 if pixel_bits == 8 and not signed else 9


def main_header(shape: CodestreamShape, *, code_block_style: int = CODE_BLOCK_STYLE) -> bytes:
    """SOC, SIZ, COD and QCD of a reversible (5/3) stream without component transform of its own."""
    size = struct.pack(
        ">HIIIIIIIIH", 0, shape.width_px, shape.height_px, 0, 0, shape.width_px, shape.height_px, 0, 0, shape.components
    )
    size += bytes((shape.bits - 1 | (SIGNED_BIT if shape.signed else 0), 1, 1)) * shape.components
    style = struct.pack(">BBHB", PRECINCTS_LISTED, 0, shape.qualities, 0)
    style += bytes((shape.levels, CODE_BLOCK_EXPONENT - 2, CODE_BLOCK_EXPONENT - 2, code_block_style, 1))
    style += bytes([WHOLE_IMAGE_PRECINCT]) * (shape.levels + 1)
    gains = [0] + [1, 1, 2] * shape.levels
    quantization = bytes([GUARD_BITS << 5]) + bytes((shape.bits + gain) << 3 for gain in gains)
    segments = ((SIZ, size), (COD, style), (QCD, quantization))
    return struct.pack(">H", SOC) + b"".join(struct.pack(">HH", m, len(b) + 2) + b for m, b in segments)


def split_layers(data: bytes, shape: CodestreamShape) -> tuple[bytes, ...]:
    """Cut a codestream with packet lengths (PLT) into its quality layers, each as it travels.

    Raises CodestreamError when the stream is damaged or its header is not `main_header(shape)`.
    """
    header, at = _read_main_header(data)
    if header == main_header(shape, code_block_style=0):
        raise CodestreamError(
            f"codestream has code-blocks of style 0, not {CODE_BLOCK_STYLE}: this build of GDAL ignores its option "
            "CODEBLOCK_STYLE=BYPASS; use one that knows it"
        )
    if header != main_header(shape):
        raise CodestreamError(
            f"codestream header {header.hex()} is not that of {shape}: its layers could not be joined"
        )
    lengths, at = _read_packet_lengths(data, at)
    if len(lengths) != shape.qualities * shape.packets_per_quality:
        raise CodestreamError(
            f"codestream lists {len(lengths)} packets, {shape.qualities} layers of {shape.packets_per_quality} were expected"
        )
    layers = []
    for first in range(0, len(lengths), shape.packets_per_quality):
        of_layer = lengths[first : first + shape.packets_per_quality]
        end = at + sum(of_layer)
        layers.append(_without_last_empty(data[at:end], of_layer))
        at = end
    if data[at : at + 2] != EOC.to_bytes(2, "big"):
        raise CodestreamError(
            f"codestream of {len(data)} bytes has no end marker (EOC) at byte {at}, after its packets"
        )
    return tuple(layers)


def join_layers(shape: CodestreamShape, layers: Sequence[bytes]) -> bytes:
    """A complete codestream of the first `len(layers)` quality layers of an image, each as it travels.

    Raises CodestreamError for none or too many, and for a layer that leaves out more packets than it has.
    """
    if not 1 <= len(layers) <= shape.qualities:
        raise CodestreamError(
            f"{len(layers)} layers given for a codestream of {shape.qualities}: give 1 to {shape.qualities}"
        )
    body = b"".join(_with_last_empty(layer, shape) for layer in layers)
    start_of_tile = struct.pack(">HHHIBB", SOT, 10, 0, 12 + 2 + len(body), 0, 1)
    header = main_header(replace(shape, qualities=len(layers)))
    return header + start_of_tile + SOD.to_bytes(2, "big") + body + EOC.to_bytes(2, "big")


def _without_last_empty(packets: bytes, lengths: Sequence[int]) -> bytes:
    """A layer as it travels."""
    empty, end = 0, len(packets)
    while empty < len(lengths) and lengths[-1 - empty] == 1 and packets[end - 1 : end] == NOTHING_INCLUDED:
        empty, end = empty + 1, end - 1
    return varint(empty) + packets[:end]


def _with_last_empty(layer: bytes, shape: CodestreamShape) -> bytes:
    """The packets of a layer that travelled."""
    try:
        empty, at = read_varint(layer, 0)
    except LayerError as error:
        raise CodestreamError(
            f"quality layer of {len(layer)} bytes does not say what it leaves out: {error}"
        ) from error
    if empty > shape.packets_per_quality:
        raise CodestreamError(f"quality layer leaves out {empty} packets of {shape.packets_per_quality}")
    return layer[at:] + NOTHING_INCLUDED * empty


def first_layers(data: bytes, count: int) -> bytes:
    """The first `count` quality layers of any single-tile LRCP codestream with packet lengths, as a codestream.

    Unlike `join_layers` it keeps the stream's own header. Raises CodestreamError when the stream cannot be cut there.
    """
    header, start_of_tile = _read_main_header(data)
    lengths, body = _read_packet_lengths(data, start_of_tile)
    at = header.find(COD.to_bytes(2, "big"))
    layers = int.from_bytes(header[at + 6 : at + 8], "big") if at > 0 else 0
    if not 1 <= count <= layers or len(lengths) % layers or header[at + 5] != 0:
        raise CodestreamError(f"cannot cut {count} layers from a codestream of {layers} and {len(lengths)} packets")
    end = body + sum(lengths[: len(lengths) // layers * count])
    if end > len(data):
        raise CodestreamError(f"codestream of {len(data)} bytes ends inside its packets, which reach to byte {end}")
    start = struct.pack(">HHHIBB", SOT, 10, 0, 12 + 2 + end - body, 0, 1)
    patched = header[: at + 6] + count.to_bytes(2, "big") + header[at + 8 :]
    return patched + start + SOD.to_bytes(2, "big") + data[body:end] + EOC.to_bytes(2, "big")


def _read_main_header(data: bytes) -> tuple[bytes, int]:
    """The main header without comments, and the position of the first SOT."""
    if data[:2] != SOC.to_bytes(2, "big"):
        raise CodestreamError(f"not a JPEG 2000 codestream: starts with {data[:2].hex() or 'nothing'}, not ff4f")
    kept, at = [data[:2]], 2
    while at + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == SOT:
            return b"".join(kept), at
        if (
            marker == SIZ
        ):  # the claimed profile (Rsiz) says nothing about how the packets lie: written as "no restrictions"
            kept.append(data[at : at + 4] + b"\x00\x00" + data[at + 6 : at + 2 + length])
        elif marker != COM:
            kept.append(data[at : at + 2 + length])
        at += 2 + length
    raise CodestreamError(f"codestream of {len(data)} bytes ends inside its main header")


def _read_packet_lengths(data: bytes, start_of_tile: int) -> tuple[list[int], int]:
    """Packet lengths from the PLT segments of the only tile-part, and where its packets begin (A.7.3)."""
    lengths: list[int] = []
    at, value = start_of_tile + 12, 0
    while at + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == SOD:
            return lengths, at + 2
        if marker == PLT:
            for byte in data[at + 5 : at + 2 + length]:
                value = value << 7 | byte & 0x7F
                if value > len(data):
                    raise CodestreamError(f"codestream of {len(data)} bytes lists a packet of {value} bytes or more")
                if not byte & 0x80:
                    lengths.append(value)
                    value = 0
        at += 2 + max(length, 2)
    raise CodestreamError(f"codestream of {len(data)} bytes ends inside its tile-part header")
