"""`python -m onboard.training STEP`: prepare, train, crossval, calibrate, export, quantise, engines, evaluate."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onboard.engine_names import ENGINES
from onboard.errors import OnboardError

if TYPE_CHECKING:
    from onboard.training.labelled_scene import LabelledScene
    from onboard.training.plan import TrainingPlan

DEFAULT_DATA = Path("../shared/data/s2_ships")
DEFAULT_WORK = Path("runs/detector")
DEFAULT_MODEL = Path(__file__).parent.parent / "models" / "ship_s2"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one step; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (FileNotFoundError, ValueError, OnboardError) as error:
        print(f"onboard.training {options.step}: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m onboard.training", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    train = _step(steps, "train", _train, "train one network on all scenes")
    train.add_argument("--out", type=Path, default=DEFAULT_WORK / "ship_s2.pt", help="checkpoint to write")
    train.add_argument("--start-from", type=Path, help="checkpoint to go on from (default: fresh weights)")
    _add_plan(train, steps_default=1200)
    crossval = _step(steps, "crossval", _crossval, "train five networks, each on eight ports, and judge the other two")
    crossval.add_argument("--folds", type=int, nargs="+", default=list(range(5)), help="which folds (default: all)")
    crossval.add_argument("--start-from", type=Path, help="work folder whose folds to go on from")
    _add_plan(crossval, steps_default=650)
    prepare = _step(steps, "prepare", _prepare, "write sample chips and a contact sheet of what training draws")
    prepare.add_argument("--chips", type=int, default=24, help="how many")
    _add_plan(prepare, steps_default=0)
    calibrate = _step(steps, "calibrate", _calibrate, "fit confidence and threshold on the held-out verdicts")
    calibrate.add_argument("--model", type=Path, help="write them into this model folder, from the verdicts in it")
    calibrate.add_argument("--version", help="version in model.json (default: as it is)")
    export = _step(
        steps, "export", _export, "write the model folder: checkpoint, ONNX, OpenVINO IR, model.json, held-out networks"
    )
    export.add_argument("--checkpoint", type=Path, default=DEFAULT_WORK / "ship_s2.pt", help="network to export")
    export.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="folder to write")
    export.add_argument("--version", default="1.0.0", help="version in model.json")
    quantise = _step(steps, "quantise", _quantise, "write the networks of a model folder again in 8-bit integers")
    quantise.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="folder of a model that was exported")
    engines = _step(steps, "engines", _engines, "time the engines of a model folder and compare what they find")
    engines.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model folder")
    engines.add_argument("--threads", type=int, default=2, help="threads of each engine")
    evaluate = _step(steps, "evaluate", _evaluate, "print the scores of the folds, or of a model folder")
    evaluate.add_argument("--model", type=Path, help="judge this model folder in place of the folds")
    evaluate.add_argument("--engine", choices=ENGINES, help="default: 8-bit integers where the model has them")
    evaluate.add_argument("--scene", type=Path, nargs=2, action="append", default=[], metavar=("TIF", "GEOJSON"),
                          help="judge the model on this scene in place of --data (may be repeated)")  # fmt: skip
    evaluate.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _step(
    steps: Any, name: str, run: Callable[[argparse.Namespace], None], description: str
) -> argparse.ArgumentParser:
    step: argparse.ArgumentParser = steps.add_parser(name, help=description, description=description)
    step.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with images/ and labels_obb/")
    step.add_argument("--work", type=Path, default=DEFAULT_WORK, help="where folds and verdicts are kept")
    step.set_defaults(run=run)
    return step


def _add_plan(step: argparse.ArgumentParser, *, steps_default: int) -> None:
    step.add_argument("--steps", type=int, default=steps_default, help="optimizer steps")
    step.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    step.add_argument("--seed", type=int, default=20, help="first weights and chips")
    step.add_argument("--generated", type=Path, nargs=2, action="append", default=[], metavar=("TIF", "GEOJSON"),
                      help="add a generated scene and its truth to the training (may be repeated)")  # fmt: skip


def _read(options: argparse.Namespace) -> tuple[list[LabelledScene], list[LabelledScene], TrainingPlan]:
    from onboard.training.labelled_scene import read_generated_scene, read_labelled_scenes
    from onboard.training.plan import BANDS, TrainingPlan

    plan = replace(TrainingPlan(), steps=options.steps, seed=options.seed, learning_rate=options.rate)
    generated = [read_generated_scene(image, truth, BANDS) for image, truth in options.generated]
    return read_labelled_scenes(options.data, BANDS), generated, plan


def _train(options: argparse.Namespace) -> None:
    from onboard.training.network import save_checkpoint
    from onboard.training.train import train

    scenes, generated, plan = _read(options)
    network = train([*scenes, *generated], plan, start_from=options.start_from, report=_say)
    names = [scene.name for scene in (*scenes, *generated)]
    save_checkpoint(network, options.out, notes={"scenes": names, "plan": repr(plan)})
    _say(f"wrote {options.out}")


def _crossval(options: argparse.Namespace) -> None:
    from onboard.training.crossval import cross_validate

    scenes, generated, plan = _read(options)
    cross_validate(
        scenes, generated, plan, options.work, numbers=options.folds, start_from=options.start_from, report=_say
    )


def _prepare(options: argparse.Namespace) -> None:
    from onboard.training.chip_sampler import ChipSampler
    from onboard.training.plan import BANDS
    from onboard.training.prepare import write_chips

    scenes, generated, plan = _read(options)
    sampler = ChipSampler([*scenes, *generated], bands=BANDS, chip_px=plan.chip_px, seed=plan.seed)
    write_chips(sampler, options.chips, options.work)
    _say(f"wrote {options.work / 'chips.npz'} and {options.work / 'chips.png'}")


def _calibrate(options: argparse.Namespace) -> None:
    from onboard.training.calibrate import operating_point
    from onboard.training.crossval import read_held_out
    from onboard.training.evaluate import calibration_lines
    from onboard.training.operating_points import write_operating_points

    held_out = read_held_out(options.model or options.work)
    point = operating_point(held_out)
    print("\n".join(calibration_lines(held_out)))
    _say(f"Platt slope {point.calibration.slope:.4f} intercept {point.calibration.intercept:.4f}")
    _say(f"threshold {point.threshold:.4f}")
    if options.model is not None:
        write_operating_points(options.model, held_out, version=options.version)
        _say(f"wrote {options.model}")


def _export(options: argparse.Namespace) -> None:
    from onboard.training.calibrate import operating_point
    from onboard.training.crossval import read_held_out
    from onboard.training.export import ModelAbout, export, export_folds
    from onboard.training.labelled_scene import read_labelled_scenes
    from onboard.training.plan import BANDS, TrainingPlan
    from onboard.training.quantise import quantise_model

    held_out = read_held_out(options.work)
    point = operating_point(held_out)
    scenes = read_labelled_scenes(options.data, BANDS)
    names = ", ".join(scene.name for scene in scenes)
    about = ModelAbout(
        version=options.version,
        training_data="sen2ships (MIT; contains modified Copernicus Sentinel data 2022-2023), and 36 ships that its labels "
        f"overlook: {names}",
    )
    export(options.checkpoint, options.model, point, plan=TrainingPlan(), about=about)
    export_folds(options.work, options.model, held_out, scenes)
    quantise_model(options.model, scenes)
    _say(f"wrote {options.model}")


def _quantise(options: argparse.Namespace) -> None:
    from onboard.detector import read_model
    from onboard.training.labelled_scene import read_labelled_scenes
    from onboard.training.quantise import quantise_model

    bands = read_model(options.model).bands
    quantise_model(options.model, read_labelled_scenes(options.data, bands))
    _say(f"wrote integers to {options.model}")


def _engines(options: argparse.Namespace) -> None:
    from onboard.detector import read_model
    from onboard.training.engine_table import engine_table
    from onboard.training.labelled_scene import read_labelled_scenes

    model = read_model(options.model)
    scenes = read_labelled_scenes(options.data, model.bands)
    busiest = max(scenes, key=lambda scene: len(scene.ships_px))
    # A square of the network's size around the middle of its ships.
    left, top = (busiest.ships_px.mean(axis=(0, 1)) - model.input_px / 2).clip(0).astype(int)
    tile = busiest.pixels[top : top + model.input_px, left : left + model.input_px].transpose(2, 0, 1).copy()
    for line in engine_table(options.model, tile, threads=options.threads):
        _say(line)


def _evaluate(options: argparse.Namespace) -> None:
    from onboard.training.evaluate import held_out_table, model_table, table_json, table_lines

    if options.model is None:
        from onboard.training.crossval import read_held_out

        table = held_out_table(read_held_out(options.work))
    else:
        from onboard.detector import load_detector
        from onboard.training.labelled_scene import read_generated_scene, read_labelled_scenes

        detector = load_detector(options.model, options.engine)
        bands = detector.model.bands
        scenes = [read_generated_scene(image, truth, bands) for image, truth in options.scene]
        table = model_table(detector, scenes or read_labelled_scenes(options.data, bands))
    print(table_json(table) if options.json else "\n".join(table_lines(table)))


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
