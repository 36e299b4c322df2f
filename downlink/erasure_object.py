"""Objects of the erasure sender: which layers are coded together, what has been sent of them, and their saved state.

A layer longer than a packet is an object of its own or shares one with its neighbours; small layers fill at least one
packet together. How many go into one object depends on what they are worth above the price of the link
(`protection.best_object_symbols`).

Snapshot, all numbers big-endian:

    offset  bytes  field
    0       4      "ERSN"
    4       1      version, 1
    5       4      CRC-32 of everything behind it
    9       4      number of the next object
    13      2      objects n, then n times:
            4      object number
            3 + 2  object bytes, symbol bytes
            4      next encoding symbol identifier
            4 + 4  mean and variance of the number of symbols that have arrived, IEEE 754 single
            2      layers m
            11 m   their addresses (7 bytes) and record lengths (4), in order
"""

import binascii
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from downlink.erasure_code import ObjectShape
from downlink.erasure_packet import OBJECT_NUMBERS, largest_object_bytes, shape_for, symbol_bytes_in
from downlink.errors import ErasureCodeError, ErasureSnapshotError
from downlink.products import ADDRESS, LayerAddress
from downlink.protection import SentSymbols

LIKE_VALUE: Final = 4.0
"""Layers share an object only where the first is worth at most this many times as much per byte as the last, unless a packet
would stay empty."""
FILLED_SHARE: Final = 7 / 8
"""Layers are added to an object until its symbols are at least this full."""
MAGIC: Final = b"ERSN"
VERSION: Final = 1
_PREAMBLE: Final = struct.Struct(">4sBI")
_STATE: Final = struct.Struct(">IH")
_OBJECT: Final = struct.Struct(">I3sHIffH")
_LAYER: Final = struct.Struct(f">{ADDRESS.size}sI")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureOffer:
    """A layer that may be sent."""

    address: LayerAddress
    """Which one."""
    size_bytes: int
    """Bytes of its record."""
    value: float
    """What it is worth on the ground; for a step that is sent for the sake of later ones, its group's value per byte times
    its bytes."""


@dataclass(slots=True, kw_only=True)
class ErasureObject:
    """Layers that are coded together."""

    number: int
    """Names the object at the receiver; never used twice."""
    shape: ObjectShape
    """Its length and that of its symbols."""
    layers: tuple[tuple[LayerAddress, int], ...]
    """Address and record length of each, in the order in which the records follow each other."""
    value: float = 0.0
    """What it is worth on the ground; set anew in every pass."""
    plan: int = 0
    """Counts how often its protection has been planned; older plans are void."""
    next_identifier: int = 0
    """The first symbol that has not been sent."""
    sent_before: SentSymbols = field(default_factory=SentSymbols)
    """Symbols of earlier passes."""
    sent_now: int = 0
    """Symbols of this pass."""

    @property
    def addresses(self) -> tuple[LayerAddress, ...]:
        return tuple(address for address, _ in self.layers)


def group_offers(
    offers: Sequence[ErasureOffer], packet_bytes: int, object_symbols: Iterable[int]
) -> Iterator[tuple[ErasureOffer, ...]]:
    """Neighbouring offers that share an object. `object_symbols` says for each offer how long an object begun with it should be.

    Offers longer than any object are left out: they need another way down.
    """
    symbol_bytes, limit = symbol_bytes_in(packet_bytes), largest_object_bytes(packet_bytes)
    group: list[ErasureOffer] = []
    filled = target = 0
    for offer, symbols in zip(offers, object_symbols, strict=True):
        if offer.size_bytes > limit:
            continue
        after = filled + offer.size_bytes
        full = filled >= FILLED_SHARE * symbol_bytes * -(-filled // symbol_bytes)
        if group and ((full and (after > target or _is_unlike(group[0], offer))) or after > limit):
            yield tuple(group)
            group, after = [], offer.size_bytes
        if not group:
            target = symbols * symbol_bytes
        group.append(offer)
        filled = after
    if group:
        yield tuple(group)


def _is_unlike(first: ErasureOffer, offer: ErasureOffer) -> bool:
    return first.value * offer.size_bytes > LIKE_VALUE * offer.value * first.size_bytes


def new_object(number: int, group: Sequence[ErasureOffer], packet_bytes: int) -> ErasureObject:
    """The object of these offers."""
    return ErasureObject(
        number=number,
        shape=shape_for(sum(offer.size_bytes for offer in group), packet_bytes),
        layers=tuple((offer.address, offer.size_bytes) for offer in group),
    )


def pack_objects(next_number: int, objects: Sequence[ErasureObject]) -> bytes:
    """A snapshot of these objects, between passes."""
    parts = [_STATE.pack(next_number, len(objects))]
    for one in objects:
        parts.append(
            _OBJECT.pack(
                one.number,
                one.shape.object_bytes.to_bytes(3, "big"),
                one.shape.symbol_bytes,
                one.next_identifier,
                one.sent_before.mean_heard,
                one.sent_before.variance_heard,
                len(one.layers),
            )
        )
        parts.extend(_LAYER.pack(address.pack(), size_bytes) for address, size_bytes in one.layers)
    body = b"".join(parts)
    return _PREAMBLE.pack(MAGIC, VERSION, binascii.crc32(body)) + body


def unpack_objects(snapshot: bytes) -> tuple[int, tuple[ErasureObject, ...]]:
    """Inverse of `pack_objects`. Raises ErasureSnapshotError when the snapshot is cut, changed, or of another kind."""
    if len(snapshot) < _PREAMBLE.size + _STATE.size:
        raise ErasureSnapshotError(f"snapshot of {len(snapshot)} bytes is cut short; start without one")
    magic, version, check = _PREAMBLE.unpack_from(snapshot)
    body = snapshot[_PREAMBLE.size :]
    if (magic, version) != (MAGIC, VERSION) or binascii.crc32(body) != check:
        raise ErasureSnapshotError(
            f"snapshot begins {snapshot[:5].hex()} and has CRC-32 {binascii.crc32(body):08x}: it is damaged or of another kind; "
            "start without one"
        )
    try:
        return _read_objects(body)
    except (struct.error, ErasureCodeError) as error:
        raise ErasureSnapshotError(f"snapshot contradicts itself: {error}; start without one") from error


def _read_objects(body: bytes) -> tuple[int, tuple[ErasureObject, ...]]:
    next_number, count = _STATE.unpack_from(body)
    at = _STATE.size
    objects = []
    for _ in range(count):
        number, object_bytes, symbol_bytes, next_identifier, mean, variance, layers = _OBJECT.unpack_from(body, at)
        at += _OBJECT.size
        read = [_LAYER.unpack_from(body, at + place * _LAYER.size) for place in range(layers)]
        at += layers * _LAYER.size
        objects.append(
            ErasureObject(
                number=number,
                shape=ObjectShape(object_bytes=int.from_bytes(object_bytes, "big"), symbol_bytes=symbol_bytes),
                layers=tuple((LayerAddress.unpack(address), size_bytes) for address, size_bytes in read),
                next_identifier=next_identifier,
                sent_before=SentSymbols(symbols=next_identifier, mean_heard=mean, variance_heard=variance),
            )
        )
    return next_number % OBJECT_NUMBERS, tuple(objects)
