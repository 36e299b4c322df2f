"""What the bands of a scene must be like to be taken, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np

from downlink.scene import MAX_BANDS
from onboard.errors import SceneFormatError

ACCEPTED: Final = "uint8 or uint16"

COLOURS_WITHOUT_A_NAME: Final = ("undefined", "gray", "grey", "palette")
"""GDAL colour interpretations that say nothing about what a band sees."""


def checked_dtype(dtypes: Sequence[str], path: Path) -> Literal["uint8", "uint16"]:
    """The sample type common to all image bands. Raises SceneFormatError for too many bands, or another type."""
    if len(dtypes) > MAX_BANDS:
        raise SceneFormatError(
            f"{path} has {len(dtypes)} bands, at most {MAX_BANDS} are taken; "
            f"choose some with gdal_translate -b 1 -b 2 ... {path.name} fewer.tif",
            path=path,
            found=f"{len(dtypes)} bands",
            accepted=f"1 to {MAX_BANDS} bands",
        )
    different = sorted(set(dtypes))
    if len(different) > 1:
        raise SceneFormatError(
            f"{path} mixes sample types {', '.join(different)}; make them one with gdal_translate -ot UInt16",
            path=path,
            found=", ".join(different),
            accepted=ACCEPTED,
        )
    if different == ["uint8"]:
        return "uint8"
    if different == ["uint16"]:
        return "uint16"
    raise SceneFormatError(
        f"{path} has samples of type {different[0]}, {ACCEPTED} are taken; convert with "
        f"gdal_translate -ot UInt16 -scale MIN MAX 0 10000 {path.name} converted.tif",
        path=path,
        found=different[0],
        accepted=ACCEPTED,
    )


def checked_nodata(values: Sequence[float | None], dtype: str, path: Path, notes: list[str]) -> float | None:
    """The nodata value common to all image bands; one that no sample can hold is dropped with a note.

    Raises SceneFormatError when bands declare different values.
    """
    if len({str(value) for value in values}) > 1:
        raise SceneFormatError(
            f"{path} declares a different nodata value per band ({', '.join(str(value) for value in values)}); "
            "declare one with gdal_translate -a_nodata VALUE",
            path=path,
            found=f"{len(set(values))} nodata values",
            accepted="one nodata value, or none",
        )
    nodata = values[0]
    if nodata is None:
        return None
    if not (float(nodata).is_integer() and 0 <= nodata <= np.iinfo(dtype).max):
        notes.append(f"nodata value {nodata} cannot occur in {dtype} samples and is ignored")
        return None
    return float(nodata)


def names_of_bands(
    descriptions: Sequence[str | None], colours: Sequence[str], *, chosen: tuple[str, ...] | None, path: Path
) -> tuple[str, ...]:
    """The chosen names, else the descriptions, else the colours, else B1, B2, ...; each one distinct.

    Raises SceneFormatError when the chosen names do not fit the bands.
    """
    if chosen is not None:
        if len(chosen) != len(colours) or len(set(chosen)) != len(chosen):
            raise SceneFormatError(
                f"band_names gives {len(chosen)} names ({', '.join(chosen)}) for the {len(colours)} bands of {path}; "
                "give one distinct name per band",
                path=path,
                found=f"{len(colours)} bands",
                accepted=f"{len(chosen)} distinct names",
            )
        return chosen
    described = [(description or "").strip() for description in descriptions]
    coloured = ["" if colour in COLOURS_WITHOUT_A_NAME else colour for colour in colours]
    for named in (described, coloured):
        filled = tuple(name or f"B{number}" for number, name in enumerate(named, start=1))
        if any(named) and len(set(filled)) == len(filled):
            return filled
    return tuple(f"B{number}" for number in range(1, len(colours) + 1))
