"""`tianshu simulate`: seeded missions with faults, every promise checked after every event."""

import argparse
import sys
from pathlib import Path

EXIT_FAILED = 1


def add_simulate_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its options."""
    parser = commands.add_parser("simulate", help="fly seeded missions with faults and check every promise")
    parser.add_argument("--seeds", type=int, default=200, metavar="N", help="number of missions (200)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed (0)")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (one for each core); the results are the same")
    parser.add_argument(
        "--harsh",
        action="store_const",
        const=1,
        default=0,
        dest="harsh_every",
        help="30 %% of frames lost in bursts, contacts cut, ten reboots in every mission",
    )
    parser.add_argument(
        "--harsh-every", type=int, default=0, metavar="N", help="the same for the seeds that N divides (none)"
    )
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="keep the event logs of both ends, for `tianshu replay`"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but failures")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON and nothing else")
    parser.set_defaults(command=simulate)


def simulate(options: argparse.Namespace) -> int:
    """Flies the missions; returns 1 where one of them broke a promise."""
    from multiprocessing import cpu_count

    from rich.console import Console

    from mission.campaign import Campaign, run_campaign, show_campaign, write_campaign
    from mission.progress import ProgressBars

    campaign = Campaign(
        first=options.first,
        count=options.seeds,
        harsh_every=options.harsh_every,
        jobs=cpu_count() if options.jobs is None else options.jobs,
        record_in=options.record,
    )
    with ProgressBars(quiet=options.quiet or options.json) as bars:
        figures = run_campaign(campaign, bars)
    if options.json:
        write_campaign(figures, sys.stdout)
    elif figures.failed or not options.quiet:
        show_campaign(figures, Console())
    return EXIT_FAILED if figures.failed else 0
