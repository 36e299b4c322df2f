"""`tianshu train`: from a folder of labelled scenes to a model that flies."""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `tianshu --help` starts without what training needs
    from onboard.detector import DetectorModel
    from onboard.training.matching import Score
    from onboard.training.plan import TrainingPlan
    from onboard.training.train_folder import FolderTraining


def add_train_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "train",
        help="train a detector on labelled scenes of any sensor and any classes",
        description="Trains one network for each fold of places and judges it on the places it has not seen, calibrates confidence and "
        "threshold on that, trains the network that ships on everything, and writes a model folder. What is finished is kept in the "
        "work folder and not done again. Needs the extra `train`.",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with images/ and labels_obb/ (YOLO OBB)")
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL", help="model folder to write")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="checkpoints and verdicts (MODEL.work)")
    _add_data_options(parser)
    _add_training_options(parser)
    _add_description_options(parser)
    parser.add_argument("--json", action="store_true", help="print the held-out figures as JSON and nothing else")
    parser.set_defaults(command=train)


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--bands", metavar="A,B,..", help="bands to learn from (B08,B04,B03, else the three colours, else all)")
    add("--classes", metavar="A,B,..", help="names of the classes (data.yaml, classes.txt, else `object`)")
    add("--ignore-class", type=int, action="append", default=[], metavar="N", help="neither learned nor scored")
    add("--folds", type=int, default=5, metavar="K", help="networks tested on places they have not seen (5)")
    add(
        "--group-by",
        choices=("place", "scene"),
        default="place",
        help="what folds never split: places (groups.txt, else the name before its first underscore), or single scenes",
    )


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--steps", type=int, default=1200, metavar="N", help="steps of 16 chips for each network (1200)")
    add("--minutes", type=float, metavar="M", help="end the training of all networks together after about this long")
    add("--rate", type=float, default=2e-3, help="peak learning rate (0.002)")
    add("--chip-px", type=int, default=192, help="side of a training chip, a multiple of 32 (192)")
    add("--batch", type=int, default=16, help="chips in a step (16)")
    add("--seed", type=int, default=20, help="first weights and chips (20)")
    add("--threads", type=int, default=1, help="threads of the training (1)")
    add(
        "--start-from", type=Path, metavar="PT", help="checkpoint to go on from (the shipped one of generated harbours)"
    )
    add("--from-scratch", action="store_true", help="start from random weights")


def _add_description_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--gsd-m", type=float, metavar="M", help="metres to a pixel (what georeferenced files say)")
    add("--origin", default="", metavar="TEXT", help="source and licence of the pixels, for model.json")
    add("--licence", default="AGPL-3.0-or-later", help="licence of the weights, for model.json")
    add("--version", default="1.0.0", help="version of the model (1.0.0)")


def train(options: argparse.Namespace) -> int:
    """Trains and writes the model; returns the exit code. Raises the errors of every room."""
    from mission.progress import ProgressBars
    from mission.train_progress import NetworkBars
    from onboard.training.evaluate import held_out_table, table_lines
    from onboard.training.train_folder import train_folder
    from onboard.training.yolo_folder import read_training_scenes, scene_groups

    _require_sane(options)
    groups = scene_groups(options.data, options.group_by)
    plan = _plan(options)
    scenes = read_training_scenes(options.data, plan, groups)
    training = _training(options, plan, places=len({scene.port for scene in scenes}))
    with ProgressBars(quiet=options.json) as bars, NetworkBars(bars, steps=plan.steps) as networks:
        say = (lambda line: None) if bars.shown or options.json else _say
        model, held_out = train_folder(scenes, training, networks.listening(say))
    table = held_out_table(held_out)
    if options.json:
        sys.stdout.write(json.dumps(_figures(options.out, model, table), indent=1) + "\n")
        return 0
    sys.stdout.write("\n".join(["On scenes that the network judging them has not seen:", *table_lines(table), ""]))
    sys.stdout.write(f"{options.out}: {model.label}, {', '.join(model.classes)}, from {', '.join(model.bands)}\n")
    return 0


def _require_sane(options: argparse.Namespace) -> None:
    from mission.errors import MissionError

    if options.chip_px % 32 or options.chip_px < 64:
        raise MissionError(f"--chip-px {options.chip_px} is not a multiple of 32 from 64 on; give 128, 192 or 256")
    for name in ("steps", "batch", "threads", "minutes", "gsd_m", "rate"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise MissionError(f"--{name.replace('_', '-')} {value} is not above 0")
    if options.start_from is not None and not options.start_from.exists():
        raise MissionError(f"--start-from {options.start_from} does not exist; name a checkpoint, or --from-scratch")


def _plan(options: argparse.Namespace) -> "TrainingPlan":
    from onboard.network_input import band_key
    from onboard.training.plan import TrainingPlan
    from onboard.training.yolo_folder import bands_for, class_names, shared_bands

    bands = tuple(band_key(name) for name in _listed(options.bands)) or bands_for(shared_bands(options.data))
    return TrainingPlan(
        bands=bands,
        classes=_listed(options.classes) or class_names(options.data) or ("object",),
        ignored_classes=tuple(sorted(set(options.ignore_class))),
        steps=options.steps,
        batch=options.batch,
        chip_px=options.chip_px,
        learning_rate=options.rate,
        seed=options.seed,
        threads=options.threads,
    )


def _training(options: argparse.Namespace, plan: "TrainingPlan", *, places: int) -> "FolderTraining":
    """`plan` with its share of the time: each fold's network and the one of all scenes get as much."""
    from onboard.training.train_folder import FolderTraining

    networks = min(options.folds, places) + 1
    limit_s = None if options.minutes is None else options.minutes * 60 / networks
    return FolderTraining(
        plan=replace(plan, limit_s=limit_s),
        model_dir=options.out,
        work_dir=options.work or options.out.with_name(f"{options.out.name}.work"),
        folds=options.folds,
        start_from=None if options.from_scratch else options.start_from or _shipped_start(len(plan.bands)),
        version=options.version,
        gsd_m=options.gsd_m,
        origin=options.origin,
        licence=options.licence,
    )


def _figures(folder: Path, model: "DetectorModel", table: "Mapping[str, Score]") -> dict[str, Any]:
    """What --json prints."""
    return {
        "folder": str(folder),
        "model": model.label,
        "classes": list(model.classes),
        "bands": list(model.bands),
        "training_gsd_m": model.training_gsd_m,
        "threshold": model.threshold,
        "pooled": asdict(table["pooled"]),
        "scenes": {name: asdict(score) for name, score in table.items() if name != "pooled"},
    }


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()


def _shipped_start(bands: int) -> Path | None:
    """The checkpoint of generated harbours, where it is installed and takes as many bands."""
    import onboard

    path = Path(onboard.__file__).parent / "models" / "start.pt"
    return path if bands == 3 and path.exists() else None


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
