"""RaptorQ (RFC 6330): an object of bytes as symbols, any few more than `source_symbols` of which give it back.

An object is one source block without sub-blocks, its symbols a multiple of 8 bytes long: the object transmission
information (3.3.2, 3.3.3) is F = object bytes, T = symbol bytes, Z = 1, N = 1, Al = 8. The code is systematic: encoding
symbols 0 to K - 1 are the object itself, the last one padded with zeros; those from K on are repair symbols.

The library ends the thread that hands it a length, a symbol or an identifier out of range, so everything is checked here
before it is called, and memory and time are bounded by the limits below: the largest object decodes in about 40 ms.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from raptorq import Decoder, Encoder

from downlink.errors import ErasureCodeError

SYMBOL_ALIGNMENT_BYTES: Final = 8
"""Al of RFC 6330."""
LONGEST_SYMBOL_BYTES: Final = 2040
"""Fits the longest transfer frame of 2048 bytes."""
SOURCE_SYMBOLS_LIMIT: Final = 4096
"""Most source symbols of an object; with the longest symbol the code still needs no second block and no sub-blocks."""
ENCODING_SYMBOLS_LIMIT: Final = 1 << 24
"""Encoding symbol identifiers have 24 bits."""
PAYLOAD_ID_BYTES: Final = 4
"""Source block number (1 byte, 0) and encoding symbol identifier (3), RFC 6330, 3.2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectShape:
    """How an object is cut, validated at birth (raises ErasureCodeError)."""

    object_bytes: int
    """Length of the object, F; at least 1."""
    symbol_bytes: int
    """Length of every symbol, T; a multiple of 8."""

    def __post_init__(self) -> None:
        if not 0 < self.symbol_bytes <= LONGEST_SYMBOL_BYTES or self.symbol_bytes % SYMBOL_ALIGNMENT_BYTES:
            raise ErasureCodeError(
                f"symbols of {self.symbol_bytes} bytes; use a multiple of {SYMBOL_ALIGNMENT_BYTES} "
                f"up to {LONGEST_SYMBOL_BYTES}"
            )
        if not 0 < self.object_bytes <= self.symbol_bytes * SOURCE_SYMBOLS_LIMIT:
            raise ErasureCodeError(
                f"an object of {self.object_bytes} bytes in symbols of {self.symbol_bytes}: it must have 1 byte and at most "
                f"{SOURCE_SYMBOLS_LIMIT} symbols; send it as a file"
            )

    @property
    def source_symbols(self) -> int:
        """K: symbols that the object itself fills."""
        return -(-self.object_bytes // self.symbol_bytes)


def encode_symbols(data: bytes, symbol_bytes: int, *, first: int, count: int) -> list[bytes]:
    """Encoding symbols `first` to `first + count - 1` of an object, each `symbol_bytes` long.

    Work grows with `first + count`: the library always begins with symbol 0. Raises ErasureCodeError.
    """
    shape = ObjectShape(object_bytes=len(data), symbol_bytes=symbol_bytes)
    end = first + count
    if not 0 <= first <= end <= ENCODING_SYMBOLS_LIMIT:
        raise ErasureCodeError(f"symbols {first} to {end}: identifiers go from 0 up to {ENCODING_SYMBOLS_LIMIT}")
    source_symbols = shape.source_symbols
    if end <= source_symbols:
        cut = (data[at : at + symbol_bytes] for at in range(first * symbol_bytes, end * symbol_bytes, symbol_bytes))
        return [symbol.ljust(symbol_bytes, b"\0") for symbol in cut]
    with _panics_as_errors():
        packets = Encoder.with_defaults(data, symbol_bytes).get_encoded_packets(end - source_symbols)
    return [packet[PAYLOAD_ID_BYTES:] for packet in packets[first:end]]


def decode_object(shape: ObjectShape, symbols: Mapping[int, bytes]) -> bytes | None:
    """The object of these symbols, by encoding symbol identifier; None where they do not suffice.

    As many as source symbols suffice in 99.5 % of cases, one more in 99.998 %, all source symbols always. Whether the symbols were
    those of one object is for the caller to check. Raises ErasureCodeError when a symbol or an identifier does not fit
    `shape`.
    """
    for identifier, symbol in symbols.items():
        if not 0 <= identifier < ENCODING_SYMBOLS_LIMIT or len(symbol) != shape.symbol_bytes:
            raise ErasureCodeError(
                f"symbol {identifier} has {len(symbol)} bytes in an object of {shape.symbol_bytes}-byte symbols "
                f"whose identifiers end at {ENCODING_SYMBOLS_LIMIT}"
            )
    source_symbols = shape.source_symbols
    if len(symbols) < source_symbols:
        return None
    if all(identifier in symbols for identifier in range(source_symbols)):
        return b"".join(symbols[identifier] for identifier in range(source_symbols))[: shape.object_bytes]
    with _panics_as_errors():
        decoder = Decoder.with_defaults(shape.object_bytes, shape.symbol_bytes)
        for identifier, symbol in symbols.items():
            found: bytes | None = decoder.decode(identifier.to_bytes(PAYLOAD_ID_BYTES, "big") + symbol)
            if found is not None:
                return found
    return None


@contextmanager
def _panics_as_errors() -> Iterator[None]:
    """A panic in the library derives from BaseException and would end a station: it becomes an error that is caught."""
    try:
        yield
    except BaseException as error:
        if type(error).__module__ == "pyo3_runtime":
            raise ErasureCodeError(f"the erasure code gave up: {error}; its input passed every check here") from error
        raise
