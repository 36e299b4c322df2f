"""Whole layers into contacts: the greedy repair after prices are found with divisible ones (pure).

Contacts are filled in order of time. Each takes the groups that gain most per byte over waiting for the best of the later
contacts at their prices, until the next does not fit; smaller ones further down fill what is left, and at the very end the
first layers of groups that do not fit whole. A group that no whole contact could hold is cut at once: the rest of it comes
first in the next.

A group goes only with or after the group it needs. First of all every contact serves layers that have waited too long.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from downlink.contact_demand import SortedGroups, Thresholds
from downlink.contact_groups import Groups
from downlink.layer_table import NEVER_MS, Flags, Floats, Ints, LayerTable

NOT_PLANNED: Final = -1
LOOK_BELOW: Final = (0.9995, 0.995, 0.97, 0.85, 0.5, 0.0)
"""How far below its price a contact looks for groups that fill its last bytes."""
CERTAIN: Final = 1.0005
"""What gains this much more than a contact's price goes without being compared with others."""
UNUSED: Final = 1e-4
"""A contact is full when no more than this share of it is left."""
GAP_ROUNDS: Final = 64
"""How often a contact passes over a group that does not fit to look for smaller ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """Layers that have waited too long, and what may be spent on them."""

    rows: Ints
    """(k,) rows of first layers of products, the one that waits longest first."""
    group: Ints
    """(k,) the groups they belong to."""
    due_ms: Ints
    """(k,) when their patience ends, rising."""
    share: float
    """Share of each contact that is theirs if they need it."""


def overdue_layers(patience_ends_ms: Ints, groups: Groups, share: float) -> Overdue:
    """The rows whose patience ends one day, first ended first, ties by address."""
    rows = np.flatnonzero(patience_ends_ms < NEVER_MS)
    rows = rows[np.argsort(patience_ends_ms[rows], kind="stable")]
    group = np.searchsorted(groups.first, rows, side="right") - 1
    return Overdue(rows=rows, group=group, due_ms=patience_ends_ms[rows], share=share)


class ContactFill:
    """The bookkeeping of one fill."""

    def __init__(self, table: LayerTable, groups: Groups, ranked: SortedGroups, prices: Floats) -> None:
        """`prices` is (c,) points per byte."""
        self._groups, self._ranked, self._prices = groups, ranked, prices
        self._thresholds = Thresholds(groups.factor, prices)
        self._reach: dict[float, Ints] = {}
        self._row_bytes = table.size_bytes
        self._row_contact = np.full(len(table), NOT_PLANNED, np.int64)
        self._group_contact = np.full(len(groups), NOT_PLANNED, np.int64)
        # What is left of each group: rows from `next` to `end`, their bytes and value per byte.
        self._next, self._end = groups.first.copy(), np.append(groups.first[1:], len(table))
        self._size, self._density = groups.size_bytes.astype(np.int64), groups.density.copy()
        self._sent = np.zeros(len(groups), np.bool_)
        # Contacts look at the groups of each law down to `reached`; what they did not take is passed on.
        self._reached = ranked.start[:-1].copy()
        self._gathered = np.zeros(len(groups), np.bool_)
        self._passed_on = np.zeros(0, np.int64)
        self._at_hand = np.zeros(len(groups), np.bool_)
        self._rounds_left = 0

    def fill(self, room_bytes: Ints, middle_ms: Ints, overdue: Overdue, contacts: int | None = None) -> Ints:
        """(n,) the contact of each row, or NOT_PLANNED.

        With `contacts` only the first so many are filled; what they get is the same.
        """
        for contact, room in enumerate(room_bytes[:contacts].tolist()):
            left = room - self._serve_overdue(contact, room, int(middle_ms[contact]), overdue)
            left -= self._send_certain(contact, left)
            self._fill_up(contact, left, whole_room=room)
        whole = np.repeat(self._group_contact, self._end - self._groups.first)
        return np.where(self._row_contact == NOT_PLANNED, whole, self._row_contact)

    def _serve_overdue(self, contact: int, room: int, now_ms: int, overdue: Overdue) -> int:
        """Send the layers that wait longest until their share of the contact is reached; bytes spent.

        Layers above the rest of the room are left out, so that every other fits whatever went before it.
        """
        known = int(np.searchsorted(overdue.due_ms, now_ms, side="right"))
        if not known:
            return 0
        rows, group = overdue.rows[:known], overdue.group[:known]
        waits = ~self._sent[group] & (self._next[group] == rows)
        rows, group = rows[waits], group[waits]
        sizes = self._row_bytes[rows]
        alive = self._density[group] * self._groups.factor[self._groups.law[group], contact] > 0
        fits = alive & (sizes <= (1 - overdue.share) * room)
        rows, group, sizes = rows[fits], group[fits], sizes[fits]
        served = int(np.searchsorted(np.cumsum(sizes) - sizes, overdue.share * room))
        self._begin(contact, rows[:served], group[:served])
        return int(sizes[:served].sum())

    def _begin(self, contact: int, rows: Ints, group: Ints) -> None:
        """Send rows that are the next ones of their groups."""
        whole = self._end[group] == rows + 1
        self._group_contact[group[whole]] = contact
        self._sent[group[whole]] = True
        for row, cut in zip(rows[~whole].tolist(), group[~whole].tolist(), strict=True):
            self._cut(contact, cut, row + 1)
        begun = group[~whole & ~self._gathered[group]]
        self._gathered[begun] = True
        self._passed_on = np.concatenate([self._passed_on, begun])

    def _send_certain(self, contact: int, room: int) -> int:
        """Send the groups that gain more than the contact's price, if they all fit: no need to rank them; bytes spent."""
        fresh = self._gather(contact, CERTAIN)
        ready = self._can_go(fresh)
        certain = fresh[ready]
        spent = int(self._size[certain].sum())
        if spent > room:
            self._passed_on = np.concatenate([self._passed_on, fresh])
            return 0
        self._passed_on = np.concatenate([self._passed_on, fresh[~ready]])
        self._group_contact[certain] = contact
        self._sent[certain] = True
        return spent

    def _fill_up(self, contact: int, room: int, *, whole_room: int) -> None:
        """Fill the rest of a contact: with groups near its price and what was passed on, then from further down."""
        chosen = self._passed_on
        too_large: list[int] = []
        self._rounds_left = GAP_ROUNDS
        for times in LOOK_BELOW:
            chosen = np.concatenate([chosen, self._gather(contact, times)])
            chosen = chosen[~self._sent[chosen]]
            room, too_large = self._take(contact, self._in_order(contact, chosen), room, whole_room=whole_room)
            if room <= UNUSED * whole_room or self._rounds_left <= 0:
                break
        for group in too_large:
            room -= self._cut_to_fit(contact, group, room)
        self._passed_on = chosen[~self._sent[chosen]]

    def _gather(self, contact: int, times: float) -> Ints:
        """The groups that no contact has looked at yet and that would pay so many times this contact's price."""
        if times not in self._reach:
            self._reach[times] = self._ranked.position(self._thresholds.everywhere(times * self._prices))
        ends = self._reach[times][contact]
        ranges = [np.arange(low, high) for low, high in zip(self._reached, ends, strict=True) if low < high]
        if not ranges:
            return np.zeros(0, np.int64)
        self._reached = np.maximum(self._reached, ends)
        fresh: Ints = self._ranked.order[np.concatenate(ranges)]
        fresh = fresh[~self._gathered[fresh] & ~self._sent[fresh]]
        self._gathered[fresh] = True
        return fresh

    def _gains(self, contact: int, groups: Ints) -> Floats:
        """What groups gain per byte over the best of the later contacts; minus infinity where they are worth nothing now."""
        factor, density = self._groups.factor[self._groups.law[groups], contact:], self._density[groups]
        here = factor[:, 0] * density
        later = factor[:, 1:] * density[:, None] - self._prices[contact + 1 :]
        return np.where(here > 0, here - later.max(axis=1, initial=0.0), -np.inf)

    def _in_order(self, contact: int, chosen: Ints) -> Ints:
        """The groups by falling gain, ties by address, none before the one it needs; without those that cannot go now."""
        chosen = np.sort(chosen)
        gains = self._gains(contact, chosen)
        worthy = np.flatnonzero(gains > -np.inf)
        worthy = worthy[self._can_go(chosen[worthy])]
        chosen, gains = chosen[worthy], gains[worthy]
        needed = np.searchsorted(chosen, chosen - 1)
        waits = self._groups.follows[chosen] & ~self._sent[chosen - 1]
        while (eager := waits & (gains > gains[needed])).any():
            gains[eager] = gains[needed[eager]]
        order = chosen[np.argsort(-gains, kind="stable")]
        return order

    def _can_go(self, chosen: Ints) -> Flags:
        """Which of these groups need nothing that is neither on its way nor among them."""
        self._at_hand[chosen] = True
        while True:
            ready = ~self._groups.follows[chosen] | self._sent[chosen - 1] | self._at_hand[chosen - 1]
            lost = chosen[~ready & self._at_hand[chosen]]
            if not len(lost):
                break
            self._at_hand[lost] = False
        kept = self._at_hand[chosen]
        self._at_hand[chosen] = False
        return kept

    def _take(self, contact: int, order: Ints, room: int, *, whole_room: int) -> tuple[int, list[int]]:
        """Groups in order as long as they fit, then smaller ones; bytes left, and the groups that do not fit whole."""
        too_large = []
        while self._rounds_left > 0 and len(order):
            self._rounds_left -= 1
            sizes = np.cumsum(self._size[order])
            count = int(np.searchsorted(sizes, room, side="right"))
            if count:
                room -= int(sizes[count - 1])
                self._group_contact[order[:count]] = contact
                self._sent[order[:count]] = True
            if count == len(order):
                break
            blocker, rest = int(order[count]), order[count + 1 :]
            if self._size[blocker] > whole_room:
                room -= self._cut_to_fit(contact, blocker, room)
            else:
                too_large.append(blocker)
            rest = rest[self._size[rest] <= room]
            order = rest[self._can_go(rest)]
        return room, too_large

    def _cut_to_fit(self, contact: int, group: int, room: int) -> int:
        """Send the first layers of a group, as many as fit; bytes spent."""
        sizes = np.cumsum(self._row_bytes[self._next[group] : self._end[group]])
        count = int(np.searchsorted(sizes, room, side="right"))
        if count:
            self._cut(contact, group, int(self._next[group]) + count)
        return int(sizes[count - 1]) if count else 0

    def _cut(self, contact: int, group: int, stop: int) -> None:
        """Send the rows of a group before `stop`."""
        rows = slice(int(self._next[group]), stop)
        value = self._density[group] * self._size[group] - self._groups.worth[rows].sum()
        self._row_contact[rows] = contact
        self._next[group] = stop
        self._size[group] -= int(self._row_bytes[rows].sum())
        self._sent[group] = stop == self._end[group]
        if not self._sent[group]:
            self._density[group] = max(0.0, value / self._size[group])
