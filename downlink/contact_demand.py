"""What groups want: those of each law in order of value per byte, and how far down a price reaches (pure)."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from downlink.contact_groups import Groups
from downlink.layer_table import Floats, Ints

OCTAVES_PER_LAW: Final = 4096.0
"""Distance between laws in the sorting key, wider than the range of log2 of any value per byte."""
TINY: Final = 1e-30
"""Where a law loses nothing by waiting, it counts as losing this share."""
WORTHLESS: Final = 1e-300
"""Value per byte up to which a layer counts as worth nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SortedGroups:
    """Groups that are worth something, by law and falling value per byte, with running totals."""

    order: Ints
    """(m,) numbers of the groups in this order."""
    sorting_key: Floats
    """(m,) law times OCTAVES_PER_LAW minus log2 of the density, rising."""
    density: Floats
    """(m,)"""
    start: Ints
    """(laws + 1,) where each law begins."""
    bytes_before: Floats
    """(m + 1,) bytes of all groups before."""
    value_before: Floats
    """(m + 1,) value now of all groups before."""

    def position(self, threshold: Floats) -> Ints:
        """(..., laws) positions behind the last group of each law whose value per byte is at least the threshold."""
        laws = np.arange(len(self.start) - 1)
        # Two comparisons take half the time of np.clip on arrays as small as these.
        key = laws * OCTAVES_PER_LAW - np.log2(np.minimum(np.maximum(threshold, WORTHLESS), 1 / WORTHLESS))
        found = self.sorting_key.searchsorted(key, side="right")
        return np.minimum(np.maximum(found, self.start[:-1]), self.start[1:])

    def bytes_above(self, threshold: Floats) -> Floats:
        """(..., laws) bytes of the groups of each law whose value per byte is at least the threshold."""
        return self.bytes_before[self.position(threshold)] - self.bytes_before[self.start[:-1]]

    def density_around(self, taken_bytes: Floats) -> tuple[Floats, Floats]:
        """(..., laws) value per byte of the last byte taken and of the next one, when so many bytes of each law are taken.

        The last is infinite where none is taken, the next 0 where none is left.
        """
        whole = self.bytes_before[self.start[:-1]] + taken_bytes
        last = np.searchsorted(self.bytes_before, whole) - 1
        following = np.searchsorted(self.bytes_before, whole, side="right") - 1
        bounded = np.append(self.density, 0.0)
        return (
            np.where(last < self.start[:-1], np.inf, bounded[last]),
            np.where(following >= self.start[1:], 0.0, bounded[following]),
        )

    def value_of(self, taken_bytes: Floats) -> Floats:
        """(..., laws) value now of the first so many bytes of each law."""
        whole = self.bytes_before[self.start[:-1]] + taken_bytes
        return np.interp(whole, self.bytes_before, self.value_before) - self.value_before[self.start[:-1]]


def sort_groups(groups: Groups, room_bytes: Ints) -> SortedGroups:
    """Groups that are worth nothing are left out, and those with a layer that no contact has room for."""
    laws = groups.factor.shape[0]
    alive = (groups.density > WORTHLESS) & (groups.factor.max(axis=1, initial=0.0)[groups.law] > 0)
    alive = np.flatnonzero(alive & (groups.largest_bytes <= room_bytes.max(initial=0)))
    key = np.asarray(groups.law[alive] * OCTAVES_PER_LAW - np.log2(groups.density[alive]), np.float64)
    at = _order_of(key)
    order = alive[at]
    sizes, density = groups.size_bytes[order], groups.density[order]
    return SortedGroups(
        order=order,
        sorting_key=key[at],
        density=density,
        start=np.searchsorted(key[at], (np.arange(laws + 1) - 0.5) * OCTAVES_PER_LAW),
        bytes_before=np.concatenate([[0.0], np.cumsum(sizes)]),
        value_before=np.concatenate([[0.0], np.cumsum(sizes * density)]),
    )


def _order_of(key: Floats) -> Ints:
    """Positions by rising key, ties by position: a fast sort that is not stable, and then the ties alone."""
    order = np.argsort(key)
    same = key[order[1:]] == key[order[:-1]]
    tied = np.flatnonzero(np.append(False, same) | np.append(same, False))
    order[tied] = order[tied][np.lexsort((order[tied], key[order[tied]]))]
    return order


class Thresholds:
    """From which value per byte on a group of each law pays an offered price for a contact rather than wait.

    Waiting means the best of the later contacts at their prices, or not being sent at all.
    """

    def __init__(self, factor: Floats, prices: Floats) -> None:
        """`factor` is (laws, c), `prices` (c,)."""
        contacts = len(prices)
        others = np.append(factor, np.zeros((len(factor), 1)), axis=1)
        # (c, laws, c + 1): density per price of a choice between a contact and a later one, or none; 0 for earlier ones.
        later = np.arange(contacts + 1) > np.arange(contacts)[:, None]
        self._per_price = later[:, None, :] / np.maximum(factor.T[:, :, None] - others, TINY)
        self._prices = np.append(prices, 0.0)
        self._absent = factor.T <= 0

    def at(self, contact: int, offered: Floats) -> Floats:
        """(k, laws) for (k,) prices offered for one contact."""
        costs = (offered[:, None] - self._prices)[:, None, :]
        least = (costs * self._per_price[contact]).max(axis=2)
        least[:, self._absent[contact]] = np.inf
        return np.asarray(least)

    def everywhere(self, offered: Floats) -> Floats:
        """(c, laws) for (c,) prices, one offered for each contact."""
        costs = (offered[:, None] - self._prices)[:, None, :]
        least = (costs * self._per_price).max(axis=2)
        least[self._absent] = np.inf
        return np.asarray(least)
