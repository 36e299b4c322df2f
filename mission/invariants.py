"""What must hold after every event of a simulated mission, and what must have come about at its end.

The checks keep their own books from what was captured and from what they saw before; they believe the stores nothing
that can be counted again. Every breach is an InvariantError with its numbers.
"""

from collections.abc import Collection, Iterable
from typing import NoReturn

from downlink.errors import JournalError
from downlink.products import LayerAddress
from downlink.record import Record, RecordKind
from mission.errors import InvariantError
from mission.simulation import World
from onboard.valuation import ValuedLayer

NAMED_AT_MOST = 5
"""Layers named in a message."""
EVENTS_PER_INSTANT = 20_000
"""More events than this at one and the same millisecond mean that the cores go round in a circle."""
ROOM_PER_LAYER_BYTES = 1024
"""What packets, headers and repeats may add to a layer in queues and buffers."""


class Invariants:
    """Watches one world. `check` after every event, `check_settled` when nothing more can happen.

    Bytes that rotted on a disk are not promised: a layer whose only copy rotted may be lost, and a mark that rotted may be
    forgotten. Nothing else may come of it.
    """

    def __init__(self, world: World, *, capacity_bytes: int) -> None:
        self._world = world
        self._capacity_bytes = capacity_bytes
        self._payloads: dict[LayerAddress, bytes] = {}
        self._sizes: dict[LayerAddress, int] = {}
        self._captured_bytes = 0
        self._room_bytes = ROOM_PER_LAYER_BYTES
        self._delivered: frozenset[LayerAddress] = frozenset()
        self._evicted: frozenset[LayerAddress] = frozenset()
        self._held: frozenset[LayerAddress] = frozenset()
        self._arrived: set[LayerAddress] = set()
        self._rotted_on_board: set[LayerAddress] = set()
        self._rotted_on_ground: set[LayerAddress] = set()
        self._tally: tuple[int, ...] = ()
        self._held_layers = -1
        self._observations_seen = 0
        self._instant = (-1, 0)

    def announce(self, layers: Iterable[ValuedLayer]) -> None:
        """These are about to be captured: from now on they may come down."""
        self._payloads.update((valued.layer.address, valued.payload) for valued in layers)
        # Before they are counted as captured: a core that fails in the middle may have taken some of them.
        self._room_bytes = sum(map(len, self._payloads.values())) + ROOM_PER_LAYER_BYTES * (1 + len(self._payloads))

    def expect(self, layers: Iterable[ValuedLayer]) -> None:
        """These have been captured: they must be in the store on board."""
        for valued in layers:
            address = valued.layer.address
            self._payloads[address] = valued.payload
            if address not in self._sizes:
                self._sizes[address] = valued.layer.size_bytes
                self._captured_bytes += valued.layer.size_bytes
        self._tally = ()

    def rotted(self, record: Record, *, on_board: bool) -> None:
        """A bit of this record has flipped in a journal of layers."""
        if record.kind in (RecordKind.LAYER, RecordKind.NOTE, RecordKind.DELIVERED, RecordKind.EVICTED):
            (self._rotted_on_board if on_board else self._rotted_on_ground).add(record.address)

    def restarted(self, *, on_board: bool) -> None:
        """An end has started again: everything about it is looked at anew."""
        if on_board:
            self._tally = ()
        else:
            self._held_layers = -1

    @property
    def evicted_layers(self) -> int:
        """Layers given up on board so far."""
        return len(self._evicted)

    @property
    def lost_layers(self) -> int:
        """Layers whose only copy rotted, on board or on the ground."""
        lost_on_ground = (self._rotted_on_ground & self._delivered) - self._held
        return len((self._lost_on_board() | lost_on_ground) - self._held)

    # ---- safety

    def check(self) -> None:
        """Raises InvariantError for the first promise found broken. Of an end that is down, what holds when it starts again."""
        self._check_progress()
        if self._world.ground.is_up:
            self._check_ground()
        if self._world.onboard.is_up:
            self._check_onboard()
        self._check_reports()
        self._check_bounds()

    def _check_ground(self) -> None:
        store = self._world.station.store
        if len(store) == self._held_layers:
            return
        held = store.addresses
        if forgotten := self._held - held - self._rotted_on_ground:
            self._fail("the ground forgets nothing", f"it held {_named(forgotten)}, and holds them no more")
        self._arrived -= self._held - held
        for address in held - self._held:
            self._check_bytes(address)
        self._held, self._held_layers = held, len(held)

    def _check_bytes(self, address: LayerAddress) -> None:
        if address not in self._payloads:
            self._fail("only what was captured comes down", f"{_named([address])} was never captured")
        try:
            captured, held = self._payloads[address], self._world.station.store.payload(address)
        except JournalError as error:
            if address in self._rotted_on_ground:
                return
            self._fail("what the ground holds can be read", f"{_named([address])}: {error}")
        if held != captured:
            at = next((i for i, (a, b) in enumerate(zip(held, captured, strict=False)) if a != b), None)
            where = "one is the beginning of the other" if at is None else f"they differ from byte {at}"
            detail = f"{_named([address])}: {len(captured)} bytes captured, {len(held)} bytes held, {where}"
            self._fail("what the ground holds is what was captured, byte by byte", detail)

    def _check_onboard(self) -> None:
        store = self._world.computer.store
        if store.tally == self._tally:
            return
        delivered, evicted = store.delivered, store.evicted
        if forgotten := self._delivered - delivered - self._rotted_on_board:
            self._fail("a mark is for ever", f"{_named(forgotten)} were delivered, and are not marked so any more")
        if forgotten := self._evicted - evicted - self._rotted_on_board:
            self._fail("a mark is for ever", f"{_named(forgotten)} were evicted, and are not marked so any more")
        if missing := delivered - self._delivered - self._held - self._rotted_on_ground:
            self._fail("acknowledged on board means held on the ground", f"the ground lacks {_named(missing)}")
        self._delivered, self._evicted = delivered, evicted
        if both := delivered & evicted:
            self._fail("no layer is both delivered and evicted", _named(both))
        self._check_ledger()
        self._tally = store.tally

    def _check_ledger(self) -> None:
        account = self._world.computer.store.account()
        if not account.balanced:
            self._fail("the ledger balances", str(account))
        captured_bytes = self._captured_bytes - self._bytes_of(self._lost_on_board())
        delivered_bytes, evicted_bytes = self._bytes_of(self._delivered), self._bytes_of(self._evicted)
        counted = (captured_bytes, delivered_bytes, captured_bytes - delivered_bytes - evicted_bytes, evicted_bytes)
        booked = (account.captured_bytes, account.delivered_bytes, account.queued_bytes, account.evicted_bytes)
        if counted != booked:
            detail = f"captured, delivered, queued, evicted bytes: counted {counted}, booked {booked}"
            self._fail("the ledger agrees with an independent count", detail)

    def _lost_on_board(self) -> frozenset[LayerAddress]:
        """Captured layers that the store knows nothing of any more, for their records have rotted."""
        store = self._world.computer.store
        return frozenset(one for one in self._rotted_on_board & self._sizes.keys() if not store.has_seen(one))

    def _check_reports(self) -> None:
        observations = self._world.observations
        if len(observations) == self._observations_seen:
            return
        for observation in observations[self._observations_seen :]:
            if observation.what == "arrived":
                # What rotted on the ground may come again, in the very event in which a station that started again misses it.
                if again := self._arrived.intersection(observation.addresses) - self._rotted_on_ground:
                    self._fail("each layer is reported as arrived once", f"{_named(again)} arrived before")
                if len(set(observation.addresses)) < len(observation.addresses):
                    self._fail(
                        "each layer is reported as arrived once", f"{_named(observation.addresses)} in one report"
                    )
                if missing := set(observation.addresses) - self._held:
                    self._fail("what is reported as arrived is held", f"the ground lacks {_named(missing)}")
                self._arrived.update(observation.addresses)
        self._observations_seen = len(observations)

    def _check_bounds(self) -> None:
        computer, station = self._world.computer, self._world.station
        room_bytes = self._room_bytes
        if self._world.onboard.is_up:
            if (queued_bytes := computer.store.queued_bytes) > self._capacity_bytes:
                self._fail("the store keeps to its capacity", f"{queued_bytes} bytes in {self._capacity_bytes}")
            if (waiting_bytes := computer.link_queue_bytes) > room_bytes:
                detail = f"{waiting_bytes} bytes wait for the radio, {room_bytes} bytes are the most there is to say"
                self._fail("queues are bounded", detail)
        if self._world.ground.is_up and (held_bytes := station.held_bytes) > 2 * room_bytes:
            detail = f"unfinished files take {held_bytes} bytes on the ground, bound {2 * room_bytes}"
            self._fail("buffers are bounded", detail)

    def _check_progress(self) -> None:
        now_ms, events = self._instant
        self._instant = (now_ms, events + 1) if now_ms == self._world.now_ms else (self._world.now_ms, 1)
        if events > EVENTS_PER_INSTANT:
            self._fail("time goes on", f"{events} events at one instant")

    def _bytes_of(self, addresses: Iterable[LayerAddress]) -> int:
        """By the sizes noted at capture. A layer that was never captured counts nothing, and so the ledger disagrees."""
        return sum(self._sizes.get(address, 0) for address in addresses)

    # ---- liveness

    @property
    def settled(self) -> bool:
        """Whether nothing is owed any more."""
        return self._world.onboard.is_up and self._world.ground.is_up and self._owed() is None

    def check_settled(self) -> None:
        """After enough clean contacts: everything captured is delivered or was given up, and no file is under way."""
        for end, name in ((self._world.onboard, "onboard computer"), (self._world.ground, "ground station")):
            if not end.is_up:
                self._fail("both ends start again", f"the {name} is down")
        self._tally, self._held_layers = (), -1
        self.check()
        for address in self._held:
            self._check_bytes(address)
        if (owed := self._owed()) is not None:
            self._fail(*owed)

    def _owed(self) -> tuple[str, str] | None:
        """The first thing that has still to come about, and the numbers of it."""
        computer, station = self._world.computer, self._world.station
        arrives, ends = "everything owed arrives", "files come to an end"
        if waiting := [layer.address for layer in computer.store.backlog()]:
            return arrives, f"{_named(waiting)} of {len(self._sizes)} still wait on board"
        if lost := self._sizes.keys() - self._delivered - self._evicted - self._lost_on_board():
            return arrives, f"{_named(lost)} are neither delivered nor evicted"
        if missing := self._delivered - self._held - self._rotted_on_ground:
            return arrives, f"the ground lacks {_named(missing)}"
        if computer.open_files:
            return ends, f"{computer.open_files} files under way on board"
        if outstanding := station.desk.outstanding:
            return "every order is executed", f"{len(outstanding)} orders are not acknowledged: {outstanding[0]}"
        if station.open_files:
            return ends, f"{station.open_files} files under way on the ground"
        return None

    def _fail(self, invariant: str, detail: str) -> NoReturn:
        raise InvariantError(invariant, detail, now_ms=self._world.now_ms)


def _named(addresses: Collection[LayerAddress]) -> str:
    names = [f"{a.scene}/{a.product:#06x}/{a.step}" for a in sorted(addresses)]
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
