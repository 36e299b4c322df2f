"""Prices per byte of each contact, at which divisible layers fill all contacts as well as can be (pure).

The relaxed problem, in which a group may be split at any byte, is a transport problem: every group chooses the contact
with the most value after paying for its bytes, and the prices (the Lagrange multipliers of the capacities) are right when
no contact is overbooked. Two steps alternate until value and bound agree:

- *fill*: contacts in order of time; each takes what loses most by waiting, given the prices of the later contacts. Among
  groups of one law those of higher value per byte always go first, so a fill is one byte count per law and contact.
- *price*: contacts in reverse order; each costs what its last byte gains over the best later alternative.

For one law a single round is exact. Weak duality (any prices bound the value of any plan) gives the distance from the best.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from downlink.contact_groups import Groups
from downlink.layer_table import Floats, Ints

OCTAVES_PER_LAW: Final = 4096.0
"""Distance between laws in the sorting key, wider than the range of log2 of any value per byte."""
CLOSING_IN: Final = 0.02
"""Distance of the prices tried from where the search expects the right one, as a share of the bracket."""
NEARBY: Final = 1.06
WIDENING: Final = 8.0
"""A price is searched nearby at first, and further and further away where it is not there."""
FINENESS: Final = 5e-3
"""A price is searched until it is known to this share of itself; demand is taken as a straight line in between."""
FULL: Final = 1 - 1e-6
"""Share of its room from which on a contact counts as full."""
TINY: Final = 1e-30
WORTHLESS: Final = 1e-300
"""Value per byte up to which a layer counts as worth nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """What a byte costs in each contact."""

    prices: Floats
    """(c,) points per byte; 0 where a contact is not full."""
    bound: float
    """No plan is worth more than this."""
    relaxed_value: float
    """What the last fill with divisible groups is worth."""


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
        key = laws * OCTAVES_PER_LAW - np.log2(np.clip(threshold, WORTHLESS, 1 / WORTHLESS))
        return np.clip(np.searchsorted(self.sorting_key, key, side="right"), self.start[:-1], self.start[1:])

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
    at = np.argsort(key)
    if (key[at[1:]] == key[at[:-1]]).any():
        at = np.argsort(key, kind="stable")  # ties by address; this sort is the slower one
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


def find_prices(
    ranked: SortedGroups, factor: Floats, room_bytes: Floats, *, first_guess: Floats, rounds: int, tolerance: float
) -> PriceList:
    """Prices from a first guess, in at most so many rounds, until value and bound differ by no more than `tolerance` as a
    share of the bound, or until two rounds together have brought them no closer than that.

    `factor` is (laws, c), `room_bytes` and `first_guess` (c,).
    """
    if not len(ranked.order) or not len(room_bytes):
        return PriceList(prices=np.zeros(len(room_bytes)), bound=0.0, relaxed_value=0.0)
    best_prices, bound, value, guess = first_guess, np.inf, 0.0, first_guess
    gaps = [np.inf, np.inf]
    for _ in range(rounds):
        taken = _fill(ranked, factor, room_bytes, guess)
        value = max(value, float((np.diff(ranked.value_of(taken), axis=0) * factor.T).sum()))
        guess = _reprice(ranked, factor, room_bytes, taken)
        bound_here = price_bound(ranked, factor, room_bytes, guess)
        if bound_here < bound:
            best_prices, bound = guess, bound_here
        gaps.append(bound - value)
        if gaps[-1] <= tolerance * bound or gaps[-3] - gaps[-1] <= tolerance * bound:
            break
    return PriceList(prices=best_prices, bound=bound, relaxed_value=value)


def price_bound(ranked: SortedGroups, factor: Floats, room_bytes: Floats, prices: Floats) -> float:
    """The value that no plan exceeds: all room paid for, plus what every group gains where it gains most (weak duality)."""
    contacts = len(prices)
    if not len(ranked.order) or not contacts:
        return 0.0
    # Where a group of each law is better off in contact i than in contact j, or nowhere (the last j): (i, laws, j).
    factors = np.concatenate([factor, np.zeros((len(factor), 1))], axis=1)
    costs = np.append(prices, 0.0)
    steeper = factor.T[:, :, None] - factors
    dearer = (prices[:, None] - costs)[:, None, :]
    edge = dearer / np.where(steeper == 0, 1.0, steeper)
    low = np.where(steeper > 0, edge, 0.0).max(axis=2)
    high = np.where(steeper < 0, edge, np.inf).min(axis=2)
    first = np.arange(contacts)[:, None] <= np.arange(contacts + 1)
    beaten = (steeper == 0) & ((dearer > 0) | ((dearer == 0) & ~first[:, None, :]))
    high[beaten.any(axis=2)] = 0.0
    begin, end = ranked.position(np.maximum(low, high)), ranked.position(low)
    value = ranked.value_before[end] - ranked.value_before[begin]
    size = ranked.bytes_before[end] - ranked.bytes_before[begin]
    gains = factor.T * value - prices[:, None] * size
    return float(prices @ room_bytes + gains.clip(min=0.0).sum())


def least_density(factor: Floats, prices: Floats, contact: int, offered: Floats) -> Floats:
    """(k, laws) value per byte now from which a group pays each of the (k,) offered prices for this contact rather than wait.

    Waiting means the best of the later contacts at their prices, or not being sent at all.
    """
    later = np.concatenate([factor[:, contact + 1 :], np.zeros((len(factor), 1))], axis=1)
    gain = 1 / np.maximum(factor[:, contact, None] - later, TINY)
    costs = offered[:, None] - np.append(prices[contact + 1 :], 0.0)
    least = (costs[:, None, :] * gain).max(axis=2)
    return np.where(factor[:, contact] > 0, least, np.inf)


def _fill(ranked: SortedGroups, factor: Floats, room_bytes: Floats, prices: Floats) -> Floats:
    """(c + 1, laws) bytes of each law taken before each contact, when each contact takes what gains most by not waiting."""
    taken = np.zeros((len(room_bytes) + 1, len(factor)))
    paid = 0.0
    dearest = 2 * float(ranked.density.max()) * float(factor.max())
    for contact, room in enumerate(room_bytes):
        before = taken[contact]

        def wanted(offered: Floats, contact: int = contact, before: Floats = before) -> Floats:
            return np.maximum(ranked.bytes_above(least_density(factor, prices, contact, offered)), before) - before

        fits, paid = _bytes_that_fit(wanted, float(room), float(prices[contact]) or paid, dearest)
        taken[contact + 1] = before + fits
    return taken


def _bytes_that_fit(
    wanted: Callable[[Floats], Floats], room: float, guess: float, dearest: float
) -> tuple[Floats, float]:
    """(laws,) bytes wanted at the lowest price at which they fit, and that price.

    Where many bytes appear at one price, the same share of all of them. The search closes in from both sides of where a
    straight line between the ends of the bracket meets the room, and halves the bracket where demand is not smooth.
    """
    ends, bids = _bracket(wanted, room, min(max(guess, dearest * TINY), dearest), dearest)
    totals = bids.sum(axis=1)
    while ends[1] - ends[0] > FINENESS * ends[1] and ends[1] > dearest * TINY:
        meets = (totals[0] - room) / (totals[0] - totals[1])
        inside = np.sort([max(meets - CLOSING_IN, 0.0), 0.5, min(meets + CLOSING_IN, 1.0)])
        tried = np.concatenate([ends[:1], ends[0] + (ends[1] - ends[0]) * inside, ends[1:]])
        offers = np.concatenate([bids[:1], wanted(tried[1:-1]), bids[1:]])
        high = max(1, int(np.argmax(offers.sum(axis=1) <= room)))
        ends, bids = tried[high - 1 : high + 1], offers[high - 1 : high + 1]
        totals = bids.sum(axis=1)
    if totals[0] <= room:
        return bids[0], float(ends[0])
    share = (room - totals[1]) / (totals[0] - totals[1])
    return bids[1] + share * (bids[0] - bids[1]), float(ends[1])


def _bracket(wanted: Callable[[Floats], Floats], room: float, guess: float, dearest: float) -> tuple[Floats, Floats]:
    """(2,) a price that is too low (or 0) and one that is not, and (2, laws) what is wanted at them."""
    ends = guess * np.array([1 / NEARBY, NEARBY])
    bids = wanted(ends)
    while bids[1].sum() > room:
        ends = ends[1] * np.array([1.0, WIDENING])
        bids = np.stack([bids[1], wanted(ends[1:])[0]])
    while bids[0].sum() <= room and ends[0] > 0:
        ends = ends[0] * np.array([1 / WIDENING if ends[0] > dearest * TINY else 0.0, 1.0])
        bids = np.stack([wanted(ends[:1])[0], bids[0]])
    if bids[0].sum() <= room:
        ends, bids = np.zeros(2), np.stack([bids[0], bids[0]])
    return ends, bids


def _reprice(ranked: SortedGroups, factor: Floats, room_bytes: Floats, taken: Floats) -> Floats:
    """(c,) prices that the fill stands for: in each contact between what its last bytes gain over the best later alternative
    and what the next ones would, where possible; what the last gain on the average, if that lies there."""
    used = np.diff(taken, axis=0)
    last, following = ranked.density_around(taken[1:])
    prices = np.zeros(len(room_bytes))
    for contact in range(len(prices) - 1, -1, -1):
        laws = np.flatnonzero(used[contact])
        if used[contact].sum() < FULL * room_bytes[contact] or not len(laws):
            continue
        gained = _gains(last[contact, laws], factor[laws], prices, contact)
        missed = _gains(following[contact], factor, prices, contact).max()
        ends = sorted([float(gained.min()), float(missed)])
        prices[contact] = np.clip(np.average(gained, weights=used[contact, laws]), max(0.0, ends[0]), max(0.0, ends[1]))
    return prices


def _gains(density: Floats, factor: Floats, prices: Floats, contact: int) -> Floats:
    """(laws,) what a byte of such a value gains in a contact over the best of the later ones."""
    later = density[:, None] * factor[:, contact + 1 :] - prices[contact + 1 :]
    return np.asarray(density * factor[:, contact] - later.max(axis=1, initial=0.0))
