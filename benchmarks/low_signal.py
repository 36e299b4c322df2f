"""Delivered quality against Es/N0: layers under unequal coding, and the whole scene as one JPEG 2000 file under uniform coding.

    python -m benchmarks.low_signal [--share 0.025] [--data ../shared/data] [--svg FILE] [--json]

Both send once, without a return channel, and use the same number of channel symbols: those that would carry `--share` of the
raw bytes at one bit per symbol. The signal lies anywhere from -3 to 10 dB with equal chance per decibel, and neither knows where.

* Ours: what the onboard pipeline makes, each layer with the modulation and code rate that `low_signal_coding.protect` finds
  for its value and size; 5 % more bytes for headers. Once with the values of the shipped policy, once with the picture of
  the whole scene valued ten times as high. Recall counts alerts.
* Whole file: JPEG 2000 (9/7, 24 quality layers) made to fit one modulation and code rate: the most robust there is, and the
  designer's choice for 0, 4 and 8 dB with 1 dB of margin. `prefix`: whatever quality layers came before the first lost
  codeword count (generous); `all or nothing`: only the whole file does. Recall is that of the same detector on the decoded file.
* `signal known`: the whole file with the best modulation for each Es/N0, as if a return channel told the sender beforehand.

A codeword is lost with the error rate of `downlink.modcod`; the draws are seeded and the same at every Es/N0.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.low_signal_coding import (
    FRAME_BYTES,
    FRAME_OVERHEAD_BYTES,
    CodedClass,
    Prior,
    arrived_layers,
    protect,
)
from benchmarks.low_signal_curves import LEVELS_DB, Comparison, Curve, SizeAtQuality
from benchmarks.low_signal_plot import draw
from benchmarks.low_signal_scene import ObservedScene, Quality, observe
from downlink.codestream import first_layers
from downlink.modcod import MOST_ROBUST, SYNC_MARKER_BYTES, ModCod, codeword_error_rate, strongest_carrier
from mission.baselines import decode_jpeg2000, encode_jpeg2000, lossy_at_equal_quality
from mission.measures import PLANNED_PAYLOAD_FRACTION

SAMPLE = Path(__file__).resolve().parents[1] / "sample_data" / "harbour_20260301.tif"
PRIOR = Prior(low_db=-3.0, high_db=10.0)
DESIGNED_FOR_DB = (0.0, 4.0, 8.0)
DESIGN_MARGIN_DB = 1.0
PICTURE_WEIGHTS = (1.0, 10.0)
DRAWS = 5
FILE_LAYERS = 24
SEED = 20260301
COMPARED_AT_DB = (-2.0, 0.0, 2.0, 4.0, 8.0)
ROI_TARGETS_DB = (35.0, 40.0, 45.0, 50.0)


def compare(scene: ObservedScene, *, share: float) -> Comparison:
    """All curves of a scene at a budget of symbols."""
    symbols = int(scene.raw_bytes * 8 * share)
    known = _known_signal(scene, symbols)
    curves = [_ours(scene, symbols, weight) for weight in PICTURE_WEIGHTS]
    designs = [MOST_ROBUST, *(strongest_carrier(level - DESIGN_MARGIN_DB) or MOST_ROBUST for level in DESIGNED_FOR_DB)]
    for modcod in dict.fromkeys(designs):
        curves += _whole_file(scene, symbols, modcod)
    curves.append(known)
    recall = scene.of_pixels(scene.pixels).recall
    return Comparison(
        scene=scene.summary.name,
        raw_bytes=scene.raw_bytes,
        symbols=symbols,
        onboard_recall=recall,
        curves=tuple(curves),
        sizes=_sizes(scene, symbols, curves[0]),
        gains_db=_gains(curves, recall),
    )


def _ours(scene: ObservedScene, symbols: int, picture_weight: float) -> Curve:
    classes = _classes(scene, symbols, picture_weight)
    chances = _chances([one.codewords(PLANNED_PAYLOAD_FRACTION) for one in classes])
    points = [
        [scene.of_layers(arrived_layers(classes, level, draw, PLANNED_PAYLOAD_FRACTION)) for draw in chances]
        for level in LEVELS_DB
    ]
    name = "layers" if picture_weight == 1 else f"layers, scene valued {picture_weight:g}x"
    sent = {one.modcod.name: sum(unit.size_bytes for unit in one.units) for one in classes}
    return Curve(name=name, ours=True, modcods=sent, points=tuple(_average(scene, some) for some in points))


def _classes(scene: ObservedScene, symbols: int, picture_weight: float) -> list[CodedClass]:
    units = scene.units(picture_weight=picture_weight)
    return protect(units, symbols=symbols, prior=PRIOR, payload_fraction=PLANNED_PAYLOAD_FRACTION)


def file_capacity_bytes(modcod: ModCod, symbols: int) -> int:
    """Largest file that so many symbols carry in transfer frames."""
    stream_bytes = symbols // modcod.codeword_symbols() * modcod.data_field_bits // 8
    return stream_bytes * (FRAME_BYTES - FRAME_OVERHEAD_BYTES) // (FRAME_BYTES + SYNC_MARKER_BYTES)


@dataclass(slots=True)
class WholeFile:
    """The scene as one file of a size, with the quality of every prefix of whole layers."""

    scene: ObservedScene
    codestream: bytes
    sizes: tuple[int, ...]
    """Bytes of the first 1, 2, ... layers."""
    qualities: dict[int, Quality]
    """Those asked for so far."""

    @classmethod
    def fitting(cls, scene: ObservedScene, capacity_bytes: int) -> "WholeFile":
        """The largest file that fits: 24 layers, each a third larger than the one before."""
        top = 100 * capacity_bytes / scene.raw_bytes
        for _ in range(8):
            percent = [top * 0.75 ** (FILE_LAYERS - 1 - layer) for layer in range(FILE_LAYERS)]
            coded = encode_jpeg2000(scene.pixels, reversible=False, quality_percent=percent)
            if len(coded) <= capacity_bytes:
                break
            top *= 0.999 * capacity_bytes / len(coded)
        sizes = tuple(len(first_layers(coded, count)) for count in range(1, FILE_LAYERS + 1))
        return cls(scene, coded, sizes, {})

    def quality(self, layers: int) -> Quality:
        """Of the first layers; of nothing for 0."""
        if layers not in self.qualities:
            decoded = decode_jpeg2000(first_layers(self.codestream, layers)) if layers else None
            self.qualities[layers] = self.scene.of_pixels(decoded)
        return self.qualities[layers]


def _whole_file(scene: ObservedScene, symbols: int, modcod: ModCod) -> list[Curve]:
    """Two curves of one file: prefix, and all or nothing."""
    capacity_bytes = file_capacity_bytes(modcod, symbols)
    file = WholeFile.fitting(scene, capacity_bytes)
    (draws,) = zip(*_chances([symbols // modcod.codeword_symbols()]), strict=True)
    prefix: list[Quality] = []
    whole: list[Quality] = []
    for level in LEVELS_DB:
        counts = []
        for fate in draws:
            lost = np.flatnonzero(fate < codeword_error_rate(modcod, level))
            good = float(lost[0]) / len(fate) if lost.size else 1.0
            counts.append(sum(size <= good * capacity_bytes for size in file.sizes))
        prefix.append(_average(scene, [file.quality(count) for count in counts]))
        whole.append(_average(scene, [file.quality(count if count == FILE_LAYERS else 0) for count in counts]))
    sent = {modcod.name: len(file.codestream)}
    name = f"JPEG 2000, {modcod.name}"
    return [
        Curve(name=f"{name}, prefix", ours=False, modcods=sent, points=tuple(prefix)),
        Curve(name=f"{name}, all or nothing", ours=False, modcods=sent, points=tuple(whole)),
    ]


def _known_signal(scene: ObservedScene, symbols: int) -> Curve:
    files: dict[str, Quality] = {}
    sent: dict[str, int] = {}
    points = []
    for level in LEVELS_DB:
        modcod = strongest_carrier(level)
        if modcod is None:
            points.append(scene.of_pixels(None))
            continue
        if modcod.name not in files:
            file = WholeFile.fitting(scene, file_capacity_bytes(modcod, symbols))
            files[modcod.name], sent[modcod.name] = file.quality(FILE_LAYERS), len(file.codestream)
        points.append(files[modcod.name])
    return Curve(name="JPEG 2000, signal known", ours=False, modcods=sent, points=tuple(points))


def _chances(codewords: Sequence[int]) -> list[list[np.ndarray]]:
    """Uniform draws per draw, class and codeword."""
    chance = np.random.default_rng(SEED)
    return [[chance.random(count) for count in codewords] for _ in range(DRAWS)]


def _average(scene: ObservedScene, qualities: Sequence[Quality]) -> Quality:
    """Mean recall, and PSNR of the mean squared error."""

    def psnr_db(levels: Sequence[float]) -> float:
        return float(-10 * np.log10(np.mean(10 ** (-np.array(levels) / 10))))

    return Quality(
        recall=float(np.mean([one.recall for one in qualities])),
        roi_psnr_db=psnr_db([one.roi_psnr_db for one in qualities]),
        scene_psnr_db=psnr_db([one.scene_psnr_db for one in qualities]),
    )


def _sizes(scene: ObservedScene, symbols: int, ours: Curve) -> tuple[SizeAtQuality, ...]:
    classes = _classes(scene, symbols, PICTURE_WEIGHTS[0])
    whole = [np.ones(one.codewords(PLANNED_PAYLOAD_FRACTION)) / 2 for one in classes]
    rows = []
    for level in COMPARED_AT_DB:
        arrived = arrived_layers(classes, level, whole, PLANNED_PAYLOAD_FRACTION)
        roi_psnr_db = ours.points[LEVELS_DB.index(level)].roi_psnr_db
        target_mse = scene.peak_dn**2 / 10 ** (roi_psnr_db / 10)
        rows.append(
            SizeAtQuality(
                es_n0_db=level,
                roi_psnr_db=roi_psnr_db,
                our_bytes=sum(scene.layers[index].layer.size_bytes for index in arrived),
                file_bytes=lossy_at_equal_quality(scene.pixels, scene.regions, target_mse),
            )
        )
    return tuple(rows)


def _gains(curves: Sequence[Curve], onboard_recall: float) -> dict[str, dict[str, float | None]]:
    targets: dict[str, Callable[[Quality], bool]] = {
        "recall 0.9 of onboard": lambda quality: quality.recall >= 0.9 * onboard_recall
    }
    for level in ROI_TARGETS_DB:
        targets[f"ROI PSNR {level:g} dB"] = lambda quality, level=level: quality.roi_psnr_db >= level  # type: ignore[misc]
    for level in ROI_TARGETS_DB[:2]:
        targets[f"scene PSNR {level:g} dB"] = lambda quality, level=level: quality.scene_psnr_db >= level  # type: ignore[misc]
    return {
        name: {curve.name: lowest_level_db(curve, reached) for curve in curves} for name, reached in targets.items()
    }


def lowest_level_db(curve: Curve, reached: Callable[[Quality], bool]) -> float | None:
    """The Es/N0 from which on a quality is reached at every higher level; None where it is not at the highest."""
    lowest = None
    for level, quality in zip(reversed(LEVELS_DB), reversed(curve.points), strict=True):
        if not reached(quality):
            break
        lowest = level
    return lowest


def scenes_of(data: Path | None, count: int) -> list[tuple[Path, Path]]:
    """The sample scene, or the first labelled ports of the real collection."""
    if data is None:
        return [(SAMPLE, SAMPLE.with_suffix(".geojson"))]
    images = sorted((data / "s2_ships" / "images").glob("*.tif"))[:count]
    return [(image, data / "s2_ships" / "labels_obb" / f"{image.stem}.txt") for image in images]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print tables or JSON, and write the plot of the first scene where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=0.025, help="symbols as a share of the raw bits")
    parser.add_argument("--data", type=Path, help="folder with s2_ships: real scenes instead of the sample")
    parser.add_argument("--scenes", type=int, default=1, help="how many real scenes")
    parser.add_argument("--svg", type=Path, help="write the plot here")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args(arguments)
    pairs = scenes_of(options.data, options.scenes)
    if not pairs:
        sys.stderr.write(f"no images under {options.data}/s2_ships/images: skipped\n")
        return 0
    comparisons = [compare(observe(image, truth), share=options.share) for image, truth in pairs]
    if options.svg:
        options.svg.write_text(draw(comparisons[0]), encoding="utf-8")
    if options.json:
        rows = [asdict(comparison) | {"levels_db": LEVELS_DB} for comparison in comparisons]
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return 0
    for comparison in comparisons:
        print_tables(comparison)
    return 0


def print_tables(comparison: Comparison) -> None:
    """Quality at a few levels, levels at a few qualities, bytes at equal quality."""
    console = Console(width=150)
    console.print(
        f"{comparison.scene}: {comparison.raw_bytes:,} raw bytes, {comparison.symbols:,} symbols, detector finds "
        f"{comparison.onboard_recall:.2f} of the truth in the original"
    )
    table = Table(title="recall / ROI PSNR dB / scene PSNR dB", title_justify="left")
    table.add_column("Es/N0 dB", no_wrap=True)
    for level in COMPARED_AT_DB:
        table.add_column(f"{level:g}", justify="right", no_wrap=True)
    for curve in comparison.curves:
        cells = [curve.points[LEVELS_DB.index(level)] for level in COMPARED_AT_DB]
        table.add_row(
            curve.name, *(f"{one.recall:.2f} / {one.roi_psnr_db:.1f} / {one.scene_psnr_db:.1f}" for one in cells)
        )
    console.print(table)
    table = Table(title="Lowest Es/N0 in dB from which on a quality is reached", title_justify="left")
    table.add_column("", no_wrap=True)
    for name in comparison.gains_db:
        table.add_column(name, justify="right")
    for curve in comparison.curves:
        found_db = [levels[curve.name] for levels in comparison.gains_db.values()]
        table.add_row(curve.name, *("never" if level is None else f"{level:g}" for level in found_db))
    console.print(table)
    table = Table(title="Bytes for the same ROI PSNR", title_justify="left")
    for heading in ("Es/N0 dB", "ROI PSNR dB", "layers that arrive", "whole file", "ratio"):
        table.add_column(heading, justify="right")
    for row in comparison.sizes:
        ratio = "-" if row.file_bytes is None or not row.our_bytes else f"{row.file_bytes / row.our_bytes:.1f}"
        file_bytes = "-" if row.file_bytes is None else f"{row.file_bytes:,}"
        table.add_row(f"{row.es_n0_db:g}", f"{row.roi_psnr_db:.1f}", f"{row.our_bytes:,}", file_bytes, ratio)
    console.print(table)
    for curve in comparison.curves[: len(PICTURE_WEIGHTS)]:
        sent = ", ".join(f"{name} {size:,} bytes" for name, size in curve.modcods.items())
        console.print(f"{curve.name}: {sent}")


if __name__ == "__main__":
    sys.exit(main())
