"""A folder of YOLO-OBB labels as a training takes it: its bands, its class names, its groups, and what is wrong with it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onboard.errors import LabelledDataError
from onboard.network_input import band_key
from onboard.training.labelled_scene import IMAGE_SUFFIXES, LabelledScene, band_names, read_labelled_scenes
from onboard.training.plan import BANDS, TrainingPlan

_COLOURS = ("B04", "B03", "B02")
_ALPHA = "ALPHA"


def read_training_scenes(
    data_dir: Path, plan: TrainingPlan, groups: Mapping[str, str] | None = None
) -> list[LabelledScene]:
    """Every scene of a folder, fit to be trained on; `groups` names what folds must not split, by scene.

    Raises LabelledDataError, with file and line where one is to blame, for a folder without images or objects, a class without a
    name, an image that is neither uint8 nor uint16, and whatever `read_labelled_scenes` refuses.
    """
    scenes = read_labelled_scenes(data_dir, plan.bands)
    for scene in scenes:
        if scene.pixels.dtype not in (np.uint8, np.uint16):
            raise LabelledDataError(
                f"{data_dir / 'images' / scene.name} holds {scene.pixels.dtype}; convert it to uint16 (10000 is reflectance 1) or uint8",
                path=data_dir / "images",
            )
        check_classes(data_dir / "labels_obb" / f"{scene.name}.txt", plan)
    if not any((~np.isin(scene.classes, list(plan.ignored_classes))).any() for scene in scenes):
        raise LabelledDataError(
            f"no scene of {data_dir} holds an object to learn; check labels_obb/ and --ignore-class", path=data_dir
        )
    return [replace(scene, group=(groups or {}).get(scene.name, "")) for scene in scenes]


def check_classes(label_path: Path, plan: TrainingPlan) -> None:
    """Raises LabelledDataError for a label whose class has no name and is not ignored."""
    for number, line in enumerate(label_path.read_text(encoding="utf-8").splitlines(), start=1):
        class_id = int(float(line.split()[0])) if line.strip() else 0
        if class_id >= len(plan.classes) and class_id not in plan.ignored_classes:
            raise LabelledDataError(
                f"{label_path}, line {number}: class {class_id}, and there are {len(plan.classes)} class names "
                f"({', '.join(plan.classes)}); name them all with --classes or in data.yaml, or leave it out with --ignore-class",
                path=label_path,
                line=number,
            )


def bands_for(present: Sequence[str]) -> tuple[str, ...]:
    """Bands to train on where none are named: near infrared, red and green; else the three colours; else all there are."""
    keys = [band_key(name) for name in present]
    for wanted in (BANDS, _COLOURS):
        if set(wanted) <= set(keys):
            return wanted
    return tuple(key for key in keys if key != _ALPHA)


def class_names(data_dir: Path) -> tuple[str, ...] | None:
    """The `names` of data.yaml, as ultralytics writes it (a list, or number: name), or the lines of classes.txt; None without either.

    Raises LabelledDataError for a data.yaml that names no classes, or leaves numbers out.
    """
    description, listed = data_dir / "data.yaml", data_dir / "classes.txt"
    if description.exists():
        return _names(description)
    if listed.exists():
        names = tuple(line.strip() for line in listed.read_text(encoding="utf-8").splitlines() if line.strip())
        return names or None
    return None


def scene_groups(data_dir: Path, group_by: str) -> dict[str, str]:
    """What folds must not split, by scene name: the lines `SCENE GROUP` of groups.txt, else nothing for `place` (the name before the
    first underscore then tells), or each scene by itself for `scene`.

    Raises LabelledDataError for a line of another form, or a scene that is not there.
    """
    scenes = {path.stem for path in _images(data_dir)}
    if group_by == "scene":
        return {name: name for name in scenes}
    path = data_dir / "groups.txt"
    if not path.exists():
        return {}
    groups: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if words and (len(words) != 2 or words[0] not in scenes):
            raise LabelledDataError(
                f"{path}, line {number}: not `SCENE GROUP` with a scene of images/", path=path, line=number
            )
        if words:
            groups[words[0]] = words[1]
    return groups


def shared_bands(data_dir: Path) -> tuple[str, ...]:
    """Names of the bands that every image has, in the order of the first: descriptions, else colours, else `band N`.

    Raises LabelledDataError where there is no image or one cannot be read.
    """
    paths = _images(data_dir)
    if not paths:
        raise LabelledDataError(
            f"no image in {data_dir / 'images'}; name a folder with images/ and labels_obb/", path=data_dir
        )
    of_images = [band_names(path) for path in paths]
    shared = set.intersection(*(set(names) for names in of_images))
    if not shared:
        raise LabelledDataError(f"no band is in every image of {data_dir / 'images'}; name them alike", path=data_dir)
    return tuple(name for name in of_images[0] if name in shared)


def _images(data_dir: Path) -> list[Path]:
    return sorted(path for path in (data_dir / "images").glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def _names(description: Path) -> tuple[str, ...]:
    yaml: Any = importlib.import_module("yaml")  # comes with ultralytics, without types
    try:
        held: Any = yaml.safe_load(description.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise LabelledDataError(f"{description} is not YAML: {error}", path=description) from error
    names = held.get("names") if isinstance(held, dict) else None
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise LabelledDataError(
                f"{description} numbers its classes {sorted(names, key=str)}; number them from 0 without gaps",
                path=description,
            )
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise LabelledDataError(f"{description} has no `names`; list the classes there, in order", path=description)
    return tuple(str(name) for name in names)
