"""Modulation and code rates: against the tables of the standard and published Monte Carlo curves."""

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.errors import RadioError
from downlink.modcod import (
    DVB_S2,
    MOST_ROBUST,
    codeword_error_rate,
    frame_error_rate,
    modcod_named,
    more_robust,
    strongest_carrier,
    waterfall_width_db,
)

EFFICIENCIES = {
    # ETSI EN 302 307-1 V1.4.1, table 13: spectral efficiency without pilots, ideal Es/N0.
    "QPSK 1/4": (0.490243, -2.35),
    "QPSK 1/2": (0.988858, 1.00),
    "QPSK 9/10": (1.788612, 6.42),
    "8PSK 3/5": (1.779991, 5.50),
    "8PSK 8/9": (2.646012, 10.69),
    "16APSK 2/3": (2.637201, 8.97),
    "16APSK 5/6": (3.300184, 11.61),
    "32APSK 3/4": (3.703295, 12.73),
    "32APSK 9/10": (4.453027, 16.05),
}
MONTE_CARLO = {
    # github.com/aff3ct/dvbs2, refs/BB: codewords of 16,200 bits, sum-product decoder, 50 iterations, at least 100 errors.
    "QPSK 3/5": ((2.02, 2.20e-1), (2.12, 3.40e-2), (2.22, 2.34e-3)),
    "QPSK 8/9": ((6.05, 2.35e-1), (6.15, 5.39e-2), (6.25, 3.51e-3)),
    "8PSK 3/5": ((5.18, 5.01e-1), (5.28, 1.70e-1), (5.38, 2.30e-2), (5.48, 1.88e-3)),
    "8PSK 8/9": ((10.41, 4.76e-1), (10.51, 1.66e-1), (10.61, 3.10e-2), (10.71, 3.23e-3)),
    "16APSK 8/9": ((12.56, 6.42e-1), (12.66, 2.76e-1), (12.76, 7.29e-2), (12.86, 1.16e-2), (12.96, 9.23e-4)),
}
SHORT_CODEWORD_PENALTY_DB = 0.25
"""EN 302 307-1, 6.1: short codewords need 0.2 to 0.3 dB more."""

modcods = st.sampled_from(DVB_S2)
levels_db = st.floats(-20, 40)


def test_the_set_is_that_of_the_standard():
    assert len(DVB_S2) == 28
    assert len({modcod.name for modcod in DVB_S2}) == 28
    for name, (efficiency, threshold_db) in EFFICIENCIES.items():
        modcod = modcod_named(name)
        assert modcod.efficiency() == pytest.approx(efficiency, abs=5e-7)
        assert modcod.threshold_db == threshold_db


def test_pilots_take_their_symbols():
    # EN 302 307-1, 5.5.1: 32,400 QPSK symbols are 360 slots; 36 pilots after every 16 slots, none after the last.
    assert modcod_named("QPSK 2/3").codeword_symbols() == 32400 + 90
    assert modcod_named("QPSK 2/3").codeword_symbols(pilots=True) == 32400 + 90 + 22 * 36
    assert modcod_named("32APSK 3/4").codeword_symbols(pilots=True) == 12960 + 90 + 8 * 36


def test_a_name_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(RadioError, match=r"QPSK 7/8.*QPSK 1/4.*32APSK 9/10"):
        modcod_named("QPSK 7/8")


@given(modcods, levels_db, levels_db, st.integers(64, 2048))
def test_error_rates_fall_with_the_signal_and_are_1e_7_at_the_threshold(modcod, one_db, other_db, frame_bytes):
    weak_db, strong_db = sorted((one_db, other_db))
    worse, better = (frame_error_rate(modcod, level, frame_bytes) for level in (weak_db, strong_db))
    assert 0 <= better <= worse <= 1
    assert frame_error_rate(modcod, modcod.threshold_db - 0.8, frame_bytes) > 0.99
    assert 1e-7 <= frame_error_rate(modcod, modcod.threshold_db, frame_bytes) < 3e-7


@given(modcods, levels_db)
def test_a_longer_frame_is_lost_more_often_than_a_codeword_and_a_shorter_frame(modcod, es_n0_db):
    codeword = codeword_error_rate(modcod, es_n0_db)
    assert codeword <= frame_error_rate(modcod, es_n0_db, 1) + 1e-15
    assert frame_error_rate(modcod, es_n0_db, 100) <= frame_error_rate(modcod, es_n0_db, 2000)


def test_a_frame_touches_the_codewords_that_counting_finds():
    modcod = modcod_named("QPSK 1/4")
    frame_bits, data_bits = 8 * (1115 + 4), modcod.data_field_bits
    touched = [(start + frame_bits - 1) // data_bits + 1 for start in range(data_bits)]
    es_n0_db = modcod.threshold_db - 0.1
    lost = codeword_error_rate(modcod, es_n0_db)
    assert frame_error_rate(modcod, es_n0_db, 1115) == pytest.approx(lost * sum(touched) / len(touched), rel=1e-3)


@pytest.mark.parametrize("name", MONTE_CARLO)
def test_the_waterfall_agrees_with_published_simulations(name):
    modcod = modcod_named(name)
    width_db = waterfall_width_db(modcod, codeword_bits=16200)
    middle_db = modcod.threshold_db + SHORT_CODEWORD_PENALTY_DB + NormalDist().inv_cdf(1e-7) * width_db
    for es_n0_db, frame_error in MONTE_CARLO[name]:
        modelled_db = middle_db - width_db * NormalDist().inv_cdf(frame_error)
        assert modelled_db == pytest.approx(es_n0_db, abs=0.1)


@given(modcods, st.floats(0.05, 3))
def test_fades_blur_the_waterfall_around_its_middle(modcod, fade_sigma_db):
    width_db = waterfall_width_db(modcod)
    middle_db = modcod.threshold_db + NormalDist().inv_cdf(1e-7) * width_db
    assert codeword_error_rate(modcod, middle_db, fade_sigma_db=fade_sigma_db) == pytest.approx(0.5)
    above_db = middle_db + math.hypot(width_db, fade_sigma_db)
    assert codeword_error_rate(modcod, above_db, fade_sigma_db=fade_sigma_db) == pytest.approx(NormalDist().cdf(-1))


@given(levels_db)
def test_the_choice_carries_most_of_what_decodes(es_n0_db):
    chosen = strongest_carrier(es_n0_db)
    decodable = [modcod.efficiency() for modcod in DVB_S2 if modcod.threshold_db <= es_n0_db]
    assert (chosen.efficiency() if chosen else None) == max(decodable, default=None)


@given(modcods, st.floats(0, 12))
def test_a_more_robust_one_decodes_lower(modcod, gain_db):
    robust = more_robust(modcod, gain_db)
    assert robust.threshold_db <= modcod.threshold_db - gain_db or robust is MOST_ROBUST


def test_frame_rates_leave_out_the_sync_marker():
    assert modcod_named("QPSK 1/2").frame_rate_bps(1e6, 1115) == int(1e6 * 32128 / 32490 * 1115 / 1119)
    with pytest.raises(RadioError, match="0 bytes"):
        frame_error_rate(MOST_ROBUST, 0.0, 0)
