"""What a plan over several contacts is made of: groups of steps, and what each is worth in each contact (pure).

A group's value per byte in a contact is its value per byte now times a factor that depends on its *law* alone: half-life,
deadline, request, and for a scene that is yet to be taken the time of capture. There are few laws, so prices can be found
law by law instead of layer by layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from downlink.contact import Contact
from downlink.layer_table import NEVER_MS, Flags, Floats, Ints, LayerTable, joined_steps
from downlink.requests import LayerRequest

LAWS_LIMIT: Final = 256
"""Above it half-lives are told apart less finely."""
BINS_PER_OCTAVE: Final = (64, 16, 4, 1)
"""How finely half-lives are told apart, the finest first. In one bin all decay as one of them does, but only for the
choice of a contact: what a plan is worth is reckoned with each layer's own half-life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """The coming contacts in order of AOS, as a planner sees them at one moment."""

    contacts: tuple[Contact, ...]
    """(c,)"""
    middle_ms: Ints
    """(c,) the moment that stands for the contact: the middle of what is left of it. Never falls."""
    room_bytes: Ints
    """(c,) bytes of layers that are expected to arrive in what is left of it."""

    def __len__(self) -> int:
        return len(self.contacts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Groups of steps in order of address, and the laws by which they lose their value."""

    first: Ints
    """(g,) row of the group's first layer; its last is the row before the next group's first."""
    size_bytes: Floats
    """(g,)"""
    largest_bytes: Ints
    """(g,) the largest layer of the group."""
    density: Floats
    """(g,) value per byte now, over the boost."""
    follows: Flags
    """(g,) whether the group needs the one before it."""
    law: Ints
    """(g,) row of `factor`."""
    factor: Floats
    """(laws, c) what the value per byte is multiplied by in each contact; 0 where the layer is not there yet, or dead."""
    boost: Floats
    """(g,) what a request multiplies the value of the group's most valuable step by now."""
    worth: Floats
    """(n,) value of each layer of the table now, over the boost of its group."""
    request_of_row: Ints
    """(n,) number of the request that raises each layer of the table, counted from 1; 0 where none does."""

    def __len__(self) -> int:
        return len(self.first)


def windows_at(
    contacts: Sequence[Contact], *, now_ms: int, payload_fraction: float, committed_bytes: int = 0
) -> Windows:
    """The contacts that are not over at `now_ms`. Of one that goes on, the expected bytes count in proportion to the time left.

    `committed_bytes` of the first one are spoken for already.
    """
    coming = sorted((one for one in contacts if one.los_ms > now_ms), key=lambda one: (one.aos_ms, one.contact_id))
    starts = [max(now_ms, one.aos_ms) for one in coming]
    expected = [
        one.expected_bytes * (one.los_ms - start) // one.duration_ms for one, start in zip(coming, starts, strict=True)
    ]
    rooms = [int(size_bytes * payload_fraction) for size_bytes in expected]
    rooms[:1] = [max(0, room - committed_bytes) for room in rooms[:1]]
    middles = np.array([(start + one.los_ms) // 2 for one, start in zip(coming, starts, strict=True)], np.int64)
    return Windows(
        contacts=tuple(coming), middle_ms=np.maximum.accumulate(middles), room_bytes=np.array(rooms, np.int64)
    )


def groups_at(table: LayerTable, windows: Windows, requests: Sequence[LayerRequest], now_ms: int) -> Groups:
    """Groups of all layers of the table, with their worth at `now_ms` and in each of the contacts."""
    asked = _request_of_rows(table, requests, now_ms)
    boost_of_row = boosts_at(requests, now_ms)[asked]
    worth = table.values_at(now_ms) * boost_of_row
    joined, mixed = _joined_at(table, worth, asked)
    first = np.flatnonzero(~joined)
    speaker = _speaker(first, worth, mixed)
    law, speaker_of_law = _laws(table, windows, asked, speaker, now_ms)
    sizes, boost = _sums(table.size_bytes.astype(np.float64), first), boost_of_row[speaker]
    worth /= np.repeat(boost, np.diff(first, append=len(table)))
    return Groups(
        first=first,
        size_bytes=sizes,
        largest_bytes=np.maximum.reduceat(table.size_bytes, first) if len(first) else first,
        density=_sums(worth, first) / sizes,
        follows=table.continues()[first],
        law=law,
        factor=_factors(table, windows, requests, asked, speaker_of_law, now_ms),
        boost=boost,
        worth=worth,
        request_of_row=asked,
    )


def boosts_at(requests: Sequence[LayerRequest], moment_ms: int) -> Floats:
    """(requests + 1,) factor of each request at a moment, after a 1 for layers that no request names."""
    return np.array([1.0, *(request.factor if moment_ms < request.until_ms else 1.0 for request in requests)])


def _request_of_rows(table: LayerTable, requests: Sequence[LayerRequest], now_ms: int) -> Ints:
    """(n,) number of the largest request that names the row, counted from 1; 0 where none does."""
    asked = np.zeros(len(table), np.int64)
    largest = np.ones(len(table))
    for number, request in enumerate(requests, start=1):
        if now_ms >= request.until_ms:
            continue
        low = request.scene << 24 | request.first_product << 8
        high = request.scene << 24 | request.last_product << 8 | 0xFF
        start, stop = np.searchsorted(table.keys, [low, high + 1])
        rows = start + np.flatnonzero((table.keys[start:stop] & 0xFF) <= request.last_step)
        rows = rows[largest[rows] < request.factor]
        asked[rows], largest[rows] = number, request.factor
    return asked


def _joined_at(table: LayerTable, worth: Floats, asked: Ints) -> tuple[Flags, bool]:
    """(n,) whether a row belongs to the group before it; and whether any product's steps follow different laws.

    The groups of such products are formed anew from what their steps are worth now.
    """
    differs = table.decays_unlike_previous()
    differs[1:] |= (asked[1:] != asked[:-1]) & table.continues()[1:]
    if not differs.any():
        return table.joined, False
    rows = np.isin(table.product, np.unique(table.product[differs]))
    joined = table.joined.copy()
    joined[rows] = joined_steps(table.size_bytes[rows], worth[rows], table.continues()[rows])
    return joined, True


def _speaker(first: Ints, worth: Floats, mixed: bool) -> Ints:
    """(g,) the row whose law the group follows: where laws may differ within a group, that of its most valuable step."""
    if not mixed or not len(first):
        return first
    group = np.repeat(np.arange(len(first)), np.diff(first, append=len(worth)))
    most = np.maximum.reduceat(worth, first)[group]
    speaker: Ints = np.minimum.reduceat(np.where(worth == most, np.arange(len(worth)), len(worth)), first)
    return speaker


def _laws(table: LayerTable, windows: Windows, asked: Ints, speaker: Ints, now_ms: int) -> tuple[Ints, Ints]:
    """(g,) the law of each group, and (laws,) a row that follows it."""
    captured, deadline = table.captured_ms[speaker], table.deadline_ms[speaker]
    others = asked[speaker]
    future = np.flatnonzero(captured > now_ms)
    if len(future):
        others[future] += (int(asked.max()) + 1) * (1 + np.unique(captured[future], return_inverse=True)[1])
    mortal = np.flatnonzero(deadline != NEVER_MS)
    if len(mortal):
        others = _numbered(others) * (len(windows) + 2)
        others[mortal] += 1 + np.searchsorted(windows.middle_ms, deadline[mortal])
    others = _numbered(others)
    law = _numbered(others * len(table) + _half_life_codes(table.half_life_s[speaker], None))
    for bins in BINS_PER_OCTAVE:
        if law.max(initial=0) < LAWS_LIMIT:
            break
        law = _numbered(others * len(table) + _half_life_codes(table.half_life_s[speaker], bins))
    speaker_of_law = np.zeros(int(law.max(initial=-1)) + 1, np.int64)
    speaker_of_law[law[::-1]] = speaker[::-1]
    return law, speaker_of_law


def _factors(
    table: LayerTable, windows: Windows, requests: Sequence[LayerRequest], asked: Ints, rows: Ints, now_ms: int
) -> Floats:
    """(laws, c) value in each contact over value now, for the laws that `rows` follow."""
    los_ms = np.array([contact.los_ms for contact in windows.contacts], np.int64)
    captured = table.captured_ms[rows][:, None]
    age_s = np.maximum(0, windows.middle_ms - np.maximum(captured, now_ms)) / 1000
    factor = np.exp2(-age_s / table.half_life_s[rows][:, None])
    factor[(captured >= los_ms) | (windows.middle_ms >= table.deadline_ms[rows][:, None])] = 0.0
    boosts = [boosts_at(requests, middle_ms) for middle_ms in windows.middle_ms.tolist()]
    return factor * np.reshape(boosts, (len(windows), len(requests) + 1)).T[asked[rows]]


def _half_life_codes(half_life_s: Floats, bins_per_octave: int | None) -> Ints:
    """Equal numbers, below the count of half-lives, for half-lives that are equal, or that share a bin."""
    octaves = np.log2(half_life_s)
    bins = np.floor(octaves * (bins_per_octave or BINS_PER_OCTAVE[0])).astype(np.int64)
    codes = _numbered(bins - bins.min(initial=0))
    if bins_per_octave is None:
        one_of = np.zeros(int(codes.max(initial=-1)) + 1)
        one_of[codes] = half_life_s
        if (one_of[codes] != half_life_s).any():
            return np.unique(half_life_s, return_inverse=True)[1]
    return codes


def _numbered(codes: Ints) -> Ints:
    """The codes, 0 or more, renumbered without gaps."""
    span = int(codes.max(initial=0)) + 1
    if span > max(1 << 16, 8 * len(codes)):
        return np.unique(codes, return_inverse=True)[1]
    used = np.zeros(span, np.bool_)
    used[codes] = True
    numbers: Ints = np.cumsum(used) - 1
    return numbers[codes]


def _sums(column: Floats, first: Ints) -> Floats:
    return np.add.reduceat(column, first) if len(first) else np.zeros(0)
