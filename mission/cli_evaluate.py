"""`tianshu evaluate`: how good a detector is on labelled scenes, judged by networks that have not seen them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from onboard.engine_names import ENGINES

if TYPE_CHECKING:
    from onboard.training.evaluate import Evaluation, NetworkChoice, SceneScore

BASELINE = "cfar"
RELATIONS = {
    "held out": "judged by a network that was trained without it, and without its place where folds are of places",
    "seen in training": "judged by a network that was trained on it: no test of what it can do elsewhere",
    "new": "the model does not know the place",
}


def add_evaluate_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "evaluate",
        help="judge a detector on labelled scenes",
        description="Precision, recall, F1 and calibration error per scene and pooled. A scene that the model was trained on is judged "
        "by the held-out network that never saw it, where the model has them (folds/folds.json).",
    )
    parser.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help="folder with images/ (tif, png, jpg) and labels_obb/ (YOLO oriented boxes)",
    )
    parser.add_argument(
        "--model",
        default="ship_s2",
        metavar="NAME",
        help="a shipped model, a model folder, or cfar, the classical baseline",
    )
    parser.add_argument("--engine", choices=ENGINES, help="what runs the network (default: what the model flies with)")
    parser.add_argument(
        "--as-shipped", action="store_true", help="judge every scene with the shipped network, its training scenes too"
    )
    parser.add_argument(
        "--ignore-class", type=int, action="append", default=[], metavar="N",
        help="objects of this class count neither for nor against (may be repeated)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the figures as JSON and nothing else")
    parser.set_defaults(command=evaluate)


def evaluate(options: argparse.Namespace) -> int:
    """Prints the figures; returns the exit code. Raises the errors of every room."""
    from rich.console import Console
    from rich.progress import Progress

    from onboard.training.evaluate import evaluate as evaluate_scenes
    from onboard.training.evaluate import evaluation_json
    from onboard.training.labelled_scene import read_labelled_scenes
    from onboard.training.scene_judgement import check_classes

    networks = _networks(options)
    model = networks.shipped.model
    scenes = read_labelled_scenes(options.data, model.bands)
    check_classes(scenes, model.classes, ignored=options.ignore_class, what=model.label)
    with Progress(console=Console(stderr=True), transient=True, disable=options.json) as progress:
        task = progress.add_task("scenes", total=len(scenes))
        evaluation = evaluate_scenes(
            networks, scenes, ignored_classes=options.ignore_class, report=lambda result: progress.advance(task)
        )
    if options.json:
        sys.stdout.write(evaluation_json(evaluation) + "\n")
    else:
        sys.stdout.write("\n".join(evaluation_lines(evaluation)) + "\n")
    return 0


def _networks(options: argparse.Namespace) -> NetworkChoice:
    """What judges: a model folder's networks, or the baseline."""
    from onboard.training.evaluate import networks_of
    from onboard.training.held_out_cfar import baseline_networks

    if options.model == BASELINE:
        return baseline_networks(as_shipped=options.as_shipped)
    return networks_of(model_folder(options.model), options.engine, as_shipped=options.as_shipped)


def model_folder(name: str) -> Path:
    """The folder of a model that is shipped under this name, or that the name is the path of. Raises ModelFileError."""
    from mission.pipeline_setup import MODELS_FOLDER
    from onboard.errors import ModelFileError

    shipped = sorted(path.parent.name for path in MODELS_FOLDER.glob("*/model.json"))
    if name in shipped:
        return MODELS_FOLDER / name
    if (Path(name) / "model.json").is_file():
        return Path(name)
    raise ModelFileError(
        f"there is no model {name!r}: give one of {', '.join((*shipped, BASELINE))}, or a folder with a model.json",
        path=Path(name),
    )


def evaluation_lines(evaluation: Evaluation) -> list[str]:
    """The table as aligned text, and what its words mean."""
    from onboard.training.evaluate import LOWEST_CONFIDENCE
    from onboard.training.scene_judgement import AWAY_FROM_LAND_M

    rows = [(result.name, result.score, f"{result.relation}, {result.network}") for result in evaluation.scenes]
    rows += [(name, score, "this class, all scenes") for name, score in evaluation.by_class.items()]
    rows.append(("pooled", evaluation.pooled, ""))
    width = max(len(name) for name, _, _ in rows)
    lines = [f"{'':{width}s}  ships  found   hits  precision  recall     F1    ECE  off land  recall  judged by"]
    lines += [f"{name:{width}s}  {_cells(score)}  {judge}".rstrip() for name, score, judge in rows]
    met = dict.fromkeys(result.relation for result in evaluation.scenes)
    lines += ["", *(f"{relation}: {RELATIONS[relation]}" for relation in met)]
    lines.append(f"off land: ships {AWAY_FROM_LAND_M:.0f} m or more from land, and how many of them are found")
    lines.append(
        f"ECE: calibration error of what is reported; over all {evaluation.pooled.candidates} detections down to confidence "
        f"{LOWEST_CONFIDENCE} it is {evaluation.pooled.ece_all:.3f}"
    )
    return lines


def _cells(score: SceneScore) -> str:
    ships, recall = score.away_from_land_ships, score.away_from_land_recall
    return (
        f"{score.ships:5d}  {score.found:5d}  {score.hits:5d}  {score.precision:9.3f}  {score.recall:6.3f}  {score.f1:5.3f}  "
        f"{score.ece:5.3f}  {'-' if ships is None else ships:>8}  {'-' if recall is None else f'{recall:.3f}':>6}"
    )
