"""Plans over several contacts: what no plan may do, what the best one is worth, bounded waiting, evictions."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import lil_matrix

from downlink.contact import Contact
from downlink.contact_plan import DownlinkPlan, PlannerSettings, plan_downlink
from downlink.errors import ScheduleError
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, FIRST_CHIP, SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from downlink.requests import LayerRequest, apply_requests

NOW_MS = 1_750_000_000_123
HOUR_MS = 3_600_000
ALL_BYTES = PlannerSettings(payload_fraction=1.0)


def layer(product=FIRST_BLOCK, step=0, size_bytes=100, value=1.0, **fields):
    given_fields = {"scene": 1, "half_life_s": 6000.0, "captured_ms": NOW_MS} | fields
    address = LayerAddress(scene=given_fields.pop("scene"), product=product, step=step)
    return Layer(address=address, rung=Rung.REFINEMENT, size_bytes=size_bytes, value=value, **given_fields)


def contact(number, capacity_bytes, aos_ms=None):
    aos_ms = NOW_MS + number * HOUR_MS if aos_ms is None else aos_ms
    return Contact(
        contact_id=number, station="Inuvik", aos_ms=aos_ms, los_ms=aos_ms + 8000, downlink_bps=capacity_bytes,
        uplink_bps=0, one_way_delay_ms=9, frame_loss=0.0,
    )  # fmt: skip


def middle_ms(one):
    return (one.aos_ms + one.los_ms) // 2


def product_of(address):
    return (address.scene, address.product, address.step if address.product == ALERTS_PRODUCT else 0)


STEPS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 90)), min_size=1, max_size=5)
PRODUCTS = st.sampled_from((FIRST_BLOCK, FIRST_BLOCK + 7, FIRST_CHIP + 3, SUMMARY_PRODUCT, ALERTS_PRODUCT))
HALF_LIVES_S = st.sampled_from((10.0, 3600.0, 3601.0, 1e7))
CAPACITIES = st.lists(st.integers(1, 300), min_size=1, max_size=4)


@st.composite
def backlogs(draw):
    """Layers of several products of two scenes: whole or with steps gone, dead or yet to be taken, of one law or of many."""
    layers = []
    for scene, product in draw(st.sets(st.tuples(st.integers(1, 2), PRODUCTS), min_size=1, max_size=6)):
        first, mixed = draw(st.integers(0, 2)), draw(st.booleans())
        half_life_s, captured_ms = draw(HALF_LIVES_S), NOW_MS + draw(st.sampled_from((-HOUR_MS, 0, HOUR_MS // 2)))
        deadline_ms = draw(st.sampled_from((None, NOW_MS + 4000, NOW_MS + HOUR_MS)))
        for index, (size_bytes, value) in enumerate(draw(STEPS)):
            if mixed:
                half_life_s = draw(HALF_LIVES_S)
            layers.append(
                layer(product, first + index, size_bytes, float(value), scene=scene, half_life_s=half_life_s,
                      captured_ms=captured_ms, deadline_ms=deadline_ms)
            )  # fmt: skip
    return layers


REQUESTS = st.lists(
    st.builds(
        LayerRequest,
        scene=st.integers(1, 2),
        first_product=st.just(0),
        last_product=st.sampled_from((FIRST_BLOCK, FIRST_CHIP + 9, ALERTS_PRODUCT)),
        last_step=st.integers(0, 3),
        factor=st.sampled_from((1.0, 3.0, 1e6)),
        until_ms=st.sampled_from((NOW_MS, NOW_MS + HOUR_MS // 2, NOW_MS + 100 * HOUR_MS)),
    ),
    max_size=3,
)
WAITING = st.sampled_from((None, 0.0, 1800.0))


def assert_sound(plan: DownlinkPlan, layers, contacts, payload_fraction=1.0):
    """What holds for every plan."""
    assert [one.contact for one in plan.contacts] == sorted(contacts, key=lambda one: one.aos_ms)
    sent = [one for filled in plan.contacts for one in filled.layers]
    there = {one.address for one in layers}
    assert len({one.address for one in sent}) == len(sent) and {one.address for one in sent} <= there
    gone = {one.address for one in plan.evicted}
    assert not gone & {one.address for one in sent}
    for filled in plan.contacts:
        assert filled.size_bytes == sum(one.size_bytes for one in filled.layers)
        assert filled.size_bytes <= filled.contact.expected_bytes * payload_fraction
        assert all(one.captured_ms < filled.contact.los_ms for one in filled.layers)
        assert all(one.value_at(middle_ms(filled.contact)) >= 0 for one in filled.layers)
        assert not any(one.deadline_ms and one.deadline_ms <= NOW_MS for one in filled.layers)
    seen = set()
    for one in sent:
        earlier = {
            other for other in there if product_of(other) == product_of(one.address) and other.step < one.address.step
        }
        assert earlier <= seen, f"{one.address} goes before {earlier - seen}"
        seen.add(one.address)


@settings(max_examples=100)
@given(backlogs(), CAPACITIES, st.floats(0.2, 1.0), REQUESTS, WAITING)
def test_a_plan_fits_its_contacts_and_sends_no_layer_twice_or_out_of_order(
    layers, capacities, payload_fraction, requests, max_wait_s
):
    contacts = [contact(number, capacity) for number, capacity in enumerate(capacities)]
    chosen = PlannerSettings(payload_fraction=payload_fraction, max_wait_s=max_wait_s, waiting_share=0.3)
    plan = plan_downlink(layers, contacts[::-1], now_ms=NOW_MS, settings=chosen, requests=requests)
    assert_sound(plan, layers, contacts, payload_fraction)
    for filled in plan.contacts:
        raised = (apply_requests([one], requests, middle_ms(filled.contact))[0] for one in filled.layers)
        worth = sum(one.value_at(middle_ms(filled.contact)) for one in raised)
        # A request that is lower than another but ends later takes over only when a plan is made again.
        assert filled.value <= worth * (1 + 1e-9) if len(requests) > 1 else filled.value == pytest.approx(worth)


@settings(max_examples=60)
@given(backlogs(), CAPACITIES, REQUESTS, WAITING, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(layers, capacities, requests, max_wait_s, chance):
    contacts = [contact(number, capacity) for number, capacity in enumerate(capacities)]
    chosen = PlannerSettings(max_wait_s=max_wait_s)
    plan = plan_downlink(layers, contacts, now_ms=NOW_MS, settings=chosen, requests=requests, storage_limit_bytes=150)
    again = plan_downlink(
        chance.sample(layers, len(layers)), contacts[::-1], now_ms=NOW_MS, settings=chosen, requests=requests,
        storage_limit_bytes=150,
    )  # fmt: skip
    assert again == plan


def test_equal_layers_go_in_order_of_address_across_contacts():
    equal = [layer(FIRST_BLOCK + n, scene=scene) for scene in (2, 1) for n in (5, 3, 4)]
    plan = plan_downlink(equal, [contact(0, 400), contact(1, 100)], now_ms=NOW_MS, settings=ALL_BYTES)
    sent = [
        [(one.address.scene, one.address.product - FIRST_BLOCK) for one in filled.layers] for filled in plan.contacts
    ]
    assert sent == [[(1, 3), (1, 4), (1, 5), (2, 3)], [(2, 4)]]


def test_what_a_contact_leaves_behind_goes_into_the_next():
    layers = [layer(step=step, size_bytes=60, value=30.0 - 10 * step) for step in range(3)]
    first, second = plan_downlink(layers, [contact(0, 130), contact(1, 60)], now_ms=NOW_MS, settings=ALL_BYTES).contacts
    assert (first.layers, second.layers) == (tuple(layers[:2]), (layers[2],))


def test_what_keeps_its_value_makes_way_for_what_does_not():
    hasty = layer(ALERTS_PRODUCT, value=9.0, half_life_s=600.0)
    steady = layer(FIRST_CHIP, value=10.0, half_life_s=1e6)  # worth more per byte at once, and in an hour still
    plan = plan_downlink([steady, hasty], [contact(0, 100), contact(1, 100)], now_ms=NOW_MS, settings=ALL_BYTES)
    assert [filled.layers for filled in plan.contacts] == [(hasty,), (steady,)]


def test_a_plan_reckons_with_loss_and_with_scenes_that_are_not_there_yet():
    now = layer(step=0, size_bytes=60, value=9.0)
    later = replace(layer(FIRST_CHIP, size_bytes=60, value=90.0), captured_ms=NOW_MS + 20_000)
    lossy = replace(contact(0, 130), frame_loss=0.5)
    contacts = [lossy, contact(1, 130)]
    first, second = plan_downlink([now, later], contacts, now_ms=NOW_MS, settings=ALL_BYTES).contacts
    assert (first.layers, second.layers) == ((now,), (later,))
    worse = [replace(lossy, frame_loss=0.6)]
    assert plan_downlink([now, later], worse, now_ms=NOW_MS, settings=ALL_BYTES).contacts[0].layers == ()


def test_a_contact_that_goes_on_counts_for_what_is_left_of_it_and_one_that_is_over_not_at_all():
    layers = [layer(FIRST_BLOCK + n, size_bytes=10) for n in range(20)]
    (filled,) = plan_downlink(
        layers, [contact(0, 100), contact(1, 100)], now_ms=NOW_MS + HOUR_MS + 4000, settings=ALL_BYTES
    ).contacts
    assert filled.contact.contact_id == 1 and filled.size_bytes == 50


def test_a_group_larger_than_every_contact_is_spread_over_several():
    steps = [layer(step=step, size_bytes=50, value=0.0 if step == 0 else 10.0) for step in range(6)]
    small = [layer(FIRST_CHIP + n, size_bytes=10, value=0.01) for n in range(40)]
    plan = plan_downlink([*steps, *small], [contact(n, 120) for n in range(3)], now_ms=NOW_MS, settings=ALL_BYTES)
    assert [one for filled in plan.contacts for one in filled.layers if one.address.product == FIRST_BLOCK] == steps
    assert [filled.size_bytes for filled in plan.contacts] == [120, 120, 120]


def test_a_layer_is_not_planned_beyond_its_deadline():
    dying = layer(FIRST_CHIP, value=50.0, deadline_ms=NOW_MS + 2 * HOUR_MS)
    dead = layer(FIRST_CHIP + 1, value=50.0, deadline_ms=NOW_MS)
    other = layer(FIRST_BLOCK, value=60.0, half_life_s=1e7)
    contacts = [contact(1, 100), contact(3, 100)]
    plan = plan_downlink([other, dying, dead], contacts, now_ms=NOW_MS, settings=ALL_BYTES)
    assert [filled.layers for filled in plan.contacts] == [(dying,), (other,)]


# ---- what the best plan is worth


def seeded_backlog(chance, products, *, half_lives_s=(1800.0, 21_600.0, 86_400.0), deadlines=False, largest=4000):
    layers = []
    for number in range(products):
        half_life_s, captured_ms = chance.choice(half_lives_s), NOW_MS - chance.randrange(6 * HOUR_MS)
        deadline_ms = NOW_MS + chance.randrange(8 * HOUR_MS) if deadlines and chance.random() < 0.3 else None
        for step in range(chance.randint(1, 6)):
            size_bytes = chance.randint(20, largest)
            value = size_bytes * chance.lognormvariate(0, 1) / (step + 1)
            layers.append(
                layer(FIRST_BLOCK + number, step, size_bytes, value, half_life_s=half_life_s, captured_ms=captured_ms,
                      deadline_ms=deadline_ms)
            )  # fmt: skip
    return layers


def linear_bound(layers, contacts):
    """The LP relaxation as HiGHS solves it, from the definition: a share of each layer in each contact, never more of a
    step than of the step before it by the end of any contact."""
    count, windows = len(layers), len(contacts)
    worth = [[one.value_at(middle_ms(window)) for window in contacts] for one in layers]
    rows = lil_matrix((windows + count + count * windows, count * windows))
    limits = [float(window.expected_bytes) for window in contacts] + [1.0] * count + [0.0] * (count * windows)
    for index, one in enumerate(layers):
        for window in range(windows):
            rows[window, index * windows + window] = one.size_bytes
            rows[windows + index, index * windows + window] = 1.0
            if one.address.step:
                for before in range(window + 1):
                    rows[windows + count + index * windows + window, index * windows + before] = 1.0
                    rows[windows + count + index * windows + window, (index - 1) * windows + before] = -1.0
    solved = linprog(-np.array(worth).ravel(), A_ub=rows.tocsr(), b_ub=limits, bounds=(0, 1), method="highs")
    assert solved.status == 0
    return -solved.fun


@pytest.mark.parametrize("seed", range(6))
def test_highs_confirms_the_bound_and_finds_little_more_than_the_plan(seed):
    chance = random.Random(seed)
    layers = seeded_backlog(chance, 60, deadlines=seed % 2 == 1)
    total_bytes = sum(one.size_bytes for one in layers)
    contacts = [contact(n, int(total_bytes * chance.uniform(0.02, 0.25))) for n in range(5)]
    plan = plan_downlink(layers, contacts, now_ms=NOW_MS, settings=ALL_BYTES)
    best = linear_bound(layers, contacts)
    assert best * (1 - 1e-9) <= plan.bound <= best * 1.001
    assert 0.985 * best <= plan.value <= best * (1 + 1e-9)  # whole layers: a contact holds a dozen of them


def test_no_enumeration_of_small_backlogs_beats_the_bound_and_the_plan_comes_near_it():
    total, reached = 0.0, 0.0
    for seed in range(16):
        chance = random.Random(seed)
        layers = seeded_backlog(chance, 3, half_lives_s=(1800.0, 86_400.0), largest=60)[:8]
        contacts = [contact(n, chance.randint(40, 150)) for n in range(2)]
        plan = plan_downlink(layers, contacts, now_ms=NOW_MS, settings=ALL_BYTES)
        best = best_by_enumeration(layers, contacts)
        assert plan.value <= best * (1 + 1e-9) and best <= plan.bound * (1 + 1e-9)
        total, reached = total + best, reached + plan.value
    assert reached >= 0.85 * total  # contacts of two layers or three; the gap falls as layers get small


def best_by_enumeration(layers, contacts):
    """Every way to put whole steps into two contacts or none."""
    best = 0.0
    for choice in itertools.product(range(len(contacts) + 1), repeat=len(layers)):
        held = [0] * (len(contacts) + 1)
        for one, window in zip(layers, choice, strict=True):
            held[window] += one.size_bytes
        fits = all(held[n] <= window.expected_bytes for n, window in enumerate(contacts))
        in_order = all(
            before <= after
            for (first, before), (second, after) in itertools.pairwise(zip(layers, choice, strict=True))
            if product_of(first.address) == product_of(second.address)
        )
        if fits and in_order:
            worth = sum(
                one.value_at(middle_ms(contacts[window]))
                for one, window in zip(layers, choice, strict=True)
                if window < len(contacts)
            )
            best = max(best, worth)
    return best


@pytest.mark.parametrize(
    "kind",
    ["random", "equal densities", "steep half-lives", "tiny first contact", "deadlines", "low first steps", "no room"],
)
def test_a_plan_of_small_layers_is_within_a_thousandth_of_its_bound(kind):
    chance = random.Random(kind)
    layers = seeded_backlog(chance, 800, deadlines=kind == "deadlines")
    if kind == "equal densities":
        layers = [replace(one, value=float(one.size_bytes), captured_ms=NOW_MS, half_life_s=9e4) for one in layers]
    if kind == "steep half-lives":
        layers = [replace(one, half_life_s=max(60.0, one.half_life_s / 200)) for one in layers]
    if kind == "low first steps":
        layers = [replace(one, value=0.001 if one.address.step == 0 else one.value) for one in layers]
    share = 0.001 if kind == "no room" else 0.05
    room = int(sum(one.size_bytes for one in layers) * share)
    contacts = [contact(n, 50 if kind == "tiny first contact" and n == 0 else room) for n in range(12)]
    plan = plan_downlink(layers, contacts, now_ms=NOW_MS, settings=ALL_BYTES)
    assert plan.value <= plan.bound
    assert plan.value >= (0.95 if kind == "no room" else 0.999) * plan.bound  # "no room": a layer or two per contact


# ---- bounded waiting


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from((0.05, 0.2, 0.5)))
def test_a_first_layer_that_waits_too_long_is_served_when_the_theorem_says(seed, share):
    chance = random.Random(seed)
    rich = [layer(FIRST_CHIP + n, step, chance.randint(5, 40), 100.0) for n in range(60) for step in range(2)]
    poor = [
        layer(FIRST_BLOCK + n, step, chance.randint(5, 40), 0.01, captured_ms=NOW_MS - chance.randint(1, 9) * HOUR_MS)
        for n in range(12)
        for step in range(3)
    ]
    contacts = [contact(n, chance.randint(60, 200)) for n in range(10)]
    chosen = PlannerSettings(payload_fraction=1.0, max_wait_s=1800.0, waiting_share=share)
    plan = plan_downlink([*rich, *poor], contacts, now_ms=NOW_MS, settings=chosen)
    served = {one.address: n for n, filled in enumerate(plan.contacts) for one in filled.layers}
    first_layers = sorted(
        (one for one in poor if one.address.step == 0), key=lambda one: (one.captured_ms, one.address)
    )
    ahead_bytes = 0
    for one in first_layers:
        shares = list(itertools.accumulate(share * window.expected_bytes for window in contacts))
        due = next((n for n, total in enumerate(shares) if total > ahead_bytes), None)
        if due is not None and all(
            one.size_bytes <= (1 - share) * window.expected_bytes for window in contacts[: due + 1]
        ):
            assert served.get(one.address, 99) <= due
        ahead_bytes += one.size_bytes
    for filled in plan.contacts:
        spent = [one for one in filled.layers if one.address.product < FIRST_CHIP]
        if spent and len(spent) < len(filled.layers):
            assert sum(one.size_bytes for one in spent[:-1]) <= max(
                share * filled.contact.expected_bytes, 40 * len(poor)
            )


def test_value_alone_decides_where_no_wait_is_set_and_overdue_layers_go_half_way_where_it_is():
    rich = [layer(FIRST_CHIP + n, size_bytes=10, value=50.0) for n in range(40)]
    poor = layer(FIRST_BLOCK, size_bytes=10, value=0.1, captured_ms=NOW_MS - 9 * HOUR_MS)
    (filled,) = plan_downlink([poor, *rich], [contact(0, 200)], now_ms=NOW_MS, settings=ALL_BYTES).contacts
    assert poor not in filled.layers
    chosen = PlannerSettings(payload_fraction=1.0, max_wait_s=3600.0, waiting_share=0.05)
    (filled,) = plan_downlink([poor, *rich], [contact(0, 200)], now_ms=NOW_MS, settings=chosen).contacts
    assert filled.layers.index(poor) == 10 and filled.size_bytes == 200


# ---- what to give up


@settings(max_examples=100)
@given(backlogs(), CAPACITIES, st.integers(0, 400))
def test_what_is_given_up_is_enough_and_orphans_no_step(layers, capacities, limit_bytes):
    contacts = [contact(number, capacity) for number, capacity in enumerate(capacities)]
    plan = plan_downlink(layers, contacts, now_ms=NOW_MS, settings=ALL_BYTES, storage_limit_bytes=limit_bytes)
    assert_sound(plan, layers, contacts)
    left_bytes = sum(one.size_bytes for one in layers) - sum(one.size_bytes for one in plan.evicted)
    assert left_bytes <= limit_bytes
    if plan.evicted:
        assert left_bytes + plan.evicted[-1].size_bytes > limit_bytes
    gone = set()
    for one in plan.evicted:
        later = {
            other.address
            for other in layers
            if product_of(other.address) == product_of(one.address) and other.address.step > one.address.step
        }
        assert later <= gone
        gone.add(one.address)


def test_layers_that_no_contact_will_carry_are_given_up_first():
    planned = [layer(FIRST_BLOCK + n, value=1.0 + n) for n in range(3)]
    hopeless = layer(
        FIRST_CHIP, size_bytes=900, value=800.0
    )  # worth more per byte than the least, too large for any contact
    plan = plan_downlink(
        [*planned, hopeless], [contact(0, 300)], now_ms=NOW_MS, settings=ALL_BYTES, storage_limit_bytes=500
    )
    assert plan.evicted == (hopeless,) and len(plan.contacts[0].layers) == 3


# ---- requests and settings


def test_a_request_brings_its_layers_forward_until_it_ends():
    wanted = [layer(FIRST_CHIP, step, 50, 1.0, half_life_s=1e7) for step in range(2)]
    others = [layer(FIRST_BLOCK + n, 0, 50, 2.0, half_life_s=1e7) for n in range(4)]
    contacts = [contact(0, 100), contact(1, 200)]
    request = LayerRequest(
        scene=1,
        first_product=FIRST_CHIP,
        last_product=FIRST_CHIP,
        last_step=0,
        factor=5.0,
        until_ms=NOW_MS + HOUR_MS // 2,
    )
    plan = plan_downlink([*wanted, *others], contacts, now_ms=NOW_MS, settings=ALL_BYTES, requests=[request])
    assert plan.contacts[0].layers[0] == wanted[0] and wanted[1] not in plan.contacts[0].layers
    late = plan_downlink([*wanted, *others], contacts, now_ms=request.until_ms, settings=ALL_BYTES, requests=[request])
    assert late == plan_downlink([*wanted, *others], contacts, now_ms=request.until_ms, settings=ALL_BYTES)


@settings(max_examples=60)
@given(backlogs(), CAPACITIES)
def test_a_request_that_outlasts_all_contacts_is_as_good_as_a_higher_value(layers, capacities):
    contacts = [contact(number, capacity) for number, capacity in enumerate(capacities)]
    request = LayerRequest(
        scene=1, first_product=0, last_product=0xFFFF, last_step=255, factor=7.0, until_ms=NOW_MS + 100 * HOUR_MS
    )
    raised = apply_requests(layers, [request], NOW_MS)
    asked = plan_downlink(layers, contacts, now_ms=NOW_MS, settings=ALL_BYTES, requests=[request])
    valued = plan_downlink(raised, contacts, now_ms=NOW_MS, settings=ALL_BYTES)
    assert asked.bound == pytest.approx(valued.bound, rel=1e-3)
    assert asked.value == pytest.approx(valued.value, rel=0.25, abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"payload_fraction": 0.0}, "payload fraction"),
        ({"payload_fraction": 1.0001}, "payload fraction"),
        ({"payload_fraction": float("nan")}, "payload fraction"),
        ({"max_wait_s": -1.0}, "longest wait"),
        ({"waiting_share": 1.5}, "share"),
        ({"price_rounds": 0}, "rounds"),
    ],
)
def test_impossible_settings_are_refused(fields, match):
    with pytest.raises(ScheduleError, match=match):
        PlannerSettings(**fields)
