"""GDAL's errors as errors of this room (edge: rasterio)."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from ground.errors import CatalogueError

RASTER_ERRORS: Final = (RasterioError, CPLE_BaseError, SystemError)
"""rasterio lets some errors of GDAL through as they are (CPLE_BaseError), and those it does not know as SystemError."""

REMEDY: Final = "check free space and rights of the folder, then publish again"


@contextmanager
def told_as_ours(what: str, path: Path) -> Iterator[None]:
    """Raise CatalogueError that begins with `what`; say nothing of scenes without a georeference, which are no news."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            yield
        except RASTER_ERRORS as error:
            raise CatalogueError(f"{what}: {error}; {REMEDY}", path=path) from error
