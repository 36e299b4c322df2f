"""The tables of `benchmarks.link` as text."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.erasure import one_way_table
from benchmarks.link_overhead import overhead_table
from benchmarks.link_peers import ENTITIES
from benchmarks.link_tables import COMMANDS, LinkTables, TableName
from benchmarks.link_targets import gain_over_best_file_db, targets


def print_tables(tables: LinkTables, console: Console) -> None:
    """Every table under the command that prints it alone, then the targets."""
    _throughput(tables, console)
    _bytes_on_link(tables, console)
    _lines(console, "whole_stack", "The whole stack, clean uplink", overhead_table(tables.whole_stack))
    shares = "One-way passes: share of value on the ground (share of layers)"
    _lines(console, "erasure", shares, one_way_table(tables.erasure))
    _uplink(tables, console)
    _missions(tables, console)
    _coding(tables, console)
    _low_signal(tables, console)
    console.print("Targets", style="bold")
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("", "wanted", "measured", "met"):
        table.add_column(heading, justify="left" if heading in ("", "wanted") else "right")
    for target in targets(tables):
        measured = "-" if target.measured is None else f"{target.measured:,.4g} {target.unit}"
        table.add_row(target.name, target.wanted, measured, {True: "yes", False: "no", None: "-"}[target.met])
    console.print(table)


def _title(console: Console, name: TableName, title: str) -> None:
    console.print(f"{title}: {COMMANDS[name]}", markup=False, highlight=False, style="bold", soft_wrap=True)


def _table(console: Console, name: TableName, title: str, headings: Sequence[str]) -> Table:
    _title(console, name, title)
    table = Table(box=box.SIMPLE_HEAD)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", no_wrap=True)
    return table


def _lines(console: Console, name: TableName, title: str, lines: Iterable[str]) -> None:
    _title(console, name, title)
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print()


def _throughput(tables: LinkTables, console: Console) -> None:
    speeds = _table(console, "throughput", "Per second of CPU time, one core", ("", "MB/s of file", "units/s"))
    for stage in (*tables.throughput["stages"], *tables.throughput["checksums"]):
        speeds.add_row(stage["name"], f"{stage['file_mb_per_s']:,.0f}", f"{stage['units_per_s']:,.0f}")
    console.print(speeds)
    pairs = _table(console, "throughput", "The same transfer, PDUs of 1 KiB/s", ("", "ours", "cfdp-py", "ratio"))
    for pair in tables.throughput["against_cfdp_py"]:
        pairs.add_row(
            pair["name"],
            f"{pair['ours_pdus_per_s']:,.0f}",
            f"{pair['cfdp_py_pdus_per_s']:,.0f}",
            f"{pair['ratio']:.1f}x",
        )
    console.print(pairs)
    if memory := tables.throughput["memory"]:
        console.print(
            f"{memory['file_bytes'] / 1e6:,.0f} MB from disk to disk: Python holds at most {memory['traced_peak_bytes'] / 1e6:.1f} MB "
            f"more, resident size grown by {memory['resident_growth_bytes'] / 1e6:.1f} MB after the first 64 MiB, {memory['cpu_s']:.1f} s\n"
        )


def _bytes_on_link(tables: LinkTables, console: Console) -> None:
    table = _table(
        console,
        "bytes_on_link",
        "File delivery alone, both directions lossy: bytes down over bytes of the file (delivered)",
        ("loss", "1/(1-p)", *ENTITIES),
    )
    for loss in dict.fromkeys(cost.frame_loss for cost in tables.bytes_on_link):
        costs = {cost.entity: cost for cost in tables.bytes_on_link if cost.frame_loss == loss}
        cells = [
            f"{'-' if cost.down_over_payload is None else f'{cost.down_over_payload:.4f}'} ({cost.delivered}/{cost.transfers})"
            for cost in costs.values()
        ]
        table.add_row(f"{loss:.0%}", f"{1 / (1 - loss):.4f}", *cells)
    console.print(table)


def _uplink(tables: LinkTables, console: Console) -> None:
    table = _table(console, "uplink_security", "Authenticated uplink", ("", ""))
    for name, figure in tables.uplink_security.items():
        table.add_row(name, f"{figure:,.3f}" if figure < 100 else f"{figure:,.0f}")
    console.print(table)


def _missions(tables: LinkTables, console: Console) -> None:
    missions = tables.missions
    table = _table(
        console,
        "missions",
        "Harsh missions: 30 % lost in bursts both ways, reordering, every contact cut, ten reboots",
        ("", ""),
    )
    table.add_row("missions", f"{missions['missions']:,}")
    table.add_row("failed", f"{missions['failed']:,}")
    table.add_row("captured, MB", f"{missions['captured_bytes'] / 1e6:,.1f}")
    table.add_row("sent, MB", f"{missions['sent_bytes'] / 1e6:,.1f}")
    for fault, times in missions["faults"].items():
        table.add_row(fault, f"{times:,}")
    console.print(table)
    for failure in missions["failures"]:
        console.print(f"{failure['invariant']}: {failure['reproduce']}", style="red", markup=False)


def _coding(tables: LinkTables, console: Console) -> None:
    table = _table(
        console,
        "coding",
        "Expected GB over the contacts: coding that follows the signal, and fixed coding",
        ("EIRP dBW", "contacts", "adaptive", "best fixed", "which", "gain", "best per pass", "gain"),
    )
    for gain in tables.coding:
        table.add_row(
            f"{gain.eirp_dbw:g}",
            str(gain.contacts),
            f"{gain.adaptive_bytes / 1e9:.1f}",
            f"{gain.best_fixed_bytes / 1e9:.1f}",
            gain.best_fixed,
            f"{gain.over_best_fixed - 1:+.0%}",
            f"{gain.best_per_pass_bytes / 1e9:.1f}",
            f"{gain.over_best_per_pass - 1:+.0%}",
        )
    console.print(table)


def _low_signal(tables: LinkTables, console: Console) -> None:
    for share, comparison in tables.low_signal:
        levels = _table(
            console,
            "low_signal",
            f"{comparison.scene}, symbols for {share:.1%} of the raw bits: lowest Es/N0 in dB of a quality",
            ("", "layers", "best fixed file", "file, signal known", "gain over fixed"),
        )
        for quality, found in comparison.gains_db.items():
            ours = [found[curve.name] for curve in comparison.curves if curve.ours]
            known = [found[curve.name] for curve in comparison.curves if curve.name.endswith("signal known")]
            files = [
                found[curve.name]
                for curve in comparison.curves
                if not curve.ours and not curve.name.endswith("signal known")
            ]
            gain_db = gain_over_best_file_db(comparison, quality)
            levels.add_row(
                quality, _least(ours), _least(files), _least(known), "-" if gain_db is None else f"{gain_db:g} dB"
            )
        console.print(levels)
        sizes = _table(
            console,
            "low_signal",
            "Bytes for the same ROI PSNR",
            ("Es/N0 dB", "ROI PSNR dB", "layers that arrive", "whole file", "ratio"),
        )
        for row in comparison.sizes:
            known_ratio = row.file_bytes is not None and row.our_bytes
            sizes.add_row(
                f"{row.es_n0_db:g}",
                f"{row.roi_psnr_db:.1f}",
                f"{row.our_bytes:,}",
                "-" if row.file_bytes is None else f"{row.file_bytes:,}",
                f"{row.file_bytes / row.our_bytes:.1f}x" if known_ratio and row.file_bytes is not None else "-",
            )
        console.print(sizes)


def _least(levels_db: Sequence[float | None]) -> str:
    known = [level for level in levels_db if level is not None]
    return f"{min(known):g}" if known else "never"
