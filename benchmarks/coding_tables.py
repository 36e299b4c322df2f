"""The coding benchmark as tables for people."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmarks.coding_bands import BandRow
from benchmarks.coding_blocks import BlockRow
from benchmarks.coding_equal_psnr import COARSE_DB, EqualPsnrRow
from benchmarks.coding_lossless_table import LosslessRow, SpeedRow
from benchmarks.coding_port import Absent
from benchmarks.coding_targets import Target

if TYPE_CHECKING:
    from benchmarks.coding import DetectionResult

NOTHING = "-"


def print_absent(console: Console, absent: Sequence[Absent]) -> None:
    """Codecs that were not measured."""
    for name, reason in dict.fromkeys((codec.name, codec.reason) for codec in absent):
        console.print(f"[bold]absent[/]: {name}: {reason}")


def print_lossless(console: Console, rows: Sequence[LosslessRow]) -> None:
    """A table for all scenes, then one for each collection."""
    for collection in dict.fromkeys(row.collection for row in rows):
        table = _table(
            f"Lossless, {collection}", "codec", "bytes", "bits/sample", "bits/pixel", "raw/coded", "Msample/s", "decode"
        )
        table.add_column("")
        for row in rows:
            if row.collection == collection:
                numbers = (
                    f"{row.bytes:,}",
                    f"{row.bits_per_sample:.3f}",
                    f"{row.bits_per_pixel:.3f}",
                    f"{row.raw_ratio:.2f}",
                )
                table.add_row(row.codec, *numbers, f"{row.mpix_per_s:.1f}", f"{row.decode_mpix_per_s:.1f}", row.note)
        console.print(table)


def print_equal_psnr(console: Console, name: str, rows: Mapping[str, Mapping[str, Sequence[EqualPsnrRow]]]) -> None:
    """Whole scene and regions of interest, a row for every codec and target."""
    for kind, targets in rows.items():
        title = f"Bytes at equal PSNR of the {'whole scene' if kind == 'scene' else 'regions of interest'}, {name}"
        table = _table(
            title,
            "codec",
            "dB",
            "bytes",
            "bits/pixel",
            "scenes",
            "ours/this",
            "fine/this",
            "between dB",
            "reaching",
            "at dB",
        )
        for target, some in targets.items():
            for row in some:
                coarse = " coarse" if row.widest_db > COARSE_DB else ""
                table.add_row(
                    row.codec,
                    target,
                    NOTHING if row.bytes is None else f"{row.bytes:,}",
                    NOTHING if row.bits_per_pixel is None else f"{row.bits_per_pixel:.3f}",
                    f"{row.scenes}" + (f" ({row.already_above} above)" if row.already_above else ""),
                    _ratio(row.ours_over_this),
                    _ratio(row.fine_over_this),
                    f"{row.widest_db:.1f}{coarse}" if row.bytes is not None else NOTHING,
                    NOTHING if row.reaching_bytes is None else f"{row.reaching_bytes:,}",
                    NOTHING if row.reaching_db is None else f"{row.reaching_db:.1f}",
                )
            table.add_section()
        console.print(table)
    console.print(
        "above: scenes whose PSNR exceeds the target at the lowest setting of the codec; not compared. between: the two settings that "
        "a size was read off between. reaching: bytes of all scenes at settings that reach or exceed the target, at their mean PSNR"
    )


def print_detection(console: Console, found: "DetectionResult") -> None:
    """Quality over bytes, then bytes at equal F1."""
    original = found.original
    console.print(
        f"Detector {found.model} on the originals: F1 {original.f1:.3f}, recall {original.recall:.3f}, precision "
        f"{original.precision:.3f}; {len(found.seen_in_training)} of the scenes were in its training: codecs compare fairly, "
        "the level of F1 is not that of unseen scenes"
    )
    table = _table(
        "What the detector finds on the ground",
        "codec",
        "% of raw",
        "bytes",
        "F1",
        "recall",
        "of original",
        "found again",
    )
    for name, points in found.curves.items():
        for point in points:
            table.add_row(
                name,
                f"{point.share_percent:g}",
                f"{point.bytes:,}",
                f"{point.f1:.3f}",
                f"{point.recall:.3f}",
                f"{point.recall_of_original:.3f}",
                f"{point.found_again:.3f}",
            )
        table.add_section()
    console.print(table)
    table = _table(f"Bytes for an F1 of {found.target_f1:.3f}", "codec", "lasting", "this/ours", "first", "this/ours")
    for name in found.bytes:
        cells: list[str] = []
        for sizes in (found.bytes, found.first_bytes):
            size, ours = sizes[name], sizes.get("ours")
            cells += ["never" if size is None else f"{size:,}", f"{size / ours:.2f}" if size and ours else NOTHING]
        table.add_row(name, *cells)
    console.print(table)
    console.print(
        f"{original.objects} labelled objects; lasting: F1 stays there at every larger budget tried; first: it may dip again"
    )


def print_speed(console: Console, rows: Sequence[SpeedRow]) -> None:
    """Coding and decoding of lossy files."""
    table = _table("Speed, million samples per CPU second", "codec", "% of raw", "coding", "decoding")
    for row in rows:
        table.add_row(row.codec, f"{row.percent_of_raw:.2f}", f"{row.mpix_per_s:.1f}", f"{row.decode_mpix_per_s:.1f}")
    console.print(table)


def print_bands(console: Console, rows: Sequence[BandRow]) -> None:
    """Bytes with the transform over bytes without, a row for every collection."""
    names = list(dict.fromkeys(name for row in rows for name in row.with_over_without))
    heads = ("collection", "scenes", "bands", "bits", *(name if name == "lossless" else f"{name} dB" for name in names))
    table = _table("Bytes with the transform across bands over bytes without it", *heads)
    for row in rows:
        bits = "-".join(str(bits) for bits in dict.fromkeys(row.sample_bits))
        cells = [_ratio(row.with_over_without[name]) for name in names]
        table.add_row(row.collection, str(row.scenes), "/".join(map(str, row.bands)), bits, *cells)
    console.print(table)


def print_blocks(console: Console, rows: Sequence[BlockRow]) -> None:
    """A row for every block size."""
    names = list(dict.fromkeys(name for row in rows for name in row.bytes_at))
    heads = ("block", *(f"{name} dB" for name in names), "lossless", "first steps", "records and headers", "Msample/s")
    table = _table("Bytes by block size", *heads)
    for row in rows:
        sizes = (*(row.bytes_at[name] for name in names), row.lossless_bytes, row.first_step_bytes)
        overhead = f"{row.overhead_bytes:,} ({100 * row.overhead_bytes / row.lossless_bytes:.2f} %)"
        table.add_row(f"{row.tile_px} px", *(f"{size:,}" for size in sizes), overhead, f"{row.mpix_per_s:.1f}")
    console.print(table)


def print_targets(console: Console, targets: Sequence[Target]) -> None:
    """A row for every target."""
    if not targets:
        return
    table = _table("Targets", "target", "wanted", "measured", "verdict")
    table.add_column("of")
    for target in targets:
        figure = NOTHING if target.figure is None else f"{target.figure:.3f}"
        table.add_row(target.name, target.wanted, figure, "met" if target.met else "missed", target.of)
    console.print(table)


def _table(title: str, *heads: str) -> Table:
    table = Table(title=title, title_justify="left")
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left", no_wrap=True)
    return table


def _ratio(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"
