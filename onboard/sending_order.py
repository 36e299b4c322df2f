"""What the files of a contact are made of, best first: the planner's order, emptied by the link and made anew after events.

The order is planned when it is asked for after something has changed: a contact that begins or ends, new layers, requests of
the ground, contacts uploaded, parts of files asked for again, files given up.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from downlink.contact import Contact
from downlink.contact_plan import PlannerSettings
from downlink.contact_planner import ContactPlanner
from downlink.products import Layer, LayerAddress
from onboard.standing_orders import StandingOrders

LOOKAHEAD_LAYERS: Final = 256
"""How many layers are looked at to fill a file, and how many a file holds at most."""


class SendingOrder:
    """The backlog, less what is in open files, in the order in which it should leave."""

    def __init__(
        self,
        backlog: Iterable[Layer],
        orders: StandingOrders,
        expected_contacts: Sequence[Contact],
        settings: PlannerSettings | None = None,
    ) -> None:
        """`expected_contacts` are those known at the start; uploaded ones with the same number take their place."""
        self._planner = ContactPlanner(settings)
        self._planner.add(backlog)
        self._orders = orders
        self._expected = {contact.contact_id: contact for contact in expected_contacts}
        self._is_stale = True
        # What comes next, and the rest, which is not ranked before it is looked at.
        self._next: list[tuple[float, Layer]] = []
        self._rest: Iterator[tuple[float, Layer]] = iter(())

    # ---- what happens

    def add(self, layers: Iterable[Layer]) -> None:
        """Layers that wait from now on."""
        self._planner.add(layers)
        self._is_stale = True

    def remove(self, addresses: Collection[LayerAddress]) -> None:
        """Layers that wait no more."""
        self._planner.remove(addresses)

    def discount(self, layers: Iterable[Layer], arrived: Mapping[LayerAddress, float]) -> None:
        """Layers that may be on the ground already count for the case that they are not."""
        doubtful = [layer for layer in layers if layer.address in arrived]
        self._planner.remove([layer.address for layer in doubtful])
        self.add(replace(layer, value=layer.value * (1 - arrived[layer.address])) for layer in doubtful)

    def expect(self, contacts: Iterable[Contact]) -> None:
        """The contacts that are coming, in place of those known before."""
        self._expected = {contact.contact_id: contact for contact in contacts}
        self._is_stale = True

    def start_contact(self, contact: Contact) -> None:
        """The contact that begins, as exactly as it is known now."""
        self._expected[contact.contact_id] = contact
        self._is_stale = True

    def changed(self) -> None:
        """Something else has happened that the plan depends on."""
        self._is_stale = True

    # ---- what is asked

    def refresh(self, now_ms: int, *, committed_bytes: int) -> bool:
        """Plan anew if something has changed; says whether it had. `committed_bytes` of open files are still to be sent."""
        if not self._is_stale:
            return False
        self._tell_planner(now_ms)
        order = self._planner.order(now_ms, committed_bytes=committed_bytes)
        self._next.clear()
        self._rest = ((density, layer) for density, layer in order if not layer.address.is_express)
        self._look_ahead()
        self._is_stale = False
        return True

    def evictions(self, excess_bytes: int, *, now_ms: int, kept: Collection[LayerAddress]) -> tuple[LayerAddress, ...]:
        """What to give up to save so many bytes, never what `kept` layers need."""
        if excess_bytes <= 0:
            return ()
        self._tell_planner(now_ms)
        return tuple(layer.address for layer in self._planner.evictions(excess_bytes, now_ms=now_ms, kept=kept))

    def price(self, now_ms: int, *, committed_bytes: int) -> float:
        """Points per byte at which what waits fills the next contacts; 0 where it does not, or none is known."""
        self._tell_planner(now_ms)
        return self._planner.price(now_ms, committed_bytes=committed_bytes)

    def ranked(self) -> list[tuple[float, Layer]]:
        """All that is left, best first, with value per byte."""
        self._next.extend(self._rest)
        return list(self._next)

    @property
    def best_density(self) -> float | None:
        """Value per byte of what comes next, None where nothing waits."""
        return self._next[0][0] if self._next else None

    def take(self, limit_bytes: int, *, room_bytes: int) -> list[Layer]:
        """The next layers, removed: as many as fit into `limit_bytes`, one at least.

        Where the next one does not fit into the `room_bytes` that the contact has left, the best of those behind it that
        do fit go before it, but never a step before the steps that it needs: so the end of a contact is filled.
        """
        if not self._next:
            return []
        fits = self._next[0][1].size_bytes <= room_bytes
        limit_bytes = min(limit_bytes, room_bytes)
        places = self._consecutive(limit_bytes) if fits else self._fitting(limit_bytes)
        layers = [self._next[place][1] for place in places]
        for place in reversed(places):
            del self._next[place]
        self._look_ahead()
        self._planner.remove([layer.address for layer in layers])
        return layers

    def _look_ahead(self) -> None:
        self._next.extend(islice(self._rest, max(0, LOOKAHEAD_LAYERS - len(self._next))))

    def _consecutive(self, limit_bytes: int) -> range:
        """Places of the next layer and of those behind it, as far as they fit together."""
        left_bytes = limit_bytes - self._next[0][1].size_bytes
        end = 1
        while end < len(self._next) and self._next[end][1].size_bytes <= left_bytes:
            left_bytes -= self._next[end][1].size_bytes
            end += 1
        return range(end)

    def _fitting(self, limit_bytes: int) -> list[int]:
        """Places of layers that fit; that of the next layer where none does."""
        places: list[int] = []
        passed: set[tuple[int, int]] = set()
        for place, (_, layer) in enumerate(self._next):
            product = layer.address.scene, layer.address.product
            if product not in passed and layer.size_bytes <= limit_bytes:
                places.append(place)
                limit_bytes -= layer.size_bytes
            else:
                passed.add(product)
        return places or [0]

    def _tell_planner(self, now_ms: int) -> None:
        """Contacts and requests as they stand. The contact that goes on is known better than any upload says."""
        contacts = self._expected | {
            contact.contact_id: contact
            for contact in self._orders.contacts(now_ms)
            if contact.contact_id not in self._expected or now_ms < self._expected[contact.contact_id].aos_ms
        }
        self._planner.set_contacts(list(contacts.values()))
        self._planner.set_requests(self._orders.requests(now_ms))
