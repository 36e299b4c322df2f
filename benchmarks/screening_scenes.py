"""Scenes that say something about cloud screening: with reference masks, or looked at and found without cloud."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from downlink.scene import Window
from onboard.cloud import BandRole, CloudSettings, band_roles
from onboard.ingest import IngestSettings, open_scene

DATA = Path(os.environ.get("TIANSHU_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

LANDSAT_8 = {
    "B2": BandRole.BLUE,
    "B3": BandRole.GREEN,
    "B4": BandRole.RED,
    "B5": BandRole.NIR,
    "B6": BandRole.SWIR16,
    "B9": BandRole.CIRRUS,
}
LANDSAT_5_7 = {
    "B1": BandRole.BLUE,
    "B2": BandRole.GREEN,
    "B3": BandRole.RED,
    "B4": BandRole.NIR,
    "B5": BandRole.SWIR16,
}
SENTINEL_2 = CloudSettings()
LANDSAT_8_LEVEL_1 = CloudSettings(band_roles=LANDSAT_8, reflectance_gain=2e-5, reflectance_offset=-0.1)
"""USGS Landsat 8 Data Users Handbook, section 5.2: reflectance multiplier and offset, sun angle left out."""
LANDSAT_5_7_LEVEL_1 = CloudSettings(band_roles=LANDSAT_5_7)

_VISIBLE = (BandRole.BLUE, BandRole.GREEN, BandRole.RED)
BAND_SETS: dict[str, tuple[BandRole, ...] | None] = {
    "all bands": None,
    "blue green red NIR": (*_VISIBLE, BandRole.NIR),
    "blue green red": _VISIBLE,
}
"""What of a scene's bands a poorer camera has; None: all that there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A scene file, and what is known of its cloud."""

    path: Path
    """Scene file."""
    cloud: CloudSettings = SENTINEL_2
    """Settings for its sensor."""
    mask_path: Path | None = None
    """Reference mask; None for a scene looked at and found without cloud."""
    cloud_values: tuple[int, ...] = ()
    """Values of the mask that mean cloud."""
    cloud_free: bool = True
    """Without a mask: whether the scene is known to have no tile of cloud."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudScene:
    """A scene in memory; these files are small."""

    name: str
    """Of the file."""
    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    """(bands, height, width)."""
    band_names: tuple[str, ...]
    """In the order of the bands."""
    valid: NDArray[np.bool_]
    """(height, width)."""
    reference: NDArray[np.bool_] | None
    """(height, width), where the reference says cloud; nowhere for a scene without cloud; None where nobody knows."""
    is_masked: bool
    """Whether the reference is a mask, not an eye that found no cloud."""
    cloud: CloudSettings
    """Settings for its sensor."""

    def with_bands(self, chosen: tuple[BandRole, ...] | None) -> CloudScene:
        """The scene as a camera sees it that has these bands alone."""
        if chosen is None:
            return self
        roles = band_roles(self.band_names, self.cloud)
        kept = [roles[role] for role in chosen if role in roles]
        return replace(self, pixels=self.pixels[kept], band_names=tuple(self.band_names[index] for index in kept))


def cases() -> Iterator[Case]:
    """Every scene of the shared data that says something about cloud screening."""
    clouds, stacks = DATA / "clouds", DATA / "multitemporal"
    for name, cloud, values in (
        ("ukis_sentinel2", SENTINEL_2, (4,)),
        ("ukis_landsat5", SENTINEL_2, (4,)),
        ("l8_gulfcoast_cloudy", LANDSAT_8_LEVEL_1, (2,)),
        ("multisensor_041027_LC08_20150604", LANDSAT_8_LEVEL_1, (2,)),
    ):
        yield Case(path=clouds / f"{name}.tif", cloud=cloud, mask_path=clouds / f"{name}_mask.tif", cloud_values=values)
    for path in sorted((stacks / "s2_l1c_13band_5dates").glob("*[0-9].tif")):
        yield Case(path=path, mask_path=path.with_name(f"{path.stem}_cloudmask.tif"), cloud_values=(1, 255))
    for path in sorted((DATA / "s2_ships" / "images").glob("*.tif")):
        yield Case(path=path)
    for path in sorted((stacks / "naip_10dates").glob("*.tif")):
        yield Case(path=path)
    for path in sorted((DATA / "planetscope_ships" / "images").glob("*.*")):
        yield Case(path=path, cloud=CloudSettings(band_roles=dict(zip(("B1", "B2", "B3"), BandRole, strict=False))))
    for name in ("LE07_20070505", "LT05_19970602"):
        yield Case(path=clouds / f"multisensor_041027_{name}.tif", cloud=LANDSAT_5_7_LEVEL_1, cloud_free=False)
    yield Case(path=DATA / "georef_samples" / "rasterio_tests" / "RGB.byte.tif", cloud_free=False)


def load(case: Case) -> CloudScene:
    """Read a scene with its mask."""
    allow = IngestSettings(allow_no_crs=True)
    with open_scene(case.path, allow) as frame:
        whole = Window(row=0, col=0, height=frame.height, width=frame.width)
        pixels, valid, names = frame.read(whole), frame.valid(whole), frame.band_names
    valid &= np.any(pixels != 0, axis=0)  # Landsat files outside the swath declare no nodata
    reference: NDArray[np.bool_] | None = np.zeros(valid.shape, dtype=np.bool_) if case.cloud_free else None
    if case.mask_path is not None:
        with open_scene(case.mask_path, allow) as mask:
            reference = np.isin(mask.read(whole)[0], case.cloud_values)
    return CloudScene(
        name=case.path.stem,
        pixels=pixels,
        band_names=names,
        valid=valid,
        reference=reference,
        is_masked=case.mask_path is not None,
        cloud=case.cloud,
    )
