"""The command line: `tianshu run` flies real scene files through the whole system, `tianshu simulate` seeded missions."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from downlink.errors import DownlinkError
from ground.errors import GroundError
from mission.campaign import run_campaign, show_campaign, write_campaign
from mission.cli_channel import add_channel_command
from mission.errors import MissionError, RunError
from mission.progress import ProgressBars
from mission.report_terminal import show_summary, write_json
from mission.run import RunRequest, run
from mission.scenario import load_scenario
from onboard.errors import OnboardError

EXIT_FAILED = 1
EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130
ROOM_ERRORS = (DownlinkError, OnboardError, GroundError, MissionError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code, with one message on standard error unless it is 0.

    1 where a simulated mission failed, 2 where something was refused, 130 where the user interrupted it.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except ROOM_ERRORS as error:
        sys.stderr.write(f"tianshu: {error}\n")
        return EXIT_REFUSED
    except OSError as error:
        sys.stderr.write(f"tianshu: {_told(error)}\n")
        return EXIT_REFUSED
    except KeyboardInterrupt:
        sys.stderr.write("tianshu: interrupted\n")
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tianshu", description="Onboard edge processing for Earth observation, end to end."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    fly = commands.add_parser("run", help="fly scene files from the sensor to the ground and report")
    fly.add_argument("scenes", nargs="+", type=Path, metavar="SCENE.tif", help="scene files, in order of capture")
    fly.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for everything that is written")
    fly.add_argument("--scenario", metavar="FILE", help="scenario file, or the name of one that ships (default)")
    fly.add_argument("--seed", type=int, metavar="N", help="seed of every random stream (the scenario's)")
    fly.add_argument(
        "--truth",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="GeoJSON or YOLO-OBB labels; once per scene, in the order of the scenes",
    )
    fly.add_argument("--engine", choices=("openvino", "onnxruntime", "ultralytics"), help="what runs the network")
    fly.add_argument("--model", metavar="NAME", help="shipped model or model folder")
    fly.add_argument("--replace", action="store_true", help="replace an earlier run in DIR")
    fly.add_argument("--no-baselines", action="store_true", help="skip the lossless and lossy baselines")
    fly.add_argument("--quiet", action="store_true", help="print nothing")
    fly.add_argument("--json", action="store_true", help="print report.json and nothing else")
    fly.set_defaults(command=_run)
    simulate = commands.add_parser("simulate", help="fly seeded missions with faults and check every promise")
    simulate.add_argument("--seeds", type=int, default=200, metavar="N", help="number of missions (200)")
    simulate.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed (0)")
    simulate.add_argument(
        "--harsh",
        action="store_true",
        help="30 %% of frames lost in bursts, contacts cut, ten reboots in every mission",
    )
    simulate.add_argument("--quiet", action="store_true", help="print nothing but failures")
    simulate.add_argument("--json", action="store_true", help="print the figures as JSON and nothing else")
    simulate.set_defaults(command=_simulate)
    add_channel_command(commands)
    return parser


def _run(options: argparse.Namespace) -> int:
    scenario = load_scenario(options.scenario)
    chosen = {name: getattr(options, name) for name in ("engine", "model") if getattr(options, name)}
    if chosen:
        scenario = scenario.model_copy(update={"detector": scenario.detector.model_copy(update=chosen)})
    if options.truth and len(options.truth) != len(options.scenes):
        raise RunError(
            f"{len(options.truth)} truth files for {len(options.scenes)} scenes: give --truth once per scene, in order"
        )
    if options.seed is not None and options.seed < 0:
        raise RunError(f"--seed {options.seed} is negative: give a whole number from 0 up")
    request = RunRequest(
        scenes=tuple(options.scenes),
        out=options.out,
        scenario=scenario,
        seed=scenario.mission.seed if options.seed is None else options.seed,
        truths=tuple(options.truth),
        replace=options.replace,
        baselines=not options.no_baselines,
    )
    with ProgressBars(quiet=options.quiet or options.json) as bars:
        report = run(request, bars)
    if options.json:
        write_json(report, sys.stdout)
    elif not options.quiet:
        show_summary(report, Console(), page=str(request.out / "report.html"))
    return 0


def _simulate(options: argparse.Namespace) -> int:
    with ProgressBars(quiet=options.quiet or options.json) as bars:
        figures = run_campaign(first=options.first, count=options.seeds, bars=bars, harsh=options.harsh)
    if options.json:
        write_campaign(figures, sys.stdout)
    elif figures.failed or not options.quiet:
        show_campaign(figures, Console())
    return EXIT_FAILED if figures.failed else 0


def _told(error: OSError) -> str:
    """A refusal of the operating system that no room expected, with what to do about it."""
    what = f"{error.filename}: " if error.filename else ""
    return f"{what}{error.strerror or error}; free space or check rights, then run again (what was stored is intact)"


if __name__ == "__main__":
    sys.exit(main())
