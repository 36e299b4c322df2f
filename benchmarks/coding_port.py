"""The port behind which every codec of the coding benchmark stands, and the file in which they pack their streams.

A codec turns pixels (bands, height, width), uint8 or uint16, into bytes and back; whatever the decoder must know travels in
those bytes and counts. A codec whose library cannot be had is an `Absent` with its reason, so that a table never loses a line.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
"""(bands, height, width), uint8 or uint16."""
HEADER = struct.Struct(">BBHHHH")
"""Bands, bytes per sample, height, width, largest sample, parts."""
LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnobRange:
    """What a lossy codec can be set to; quality rises with the knob."""

    low: float
    high: float
    step: float
    """Settings nearer to each other than this are the same."""
    start: float | None = None
    """Where a search begins, and how far its first strides go is `stride`; None: at both ends."""
    stride: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """One codec with fixed options; a lossless one has no knob and ignores what it is set to."""

    name: str
    """Key in the JSON output."""
    encode: Callable[[Pixels, float], bytes]
    """Pixels and setting of the knob to bytes."""
    decode: Callable[[bytes], Pixels]
    """Bytes to pixels of the original shape and type."""
    knob: KnobRange | None = None
    """None: lossless."""
    note: str = ""
    """Options, for people."""

    @property
    def lossless(self) -> bool:
        return self.knob is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A codec that this installation does not have."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What a file of the benchmark holds."""

    shape: tuple[int, int, int]
    """Bands, height, width."""
    dtype: np.dtype[Any]
    largest: int
    """Largest sample, by which samples were brought to the range of the codec; 0 where that was not needed."""
    parts: tuple[bytes, ...]
    """Streams of the codec."""


def pack(pixels: Pixels, parts: Sequence[bytes | bytearray], *, largest: int = 0) -> bytes:
    """Streams with what is needed to put the pixels together again: 10 bytes, and 4 for each stream."""
    bands, height, width = pixels.shape
    head = HEADER.pack(bands, pixels.dtype.itemsize, height, width, largest, len(parts))
    return head + b"".join(LENGTH.pack(len(part)) for part in parts) + b"".join(parts)


def unpack(data: bytes) -> Packed:
    """Inverse of `pack`."""
    bands, sample_bytes, height, width, largest, count = HEADER.unpack_from(data)
    at, parts = HEADER.size + count * LENGTH.size, []
    for (length,) in LENGTH.iter_unpack(data[HEADER.size : at]):
        parts.append(data[at : at + length])
        at += length
    dtype = np.dtype(np.uint8 if sample_bytes == 1 else np.uint16)
    return Packed(shape=(bands, height, width), dtype=dtype, largest=largest, parts=tuple(parts))
