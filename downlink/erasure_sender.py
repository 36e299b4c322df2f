"""The sending end of erasure-coded layers: which symbol of which object next, for a station that cannot answer.

Before a pass the layers offered, best first, are grouped into objects, and the steps of their protection are ranked by
value gained per byte (`downlink.protection`). `next_packet` then follows that ranking, so that a pass that ends early
has carried what was worth most. Where losses come in bursts the symbols of several objects are interleaved. After the
pass `arrival_probability` says what may be on the ground; what is left to be gained by more repair symbols of the same
objects competes with new layers in the next pass.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from downlink.erasure_code import ENCODING_SYMBOLS_LIMIT, encode_symbols
from downlink.erasure_object import (
    ErasureObject,
    ErasureOffer,
    group_offers,
    new_object,
    pack_objects,
    unpack_objects,
)
from downlink.erasure_packet import HEADER, OBJECT_NUMBERS, SymbolPacket, largest_object_bytes, symbol_bytes_in
from downlink.frame_loss import LossBelief
from downlink.products import LayerAddress
from downlink.protection import Demand, ProtectionQueue, SentSymbols, best_object_symbols, decoded_chance
from downlink.space_packet import PRIMARY_HEADER_BYTES

INDEPENDENT_BELOW: Final = 0.05
"""Correlation of neighbouring losses that needs no interleaving."""
DEEPEST_INTERLEAVING: Final = 32
"""Objects interleaved at most."""
WINDOW_SYMBOLS: Final = 1024
"""Symbols encoded ahead at most, but for a step that is longer."""
OBJECTS_PER_PASS: Final = 4
"""A pass is not cut into fewer objects of small layers."""
RATIO_STEPS: Final = 2
"""Ratios of value to price are told apart to this many steps per doubling."""

LEAST_ABSENT: Final = 1e-3
"""An object is never taken to be there more surely than this, when its value is reckoned."""
DOUBLINGS_LIMIT: Final = 16
"""Higher ratios are treated alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureSettings:
    """Bounds of the sender's memory."""

    open_objects: int = 256
    """Objects remembered from pass to pass so that more symbols of them can be sent."""
    cached_bytes: int = 8 * 1024 * 1024
    """Symbols kept to save encoding an object again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """A symbol in the window."""

    one: ErasureObject
    identifier: int


@dataclass(slots=True, kw_only=True)
class _Pass:
    """What is known during one pass."""

    belief: LossBelief
    capacity_bytes: float
    left_bytes: float
    price: float
    """What a byte on the link is worth, about; 0 where everything fits."""
    queue: ProtectionQueue[tuple[int, int]] = field(default_factory=ProtectionQueue)
    """Objects by number and plan."""


class ErasureSender:
    """Turns offered layers into symbol packets. One instance per satellite; passes follow each other."""

    def __init__(
        self,
        read_record: Callable[[LayerAddress], bytes],
        *,
        packet_bytes: int,
        first_object: int = 0,
        settings: ErasureSettings | None = None,
    ) -> None:
        """`read_record` gives the encoded record of an offered layer, `packet_bytes` is the room for packet data in an empty
        frame, `first_object` must be above every number used before a reboot, unless the latest snapshot is restored."""
        self.packet_bytes = packet_bytes
        self.next_object = first_object
        self.settings = settings or ErasureSettings()
        self._read_record = read_record
        self._symbol_bytes = symbol_bytes_in(packet_bytes)
        self._objects: dict[int, ErasureObject] = {}
        self._of_layer: dict[LayerAddress, int] = {}
        # Chances of layers whose object is no longer kept.
        self._arrived: dict[LayerAddress, float] = {}
        self._pass: _Pass | None = None
        self._window: deque[_Waiting] = deque()
        self._encoded: OrderedDict[int, list[bytes]] = OrderedDict()
        self._encoded_bytes = 0

    # ---- before and after a pass

    def begin(self, offers: Sequence[ErasureOffer], belief: LossBelief, *, capacity_bytes: float) -> None:
        """A pass begins that carries `capacity_bytes` of packets, lost ones included; `offers` come best first, valued for the
        case that matters: what may have arrived counts 1 - `arrival_probability`.

        Objects of earlier passes go on where all their layers are offered again and are dissolved where not.
        """
        self.end()
        offers = self._sendable(offers)
        offered = {offer.address: offer for offer in offers}
        for number, one in list(self._objects.items()):
            if not all(address in offered for address in one.addresses):
                self._dissolve(number)
        price = _price(offers, belief, capacity_bytes)
        self._pass = _Pass(belief=belief, capacity_bytes=capacity_bytes, left_bytes=capacity_bytes, price=price)
        for one in self._objects.values():
            # Chances to decode are those of an object not yet known to be there: so is its value.
            absent = max(LEAST_ABSENT, 1 - self._chance(one))
            self._demand(one, sum(offered[address].value for address in one.addresses) / absent)
        self.offer(offers)

    def offer(self, offers: Sequence[ErasureOffer]) -> None:
        """More layers for the pass under way, best first; those that are known already are passed over, as are those that would
        not fit even without protection.

        What was about to be sent is ranked again among them.
        """
        if self._pass is None:
            return
        unknown = (offer for offer in offers if offer.address not in self._of_layer)
        new = _fitting(self._sendable(unknown), self._pass.capacity_bytes)
        if not new:
            return
        for one in self._empty_window(self._pass.belief):
            self._demand(one, one.value)
        lengths = [self._object_symbols(offer.value / offer.size_bytes) for offer in new]
        for group in group_offers(new, self.packet_bytes, lengths):
            number = self.next_object
            self.next_object = (self.next_object + 1) % OBJECT_NUMBERS
            one = new_object(number, group, self.packet_bytes)
            self._keep(one)
            self._demand(one, sum(offer.value for offer in group))

    def end(self) -> None:
        """The pass is over: what was sent is counted, what was not is forgotten. Harmless where none is under way."""
        if self._pass is None:
            return
        self._empty_window(self._pass.belief)
        for number, one in list(self._objects.items()):
            one.sent_before = _sent(one, self._pass.belief)
            one.sent_now = 0
            if not one.next_identifier:
                self._dissolve(number)
        self._pass = None
        self._encoded.clear()
        self._encoded_bytes = 0
        # Closest to certainty, either way, is least worth continuing.
        surplus = sorted(self._objects, key=lambda number: abs(self._chance(self._objects[number]) - 0.5), reverse=True)
        for number in surplus[: max(0, len(surplus) - self.settings.open_objects)]:
            self._dissolve(number)

    def forget(self, addresses: Iterable[LayerAddress]) -> None:
        """These layers are acknowledged, or gone: their objects end. Not for layers that still wait."""
        gone = set(addresses)
        for number in {self._of_layer[address] for address in gone if address in self._of_layer}:
            self._dissolve(number)
        for address in gone:
            self._arrived.pop(address, None)

    def arrival_probability(self, address: LayerAddress) -> float:
        """Chance that the layer is on the ground by what this sender has sent; 0 for a layer it has not sent."""
        number = self._of_layer.get(address)
        before = self._arrived.get(address, 0.0)
        return before if number is None else 1 - (1 - before) * (1 - self._chance(self._objects[number]))

    def expected_delivered(self) -> dict[LayerAddress, float]:
        """That chance of every layer of which anything was sent and which was not forgotten."""
        known = [*self._arrived, *self._of_layer]
        chances = {address: self.arrival_probability(address) for address in known}
        return {address: chance for address, chance in chances.items() if chance > 0}

    # ---- during a pass

    def next_packet(self, room_bytes: int) -> bytes | None:
        """Data of the next packet, at most `room_bytes` long; None where nothing fits or nothing is left to gain."""
        if self._pass is None:
            return None
        if not self._window:
            self._refill(self._pass)
        for place, waiting in enumerate(self._window):
            if HEADER.size + waiting.one.shape.symbol_bytes <= room_bytes:
                del self._window[place]
                return self._send(waiting, self._pass)
        # The rest of the frame is filled by something else.
        self._pass.left_bytes -= room_bytes + PRIMARY_HEADER_BYTES
        return None

    def snapshot(self) -> bytes:
        """What must survive a reboot so that objects can go on in a later pass. Symbols sent in a pass under way count as lost."""
        begun = [one for one in self._objects.values() if one.next_identifier]
        return pack_objects(self.next_object, begun)

    def restore(self, snapshot: bytes) -> None:
        """Take up a snapshot, before the first pass; an older one only repeats symbols. `first_object` stays in force where it is
        higher. Raises ErasureSnapshotError; nothing has changed then."""
        next_object, objects = unpack_objects(snapshot)
        self.next_object = max(self.next_object, next_object)
        for one in objects:
            self._keep(one)

    def _send(self, waiting: _Waiting, now: _Pass) -> bytes:
        one, identifier = waiting.one, waiting.identifier
        symbol = self._symbol(one, identifier)
        one.sent_now += 1
        now.left_bytes -= _packet_bytes(one)
        return SymbolPacket(object_number=one.number, shape=one.shape, identifier=identifier, symbol=symbol).encode()

    def _sendable(self, offers: Iterable[ErasureOffer]) -> list[ErasureOffer]:
        """Without those longer than any object, which need another way down and must not take the room of others."""
        longest_bytes = largest_object_bytes(self.packet_bytes)
        return [offer for offer in offers if offer.size_bytes <= longest_bytes]

    def _refill(self, now: _Pass) -> None:
        """The next objects' steps, their symbols spread evenly over the window that they share."""
        depth = _interleaving_depth(now.belief)
        chosen: dict[int, int] = {}
        room_bytes = now.left_bytes
        while len(chosen) < depth and sum(chosen.values()) < WINDOW_SYMBOLS:
            step = now.queue.take(room_bytes) if room_bytes > HEADER.size else None
            if step is None and not chosen:
                step = now.queue.take()
            if step is None:
                break
            (number, plan), symbols = step
            one = self._objects.get(number)
            after = chosen.get(number, 0) + symbols
            if one is None or one.plan != plan or one.next_identifier + after > ENCODING_SYMBOLS_LIMIT:
                continue
            chosen[number] = after
            room_bytes -= symbols * _packet_bytes(one)
        self._window.extend(_interleaved([(self._objects[number], symbols) for number, symbols in chosen.items()]))

    # ---- objects

    def _keep(self, one: ErasureObject) -> None:
        self._objects[one.number] = one
        self._of_layer.update(dict.fromkeys(one.addresses, one.number))

    def _dissolve(self, number: int) -> None:
        """Forget an object, but not how likely its layers have arrived."""
        one = self._objects[number]
        if one.next_identifier:
            self._arrived.update({address: self.arrival_probability(address) for address in one.addresses})
        for address in one.addresses:
            del self._of_layer[address]
        del self._objects[number]
        self._window = deque(waiting for waiting in self._window if waiting.one is not one)
        self._encoded_bytes -= sum(map(len, self._encoded.pop(number, ())))

    def _demand(self, one: ErasureObject, value: float) -> None:
        """Plan the protection of an object anew."""
        if self._pass is not None:
            one.value = value
            one.plan += 1
            demand = Demand(
                source_symbols=one.shape.source_symbols,
                packet_bytes=_packet_bytes(one),
                value=value,
                sent=one.sent_before,
            )
            self._pass.queue.add((one.number, one.plan), demand, _belief_about(one, self._pass.belief))

    def _empty_window(self, belief: LossBelief) -> list[ErasureObject]:
        """Take back what was not sent; the objects that it was of, with what was sent counted."""
        touched: dict[int, ErasureObject] = {}
        for waiting in self._window:
            one = touched.setdefault(waiting.one.number, waiting.one)
            one.next_identifier = min(one.next_identifier, waiting.identifier)
        self._window.clear()
        for one in touched.values():
            one.sent_before = _sent(one, belief)
            one.sent_now = 0
        return list(touched.values())

    def _chance(self, one: ErasureObject) -> float:
        sent = one.sent_before if self._pass is None else _sent(one, self._pass.belief)
        return decoded_chance(one.shape.source_symbols, sent)

    def _object_symbols(self, value_per_byte: float) -> int:
        """How long an object of small layers of this value per byte should be."""
        if self._pass is None or value_per_byte <= 0:
            return 1
        doublings = math.log2(value_per_byte / self._pass.price) if self._pass.price > 0 else DOUBLINGS_LIMIT
        doublings = min(round(RATIO_STEPS * doublings) / RATIO_STEPS, DOUBLINGS_LIMIT)
        objects = max(OBJECTS_PER_PASS, _interleaving_depth(self._pass.belief))
        most = self._pass.capacity_bytes / (objects * self._symbol_bytes)
        return max(1, min(best_object_symbols(2.0**doublings, self._pass.belief), int(most)))

    def _symbol(self, one: ErasureObject, identifier: int) -> bytes:
        symbols = self._encoded.pop(one.number, [])
        if identifier >= len(symbols):
            self._encoded_bytes -= sum(map(len, symbols))
            symbols = self._encode(one, identifier)
            self._encoded_bytes += sum(map(len, symbols))
        self._encoded[one.number] = symbols
        while self._encoded_bytes > self.settings.cached_bytes and len(self._encoded) > 1:
            _, oldest = self._encoded.popitem(last=False)
            self._encoded_bytes -= sum(map(len, oldest))
        return symbols[identifier]

    def _encode(self, one: ErasureObject, identifier: int) -> list[bytes]:
        """Symbols from 0 to beyond `identifier`, as many as the object is likely to be asked for."""
        data = b"".join(self._read_record(address) for address in one.addresses)
        planned = max(one.next_identifier, identifier + 1)
        return encode_symbols(data, one.shape.symbol_bytes, first=0, count=planned + planned // 4)


def _interleaved(steps: Sequence[tuple[ErasureObject, int]]) -> list[_Waiting]:
    """So many new symbols of each object, each object's spread evenly over them all."""
    spread: list[tuple[float, int, _Waiting]] = []
    for order, (one, symbols) in enumerate(steps):
        for place in range(symbols):
            waiting = _Waiting(one=one, identifier=one.next_identifier + place)
            spread.append(((place + 0.5) / symbols, order, waiting))
        one.next_identifier += symbols
    return [waiting for _, _, waiting in sorted(spread, key=lambda entry: entry[:2])]


def _packet_bytes(one: ErasureObject) -> int:
    return PRIMARY_HEADER_BYTES + HEADER.size + one.shape.symbol_bytes


def _belief_about(one: ErasureObject, belief: LossBelief) -> LossBelief:
    """What a pass does to the symbols of one object, which are interleaved with those of others."""
    likely = math.ceil(one.shape.source_symbols / (1 - belief.mean))
    return belief.among(likely, spacing_frames=_interleaving_depth(belief))


def _sent(one: ErasureObject, belief: LossBelief) -> SentSymbols:
    """All symbols sent of an object, those of the pass under way included."""
    return one.sent_before.more(one.sent_now, _belief_about(one, belief)) if one.sent_now else one.sent_before


def _interleaving_depth(belief: LossBelief) -> int:
    """Objects to interleave: so that two symbols of one object lie two bursts apart."""
    if belief.correlation < INDEPENDENT_BELOW:
        return 1
    return min(DEEPEST_INTERLEAVING, math.ceil(2 * belief.burst_frames))


def _fitting(offers: Iterable[ErasureOffer], room_bytes: float) -> list[ErasureOffer]:
    """The first offers, to the one that no longer fits the room."""
    fitting = []
    for offer in offers:
        if room_bytes <= 0:
            break
        room_bytes -= offer.size_bytes
        fitting.append(offer)
    return fitting


def _price(offers: Sequence[ErasureOffer], belief: LossBelief, capacity_bytes: float) -> float:
    """Value per byte of the last offer that such a pass carries, roughly: what a byte on the link is worth. 0: all fit."""
    left_bytes = capacity_bytes * (1 - belief.mean)
    for offer in offers:
        left_bytes -= offer.size_bytes
        if left_bytes < 0:
            return offer.value / offer.size_bytes * (1 - belief.mean)
    return 0.0
