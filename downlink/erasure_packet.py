"""One symbol of an erasure-coded object as the data of a space packet (`Apid.ERASURE_DOWN`).

    offset  bytes  field
    0       1      version, 1
    1       4      object number: one sender never gives two objects the same
    5       3      object length in bytes
    8       3      encoding symbol identifier (RFC 6330, 3.2)
    11      ..     symbol: as long as the packet goes on, a multiple of 8

All numbers are big-endian. The object is a file of records (`downlink.record`), as in a bundle. With its 11 bytes the
header leaves room for a symbol of 1088 bytes in a transfer frame of 1115.
"""

import struct
from dataclasses import dataclass
from typing import Final

from downlink.erasure_code import (
    ENCODING_SYMBOLS_LIMIT,
    LONGEST_SYMBOL_BYTES,
    SOURCE_SYMBOLS_LIMIT,
    SYMBOL_ALIGNMENT_BYTES,
    ObjectShape,
)
from downlink.errors import ErasureCodeError, ErasurePacketError

VERSION: Final = 1
HEADER: Final = struct.Struct(">BI3s3s")
OBJECT_NUMBERS: Final = 1 << 32
LARGEST_OBJECT_BYTES: Final = (1 << 24) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolPacket:
    """One symbol with what its object is, validated at birth (raises ErasurePacketError)."""

    object_number: int
    """Which object of this sender, 32 bits."""
    shape: ObjectShape
    """Length of the object and of its symbols."""
    identifier: int
    """Encoding symbol identifier, 24 bits."""
    symbol: bytes
    """`shape.symbol_bytes` bytes."""

    def __post_init__(self) -> None:
        if not 0 <= self.object_number < OBJECT_NUMBERS or not 0 <= self.identifier < ENCODING_SYMBOLS_LIMIT:
            raise ErasurePacketError(
                f"object number {self.object_number} or symbol {self.identifier} does not fit 32 and 24 bits"
            )
        if self.shape.object_bytes > LARGEST_OBJECT_BYTES or len(self.symbol) != self.shape.symbol_bytes:
            raise ErasurePacketError(
                f"symbol of {len(self.symbol)} bytes where {self.shape.symbol_bytes} are due, in an object of "
                f"{self.shape.object_bytes} bytes of at most {LARGEST_OBJECT_BYTES}"
            )

    def encode(self) -> bytes:
        """The data of its space packet."""
        object_bytes = self.shape.object_bytes.to_bytes(3, "big")
        return HEADER.pack(VERSION, self.object_number, object_bytes, self.identifier.to_bytes(3, "big")) + self.symbol


def decode_symbol_packet(data: bytes) -> SymbolPacket:
    """Inverse of `SymbolPacket.encode`. Raises ErasurePacketError for anything else."""
    if len(data) <= HEADER.size or data[0] != VERSION:
        raise ErasurePacketError(f"{len(data)} bytes starting {data[:1].hex()} are no symbol packet version {VERSION}")
    _, object_number, object_bytes, identifier = HEADER.unpack_from(data)
    symbol = bytes(data[HEADER.size :])
    try:
        shape = ObjectShape(object_bytes=int.from_bytes(object_bytes, "big"), symbol_bytes=len(symbol))
    except ErasureCodeError as error:
        raise ErasurePacketError(f"symbol packet of object {object_number}: {error}") from error
    return SymbolPacket(
        object_number=object_number, shape=shape, identifier=int.from_bytes(identifier, "big"), symbol=symbol
    )


def symbol_bytes_in(packet_bytes: int) -> int:
    """Longest symbol whose packet data take at most `packet_bytes`. Raises ErasurePacketError where none does."""
    room = (packet_bytes - HEADER.size) // SYMBOL_ALIGNMENT_BYTES * SYMBOL_ALIGNMENT_BYTES
    if room < SYMBOL_ALIGNMENT_BYTES:
        raise ErasurePacketError(
            f"packet data of {packet_bytes} bytes hold no symbol; give at least {HEADER.size + SYMBOL_ALIGNMENT_BYTES}"
        )
    return min(room, LONGEST_SYMBOL_BYTES)


def shape_for(object_bytes: int, packet_bytes: int) -> ObjectShape:
    """How to cut an object so that each packet's data take at most `packet_bytes`: one that fits a packet is one symbol.

    Raises ErasureCodeError when the object needs too many symbols, ErasurePacketError when a packet holds none.
    """
    whole = -(-object_bytes // SYMBOL_ALIGNMENT_BYTES) * SYMBOL_ALIGNMENT_BYTES
    return ObjectShape(object_bytes=object_bytes, symbol_bytes=min(whole, symbol_bytes_in(packet_bytes)))


def largest_object_bytes(packet_bytes: int) -> int:
    """Longest object that packets of this size carry."""
    return min(LARGEST_OBJECT_BYTES, symbol_bytes_in(packet_bytes) * SOURCE_SYMBOLS_LIMIT)
