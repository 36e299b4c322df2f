"""Unsigned numbers in as many bytes as they need: groups of 7 bits, the lowest first, the highest bit set where more follow (LEB128)."""

from typing import Final

from downlink.errors import LayerError

LARGEST_VARINT: Final = (1 << 32) - 1


def varint(number: int) -> bytes:
    """The bytes of a number from 0 to `LARGEST_VARINT`. Raises LayerError for others."""
    if not 0 <= number <= LARGEST_VARINT:
        raise LayerError(f"{number} does not fit a header field: give 0 to {LARGEST_VARINT}")
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that starts at byte `at`, and where it ends. Raises LayerError where it is cut or too large."""
    number, shift = 0, 0
    for end in range(at, min(at + 5, len(data))):
        number |= (data[end] & 0x7F) << shift
        shift += 7
        if data[end] < 0x80:
            if number > LARGEST_VARINT:
                break
            return number, end + 1
    raise LayerError(f"{len(data)} bytes hold no number of 1 to 5 bytes at byte {at}")


def zigzag(number: int) -> int:
    """A signed number as an unsigned one: 0, -1, 1, -2, ... become 0, 1, 2, 3, ..."""
    return 2 * number if number >= 0 else -2 * number - 1


def unzigzag(number: int) -> int:
    """The signed number that `zigzag` made this of."""
    return number >> 1 if number % 2 == 0 else -(number >> 1) - 1
