"""Cloud screening against reference masks, false alarms on cloud-free scenes, and speed: python -m benchmarks.screening

A tile is useful when at most 70 % of it is cloud in the reference mask; it is lost when screening sets it aside, for whatever reason. Tiles
are cut at several sizes because the scenes with masks are small. The limits of `CloudSettings` were chosen while looking
at these same scenes: the figures say how the tests behave here, not how they do elsewhere.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from downlink.scene import TileOutcome
from onboard.cloud import BandRole, CloudSettings, cloud_mask
from onboard.ingest import IngestSettings, open_scene
from onboard.screening import Screening, ScreeningSettings, screen
from onboard.sensor_frame import SensorFrame
from onboard.tiles import TileWindow, tile_grid

DATA = Path(os.environ.get("TIANSHU_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
USEFUL_CLOUD = 0.7
TILE_SIZES_PX = (16, 32, 64, 128, 256, 512)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A scene, and what is known of its cloud."""

    path: Path
    """Scene file."""
    cloud: CloudSettings = SENTINEL_2
    """Settings for its sensor."""
    mask_path: Path | None = None
    """Reference mask; None for a scene looked at and found without cloud."""
    cloud_values: tuple[int, ...] = ()
    """Values of the mask that mean cloud."""
    cloud_free: bool = True
    """Without a mask: whether the scene is known to have no cloud."""


@dataclass(slots=True)
class TileCount:
    """Tiles of one scene at one size."""

    useful: int = 0
    lost: int = 0
    cloudy: int = 0
    caught: int = 0


@dataclass(slots=True)
class CaseResult:
    """What came out for one scene."""

    agreeing_px: int = 0
    cloud_px: int = 0
    found_px: int = 0
    false_px: int = 0
    total_px: int = 0
    tiles: dict[int, TileCount] = field(default_factory=dict)


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


def reference_cloud(case: Case, frame: SensorFrame) -> NDArray[np.bool_]:
    """(height, width), True where the reference mask says cloud."""
    if case.mask_path is None:
        return np.zeros((frame.height, frame.width), dtype=np.bool_)
    with open_scene(case.mask_path, IngestSettings(allow_no_crs=True)) as mask:
        return np.isin(mask.read(whole(mask).core)[0], case.cloud_values)


def whole(frame: SensorFrame) -> TileWindow:
    """The scene as one tile: these files are small."""
    return tile_grid(frame.height, frame.width, tile_px=max(frame.height, frame.width), halo_px=0)[0]


def judge(case: Case) -> CaseResult:
    """Compare screening with the reference, per pixel and per tile at every size that fits in the scene."""
    result = CaseResult()
    settings = ScreeningSettings(cloud=case.cloud)
    with open_scene(case.path, IngestSettings(allow_no_crs=True)) as frame:
        cloud = reference_cloud(case, frame)
        pixels, valid = frame.read(whole(frame).core), frame.valid(whole(frame).core)
        valid &= np.any(pixels != 0, axis=0)  # Landsat files outside the swath declare no nodata
        found = cloud_mask(pixels, frame.band_names, case.cloud)
        if found is None:
            return result
        result.total_px = int(valid.sum())
        result.agreeing_px = int(((found == cloud) & valid).sum())
        result.cloud_px = int((cloud & valid).sum())
        result.found_px = int((found & cloud & valid).sum())
        result.false_px = int((found & ~cloud & valid).sum())
        for size in TILE_SIZES_PX:
            if size <= max(frame.height, frame.width):
                count = result.tiles[size] = TileCount()
                for tile in tile_grid(frame.height, frame.width, tile_px=size, halo_px=0):
                    rows, cols = tile.core.slices
                    inside = valid[rows, cols]
                    if inside.mean() >= 0.5:
                        screening = screen(pixels[:, rows, cols], inside, frame.band_names, settings)
                        add_tile(count, screening, float(cloud[rows, cols][inside].mean()))
    return result


def add_tile(count: TileCount, screening: Screening, reference: float) -> None:
    """Count one tile whose true cloud share is `reference`."""
    set_aside = screening.outcome is not TileOutcome.KEPT
    if reference <= USEFUL_CLOUD:
        count.useful += 1
        count.lost += set_aside
    else:
        count.cloudy += 1
        count.caught += set_aside


def print_accuracy() -> None:
    """One line per scene, then the sums per tile size."""
    sums = {size: TileCount() for size in TILE_SIZES_PX}
    print(
        f"{'scene':36} {'cloud %':>8} {'agree %':>8} {'found %':>8} {'false %':>8}   lost/useful, caught/cloudy tiles"
    )
    for case in cases():
        result = judge(case)
        if result.total_px == 0:
            print(f"{case.path.stem:36} not judged: the bands cannot tell cloud")
            continue
        known = case.mask_path is not None or case.cloud_free
        tiles = []
        for size, count in result.tiles.items():
            tiles.append(f"{size}: {count.lost}/{count.useful}, {count.caught}/{count.cloudy}")
            if known:
                for name in ("useful", "lost", "cloudy", "caught"):
                    setattr(sums[size], name, getattr(sums[size], name) + getattr(count, name))
        clear_px = max(1, result.total_px - result.cloud_px)
        if not known:
            print(
                f"{case.path.stem:36} no mask; called cloud {100 * result.false_px / result.total_px:5.1f} % of pixels"
            )
            continue
        found = f"{100 * result.found_px / result.cloud_px:8.1f}" if result.cloud_px else f"{'-':>8}"
        print(
            f"{case.path.stem:36} {100 * result.cloud_px / result.total_px:8.1f} "
            f"{100 * result.agreeing_px / result.total_px:8.1f} {found} {100 * result.false_px / clear_px:8.2f}   "
            + "  ".join(tiles)
        )
    for size, count in sums.items():
        print(
            f"tiles of {size:3} px: useful {count.useful}, lost {count.lost} "
            f"({100 * count.lost / max(1, count.useful):.2f} %); cloudy {count.cloudy}, caught {count.caught} "
            f"({100 * count.caught / max(1, count.cloudy):.0f} %)"
        )


def print_speed(repeats: int) -> None:
    """Megapixels per second of CPU time on tiles of 512 px with structure, all tests run."""
    random = np.random.default_rng(20261122)
    names = ("B02", "B03", "B04", "B08", "B11", "B10", "B01", "B05", "B06", "B07", "B8A", "B09", "B12")
    settings = ScreeningSettings()
    for bands, dtype, valid_share in ((4, "uint16", 1.0), (4, "uint16", 0.7), (13, "uint16", 1.0), (4, "uint8", 1.0)):
        pixels = random.normal(90, 12, (bands, 512, 512)).clip(1, 250).astype(dtype)
        valid = np.arange(512 * 512).reshape(512, 512) < valid_share * 512 * 512
        samples = []
        for _ in range(repeats):
            start = time.process_time()
            screen(pixels, valid, names[:bands], settings)
            samples.append(time.process_time() - start)
        print(
            f"speed: {bands:2} bands {dtype:6} {100 * valid_share:3.0f} % valid: "
            f"{pixels[0].size / 1e6 / float(np.median(samples)):6.0f} Mpix/s"
        )


def main() -> int:
    """Print the figures. Returns 1 when the shared data is not there."""
    parser = argparse.ArgumentParser(description="Cloud screening against reference masks, and its speed.")
    parser.add_argument("--repeats", type=int, default=50, help="timed runs per line of the speed table")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        print(f"no data at {DATA}: accuracy is not measured", file=sys.stderr)
    else:
        print_accuracy()
    print_speed(arguments.repeats)
    return 0 if DATA.is_dir() else 1


if __name__ == "__main__":
    sys.exit(main())
