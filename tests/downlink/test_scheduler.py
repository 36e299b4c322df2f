"""The ranking of layers: order inside products, value per byte, and the optimum as an enumeration and HiGHS find it."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from downlink.errors import LayerError
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, FIRST_CHIP, SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from downlink.scheduler import hull_groups, rank, rank_groups

NOW_MS = 1_750_000_000_123


def layer(product=FIRST_BLOCK, step=0, size_bytes=100, value=1.0, **fields):
    given_fields = {"scene": 1, "half_life_s": 600.0, "captured_ms": NOW_MS} | fields
    address = LayerAddress(scene=given_fields.pop("scene"), product=product, step=step)
    return Layer(address=address, rung=Rung.REFINEMENT, size_bytes=size_bytes, value=value, **given_fields)


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


@given(STEPS, st.integers(0, 50_000))
@example([(1, 0), (4, 32), (10, 73), (5, 35)], 7934)
def test_groups_of_a_product_hold_all_steps_at_strictly_falling_density(steps, age_ms):
    product = [layer(step=n, size_bytes=size, value=float(value)) for n, (size, value) in enumerate(steps)]
    groups = hull_groups(product, NOW_MS + age_ms)
    assert [one for group in groups for one in group.layers] == product
    densities = [group.density for group in groups]
    # Values decay by floating-point factors: groups of equal density may differ in the last digit, and then stay apart.
    assert all(before > after * (1 - 1e-12) for before, after in itertools.pairwise(densities))
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


@pytest.mark.parametrize(
    "fields",
    [{"size_bytes": 0}, {"value": -0.1}, {"value": float("nan")}, {"value": float("inf")}, {"half_life_s": 0.0}],
)
def test_a_layer_with_impossible_numbers_is_refused(fields):
    with pytest.raises(LayerError, match="bytes must be at least 1"):
        layer(**fields)
