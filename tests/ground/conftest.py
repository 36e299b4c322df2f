"""Scenes and received images for the tests of the ground."""

from collections.abc import Callable

import numpy as np
import pytest

from downlink.image_layers import DecodedImage
from downlink.scene import Georeference, SceneSummary, TileOutcome, Window

UTM_17N = 'PROJCS["WGS 84 / UTM zone 17N",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",-81],PARAMETER["scale_factor",0.9996],PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["metre",1],AUTHORITY["EPSG","32617"]]'  # noqa: E501


@pytest.fixture(scope="session")
def make_summary() -> Callable[..., SceneSummary]:
    """A summary of a scene in UTM zone 17 north, 10 m pixels; any field may be given."""

    def make(**fields: object) -> SceneSummary:
        height, width = fields.get("height", 40), fields.get("width", 56)
        tile_px = fields.get("tile_px", 16)
        assert isinstance(height, int) and isinstance(width, int) and isinstance(tile_px, int)
        tiles = -(-height // tile_px) * -(-width // tile_px)
        return SceneSummary.model_validate(
            {
                "scene": 0x12345678,
                "name": "harbour",
                "captured_ms": 1_700_000_000_123,
                "height": height,
                "width": width,
                "dtype": "uint16",
                "band_names": ("B02", "B03", "B04", "B08"),
                "nodata": 0,
                "georeference": Georeference(crs_wkt=UTM_17N, transform=(10, 0, 500_000, 0, -10, 4_000_000)),
                "peak_dn": 10_000,
                "tile_px": tile_px,
                "tile_outcomes": (TileOutcome.KEPT,) * tiles,
                "gsd_m": 10.0,
                "footprint_lonlat": ((-81.0, 36.15), (-80.9, 36.15), (-80.9, 36.1), (-81.0, 36.1)),
                "model": "ships@1",
                "classes": ("ship",),
                "policy": "ports",
            }
            | fields
        )

    return make


@pytest.fixture(scope="session")
def make_image() -> Callable[..., DecodedImage]:
    """A received image of one window, cut from an original; a lossy one is off by `off_by` DN in every valid sample."""

    def make(
        original: np.ndarray,
        window: Window,
        *,
        valid: np.ndarray | None = None,
        mse: float = 0.0,
        lossless: bool = False,
        off_by: int = 0,
    ) -> DecodedImage:
        pixels = original[:, *window.slices].copy()
        has_data = np.ones(pixels.shape[1:], bool) if valid is None else valid[window.slices]
        pixels[:, has_data] += np.asarray(off_by, dtype=pixels.dtype)
        return DecodedImage(window=window, pixels=pixels, valid=has_data, mse=mse, lossless=lossless)

    return make
