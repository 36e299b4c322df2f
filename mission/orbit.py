"""Where a satellite is: SGP4 elements to Earth-fixed positions, sub-satellite points and elevations.

Frames: SGP4 gives TEME (true equator, mean equinox). Rotation by Greenwich mean sidereal time gives the pseudo
Earth-fixed frame, taken here as Earth-fixed: polar motion (about 10 m) and UT1 - UTC (below 0.9 s by definition, which
moves a contact by less than 0.1 s) are left out.

Times are Unix milliseconds UTC, as arrays of float64 (exact to 0.25 microseconds). Positions are (n, 3) arrays in km.

Sources: Vallado et al., "Revisiting Spacetrack Report #3", AIAA 2006-6753; Vallado, "Fundamentals of Astrodynamics and
Applications", 4th ed., section 3.5 (sidereal time) and section 9.4 (sun-synchronous inclination); WGS 84.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sgp4.api import SGP4_ERRORS, WGS72, Satrec

from mission.errors import OrbitError
from mission.sun import J2000_UNIX_MS, JULIAN_CENTURY_MS, sun_km

FloatArray = NDArray[np.float64]

EARTH_EQUATORIAL_RADIUS_KM = 6378.137
EARTH_FLATTENING = 1 / 298.257223563
EARTH_ECCENTRICITY_SQUARED = EARTH_FLATTENING * (2 - EARTH_FLATTENING)

UNIX_EPOCH_JULIAN_DATE = 2440587.5
DAY_MS = 86400000

SPEED_OF_LIGHT_KM_PER_S = 299792.458

WGS72_MU_KM3_S2 = 398600.8
WGS72_RADIUS_KM = 6378.135
WGS72_J2 = 0.001082616
TROPICAL_YEAR_S = 365.2421897 * 86400
SGP4_EPOCH_UNIX_MS = -631238400000
"""1949-12-31T00:00Z, the day zero of `Satrec.sgp4init`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A ground antenna."""

    name: str
    """What the station is called; unique among the stations of a scenario."""
    latitude_deg: float
    """Geodetic latitude on WGS 84, north positive."""
    longitude_deg: float
    """Longitude, east positive, -180 to 360."""
    height_m: float = 0.0
    """Height above the ellipsoid in metres."""
    min_elevation_deg: float = 10.0
    """The mask: below this elevation the satellite is not heard, in degrees above the horizon."""

    def __post_init__(self) -> None:
        if not -90 <= self.latitude_deg <= 90 or not -180 <= self.longitude_deg <= 360:
            raise OrbitError(
                f"station {self.name!r} at latitude {self.latitude_deg}, longitude {self.longitude_deg}: "
                "give latitude in -90..90 and longitude in -180..360 degrees"
            )
        if not 0 <= self.min_elevation_deg < 90:
            raise OrbitError(f"station {self.name!r}: min elevation {self.min_elevation_deg} is not in 0..90 degrees")


def satellite_from_tle(line1: str, line2: str) -> Satrec:
    """The satellite of a two-line element set. Raises OrbitError where a line or a checksum is wrong."""
    lines = (line1.strip(), line2.strip())
    for number, line in enumerate(lines, start=1):
        if len(line) != 69 or line[0] != str(number):
            raise OrbitError(f"TLE line {number} must have 69 characters and begin with {number}; it is {line!r}")
        expected = tle_checksum(line)
        if line[68] != str(expected):
            raise OrbitError(
                f"TLE line {number} ends with checksum {line[68]}, its characters sum to {expected}: {line!r}"
            )
    if lines[0][2:7] != lines[1][2:7]:
        raise OrbitError(f"TLE lines are of two satellites: {lines[0][2:7]} and {lines[1][2:7]}")
    try:
        satellite = Satrec.twoline2rv(*lines)
    except ValueError as error:
        raise OrbitError(f"TLE {lines[0]!r} / {lines[1]!r} cannot be read: {error}") from error
    if satellite.error:
        raise OrbitError(f"TLE {lines[0]!r} / {lines[1]!r}: {SGP4_ERRORS[satellite.error]}")
    return satellite


def tle_checksum(line: str) -> int:
    """Sum of the digits of the first 68 characters, a minus sign counting 1, modulo 10."""
    return sum(int(char) if char.isdigit() else char == "-" for char in line[:68]) % 10


def sun_synchronous_inclination_deg(altitude_km: float) -> float:
    """Inclination of the circular orbit whose node drifts once a year under J2 (Vallado, equation 9-37 solved for i)."""
    semi_major_km = WGS72_RADIUS_KM + altitude_km
    mean_motion = math.sqrt(WGS72_MU_KM3_S2 / semi_major_km**3)
    node_rate = 2 * math.pi / TROPICAL_YEAR_S
    cosine = -node_rate / (1.5 * mean_motion * WGS72_J2 * (WGS72_RADIUS_KM / semi_major_km) ** 2)
    if cosine < -1:
        raise OrbitError(f"no sun-synchronous orbit exists at {altitude_km} km; stay below 5900 km")
    return math.degrees(math.acos(cosine))


def sun_synchronous_satellite(altitude_km: float, *, descending_node_local_time_h: float, epoch_ms: int) -> Satrec:
    """A drag-free circular sun-synchronous orbit that crosses its ascending node at `epoch_ms`.

    The local time of the descending node is apparent solar time at the epoch: the true Sun, not the mean one, is its hand.
    """
    semi_major_km = WGS72_RADIUS_KM + altitude_km
    sun = sun_km(np.array([epoch_ms], dtype=np.float64))[0]
    sun_right_ascension = math.atan2(sun[1], sun[0])
    ascending_node_local_time_h = (descending_node_local_time_h + 12) % 24
    node = (sun_right_ascension + math.radians(15 * (ascending_node_local_time_h - 12))) % (2 * math.pi)
    satellite = Satrec()
    satellite.sgp4init(
        WGS72,
        "i",
        0,
        (epoch_ms - SGP4_EPOCH_UNIX_MS) / DAY_MS,
        0.0,
        0.0,
        0.0,
        1e-6,
        0.0,
        math.radians(sun_synchronous_inclination_deg(altitude_km)),
        0.0,
        60 * math.sqrt(WGS72_MU_KM3_S2 / semi_major_km**3),
        node,
    )
    return satellite


def epoch_unix_ms(satellite: Satrec) -> int:
    """When the satellite's elements were true, Unix ms."""
    days = float(satellite.jdsatepoch - UNIX_EPOCH_JULIAN_DATE + satellite.jdsatepochF)
    return round(days * DAY_MS)


def teme_km(satellite: Satrec, times_ms: FloatArray) -> FloatArray:
    """Position in TEME, (n, 3) km. Raises OrbitError where SGP4 fails (a decayed orbit, a far epoch)."""
    days, rest_ms = np.divmod(np.asarray(times_ms, dtype=np.float64), DAY_MS)
    codes, positions, _ = satellite.sgp4_array(days + UNIX_EPOCH_JULIAN_DATE, rest_ms / DAY_MS)
    if codes.any():
        first = int(np.flatnonzero(codes)[0])
        raise OrbitError(
            f"SGP4 fails for satellite {satellite.satnum} at Unix time {times_ms[first]:.0f} ms: "
            f"{SGP4_ERRORS[int(codes[first])]}; use elements with an epoch near the start of the mission"
        )
    return np.asarray(positions, dtype=np.float64)


def sidereal_angle_rad(times_ms: FloatArray) -> FloatArray:
    """Greenwich mean sidereal time 1982 in radians, (n,), UT1 taken as UTC (Vallado, equation 3-47)."""
    centuries = (np.asarray(times_ms, dtype=np.float64) - J2000_UNIX_MS) / JULIAN_CENTURY_MS
    seconds = (
        67310.54841 + (876600 * 3600 + 8640184.812866) * centuries + 0.093104 * centuries**2 - 6.2e-6 * centuries**3
    )
    return np.asarray(np.mod(seconds, 86400) * (2 * math.pi / 86400))


def earth_fixed_km(positions_km: FloatArray, times_ms: FloatArray) -> FloatArray:
    """TEME positions turned into the Earth-fixed frame, (n, 3) km."""
    angle = sidereal_angle_rad(times_ms)
    cosine, sine = np.cos(angle), np.sin(angle)
    x, y, z = positions_km.T
    return np.stack([cosine * x + sine * y, cosine * y - sine * x, z], axis=1)


def ground_track(satellite: Satrec, times_ms: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Geodetic latitude and longitude (degrees) of the sub-satellite point, and height above WGS 84 (km), each (n,)."""
    x, y, z = earth_fixed_km(teme_km(satellite, times_ms), times_ms).T
    equatorial = np.hypot(x, y)
    latitude = np.arctan2(z, equatorial * (1 - EARTH_ECCENTRICITY_SQUARED))
    for _ in range(5):  # converges by a factor of 300 or more each time at any height above ground
        normal = EARTH_EQUATORIAL_RADIUS_KM / np.sqrt(1 - EARTH_ECCENTRICITY_SQUARED * np.sin(latitude) ** 2)
        latitude = np.arctan2(z + EARTH_ECCENTRICITY_SQUARED * normal * np.sin(latitude), equatorial)
    sine = np.sin(latitude)
    normal = EARTH_EQUATORIAL_RADIUS_KM / np.sqrt(1 - EARTH_ECCENTRICITY_SQUARED * sine**2)
    height = equatorial * np.cos(latitude) + z * sine - normal * (1 - EARTH_ECCENTRICITY_SQUARED * sine**2)
    return np.degrees(latitude), np.degrees(np.arctan2(y, x)), height


def station_km(station: Station) -> FloatArray:
    """Earth-fixed position of a station, (3,) km."""
    latitude, longitude = math.radians(station.latitude_deg), math.radians(station.longitude_deg)
    normal = EARTH_EQUATORIAL_RADIUS_KM / math.sqrt(1 - EARTH_ECCENTRICITY_SQUARED * math.sin(latitude) ** 2)
    height_km = station.height_m / 1000
    across = (normal + height_km) * math.cos(latitude)
    along = (normal * (1 - EARTH_ECCENTRICITY_SQUARED) + height_km) * math.sin(latitude)
    return np.array([across * math.cos(longitude), across * math.sin(longitude), along])


def station_up(station: Station) -> FloatArray:
    """Unit vector of the ellipsoid's normal at a station, (3,), Earth-fixed."""
    latitude, longitude = math.radians(station.latitude_deg), math.radians(station.longitude_deg)
    return np.array(
        [math.cos(latitude) * math.cos(longitude), math.cos(latitude) * math.sin(longitude), math.sin(latitude)]
    )


def elevation_deg(positions_km: FloatArray, stations_km: FloatArray, ups: FloatArray) -> FloatArray:
    """Geometric elevation (no refraction) in degrees; the three (..., 3) arrays broadcast against each other."""
    sight = positions_km - stations_km
    sine = np.sum(sight * ups, axis=-1) / np.linalg.norm(sight, axis=-1)
    return np.asarray(np.degrees(np.arcsin(np.clip(sine, -1, 1))), dtype=np.float64)


def look_angles(satellite: Satrec, station: Station, times_ms: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Geometric elevation (degrees) and range (km) of the satellite over a station, each (n,)."""
    positions, place = earth_fixed_km(teme_km(satellite, times_ms), times_ms), station_km(station)
    ranges_km = np.linalg.norm(positions - place, axis=1)
    return elevation_deg(positions, place, station_up(station)), np.asarray(ranges_km, dtype=np.float64)


def one_way_delay_ms(satellite: Satrec, station: Station, at_ms: int) -> int:
    """Light time between a station and the satellite, rounded up to whole milliseconds."""
    _, ranges_km = look_angles(satellite, station, np.array([at_ms], dtype=np.float64))
    return math.ceil(1000 * float(ranges_km[0]) / SPEED_OF_LIGHT_KM_PER_S)
