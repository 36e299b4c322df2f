"""What to send first at one moment: layers ranked by value per byte, with whatever they build on (pure functions).

For a few layers, such as those of the express lane. A whole backlog over several contacts is `contact_planner`'s.

Within a product a later step needs the earlier ones, so its steps are first joined into groups of falling value per
byte: the upper concave hull of (cumulative bytes, cumulative value). Taking groups of all products in order of their
slope solves the relaxed multiple-choice knapsack exactly (Sinha and Zoltners 1979); a pass that ends between two
groups loses less than one group. Ties are broken by address, so the order is a function of its input.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from downlink.layer_table import address_key
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


def rank(layers: Iterable[Layer], now_ms: int) -> tuple[Layer, ...]:
    """All layers in sending order at `now_ms`: the layers of `rank_groups`, one after the other."""
    return tuple(layer for group in rank_groups(layers, now_ms) for layer in group.layers)


def rank_groups(layers: Iterable[Layer], now_ms: int) -> tuple[Group, ...]:
    """All layers at `now_ms` as groups of falling value per byte.

    A step that is absent is taken to be on the ground or on its way: files overtake each other, so a later step may be
    delivered before an earlier one.
    """
    groups = [group for product in _products(layers) for group in hull_groups(product, now_ms)]
    groups.sort(key=lambda group: -group.density)  # products come in order of address, and so do ties
    return tuple(groups)


def hull_groups(product: Sequence[Layer], now_ms: int) -> list[Group]:
    """Join the steps of one product, in step order, into groups of strictly falling value per byte."""
    groups: list[Group] = []
    for layer in product:
        group = Group(layers=(layer,), size_bytes=layer.size_bytes, value=layer.value_at(now_ms))
        while groups and groups[-1].value * group.size_bytes <= group.value * groups[-1].size_bytes:
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
    keyed = sorted(((address_key(layer.address), layer) for layer in layers), key=itemgetter(0))
    products: list[list[Layer]] = []
    before = None
    for key, layer in keyed:
        product = key if layer.address.product == ALERTS_PRODUCT else key >> 8
        if product != before:
            products.append([])
        products[-1].append(layer)
        before = product
    return products
