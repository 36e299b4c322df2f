"""The onboard product store: layers with their value, until the ground has them or room runs out.

Everything is kept in a journal (`downlink.journal`), so that a reboot at any instant finds every layer that was
accepted, with the marks of what was delivered or given up. Memory holds what the scheduler needs to know of a layer and
where its bytes lie in the journal, never the bytes themselves. The store counts what happens to each layer: captured =
delivered + queued + evicted.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from downlink.errors import DownlinkError, JournalError, LayerError
from downlink.journal import Journal
from downlink.products import SUMMARY_PRODUCT, Layer, LayerAddress, Rung, unpack_addresses
from downlink.record import OVERHEAD_BYTES, Record, RecordKind, encode_record
from onboard.errors import OnboardError, StoreError
from onboard.valuation import ValuedLayer

NUMBERS_PASSED_OVER: Final = 256
"""At most so many numbers of files are passed over for damage in the journal."""
COMPACT_ABOVE_BYTES: Final = 16 * 1024 * 1024
"""Length from which the journal is rewritten whenever it has doubled."""
NOTE_LIMIT_BYTES: Final = 256
"""More than what is noted of a waiting layer, and of its place in a file, takes beside its bytes."""
TAKING_ERRORS: Final = (OnboardError, DownlinkError, OSError, ValueError, ArithmeticError, LookupError, MemoryError)
"""What may go wrong where delivered layers are handed over."""
MARK_BYTES: Final = OVERHEAD_BYTES + 8
"""What is kept of a layer that was delivered or given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerAccount:
    """Where the bytes of all layers ever accepted are now."""

    captured_bytes: int
    """Accepted by the store."""
    delivered_bytes: int
    """Acknowledged by the ground."""
    queued_bytes: int
    """Waiting."""
    evicted_bytes: int
    """Given up to make room."""
    delivered_layers: int = 0
    """How many layers that is."""
    queued_layers: int = 0
    """How many layers that is."""
    evicted_layers: int = 0
    """How many layers that is."""

    @property
    def balanced(self) -> bool:
        return self.captured_bytes == self.delivered_bytes + self.queued_bytes + self.evicted_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLayer:
    """A layer that waits."""

    layer: Layer
    """What the scheduler knows of it."""
    position: int
    """Where its record lies in the journal."""


class ProductStore:
    """Layers by address over a journal."""

    def __init__(self, journal: Journal, *, on_delivered: Callable[[LayerAddress, bytes], None] | None = None) -> None:
        """Take up what the journal holds. Raises StoreError when a note in it cannot be read.

        `on_delivered` is given the payload of each layer of a block and each summary once it is durable that the ground has it, while
        its bytes are still here. What has rotted in the journal is not given. A crash between the two gives it never.
        """
        self.delivery_problem = ""
        """What last went wrong in handing over a delivered layer; the mark of its delivery stands all the same."""
        self._on_delivered = on_delivered
        self._journal = journal
        self._queued: dict[LayerAddress, WaitingLayer] = {}
        self._delivered: dict[LayerAddress, int] = {}
        self._evicted: dict[LayerAddress, int] = {}
        self._captured_bytes = 0
        self._queued_bytes = 0
        self._files: dict[int, tuple[LayerAddress, ...]] = {}
        self._next_file = 0
        self._compact_above_bytes = COMPACT_ABOVE_BYTES
        self.erasure_state: bytes | None = None
        """What the erasure sender last had to remember."""
        notes: dict[LayerAddress, Layer] = {}
        for position, record in journal.entries():
            self._replay(position, record, notes)
        # Bytes that cannot be read may have held numbers of files: none of those may be used again.
        self._next_file += min(NUMBERS_PASSED_OVER, -(-journal.lost_bytes // OVERHEAD_BYTES))

    def add(self, layers: Sequence[ValuedLayer]) -> None:
        """Accept layers durably, all or none. Layers that the store has seen before are passed over."""
        fresh: dict[LayerAddress, ValuedLayer] = {}
        for valued in layers:
            if not self.has_seen(valued.layer.address):
                fresh.setdefault(valued.layer.address, valued)
        positions = self._journal.append(record for valued in fresh.values() for record in layer_records(valued))
        for valued, position in zip(fresh.values(), positions[1::2], strict=True):
            self._accept(valued.layer, position)

    def has_seen(self, address: LayerAddress) -> bool:
        """Whether the layer was ever accepted."""
        return address in self._queued or address in self._delivered or address in self._evicted

    def products_of(self, scene: int) -> frozenset[int]:
        """Products of a scene of which layers were ever accepted."""
        marks = (self._queued, self._delivered, self._evicted)
        return frozenset(address.product for known in marks for address in known if address.scene == scene)

    def products_by_scene(self, scenes: Collection[int]) -> dict[int, frozenset[int]]:
        """The same for several scenes at one go; those without any are left out."""
        found: dict[int, set[int]] = {}
        for known in (self._queued, self._delivered, self._evicted):
            for address in known:
                if address.scene in scenes:
                    found.setdefault(address.scene, set()).add(address.product)
        return {scene: frozenset(products) for scene, products in found.items()}

    @property
    def last_scene(self) -> int:
        """The highest scene number of any layer ever accepted; 0 without layers."""
        marks = (self._queued, self._delivered, self._evicted)
        return max((address.scene for known in marks for address in known), default=0)

    def backlog(self) -> tuple[Layer, ...]:
        """Layers that wait, in the order in which they were accepted."""
        return tuple(waiting.layer for waiting in self._queued.values())

    def payload(self, address: LayerAddress) -> bytes:
        """The bytes of a waiting layer. Raises StoreError when it does not wait, JournalError when they cannot be read."""
        return self._journal.read(self._waiting(address).position).payload

    def waits(self, address: LayerAddress) -> bool:
        return address in self._queued

    def mark_delivered(self, addresses: Iterable[LayerAddress]) -> tuple[LayerAddress, ...]:
        """Note durably that the ground has these; returns those that were waiting until now."""
        fresh = tuple(address for address in dict.fromkeys(addresses) if address in self._queued)
        self._journal.append(self._mark(RecordKind.DELIVERED, address) for address in fresh)
        self._settle_delivered(fresh)
        return fresh

    def evict(self, addresses: Iterable[LayerAddress]) -> None:
        """Give waiting layers up, durably. Raises StoreError for one that does not wait."""
        chosen = tuple(dict.fromkeys(addresses))
        for address in chosen:
            self._waiting(address)
        self._journal.append(self._mark(RecordKind.EVICTED, address) for address in chosen)
        for address in chosen:
            self._settle(address, self._evicted)

    def reserve_number(self) -> int:
        """A number that no file has and none will have, durably."""
        number = self._next_file
        self._journal.append([_file_record(number, ())])
        self._take_file(number, ())
        return number

    def save_erasure_state(self, state: bytes) -> None:
        """Keep the state of the erasure sender, in place of the one before."""
        self._journal.append([_erasure_record(state)])
        self.erasure_state = state

    def open_file(self, addresses: Sequence[LayerAddress]) -> int:
        """Note durably that these layers leave in one file, in this order; returns the file's number, never used before."""
        number = self._next_file
        self._journal.append([_file_record(number, addresses)])
        self._take_file(number, tuple(addresses))
        return number

    def close_file(self, number: int, *, delivered: bool) -> tuple[LayerAddress, ...]:
        """Note durably that a file is over; returns those of its layers that waited until now and that the ground has."""
        addresses = self._files[number] if delivered else ()
        fresh = tuple(address for address in dict.fromkeys(addresses) if address in self._queued)
        marks = [self._mark(RecordKind.DELIVERED, address) for address in fresh]
        self._journal.append([*marks, _file_record(number, ())])
        del self._files[number]
        self._settle_delivered(fresh)
        return fresh

    @property
    def files(self) -> dict[int, tuple[LayerAddress, ...]]:
        """Open files by number, each with its layers in order."""
        return dict(self._files)

    def file_content(self, number: int) -> bytes:
        """The records of an open file's layers. Raises StoreError where one of them waits no more."""
        return b"".join(
            encode_record(Record(kind=RecordKind.LAYER, address=address, payload=self.payload(address)))
            for address in self._files[number]
        )

    def compact_when_long(self) -> None:
        """Keep the journal within twice what waits and what is marked, or `COMPACT_ABOVE_BYTES`. Raises JournalError."""
        if self._journal.size_bytes > self._compact_above_bytes:
            self.make_room()

    def make_room(self) -> None:
        """Give the disk back what nobody needs any more. Raises JournalError."""
        self.compact()
        self._compact_above_bytes = max(COMPACT_ABOVE_BYTES, 2 * self._journal.size_bytes)

    @property
    def journal_bytes(self) -> int:
        """Length of the journal."""
        return self._journal.size_bytes

    @property
    def kept_bytes(self) -> int:
        """The journal is no longer than this after `make_room`."""
        waiting_bytes = self._queued_bytes + len(self._queued) * (2 * OVERHEAD_BYTES + NOTE_LIMIT_BYTES)
        marks_bytes = (len(self._delivered) + len(self._evicted)) * MARK_BYTES
        return waiting_bytes + marks_bytes + NOTE_LIMIT_BYTES + len(self.erasure_state or b"")

    def compact(self) -> None:
        """Rewrite the journal without the bytes of layers that no longer wait; their marks and sizes stay."""
        positions = self._journal.replace(self._kept_records())
        marks = len(self._delivered) + len(self._evicted) + 1 + len(self._files) + (self.erasure_state is not None)
        for (address, waiting), position in zip(self._queued.items(), positions[marks + 1 :: 2], strict=True):
            self._queued[address] = WaitingLayer(layer=waiting.layer, position=position)

    def _kept_records(self) -> Iterator[Record]:
        """Marks first, then each waiting layer's note and bytes, read one at a time."""
        for marks, kind in ((self._delivered, RecordKind.DELIVERED), (self._evicted, RecordKind.EVICTED)):
            for address, size_bytes in marks.items():
                yield _mark_record(kind, address, size_bytes)
        # The last number used must not be forgotten with its file.
        yield _file_record(max(0, self._next_file - 1), self._files.get(self._next_file - 1, ()))
        for number, addresses in self._files.items():
            yield _file_record(number, addresses)
        if self.erasure_state is not None:
            yield _erasure_record(self.erasure_state)
        for address, waiting in self._queued.items():
            yield from layer_records(ValuedLayer(layer=waiting.layer, payload=self.payload(address)))

    @property
    def queued_bytes(self) -> int:
        """Bytes of the layers that wait."""
        return self._queued_bytes

    @property
    def tally(self) -> tuple[int, ...]:
        """Numbers of which one differs whenever a layer was accepted, delivered or evicted: told at once, however much is stored."""
        counts = len(self._queued), len(self._delivered), len(self._evicted)
        return self._captured_bytes, self._queued_bytes, *counts

    @property
    def delivered(self) -> frozenset[LayerAddress]:
        return frozenset(self._delivered)

    @property
    def evicted(self) -> frozenset[LayerAddress]:
        return frozenset(self._evicted)

    def account(self) -> LayerAccount:
        """Bytes captured, counted as they came in, beside where they are, counted one by one."""
        return LayerAccount(
            delivered_layers=len(self._delivered),
            queued_layers=len(self._queued),
            evicted_layers=len(self._evicted),
            captured_bytes=self._captured_bytes,
            delivered_bytes=sum(self._delivered.values()),
            queued_bytes=sum(waiting.layer.size_bytes for waiting in self._queued.values()),
            evicted_bytes=sum(self._evicted.values()),
        )

    def _accept(self, layer: Layer, position: int) -> None:
        self._queued[layer.address] = WaitingLayer(layer=layer, position=position)
        self._queued_bytes += layer.size_bytes
        self._captured_bytes += layer.size_bytes

    def _take_file(self, number: int, addresses: tuple[LayerAddress, ...]) -> None:
        self._next_file = max(self._next_file, number + 1)
        if addresses:
            self._files[number] = addresses
        else:
            self._files.pop(number, None)

    def _settle(self, address: LayerAddress, marks: dict[LayerAddress, int]) -> None:
        """A waiting layer waits no more: it is noted under `marks`."""
        size_bytes = self._queued.pop(address).layer.size_bytes
        self._queued_bytes -= size_bytes
        marks[address] = size_bytes

    def _settle_delivered(self, addresses: Sequence[LayerAddress]) -> None:
        """The ground has these, durably noted; then their bytes are handed over."""
        positions = [self._queued[address].position for address in addresses]
        for address in addresses:
            self._settle(address, self._delivered)
        for address, position in zip(addresses, positions, strict=True):
            if self._on_delivered is not None and (address.is_block or address.product == SUMMARY_PRODUCT):
                self._hand_over(address, position, self._on_delivered)

    def _hand_over(
        self, address: LayerAddress, position: int, on_delivered: Callable[[LayerAddress, bytes], None]
    ) -> None:
        try:
            on_delivered(address, self._journal.read(position).payload)
        except JournalError as error:
            self.delivery_problem = f"layer {address} is delivered, but cannot be read any more: {error}"
        except TAKING_ERRORS as error:
            # Whoever is told keeps copies for a gain in bytes. The delivery must not depend on it, nor the computer.
            self.delivery_problem = f"layer {address} was not taken over: {type(error).__name__}: {error}"

    def _mark(self, kind: RecordKind, address: LayerAddress) -> Record:
        """A mark for a waiting layer. It stands for itself: where the layer's own record is damaged, what became of it is still known."""
        return _mark_record(kind, address, self._queued[address].layer.size_bytes)

    def _waiting(self, address: LayerAddress) -> WaitingLayer:
        try:
            return self._queued[address]
        except KeyError:
            state = "delivered" if address in self._delivered else "evicted" if address in self._evicted else "unknown"
            raise StoreError(f"layer {address} does not wait in the store: it is {state}") from None

    def _replay(self, position: int, record: Record, notes: dict[LayerAddress, Layer]) -> None:
        address = record.address
        if record.kind is RecordKind.ERASURE_STATE:
            self.erasure_state = record.payload
        elif record.kind is RecordKind.FILE:
            self._take_file(address.scene, _layers_of(record))
        elif record.kind is RecordKind.NOTE:
            notes[address] = _layer_of(record)
        elif record.kind is RecordKind.LAYER and address in notes and not self.has_seen(address):
            self._accept(notes.pop(address), position)
        elif record.kind in (RecordKind.DELIVERED, RecordKind.EVICTED):
            marks = self._delivered if record.kind is RecordKind.DELIVERED else self._evicted
            if address in self._queued:
                self._settle(address, marks)
            elif record.payload and not self.has_seen(address):
                marks[address] = int.from_bytes(record.payload, "big")
                self._captured_bytes += marks[address]


def layer_records(valued: ValuedLayer) -> tuple[Record, Record]:
    """Its note and its bytes. The note first: a layer whose note is lost in a torn write is lost with it, never the other way
    round."""
    layer = valued.layer
    note: dict[str, Any] = {
        "rung": int(layer.rung),
        "size_bytes": layer.size_bytes,
        "value": layer.value,
        "half_life_s": layer.half_life_s,
        "captured_ms": layer.captured_ms,
        "deadline_ms": layer.deadline_ms,
    }
    return (
        Record(kind=RecordKind.NOTE, address=layer.address, payload=json.dumps(note).encode()),
        Record(kind=RecordKind.LAYER, address=layer.address, payload=valued.payload),
    )


def valued_layers(records: Iterable[Record]) -> tuple[ValuedLayer, ...]:
    """Inverse of `layer_records`, one after the other; layers without their note are left out. Raises StoreError."""
    notes: dict[LayerAddress, Layer] = {}
    found: list[ValuedLayer] = []
    for record in records:
        if record.kind is RecordKind.NOTE:
            notes[record.address] = _layer_of(record)
        elif record.kind is RecordKind.LAYER and record.address in notes:
            found.append(ValuedLayer(layer=notes.pop(record.address), payload=record.payload))
    return tuple(found)


def _mark_record(kind: RecordKind, address: LayerAddress, size_bytes: int) -> Record:
    return Record(kind=kind, address=address, payload=size_bytes.to_bytes(8, "big"))


def _file_record(number: int, addresses: Sequence[LayerAddress]) -> Record:
    return Record(
        kind=RecordKind.FILE,
        address=LayerAddress(scene=number, product=0, step=0),
        payload=b"".join(address.pack() for address in addresses),
    )


def _erasure_record(state: bytes) -> Record:
    address = LayerAddress(scene=0, product=0, step=0)
    return Record(kind=RecordKind.ERASURE_STATE, address=address, payload=state)


def _layer_of(record: Record) -> Layer:
    try:
        note = json.loads(record.payload)
        return Layer(
            address=record.address,
            rung=Rung(note["rung"]),
            size_bytes=note["size_bytes"],
            value=note["value"],
            half_life_s=note["half_life_s"],
            captured_ms=note["captured_ms"],
            deadline_ms=note.get("deadline_ms"),
        )
    except (ValueError, KeyError, TypeError, RecursionError, LayerError) as error:
        raise StoreError(f"note of layer {record.address} in the journal cannot be read: {error}") from error


def _layers_of(record: Record) -> tuple[LayerAddress, ...]:
    try:
        return unpack_addresses(record.payload)
    except LayerError as error:
        raise StoreError(f"note of file {record.address.scene} in the journal cannot be read: {error}") from error
