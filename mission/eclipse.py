"""When a satellite stands in sunlight.

The satellite counts as lit while the centre of the Sun is above the Earth's limb: half of the disc is then visible, which
splits the penumbra (about 9 s at each edge in low orbit) so that the light's energy is kept. The Earth is an ellipsoid:
stretching z by a/b turns it into a sphere and keeps straight lines straight, so the tangent test on the sphere is exact
(Vallado, "Fundamentals of Astrodynamics and Applications", 4th ed., algorithm 35, SIGHT). Refraction is left out.
"""

import numpy as np
from numpy.typing import NDArray
from sgp4.api import Satrec

from mission.intervals import positive_intervals
from mission.orbit import EARTH_EQUATORIAL_RADIUS_KM, EARTH_FLATTENING, teme_km
from mission.sun import sun_km

FloatArray = NDArray[np.float64]

SAMPLING_STEP_MS = 60000


def sun_above_limb_rad(satellite: Satrec, times_ms: FloatArray) -> FloatArray:
    """Angle of the Sun's centre above the limb as seen from the satellite, (n,), negative in eclipse.

    Measured in the stretched space where the Earth is a sphere; the sign is exact, the size is good to 0.5 %.
    """
    stretch = np.array([1.0, 1.0, 1 / (1 - EARTH_FLATTENING)])
    satellite_km = teme_km(satellite, times_ms) * stretch
    to_sun = sun_km(times_ms) * stretch - satellite_km
    distance_km = np.linalg.norm(satellite_km, axis=1)
    cosine = -np.sum(satellite_km * to_sun, axis=1) / (distance_km * np.linalg.norm(to_sun, axis=1))
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)) - np.arcsin(EARTH_EQUATORIAL_RADIUS_KM / distance_km))


def sunlight_intervals(satellite: Satrec, start_ms: int, end_ms: int) -> tuple[tuple[int, int], ...]:
    """The lit intervals (start_ms, end_ms) between two Unix times, in order."""
    count = max(2, -(-(end_ms - start_ms) // SAMPLING_STEP_MS) + 1)
    times_ms = np.linspace(start_ms, end_ms, count)
    samples = sun_above_limb_rad(satellite, times_ms)[np.newaxis]
    return positive_intervals(samples, times_ms, margin=lambda _, at_ms: sun_above_limb_rad(satellite, at_ms))[0]
