"""What must hold after every event of a simulated mission, and what must have come about at its end.

The checks keep their own books from what was captured and from what they saw before; they believe the stores nothing
that can be counted again. Every breach is an InvariantError with its numbers.
"""

from collections.abc import Collection, Iterable
from typing import NoReturn

from downlink.products import LayerAddress
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
    """Watches one world. `check` after every event, `check_settled` when nothing more can happen."""

    def __init__(self, world: World, *, capacity_bytes: int) -> None:
        self._world = world
        self._capacity_bytes = capacity_bytes
        self._captured: dict[LayerAddress, bytes] = {}
        self._sizes: dict[LayerAddress, int] = {}
        self._captured_bytes = self._delivered_bytes = self._evicted_bytes = 0
        self._delivered: frozenset[LayerAddress] = frozenset()
        self._evicted: frozenset[LayerAddress] = frozenset()
        self._held: frozenset[LayerAddress] = frozenset()
        self._arrived: set[LayerAddress] = set()
        self._observations_seen = 0
        self._instant = (-1, 0)

    def expect(self, layers: Iterable[ValuedLayer]) -> None:
        """These are being captured now: by the end of the event they must be in the store on board."""
        for valued in layers:
            address = valued.layer.address
            self._captured[address] = valued.payload
            self._sizes[address] = valued.layer.size_bytes
            self._captured_bytes += valued.layer.size_bytes

    @property
    def evicted_layers(self) -> int:
        """Layers given up on board so far."""
        return len(self._evicted)

    # ---- safety

    def check(self) -> None:
        """Raises InvariantError for the first promise found broken."""
        self._check_progress()
        self._check_ground()
        self._check_onboard()
        self._check_ledger()
        self._check_reports()
        self._check_bounds()

    def _check_ground(self) -> None:
        held = self._world.station.store.addresses
        if held == self._held:
            return
        if forgotten := self._held - held:
            self._fail("the ground forgets nothing", f"it held {_named(forgotten)}, and holds them no more")
        for address in held - self._held:
            self._check_bytes(address)
        self._held = held

    def _check_bytes(self, address: LayerAddress) -> None:
        if address not in self._captured:
            self._fail("only what was captured comes down", f"{_named([address])} was never captured")
        captured, held = self._captured[address], self._world.station.store.payload(address)
        if held != captured:
            at = next((i for i, (a, b) in enumerate(zip(held, captured, strict=False)) if a != b), None)
            where = "one is the beginning of the other" if at is None else f"they differ from byte {at}"
            detail = f"{_named([address])}: {len(captured)} bytes captured, {len(held)} bytes held, {where}"
            self._fail("what the ground holds is what was captured, byte by byte", detail)

    def _check_onboard(self) -> None:
        store = self._world.computer.store
        delivered, evicted = store.delivered, store.evicted
        if delivered != self._delivered:
            if forgotten := self._delivered - delivered:
                self._fail("a mark is for ever", f"{_named(forgotten)} were delivered, and are not marked so any more")
            if missing := (delivered - self._delivered) - self._held:
                self._fail("acknowledged on board means held on the ground", f"the ground lacks {_named(missing)}")
            self._delivered = delivered
            self._delivered_bytes = self._bytes_of(delivered)
        if evicted != self._evicted:
            if forgotten := self._evicted - evicted:
                self._fail("a mark is for ever", f"{_named(forgotten)} were evicted, and are not marked so any more")
            self._evicted = evicted
            self._evicted_bytes = self._bytes_of(evicted)
        if both := delivered & evicted:
            self._fail("no layer is both delivered and evicted", _named(both))

    def _check_ledger(self) -> None:
        account = self._world.computer.store.account()
        if not account.balanced:
            self._fail("the ledger balances", str(account))
        queued_bytes = self._captured_bytes - self._delivered_bytes - self._evicted_bytes
        counted = (self._captured_bytes, self._delivered_bytes, queued_bytes, self._evicted_bytes)
        booked = (account.captured_bytes, account.delivered_bytes, account.queued_bytes, account.evicted_bytes)
        if counted != booked:
            detail = f"captured, delivered, queued, evicted bytes: counted {counted}, booked {booked}"
            self._fail("the ledger agrees with an independent count", detail)

    def _check_reports(self) -> None:
        observations = self._world.observations
        for observation in observations[self._observations_seen :]:
            if observation.what == "arrived":
                if again := self._arrived.intersection(observation.addresses):
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
        room_bytes = self._captured_bytes + ROOM_PER_LAYER_BYTES * (1 + len(self._captured))
        if (queued_bytes := computer.store.queued_bytes) > self._capacity_bytes:
            self._fail("the store keeps to its capacity", f"{queued_bytes} bytes in {self._capacity_bytes}")
        if computer.link_queue_bytes > room_bytes:
            detail = (
                f"{computer.link_queue_bytes} bytes wait for the radio, {room_bytes} bytes are the most there is to say"
            )
            self._fail("queues are bounded", detail)
        if station.held_bytes > 2 * room_bytes:
            detail = f"unfinished files take {station.held_bytes} bytes on the ground, bound {2 * room_bytes}"
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

    def check_settled(self) -> None:
        """After enough clean contacts: everything captured is delivered or was given up, and no file is under way."""
        self.check()
        for address in self._held:
            self._check_bytes(address)
        store = self._world.computer.store
        if waiting := [layer.address for layer in store.backlog()]:
            self._fail("everything owed arrives", f"{_named(waiting)} of {len(self._captured)} still wait on board")
        if lost := self._captured.keys() - self._delivered - self._evicted:
            self._fail("everything owed arrives", f"{_named(lost)} are neither delivered nor evicted")
        if missing := self._delivered - self._held:
            self._fail("everything owed arrives", f"the ground lacks {_named(missing)}")
        if self._world.computer.open_files:
            self._fail("files come to an end", f"{self._world.computer.open_files} files under way on board")
        if outstanding := self._world.station.desk.outstanding:
            self._fail("every order is executed", f"{len(outstanding)} orders are not acknowledged: {outstanding[0]}")
        if self._world.station.open_files:
            self._fail("files come to an end", f"{self._world.station.open_files} files under way on the ground")

    def _fail(self, invariant: str, detail: str) -> NoReturn:
        raise InvariantError(invariant, detail, now_ms=self._world.now_ms)


def _named(addresses: Collection[LayerAddress]) -> str:
    names = [f"{a.scene}/{a.product:#06x}/{a.step}" for a in sorted(addresses)]
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
