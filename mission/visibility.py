"""When stations see a satellite: windows in which its elevation stands above each station's mask.

One coarse pass propagates the satellite every 30 s and takes the elevation over all stations at once; roots are then refined to
a millisecond, over all stations at once (`mission.intervals`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sgp4.api import Satrec

from mission.errors import OrbitError
from mission.intervals import positive_intervals
from mission.orbit import Station, earth_fixed_km, elevation_deg, station_km, station_up, teme_km

FloatArray = NDArray[np.float64]

SAMPLING_STEP_MS = 30000


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibilityWindow:
    """The satellite stands above one station's mask from `aos_ms` to `los_ms`."""

    station: Station
    """Who sees it."""
    aos_ms: int
    """First whole Unix millisecond above the mask."""
    los_ms: int
    """Last whole Unix millisecond above the mask."""


def visibility_windows(
    satellite: Satrec, stations: Sequence[Station], *, start_ms: int, end_ms: int
) -> tuple[VisibilityWindow, ...]:
    """All windows over all stations between two Unix times, in order of AOS; windows of two stations may overlap."""
    if end_ms <= start_ms:
        raise OrbitError(f"visibility asked from {start_ms} to {end_ms} ms: the end must come after the start")
    if not stations:
        return ()
    places = np.stack([station_km(station) for station in stations])
    ups = np.stack([station_up(station) for station in stations])
    masks_deg = np.array([station.min_elevation_deg for station in stations])

    def margin(series: NDArray[np.int64], at_ms: FloatArray) -> FloatArray:
        positions = earth_fixed_km(teme_km(satellite, at_ms), at_ms)
        return np.asarray(elevation_deg(positions, places[series], ups[series]) - masks_deg[series])

    count = max(2, -(-(end_ms - start_ms) // SAMPLING_STEP_MS) + 1)
    times_ms = np.linspace(start_ms, end_ms, count)
    positions = earth_fixed_km(teme_km(satellite, times_ms), times_ms)
    samples = elevation_deg(positions[np.newaxis], places[:, np.newaxis], ups[:, np.newaxis]) - masks_deg[:, np.newaxis]
    found = positive_intervals(samples, times_ms, margin=margin)
    windows = [
        VisibilityWindow(station=station, aos_ms=aos_ms, los_ms=los_ms)
        for station, intervals in zip(stations, found, strict=True)
        for aos_ms, los_ms in intervals
    ]
    return tuple(sorted(windows, key=lambda window: (window.aos_ms, window.station.name)))
