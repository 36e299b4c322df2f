"""Coding that follows the signal: margins, robust frames, and what a contact makes of its rates."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.adaptive_coding import CodingPlan, SignalSample, rate_steps
from downlink.contact import Contact, RateStep
from downlink.errors import ContactError, RadioError
from downlink.modcod import DVB_S2, frame_error_rate, modcod_named

PLAN = CodingPlan(symbol_rate_hz=2e6, frame_bytes=1115, margin_db=1.0)
AOS_MS = 1_740_700_801_000


def passing(levels_db, step_ms=10_000):
    return [SignalSample(at_ms=AOS_MS + step_ms * index, es_n0_db=level) for index, level in enumerate(levels_db)]


def contact(rates, los_ms):
    return Contact(
        contact_id=0, station="Inuvik", aos_ms=AOS_MS, los_ms=los_ms, downlink_bps=1, uplink_bps=0, one_way_delay_ms=9,
        frame_loss=0.0, rates=rates,
    )  # fmt: skip


signals = st.lists(st.floats(-6, 22), min_size=2, max_size=40)


@given(signals)
def test_every_step_keeps_the_margin_and_carries_what_can_be_carried(levels_db):
    steps = rate_steps(PLAN, passing(levels_db))
    assert len(steps) == len(levels_db) - 1
    for step, (former, latter) in zip(steps, pairwise(levels_db), strict=True):
        modcod = modcod_named(step.modcod)
        weakest = min(former, latter)
        if weakest - 1.0 >= DVB_S2[0].threshold_db:
            assert modcod.threshold_db <= weakest - 1.0
            assert step.frame_loss < 1e-9
        else:
            assert modcod is DVB_S2[0]
        assert step.downlink_bps == modcod.frame_rate_bps(2e6, 1115, pilots=True)
        assert step.robust_bps <= step.downlink_bps
        assert step.robust_frame_loss <= step.frame_loss


def test_an_unforeseen_loss_meets_robust_frames_later():
    steps = rate_steps(PLAN, passing([10.0, 10.4, 10.8]), unforeseen_loss_db=2.5)
    assert [step.modcod for step in steps] == ["16APSK 2/3", "8PSK 5/6"] or all(
        step.frame_loss > 0.99 for step in steps
    )
    assert all(step.frame_loss > 0.99 and step.robust_frame_loss < 1e-6 for step in steps)
    assert steps[0].es_n0_db == pytest.approx(10.2 - 2.5)


@given(signals, st.sampled_from(DVB_S2))
def test_following_the_signal_delivers_at_least_what_any_fixed_one_does_with_its_margin(levels_db, fixed):
    samples = passing(levels_db)
    los_ms = samples[-1].at_ms
    followed = contact(rate_steps(PLAN, samples), los_ms)
    steps = [
        step
        for step, (former, latter) in zip(
            rate_steps(replace(PLAN, fixed=fixed), samples), pairwise(levels_db), strict=True
        )
        if fixed.threshold_db <= min(former, latter) - 1.0
    ]
    safe = sum(step.downlink_bps * 10_000 * (1 - step.frame_loss) / 8000 for step in steps)
    assert followed.expected_bytes >= safe * (1 - 1e-9) - 1


def test_loss_over_a_step_is_averaged():
    modcod = modcod_named("QPSK 1/2")
    plan = replace(PLAN, fixed=modcod)
    (step,) = rate_steps(plan, passing([0.5, 1.5]))
    fine = [frame_error_rate(modcod, 0.5 + index / 1000, 1115) for index in range(1001)]
    assert step.frame_loss == pytest.approx(sum(fine) / 1001, abs=0.06)


def test_a_contact_adds_up_its_steps():
    rates = (
        RateStep(from_ms=AOS_MS - 500, downlink_bps=80_000, frame_loss=0.5),
        RateStep(from_ms=AOS_MS + 1000, downlink_bps=160_000, frame_loss=0.0, robust_bps=8_000, robust_frame_loss=0.0),
        RateStep(from_ms=AOS_MS + 4000, downlink_bps=240_000, frame_loss=0.25),
    )
    whole = contact(rates, AOS_MS + 6000)
    assert whole.capacity_bytes == 10_000 + 60_000 + 60_000
    assert whole.expected_bytes == 5_000 + 60_000 + 45_000
    asked_ms = (AOS_MS - 9000, AOS_MS, AOS_MS + 999, AOS_MS + 1000, AOS_MS + 3999, AOS_MS + 4000, AOS_MS + 99_000)
    assert [whole.rate_bps_at(at) for at in asked_ms] == [80_000] * 3 + [160_000] * 2 + [240_000] * 2
    assert whole.frame_loss_at(AOS_MS + 4000) == 0.25
    cut = replace(whole, los_ms=AOS_MS + 2000)
    assert (cut.capacity_bytes, cut.expected_bytes) == (30_000, 25_000)
    assert replace(whole, rates=()).rate_bps_at(AOS_MS) == 1


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 10**9)), min_size=1, max_size=20), st.integers(1, 60_000)
)
def test_capacity_is_the_sum_over_every_millisecond(pieces, duration_ms):
    starts = [AOS_MS]
    for length_ms, _ in pieces[:-1]:
        starts.append(starts[-1] + length_ms)
    rates = tuple(
        RateStep(from_ms=start, downlink_bps=rate, frame_loss=0.0)
        for start, (_, rate) in zip(starts, pieces, strict=True)
    )
    whole = contact(rates, AOS_MS + duration_ms)
    edges = sorted({AOS_MS, whole.los_ms, *(start for start in starts if start < whole.los_ms)})
    bits_ms = sum(whole.rate_bps_at(start) * (end - start) for start, end in pairwise(edges))
    assert whole.capacity_bytes == bits_ms // 8000


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RateStep(from_ms=0, downlink_bps=0, frame_loss=0.0), "0 bit/s"),
        (lambda: RateStep(from_ms=0, downlink_bps=1, frame_loss=1.1), "frame loss 1.1"),
        (lambda: RateStep(from_ms=0, downlink_bps=9, frame_loss=0.0, robust_bps=3), "together"),
        (lambda: RateStep(from_ms=0, downlink_bps=9, frame_loss=0.1, robust_bps=10, robust_frame_loss=0.1), "neither slower"),
        (lambda: contact((RateStep(from_ms=AOS_MS + 1, downlink_bps=1, frame_loss=0.0),), AOS_MS + 9), "after AOS"),
        (lambda: contact((RateStep(from_ms=AOS_MS, downlink_bps=1, frame_loss=0.0),) * 2, AOS_MS + 9), "does not come after"),
    ],
)  # fmt: skip
def test_impossible_steps_are_refused_at_birth(make, said):
    with pytest.raises(ContactError, match=said):
        make()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: replace(PLAN, margin_db=-1.0), "margin -1.0 dB"),
        (lambda: replace(PLAN, symbol_rate_hz=0.0), "0.0 symbols/s"),
        (lambda: rate_steps(PLAN, passing([3.0])), "1 samples"),
        (lambda: rate_steps(PLAN, passing([3.0, 3.0], step_ms=0)), "in order of time"),
    ],
)
def test_impossible_plans_are_refused(make, said):
    with pytest.raises(RadioError, match=said):
        make()
