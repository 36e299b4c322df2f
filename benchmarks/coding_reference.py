"""What leaning on an earlier scene saves, on real pairs: `python -m benchmarks.coding_reference --data ../shared/data/multitemporal`.

Each block of the new scene is coded alone, by the choice of `onboard.reference_choice`, and as the plain difference to the earlier scene
moved by whole pixels, with no fit. The earlier scene is what the ground would hold: decoded from its own layers at full quality,
or from as many as 5 % or 1 % of its raw bytes give. Bytes at equal PSNR are summed over blocks, each at that PSNR against full
scale; between two steps of the ladder bytes are taken to grow geometrically, and so from the last lossy step to the error of
rounding at the lossless end.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.coding_reference_pairs import ScenePair, pairs_of
from benchmarks.coding_reference_plot import draw_savings
from downlink.image_encoding import ImageProduct, encode_image
from downlink.image_layers import DecodedImage, ImageAssembly, pixel_check
from downlink.prediction import GAIN_UNITS, SHIFT_UNITS, Predicted, Reference, ReferenceBlock, predict, region_of
from downlink.reference_canvas import canvas_of
from downlink.scene import Window
from onboard.reference_choice import (
    CANVAS_MARGIN_PX,
    ROUNDING_MSE,
    Choice,
    ReferenceCandidate,
    ReferenceSettings,
    code_best,
)

LADDER_PERCENT: Final = (0.25, 0.6, 1.4, 3.0, 6.0, 12.0, 24.0, 100.0)
LEVELS: Final = 5
TARGETS_DB: Final = (30, 35, 40, 45)
REFERENCE_PERCENT: Final = (100.0, 5.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRow:
    """One pair with the reference at one quality."""

    sensor: str
    new_date: str
    old_date: str
    gap_days: int
    reference_percent: float
    """Bytes that the earlier scene was coded with, percent of raw; 100 is exact."""
    alone: dict[str, int]
    """Bytes by PSNR target in dB and for "lossless"."""
    chosen: dict[str, int]
    """The same with the choice per block."""
    plain: dict[str, int]
    """The same as the plain difference."""
    choices: dict[str, float]
    """Share of the blocks by choice."""
    seconds_over_alone: float
    """Processor time of the choice with all that it codes, over that of coding alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What the ground holds of an earlier scene."""

    images: list[DecodedImage]
    blocks: list[ReferenceBlock]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coding_reference", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/multitemporal"), help="the folder of the stacks"
    )
    parser.add_argument("--quick", action="store_true", help="one pair of each sensor, the reference at 5 % only")
    parser.add_argument("--block-px", type=int, default=128, help="side of a block")
    parser.add_argument("--worst-ratio", type=float, default=ReferenceSettings().worst_ratio, help="as in the policy")
    parser.add_argument("--plots", type=Path, help="write an SVG plot into this folder")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args(arguments)
    pairs = pairs_of(options.data, block_px=options.block_px, quick=options.quick)
    if not pairs:
        sys.stderr.write(
            f"no stacks under {options.data}: give the folder that holds naip_10dates and its neighbours\n"
        )
        return 2
    percents = REFERENCE_PERCENT[1:2] if options.quick else REFERENCE_PERCENT
    settings = ReferenceSettings(worst_ratio=options.worst_ratio)
    rows = [row for pair in pairs for row in measure(pair, percents, settings)]
    if options.plots:
        options.plots.mkdir(parents=True, exist_ok=True)
        (options.plots / "coding_reference.svg").write_text(draw_savings(rows), encoding="utf-8")
    if options.json:
        sys.stdout.write(json.dumps(as_json(rows)) + "\n")
    else:
        print_tables(rows, Console(width=170))
    return 0


def measure(
    pair: ScenePair, reference_percent: Sequence[float] = REFERENCE_PERCENT, settings: ReferenceSettings | None = None
) -> list[ReferenceRow]:
    """The rows of a pair, one for each quality of the reference."""
    started = time.process_time()
    alone = [_encoded(pair, window) for window in pair.windows(pair.new)]
    alone_s = time.process_time() - started
    return [_row(pair, percent, settings or ReferenceSettings(), alone, alone_s) for percent in reference_percent]


def _row(
    pair: ScenePair, percent: float, settings: ReferenceSettings, alone: list[ImageProduct], alone_s: float
) -> ReferenceRow:
    held = _held(pair, percent)
    windows = pair.windows(pair.new)
    started = time.process_time()
    coded = [
        code_best(
            _cut(pair.new, window),
            window,
            valid=pair.new_valid[window.slices],
            quality_percent=LADDER_PERCENT,
            levels=LEVELS,
            nodata=pair.nodata,
            weights_of=lambda changed: None,
            candidates=_candidates(pair, held, window),
            settings=settings,
        )
        for window in windows
    ]
    chosen_s = time.process_time() - started
    plain = [_encoded(pair, window, _plain(pair, held, window)) for window in windows]
    counts = Counter(one.choice for one in coded)
    return ReferenceRow(
        sensor=pair.sensor,
        new_date=pair.new_date,
        old_date=pair.old_date,
        gap_days=pair.gap_days,
        reference_percent=percent,
        alone=_sizes(alone, pair.peak_dn),
        chosen=_sizes([one.image for one in coded], pair.peak_dn),
        plain=_sizes(plain, pair.peak_dn),
        choices={choice.value: counts[choice] / len(windows) for choice in Choice},
        seconds_over_alone=chosen_s / alone_s,
    )


def _cut(pixels: np.ndarray, window: Window) -> np.ndarray:
    return np.ascontiguousarray(pixels[:, *window.slices])


def _encoded(pair: ScenePair, window: Window, predicted: Predicted | None = None) -> ImageProduct:
    return encode_image(
        _cut(pair.new, window),
        window,
        valid=pair.new_valid[window.slices],
        quality_percent=LADDER_PERCENT,
        levels=LEVELS,
        nodata=pair.nodata,
        predicted=predicted,
    )


def _held(pair: ScenePair, percent: float) -> _Held:
    """The earlier scene decoded from its layers up to a percentage of its raw bytes."""
    ladder, steps = ((100.0,), 1) if percent == 100 else ((percent, 100.0), 1)
    images = []
    for window in pair.windows(pair.old):
        product = encode_image(
            _cut(pair.old, window),
            window,
            valid=pair.old_valid[window.slices],
            quality_percent=ladder,
            levels=LEVELS,
            nodata=pair.nodata,
        )
        assembly = ImageAssembly(nodata=pair.nodata, payloads=dict(enumerate(product.payloads)))
        decoded = assembly.decode(steps=steps)
        if decoded is not None:
            images.append(decoded)
    blocks = [
        ReferenceBlock(product=number, steps=steps, check=pixel_check(image.pixels))
        for number, image in enumerate(images, start=1)
    ]
    return _Held(images=images, blocks=blocks)


def _touching(held: _Held, region: Window) -> tuple[list[DecodedImage], tuple[ReferenceBlock, ...]]:
    places = [place for place, image in enumerate(held.images) if image.window.intersection(region) is not None]
    return [held.images[place] for place in places], tuple(held.blocks[place] for place in places)


def _candidates(pair: ScenePair, held: _Held, window: Window) -> list[ReferenceCandidate]:
    moved = window.shifted(round(pair.row_shift_px), round(pair.col_shift_px))
    margin = CANVAS_MARGIN_PX
    region = Window(
        row=moved.row - margin,
        col=moved.col - margin,
        height=moved.height + 2 * margin,
        width=moved.width + 2 * margin,
    )
    images, blocks = _touching(held, region)
    if not images:
        return []
    candidate = ReferenceCandidate(
        scene=1,
        captured_ms=0,
        row_shift_px=pair.row_shift_px,
        col_shift_px=pair.col_shift_px,
        blocks=blocks,
        canvas=canvas_of(region, images),
        windows=tuple(image.window for image in images),
    )
    return [candidate]


def _plain(pair: ScenePair, held: _Held, window: Window) -> Predicted | None:
    """The earlier scene moved by whole pixels, as it is."""
    images, blocks = _touching(held, window.shifted(round(pair.row_shift_px), round(pair.col_shift_px)))
    if not images:
        return None
    reference = Reference(
        scene=1,
        row_shift=round(pair.row_shift_px) * SHIFT_UNITS,
        col_shift=round(pair.col_shift_px) * SHIFT_UNITS,
        blocks=blocks,
        gains=(GAIN_UNITS,) * len(pair.new),
        offsets=(0,) * len(pair.new),
    )
    canvas = canvas_of(region_of(reference, window), images)
    return Predicted(reference=reference, pixels=predict(reference, window, canvas))


def _sizes(images: Sequence[ImageProduct], peak_dn: int) -> dict[str, int]:
    sizes = {str(target): round(sum(_bytes_at(image, target, peak_dn) for image in images)) for target in TARGETS_DB}
    return {**sizes, "lossless": sum(len(payload) for image in images for payload in image.payloads)}


def _bytes_at(image: ImageProduct, target_db: float, peak_dn: int) -> float:
    """Bytes of a block at a PSNR; those of its first step where that is better already."""
    sizes = np.cumsum([len(payload) for payload in image.payloads])
    mse = np.maximum(image.mse, ROUNDING_MSE)
    wanted = peak_dn**2 / 10 ** (target_db / 10)
    return float(np.exp(np.interp(-np.log(wanted), -np.log(mse), np.log(sizes))))


def saving(row: ReferenceRow, target: str, *, plain: bool = False) -> float:
    """Share of the bytes alone that is saved at a target; negative where more are needed."""
    return 1 - (row.plain if plain else row.chosen)[target] / row.alone[target]


def as_json(rows: Sequence[ReferenceRow]) -> dict[str, Any]:
    """The whole result."""
    return {"ladder_percent": LADDER_PERCENT, "targets_db": TARGETS_DB, "rows": [asdict(row) for row in rows]}


def print_tables(rows: Sequence[ReferenceRow], console: Console) -> None:
    """One table for each quality of the reference."""
    targets = [*map(str, TARGETS_DB), "lossless"]
    for percent in dict.fromkeys(row.reference_percent for row in rows):
        name = "exact" if percent == 100 else f"at {percent:g} % of raw"
        table = Table(title=f"Bytes with a reference over bytes alone, the reference {name}", title_justify="left")
        for column in ("sensor", "new", "old", "gap, days", *(f"{one} dB" for one in targets[:-1]), "lossless"):
            table.add_column(column, justify="left" if column in ("sensor", "new", "old") else "right")
        for column in ("plain " + "/".join(targets), "blocks alone/difference/unchanged", "time"):
            table.add_column(column, justify="right")
        for row in rows:
            if row.reference_percent == percent:
                table.add_row(
                    row.sensor,
                    row.new_date,
                    row.old_date,
                    f"{row.gap_days}",
                    *(_change(saving(row, target)) for target in targets),
                    " ".join(_change(saving(row, target, plain=True)) for target in targets),
                    " ".join(f"{share:.0%}" for share in row.choices.values()),
                    f"{row.seconds_over_alone:.1f}x",
                )
        console.print(table)
    console.print(
        "Negative: fewer bytes. Where the prediction alone is good enough, its bytes are those of its header."
    )


def _change(saved: float) -> str:
    return f"{0.0 - saved:+.1%}"


if __name__ == "__main__":
    sys.exit(main())
