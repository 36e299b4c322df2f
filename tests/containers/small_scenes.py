"""Small scenes for quick tests: windows cut out of the sample scenes, with ships in them."""

from pathlib import Path

import rasterio
from rasterio.transform import Affine
from rasterio.windows import Window

from tests.containers.compose import REPOSITORY

WINDOWS = {
    # Name: source, column, row, width and height in pixels.
    "east": ("harbour_20260301.tif", 560, 380, 256, 256),
    "north": ("harbour_20260301.tif", 300, 40, 288, 224),
    "west": ("harbour_20260311.tif", 100, 420, 256, 320),
}


def cut_small_scenes(folder: Path) -> dict[str, Path]:
    """Write them into `folder`; by name."""
    cut = {}
    for name, (source, column, row, width, height) in WINDOWS.items():
        window = Window(column, row, width, height)
        with rasterio.open(REPOSITORY / "sample_data" / source) as scene:
            profile = {**scene.profile, "width": width, "height": height}
            profile |= {"transform": scene.transform @ Affine.translation(column, row), "tiled": False}
            profile.pop("blockxsize", None), profile.pop("blockysize", None)
            path = folder / f"{name}.tif"
            with rasterio.open(path, "w", **profile) as small:
                small.write(scene.read(window=window))
                small.update_tags(**scene.tags())
                for band in scene.indexes:
                    small.set_band_description(band, scene.descriptions[band - 1])
        path.chmod(0o644)
        cut[name] = path
    return cut
