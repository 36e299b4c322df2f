"""Results of the coding benchmark by codec, for machines."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.coding_equal_psnr import EqualPsnrRow, SceneSize, equal_psnr_rows
from benchmarks.coding_lossless_table import ALL, LosslessRow


def as_json(result: dict[str, Any]) -> dict[str, Any]:
    """Results by codec, for machines."""
    written: dict[str, Any] = {name: result[name] for name in ("scenes", "raw_bytes")}
    written["absent"] = {codec.name: codec.reason for codec in result["absent"]}
    if "lossless" in result:
        written["lossless"] = _lossless_json(result["lossless"])
    if "equal_psnr" in result:
        written["equal_psnr"] = _equal_psnr_json(result["equal_psnr"])
    if (found := result.get("equal_f1")) is not None:
        written["equal_f1"] = {"f1": found.target_f1, **asdict(found)}
    if "speed" in result:
        written["speed"] = {row.codec: asdict(row) for row in result["speed"]}
    if "bands" in result:
        written["bands"] = {row.collection: asdict(row) for row in result["bands"]}
    if "blocks" in result:
        written["blocks"] = {str(row.tile_px): asdict(row) for row in result["blocks"]}
    written["targets"] = [asdict(target) for target in result["targets"]]
    return written


def _lossless_json(rows: Sequence[LosslessRow]) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for row in rows:
        if row.collection == ALL:
            written[row.codec] = asdict(row) | {"collections": {}}
    for row in rows:
        if row.collection != ALL:
            written[row.codec]["collections"][row.collection] = asdict(row)
    return written


def rows_of(sizes: Sequence[SceneSize]) -> dict[str, dict[str, list[EqualPsnrRow]]]:
    """ "scene" and "roi", each by target, over the scenes given."""
    rows: dict[str, dict[str, list[EqualPsnrRow]]] = {}
    for kind, target_db in sorted({(one.kind, one.target_db) for one in sizes}, reverse=True):
        rows.setdefault(kind, {})[f"{target_db:g}"] = equal_psnr_rows(sizes, kind, target_db)
    return rows


def _equal_psnr_json(sizes: Sequence[SceneSize]) -> dict[str, Any]:
    def written(some: Sequence[SceneSize]) -> dict[str, Any]:
        return {
            kind: {target: {row.codec: asdict(row) for row in rows} for target, rows in targets.items()}
            for kind, targets in rows_of(some).items()
        }

    collections = dict.fromkeys(one.collection for one in sizes)
    by_collection = {name: written([one for one in sizes if one.collection == name]) for name in collections}
    return written(sizes) | {"collections": by_collection, "scenes": [asdict(one) for one in sizes]}
