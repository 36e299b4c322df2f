"""One trace flown under several ways to choose what goes next: the planner, and what is done without it.

The radio sends layer by layer at a constant rate. Every choice is made anew at the beginning of a contact and when a scene comes
in; a layer that is interrupted, by a better one or by the end of a contact, goes on later where it was. A layer counts with
its value at the moment its last byte is sent.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from benchmarks.scheduler_traces import Trace
from downlink.contact import Contact
from downlink.contact_plan import PlannerSettings
from downlink.contact_planner import ContactPlanner
from downlink.products import Layer, LayerAddress, Rung

MOST_OF_A_CONTACT = 0.1
"""Share of a contact in which the dedicated channel gets rid of the most alerts that ever wait."""
LONGEST_WAIT_S = 21_600.0
"""First layers that have waited longer claim a twentieth of each contact, in the choice that bounds the wait."""


class Choice(Protocol):
    """A way to choose."""

    def arrive(self, layers: Sequence[Layer]) -> None: ...

    def leave(self, address: LayerAddress) -> None: ...

    def order(self, now_ms: int) -> Iterator[Layer]: ...


class Fifo:
    """In the order in which the pipeline made them; with `classes` the rungs of the ladder one after the other."""

    def __init__(self, *, classes: bool = False) -> None:
        self._classes = classes
        self._waiting: dict[Rung | None, dict[LayerAddress, Layer]] = defaultdict(dict)
        self._class_of: dict[LayerAddress, Rung | None] = {}

    def arrive(self, layers: Sequence[Layer]) -> None:
        for layer in layers:
            rung = layer.rung if self._classes else None
            self._waiting[rung][layer.address] = layer
            self._class_of[layer.address] = rung

    def leave(self, address: LayerAddress) -> None:
        del self._waiting[self._class_of.pop(address)][address]

    def order(self, now_ms: int) -> Iterator[Layer]:
        for rung in sorted(self._waiting, key=lambda one: one or 0):
            yield from list(self._waiting[rung].values())


class WholeProducts:
    """Products by value per byte of all their steps together, each sent whole."""

    def __init__(self) -> None:
        self._products: dict[tuple[int, int], dict[LayerAddress, Layer]] = defaultdict(dict)

    def arrive(self, layers: Sequence[Layer]) -> None:
        for layer in layers:
            self._products[layer.address.scene, layer.address.product][layer.address] = layer

    def leave(self, address: LayerAddress) -> None:
        steps = self._products[address.scene, address.product]
        del steps[address]
        if not steps:
            del self._products[address.scene, address.product]

    def order(self, now_ms: int) -> Iterator[Layer]:
        def density(steps: dict[LayerAddress, Layer]) -> float:
            return sum(layer.value_at(now_ms) for layer in steps.values()) / sum(
                layer.size_bytes for layer in steps.values()
            )

        for steps in sorted(self._products.values(), key=density, reverse=True):
            yield from list(steps.values())


class Planned:
    """The planner; without contacts it ranks by value per byte at the moment (myopic greedy)."""

    def __init__(self, contacts: Sequence[Contact], settings: PlannerSettings) -> None:
        self._planner = ContactPlanner(settings)
        self._planner.set_contacts(contacts)
        self._gone: list[LayerAddress] = []

    def arrive(self, layers: Sequence[Layer]) -> None:
        self._planner.add(layers)

    def leave(self, address: LayerAddress) -> None:
        self._gone.append(address)

    def order(self, now_ms: int) -> Iterator[Layer]:
        self._planner.remove(self._gone)
        self._gone.clear()
        return (layer for _, layer in self._planner.order(now_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """What a choice brought down."""

    value: float
    """Points, each layer's at the moment it was down."""
    arrived_ms: dict[LayerAddress, int]
    """When each layer was down."""


def choices(contacts: Sequence[Contact]) -> dict[str, Choice]:
    """All ways to choose, by name."""
    planned = PlannerSettings(payload_fraction=1.0, new_scene_share=0.5)
    return {
        "fifo": Fifo(),
        "priority classes": Fifo(classes=True),
        "whole products": WholeProducts(),
        "myopic greedy": Planned((), planned),
        "planned": Planned(contacts, planned),
        "planned, wait bounded": Planned(contacts, replace(planned, max_wait_s=LONGEST_WAIT_S, waiting_share=0.05)),
    }


def fly(trace: Trace, contacts: Sequence[Contact], choice: Choice) -> Flight:
    """All contacts in order of time."""
    scenes = list(reversed(trace.scenes))
    left_bytes = {layer.address: float(layer.size_bytes) for layer in trace.layers}
    value, arrived_ms = 0.0, {}
    for contact in contacts:
        now_ms, stale = float(contact.aos_ms), True
        order: Iterator[Layer] = iter(())
        while now_ms < contact.los_ms:
            while scenes and scenes[-1][0] <= now_ms:
                choice.arrive(scenes.pop()[1])
                stale = True
            if stale:
                order, stale = choice.order(round(now_ms)), False
            until_ms = min(contact.los_ms, scenes[-1][0]) if scenes else contact.los_ms
            layer = next(order, None)
            if layer is None:
                now_ms = until_ms
                continue
            finish_ms = now_ms + left_bytes[layer.address] * 8000 / contact.downlink_bps
            if finish_ms > until_ms:
                left_bytes[layer.address] -= (until_ms - now_ms) * contact.downlink_bps / 8000
                now_ms, stale = until_ms, True
                continue
            now_ms = finish_ms
            choice.leave(layer.address)
            value += layer.value_at(round(now_ms))
            arrived_ms[layer.address] = round(now_ms)
    return Flight(value=value, arrived_ms=arrived_ms)


def alert_latencies_s(trace: Trace, flight: Flight) -> np.ndarray:
    """(alerts,) seconds from capture to ground; infinite for those that never came."""
    return np.array(
        [
            (flight.arrived_ms[layer.address] - layer.captured_ms) / 1000
            if layer.address in flight.arrived_ms
            else np.inf
            for layer in trace.layers
            if layer.rung is Rung.ALERT
        ]
    )


def dedicated_channel(trace: Trace, contacts: Sequence[Contact]) -> Flight:
    """Alerts alone, first in first out, on a channel of their own.

    Its rate is what empties the longest queue of alerts that ever waits for a contact in a tenth of the shortest contact.
    """
    alerts = Trace(
        scenes=tuple(
            (time_ms, tuple(layer for layer in layers if layer.rung is Rung.ALERT)) for time_ms, layers in trace.scenes
        )
    )
    queues, before_ms = [], 0
    for contact in contacts:
        waiting = [
            layer for time_ms, layers in alerts.scenes if before_ms < time_ms <= contact.los_ms for layer in layers
        ]
        queues.append(sum(layer.size_bytes for layer in waiting))
        before_ms = contact.los_ms
    shortest_s = min(contact.duration_ms for contact in contacts) / 1000 * MOST_OF_A_CONTACT
    rate_bps = min(contacts[0].downlink_bps, max(1, round(max(queues) * 8 / shortest_s)))
    return fly(alerts, [replace(contact, downlink_bps=rate_bps) for contact in contacts], Fifo())
