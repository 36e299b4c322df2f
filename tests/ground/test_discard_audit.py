"""The miss rate that the ground states: exact limits, weights, and how often the interval holds the truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from downlink.alerts import AlertDetection
from downlink.audit_sample import AuditManifest, AuditStratum, AuditUnit, DiscardKind
from downlink.scene import Georeference, SceneSummary, TileOutcome
from ground.binomial_interval import beta_quantile, clopper_pearson, rule_of_three
from ground.discard_audit import Judge, SceneAudit, Verdict, miss_rates, pooled_rate, reported_around

CLOUD, SEA, POWER = DiscardKind.CLOUD, DiscardKind.SEA_GATE, DiscardKind.POWER


@given(st.integers(1, 3000), st.data(), st.sampled_from((0.9, 0.95, 0.99)))
def test_the_exact_interval_is_that_of_an_independent_implementation(trials, data, confidence):
    hits = data.draw(st.integers(0, trials))
    ours = clopper_pearson(hits, trials, confidence=confidence)
    theirs = binomtest(hits, trials).proportion_ci(confidence, method="exact")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(st.floats(0.01, 0.99), st.floats(0.2, 400), st.floats(0.2, 400))
def test_beta_quantiles_of_fractions(probability, a, b):
    assert beta_quantile(probability, a, b) == pytest.approx(beta.ppf(probability, a, b), abs=1e-8)


@pytest.mark.parametrize("trials", [20, 100, 1000])
def test_the_rule_of_three(trials):
    assert rule_of_three(trials) == pytest.approx(3 / trials, rel=0.08)
    assert (1 - rule_of_three(trials)) ** trials == pytest.approx(0.05)
    assert rule_of_three(0) == 1.0


@pytest.mark.parametrize(("hits", "trials"), [(-1, 4), (5, 4), (math.nan, 4)])
def test_impossible_counts_are_refused(hits, trials):
    with pytest.raises(ValueError, match="hits in"):
        clopper_pearson(hits, trials)


def audit_of(scene, *strata, tile_px=512, height=4096, width=4096):
    tiles = math.ceil(height / tile_px) * math.ceil(width / tile_px)
    summary = SceneSummary(
        scene=scene, name=f"scene {scene}", captured_ms=1, height=height, width=width, dtype="uint16", band_names=("B08",),
        nodata=None, georeference=Georeference(crs_wkt=None, transform=(1, 0, 0, 0, -1, 0)), peak_dn=10_000, tile_px=tile_px,
        tile_outcomes=(TileOutcome.CLOUD,) * tiles, gsd_m=None, footprint_lonlat=None, model="m@1", classes=("ship",), policy="p",
    )  # fmt: skip
    return SceneAudit(summary=summary, manifest=AuditManifest(cell_px=64, strata=strata), picture=None, size_bytes=100)


def stratum(kind, *, population, share, drawn):
    units = tuple(AuditUnit(row=64 * n, col=0) for n in range(drawn))
    return AuditStratum(kind=kind, population=population, share=share, units=units)


def verdicts_of(scene, objects, first=0):
    return {(scene, first + n): Verdict(objects=count, judge=Judge.TRUTH) for n, count in enumerate(objects)}


def test_equal_shares_give_the_plain_rate_and_the_exact_interval():
    audits = [audit_of(n, stratum(CLOUD, population=1000, share=0.02, drawn=20)) for n in (1, 2)]
    verdicts = verdicts_of(1, [0] * 18 + [3, 1]) | verdicts_of(2, [0] * 19 + [2])
    rate = miss_rates(audits, verdicts)[CLOUD]
    assert (rate.population, rate.drawn, rate.judged, rate.missed) == (2000, 40, 40, 3)
    assert rate.rate == pytest.approx(3 / 40) and rate.objects == pytest.approx(2000 * 6 / 40)
    exact = binomtest(3, 40).proportion_ci(0.95, method="exact")
    assert (rate.interval.low, rate.interval.high) == pytest.approx((exact.low, exact.high))
    assert rate.at_most is None


def test_none_missed_states_the_rule_of_three():
    rate = miss_rates([audit_of(1, stratum(SEA, population=9000, share=0.01, drawn=90))], verdicts_of(1, [0] * 90))[SEA]
    assert rate.rate == 0 and rate.interval.low == 0 and rate.at_most == pytest.approx(3 / 90, rel=0.02)
    assert rate.interval.high == pytest.approx(1 - 0.025 ** (1 / 90))


def test_a_unit_drawn_with_a_small_chance_stands_for_more():
    audits = [
        audit_of(1, stratum(SEA, population=1000, share=0.01, drawn=10)),
        audit_of(2, stratum(SEA, population=100, share=0.1, drawn=10)),
    ]
    rate = pooled_rate(audits, verdicts_of(1, [1] + [0] * 9) | verdicts_of(2, [0] * 10), (SEA,))
    assert rate.rate == pytest.approx(100 / 1100) and rate.objects == pytest.approx(100)
    of_twenty = clopper_pearson(20 * 100 / 1100, 20)
    assert rate.interval.low < of_twenty.low and rate.interval.high > of_twenty.high


def test_a_census_leaves_nothing_to_chance():
    rate = pooled_rate(
        [audit_of(1, stratum(SEA, population=5, share=1.0, drawn=5))], verdicts_of(1, [0, 1, 0, 0, 0]), (SEA,)
    )
    assert (rate.interval.low, rate.rate, rate.interval.high) == (0.2, 0.2, 0.2)


def test_units_that_wait_are_counted_and_not_judged():
    rate = miss_rates([audit_of(1, stratum(CLOUD, population=100, share=0.04, drawn=4))], verdicts_of(1, [1], first=2))[
        CLOUD
    ]
    assert (rate.drawn, rate.judged, rate.missed, rate.rate) == (4, 1, 1, 1.0)
    nothing = miss_rates([audit_of(1, stratum(CLOUD, population=100, share=0.04, drawn=4))], {})[CLOUD]
    assert nothing.rate is None and (nothing.interval.low, nothing.interval.high) == (0.0, 1.0)


def test_kinds_without_population_are_left_out_and_kinds_drawn_of_nothing_are_not():
    rates = miss_rates([audit_of(1, stratum(POWER, population=7, share=0.01, drawn=0))], {})
    assert list(rates) == [POWER] and rates[POWER].drawn == 0


def covered(chance, shares, populations, truth, *, missions):
    """(share of missions in which the interval held the truth, mean of the estimates, true rate)."""
    misses = [round(rate * population) for rate, population in zip(truth, populations, strict=True)]
    true_rate = sum(misses) / sum(populations)
    held, estimates = 0, []
    for _ in range(missions):
        audits, verdicts = [], {}
        for scene, (share, population, missed) in enumerate(zip(shares, populations, misses, strict=True), start=1):
            expected = share * population
            drawn = int(expected) + int(chance.random() < expected % 1)
            hits = int(chance.hypergeometric(missed, population - missed, drawn)) if drawn else 0
            audits.append(audit_of(scene, stratum(CLOUD, population=population, share=share, drawn=drawn)))
            verdicts |= verdicts_of(scene, [1] * hits + [0] * (drawn - hits))
        rate = pooled_rate(audits, verdicts, (CLOUD,))
        held += rate.interval.low - 1e-12 <= true_rate <= rate.interval.high + 1e-12
        estimates.append(rate.rate)
    return held / missions, float(np.mean(estimates)), true_rate


@pytest.mark.parametrize(
    ("shares", "populations", "truth"),
    [
        ((0.02,), (4000,), (0.03,)),
        ((0.02, 0.02, 0.02), (1500, 900, 1700), (0.0, 0.05, 0.2)),
        ((0.01, 0.1, 0.05), (4000, 400, 900), (0.05, 0.02, 0.1)),
        ((0.2, 0.02), (200, 3000), (0.3, 0.005)),
        ((0.05, 0.01), (600, 2500), (0.0, 0.1)),
    ],
)
def test_the_interval_holds_the_true_rate_as_often_as_it_says(shares, populations, truth):
    chance = np.random.default_rng(20260311)
    share, mean, true_rate = covered(chance, shares, populations, truth, missions=300)
    assert share >= 0.93, f"95 % intervals that hold the truth in {share:.1%} of 300 missions"
    assert mean == pytest.approx(true_rate, rel=0.12, abs=0.002)


def test_the_ground_that_a_cell_stands_for_ends_with_its_tile_and_its_scene():
    audit = audit_of(1, tile_px=100, height=250, width=210)
    inside = audit.window(AuditUnit(row=64, col=0))
    assert (inside.height, inside.width) == (36, 64)
    last = audit.window(AuditUnit(row=200, col=200))
    assert (last.height, last.width) == (50, 10)


def test_what_was_reported_is_not_missed():
    box = AlertDetection(class_id=0, confidence=0.9, corners_px=((10, 10), (30, 20), (26, 28), (6, 18)))
    assert reported_around(18, 19, [box]) and not reported_around(29, 27, [box])
    mirrored = AlertDetection(class_id=0, confidence=0.9, corners_px=box.corners_px[::-1])
    assert reported_around(18, 19, [mirrored]) and not reported_around(18, 19, [])
