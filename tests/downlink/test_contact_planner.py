"""The planner on board: after any events it plans as if from nothing, and what it gives to send comes in a sound order."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.contact import Contact
from downlink.contact_plan import PlannerSettings, plan_downlink
from downlink.contact_planner import ContactPlanner
from downlink.errors import ScheduleError
from downlink.layer_table import layer_table
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, FIRST_CHIP, SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from downlink.requests import LayerRequest, apply_requests
from downlink.scheduler import rank_groups

NOW_MS = 1_750_000_000_123
HOUR_MS = 3_600_000
LAWS = {FIRST_BLOCK: 86_400.0, FIRST_CHIP: 21_600.0, SUMMARY_PRODUCT: 86_400.0, ALERTS_PRODUCT: 3600.0}


def scene_layers(scene, chance, captured_ms=NOW_MS, products=12):
    """A scene as it comes from the pipeline: a summary, alerts, chips and blocks in falling steps."""
    layers = []
    for first, count, steps, largest in (
        (SUMMARY_PRODUCT, 1, 1, 800), (ALERTS_PRODUCT, 1, 2, 400), (FIRST_CHIP, products, 4, 900), (FIRST_BLOCK, products, 5, 9000)
    ):  # fmt: skip
        for product, step in itertools.product(range(first, first + count), range(steps)):
            size_bytes = chance.randint(largest // 4, largest)
            value = chance.uniform(0.1, 4.0) / (1 + step) ** 2
            layers.append(
                Layer(
                    address=LayerAddress(scene=scene, product=product, step=step), rung=Rung.REFINEMENT,
                    size_bytes=size_bytes, value=value, half_life_s=LAWS[first], captured_ms=captured_ms,
                )
            )  # fmt: skip
    return layers


def contacts_every_hour(count, room_bytes):
    return [
        Contact(
            contact_id=number, station="Awarua", aos_ms=NOW_MS + (2 * number + 1) * HOUR_MS // 2,
            los_ms=NOW_MS + (2 * number + 1) * HOUR_MS // 2 + 480_000, downlink_bps=max(1, room_bytes * 8 // 480),
            uplink_bps=0, one_way_delay_ms=4, frame_loss=0.0,
        )
        for number in range(count)
    ]  # fmt: skip


def product_of(address):
    return address.scene, address.product, address.step if address.product == ALERTS_PRODUCT else 0


def assert_order_is_sound(order, layers):
    densities = [density for density, _ in order]
    assert densities == sorted(densities, reverse=True)
    assert sorted(one.address for _, one in order) == sorted(one.address for one in layers)
    last_step = {}
    for _, one in order:
        assert last_step.get(product_of(one.address), -1) < one.address.step
        last_step[product_of(one.address)] = one.address.step


EVENTS = st.lists(st.sampled_from(("scene", "delivered", "lost", "contact", "request", "time")), min_size=1, max_size=7)


@settings(max_examples=20)
@given(EVENTS, st.integers(0, 999))
def test_after_any_events_the_plan_is_that_of_a_planner_that_starts_now(events, seed):
    chance = random.Random(seed)
    chosen = PlannerSettings(max_wait_s=chance.choice((None, 7200.0)))
    planner, contacts, requests = ContactPlanner(chosen), contacts_every_hour(8, 60_000), []
    backlog = {one.address: one for scene in range(3) for one in scene_layers(scene, chance)}
    removed: list[Layer] = []
    planner.add(backlog.values())
    planner.set_contacts(contacts)
    now_ms = NOW_MS
    for number, event in enumerate(events):
        if event == "scene":
            fresh = scene_layers(10 + number, chance, captured_ms=now_ms)
            backlog |= {one.address: one for one in fresh}
            planner.add(fresh)
        elif event == "delivered":
            removed = [one for _, one in itertools.islice(planner.order(now_ms), 30)]
            planner.remove(one.address for one in removed)
            for one in removed:
                backlog.pop(one.address)
        elif event == "lost":
            planner.add(removed)
            backlog |= {one.address: one for one in removed}
        elif event == "contact":
            contacts = [
                replace(one, downlink_bps=max(1, int(one.downlink_bps * chance.uniform(0.5, 1.5)))) for one in contacts
            ]
            planner.set_contacts(contacts[number % 2 :])
            contacts = contacts[number % 2 :]
        elif event == "request":
            requests = [
                *requests,
                LayerRequest(scene=1, first_product=1, last_product=chance.randint(1, 0xFFFF), last_step=chance.randint(0, 9),
                             factor=chance.uniform(1, 50), until_ms=now_ms + 3 * HOUR_MS),
            ]  # fmt: skip
            planner.set_requests(requests)
        else:
            now_ms += chance.randint(1, HOUR_MS)
        assert_order_is_sound(list(planner.order(now_ms)), backlog.values())
    plan = planner.plan(now_ms)
    full = plan_downlink(backlog.values(), contacts, now_ms=now_ms, settings=chosen, requests=requests)
    assert len(planner) == len(backlog)
    assert [one.contact for one in plan.contacts] == [one.contact for one in full.contacts]
    assert plan.value >= 0.985 * full.value and plan.bound >= full.value * (1 - 1e-9)
    for filled in plan.contacts:
        assert filled.size_bytes <= filled.contact.expected_bytes * chosen.payload_fraction


def test_a_plan_after_a_hundred_events_is_within_a_thousandth_of_one_made_from_nothing():
    chance = random.Random(7)
    planner, contacts = ContactPlanner(), contacts_every_hour(20, 400_000)
    planner.set_contacts(contacts)
    now_ms = NOW_MS
    for scene in range(100):
        planner.add(scene_layers(scene, chance, captured_ms=now_ms))
        now_ms += 180_000
        sent = itertools.islice(
            planner.order(now_ms), 20 if any(c.aos_ms <= now_ms < c.los_ms for c in contacts) else 0
        )
        planner.remove([one.address for _, one in sent])
    plan = planner.plan(now_ms)
    full = plan_downlink([one for _, one in planner.order(now_ms)], contacts, now_ms=now_ms, settings=planner.settings)
    assert plan.value >= 0.999 * full.value
    assert plan.value >= 0.999 * full.bound


def test_the_order_begins_with_what_is_planned_for_the_contact_that_goes_on():
    chance = random.Random(3)
    layers = [one for scene in range(4) for one in scene_layers(scene, chance)]
    planner = ContactPlanner()
    planner.add(layers)
    planner.set_contacts(contacts_every_hour(6, 50_000))
    now_ms = NOW_MS + HOUR_MS // 2 + 1000
    planned = planner.plan(now_ms).contacts[0].layers
    assert tuple(one for _, one in itertools.islice(planner.order(now_ms), len(planned))) == planned
    fewer = list(planner.order(now_ms, committed_bytes=30_000))
    kept = [one for one in planned if one in [other for _, other in fewer[: len(planned)]]]
    assert len(kept) < len(planned)
    assert_order_is_sound(fewer, layers)


def test_without_contacts_the_backlog_is_ranked_by_value_per_byte():
    chance = random.Random(5)
    layers = [one for scene in range(3) for one in scene_layers(scene, chance)]
    planner = ContactPlanner()
    planner.add(layers)
    expected = [one for group in rank_groups(layers, NOW_MS) for one in group.layers]
    order = list(planner.order(NOW_MS))
    assert [one for _, one in order] == expected
    assert planner.evictions(1, now_ms=NOW_MS) == (expected[-1],)
    assert [density for density, _ in order] == pytest.approx(
        [group.density for group in rank_groups(layers, NOW_MS) for _ in group.layers]
    )


def test_alerts_come_first_because_of_their_value():
    chance = random.Random(11)
    planner = ContactPlanner()
    for scene in range(5):
        planner.add(scene_layers(scene, chance))
    planner.set_contacts(contacts_every_hour(4, 20_000))
    alerts = [
        Layer(
            address=LayerAddress(scene=9, product=ALERTS_PRODUCT, step=step), rung=Rung.ALERT, size_bytes=460,
            value=16.0, half_life_s=3600.0, captured_ms=NOW_MS,
        )
        for step in range(2)
    ]  # fmt: skip
    planner.add(alerts)
    assert [one for _, one in itertools.islice(planner.order(NOW_MS), 2)] == alerts


def test_an_empty_planner_has_nothing_to_send_and_nothing_to_give_up():
    planner = ContactPlanner()
    planner.set_contacts(contacts_every_hour(3, 1000))
    assert list(planner.order(NOW_MS)) == [] and planner.evictions(100, now_ms=NOW_MS) == ()
    assert planner.plan(NOW_MS).value == 0 and [one.layers for one in planner.plan(NOW_MS).contacts] == [()] * 3


@settings(max_examples=30)
@given(st.integers(0, 999), st.integers(1, 40_000))
def test_layers_on_their_way_and_what_they_build_on_are_never_given_up(seed, excess_bytes):
    chance = random.Random(seed)
    layers = scene_layers(1, chance, products=4)
    planner = ContactPlanner()
    planner.set_contacts(contacts_every_hour(3, 9000))
    planner.add(layers)
    flying = {one.address for one in chance.sample(layers, 5)}
    gone = planner.evictions(excess_bytes, now_ms=NOW_MS, kept=flying)
    needed = {
        one.address
        for one in layers
        for other in flying
        if product_of(one.address) == product_of(other) and one.address.step <= other.step
    }
    assert not needed & {one.address for one in gone}
    free_bytes = sum(one.size_bytes for one in layers if one.address not in needed)
    assert sum(one.size_bytes for one in gone) >= min(excess_bytes, free_bytes)
    planner.remove(one.address for one in gone)
    assert_order_is_sound(list(planner.order(NOW_MS)), [one for one in layers if one not in gone])


@pytest.mark.parametrize("seed", range(40))
def test_a_table_that_was_added_to_and_taken_from_is_the_table_of_what_is_left(seed):
    chance = random.Random(seed)
    layers = scene_layers(1, chance, products=3) + scene_layers(2, chance, products=2)
    gone = chance.sample(layers, chance.randint(0, 30))
    back = chance.sample(gone, chance.randint(0, len(gone)))
    table = layer_table(chance.sample(layers, len(layers))).without(one.address for one in gone)
    table = table.with_layers(back).with_layers(back)
    left = [one for one in layers if one not in gone or one in back]
    fresh = layer_table(left)
    assert list(table.layers) == list(fresh.layers) == sorted(left, key=lambda one: one.address)
    for column in ("keys", "size_bytes", "value", "joined", "captured_ms", "deadline_ms"):
        assert np.array_equal(getattr(table, column), getattr(fresh, column))


def test_the_groups_of_a_table_are_the_hulls_that_ranking_finds():
    chance = random.Random(2)
    layers = [replace(one, value=chance.choice((0.0, one.value))) for n in range(20) for one in scene_layers(n, chance)]
    table = layer_table(layers)
    groups = [[one.address for one in group.layers] for group in rank_groups(layers, NOW_MS)]
    starts = [*np.flatnonzero(~table.joined), len(table)]
    found = [[one.address for one in table.layers[a:b]] for a, b in itertools.pairwise(starts)]
    assert sorted(found) == sorted(groups)


# ---- requests


def test_of_several_requests_the_largest_counts_and_none_lowers_a_value():
    one = Layer(
        address=LayerAddress(scene=7, product=FIRST_CHIP + 2, step=1), rung=Rung.CHIP, size_bytes=10, value=3.0,
        half_life_s=60.0, captured_ms=NOW_MS,
    )  # fmt: skip
    request = LayerRequest(
        scene=7, first_product=FIRST_CHIP, last_product=FIRST_CHIP + 2, last_step=1, factor=4.0, until_ms=NOW_MS + 5
    )
    weaker = replace(request, factor=2.0, until_ms=NOW_MS + 50)
    assert apply_requests([one], [weaker, request, weaker], NOW_MS)[0].value == 12.0
    assert apply_requests([one], [weaker, request], NOW_MS + 5)[0].value == 6.0
    for other in ({"scene": 8}, {"last_product": FIRST_CHIP + 1}, {"first_product": FIRST_CHIP + 2, "last_step": 0}):
        assert apply_requests([one], [replace(request, **other)], NOW_MS) == (one,)


@pytest.mark.parametrize(
    "fields",
    [
        {"scene": -1}, {"scene": 1 << 32}, {"first_product": 3, "last_product": 2}, {"last_product": 0x10000},
        {"last_step": 256}, {"factor": 0.5}, {"factor": float("nan")}, {"factor": 1e7}, {"until_ms": -1}, {"until_ms": 1 << 63},
    ],
)  # fmt: skip
def test_an_impossible_request_is_refused(fields):
    possible = {"scene": 1, "first_product": 0, "last_product": 5, "last_step": 9, "factor": 2.0, "until_ms": 9}
    with pytest.raises(ScheduleError, match="request"):
        LayerRequest(**(possible | fields))
