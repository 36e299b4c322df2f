"""Everything that is measured about the link, side by side: python -m benchmarks.link [--json] [--quick] [--plots DIR] [--data DIR]

Throughput against cfdp-py, bytes on the link over loss against cfdp-py, LibreCube and the ideal, one-way passes, the authenticated
uplink, harsh missions, adaptive coding, low signal; at the end the targets beside what was measured. It took 39
minutes beside other work, with `--quick` about one, at small sizes and without the low signal. `--plots` writes link_bytes.svg,
link_one_way.svg and
low_signal.svg. `--data` adds two real ports to the low signal. The scheduler has a benchmark of its own: benchmarks.scheduler.

`--json` prints one object:

    {"quick": false, "commands": {table: command}, "targets": [...], "tables": {table: ...}}

The tables are named and described in `benchmarks.link_tables.LinkTables`, a target in `benchmarks.link_targets.Target`. Progress goes
to standard error. The exit code is 1 where a harsh mission failed, and 0 otherwise: speed depends on the machine.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from benchmarks import erasure_plot, link_plot, low_signal_plot
from benchmarks.link_tables import COMMANDS, FULL, QUICK, LinkTables, measure
from benchmarks.link_targets import targets
from benchmarks.link_text import print_tables
from mission.progress import ProgressBars


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write the plots there")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with s2_ships, for two real ports")
    options = parser.parse_args(arguments)
    with ProgressBars() as bars:
        tables = measure(QUICK if options.quick else FULL, bars, data=options.data)
    if options.plots:
        write_plots(tables, options.plots)
    if options.json:
        sys.stdout.write(json.dumps(as_json(tables, quick=options.quick), indent=1) + "\n")
    else:
        print_tables(tables, Console(width=132))
    return 1 if tables.missions["failed"] else 0


def as_json(tables: LinkTables, *, quick: bool) -> dict[str, object]:
    """What `--json` prints."""
    found = [asdict(target) for target in targets(tables)]
    return {"quick": quick, "commands": COMMANDS, "targets": found, "tables": tables.to_json()}


def write_plots(tables: LinkTables, folder: Path) -> None:
    """Draw what was measured; the low signal only where it was."""
    drawings = {
        "link_bytes.svg": link_plot.draw(tables.bytes_on_link, tables.whole_stack),
        "link_one_way.svg": erasure_plot.draw(tables.erasure),
    }
    if tables.low_signal:
        drawings["low_signal.svg"] = low_signal_plot.draw(tables.low_signal[0][1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, drawing in drawings.items():
        (folder / name).write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
