"""What the planner is for, on a small day of scenes: value per capacity, alerts on time, close to the best (HiGHS)."""

import pytest

from benchmarks.scheduler import DEDICATED, delivery_rows
from benchmarks.scheduler_instances import instance, linear_bound
from benchmarks.scheduler_traces import START_MS, day_of_scenes
from downlink.contact_plan import PlannerSettings, plan_downlink
from mission.streams import Streams


def test_at_a_tenth_of_the_capacity_value_is_twice_that_of_fifo_and_alerts_are_as_fast_as_on_their_own_channel():
    streams = Streams(5)
    rows = delivery_rows("day", streams, day_of_scenes(streams, scenes=40, tiles=6), [0.1])
    by_choice = {row.choice: row for row in rows}
    planned = by_choice["planned"]
    assert planned.value_share >= 2 * by_choice["fifo"].value_share
    for other in ("priority classes", "whole products"):
        assert planned.value_share > by_choice[other].value_share
    assert planned.value_share >= 0.995 * by_choice["myopic greedy"].value_share
    assert planned.alerts_down == 1.0
    assert planned.latency_p90_s <= by_choice[DEDICATED].latency_p90_s + 1


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        ("random", 0.001),
        ("equal densities", 0.002),
        ("steep half-lives", 0.001),
        ("own half-life each", 0.001),
        ("tiny first contact", 0.001),
        ("deadlines before contacts", 0.001),
        ("deep chains, low first steps", 0.003),
        ("huge layers", 0.006),
        ("mixed laws in a product", 0.01),
    ],
)
def test_plans_of_hard_backlogs_are_close_to_what_highs_finds(kind, most):
    pytest.importorskip("highspy")
    layers, contacts = instance(kind, products=400, contacts=6, share=0.4, seed=3)
    plan = plan_downlink(layers, contacts, now_ms=START_MS, settings=PlannerSettings(payload_fraction=1.0))
    best = linear_bound(layers, contacts)
    assert (1 - most) * best <= plan.value <= best * (1 + 1e-9)
