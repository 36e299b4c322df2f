"""The receiving end of erasure-coded layers: symbol packets in, records out. What was heard is data, never an exception.

Symbols are kept until an object has enough of them, across passes and in any order; then it is decoded once, and every
record in it that checks is handed over. Of an object that is given up, and of every object on demand (`whole_records`),
the records that lie wholly in neighbouring source symbols are taken: the code is systematic, so they need no decoding.

Memory is bounded whatever arrives: when there are too many objects or bytes, the object that is least complete goes.
A symbol that was falsified spoils its object, whose records then do not check: the symbols are dropped and the object
may be collected anew.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from downlink.erasure_code import ObjectShape, decode_object
from downlink.erasure_packet import SymbolPacket, decode_symbol_packet
from downlink.errors import ErasureCodeError, ErasurePacketError
from downlink.record import Record, RecordKind, scan_records

ATTEMPTS: Final = 8
"""An object that does not decode from so many symbols more than it should need is given up."""

SYMBOL_OVERHEAD_BYTES: Final = 160
"""Memory of a symbol beside its bytes, about; it counts where symbols are short."""


class SymbolVerdict(StrEnum):
    """What a receiver made of one packet."""

    KEPT = "kept"
    """a symbol of an object that is not complete"""
    DECODED = "decoded"
    """the symbol that completed an object"""
    DUPLICATE = "duplicate"
    """a symbol that is here already"""
    LATE = "late"
    """a symbol of an object that has been decoded"""
    SPOILED = "spoiled"
    """the symbol with which an object was complete, but not sound: it is given up"""
    REFUSED = "refused"
    """no symbol packet, or one of an object larger than allowed"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureLimits:
    """Bounds of the receiver's memory."""

    open_objects: int = 256
    """Objects collected at a time."""
    held_bytes: int = 64 * 1024 * 1024
    """Memory of the symbols held, all objects together."""
    object_bytes: int = 4 * 1024 * 1024 + 512 * 1024
    """Longest object; 4096 symbols of 1088 bytes fit."""
    remembered_objects: int = 65_536
    """Decoded objects whose late symbols are recognised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolReading:
    """The outcome of one packet."""

    verdict: SymbolVerdict
    """what the packet was"""
    object_number: int | None = None
    """its object, where the packet could be read"""
    records: tuple[Record, ...] = ()
    """layers that came out: of an object decoded, or of one given up"""


ObjectKey = tuple[int, ObjectShape]


@dataclass(slots=True)
class _Collection:
    """Symbols of one object."""

    shape: ObjectShape
    symbols: dict[int, bytes] = field(default_factory=dict)
    last_heard: int = 0

    @property
    def held_bytes(self) -> int:
        return len(self.symbols) * (self.shape.symbol_bytes + SYMBOL_OVERHEAD_BYTES)

    @property
    def completeness(self) -> float:
        return len(self.symbols) / self.shape.source_symbols


class ErasureReceiver:
    """Collects the symbols of one sender."""

    def __init__(self, limits: ErasureLimits | None = None) -> None:
        self.limits = limits or ErasureLimits()
        self.verdicts: dict[SymbolVerdict, int] = dict.fromkeys(SymbolVerdict, 0)
        """Packets heard, by what became of them."""
        self.objects_given_up = 0
        """Objects dropped for want of room."""
        self._collections: dict[ObjectKey, _Collection] = {}
        self._decoded: OrderedDict[ObjectKey, None] = OrderedDict()
        self._held_bytes = 0
        self._heard = 0

    @property
    def open_objects(self) -> int:
        """Objects that are not complete."""
        return len(self._collections)

    @property
    def held_bytes(self) -> int:
        """Memory of the symbols held."""
        return self._held_bytes

    def receive(self, data: bytes) -> SymbolReading:
        """Take the data of one packet of `Apid.ERASURE_DOWN`, whatever they are."""
        try:
            packet = decode_symbol_packet(data)
        except ErasurePacketError:
            return self._reading(SymbolVerdict.REFUSED)
        if packet.shape.object_bytes > min(self.limits.object_bytes, self.limits.held_bytes):
            return self._reading(SymbolVerdict.REFUSED)
        key = packet.object_number, packet.shape
        if key in self._decoded:
            return self._reading(SymbolVerdict.LATE, packet)
        collection = self._collections.setdefault(key, _Collection(packet.shape))
        if packet.identifier in collection.symbols:
            return self._reading(SymbolVerdict.DUPLICATE, packet)
        collection.symbols[packet.identifier] = packet.symbol
        self._held_bytes += len(packet.symbol) + SYMBOL_OVERHEAD_BYTES
        self._heard += 1
        collection.last_heard = self._heard
        if len(collection.symbols) < packet.shape.source_symbols:
            return self._reading(SymbolVerdict.KEPT, packet, self._make_room(key))
        return self._try(key, packet)

    def whole_records(self) -> tuple[Record, ...]:
        """Records that are whole in source symbols of objects still open; for the end of a pass. They may come again."""
        return tuple(record for collection in self._collections.values() for record in _source_records(collection))

    def _try(self, key: ObjectKey, packet: SymbolPacket) -> SymbolReading:
        collection = self._collections[key]
        try:
            data = decode_object(collection.shape, collection.symbols)
        except ErasureCodeError:
            return self._reading(SymbolVerdict.SPOILED, packet, self._drop(key))
        if data is None:
            if len(collection.symbols) < collection.shape.source_symbols + ATTEMPTS:
                return self._reading(SymbolVerdict.KEPT, packet, self._make_room(key))
            return self._reading(SymbolVerdict.SPOILED, packet, self._drop(key))
        scan = scan_records(data, final=True)
        if scan.skipped_bytes:
            # The source symbols that came are sound where their records check.
            return self._reading(SymbolVerdict.SPOILED, packet, (*_layers(scan.records), *self._drop(key)))
        self._drop(key)
        self._decoded[key] = None
        while len(self._decoded) > self.limits.remembered_objects:
            self._decoded.popitem(last=False)
        return self._reading(SymbolVerdict.DECODED, packet, _layers(scan.records))

    def _make_room(self, newest: ObjectKey) -> tuple[Record, ...]:
        """Give objects up until the limits hold, never the one just heard of while there is another."""
        records: list[Record] = []
        while len(self._collections) > self.limits.open_objects or self._held_bytes > self.limits.held_bytes:
            others = [key for key in self._collections if key != newest] or [newest]
            records.extend(self._drop(min(others, key=self._worth_keeping)))
            self.objects_given_up += 1
        return tuple(records)

    def _worth_keeping(self, key: ObjectKey) -> tuple[float, int]:
        collection = self._collections[key]
        return collection.completeness, collection.last_heard

    def _drop(self, key: ObjectKey) -> tuple[Record, ...]:
        """Forget the symbols of an object; what can be read of it without decoding."""
        collection = self._collections.pop(key)
        self._held_bytes -= collection.held_bytes
        return _source_records(collection)

    def _reading(
        self, verdict: SymbolVerdict, packet: SymbolPacket | None = None, records: tuple[Record, ...] = ()
    ) -> SymbolReading:
        self.verdicts[verdict] += 1
        number = None if packet is None else packet.object_number
        return SymbolReading(verdict=verdict, object_number=number, records=records)


def _source_records(collection: _Collection) -> tuple[Record, ...]:
    """Records in each run of neighbouring source symbols."""
    shape = collection.shape
    records: list[Record] = []
    run: list[bytes] = []
    for identifier in range(shape.source_symbols + 1):
        symbol = collection.symbols.get(identifier) if identifier < shape.source_symbols else None
        if symbol is not None:
            run.append(symbol)
        elif run:
            records.extend(_layers(scan_records(b"".join(run), final=True).records))
            run = []
    return tuple(records)


def _layers(records: Iterable[Record]) -> tuple[Record, ...]:
    return tuple(record for record in records if record.kind is RecordKind.LAYER)
