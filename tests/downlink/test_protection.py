"""Protection by value: chances against simulation, monotony, optimality against an exhaustive search."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from downlink.errors import ProtectionError
from downlink.frame_loss import LossBelief, LossCount, expected_loss
from downlink.protection import (
    DECODED_AT,
    Demand,
    ProtectionQueue,
    SentSymbols,
    best_object_symbols,
    choose_symbols,
    decode_chances,
    decoded_chance,
    protection_steps,
    symbols_at_price,
    uniform_symbols,
)

beliefs = st.builds(
    LossBelief,
    mean=st.floats(0.001, 0.6),
    weight_frames=st.floats(2, 5000),
)


def simulated_chance(source_symbols: int, symbols: int, belief: LossBelief, trials: int = 40_000) -> float:
    """Draw a loss, then losses, then whether so many symbols decode."""
    rng = np.random.default_rng([source_symbols, symbols])
    heard = rng.binomial(symbols, 1 - rng.beta(belief.lost_weight, belief.heard_weight, trials))
    decoded = np.cumsum(DECODED_AT)
    chances = np.where(heard >= source_symbols, decoded[np.clip(heard - source_symbols, 0, 2)], 0.0)
    return float(chances.mean())


@pytest.mark.parametrize(("source_symbols", "symbols"), [(2, 2), (2, 4), (10, 14), (16, 28), (64, 90), (64, 110)])
@pytest.mark.parametrize(("mean", "weight"), [(0.05, 1e5), (0.3, 1e5), (0.3, 15.0)])
def test_chances_agree_with_simulation(source_symbols: int, symbols: int, mean: float, weight: float) -> None:
    belief = LossBelief(mean=mean, weight_frames=weight)
    chances = decode_chances(source_symbols, belief)
    found = float(chances[min(symbols, len(chances) - 1)])
    # 40,000 draws: three standard deviations; the simulation leaves out that source symbols alone always decode.
    assert found == pytest.approx(simulated_chance(source_symbols, symbols, belief), abs=0.0075 + 1 / 220)


def test_chances_agree_with_the_binomial_tail() -> None:
    """Where the loss is all but certain, against an independent sum."""
    belief = LossBelief(mean=0.2, weight_frames=1e5)
    for symbols in (20, 24, 28):
        tail = sum(math.comb(symbols, k) * 0.8**k * 0.2 ** (symbols - k) for k in range(21, symbols + 1))
        exact = math.comb(symbols, 20) * 0.8**20 * 0.2 ** (symbols - 20) * DECODED_AT[0]
        assert decode_chances(20, belief)[symbols] == pytest.approx(tail + exact, abs=2e-3)


@given(source_symbols=st.integers(1, 80), belief=beliefs)
@settings(max_examples=60, deadline=None)
def test_chances_rise_from_nothing_to_certainty(source_symbols: int, belief: LossBelief) -> None:
    chances = decode_chances(source_symbols, belief)
    assert np.all(chances[:source_symbols] == 0)
    assert np.all(np.diff(chances) >= 0)
    assert 0 <= chances[-1] <= 1


@given(source_symbols=st.integers(1, 60), belief=beliefs, sent=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_steps_are_the_concave_hull(source_symbols: int, belief: LossBelief, sent: int) -> None:
    before = SentSymbols().more(sent, belief) if sent else SentSymbols()
    chances = decode_chances(source_symbols, belief, before)
    steps = protection_steps(source_symbols, belief, before)
    slopes = [step.gain / step.symbols for step in steps]
    assert all(first > second for first, second in itertools.pairwise(slopes))
    ends = list(itertools.accumulate((step.symbols for step in steps), initial=0))
    hull = np.interp(np.arange(ends[-1] + 1), ends, chances[ends])
    assert np.all(hull >= chances[: ends[-1] + 1] - 1e-12)


@given(
    source_symbols=st.integers(1, 60),
    belief=beliefs,
    price=st.floats(1e-6, 1.0),
    values=st.tuples(st.floats(0.01, 1e4), st.floats(0.01, 1e4)),
)
@settings(max_examples=100, deadline=None)
def test_higher_value_is_not_protected_less(
    source_symbols: int, belief: LossBelief, price: float, values: tuple[float, float]
) -> None:
    low, high = (
        symbols_at_price(
            Demand(source_symbols=source_symbols, packet_bytes=1, value=value), belief, price_per_byte=price
        )
        for value in sorted(values)
    )
    assert low <= high


@given(
    source_symbols=st.integers(1, 60),
    means=st.tuples(st.floats(0.005, 0.5), st.floats(0.005, 0.5)),
    weight=st.floats(10, 5000),
    ratio=st.floats(1.0, 1000.0),
)
@settings(max_examples=100, deadline=None)
def test_more_loss_is_not_answered_with_fewer_symbols(
    source_symbols: int, means: tuple[float, float], weight: float, ratio: float
) -> None:
    """As long as the object is worth its price at all."""
    demand = Demand(source_symbols=source_symbols, packet_bytes=1, value=ratio * source_symbols)
    assume(max(means) - min(means) > 0.005)
    few, many = (
        symbols_at_price(demand, LossBelief(mean=mean, weight_frames=weight), price_per_byte=1.0)
        for mean in sorted(means)
    )
    assert many == 0 or few <= many


@given(
    objects=st.lists(st.tuples(st.integers(1, 4), st.floats(0.1, 100)), min_size=1, max_size=3),
    mean=st.floats(0.05, 0.5),
    capacity=st.integers(0, 16),
)
@settings(max_examples=60, deadline=None)
def test_choice_is_within_one_step_of_the_best(objects: list[tuple[int, float]], mean: float, capacity: int) -> None:
    belief = LossBelief(mean=mean, weight_frames=50)
    demands = [Demand(source_symbols=k, packet_bytes=1, value=value) for k, value in objects]

    def worth(symbols: tuple[int, ...]) -> float:
        found = 0.0
        for demand, count in zip(demands, symbols, strict=True):
            chances = decode_chances(demand.source_symbols, belief)
            found += demand.value * float(chances[min(count, len(chances) - 1)])
        return found

    chosen = choose_symbols(demands, belief, capacity_bytes=capacity)
    assert sum(chosen) <= capacity
    best = max(
        worth(split) for split in itertools.product(range(capacity + 1), repeat=len(demands)) if sum(split) <= capacity
    )
    largest_step = max(
        demand.value * step.gain for demand in demands for step in protection_steps(demand.source_symbols, belief)
    )
    assert worth(chosen) >= best - largest_step - 1e-9


def test_valuable_objects_are_protected_and_worthless_ones_left_out() -> None:
    belief = expected_loss(0.3)
    demands = [Demand(source_symbols=16, packet_bytes=1105, value=value) for value in (1000.0, 30.0, 0.1)]
    chosen = choose_symbols(demands, belief, capacity_bytes=80 * 1105)
    assert chosen[0] > chosen[1] > 20
    assert chosen[2] == 0


def test_expected_value_beats_the_rule_of_thumb() -> None:
    """Same symbols in all, values over four decades."""
    belief = LossBelief(mean=0.3, weight_frames=60)
    demands = [Demand(source_symbols=16, packet_bytes=1, value=10.0**decade) for decade in range(4)]
    alike = uniform_symbols(16, 0.3)
    chosen = choose_symbols(demands, belief, capacity_bytes=4 * alike)
    chances = decode_chances(16, belief)

    def worth(counts: tuple[int, ...]) -> float:
        return sum(d.value * float(chances[min(n, len(chances) - 1)]) for d, n in zip(demands, counts, strict=True))

    assert worth(chosen) > 1.2 * worth((alike,) * 4)


def test_what_was_sent_before_counts() -> None:
    belief = LossBelief(mean=0.3, weight_frames=200)
    sent = SentSymbols().more(20, belief)
    fresh, later = decode_chances(16, belief), decode_chances(16, belief, sent)
    assert later[0] == pytest.approx(decoded_chance(16, sent), abs=1e-9)
    assert later[0] == pytest.approx(fresh[20], abs=0.01)
    assert later[6] == pytest.approx(fresh[26], abs=0.02)


def test_the_queue_leaves_what_does_not_fit_for_later() -> None:
    belief = expected_loss(0.1)
    queue: ProtectionQueue[str] = ProtectionQueue()
    queue.add("long", Demand(source_symbols=20, packet_bytes=10, value=1e6), belief)
    queue.add("short", Demand(source_symbols=1, packet_bytes=10, value=1.0), belief)
    assert queue.take(10) == ("short", 1)
    taken = queue.take()
    assert taken is not None and taken[0] == "long" and taken[1] >= 20


def test_long_objects_where_value_is_far_above_the_price() -> None:
    belief = expected_loss(0.2)
    assert best_object_symbols(1.1, belief) == 1
    assert best_object_symbols(1000.0, belief) == 64


def test_rule_of_thumb() -> None:
    assert uniform_symbols(100, 0.0) == 104
    assert uniform_symbols(100, 0.5) == 208


@given(heard=st.integers(1, 5000), gaps=st.lists(st.integers(0, 30), max_size=60), mean=st.floats(0.001, 0.9))
def test_counts_move_the_belief_towards_what_was_measured(heard: int, gaps: list[int], mean: float) -> None:
    count = LossCount(heard=heard)
    for gap in gaps:
        count = count.after(gap)
    prior = expected_loss(mean)
    belief = count.belief(prior)
    measured = count.lost / (count.heard + count.lost)
    assert min(prior.mean, measured) - 1e-3 <= belief.mean <= max(prior.mean, measured) + 1e-3
    assert belief.weight_frames > prior.weight_frames
    assert 0 <= belief.correlation < 1


def test_bursts_teach_less_than_independent_losses() -> None:
    prior = expected_loss(0.1)
    independent = LossCount(heard=900, lost=100, bursts=90).belief(prior, most_frames=math.inf)
    bursty = LossCount(heard=900, lost=100, bursts=10).belief(prior, most_frames=math.inf)
    assert bursty.weight_frames < independent.weight_frames / 5
    assert bursty.correlation > 0.8 > 0.1 > independent.correlation
    assert bursty.burst_frames == pytest.approx(10, rel=0.15)


def test_earlier_passes_never_make_one_sure() -> None:
    belief = LossCount(heard=700_000, lost=300_000, bursts=210_000).belief(expected_loss(0.02))
    assert 0.15 < belief.mean < 0.3
    assert belief.weight_frames <= 80


def test_interleaving_restores_certainty() -> None:
    belief = LossBelief(mean=0.1, weight_frames=500, correlation=0.9)
    weights = [belief.among(20, spacing_frames=spacing).weight_frames for spacing in (1, 5, 20, 80)]
    assert weights == sorted(weights)
    assert weights[0] < 20
    assert weights[-1] == pytest.approx(500, rel=0.05)


def test_impossible_numbers_are_refused() -> None:
    for mean, weight, correlation in ((0.0, 1, 0), (1.0, 1, 0), (0.5, 0, 0), (0.5, 1, 1.0)):
        with pytest.raises(ProtectionError):
            LossBelief(mean=mean, weight_frames=weight, correlation=correlation)
    with pytest.raises(ProtectionError):
        expected_loss(1.5)
    with pytest.raises(ProtectionError):
        LossCount(heard=1, lost=2, bursts=0)
    with pytest.raises(ProtectionError):
        decode_chances(0, expected_loss(0.1))
