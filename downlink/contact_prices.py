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

from downlink.contact_demand import TINY, SortedGroups, Thresholds
from downlink.layer_table import Floats

CLOSING_IN: Final = 0.02
"""Distance of the prices tried from where the search expects the right one, as a share of the bracket."""
NEARBY: Final = (0.0, 0.9, 0.95, 0.98, 0.99, 1.0, 1.01, 1.02, 1.05, 1.1)
"""Prices tried first, as multiples of the guess."""
WIDENING: Final = 8.0
"""How much further away a price is searched each time it is not found."""
FINENESS: Final = 5e-3
"""A price is searched until it is known to this share of itself; demand is taken as a straight line in between."""
FULL: Final = 1 - 1e-6
"""Share of its room from which on a contact counts as full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """What a byte costs in each contact."""

    prices: Floats
    """(c,) points per byte; 0 where a contact is not full."""
    bound: float
    """No plan is worth more than this."""
    relaxed_value: float
    """What the last fill with divisible groups is worth."""


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
    with np.errstate(over="ignore"):  # half-lives far shorter than the gap between contacts: infinite, as it should be
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


def _fill(ranked: SortedGroups, factor: Floats, room_bytes: Floats, prices: Floats) -> Floats:
    """(c + 1, laws) bytes of each law taken before each contact, when each contact takes what gains most by not waiting."""
    taken = np.zeros((len(room_bytes) + 1, len(factor)))
    thresholds = Thresholds(factor, prices)
    nearby = np.stack([ranked.bytes_above(thresholds.everywhere(times * prices)) for times in NEARBY], axis=1)
    dearest = 2 * float(ranked.density.max()) * float(factor.max())
    paid = 0.0
    for contact, room in enumerate(room_bytes.tolist()):
        before, guess = taken[contact], float(prices[contact])
        bids = np.maximum(nearby[contact] - before, 0.0)
        totals = bids.sum(axis=1)
        if totals[0] <= room:
            fits = bids[0]
        elif totals[1] > room >= totals[-1]:
            high = int(np.argmax(totals <= room))
            fits = bids[high] + (room - totals[high]) / (totals[high - 1] - totals[high]) * (
                bids[high - 1] - bids[high]
            )
        else:

            def wanted(offered: Floats, contact: int = contact, before: Floats = before) -> Floats:
                return np.maximum(ranked.bytes_above(thresholds.at(contact, offered)) - before, 0.0)

            fits, paid = _bytes_that_fit(wanted, room, guess or paid, dearest)
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
    ends = guess * np.array([1 / WIDENING, 1.0])
    bids = wanted(ends)
    while bids[1].sum() > room:
        ends = ends[1] * np.array([1.0, WIDENING])
        bids = np.stack([bids[1], wanted(ends[1:])[0]])
    while bids[0].sum() <= room and ends[0] > 0:
        ends = ends[0] * np.array([1 / WIDENING if ends[0] > dearest * TINY else 0.0, 1.0])
        bids = np.stack([wanted(ends[:1])[0], bids[0]])
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
