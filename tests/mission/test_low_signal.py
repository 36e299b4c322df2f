"""Unequal coding of the low-signal benchmark: the budget, the order within a product, what arrives at a signal."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.low_signal import lowest_level_db
from benchmarks.low_signal_coding import (
    FRAME_BYTES,
    CodedClass,
    Prior,
    arrived_layers,
    codewords_of_span,
    expected_value,
    hull_units,
    protect,
)
from benchmarks.low_signal_curves import LEVELS_DB, Curve
from benchmarks.low_signal_scene import Quality
from downlink.modcod import DVB_S2, modcod_named

PRIOR = Prior(low_db=-3.0, high_db=10.0)
PAYLOAD = 0.95

products = st.lists(
    st.lists(st.tuples(st.integers(1, 20_000), st.floats(0.001, 50)), min_size=1, max_size=5), min_size=1, max_size=8
)


def units_of(sized):
    units, layer = [], 0
    for number, steps in enumerate(sized):
        layers = range(layer, layer + len(steps))
        layer += len(steps)
        units += hull_units(number, layers, [size for size, _ in steps], [value for _, value in steps])
    return units


@given(products)
def test_hulls_keep_everything_and_fall(sized):
    units = units_of(sized)
    assert sum(unit.size_bytes for unit in units) == sum(size for steps in sized for size, _ in steps)
    assert [layer for unit in units for layer in unit.layers] == list(range(sum(map(len, sized))))
    for former, latter in pairwise(units):
        if former.product == latter.product:
            assert latter.position == former.position + 1
            assert former.density >= latter.density * (1 - 1e-9)


@settings(max_examples=8, deadline=None)
@given(products, st.integers(1, 40))
def test_protection_keeps_to_the_budget_and_to_the_order_of_a_product(sized, budget):
    symbols = budget * 40_000
    classes = protect(units_of(sized), symbols=symbols, prior=PRIOR, payload_fraction=PAYLOAD)
    assert sum(one.symbols(PAYLOAD) for one in classes) <= symbols
    thresholds = {(unit.product, unit.position): one.modcod.threshold_db for one in classes for unit in one.units}
    assert len(thresholds) == sum(len(one.units) for one in classes)
    for product, position in thresholds:
        if position:
            assert thresholds[product, position - 1] <= thresholds[product, position]


@settings(max_examples=6, deadline=None)
@given(products, st.integers(2, 20))
def test_unequal_coding_is_worth_nearly_all_that_any_uniform_one_is(sized, budget):
    symbols, units = budget * 40_000, units_of(sized)
    unequal = expected_value(protect(units, symbols=symbols, prior=PRIOR, payload_fraction=PAYLOAD), PRIOR)
    largest = max(unit.value for unit in units)
    for modcod in DVB_S2:
        uniform = CodedClass(modcod=modcod)
        for unit in sorted(units, key=lambda unit: -unit.density):
            uniform.units.append(unit)
            if uniform.symbols(PAYLOAD) > symbols:
                uniform.units.pop()
                break
        assert unequal >= expected_value([uniform], PRIOR) - largest  # a Lagrangian may miss by one unit


def test_value_decides_who_is_protected_more():
    sized = [[(300, 40.0)], [(15_000, 10.0), (40_000, 1.0)]]
    classes = protect(units_of(sized), symbols=900_000, prior=PRIOR, payload_fraction=PAYLOAD)
    threshold_db = {unit.layers: one.modcod.threshold_db for one in classes for unit in one.units}
    assert threshold_db[0,] <= threshold_db[1,] < threshold_db[2,]


def test_a_weak_signal_brings_the_robust_class_alone():
    weak = CodedClass(modcod=modcod_named("QPSK 1/4"), units=units_of([[(5_000, 9.0)]]))
    strong = CodedClass(modcod=modcod_named("8PSK 3/4"), units=hull_units(1, [1], [60_000], [1.0]))
    chances = [np.full(one.codewords(PAYLOAD), 0.5) for one in (weak, strong)]
    arrived = [arrived_layers([weak, strong], level, chances, PAYLOAD) for level in (-4.0, 0.0, 9.0)]
    assert arrived == [frozenset(), {0}, {0, 1}]


def test_one_lost_codeword_takes_the_layers_that_touch_it():
    modcod = modcod_named("QPSK 1/2")
    units = [unit for number in range(6) for unit in hull_units(number, [number], [3000], [1.0])]
    coded = CodedClass(modcod=modcod, units=units)
    draws = np.ones(coded.codewords(PAYLOAD))
    draws[1] = -1.0  # lost at any signal
    arrived = arrived_layers([coded], 20.0, [draws], PAYLOAD)
    for unit, start in zip(units, np.arange(6) * 3000 / PAYLOAD, strict=True):
        first, last = codewords_of_span(modcod, start, start + 3000 / PAYLOAD)
        assert (unit.layers[0] in arrived) == (not first <= 1 < last)
    assert 0 < len(arrived) < 6
    assert codewords_of_span(modcod, 0.0, FRAME_BYTES) == (0, 1)


def test_a_quality_is_reached_from_a_level_on():
    recalls = [1.0 if level >= 2.0 or level == -1.0 else 0.0 for level in LEVELS_DB]
    points = tuple(Quality(recall=recall, roi_psnr_db=1.0, scene_psnr_db=1.0) for recall in recalls)
    curve = Curve(name="some", ours=True, modcods={}, points=points)
    assert lowest_level_db(curve, lambda quality: quality.recall > 0.5) == 2.0
    assert lowest_level_db(curve, lambda quality: quality.roi_psnr_db > 2) is None
