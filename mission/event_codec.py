"""Events and actions as canonical bytes: one value has one encoding, which reads back as an equal value.

    0 None | F False | T True
    i length 1, big-endian two's complement          whole number
    d 8 bytes, IEEE 754, big-endian                  float
    b length 4, bytes | s length 4, UTF-8            bytes, text
    l count 4, values                                sequence, read back as a tuple
    e class 2, value                                 enum
    o class 2, values of the fields in their order   dataclass

Classes are numbered by name, over everything that an event or an action of either end can contain. `SCHEMA` identifies these classes
with their fields: bytes of another schema are not read at all.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

from ground import link_events as ground_events
from mission.errors import ReplayError
from mission.incarnation import Incarnation
from onboard import link_events as onboard_events

ROOTS: Final = (
    *get_args(onboard_events.Event),
    *get_args(onboard_events.Action),
    *get_args(ground_events.Event),
    *get_args(ground_events.Action),
    Incarnation,
)
_LENGTH: Final = struct.Struct(">I")
_FLOAT: Final = struct.Struct(">d")
_CLASS: Final = struct.Struct(">H")


def encode(value: object) -> bytes:
    """The bytes of a value. Raises ReplayError where it is of no class that an event or an action can contain."""
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def decode(data: bytes) -> Any:
    """The value of bytes that `encode` has made. Raises ReplayError for any other bytes."""
    try:
        value, end = _read(data, 0)
    except (IndexError, struct.error, ValueError, TypeError, RecursionError) as error:
        raise ReplayError(f"{len(data)} bytes are no event and no action: {error}") from error
    if end != len(data):
        raise ReplayError(f"{len(data) - end} bytes follow a value of {end} bytes")
    return value


def _write(value: object, parts: list[bytes]) -> None:
    kind = type(value)
    if value is None:
        parts.append(b"0")
    elif kind is bool:
        parts.append(b"T" if value else b"F")
    elif kind is int:
        number = int(value)  # type: ignore[call-overload]
        size_bytes = (number.bit_length() + 8) // 8
        parts.append(b"i" + bytes([size_bytes]) + number.to_bytes(size_bytes, "big", signed=True))
    elif kind is float:
        parts.append(b"d" + _FLOAT.pack(value))
    elif isinstance(value, bytes | bytearray):
        parts.append(b"b" + _LENGTH.pack(len(value)) + value)
    elif kind is str:
        text = str(value).encode()
        parts.append(b"s" + _LENGTH.pack(len(text)) + text)
    elif isinstance(value, list | tuple):
        parts.append(b"l" + _LENGTH.pack(len(value)))
        for item in value:
            _write(item, parts)
    elif kind in _numbers():
        _write_known(value, parts)
    else:
        raise ReplayError(f"a {kind.__name__} is no part of an event or an action: name its class in their types")


def _write_known(value: object, parts: list[bytes]) -> None:
    number, names = _numbers()[type(value)]
    if isinstance(value, Enum):
        parts.append(b"e" + number)
        _write(value.value, parts)
        return
    parts.append(b"o" + number)
    for name in names:
        _write(getattr(value, name), parts)


def _read(data: bytes, at: int) -> tuple[Any, int]:
    tag, at = data[at : at + 1], at + 1
    match tag:
        case b"0":
            return None, at
        case b"T" | b"F":
            return tag == b"T", at
        case b"i":
            end = at + 1 + data[at]
            return int.from_bytes(_bytes(data, at + 1, end), "big", signed=True), end
        case b"d":
            return _FLOAT.unpack_from(data, at)[0], at + _FLOAT.size
        case b"b" | b"s":
            start = at + _LENGTH.size
            end = start + _LENGTH.unpack_from(data, at)[0]
            content = _bytes(data, start, end)
            return (content if tag == b"b" else content.decode()), end
        case b"l":
            return _read_values(data, at + _LENGTH.size, _LENGTH.unpack_from(data, at)[0])
        case b"e" | b"o":
            return _read_known(data, at, tag)
    raise ValueError(f"byte {at - 1} is no tag: {tag!r}")


def _read_values(data: bytes, at: int, count: int) -> tuple[tuple[Any, ...], int]:
    values = []
    for _ in range(count):
        value, at = _read(data, at)
        values.append(value)
    return tuple(values), at


def _read_known(data: bytes, at: int, tag: bytes) -> tuple[Any, int]:
    kind = _classes()[_CLASS.unpack_from(data, at)[0]]
    at += _CLASS.size
    if tag == b"e":
        value, at = _read(data, at)
        return kind(value), at
    names = _numbers()[kind][1]
    values, at = _read_values(data, at, len(names))
    return kind(**dict(zip(names, values, strict=True))), at


def _bytes(data: bytes, start: int, end: int) -> bytes:
    if end > len(data):
        raise ValueError(f"cut at byte {len(data)} of {end}")
    return bytes(data[start:end])


@cache
def _classes() -> tuple[type[Any], ...]:
    """Every class that a value can contain, by name."""
    found: dict[type[Any], None] = {}
    for root in ROOTS:
        _collect(root, found)
    return tuple(sorted(found, key=lambda kind: (kind.__module__, kind.__qualname__)))


@cache
def _numbers() -> dict[type[Any], tuple[bytes, tuple[str, ...]]]:
    """Number and names of the fields of each class."""
    return {kind: (_CLASS.pack(number), tuple(_field_names(kind))) for number, kind in enumerate(_classes())}


def _field_names(kind: type[Any]) -> Iterator[str]:
    return (field.name for field in fields(kind) if field.init) if is_dataclass(kind) else iter(())


def _collect(hint: Any, found: dict[type[Any], None]) -> None:
    if get_origin(hint) is not None or isinstance(hint, UnionType):
        for part in get_args(hint):
            _collect(part, found)
    elif isinstance(hint, type) and hint not in found and (is_dataclass(hint) or issubclass(hint, Enum)):
        found[hint] = None
        if is_dataclass(hint):
            hints = get_type_hints(hint)
            for name in _field_names(hint):
                _collect(hints[name], found)


def _schema() -> bytes:
    names = [f"{kind.__module__}.{kind.__qualname__}({','.join(_field_names(kind))})" for kind in _classes()]
    return hashlib.sha256("\n".join(names).encode()).digest()[:8]


SCHEMA: Final = _schema()
"""Eight bytes that change with the name or a field of any class."""
