"""What to send in which of the coming contacts, in which order, and what to give up when the store is full (pure).

Values decay, so a layer is worth less in a later contact, and the contacts compete for the best layers through prices
(`contact_prices`); then whole layers are put into the contacts one after the other (`contact_fill`). Alerts go first because
their value per byte is highest and falls fastest, not because a rule says so. Within a contact layers go in order of value
per byte; ties are broken by address, so that a plan is a function of its input whatever the order it comes in.

**Bounded waiting.** Let `max_wait_s` and `waiting_share` be set. Let L be the first layer of a product, still worth something,
that waits for longer than `max_wait_s`, and B the bytes of the waiting first layers that were captured before it. If every
contact from then on carries what is planned at its beginning, L is served at the latest in the first contact n for which
the shares of contacts 1 to n together exceed B, provided that L is no larger than (1 - waiting_share) of the room of each of
them. Proof: a contact serves overdue layers, the longest waiting first, until their bytes reach its share. While L is not
served, each contact has spent its share on layers captured before L, since L would have fitted; so the shares together do
not exceed B. The rule takes from a contact its share and one layer at most.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from downlink.contact import Contact
from downlink.contact_demand import sort_groups
from downlink.contact_fill import NOT_PLANNED, ContactFill, overdue_layers
from downlink.contact_groups import Groups, Windows, boosts_at, groups_at, windows_at
from downlink.contact_prices import PriceList, find_prices, price_bound
from downlink.errors import ScheduleError
from downlink.layer_table import NEVER_MS, Flags, Floats, Ints, LayerTable, address_key, layer_table
from downlink.products import ALERTS_PRODUCT, Layer, LayerAddress
from downlink.requests import LayerRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerSettings:
    """How to plan, validated at birth (raises ScheduleError)."""

    payload_fraction: float = 0.97
    """Share of the expected bytes of a contact that is left for layers after headers and idle time, above 0, at most 1."""
    max_wait_s: float | None = None
    """First layers of products that have waited longer than this are served before others; None: value alone decides."""
    waiting_share: float = 0.05
    """Share of each contact that such layers may claim, 0 to 1."""
    new_scene_share: float = 0.0
    """Share of every contact but the first that scenes not yet taken are expected to claim, 0 to 1 (excluded). It makes waiting
    less attractive and leaves no room unused. 0 for a backlog to which nothing is added; 0.5 suits a camera at work."""
    contacts_ahead: int = 2
    """How many coming contacts, the current one included, set the price under which nothing more is made for them; 1 or more."""
    price_rounds: int = 16
    """Rounds of the search for prices at most, when a plan is made from nothing."""
    replan_rounds: int = 2
    """Rounds at most when prices of an earlier plan are known."""
    price_tolerance: float = 2e-5
    """Difference between bound and value of divisible layers at which the search ends, as a share of the bound."""

    def __post_init__(self) -> None:
        if not 0 < self.payload_fraction <= 1:
            raise ScheduleError(f"payload fraction {self.payload_fraction} must lie above 0 and at most 1")
        if self.max_wait_s is not None and not self.max_wait_s >= 0:
            raise ScheduleError(f"longest wait {self.max_wait_s} s: give 0 or more, or None for no limit")
        if not 0 <= self.waiting_share <= 1:
            raise ScheduleError(f"share {self.waiting_share} for layers that have waited too long is not in 0..1")
        if not 0 <= self.new_scene_share < 1:
            raise ScheduleError(f"share {self.new_scene_share} for scenes not yet taken is not in 0..1 (1 excluded)")
        if self.contacts_ahead < 1:
            raise ScheduleError(f"{self.contacts_ahead} contacts ahead set no price: give 1 or more")
        if self.price_rounds < 1 or self.replan_rounds < 1 or not self.price_tolerance > 0:
            raise ScheduleError(
                f"{self.price_rounds} and {self.replan_rounds} rounds at a tolerance of {self.price_tolerance}: "
                "a search for prices needs at least one round and a tolerance above 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPlan:
    """What one contact is planned to carry, in order."""

    contact: Contact
    """The pass."""
    layers: tuple[Layer, ...]
    """First to last."""
    size_bytes: int
    """Bytes of those layers."""
    value: float
    """What they are worth in the middle of the contact, requests included."""
    price: float
    """Points per byte that more room in this contact would bring; 0 where it is not full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownlinkPlan:
    """A plan of all coming contacts."""

    contacts: tuple[ContactPlan, ...]
    """In order of AOS; contacts that are over are left out."""
    evicted: tuple[Layer, ...]
    """What to give up so that the rest fits the store, in order."""
    value: float
    """What all contacts carry together is worth."""
    bound: float
    """No plan for the layers that are kept is worth more, where the steps of each product share one half-life, deadline and
    request (as the pipeline makes them) and half-lives are not too many to tell apart; an estimate where not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogPlan:
    """A plan of all coming contacts as numbers of rows and contacts: what orders and evictions are read from."""

    table: LayerTable
    """The backlog, n layers."""
    windows: Windows
    """The coming contacts."""
    groups: Groups
    """The groups of the backlog."""
    prices: PriceList
    """Prices of the contacts, and the bound on the value of any plan."""
    contact_of_row: Ints
    """(n,) which contact each row goes into, or NOT_PLANNED."""
    group_of_row: Ints
    """(n,)"""
    requests: tuple[LayerRequest, ...]
    """What `groups.request_of_row` counts."""
    patience_ends_ms: Ints
    """(n,) from when on a first layer of a product is overdue, NEVER_MS for all others."""

    def rows_of(self, contact: int) -> Ints:
        """Rows planned for a contact in the order of sending.

        By falling value per byte, ties by address. Overdue layers start no later than half way: behind what is worth most,
        and before the part that is lost when a contact carries less than expected.
        """
        rows = np.flatnonzero(self.contact_of_row == contact)
        rows = rows[np.argsort(-self.density_now()[rows], kind="stable")]
        sizes = self.table.size_bytes[rows]
        late = np.cumsum(sizes) * 2 > sizes.sum()
        overdue = self.patience_ends_ms[rows] <= self.windows.middle_ms[contact]
        return np.concatenate([rows[~late], rows[late & overdue], rows[late & ~overdue]])

    def density_now(self) -> Floats:
        """(n,) value per byte of the row's group, requests included."""
        density: Floats = (self.groups.density * self.groups.boost)[self.group_of_row]
        return density

    def value_of(self, contact: int, rows: Ints) -> float:
        """What rows are worth together in the middle of a contact, requests included."""
        middle_ms = int(self.windows.middle_ms[contact])
        worth = self.table.values_at(middle_ms, rows)
        return float(worth @ boosts_at(self.requests, middle_ms)[self.groups.request_of_row[rows]])


def plan_downlink(
    layers: Iterable[Layer],
    contacts: Sequence[Contact],
    *,
    now_ms: int,
    settings: PlannerSettings | None = None,
    requests: Sequence[LayerRequest] = (),
    storage_limit_bytes: int | None = None,
) -> DownlinkPlan:
    """What each of the coming contacts should carry, and what a store of `storage_limit_bytes` has to give up.

    Layers that fit no contact, and those that are worth nothing by then, are in none of them.
    """
    settings = settings or PlannerSettings()
    table = layer_table(layers)
    windows = windows_at(contacts, now_ms=now_ms, payload_fraction=settings.payload_fraction)
    plan = plan_backlog(table, windows, now_ms=now_ms, settings=settings, requests=requests)
    evicted: tuple[Layer, ...] = ()
    if storage_limit_bytes is not None and table.size_bytes.sum() > storage_limit_bytes:
        evicted = evictions(plan, int(table.size_bytes.sum()) - storage_limit_bytes)
        rest = table.without(layer.address for layer in evicted)
        plan = plan_backlog(
            rest, windows, now_ms=now_ms, settings=settings, requests=requests, prices=plan.prices.prices
        )
    return downlink_plan(plan, evicted)


def downlink_plan(plan: BacklogPlan, evicted: tuple[Layer, ...] = ()) -> DownlinkPlan:
    """The plan in layers instead of numbers."""
    filled = tuple(_contact_plan(plan, number) for number in range(len(plan.windows)))
    return DownlinkPlan(
        contacts=filled, evicted=evicted, value=sum(one.value for one in filled), bound=plan.prices.bound
    )


def plan_backlog(
    table: LayerTable,
    windows: Windows,
    *,
    now_ms: int,
    settings: PlannerSettings,
    requests: Sequence[LayerRequest] = (),
    prices: Floats | None = None,
    contacts: int | None = None,
) -> BacklogPlan:
    """A plan from a table.

    `prices` (c,) of an earlier plan shorten the search. With `contacts` whole layers are put only into the first so many,
    which get the same as in a full plan: the later ones then count through their prices alone.
    """
    groups = groups_at(table, windows, requests, now_ms)
    ranked = sort_groups(groups, windows.room_bytes)
    room_bytes = windows.room_bytes.astype(np.float64)
    contested = room_bytes.copy()
    contested[1:] *= 1 - settings.new_scene_share
    found = find_prices(
        ranked,
        groups.factor,
        contested,
        first_guess=np.zeros(len(windows)) if prices is None else prices,
        rounds=settings.price_rounds if prices is None else settings.replan_rounds,
        tolerance=settings.price_tolerance,
    )
    if settings.new_scene_share:
        found = replace(found, bound=price_bound(ranked, groups.factor, room_bytes, found.prices))
    patience_ends_ms = _patience_ends_ms(table, settings)
    fill = ContactFill(table, groups, ranked, found.prices)
    overdue = overdue_layers(patience_ends_ms, groups, settings.waiting_share)
    return BacklogPlan(
        table=table,
        windows=windows,
        groups=groups,
        prices=found,
        contact_of_row=fill.fill(windows.room_bytes, windows.middle_ms, overdue, contacts),
        group_of_row=np.repeat(np.arange(len(groups)), np.diff(groups.first, append=len(table))),
        requests=tuple(requests),
        patience_ends_ms=patience_ends_ms,
    )


def evictions(plan: BacklogPlan, excess_bytes: int, kept: Collection[LayerAddress] = ()) -> tuple[Layer, ...]:
    """Layers to give up, in order, until they hold at least `excess_bytes`: those whose loss costs the plan least per byte.

    A layer that is in no contact costs the plan nothing; one that is costs what it gains there over the price of its bytes,
    for which others take its place. Among equals the least value per byte now goes first. No layer goes before the steps
    that need it, and the `kept` (layers on their way) and the steps they need are never given up.
    """
    if excess_bytes <= 0 or not len(plan.table):
        return ()
    order = _cheapest_first(plan)
    order = order[~_needed_for(plan.table, kept)[order]]
    held = np.cumsum(plan.table.size_bytes[order])
    count = min(len(order), int(np.searchsorted(held, excess_bytes)) + 1)
    return tuple(plan.table.layers[order[:count]])


def _cheapest_first(plan: BacklogPlan) -> Ints:
    """All rows by what their loss costs the plan, later steps of a product before earlier ones."""
    count = len(plan.table)
    planned = plan.contact_of_row != NOT_PLANNED
    contact, group = plan.contact_of_row[planned], plan.group_of_row[planned]
    there = plan.groups.density[group] * plan.groups.factor[plan.groups.law[group], contact]
    loss = np.full(count, -1.0)  # what is in no contact goes before the least of what is
    loss[planned] = np.maximum(0.0, there - plan.prices.prices[contact])
    # All sorts from the last row on, so that ties end with later steps and later addresses first.
    order = np.argsort(plan.density_now()[::-1], kind="stable")
    order = count - 1 - order[np.argsort(loss[::-1][order], kind="stable")]
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    # A step waits for the later steps of its product: it takes the largest rank from the product's end up to it.
    starts = ~plan.table.continues()[::-1]
    product: Ints = np.cumsum(starts) - starts
    latest = np.maximum.accumulate(rank[::-1] + product * count) - product * count
    cheapest: Ints = count - 1 - np.argsort(latest, kind="stable")
    return cheapest


def _needed_for(table: LayerTable, kept: Collection[LayerAddress]) -> Flags:
    """(n,) rows that are kept, or that a kept layer builds on."""
    highest: dict[int, int] = {}
    needed = np.zeros(len(table), np.bool_)
    for key in sorted(address_key(address) for address in kept):
        highest[key >> 8] = key
    for product, key in highest.items():
        start = np.searchsorted(table.keys, key if product & 0xFFFF == ALERTS_PRODUCT else product << 8)
        needed[start : np.searchsorted(table.keys, key, side="right")] = True
    return needed


def _contact_plan(plan: BacklogPlan, contact: int) -> ContactPlan:
    rows = plan.rows_of(contact)
    return ContactPlan(
        contact=plan.windows.contacts[contact],
        layers=tuple(plan.table.layers[rows]),
        size_bytes=int(plan.table.size_bytes[rows].sum()),
        value=plan.value_of(contact, rows),
        price=float(plan.prices.prices[contact]),
    )


def _patience_ends_ms(table: LayerTable, settings: PlannerSettings) -> Ints:
    ends = np.full(len(table), NEVER_MS)
    if settings.max_wait_s is not None:
        alerts = (table.keys >> 8) & 0xFFFF == ALERTS_PRODUCT
        first = np.flatnonzero(alerts | (table.keys & 0xFF == 0))
        ends[first] = table.captured_ms[first] + round(settings.max_wait_s * 1000)
    return ends
