"""`tianshu run`: flies real scene files through the whole system and writes the report."""

import argparse
import sys
from pathlib import Path

from onboard.engine_names import ENGINES


def add_run_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its options."""
    parser = commands.add_parser("run", help="fly scene files from the sensor to the ground and report")
    parser.add_argument("scenes", nargs="+", type=Path, metavar="SCENE.tif", help="scene files, in order of capture")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for everything that is written")
    parser.add_argument("--scenario", metavar="FILE", help="scenario file, or the name of one that ships (default)")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of every random stream (the scenario's)")
    parser.add_argument(
        "--truth",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="GeoJSON or YOLO-OBB labels; once per scene, in the order of the scenes",
    )
    parser.add_argument("--engine", choices=ENGINES, help="what runs the network")
    parser.add_argument("--model", metavar="NAME", help="shipped model or model folder")
    parser.add_argument("--replace", action="store_true", help="replace an earlier run in DIR")
    parser.add_argument("--no-baselines", action="store_true", help="skip the lossless and lossy baselines")
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    parser.add_argument("--json", action="store_true", help="print report.json and nothing else")
    parser.set_defaults(command=fly_scenes)


def fly_scenes(options: argparse.Namespace) -> int:
    """Flies the scenes; returns the exit code. Raises the errors of every room."""
    # Imported here, as in every command: a command that needs none of it starts at once.
    from rich.console import Console

    from mission.errors import RunError
    from mission.progress import ProgressBars
    from mission.report_terminal import show_summary, write_json
    from mission.run import RunRequest, run
    from mission.scenario import load_scenario

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
