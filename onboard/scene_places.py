"""Where a point of a scene lies on Earth, well enough to tell which area of interest it is in (pure)."""

from typing import Protocol

from downlink.scene import Window
from onboard.policy import Policy

Corners = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]


class Placed(Protocol):
    """What is known of the place of a scene: a `SensorFrame`, or the `SceneSummary` that stands for it."""

    @property
    def height(self) -> int:
        """Rows."""

    @property
    def width(self) -> int:
        """Columns."""

    @property
    def footprint_lonlat(self) -> Corners | None:
        """Corners in degrees, from the upper left, clockwise."""


def area_weight(policy: Policy, frame: Placed, point_px: tuple[float, float]) -> float:
    """The policy's factor for a point (x, y) of a scene; 1 where the scene does not know its place."""
    return policy.area_weight(approximate_lonlat(frame, point_px))


def approximate_lonlat(frame: Placed, point_px: tuple[float, float]) -> tuple[float, float] | None:
    """Longitude and latitude in degrees, bilinear between the corners of the footprint; None where there is none."""
    if frame.footprint_lonlat is None:
        return None
    u, v = point_px[0] / frame.width, point_px[1] / frame.height
    weights = ((1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v)
    lon0 = frame.footprint_lonlat[0][0]
    # Differences from the first corner, the short way round: a footprint may cross the antimeridian.
    east = [(lon - lon0 + 180) % 360 - 180 for lon, _ in frame.footprint_lonlat]
    lon = lon0 + sum(weight * degrees for weight, degrees in zip(weights, east, strict=True))
    lat = sum(weight * corner[1] for weight, corner in zip(weights, frame.footprint_lonlat, strict=True))
    return (lon + 180) % 360 - 180, lat


def centre_px(window: Window) -> tuple[float, float]:
    """Centre (x, y) of a window."""
    return window.col + window.width / 2, window.row + window.height / 2
