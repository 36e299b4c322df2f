"""What the labels of the ten ports leave out, and what that does to a detector's figures: python -m benchmarks.second_reading

The labels that come with the ports leave out many small and moored craft (their own README says so), so that a vessel which is
found may count as a false alarm. `benchmarks/unlabelled_vessels/` holds a second reading: places where two readers, each alone and without
knowing what had proposed the place or how surely, saw one vessel that no label marks. docs/detection.md says how it was made.

Three countings of the same detections at the same thresholds: by the labels as they are; with the vessels of the second reading set
aside, so that finding one counts neither for nor against; with them counted as ships that are to be found.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from onboard.training.evaluate import Evaluation, NetworkChoice, evaluate, networks_of
from onboard.training.held_out_cfar import baseline_networks
from onboard.training.labelled_scene import LabelledScene, read_labelled_scenes, read_labels

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "s2_ships"
READING: Final = Path(__file__).resolve().parent / "unlabelled_vessels"
UNLABELLED: Final = 1
"""Class of the vessels of the second reading; the labels' own ships are 0."""
LEAST_PX: Final = 12.0
"""Length from which a vessel without a label is an oversight; most shorter ones are left out on purpose, port by port."""
COUNTINGS: Final = ("labels as they are", "unlabelled vessels set aside", "unlabelled vessels counted as ships")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """One way to count."""

    name: str
    evaluation: Evaluation


def with_second_reading(scene: LabelledScene, reading: Path = READING) -> LabelledScene:
    """The scene with the vessels that its labels leave out, as class UNLABELLED. Raises LabelledDataError without a file."""
    _, corners = read_labels(reading / f"{scene.name}.txt")
    height, width = scene.pixels.shape[:2]
    vessels = corners * (width, height)
    return replace(
        scene,
        ships_px=np.concatenate([scene.ships_px, vessels]),
        classes=np.concatenate([scene.classes, np.full(len(vessels), UNLABELLED, np.int64)]),
    )


def with_missed_ships(scene: LabelledScene, *, reading: Path = READING) -> LabelledScene:
    """The scene with those vessels of its second reading as ships that are no shorter than what the labels mostly hold: for training."""
    read = with_second_reading(scene, reading)
    sides = np.linalg.norm(read.ships_px[:, 1:3] - read.ships_px[:, :2], axis=2).max(axis=1)
    kept = (read.classes != UNLABELLED) | (sides >= LEAST_PX)
    return replace(read, ships_px=read.ships_px[kept], classes=np.zeros(int(kept.sum()), np.int64))


def countings(networks: NetworkChoice, scenes: Sequence[LabelledScene]) -> list[Counting]:
    """The scenes judged three times."""
    read = [with_second_reading(scene) for scene in scenes]
    all_ships = [replace(scene, classes=np.zeros_like(scene.classes)) for scene in read]
    judged = (
        evaluate(networks, scenes),
        evaluate(networks, read, ignored_classes=(UNLABELLED,)),
        evaluate(networks, all_ships),
    )
    return [Counting(name=name, evaluation=one) for name, one in zip(COUNTINGS, judged, strict=True)]


def lines_of(counted: Sequence[Counting]) -> list[str]:
    """An aligned table for each counting."""
    lines = []
    for counting in counted:
        rows = [(scene.name, scene.score) for scene in counting.evaluation.scenes]
        rows.append(("pooled", counting.evaluation.pooled))
        lines += ["", f"{counting.evaluation.model}, {counting.name}"]
        lines.append(f"{'':22s}  ships  found   hits  precision  recall     F1    ECE")
        lines += [
            f"{name:22s}  {s.ships:5d}  {s.found:5d}  {s.hits:5d}  {s.precision:9.3f}  {s.recall:6.3f}  {s.f1:5.3f}  {s.ece:5.3f}"
            for name, s in rows
        ]
    return lines[1:]


def main(arguments: list[str] | None = None) -> None:
    """Print the tables of a network and of the baseline."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.second_reading", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with images/ and labels_obb/ of the ten ports")
    parser.add_argument("--model", default="ship_s2", help="a shipped model")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    networks = networks_of(ROOT / "onboard" / "models" / options.model)
    scenes = read_labelled_scenes(options.data, networks.shipped.model.bands)
    tables = [countings(networks, scenes), countings(baseline_networks(), scenes)]
    if options.json:
        shown = [
            {"model": one.evaluation.model, "counting": one.name, "pooled": asdict(one.evaluation.pooled)}
            for table in tables
            for one in table
        ]
        print(json.dumps(shown, indent=1))
        return
    print("\n\n".join("\n".join(lines_of(table)) for table in tables))


if __name__ == "__main__":
    main()
