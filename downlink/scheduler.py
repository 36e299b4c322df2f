"""What to send first: layers ranked by value per byte, with whatever they build on (pure functions).

Within a product a later step needs the earlier ones, so its steps are first joined into groups of falling value per
byte: the upper concave hull of (cumulative bytes, cumulative value). Taking groups of all products in order of their
slope solves the relaxed multiple-choice knapsack exactly (Sinha and Zoltners 1979); a pass that ends between two
groups loses less than one group. Ties are broken by address, so the order is a function of its input.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from downlink.contact import Contact
from downlink.errors import ScheduleError
from downlink.products import ALERTS_PRODUCT, Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Consecutive steps of one product that are worth sending only together."""

    layers: tuple[Layer, ...]
    """In step order."""
    size_bytes: int
    """Their bytes together."""
    value: float
    """Their value together at the moment of planning."""

    @property
    def density(self) -> float:
        """Value per byte."""
        return self.value / self.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPlan:
    """What one contact is planned to carry, in order."""

    contact: Contact
    """The pass."""
    layers: tuple[Layer, ...]
    """First to last."""
    size_bytes: int
    """Bytes of those layers."""


def rank(layers: Iterable[Layer], now_ms: int) -> tuple[Layer, ...]:
    """All layers in sending order at `now_ms`: the layers of `rank_groups`, one after the other."""
    return tuple(layer for group in rank_groups(layers, now_ms) for layer in group.layers)


def rank_groups(layers: Iterable[Layer], now_ms: int) -> tuple[Group, ...]:
    """All layers at `now_ms` as groups of falling value per byte.

    A step that is absent is taken to be on the ground or on its way: files overtake each other, so a later step may be
    delivered before an earlier one.
    """
    groups = [group for product in _products(layers) for group in hull_groups(product, now_ms)]
    groups.sort(key=lambda group: (-group.density, group.layers[0].address))
    return tuple(groups)


def plan(
    layers: Iterable[Layer], contacts: Sequence[Contact], *, now_ms: int, payload_fraction: float
) -> tuple[ContactPlan, ...]:
    """Fill the coming contacts in time order, each with the layers worth most per byte at its middle.

    A contact carries its rate times its duration, less the frames it is expected to lose, times `payload_fraction`: the
    share left for layers after headers and idle time (0 to 1). A layer is planned into contacts that end after its
    capture; layers that fit no contact are not in the plan.
    """
    if not 0 < payload_fraction <= 1:
        raise ScheduleError(f"payload fraction {payload_fraction} must lie above 0 and at most 1")
    remaining = {layer.address: layer for layer in layers}
    planned = []
    for contact in sorted(contacts, key=lambda contact: (contact.aos_ms, contact.contact_id)):
        room = int(contact.capacity_bytes * (1 - contact.frame_loss) * payload_fraction)
        there = [layer for layer in remaining.values() if layer.captured_ms < contact.los_ms]
        middle_ms = max(now_ms, (contact.aos_ms + contact.los_ms) // 2)
        chosen = _fill(rank(there, middle_ms), room)
        for layer in chosen:
            del remaining[layer.address]
        planned.append(ContactPlan(contact=contact, layers=chosen, size_bytes=sum(c.size_bytes for c in chosen)))
    return tuple(planned)


def worst_first(layers: Iterable[Layer], now_ms: int) -> tuple[Layer, ...]:
    """The order in which to give layers up when the store is full: the reverse of `rank`, so that a step never goes
    before the steps that need it."""
    return rank(layers, now_ms)[::-1]


def hull_groups(product: Sequence[Layer], now_ms: int) -> list[Group]:
    """Join the steps of one product, in step order, into groups of strictly falling value per byte."""
    groups: list[Group] = []
    for layer in product:
        group = Group(layers=(layer,), size_bytes=layer.size_bytes, value=layer.value_at(now_ms))
        while groups and groups[-1].density <= group.density:
            last = groups.pop()
            group = Group(
                layers=last.layers + group.layers,
                size_bytes=last.size_bytes + group.size_bytes,
                value=last.value + group.value,
            )
        groups.append(group)
    return groups


def _products(layers: Iterable[Layer]) -> list[list[Layer]]:
    """Layers by product, each in step order; every alert batch is a product of its own."""

    def product(layer: Layer) -> tuple[int, int, int]:
        address = layer.address
        return address.scene, address.product, address.step if address.product == ALERTS_PRODUCT else 0

    ordered = sorted(layers, key=lambda layer: layer.address)
    return [list(steps) for _, steps in groupby(ordered, key=product)]


def _fill(order: Sequence[Layer], room_bytes: int) -> tuple[Layer, ...]:
    """Layers in order as long as they fit; a product is left at its first step that does not."""
    chosen: list[Layer] = []
    closed: set[tuple[int, int]] = set()
    for layer in order:
        product = (layer.address.scene, layer.address.product)
        if product in closed:
            continue
        if layer.size_bytes <= room_bytes:
            chosen.append(layer)
            room_bytes -= layer.size_bytes
        elif layer.address.product != ALERTS_PRODUCT:
            closed.add(product)
    return tuple(chosen)
