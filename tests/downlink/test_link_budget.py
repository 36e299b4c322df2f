"""The link budget: against published budgets, and its laws."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.errors import RadioError
from downlink.link_budget import (
    KA_BAND,
    S_BAND,
    TABLE_ELEVATIONS_DEG,
    X_BAND,
    Atmosphere,
    Radio,
    atmosphere_of_band,
    free_space_loss_db,
    slant_range_km,
)

elevations = st.floats(0, 90)
X_RADIO = Radio(
    frequency_hz=8.2e9,
    eirp_dbw=4.0,
    g_over_t_db_per_k=26.0,
    symbol_rate_hz=25e6,
    other_losses_db=2.0,
    atmosphere=X_BAND,
)


def test_the_emwin_budget_of_the_us_weather_service():
    """EMWIN-N by GOES-N, nws.noaa.gov/emwin/emwin-n-link-budget.htm: 44.8 dBm at 1692.70 MHz over 41,127 km at 5 degrees, free-space
    loss 189.3 dB, C/N0 53.2 dB Hz (53.1 with the uplink's noise), 9600 bit/s of 1 bit per symbol: 13.3 dB."""
    radio = Radio(
        frequency_hz=1692.70e6,
        eirp_dbw=44.8 - 30,
        g_over_t_db_per_k=-0.3,
        symbol_rate_hz=9600,
        other_losses_db=0.2,
        atmosphere=Atmosphere(loss_db=(0.4,) * 7),
    )
    assert slant_range_km(5.0, 35786.0, earth_radius_km=6378.137) == pytest.approx(41127, abs=1)
    assert free_space_loss_db(41127, 1692.70e6) == pytest.approx(189.3, abs=0.05)
    assert radio.c_n0_dbhz(range_km=41127, elevation_deg=5.0) == pytest.approx(53.2, abs=0.05)
    assert radio.es_n0_db(range_km=41127, elevation_deg=5.0) == pytest.approx(13.3, abs=0.15)


def test_a_published_low_orbit_budget_in_s_band():
    """EURASIP J. Wireless Com. Network 2020, 10.1186/s13638-020-01674-9, table 1: 38.3 dBm at 2200 MHz, free-space loss 162.2 dB,
    depointing 10 dB, antenna gain 38.2 dBi at 130 K, C/N0 81.8 dB Hz, Eb/N0 16.5 dB at 3.4 Mbit/s."""
    range_km = 299_792.458 / 2.2e9 / (4 * math.pi) * 10 ** (162.2 / 20)
    radio = Radio(
        frequency_hz=2.2e9,
        eirp_dbw=8.3,
        g_over_t_db_per_k=38.2 - 10 * math.log10(130),
        symbol_rate_hz=3.4e6,
        other_losses_db=10.0,
        atmosphere=Atmosphere.from_zenith(0.0),
    )
    assert radio.c_n0_dbhz(range_km=range_km, elevation_deg=90) == pytest.approx(81.8, abs=0.1)
    assert radio.es_n0_db(range_km=range_km, elevation_deg=90) == pytest.approx(16.5, abs=0.1)


@given(st.floats(1, 1e5), st.floats(1e8, 4e10))
def test_twice_the_range_or_frequency_costs_6_db(range_km, frequency_hz):
    loss_db = free_space_loss_db(range_km, frequency_hz)
    assert free_space_loss_db(2 * range_km, frequency_hz) - loss_db == pytest.approx(20 * math.log10(2))
    assert free_space_loss_db(range_km, 2 * frequency_hz) - loss_db == pytest.approx(20 * math.log10(2))


@given(elevations, elevations, st.floats(200, 2000))
def test_a_higher_satellite_is_nearer_and_louder(one_deg, other_deg, altitude_km):
    low_deg, high_deg = sorted((one_deg, other_deg))
    far_km, near_km = (slant_range_km(elevation, altitude_km) for elevation in (low_deg, high_deg))
    assert altitude_km - 1e-6 <= near_km <= far_km + 1e-6
    weak, strong = (X_RADIO.es_n0_db(range_km=r, elevation_deg=e) for r, e in ((far_km, low_deg), (near_km, high_deg)))
    assert weak <= strong + 1e-9


@given(st.sampled_from([S_BAND, X_BAND, KA_BAND]), elevations, elevations)
def test_the_tables_fall_with_elevation_and_never_turn_negative(atmosphere, one_deg, other_deg):
    low_deg, high_deg = sorted((one_deg, other_deg))
    assert 0 <= atmosphere.loss_at(high_deg) <= atmosphere.loss_at(low_deg) + 1e-12


@given(st.floats(0, 5), st.floats(1, 90))
def test_a_zenith_loss_follows_the_cosecant(zenith_loss_db, elevation_deg):
    loss_db = Atmosphere.from_zenith(zenith_loss_db).loss_at(elevation_deg)
    assert loss_db == pytest.approx(zenith_loss_db / math.sin(math.radians(elevation_deg)), abs=1e-9)


def test_tables_give_back_their_entries():
    for atmosphere in (S_BAND, X_BAND, KA_BAND):
        read = [atmosphere.loss_at(elevation) for elevation in TABLE_ELEVATIONS_DEG]
        assert read == pytest.approx(atmosphere.loss_db)
    assert atmosphere_of_band(8.4e9) is X_BAND


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: atmosphere_of_band(12e9), r"12 GHz \(tables: 1 to 4, 7 to 9, 25 to 27.5 GHz\)"),
        (lambda: Atmosphere(loss_db=(1.0, 2.0, 0.5, 0.4, 0.3, 0.2, 0.1)), "none above the one at a lower elevation"),
        (lambda: Atmosphere.from_zenith(-0.1), "none negative"),
        (lambda: free_space_loss_db(0.0, 8e9), "0.0 km"),
        (lambda: Radio(frequency_hz=8e9, eirp_dbw=1, g_over_t_db_per_k=1, symbol_rate_hz=0, other_losses_db=0,
                       atmosphere=X_BAND), "0 symbols/s"),
    ],
)  # fmt: skip
def test_impossible_numbers_are_refused(make, said):
    with pytest.raises(RadioError, match=said):
        make()
