"""The scheduler: how fast it plans, how far from the best, and what that brings: python -m benchmarks.scheduler [--json]

Three tables. *Speed*: a plan of 100,000 layers over 50 contacts from nothing, and again after each kind of event; CPU time of
one core, the least and the median of several runs. *Gap*: the value of plans below the best that divisible layers could reach
(an LP solved by HiGHS; left out where highspy is not installed). *Delivery*: a seeded day of scenes flown under the planner
and under what is done without one, at several capacities. Traces: benchmarks/scheduler_traces.py.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scheduler_flights import alert_latencies_s, choices, dedicated_channel, fly
from benchmarks.scheduler_instances import KINDS, highs_installed, instance, linear_bound
from benchmarks.scheduler_plot import draw
from benchmarks.scheduler_traces import DAY_MS, START_MS, Trace, contacts_of_a_day, day_of_scenes
from downlink.contact_plan import PlannerSettings, plan_downlink
from downlink.contact_planner import ContactPlanner
from downlink.products import Layer
from downlink.requests import LayerRequest
from downlink.scheduler import rank_groups
from mission.streams import Streams

EXACT = PlannerSettings(payload_fraction=1.0)
CAMPAIGN_MS = 5_400_000
DEDICATED = "dedicated alert channel"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedRow:
    """How long one thing takes."""

    what: str
    """The event, or what is made."""
    layers: int
    """Layers in the backlog."""
    least_ms: float
    """CPU milliseconds of the fastest run."""
    median_ms: float
    """CPU milliseconds of the median run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GapRow:
    """How far a plan is from the best."""

    instance: str
    """Kind of backlog."""
    layers: int
    contacts: int
    gap: float
    """1 minus the value of the plan over the LP optimum."""
    bound_gap: float
    """The planner's own bound over the LP optimum, minus 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """What one choice brings down at one capacity."""

    trace: str
    """`day`: scenes all day long; `campaign`: all scenes in the first ninety minutes."""
    choice: str
    capacity_share: float
    """Bytes that all contacts carry over bytes captured."""
    value_share: float
    """Value on the ground, each layer's when it arrived, over the value captured."""
    alerts_down: float
    """Share of alerts that came down."""
    latency_p50_s: float | None
    """Seconds from capture to ground over all alerts, those that never came counted as infinite; None: infinite."""
    latency_p90_s: float | None


def speed_rows(streams: Streams, *, layers: int, contacts: int, runs: int) -> Iterable[SpeedRow]:
    """Full plan, then events."""
    scenes = max(2, layers // 130)
    trace = day_of_scenes(streams, scenes=scenes)
    backlog = trace.layers[:layers]
    now_ms = START_MS + DAY_MS
    windows = [
        replace(one, aos_ms=one.aos_ms + DAY_MS, los_ms=one.los_ms + DAY_MS)
        for one in contacts_of_a_day(
            streams, count=contacts, capacity_bytes=trace.size_bytes // 2, span_ms=DAY_MS * contacts // 12
        )
    ]
    count = len(backlog)

    def row(what: str, spent_ms: Sequence[float]) -> SpeedRow:
        return SpeedRow(what=what, layers=count, least_ms=min(spent_ms), median_ms=statistics.median(spent_ms))

    yield row(
        "full plan, layers to layers",
        [_timed(lambda: plan_downlink(backlog, windows, now_ms=now_ms, settings=EXACT)) for _ in range(runs)],
    )
    yield row("ranking alone, rank_groups", [_timed(lambda: rank_groups(backlog, now_ms))])
    planner = ContactPlanner(EXACT)
    planner.set_contacts(windows)
    planner.add(backlog)
    planner.plan(now_ms)
    fresh = [list(layers) for _, layers in day_of_scenes(Streams(streams.seed + 1), scenes=2 * runs).scenes]
    fresh = [[_moved(layer, scenes + n, now_ms) for layer in layers] for n, layers in enumerate(fresh)]
    taken: list[Layer] = []

    def deliver(number: int) -> Callable[[], None]:
        taken[:] = [layer for _, layer in islice(planner.order(now_ms), 200)]
        return lambda: planner.remove(layer.address for layer in taken)

    def slower(number: int) -> Callable[[], None]:
        changed = [replace(one, downlink_bps=one.downlink_bps * (9 + number % 3) // 10) for one in windows[1:]]
        return lambda: planner.set_contacts(changed)

    def ask(number: int) -> Callable[[], None]:
        wanted = LayerRequest(
            scene=number, first_product=0, last_product=0xFFFF, last_step=3, factor=20.0, until_ms=now_ms + DAY_MS
        )
        return lambda: planner.set_requests([wanted])

    events: dict[str, Callable[[int], Callable[[], None]]] = {
        "a scene comes in": lambda n: lambda: planner.add(fresh[n]),
        "200 layers delivered": deliver,
        "30 layers lost (NAK)": lambda n: lambda: planner.add(taken[:30]),
        "time passes": lambda n: lambda: None,
        "a contact gone, all rates changed": slower,
        "a request": ask,
    }
    for what, event in events.items():
        for scope in ("next contact", "all contacts"):
            spent = []
            for number in range(runs):
                happens = event(number + (runs if scope == "all contacts" else 0))
                now_ms += 1000

                def answer(happens: Callable[[], None] = happens, now_ms: int = now_ms, scope: str = scope) -> None:
                    happens()
                    if scope == "next contact":
                        next(planner.order(now_ms))
                    else:
                        planner.replan(now_ms)

                spent.append(_timed(answer))
            yield row(f"{what}: {scope}", spent)
    yield row("10 MB to give up", [_timed(lambda: planner.evictions(10_000_000, now_ms=now_ms)) for _ in range(1)])


def drift(streams: Streams, *, scenes: int, events: int) -> float:
    """How far a plan made again after every one of so many events, scenes in and layers out, falls below one from nothing."""
    trace = day_of_scenes(streams, scenes=scenes)
    contacts = contacts_of_a_day(streams, count=50, capacity_bytes=trace.size_bytes // 2, span_ms=4 * DAY_MS)
    planner = ContactPlanner(EXACT)
    planner.set_contacts(contacts)
    now_ms = START_MS
    for number, (captured_ms, layers) in enumerate(trace.scenes):
        now_ms = captured_ms
        planner.add(layers)
        if number >= scenes - events:
            planner.remove([layer.address for _, layer in islice(planner.order(now_ms), 100)])
    kept = [layer for _, layer in planner.order(now_ms)]
    full = plan_downlink(kept, contacts, now_ms=now_ms, settings=EXACT)
    return 1 - planner.plan(now_ms).value / full.value


def gap_rows(*, products: int, contacts: int, large: bool) -> Iterable[GapRow]:
    """Each kind of instance against the LP."""
    sizes = [(kind, products, contacts, 0.4) for kind in KINDS]
    if large:
        sizes += [("random", 3 * products, 2 * contacts, share) for share in (0.1, 0.9)]
    for kind, size, windows, share in sizes:
        layers, passes = instance(kind, products=size, contacts=windows, share=share, seed=1)
        plan = plan_downlink(layers, passes, now_ms=START_MS, settings=EXACT)
        best = linear_bound(layers, passes)
        yield GapRow(
            instance=kind,
            layers=len(layers),
            contacts=windows,
            gap=1 - plan.value / best,
            bound_gap=plan.bound / best - 1,
        )


def delivery_rows(name: str, streams: Streams, trace: Trace, shares: Sequence[float]) -> Iterable[DeliveryRow]:
    """Every choice at every capacity, and the alerts of a channel of their own."""
    captured = sum(layer.value for layer in trace.layers)
    for share in shares:
        contacts = contacts_of_a_day(streams, count=12, capacity_bytes=round(share * trace.size_bytes))
        flights = {choice: fly(trace, contacts, how) for choice, how in choices(contacts).items()}
        flights[DEDICATED] = dedicated_channel(trace, contacts)
        for choice, flight in flights.items():
            latencies = alert_latencies_s(trace, flight)
            p50, p90 = (float(np.quantile(latencies, q, method="higher")) for q in (0.5, 0.9))
            yield DeliveryRow(
                trace=name,
                choice=choice,
                capacity_share=share,
                value_share=flight.value / captured,
                alerts_down=float(np.isfinite(latencies).mean()),
                latency_p50_s=p50 if np.isfinite(p50) else None,
                latency_p90_s=p90 if np.isfinite(p90) else None,
            )


def main() -> int:
    """Run, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="small sizes, for tests")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plots", type=Path, help="folder for scheduler_value.svg")
    asked = parser.parse_args()
    streams = Streams(asked.seed)
    speed = list(
        speed_rows(streams, layers=2000 if asked.quick else 100_000, contacts=50, runs=2 if asked.quick else 7)
    )
    drifted = drift(streams, scenes=30 if asked.quick else 700, events=10 if asked.quick else 30)
    gaps: list[GapRow] = []
    if highs_installed():
        gaps = list(
            gap_rows(products=60 if asked.quick else 700, contacts=4 if asked.quick else 10, large=not asked.quick)
        )
    shares = (0.02, 0.1) if asked.quick else (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    tiles = 4 if asked.quick else 18
    day = day_of_scenes(streams, scenes=12 if asked.quick else 120, tiles=tiles)
    campaign = day_of_scenes(streams, scenes=6 if asked.quick else 40, tiles=tiles, span_ms=CAMPAIGN_MS)
    delivery = list(delivery_rows("day", streams, day, shares))
    delivery += delivery_rows("campaign", streams, campaign, shares[1:6:2])
    if asked.plots is not None:
        asked.plots.mkdir(parents=True, exist_ok=True)
        (asked.plots / "scheduler_value.svg").write_text(
            draw([row for row in delivery if row.trace == "day"]), encoding="utf-8"
        )
    if asked.json:
        tables: dict[str, Sequence[Any]] = {"speed": speed, "gap": gaps, "delivery": delivery}
        print(
            json.dumps(
                {"seed": asked.seed} | {name: [asdict(row) for row in rows] for name, rows in tables.items()}, indent=1
            )
        )
    else:
        print(_tables(speed, drifted, gaps, delivery))
    return 0


def _tables(speed: Sequence[SpeedRow], drifted: float, gaps: Sequence[GapRow], delivery: Sequence[DeliveryRow]) -> str:
    lines = [f"{'':48}{'layers':>9}{'least':>10}{'median':>10}   CPU ms"]
    lines += [f"{row.what:48}{row.layers:9}{row.least_ms:10.1f}{row.median_ms:10.1f}" for row in speed]
    lines += ["", f"plan after every event below a plan from nothing: {drifted:.4%}"]
    if gaps:
        lines += ["", f"{'below the LP optimum':32}{'layers':>9}{'contacts':>10}{'plan':>12}{'own bound':>12}"]
        lines += [
            f"{row.instance:32}{row.layers:9}{row.contacts:10}{row.gap:12.4%}{row.bound_gap:+12.4%}" for row in gaps
        ]
    else:
        lines += ["", "gap to the LP optimum: left out, highspy is not installed"]
    lines += [
        "",
        f"{'trace':10}{'capacity':>8}  {'choice':26}{'value':>8}{'/fifo':>8}{'alerts down':>13}{'p50 s':>9}{'p90 s':>9}",
    ]
    fifo = {(row.trace, row.capacity_share): row.value_share for row in delivery if row.choice == "fifo"}
    for row in delivery:
        p50, p90 = (("never" if p is None else f"{p:.0f}") for p in (row.latency_p50_s, row.latency_p90_s))
        value = f"{row.value_share:8.4f}{row.value_share / fifo[row.trace, row.capacity_share]:8.2f}"
        if row.choice == DEDICATED:
            value = " " * 16
        start = f"{row.trace:10}{row.capacity_share:>8.1%}  {row.choice:26}"
        lines.append(f"{start}{value}{row.alerts_down:13.1%}{p50:>9}{p90:>9}")
    return "\n".join(lines)


def _timed(work: Callable[[], object]) -> float:
    """CPU milliseconds of this process."""
    start_s = time.process_time()
    work()
    return (time.process_time() - start_s) * 1000


def _moved(layer: Layer, scene: int, captured_ms: int) -> Layer:
    return replace(layer, address=replace(layer.address, scene=scene), captured_ms=captured_ms)


if __name__ == "__main__":
    sys.exit(main())
