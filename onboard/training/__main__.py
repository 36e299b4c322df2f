"""`python -m onboard.training STEP`: prepare, train, crossval, calibrate, export, evaluate."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

DEFAULT_DATA = Path("../shared/data/s2_ships")
DEFAULT_WORK = Path("runs/detector")
DEFAULT_MODEL = Path(__file__).parent.parent / "models" / "ship_s2"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one step; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (FileNotFoundError, ValueError) as error:
        print(f"onboard.training {options.step}: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m onboard.training", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    train = _step(steps, "train", _train, "train one network on all scenes")
    train.add_argument("--out", type=Path, default=DEFAULT_WORK / "ship_s2.pt", help="checkpoint to write")
    _add_plan(train, steps_default=1800)
    crossval = _step(steps, "crossval", _crossval, "train five networks, each on eight ports, and judge the other two")
    crossval.add_argument("--folds", type=int, nargs="+", default=list(range(5)), help="which folds (default: all)")
    _add_plan(crossval, steps_default=1000)
    return parser


def _step(steps, name: str, run, description: str) -> argparse.ArgumentParser:  # type: ignore[no-untyped-def]
    step = steps.add_parser(name, help=description, description=description)
    step.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with images/ and labels_obb/")
    step.add_argument("--work", type=Path, default=DEFAULT_WORK, help="where folds and verdicts are kept")
    step.set_defaults(run=run)
    return step


def _add_plan(step: argparse.ArgumentParser, *, steps_default: int) -> None:
    step.add_argument("--steps", type=int, default=steps_default, help="optimizer steps")
    step.add_argument("--seed", type=int, default=20, help="first weights and chips")
    step.add_argument("--generated", type=Path, nargs=2, action="append", default=[], metavar=("TIF", "GEOJSON"),
                      help="add a generated scene and its truth to the training (may be repeated)")  # fmt: skip


def _read(options: argparse.Namespace):  # type: ignore[no-untyped-def]
    from onboard.training.labelled_scene import read_generated_scene, read_labelled_scenes
    from onboard.training.train import BANDS, TrainingPlan

    plan = replace(TrainingPlan(), steps=options.steps, seed=options.seed)
    generated = [read_generated_scene(image, truth, BANDS) for image, truth in options.generated]
    return read_labelled_scenes(options.data, BANDS), generated, plan


def _train(options: argparse.Namespace) -> None:
    from onboard.training.network import save_checkpoint
    from onboard.training.train import train

    scenes, generated, plan = _read(options)
    network = train([*scenes, *generated], plan, report=_say)
    names = [scene.name for scene in (*scenes, *generated)]
    save_checkpoint(network, options.out, notes={"scenes": names, "plan": repr(plan)})
    _say(f"wrote {options.out}")


def _crossval(options: argparse.Namespace) -> None:
    from onboard.training.crossval import cross_validate

    scenes, generated, plan = _read(options)
    cross_validate(scenes, generated, plan, options.work, folds=options.folds, report=_say)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
