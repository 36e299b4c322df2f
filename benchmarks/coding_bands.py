"""What decorrelating the bands saves: the same blocks with the band transform and without it, lossless and at equal PSNR."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from unittest.mock import patch

from benchmarks.coding_equal_psnr import Contender, JudgedContender
from benchmarks.coding_ours import EVEN_LADDER_PERCENT, blocks_of, with_ladder
from benchmarks.coding_scenes import CodingScene
from onboard.policy import Policy

BANDS_DB = (35.0, 40.0, 45.0)
LOSSLESS = "lossless"


@dataclass(frozen=True, slots=True, kw_only=True)
class BandSizes:
    """One scene, blocks with the transform and without."""

    scene: str
    collection: str
    bands: int
    sample_bits: int
    """Bits that the largest sample needs."""
    with_bytes: dict[str, int]
    """By "lossless" or decibels; only what both could be set to."""
    without_bytes: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BandRow:
    """One collection."""

    collection: str
    scenes: int
    bands: tuple[int, ...]
    sample_bits: tuple[int, int]
    """Fewest and most of a scene."""
    with_over_without: dict[str, float | None]
    """Bytes with the transform over bytes without it, by "lossless" or decibels, on the scenes that have both; None: no scene has."""


def band_sizes(scene: CodingScene, policy: Policy) -> BandSizes | None:
    """None for a scene of one band."""
    if len(scene.pixels) < 2:
        return None
    both = [_sizes(scene, policy, context) for context in (nullcontext(), without_transform())]
    common = both[0].keys() & both[1].keys()
    return BandSizes(
        scene=scene.name,
        collection=scene.collection,
        bands=len(scene.pixels),
        sample_bits=scene.sample_bits,
        with_bytes={name: both[0][name] for name in sorted(common)},
        without_bytes={name: both[1][name] for name in sorted(common)},
    )


def without_transform() -> AbstractContextManager[object]:
    """A context in which the coder finds no transform worth its bytes."""
    return patch("downlink.image_encoding.fit_band_transform", lambda *_: None)


def _sizes(scene: CodingScene, policy: Policy, context: AbstractContextManager[object]) -> dict[str, int]:
    with context:
        layered = blocks_of(scene, with_ladder(policy.blocks, EVEN_LADDER_PERCENT))
    contender = Contender(name="ours", knob=layered.knob, code=layered.code)
    found = JudgedContender(contender=contender, scene=scene).sizes("scene", BANDS_DB)
    sizes = {f"{one.target_db:g}": one.bytes for one in found if one.bytes is not None}
    sizes[LOSSLESS], _ = layered.code(layered.knob.high)
    return sizes


def band_rows(sizes: Sequence[BandSizes]) -> list[BandRow]:
    """By collection."""
    rows = []
    for collection in dict.fromkeys(one.collection for one in sizes):
        some = [one for one in sizes if one.collection == collection]
        bits = [one.sample_bits for one in some]
        rows.append(
            BandRow(
                collection=collection,
                scenes=len(some),
                bands=tuple(sorted({one.bands for one in some})),
                sample_bits=(min(bits), max(bits)),
                with_over_without={
                    name: _ratio([one for one in some if name in one.with_bytes], name)
                    for name in (LOSSLESS, *(f"{target_db:g}" for target_db in BANDS_DB))
                },
            )
        )
    return rows


def _ratio(sizes: Sequence[BandSizes], name: str) -> float | None:
    without = sum(one.without_bytes[name] for one in sizes)
    return sum(one.with_bytes[name] for one in sizes) / without if without else None
