"""The backlog as columns: one row per layer in order of address, so that a planner can work on all of them at once.

Within a product a later step needs the earlier ones, so consecutive steps are joined into groups of falling value per
byte: the upper concave hull of (cumulative bytes, cumulative value), found by pooling adjacent violators on all products
at once. Where all steps of a product decay alike, its hull does not change with time and is kept from event to event.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from downlink.products import ALERTS_PRODUCT, Layer, LayerAddress

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
NEVER_MS: Final = (1 << 63) - 1
"""Stands for a deadline that no clock reaches."""
ALL_ROWS: Final = slice(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTable:
    """Layers in order of address, no address twice. Never changed in place: `with_layers` and `without` give new tables."""

    keys: Ints
    """(n,) addresses as numbers (`address_key`), rising."""
    product: Ints
    """(n,) one number per product, never falling (`products_of`)."""
    size_bytes: Ints
    """(n,)"""
    value: Floats
    """(n,) at capture."""
    half_life_s: Floats
    """(n,)"""
    captured_ms: Ints
    """(n,)"""
    deadline_ms: Ints
    """(n,) `NEVER_MS` where there is none."""
    joined: Flags
    """(n,) whether the row is worth sending only together with the row before it."""
    layers: NDArray[Any]
    """(n,) the Layer objects themselves."""

    def __len__(self) -> int:
        return len(self.keys)

    def with_layers(self, layers: Iterable[Layer]) -> "LayerTable":
        """A table with these layers added; those whose address it has already are passed over."""
        fresh = layer_table(layers)
        fresh = _rows(fresh, ~_found(fresh.keys, self.keys))
        if not len(fresh):
            return self
        # Whole stretches are copied: a new scene is one of them.
        at = np.searchsorted(self.keys, fresh.keys)
        cuts = np.flatnonzero(np.diff(at)) + 1
        places = at[np.append(0, cuts)]

        def merged(name: str) -> Any:
            old, new = np.split(getattr(self, name), places), np.split(getattr(fresh, name), cuts)
            return np.concatenate([*chain.from_iterable(zip(old, new, strict=False)), old[-1]])

        return _hulled(_columns(merged), fresh.keys)

    def without(self, addresses: Iterable[LayerAddress]) -> "LayerTable":
        """A table without these layers; addresses that it does not have are passed over."""
        keys = np.unique(np.array([address_key(address) for address in addresses], np.int64))
        keys = keys[_found(keys, self.keys)]
        if not len(keys):
            return self
        kept = np.ones(len(self), np.bool_)
        kept[np.searchsorted(self.keys, keys)] = False
        return _hulled(_rows(self, kept), keys)

    def continues(self) -> Flags:
        """(n,) whether the row is a later step of the product of the row before it."""
        same = np.zeros(len(self), np.bool_)
        same[1:] = self.product[1:] == self.product[:-1]
        return same

    def values_at(self, now_ms: int, rows: Ints | slice = ALL_ROWS) -> Floats:
        """`Layer.value_at` of every row, or of some."""
        age_s = np.maximum(0, now_ms - self.captured_ms[rows]) / 1000
        worth = self.value[rows] * np.exp2(-age_s / self.half_life_s[rows])
        return np.where(now_ms < self.deadline_ms[rows], worth, 0.0)

    def decays_unlike_previous(self) -> Flags:
        """(n,) whether a step follows another law of decay than the step before it."""
        differs = np.zeros(len(self), np.bool_)
        for column in (self.half_life_s, self.captured_ms, self.deadline_ms):
            differs[1:] |= column[1:] != column[:-1]
        return differs & self.continues()


def layer_table(layers: Iterable[Layer]) -> LayerTable:
    """The table of these layers, in whatever order they come; of several with one address the first is kept."""
    given = list(layers)
    keys, first = np.unique(np.array([address_key(layer.address) for layer in given], np.int64), return_index=True)
    objects = np.empty(len(given), object)
    objects[:] = given
    objects = objects[first]
    deadlines = (NEVER_MS if layer.deadline_ms is None else layer.deadline_ms for layer in objects)
    table = LayerTable(
        keys=keys,
        product=products_of(keys),
        size_bytes=np.array([layer.size_bytes for layer in objects], np.int64),
        value=np.array([layer.value for layer in objects], np.float64),
        half_life_s=np.array([layer.half_life_s for layer in objects], np.float64),
        captured_ms=np.array([layer.captured_ms for layer in objects], np.int64),
        deadline_ms=np.fromiter(deadlines, np.int64, len(objects)),
        joined=np.zeros(len(keys), np.bool_),
        layers=objects,
    )
    return _hulled(table, keys)


def address_key(address: LayerAddress) -> int:
    """The address as one number of 56 bits in the order of addresses."""
    return address.scene << 24 | address.product << 8 | address.step


def products_of(keys: Ints) -> Ints:
    """(n,) one number per product; every alert batch is a product of its own."""
    alerts = (keys >> 8) & 0xFFFF == ALERTS_PRODUCT
    return np.where(alerts, keys, keys | 0xFF)


def joined_steps(size_bytes: Ints, value: Floats, continues: Flags) -> Flags:
    """(n,) whether each row belongs to the group of the row before it, so that groups of a product fall in value per byte.

    Runs of rising value per byte are pooled until none is left (pool adjacent violators, Barlow et al. 1972).
    """
    starts = np.arange(len(size_bytes))
    sizes, values, follows = size_bytes.astype(np.float64), value, continues
    while True:
        rising = np.zeros(len(starts), np.bool_)
        rising[1:] = follows[1:] & (values[1:] * sizes[:-1] >= values[:-1] * sizes[1:])
        if not rising.any():
            break
        heads = np.flatnonzero(~rising)
        starts, follows = starts[heads], follows[heads]
        sizes, values = np.add.reduceat(sizes, heads), np.add.reduceat(values, heads)
    joined = np.ones(len(size_bytes), np.bool_)
    joined[starts] = False
    return joined


def _hulled(table: LayerTable, keys: Ints) -> LayerTable:
    """The table with the groups of the products that `keys` belong to formed anew, from values at capture."""
    changed = np.unique(products_of(keys))
    ranges = zip(np.searchsorted(table.product, changed), np.searchsorted(table.product, changed, "right"), strict=True)
    rows = np.concatenate([np.arange(first, stop) for first, stop in ranges]) if len(changed) else changed
    if len(rows):
        product = table.product[rows]
        continues = np.append(False, product[1:] == product[:-1])
        table.joined[rows] = joined_steps(table.size_bytes[rows], table.value[rows], continues)
    return table


def _found(wanted: Ints, keys: Ints) -> Flags:
    """Which of `wanted` are among the rising `keys`."""
    at = np.searchsorted(keys, wanted)
    found = at < len(keys)
    found[found] = keys[at[found]] == wanted[found]
    return found


def _rows(table: LayerTable, kept: Flags) -> LayerTable:
    return _columns(lambda name: getattr(table, name)[kept])


def _columns(column: Callable[[str], Any]) -> LayerTable:
    return LayerTable(**{field.name: column(field.name) for field in fields(LayerTable)})
