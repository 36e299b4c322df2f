"""The link budget: Es/N0 at the ground's demodulator from where the satellite stands (pure, decibels).

    Es/N0 = EIRP - L_space - L_atmosphere - L_other + G/T - k - 10 log10(symbol rate)

Sources: Maral and Bousquet, "Satellite Communications Systems", 5th ed., chapter 5; free-space loss after ITU-R P.525-4;
slant range of a sphere by the law of cosines.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from downlink.errors import RadioError

BOLTZMANN_DB: Final = -228.5991672
"""10 log10 of 1.380649e-23 J/K, dBW/(K Hz)."""
SPEED_OF_LIGHT_M_PER_S: Final = 299_792_458.0
MEAN_EARTH_RADIUS_KM: Final = 6371.0
LOWEST_ELEVATION_DEG: Final = 0.5
"""Below it every slant path is taken for this one: neither the table nor the cosecant law says anything there."""

TABLE_ELEVATIONS_DEG: Final = (5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Atmosphere:
    """Loss on the way through the air, by elevation."""

    loss_db: tuple[float, ...]
    """One loss per entry of TABLE_ELEVATIONS_DEG, falling with elevation, dB."""

    def __post_init__(self) -> None:
        falling = all(former >= latter for former, latter in pairwise(self.loss_db))
        if len(self.loss_db) != len(TABLE_ELEVATIONS_DEG) or not falling or not self.loss_db[-1] >= 0:
            raise RadioError(
                f"atmospheric losses {self.loss_db} dB; give one for each of {TABLE_ELEVATIONS_DEG} degrees, none negative, "
                "none above the one at a lower elevation"
            )

    @classmethod
    def from_zenith(cls, zenith_loss_db: float) -> "Atmosphere":
        """A flat layer: loss over the sine of the elevation (ITU-R P.676-13, annex 2, section 2.2, for 5 to 90 degrees)."""
        return cls(loss_db=tuple(zenith_loss_db * _air_masses(elevation) for elevation in TABLE_ELEVATIONS_DEG))

    def loss_at(self, elevation_deg: float) -> float:
        """Loss in dB; between the table's elevations, and below the lowest, linear in the length of the path."""
        path = _air_masses(elevation_deg)
        paths = [-_air_masses(elevation) for elevation in TABLE_ELEVATIONS_DEG]  # negated: bisect wants a rising list
        right = min(max(1, bisect_left(paths, -path)), len(paths) - 1)
        (far, near), (most, least) = paths[right - 1 : right + 1], self.loss_db[right - 1 : right + 1]
        share = (path + near) / (near - far)
        return max(0.0, least + share * (most - least))


S_BAND: Final = Atmosphere(loss_db=(1.176, 0.538, 0.249, 0.162, 0.109, 0.087, 0.074))
X_BAND: Final = Atmosphere(loss_db=(2.683, 1.273, 0.618, 0.414, 0.285, 0.230, 0.197))
KA_BAND: Final = Atmosphere(loss_db=(20.896, 11.084, 6.033, 4.349, 3.286, 2.824, 2.495))
"""Losses that are exceeded for 1 % of an average year at 2.25, 8.2 and 26.25 GHz over a station at 46.5 S, 168.4 E (oceanic
temperate, the wettest of the shipped scenarios) with an antenna of 5 m. Made offline with the package itur 0.4.0:
`atmospheric_attenuation_slant_path(-46.5286, 168.3811, f, elevation, 1.0, 5.0)`, which sums gases (P.676-12), clouds (P.840-7), rain
and scintillation (P.618-13). For a tropical or a dry station give the loss at the zenith instead."""

BAND_LIMITS_HZ: Final = ((1.0e9, 4.0e9, S_BAND), (7.0e9, 9.0e9, X_BAND), (25.0e9, 27.5e9, KA_BAND))
"""Where the tables are close enough to be used."""


def atmosphere_of_band(frequency_hz: float) -> Atmosphere:
    """The table of a frequency's band. Raises RadioError between the bands."""
    for low_hz, high_hz, atmosphere in BAND_LIMITS_HZ:
        if low_hz <= frequency_hz <= high_hz:
            return atmosphere
    bands = ", ".join(f"{low_hz / 1e9:g} to {high_hz / 1e9:g}" for low_hz, high_hz, _ in BAND_LIMITS_HZ)
    raise RadioError(
        f"no table of the atmosphere for {frequency_hz / 1e9:g} GHz (tables: {bands} GHz); give the loss at the zenith"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Radio:
    """Transmitter, receiver and the air between, validated at birth (raises RadioError)."""

    frequency_hz: float
    """Carrier."""
    eirp_dbw: float
    """Radiated power times antenna gain of the satellite, feeder losses taken off, dBW."""
    g_over_t_db_per_k: float
    """Antenna gain over system noise temperature of the station, dB/K."""
    symbol_rate_hz: float
    """Channel symbols per second."""
    other_losses_db: float
    """Pointing, polarisation and implementation of the demodulator together, dB."""
    atmosphere: Atmosphere
    """Loss of the air by elevation."""

    def __post_init__(self) -> None:
        if not (self.frequency_hz > 0 and self.symbol_rate_hz > 0 and self.other_losses_db >= 0):
            raise RadioError(
                f"radio at {self.frequency_hz} Hz with {self.symbol_rate_hz} symbols/s and {self.other_losses_db} dB of losses: "
                "frequency and symbol rate are above 0, losses at least 0"
            )

    def es_n0_db(self, *, range_km: float, elevation_deg: float) -> float:
        """Symbol energy over noise density at the demodulator, dB."""
        density_db = self.c_n0_dbhz(range_km=range_km, elevation_deg=elevation_deg)
        return density_db - 10 * math.log10(self.symbol_rate_hz)

    def c_n0_dbhz(self, *, range_km: float, elevation_deg: float) -> float:
        """Carrier power over noise density at the demodulator, dB Hz."""
        losses_db = free_space_loss_db(range_km, self.frequency_hz) + self.atmosphere.loss_at(elevation_deg)
        return self.eirp_dbw - losses_db - self.other_losses_db + self.g_over_t_db_per_k - BOLTZMANN_DB


def free_space_loss_db(range_km: float, frequency_hz: float) -> float:
    """20 log10(4 pi d / lambda) between isotropic antennas, dB."""
    if not (range_km > 0 and frequency_hz > 0):
        raise RadioError(f"free-space loss over {range_km} km at {frequency_hz} Hz: both must be above 0")
    return 20 * math.log10(4e3 * math.pi * range_km * frequency_hz / SPEED_OF_LIGHT_M_PER_S)


def slant_range_km(elevation_deg: float, altitude_km: float, *, earth_radius_km: float = MEAN_EARTH_RADIUS_KM) -> float:
    """Distance to a satellite at an altitude above a spherical Earth, seen at an elevation."""
    sine = math.sin(math.radians(elevation_deg))
    return math.sqrt((earth_radius_km * sine) ** 2 + 2 * earth_radius_km * altitude_km + altitude_km**2) - (
        earth_radius_km * sine
    )


def _air_masses(elevation_deg: float) -> float:
    """Length of the path through a flat layer, in lengths of the path to the zenith."""
    return 1 / math.sin(math.radians(max(LOWEST_ELEVATION_DEG, elevation_deg)))
