"""Scenario sections of the orbit: elements and ground stations."""

from typing import Annotated, Self

from pydantic import Field, model_validator
from sgp4.api import Satrec

from mission.errors import OrbitError
from mission.orbit import Station, satellite_from_tle, sun_synchronous_satellite
from mission.scenario_section import Section


class StationSection(Section):
    """One of `[[orbit.stations]]`."""

    name: Annotated[str, Field(min_length=1)]
    """What the station is called."""
    latitude_deg: Annotated[float, Field(ge=-90, le=90)]
    """Geodetic latitude, north positive."""
    longitude_deg: Annotated[float, Field(ge=-180, le=360)]
    """Longitude, east positive."""
    height_m: Annotated[float, Field(ge=-500, le=9000)] = 0.0
    """Height above the ellipsoid, metres."""
    min_elevation_deg: Annotated[float, Field(ge=0, lt=90)] = 10.0
    """Elevation below which the satellite is not heard, degrees."""

    def station(self) -> Station:
        """The station as the orbit code takes it."""
        return Station(**self.model_dump())


class OrbitSection(Section):
    """`[orbit]`: either two-line elements or the altitude of a sun-synchronous circle."""

    tle: Annotated[tuple[str, str], Field(strict=False)] | None = None
    """Line 1 and line 2 of a two-line element set, its epoch within a few days of the mission's start."""
    altitude_km: Annotated[float, Field(ge=200, le=2000)] | None = None
    """Altitude of a circular sun-synchronous orbit, km, instead of a TLE."""
    descending_node_local_time_h: Annotated[float, Field(ge=0, lt=24)] = 10.5
    """Local solar time at which the synthetic orbit crosses the equator southwards, hours; only with `altitude_km`."""
    stations: Annotated[tuple[StationSection, ...], Field(strict=False)] = ()
    """The ground stations."""

    @model_validator(mode="after")
    def _one_orbit(self) -> Self:
        if (self.tle is None) == (self.altitude_km is None):
            raise ValueError("give exactly one of tle (two lines) and altitude_km")
        if self.tle is not None:
            try:
                satellite_from_tle(*self.tle)
            except OrbitError as error:
                raise ValueError(str(error)) from error
        names = [station.name for station in self.stations]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"station names must differ; repeated: {', '.join(doubled)}")
        return self

    def satellite(self, start_ms: int) -> Satrec:
        """The satellite; a synthetic orbit crosses its ascending node at `start_ms`."""
        if self.tle is not None:
            return satellite_from_tle(*self.tle)
        if self.altitude_km is None:
            raise OrbitError("the orbit has neither a TLE nor an altitude")
        return sun_synchronous_satellite(
            self.altitude_km, descending_node_local_time_h=self.descending_node_local_time_h, epoch_ms=start_ms
        )
