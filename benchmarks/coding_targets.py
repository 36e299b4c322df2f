"""The verdict of the coding benchmark: every target with the figure that was measured for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.coding_detection import ALERTS, OURS, POOLED
from benchmarks.coding_equal_psnr import OURS as OURS_AT_PSNR
from benchmarks.coding_equal_psnr import OURS_FINE, SceneSize
from benchmarks.coding_lossless_table import ALL, LosslessRow

if TYPE_CHECKING:
    from benchmarks.coding import DetectionResult

FOUR_BANDS = 4
PER_BAND_SAVING = 0.8
WORST_OVER_PER_BAND = 1.02
LOSSLESS_OVER_SINGLE_SHOT = 1.03
RECALL_SHARE, RECALL_AT_PERCENT = 0.98, 1.0
FEWER_BYTES_FOR_F1 = 10.0
ENCODE_MPIX_PER_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One target."""

    name: str
    wanted: str
    """In words."""
    figure: float | None
    """None where nothing could be compared."""
    met: bool
    of: str
    """What the figure was measured over."""


def targets_of(result: dict[str, Any]) -> list[Target]:
    """Of every part that was run."""
    targets: list[Target] = []
    if "lossless" in result:
        targets += _of_lossless(result["lossless"])
    if "equal_psnr" in result:
        targets += _of_equal_psnr(result["equal_psnr"])
    if (found := result.get("equal_f1")) is not None:
        targets += _of_detection(found)
    return targets


def _of_lossless(rows: Sequence[LosslessRow]) -> list[Target]:
    whole = {row.codec: row for row in rows if row.collection == ALL}
    ours = whole["ours"]
    targets = [
        _at_least(
            "coding speed, million samples per CPU second", ENCODE_MPIX_PER_S, ours.mpix_per_s, "lossless, all scenes"
        )
    ]
    if "jpeg2000" in whole:
        ratio = ours.bytes / whole["jpeg2000"].bytes
        of = "bytes of all layers over one-shot JPEG 2000 5/3, all scenes"
        targets.append(_at_most("lossless size", LOSSLESS_OVER_SINGLE_SHOT, ratio, of))
    return targets


def _of_equal_psnr(sizes: Sequence[SceneSize]) -> list[Target]:
    """Against JPEG 2000 of each band alone, the kernel that does better for each scene."""
    targets = []
    for target_db in sorted({one.target_db for one in sizes if one.kind == "scene"}):
        for name in (OURS_AT_PSNR, OURS_FINE):
            ratios = _over_per_band([one for one in sizes if one.kind == "scene" and one.target_db == target_db], name)
            if ratios:
                of = f"{name}, {target_db:g} dB, {len(ratios)} scenes of {FOUR_BANDS} bands"
                mean = sum(mine for mine, _ in ratios) / sum(theirs for _, theirs in ratios)
                targets.append(_at_most("bytes over JPEG 2000 band by band, together", PER_BAND_SAVING, mean, of))
                worst = max(mine / theirs for mine, theirs in ratios)
                targets.append(
                    _at_most("bytes over JPEG 2000 band by band, worst scene", WORST_OVER_PER_BAND, worst, of)
                )
    return targets


def _over_per_band(sizes: Sequence[SceneSize], name: str) -> list[tuple[int, int]]:
    """(our bytes, those of JPEG 2000 band by band) of each scene of four bands where both have a size."""
    by_scene: dict[tuple[str, str], dict[str, int]] = {}
    for one in sizes:
        if one.bytes is not None and one.bands == FOUR_BANDS:
            by_scene.setdefault((one.collection, one.scene), {})[one.codec] = one.bytes
    pairs = []
    for some in by_scene.values():
        theirs = [some[codec] for codec in ("jpeg2000-bands", "jpeg2000-bands-5/3") if codec in some]
        if name in some and theirs:
            pairs.append((some[name], min(theirs)))
    return pairs


def _of_detection(found: "DetectionResult") -> list[Target]:
    targets = []
    for mine in (OURS, POOLED, ALERTS):
        point = next((one for one in found.curves[mine] if one.share_percent == RECALL_AT_PERCENT), None)
        if point is not None:
            of = f"{mine}, {RECALL_AT_PERCENT:g} % of the raw bytes, over the recall on the originals"
            targets.append(_at_least("recall on the ground", RECALL_SHARE, point.recall_of_original, of))
        if "jpeg2000" not in found.bytes:
            continue
        for name, sizes in (("lasting", found.bytes), ("first", found.first_bytes)):
            theirs, size_bytes = sizes["jpeg2000"], sizes[mine]
            ratio = theirs / size_bytes if theirs and size_bytes else None
            rule = "" if mine == ALERTS else f"; blocks searched from {found.above_db:g} dB on"
            of = f"whole-scene JPEG 2000 9/7 over {mine}, F1 {found.target_f1:.3f}, {name}{rule}"
            targets.append(_at_least("times fewer bytes for the same F1", FEWER_BYTES_FOR_F1, ratio, of))
    return targets


def _at_least(name: str, wanted: float, figure: float | None, of: str) -> Target:
    return Target(name=name, wanted=f">= {wanted:g}", figure=figure, met=figure is not None and figure >= wanted, of=of)


def _at_most(name: str, wanted: float, figure: float | None, of: str) -> Target:
    return Target(name=name, wanted=f"<= {wanted:g}", figure=figure, met=figure is not None and figure <= wanted, of=of)
