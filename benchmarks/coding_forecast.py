"""How well coding is foreseen: python -m benchmarks.coding_forecast --data ../shared/data

Codes a few tiles of every scene and compares with `onboard.coding_forecast`: bytes and error of every step, bytes of the exact
pixels, and the value per byte of the first group of steps, by which uncoded images stand in the coding queue. Also the
pixels per second of the forecast, on the CPU clock of one core.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.coding_scenes import TILE_PX, CodingScene, scenes_of
from downlink.image_encoding import encode_image
from downlink.products import FIRST_BLOCK, Layer, LayerAddress
from downlink.scheduler import hull_groups
from onboard.coding_forecast import forecast
from onboard.policy import Policy, load_policy
from onboard.tiles import tile_grid
from onboard.valuation import block_points, expected_layers, value_image

LEAST_MSE = 0.05
"""Errors below it say nothing in decibels: the step is as good as exact."""
LEAST_VALID = 0.05
REPEATS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TileResult:
    """One tile, foreseen and coded."""

    scene: str
    bands: int
    mpix: float
    size_ratio: tuple[float, ...]
    """Cumulative bytes foreseen over coded, by step."""
    error_db: tuple[float | None, ...]
    """Error foreseen over measured, by step but the last; None where either is as good as exact."""
    foreseen: float
    """Points per byte of the first group, as the queue has it."""
    coded: float
    """The same from the coded layers."""


def main() -> int:
    """Prints one table, or the same figures as JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.coding_forecast", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder with images/, or a folder of such folders")
    parser.add_argument("--policy", type=Path, help="policy file; the maritime one where absent")
    parser.add_argument("--limit", type=int, help="scenes of each collection at most")
    parser.add_argument("--crop", type=int, default=2048, help="upper left corner of each scene that is looked at, px")
    parser.add_argument("--tiles", type=int, default=2, help="tiles of each scene")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    policy = load_policy(arguments.policy)
    scenes = scenes_of(arguments.data, policy, limit=arguments.limit, crop_px=arguments.crop)
    results = [result for scene in scenes for result in tile_results(scene, policy, arguments.tiles)]
    if not results:
        sys.stderr.write(f"no tile of {arguments.data} can be coded: name a folder with images/\n")
        return 1
    figures = summary(results) | {"speed": speed(policy)}
    sys.stdout.write((json.dumps(figures, indent=1) if arguments.json else as_text(figures)) + "\n")
    return 0


def tile_results(scene: CodingScene, policy: Policy, count: int) -> Iterator[TileResult]:
    """Some tiles of one scene, spread evenly over it."""
    tiles = tile_grid(scene.frame.height, scene.frame.width, tile_px=TILE_PX)
    for index in np.unique(np.linspace(0, len(tiles) - 1, min(count, len(tiles))).round().astype(int)):
        window = tiles[index].core
        rows, cols = window.slices
        pixels, valid = np.ascontiguousarray(scene.pixels[:, rows, cols]), scene.valid[rows, cols]
        if valid.mean() < LEAST_VALID:
            continue
        image = encode_image(
            pixels,
            window,
            valid=valid,
            quality_percent=policy.blocks.quality_percent,
            levels=policy.blocks.levels,
            nodata=scene.frame.nodata,
        )
        expected = forecast(pixels, valid, policy.blocks.quality_percent)
        address = LayerAddress(scene=1, product=FIRST_BLOCK, step=0)
        points = block_points(valid.astype(np.float32), policy.blocks, area_weight=1.0)
        law: dict[str, Any] = {
            "points": points,
            "interest": policy.blocks,
            "policy": policy,
            "captured_ms": 0,
            "peak_dn": scene.peak_dn,
        }
        ahead = expected_layers(expected, address, **law)
        coded = [valued.layer for valued in value_image(image, address, **law)]
        yield TileResult(
            scene=scene.name,
            bands=len(pixels),
            mpix=valid.size / 1e6,
            size_ratio=tuple((_cumulative(ahead) / _cumulative(coded)).tolist()),
            error_db=tuple(_difference_db(*pair) for pair in zip(expected.mse[:-1], image.mse[:-1], strict=True)),
            foreseen=first_density(ahead),
            coded=first_density(coded),
        )


def first_density(layers: list[Layer] | tuple[Layer, ...]) -> float:
    """Points per byte of the first group of one product."""
    return hull_groups(layers, 0)[0].density


def summary(results: list[TileResult]) -> dict[str, Any]:
    """All tiles in a few numbers."""
    foreseen, coded = (np.array([getattr(result, name) for result in results]) for name in ("foreseen", "coded"))
    worth = (foreseen > 0) & (coded > 0)
    off = np.abs(np.log2(foreseen[worth] / coded[worth]))
    sizes = np.array([result.size_ratio for result in results])
    errors = np.array([result.error_db for result in results], float)
    return {
        "tiles": len(results),
        "first_group": {
            "rank_correlation": float(spearmanr(foreseen, coded).statistic),
            "ratio_median": float(np.median(foreseen[worth] / coded[worth])),
            "factor_off_median": float(2 ** np.median(off)),
            "factor_off_p90": float(2 ** np.percentile(off, 90)),
            "worth_nothing_foreseen": int(np.count_nonzero(foreseen == 0)),
            "worth_nothing_coded": int(np.count_nonzero(coded == 0)),
        },
        "steps": [
            {
                "size_ratio": _spread(sizes[:, step]),
                "error_db": _spread(errors[:, step]) if step < errors.shape[1] else None,
            }
            for step in range(sizes.shape[1])
        ],
        "worst": [asdict(results[at]) for at in np.argsort(-np.abs(np.nan_to_num(errors)).max(axis=1))[:3]],
    }


def speed(policy: Policy) -> dict[str, float]:
    """Scene pixels of four bands and 16 bits per second of CPU, the best of some repeats."""
    pixels = np.random.default_rng(7).integers(300, 3000, (4, TILE_PX, TILE_PX)).astype(np.uint16)
    valid = np.ones(pixels.shape[1:], bool)
    spent_s = []
    for _ in range(REPEATS):
        start_s = time.process_time()
        forecast(pixels, valid, policy.blocks.quality_percent)
        spent_s.append(time.process_time() - start_s)
    return {
        "mpix_per_s_best": valid.size / min(spent_s) / 1e6,
        "mpix_per_s_median": valid.size / np.median(spent_s) / 1e6,
    }


def as_text(figures: dict[str, Any]) -> str:
    """The figures for people."""
    first, speeds = figures["first_group"], figures["speed"]
    lines = [
        f"{figures['tiles']} tiles; first group of steps, points per byte: rank correlation {first['rank_correlation']:.3f}, "
        f"off by a factor of {first['factor_off_median']:.2f} (median), {first['factor_off_p90']:.2f} (p90)",
        f"forecast: {speeds['mpix_per_s_median']:.0f} Mpix/s of 4 bands (median), {speeds['mpix_per_s_best']:.0f} (best)",
        "step  bytes foreseen / coded (p10, median, p90)   error foreseen / measured, dB (p10, median, p90; deviation)",
    ]
    for number, step in enumerate(figures["steps"]):
        size, error = step["size_ratio"], step["error_db"]
        known = "exact" if error is None else "{p10:+.2f} {median:+.2f} {p90:+.2f}; {deviation:.2f}".format(**error)
        lines.append(
            f"{number:4}  {size['p10']:.3f} {size['median']:.3f} {size['p90']:.3f}                          {known}"
        )
    return "\n".join(lines)


def _cumulative(layers: list[Layer] | tuple[Layer, ...]) -> np.ndarray:
    return np.cumsum([layer.size_bytes for layer in layers])


def _difference_db(expected: float, measured: float) -> float | None:
    return None if min(expected, measured) < LEAST_MSE else float(10 * np.log10(expected / measured))


def _spread(values: np.ndarray) -> dict[str, float] | None:
    known = values[~np.isnan(values)]
    if not known.size:
        return None
    p10, median, p90 = np.percentile(known, [10, 50, 90]).tolist()
    return {"p10": p10, "median": median, "p90": p90, "deviation": float(known.std())}


if __name__ == "__main__":
    sys.exit(main())
