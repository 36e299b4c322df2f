"""Orbits against independent authorities.

The golden figures were computed with skyfield 1.55 (own SGP4 frame chain, IAU 2000A nutation, UT1 from its built-in table) and, for
the Sun and the shadow, with astropy 8.0 (ERFA ephemeris, TEME to ITRS rotation, and the discriminant of the ray from satellite to Sun
against the WGS 84 ellipsoid: another method than the stretched sphere under test).
"""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mission.eclipse import sun_above_limb_rad, sunlight_intervals
from mission.errors import OrbitError
from mission.intervals import gaps, positive_intervals, union
from mission.orbit import (
    Station,
    earth_fixed_km,
    elevation_deg,
    ground_track,
    one_way_delay_ms,
    satellite_from_tle,
    station_km,
    station_up,
    sun_synchronous_inclination_deg,
    sun_synchronous_satellite,
    teme_km,
    tle_checksum,
)
from mission.sun import sun_km
from mission.visibility import visibility_windows

ORBITS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "orbits"
TLE = (
    "1 58273U 23174T   25059.15704421  .00028126  00000+0  98851-3 0  9999",
    "2 58273  97.4277 138.0204 0009340  66.9894 293.2330 15.29296241 72696",
)
START_MS = 1740700800000  # 2025-02-28T00:00:00Z
HOUR_MS = 3600000
DAY_MS = 24 * HOUR_MS


@pytest.fixture(scope="module")
def satellite():
    return satellite_from_tle(*TLE)


def test_ground_track_agrees_with_skyfield(satellite):
    latitude, longitude, height_km = ground_track(satellite, START_MS + np.array([0.0, 6.0, 12.0]) * HOUR_MS)
    # 2e-4 degrees is 22 m: UT1 - UTC (40 ms here, 18 m) and polar motion are left out
    np.testing.assert_allclose(latitude, [-36.15816, 28.02184, 82.10318], atol=2e-4)
    np.testing.assert_allclose(longitude, [154.35966, 73.75598, 90.62134], atol=2e-4)
    np.testing.assert_allclose(height_km, [497.2090, 480.9426, 485.4196], atol=1e-3)


SKYFIELD_WINDOWS_MS = {
    ("Svalbard", 78.2297, 15.3975, 5.0): [
        (3462327, 3631129), (26281595, 26606905), (31895887, 32352018), (37512810, 38032468),
    ],
    ("Inuvik", 68.3194, -133.5492, 5.0): [
        (3564728, 3870433), (9072806, 9400772), (14550547, 14989471), (20073180, 20596659),
        (25685278, 26200089), (31433635, 31768004),
    ],
    ("Punta Arenas", -52.9384, -70.8497, 10.0): [(12531594, 12950863), (18158338, 18495472)],
    ("Awarua", -46.5286, 168.3811, 10.0): [(19784, 268808), (40909393, 41314600)],
}  # fmt: skip


def test_windows_agree_with_skyfield_to_half_a_second(satellite):
    stations = [
        Station(name=name, latitude_deg=latitude, longitude_deg=longitude, min_elevation_deg=mask)
        for name, latitude, longitude, mask in SKYFIELD_WINDOWS_MS
    ]
    windows = visibility_windows(satellite, stations, start_ms=START_MS, end_ms=START_MS + 12 * HOUR_MS)
    assert list(windows) == sorted(windows, key=lambda window: window.aos_ms)
    for station, expected in zip(stations, SKYFIELD_WINDOWS_MS.values(), strict=True):
        found = [(w.aos_ms - START_MS, w.los_ms - START_MS) for w in windows if w.station == station]
        if station.name == "Svalbard":  # the last window is cut by the end of the span, at its very end
            assert found.pop() == (pytest.approx(43124647, abs=500), 12 * HOUR_MS)
        np.testing.assert_allclose(found, expected, atol=500)


def test_eclipse_agrees_with_astropy(satellite):
    edges = [
        edge - START_MS for pair in sunlight_intervals(satellite, START_MS, START_MS + 6 * HOUR_MS) for edge in pair
    ]
    expected = [0, 1316674, 3382616, 6969550, 9035527, 12622413, 14688424, 18275261, 20341307, 6 * HOUR_MS]
    np.testing.assert_allclose(edges, expected, atol=200)


def test_sun_agrees_with_astropy_to_a_hundredth_of_a_degree():
    expected = np.array([
        [138935901.034, -47296394.723, -20504747.059],
        [32929260.335, 135984617.817, 58953347.484],
        [-149415346.602, 15881575.273, 6884584.961],
    ])  # fmt: skip
    found = sun_km(START_MS + np.array([0.0, 100.0, 200.0]) * DAY_MS)
    cosine = np.sum(found * expected, axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert np.degrees(np.arccos(cosine)).max() < 0.01
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(expected, axis=1), rtol=1e-4)


def test_sunlight_intervals_hold_only_lit_moments(satellite):
    lit = sunlight_intervals(satellite, START_MS, START_MS + DAY_MS)
    times_ms = np.arange(START_MS, START_MS + DAY_MS, 7001.0)
    inside = np.zeros(len(times_ms), dtype=bool)
    for start, end in lit:
        inside |= (times_ms >= start) & (times_ms <= end)
    assert np.array_equal(inside, sun_above_limb_rad(satellite, times_ms) > 0)


def test_readme_figures_of_the_standard_scenario():
    if not ORBITS.exists():
        pytest.skip("../shared/data/orbits is absent")
    lines = (ORBITS / "planet_tles.txt").read_text().splitlines()
    satellites = [satellite_from_tle(*lines[at + 1 : at + 3]) for at in range(0, len(lines), 3)][::10]
    stations = [
        Station(
            name=one["name"], latitude_deg=one["location"][0], longitude_deg=one["location"][1], min_elevation_deg=15
        )
        for one in json.loads((ORBITS / "planet_stations.json").read_text())
    ]
    counts, covered_min, durations_s, gaps_min, worst_gaps_min = [], [], [], [], []
    for one in satellites:
        windows = visibility_windows(one, stations, start_ms=START_MS, end_ms=START_MS + DAY_MS)
        covered = union([(window.aos_ms, window.los_ms) for window in windows])
        counts.append(len(windows))
        covered_min.append(sum(end - start for start, end in covered) / 60000)
        durations_s += [(window.los_ms - window.aos_ms) / 1000 for window in windows]
        own_gaps = [(end - start) / 60000 for start, end in gaps(covered)]
        gaps_min += own_gaps
        worst_gaps_min.append(max(own_gaps))
    assert np.mean(counts) == pytest.approx(42.6, abs=0.3)  # a pass that the day's edge cuts may count or not
    assert np.mean(covered_min) == pytest.approx(141, abs=1)
    assert np.mean(durations_s) == pytest.approx(268, abs=1)
    assert np.mean(gaps_min) == pytest.approx(47, abs=0.5)
    assert (min(worst_gaps_min), max(worst_gaps_min)) == (pytest.approx(109, abs=0.5), pytest.approx(154, abs=0.5))


def test_a_pass_between_two_samples_is_found(satellite):
    place = {"name": "near zenith", "latitude_deg": -36.15816, "longitude_deg": 154.35966}
    grazing = Station(**place, min_elevation_deg=89.0)
    start_ms = START_MS - 900_000 + 12_345
    windows = visibility_windows(satellite, [grazing], start_ms=start_ms, end_ms=START_MS + HOUR_MS)
    assert len(windows) == 1
    assert windows[0].aos_ms < START_MS < windows[0].los_ms
    assert windows[0].los_ms - windows[0].aos_ms < 5000


@given(st.floats(-85, 85), st.floats(-180, 180), st.floats(0, 40))
def test_elevation_is_above_the_mask_inside_and_below_outside(latitude_deg, longitude_deg, mask_deg):
    satellite = satellite_from_tle(*TLE)
    station = Station(name="any", latitude_deg=latitude_deg, longitude_deg=longitude_deg, min_elevation_deg=mask_deg)
    windows = visibility_windows(satellite, [station], start_ms=START_MS, end_ms=START_MS + 4 * HOUR_MS)
    times_ms = np.arange(START_MS, START_MS + 4 * HOUR_MS, 4999.0)
    positions = earth_fixed_km(teme_km(satellite, times_ms), times_ms)
    above = elevation_deg(positions, station_km(station), station_up(station)) > mask_deg
    inside = np.zeros(len(times_ms), dtype=bool)
    for window in windows:
        inside |= (times_ms >= window.aos_ms) & (times_ms <= window.los_ms)
    assert np.array_equal(above, inside)


@given(st.floats(0.1, 3.0), st.floats(0, 6.28), st.floats(-0.95, 0.95), st.integers(3, 40))
def test_intervals_of_a_cosine_are_the_analytic_ones(cycles, phase, level, samples_per_cycle):
    """Two series at once, the second upside down: their intervals tile the span."""
    period_ms = 60000.0
    times_ms = np.linspace(0, cycles * period_ms, max(2, int(cycles * samples_per_cycle) + 1))

    def margin(series, at_ms):
        value = np.cos(2 * np.pi * at_ms / period_ms + phase) - level
        return np.where(series == 0, value, -value)

    samples = np.stack([margin(np.zeros(1), times_ms), margin(np.ones(1), times_ms)])
    inside, outside = positive_intervals(samples, times_ms, margin=margin)
    covered = sorted([*inside, *outside])
    for start, end in inside:
        middle = np.array([(start + end) / 2])
        assert margin(np.zeros(1), middle)[0] > 0
    total = sum(end - start for start, end in covered)
    assert abs(total - times_ms[-1]) <= 3 * (len(covered) + 3)


def test_sun_synchronous_orbit_keeps_its_local_time():
    assert sun_synchronous_inclination_deg(786) == pytest.approx(98.55, abs=0.1)  # Sentinel-2 flies at 98.57 degrees
    satellite = sun_synchronous_satellite(786.0, descending_node_local_time_h=10.5, epoch_ms=START_MS)
    for days in (0, 30):
        times_ms = START_MS + days * DAY_MS + np.arange(0, 2 * HOUR_MS, 1000.0)
        latitude, longitude, height_km = ground_track(satellite, times_ms)
        southward = np.flatnonzero((latitude[:-1] > 0) & (latitude[1:] <= 0))[0]
        utc_h = (times_ms[southward] % DAY_MS) / HOUR_MS
        local_h = (utc_h + longitude[southward] / 15) % 24
        equation_of_time_h = {0: -12.5 / 60, 30: -4.3 / 60}[days]  # almanac: 28 February and 30 March
        assert local_h + equation_of_time_h == pytest.approx(10.5, abs=0.2)
        assert 770 < height_km.min() < height_km.max() < 815


def test_light_time_is_that_of_the_range(satellite):
    station = Station(name="Svalbard", latitude_deg=78.2297, longitude_deg=15.3975)
    assert one_way_delay_ms(satellite, station, START_MS + 3546661) == 7  # 1.9 to 2.1 thousand km at 6 degrees


@pytest.mark.parametrize(
    ("line1", "line2", "said"),
    [
        (TLE[0][:-1] + "8", TLE[1], "checksum"),
        (TLE[0][:40], TLE[1], "69 characters"),
        (TLE[1], TLE[0], "begin with 1"),
        (TLE[0], TLE[1].replace("58273", "58274")[:-1] + "7", "two satellites"),
    ],
)
def test_damaged_elements_are_refused(line1, line2, said):
    with pytest.raises(OrbitError, match=said):
        satellite_from_tle(line1, line2)


def test_checksum_counts_minus_signs():
    assert tle_checksum(TLE[0]) == 9
    assert tle_checksum("1 25544U 98067A   08264.51782528 -.00002182  00000-0 -11606-4 0  292") == 7


def test_impossible_requests_name_the_remedy(satellite):
    with pytest.raises(OrbitError, match="epoch near the start"):
        sunlight_intervals(satellite, START_MS + 1000 * DAY_MS, START_MS + 1001 * DAY_MS)
    with pytest.raises(OrbitError, match="latitude 91"):
        Station(name="nowhere", latitude_deg=91.0, longitude_deg=0.0)
    with pytest.raises(OrbitError, match="end must come after"):
        visibility_windows(satellite, [], start_ms=5, end_ms=5)
    with pytest.raises(OrbitError, match="no sun-synchronous orbit"):
        sun_synchronous_inclination_deg(7000)
