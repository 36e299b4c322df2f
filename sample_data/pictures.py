"""Draws README.md's pictures: the scenes, real crops beside generated ones, histograms. Needs matplotlib.

python -m sample_data.pictures [--real ../shared/data/s2_ships] [--out sample_data/pictures]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from sample_data.canvas import BANDS, FloatArray
from sample_data.measure import Subject, read_subject, real_scenes, sea_and_land

CROP_PX = 150

REAL_CROPS = (
    ("valencia_2023-08-23", 250, 215, "Valencia: terminal"),
    ("hedland_2023-07-30", 545, 120, "Port Hedland: wakes"),
    ("algiers_2023-08-17", 893, 610, "Algiers: at anchor"),
    ("marseille_2023-08-22", 1180, 930, "Marseille: town"),
    ("valencia_2023-08-23", 20, 900, "Valencia: fields"),
    ("gdynia_2023-06-11", 745, 440, "Gdynia: piers"),
)
"""Stem, left column, top row, caption."""

GENERATED_CROPS = (
    ("harbour_20260301", 395, 500, "terminal"),
    ("harbour_20260301", 240, 225, "wakes"),
    ("harbour_20260311", 120, 330, "at anchor, hazy"),
    ("harbour_20260301", 560, 540, "town"),
    ("harbour_20260301", 746, 300, "fields"),
    ("harbour_20260311", 395, 400, "piers"),
)

Image8 = NDArray[np.float64]


def true_colour(image: FloatArray, brightest_dn: float = 2600.0) -> Image8:
    """Red, green, blue in 0..1 for display, (rows, columns, 3); the same stretch for every picture."""
    shown: Image8 = np.moveaxis(np.clip(image[[2, 1, 0]] / brightest_dn, 0.0, 1.0) ** 0.6, 0, -1)
    return shown


def draw_scenes(subjects: dict[str, Subject], path: Path) -> None:
    """The generated dates, true colour above near infrared with the truth's outlines."""
    figure, axes = plt.subplots(2, len(subjects), figsize=(10.8, 10.3), layout="tight")
    for column, subject in enumerate(subjects.values()):
        axes[0, column].imshow(true_colour(subject.image))
        axes[0, column].set_title(f"{subject.name}: B04, B03, B02", fontsize=9)
        axes[1, column].imshow(np.clip(subject.image[3] / 3500.0, 0, 1) ** 0.6, cmap="gray", vmin=0, vmax=1)
        axes[1, column].set_title("B08 and the truth (ships not hidden by cloud)", fontsize=9)
        for box in subject.boxes:
            ring = np.array([*box.corners(), box.corners()[0]])
            axes[1, column].plot(ring[:, 0] - 0.5, ring[:, 1] - 0.5, color="yellow", linewidth=0.6)
    for axis in axes.flat:
        axis.axis("off")
    figure.savefig(path, dpi=85, pil_kwargs={"quality": 80})
    plt.close(figure)


def draw_crops(real: dict[str, Subject], generated: dict[str, Subject], path: Path) -> None:
    """Real crops in the upper row, generated crops in the lower, at one scale and one stretch."""
    figure, axes = plt.subplots(2, len(REAL_CROPS), figsize=(15.0, 5.4), layout="tight")
    rows = (("real", real, REAL_CROPS), ("generated", generated, GENERATED_CROPS))
    for row, (kind, subjects, crops) in enumerate(rows):
        for column, (stem, left, top, caption) in enumerate(crops):
            part = subjects[stem].image[:, top : top + CROP_PX, left : left + CROP_PX]
            axes[row, column].imshow(true_colour(part), interpolation="nearest")
            axes[row, column].set_title(f"{kind}: {caption}", fontsize=9)
            axes[row, column].axis("off")
    figure.savefig(path, dpi=80, pil_kwargs={"quality": 82})
    plt.close(figure)


def draw_histograms(real: dict[str, Subject], generated: dict[str, Subject], path: Path) -> None:
    """Distribution of sea and land per band: each real scene a thin line, each generated date a thick one."""
    figure, axes = plt.subplots(2, len(BANDS), figsize=(13.0, 5.2), layout="tight")
    for subjects, style in ((real, {"color": "0.6", "linewidth": 0.8}), (generated, {"linewidth": 1.8})):
        for subject in subjects.values():
            for row, (mask, highest_dn) in enumerate(zip(sea_and_land(subject), (1800.0, 5000.0), strict=True)):
                for column in range(len(BANDS)):
                    density, edges = np.histogram(
                        subject.image[column][mask], bins=100, range=(0.0, highest_dn), density=True
                    )
                    axes[row, column].plot((edges[1:] + edges[:-1]) / 2, density * highest_dn / 100, **style)
    for row, ground in enumerate(("sea", "land")):
        for column, band in enumerate(BANDS):
            axes[row, column].set_title(f"{ground} {band}, DN", fontsize=9)
            axes[row, column].set_yticks([])
            axes[row, column].set_ylim(0, 0.35 if row == 0 else 0.12)
    figure.savefig(path, dpi=70)
    plt.close(figure)


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(prog="python -m sample_data.pictures", description=__doc__)
    parser.add_argument("--real", type=Path, default=Path("../shared/data/s2_ships"))
    parser.add_argument("--out", type=Path, default=Path("sample_data/pictures"))
    options = parser.parse_args()
    matplotlib.use("Agg")
    real = {path.stem: read_subject(path) for path in real_scenes(options.real)}
    generated = {path.stem: read_subject(path) for path in sorted(Path("sample_data").glob("*.tif"))}
    options.out.mkdir(parents=True, exist_ok=True)
    draw_scenes(generated, options.out / "scenes.jpg")
    draw_crops(real, generated, options.out / "real_and_generated.jpg")
    draw_histograms(real, generated, options.out / "histograms.png")


if __name__ == "__main__":
    main()
