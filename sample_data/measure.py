"""Measures scenes, real and generated, in one way, and prints the figures side by side.

    python -m sample_data.measure [--real ../shared/data/s2_ships] [--generated sample_data]

Real scenes: Sentinel-2, `images/*.tif` with YOLO oriented boxes in `labels_obb/*.txt`. The table's columns are the
lowest, the median and the highest of the real scenes, then each generated scene.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from sample_data.canvas import BANDS, FloatArray
from sample_data.shapes import Box
from sample_data.ship_profile import ship_profile

Mask = NDArray[np.bool_]
Figures = dict[str, float]

PATCH_PX = 32
"""Side of the patches in which noise and texture are measured."""

CLOUD_DN = 3600.0
"""Pixels brighter than this in B02 are left out of sea and land: clouds and saturated roofs."""

MERCATOR = 3857
"""EPSG code of the real scenes: their pixels are 10 m x cos(latitude) on the ground."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A scene to measure."""

    name: str
    """File name without its ending."""
    image: FloatArray
    """DN of B02, B03, B04, B08, (4, rows, columns)."""
    boxes: tuple[Box, ...]
    """Ships' outlines in pixels; the axis lies along the longer side."""
    pixel_m: float
    """Ground sampling distance, metres."""


def measure(subject: Subject) -> Figures:
    """All figures of a scene, by name, in the table's order."""
    sea, land = sea_and_land(subject)
    figures: Figures = {}
    for name, mask in (("sea", sea), ("land", land)):
        for band, values in zip(BANDS, subject.image, strict=True):
            for percentile in (5, 50, 95):
                figures[f"{name} {band} p{percentile}"] = float(np.percentile(values[mask], percentile))
    figures |= _sea_noise(subject.image, sea)
    figures |= _land_texture(subject.image, land)
    figures |= _ship_figures(subject, sea)
    return figures


def read_subject(path: Path) -> Subject:
    """A scene with the truth that lies beside it: `<stem>.geojson`, or `../labels_obb/<stem>.txt`."""
    with rasterio.open(path) as dataset:
        image = dataset.read().astype(np.float64)
        bands, height, width = image.shape
        if bands != len(BANDS):
            raise ValueError(f"{path} has {bands} bands: measure scenes with {', '.join(BANDS)}")
        is_mercator = dataset.crs.to_epsg() == MERCATOR
        scale = _mercator_scale((dataset.bounds.top + dataset.bounds.bottom) / 2) if is_mercator else 1.0
        pixel_m = float(dataset.res[0]) * scale
    truth = path.with_suffix(".geojson")
    labels = path.parent.parent / "labels_obb" / f"{path.stem}.txt"
    if truth.exists():
        features = json.loads(truth.read_text())["features"]
        corners = [f["properties"]["px"] for f in features if not f["properties"]["obscured"]]
    elif labels.exists():
        corners = np.loadtxt(labels, ndmin=2)[:, 1:].reshape(-1, 4, 2) * (width, height)
    else:
        raise ValueError(f"no truth for {path}: expected {truth} or {labels}")
    boxes = tuple(_box(np.asarray(c, dtype=np.float64)) for c in corners)
    return Subject(name=path.stem, image=image, boxes=boxes, pixel_m=pixel_m)


def _mercator_scale(northing_m: float) -> float:
    """Ground metres per map metre of the web mercator projection: the cosine of the latitude."""
    return 1.0 / float(np.cosh(northing_m / 6_378_137.0))


def _box(corners: FloatArray) -> Box:
    first, second = corners[1] - corners[0], corners[2] - corners[1]
    longer, shorter = sorted((first, second), key=lambda edge: -float(np.hypot(*edge)))
    return Box(
        x=float(corners[:, 0].mean()),
        y=float(corners[:, 1].mean()),
        length_px=float(np.hypot(*longer)),
        width_px=float(np.hypot(*shorter)),
        angle_rad=float(np.arctan2(longer[1], longer[0])),
    )


def sea_and_land(subject: Subject) -> tuple[Mask, Mask]:
    """Pixels of open sea and of land, both well away from the shore, from clouds, nodata and ships."""
    image = subject.image
    usable = (image > 0).all(axis=0) & (image[0] < CLOUD_DN)
    near_infrared = image[3]
    threshold = _otsu(near_infrared[usable])
    for box in subject.boxes:
        radius = int(box.length_px / 2 + 4)
        x, y = int(box.x), int(box.y)
        usable[max(y - radius, 0) : y + radius, max(x - radius, 0) : x + radius] = False
    dark = near_infrared < threshold
    return _eroded(dark & usable, 5), _eroded(~dark & usable, 3)


def _otsu(values: FloatArray) -> float:
    """The threshold that parts a histogram into two classes of greatest separation (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=256, range=(0.0, 4000.0))
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts).astype(np.float64)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        separation = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(centres[np.nanargmax(separation)])


def _eroded(mask: Mask, radius: int) -> Mask:
    """Pixels whose whole neighbourhood of `radius` lies in the mask."""
    for axis in (0, 1):
        mask = np.logical_and.reduce([np.roll(mask, shift, axis) for shift in range(-radius, radius + 1)])
    return mask


def _patches(image: FloatArray, mask: Mask) -> FloatArray:
    """Patches (n, bands, PATCH_PX, PATCH_PX) wholly inside the mask, with their plane of best fit taken away."""
    found = []
    for y in range(0, image.shape[1] - PATCH_PX + 1, PATCH_PX // 2):
        for x in range(0, image.shape[2] - PATCH_PX + 1, PATCH_PX // 2):
            if mask[y : y + PATCH_PX, x : x + PATCH_PX].all():
                found.append(image[:, y : y + PATCH_PX, x : x + PATCH_PX])
    if not found:
        return np.zeros((0, image.shape[0], PATCH_PX, PATCH_PX))
    patches = np.stack(found)
    ramp = (np.arange(PATCH_PX) - (PATCH_PX - 1) / 2) / np.sqrt((PATCH_PX**2 - 1) / 12)
    patches = patches - patches.mean(axis=(2, 3), keepdims=True)
    patches -= (patches * ramp).mean(axis=(2, 3), keepdims=True) * ramp
    patches -= (patches * ramp[:, None]).mean(axis=(2, 3), keepdims=True) * ramp[:, None]
    residual: FloatArray = patches
    return residual


def _sea_noise(image: FloatArray, sea: Mask) -> Figures:
    """Residual of open water: deviation per band, its correlation with neighbours and between bands."""
    patches = _patches(image, sea)
    deviation = patches.std(axis=(2, 3))
    calm = patches[deviation[:, 3] <= np.median(deviation[:, 3])]
    figures = {f"sea residual {band}, DN": float(np.median(deviation[:, i])) for i, band in enumerate(BANDS)}
    for lag in (1, 2, 4):
        figures[f"sea residual correlation, lag {lag}"] = _lag_correlation(calm[:, :1], lag)
    figures["sea residual correlation B02-B08"] = _band_correlation(calm, 0, 3)
    figures["sea residual correlation B02-B03"] = _band_correlation(calm, 0, 1)
    return figures


def _land_texture(image: FloatArray, land: Mask) -> Figures:
    """Texture of land in B04 and B08: deviation within patches, gradients, and the spectrum's share per octave."""
    patches = _patches(image, land)
    figures: Figures = {}
    for i in (2, 3):
        band = BANDS[i]
        gradient = np.hypot(*np.gradient(image[i]))[land]
        figures[f"land texture {band}, DN"] = float(np.median(patches[:, i].std(axis=(1, 2))))
        figures[f"land gradient {band} p50"] = float(np.percentile(gradient, 50))
        figures[f"land gradient {band} p90"] = float(np.percentile(gradient, 90))
        figures[f"land correlation {band}, lag 1"] = _lag_correlation(patches[:, i : i + 1], 1)
        figures[f"land correlation {band}, lag 3"] = _lag_correlation(patches[:, i : i + 1], 3)
    figures |= _octaves(patches[:, 2])
    return figures


def _octaves(patches: FloatArray) -> Figures:
    """Share of the power at wavelengths of 2-4, 4-8, 8-16 and 16-32 pixels (B04, Hann window)."""
    window = np.hanning(PATCH_PX)
    power = np.abs(np.fft.fft2(patches * window * window[:, None])) ** 2
    frequency = np.hypot(np.fft.fftfreq(PATCH_PX), np.fft.fftfreq(PATCH_PX)[:, None])
    total = power.mean(axis=0)
    shares = {}
    for shortest in (2, 4, 8, 16):
        ring = (frequency <= 1 / shortest) & (frequency > 0.5 / shortest)
        shares[f"land B04 power at {shortest}-{2 * shortest} px"] = float(
            total[ring].sum() / total[(frequency > 0) & (frequency <= 0.5)].sum()
        )
    return shares


def _lag_correlation(patches: FloatArray, lag: int) -> float:
    """Mean of the correlations at a lag along x and along y; median over patches."""
    if len(patches) == 0:
        return float("nan")
    variance = (patches**2).mean(axis=(1, 2, 3))
    along_x = (patches[..., lag:] * patches[..., :-lag]).mean(axis=(1, 2, 3))
    along_y = (patches[..., lag:, :] * patches[..., :-lag, :]).mean(axis=(1, 2, 3))
    return float(np.median((along_x + along_y) / 2 / variance))


def _band_correlation(patches: FloatArray, first: int, second: int) -> float:
    product = (patches[:, first] * patches[:, second]).mean(axis=(1, 2))
    scale = patches[:, first].std(axis=(1, 2)) * patches[:, second].std(axis=(1, 2))
    # Patches cut flat at 0 in a band (the darkest real sea) have no correlation.
    return float(np.median(product[scale > 0] / scale[scale > 0])) if (scale > 0).any() else float("nan")


def _ship_figures(subject: Subject, sea: Mask) -> Figures:
    """Sizes of all ships on the ground, and contrast and edge of those with open water around."""
    lengths = np.array([box.length_px for box in subject.boxes]) * subject.pixel_m
    widths = np.array([box.width_px for box in subject.boxes]) * subject.pixel_m
    figures = {
        "ships": float(len(subject.boxes)),
        "ship outline length p10, m": float(np.percentile(lengths, 10)),
        "ship outline length p50, m": float(np.percentile(lengths, 50)),
        "ship outline length p90, m": float(np.percentile(lengths, 90)),
        "ship outline width p50, m": float(np.percentile(widths, 50)),
    }
    profiles = [p for box in subject.boxes if (p := ship_profile(subject.image, box)) is not None]
    figures["ships in open water"] = float(len(profiles))
    for i, band in enumerate(BANDS):
        figures[f"ship contrast {band}, DN"] = _median([p.contrast[i] for p in profiles])
    for i, band in enumerate(BANDS):
        figures[f"ship peak contrast {band}, DN"] = _median([p.peak[i] for p in profiles])
    figures["outline over half-maximum width"] = _median([p.box_over_fwhm for p in profiles])
    figures["outline minus half-maximum width, m"] = _median([p.box_minus_fwhm_px * subject.pixel_m for p in profiles])
    return figures


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else float("nan")


def print_table(real: list[Figures], generated: list[tuple[str, Figures]]) -> None:
    """A Markdown table of all figures."""
    names = [name for name, _ in generated]
    print("| figure | real: lowest | median | highest | " + " | ".join(names) + " |")
    print("|---|" + "---:|" * (3 + len(names)))
    for key in generated[0][1]:
        values = np.array([figures[key] for figures in real])
        columns = [np.nanmin(values), np.nanmedian(values), np.nanmax(values)] if len(values) else []
        cells = [_cell(value) for value in (*columns, *(figures[key] for _, figures in generated))]
        print(f"| {key} | " + " | ".join(cells) + " |")


def _cell(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2f}"


def real_scenes(folder: Path) -> list[Path]:
    """The real scenes with the bands of the generated ones (santos has other bands)."""
    return [path for path in sorted((folder / "images").glob("*.tif")) if not path.stem.startswith("santos")]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m sample_data.measure", description=__doc__)
    parser.add_argument("--real", type=Path, default=Path("../shared/data/s2_ships"))
    parser.add_argument("--generated", type=Path, default=Path("sample_data"))
    options = parser.parse_args()
    real = [measure(read_subject(path)) for path in real_scenes(options.real)]
    if not real:
        raise SystemExit(f"no real scenes in {options.real}: give their folder with --real")
    generated = [(path.stem, measure(read_subject(path))) for path in sorted(options.generated.glob("*.tif"))]
    print_table(real, generated)


if __name__ == "__main__":
    main()
