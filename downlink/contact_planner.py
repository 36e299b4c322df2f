"""The planner on board: it keeps the backlog as a table and the prices of the last plan, and plans again after every event.

Its owner tells it what comes and goes, and asks what to send now and what to give up. A plan is made when it is asked for:
whatever happened in between is planned once. Prices of the last plan are the first guess of the next, so that one or two
rounds find them again; whole layers are then put into the contacts as in a plan made from nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from downlink.backlog_price import backlog_price
from downlink.contact import Contact
from downlink.contact_groups import Windows, windows_at
from downlink.contact_plan import BacklogPlan, DownlinkPlan, PlannerSettings, downlink_plan, evictions, plan_backlog
from downlink.layer_table import Floats, layer_table
from downlink.products import Layer, LayerAddress
from downlink.requests import LayerRequest

WELL_KNOWN: Final = 0.5
"""Share of the contacts whose prices must be known for a short search."""


class ContactPlanner:
    """A backlog that is planned over the coming contacts. With no contact known it is ranked by value per byte."""

    def __init__(self, settings: PlannerSettings | None = None) -> None:
        self.settings = settings or PlannerSettings()
        self._table = layer_table(())
        self._contacts: tuple[Contact, ...] = ()
        self._requests: tuple[LayerRequest, ...] = ()
        self._prices: dict[int, float] = {}
        self._plan: BacklogPlan | None = None
        self._plan_key: tuple[int, int, bool] | None = None

    def __len__(self) -> int:
        return len(self._table)

    def add(self, layers: Iterable[Layer]) -> None:
        """Layers that wait from now on; those whose address is known already are passed over."""
        self._table = self._table.with_layers(layers)
        self._plan_key = None

    def remove(self, addresses: Iterable[LayerAddress]) -> None:
        """Layers that wait no more: on their way, delivered or given up. Unknown addresses are passed over."""
        self._table = self._table.without(addresses)
        self._plan_key = None

    def set_contacts(self, contacts: Sequence[Contact]) -> None:
        """All contacts known from now on, in any order; those that are over are passed over when a plan is made."""
        self._contacts = tuple(contacts)
        self._plan_key = None

    def set_requests(self, requests: Iterable[LayerRequest]) -> None:
        """All requests that hold from now on."""
        self._requests = tuple(requests)
        self._plan_key = None

    def order(self, now_ms: int, *, committed_bytes: int = 0) -> Iterator[tuple[float, Layer]]:
        """Every layer in the order of sending, with a value per byte that never rises along the order.

        First what is planned for the contact that goes on, or for the next one where none does; then the rest by value per
        byte, for a contact that carries more than expected. `committed_bytes` of the contact are spoken for, by files under
        way for instance. Each layer comes with the value per byte of its group now, or of the best that comes after it where
        that is more: what may overtake it must beat both.
        """
        plan = self._planned(now_ms, committed_bytes=committed_bytes, all_contacts=False)
        density = plan.density_now()
        planned = plan.rows_of(0) if len(plan.windows) else np.zeros(0, np.int64)
        rest = np.ones(len(plan.table), np.bool_)
        rest[planned] = False
        floor = float(density[rest].max(initial=0.0))
        shown = np.maximum(np.maximum.accumulate(density[planned][::-1])[::-1], floor)
        yield from zip(shown.tolist(), plan.table.layers[planned], strict=True)
        rows = np.flatnonzero(rest)
        rows = rows[np.argsort(-density[rows], kind="stable")]
        yield from zip(density[rows].tolist(), plan.table.layers[rows], strict=True)

    def evictions(self, excess_bytes: int, *, now_ms: int, kept: Collection[LayerAddress] = ()) -> tuple[Layer, ...]:
        """Layers to give up, in order, until they hold at least `excess_bytes`: those whose loss costs the plan least.

        `kept` layers (on their way, whether the planner knows them or not) and the steps they need are never among them.
        """
        if excess_bytes <= 0:
            return ()
        return evictions(self._planned(now_ms, committed_bytes=0, all_contacts=True), excess_bytes, kept)

    def plan(self, now_ms: int) -> DownlinkPlan:
        """What every coming contact is to carry."""
        return downlink_plan(self.replan(now_ms))

    def replan(self, now_ms: int) -> BacklogPlan:
        """The same as numbers of rows and contacts."""
        return self._planned(now_ms, committed_bytes=0, all_contacts=True)

    def price(self, now_ms: int, *, committed_bytes: int = 0) -> float:
        """Points per byte at which the backlog fills the next contacts, as many as `PlannerSettings.contacts_ahead` says."""
        windows = windows_at(
            self._contacts,
            now_ms=now_ms,
            payload_fraction=self.settings.payload_fraction,
            committed_bytes=committed_bytes,
        )
        contacts_ahead = self.settings.contacts_ahead
        return backlog_price(
            self._table, windows, now_ms=now_ms, requests=self._requests, contacts_ahead=contacts_ahead
        )

    def _planned(self, now_ms: int, *, committed_bytes: int, all_contacts: bool) -> BacklogPlan:
        key = (now_ms, committed_bytes, all_contacts)
        if self._plan is None or self._plan_key != key:
            windows = windows_at(
                self._contacts,
                now_ms=now_ms,
                payload_fraction=self.settings.payload_fraction,
                committed_bytes=committed_bytes,
            )
            self._plan = plan_backlog(
                self._table,
                windows,
                now_ms=now_ms,
                settings=self.settings,
                requests=self._requests,
                prices=self._known_prices(windows),
                contacts=None if all_contacts else 1,
            )
            self._plan_key = key
            prices = self._plan.prices.prices.tolist()
            self._prices = {contact.contact_id: price for contact, price in zip(windows.contacts, prices, strict=True)}
        return self._plan

    def _known_prices(self, windows: Windows) -> Floats | None:
        """(c,) prices of the last plan, those of new contacts from their neighbours; None where too few are known."""
        known = np.array([contact.contact_id in self._prices for contact in windows.contacts], np.bool_)
        if not known.any() or known.mean() < WELL_KNOWN:
            return None
        prices = [
            self._prices[contact.contact_id] for contact in windows.contacts if contact.contact_id in self._prices
        ]
        return np.interp(windows.middle_ms, windows.middle_ms[known], prices)
