"""The ranking of layers: order inside products, value per byte, and the optimum as an enumeration and HiGHS find it."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from downlink.contact import Contact
from downlink.errors import LayerError, ScheduleError
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, FIRST_CHIP, SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from downlink.scheduler import hull_groups, plan, rank, rank_groups, worst_first

NOW_MS = 1_750_000_000_123


def layer(product=FIRST_BLOCK, step=0, size_bytes=100, value=1.0, **fields):
    given_fields = {"scene": 1, "half_life_s": 600.0, "captured_ms": NOW_MS} | fields
    address = LayerAddress(scene=given_fields.pop("scene"), product=product, step=step)
    return Layer(address=address, rung=Rung.REFINEMENT, size_bytes=size_bytes, value=value, **given_fields)


def contact(number, capacity_bytes, aos_ms=NOW_MS):
    return Contact(
        contact_id=number, station="Inuvik", aos_ms=aos_ms, los_ms=aos_ms + 8000, downlink_bps=capacity_bytes,
        uplink_bps=0, one_way_delay_ms=9, frame_loss=0.0,
    )  # fmt: skip


STEPS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 90)), min_size=1, max_size=4)
PRODUCTS = st.sampled_from((FIRST_BLOCK, FIRST_BLOCK + 7, FIRST_CHIP + 3, SUMMARY_PRODUCT, ALERTS_PRODUCT))


@st.composite
def backlogs(draw, max_products=4):
    """Layers of several products of two scenes, whole or with their first steps gone."""
    layers = []
    for scene, product in draw(st.sets(st.tuples(st.integers(1, 2), PRODUCTS), min_size=1, max_size=max_products)):
        first = draw(st.integers(0, 2))
        half_life_s = draw(st.sampled_from((10.0, 3600.0)))
        for index, (size_bytes, value) in enumerate(draw(STEPS)):
            layers.append(layer(product, first + index, size_bytes, float(value), scene=scene, half_life_s=half_life_s))
    return layers


def product_of(one):
    return one.address.scene, one.address.product


@given(backlogs(), st.integers(0, 100_000))
def test_every_layer_is_ranked_once_and_no_step_before_those_it_needs(layers, age_ms):
    order = rank(layers, NOW_MS + age_ms)
    assert sorted(one.address for one in order) == sorted(one.address for one in layers)
    for product, steps in itertools.groupby(sorted(order, key=product_of), key=product_of):
        if product[1] != ALERTS_PRODUCT:
            numbers = [one.address.step for one in steps]
            assert numbers == sorted(numbers)


@given(backlogs(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(layers, chance):
    shuffled = chance.sample(layers, len(layers))
    assert rank(shuffled, NOW_MS) == rank(layers, NOW_MS)
    assert worst_first(shuffled, NOW_MS) == rank(layers, NOW_MS)[::-1]


@given(STEPS, st.integers(0, 50_000))
def test_groups_of_a_product_hold_all_steps_at_strictly_falling_density(steps, age_ms):
    product = [layer(step=n, size_bytes=size, value=float(value)) for n, (size, value) in enumerate(steps)]
    groups = hull_groups(product, NOW_MS + age_ms)
    assert [one for group in groups for one in group.layers] == product
    densities = [group.density for group in groups]
    assert all(before > after for before, after in itertools.pairwise(densities))
    for group in groups:
        assert group.size_bytes == sum(one.size_bytes for one in group.layers)
        assert group.value == pytest.approx(sum(one.value_at(NOW_MS + age_ms) for one in group.layers))


def test_a_worthless_step_is_pulled_up_by_the_one_it_opens():
    dull, bright = layer(step=0, size_bytes=10, value=0.5), layer(step=1, size_bytes=30, value=39.5)
    other = layer(FIRST_CHIP, size_bytes=100, value=99.0)
    assert [group.layers for group in hull_groups([dull, bright], NOW_MS)] == [(dull, bright)]
    assert rank([other, bright, dull], NOW_MS) == (dull, bright, other)


def test_value_falls_by_half_each_half_life_and_turns_the_order_round():
    alert = layer(ALERTS_PRODUCT, size_bytes=100, value=8.0, half_life_s=60.0)
    picture = layer(FIRST_CHIP, size_bytes=100, value=3.0, half_life_s=6000.0)
    assert alert.value_at(NOW_MS + 120_000) == pytest.approx(2.0)
    assert alert.value_at(NOW_MS - 5_000) == 8.0
    assert rank([picture, alert], NOW_MS) == (alert, picture)
    assert rank([picture, alert], NOW_MS + 120_000) == (picture, alert)


def test_equal_layers_go_in_order_of_address():
    equal = [layer(FIRST_BLOCK + n, scene=scene) for scene in (2, 1) for n in (5, 3, 4)]
    assert [(one.address.scene, one.address.product) for one in rank(equal, NOW_MS)] == [
        (scene, FIRST_BLOCK + n) for scene in (1, 2) for n in (3, 4, 5)
    ]


def test_a_step_that_overtook_an_earlier_one_leaves_a_gap_that_is_ranked_all_the_same():
    left = [layer(step=step, value=9.0 - step) for step in (0, 1, 3)]  # step 2 came down in another file
    assert rank(reversed(left), NOW_MS) == tuple(left)


def best_by_enumeration(layers, capacity_bytes):
    """The largest value of any choice of prefixes, one per product, that fits: nothing but the definition."""
    products = [
        sorted(steps, key=lambda one: one.address)
        for _, steps in itertools.groupby(sorted(layers, key=lambda one: one.address), key=product_of)
    ]
    best = 0.0
    for lengths in itertools.product(*(range(len(product) + 1) for product in products)):
        chosen = [one for product, length in zip(products, lengths, strict=True) for one in product[:length]]
        if sum(one.size_bytes for one in chosen) <= capacity_bytes:
            best = max(best, sum(one.value_at(NOW_MS) for one in chosen))
    return best


def without_alerts(layers):
    return [one for one in layers if one.address.product != ALERTS_PRODUCT]


@settings(max_examples=60)
@given(backlogs().map(without_alerts).filter(bool))
def test_a_contact_that_ends_between_groups_has_carried_the_best_that_fits(layers):
    size_bytes, value = 0, 0.0
    for group in rank_groups(layers, NOW_MS):
        size_bytes, value = size_bytes + group.size_bytes, value + group.value
        assert value == pytest.approx(best_by_enumeration(layers, size_bytes))


def linear_bound(layers, capacity_bytes):
    """The LP relaxation, as HiGHS solves it: a share of each prefix, the shares of a product at most 1 together."""
    products = [list(steps) for _, steps in itertools.groupby(sorted(layers, key=lambda one: one.address), product_of)]
    sizes, values, owner = [], [], []
    for number, product in enumerate(products):
        sizes += list(itertools.accumulate(one.size_bytes for one in product))
        values += list(itertools.accumulate(one.value_at(NOW_MS) for one in product))
        owner += [number] * len(product)
    one_each = np.array([[float(each == number) for each in owner] for number in range(len(products))])
    solved = linprog(
        -np.array(values), A_ub=np.vstack([one_each, sizes]), b_ub=[*np.ones(len(products)), capacity_bytes]
    )
    assert solved.status == 0
    return -solved.fun


@pytest.mark.parametrize("seed", range(12))
def test_highs_finds_no_more_than_the_order_of_groups_gives(seed):
    chance = random.Random(seed)
    layers = [
        layer(FIRST_BLOCK + product, step, chance.randint(20, 4000), chance.uniform(0.0, 50.0) / (step + 1))
        for product in range(30)
        for step in range(chance.randint(1, 6))
    ]
    capacity_bytes = chance.randint(1000, 100_000)
    bound = linear_bound(layers, capacity_bytes)
    value, left_bytes, largest = 0.0, capacity_bytes, 0.0
    for group in rank_groups(layers, NOW_MS):
        largest = max(largest, group.value)
        if group.size_bytes > left_bytes:
            relaxed = value + group.density * left_bytes
            break
        value, left_bytes = value + group.value, left_bytes - group.size_bytes
    else:
        relaxed = value
    assert relaxed == pytest.approx(bound)
    assert bound - largest <= value <= bound + 1e-9


@given(backlogs(), st.lists(st.integers(1, 300), min_size=1, max_size=3), st.floats(0.2, 1.0))
def test_a_plan_fits_its_contacts_and_sends_no_layer_twice_or_out_of_order(layers, capacities, payload_fraction):
    contacts = [contact(n, capacity, NOW_MS + 100_000 * n) for n, capacity in enumerate(capacities)]
    planned = plan(layers, contacts[::-1], now_ms=NOW_MS, payload_fraction=payload_fraction)
    assert [one.contact for one in planned] == contacts
    sent = [one for filled in planned for one in filled.layers]
    assert len({one.address for one in sent}) == len(sent)
    for filled in planned:
        assert filled.size_bytes == sum(one.size_bytes for one in filled.layers)
        assert filled.size_bytes <= filled.contact.capacity_bytes * (1 - filled.contact.frame_loss) * payload_fraction
        assert all(one.captured_ms < filled.contact.los_ms for one in filled.layers)
    there = {one.address for one in layers}
    seen = set()
    for one in sent:
        previous = one.address.previous
        assert previous is None or previous in seen or previous not in there
        seen.add(one.address)


def test_what_a_contact_leaves_behind_goes_into_the_next():
    layers = [layer(step=step, size_bytes=60, value=30.0 - 10 * step) for step in range(3)]
    first, second = plan(layers, [contact(0, 130), contact(1, 60, NOW_MS + 9000)], now_ms=NOW_MS, payload_fraction=1.0)
    assert (first.layers, second.layers) == (tuple(layers[:2]), (layers[2],))


def test_a_plan_reckons_with_loss_and_with_scenes_that_are_not_there_yet():
    now = layer(step=0, size_bytes=60, value=9.0)
    later = replace(layer(FIRST_CHIP, size_bytes=60, value=90.0), captured_ms=NOW_MS + 20_000)
    lossy = replace(contact(0, 130), frame_loss=0.5)
    first, second = plan([now, later], [lossy, contact(1, 130, NOW_MS + 30_000)], now_ms=NOW_MS, payload_fraction=1.0)
    assert (first.layers, second.layers) == ((now,), (later,))
    assert plan([now, later], [replace(lossy, frame_loss=0.6)], now_ms=NOW_MS, payload_fraction=1.0)[0].layers == ()


def test_a_product_is_left_at_its_first_step_that_does_not_fit_and_others_fill_the_rest():
    wide = [layer(step=0, size_bytes=50, value=50.0), layer(step=1, size_bytes=80, value=70.0)]
    late = layer(step=2, size_bytes=10, value=1.0)
    small = layer(FIRST_CHIP, size_bytes=40, value=0.1)
    (filled,) = plan([*wide, late, small], [contact(0, 100)], now_ms=NOW_MS, payload_fraction=1.0)
    assert filled.layers == (wide[0], small)


@pytest.mark.parametrize("payload_fraction", [0.0, -0.5, 1.0001, float("nan")])
def test_an_impossible_payload_fraction_is_refused(payload_fraction):
    with pytest.raises(ScheduleError, match="payload fraction"):
        plan([], [], now_ms=NOW_MS, payload_fraction=payload_fraction)


@pytest.mark.parametrize(
    "fields",
    [{"size_bytes": 0}, {"value": -0.1}, {"value": float("nan")}, {"value": float("inf")}, {"half_life_s": 0.0}],
)
def test_a_layer_with_impossible_numbers_is_refused(fields):
    with pytest.raises(LayerError, match="bytes must be at least 1"):
        layer(**fields)
