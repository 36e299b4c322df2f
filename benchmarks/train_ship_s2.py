"""The shipped Sentinel-2 model from nothing but the labelled ports: python -m benchmarks.train_ship_s2 [--data DIR] [--work DIR]

Generated harbours first (no port is seen, so that all networks may start from there), then one network for each fold of two
ports and one on all ten, two at a time on two cores. Ships that the labels overlook (`benchmarks.second_reading`) are learned from as
ships; networks are judged by the labels as they are. What is finished is kept and not done again. Then
`tianshu evaluate` and `python -m onboard.training export` take over; the commands are printed at the end.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.second_reading import with_missed_ships
from onboard.training.crossval import FOLDS, judge_port, write_held_out
from onboard.training.labelled_scene import LabelledScene, read_labelled_scenes
from onboard.training.matching import score_at
from onboard.training.plan import BANDS, TrainingPlan
from sample_data.generate import HEIGHT_PX, SEED, WIDTH_PX, generate_scene

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "s2_ships"
GENERATED_PLACES = range(101, 201)
"""Seeds of the harbours to start from; the committed sample is another place."""
START = TrainingPlan(steps=3800, seed=1)
ROUNDS = (TrainingPlan(steps=1000, seed=11), TrainingPlan(steps=600, learning_rate=1e-3, seed=41))
"""What each network goes through on real ports, one after the other."""
ALL_PORTS = len(FOLDS)
"""The number of the network that is trained on every port: the one that ships."""


def generated_harbour(place: int, folder: Path) -> LabelledScene:
    """One date of a generated place with its visible ships, kept in `folder`."""
    kept = folder / f"place_{place}.npz"
    if not kept.exists():
        scene = generate_scene(place, date=place % 3, height_px=HEIGHT_PX, width_px=WIDTH_PX)
        bands = ("B02", "B03", "B04", "B08")
        pixels = np.ascontiguousarray(scene.image[[bands.index(band) for band in BANDS]].transpose(1, 2, 0))
        ships = np.array([ship.corners_px for ship in scene.ships if not ship.obscured])
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(kept, pixels=pixels, ships=ships)
    with np.load(kept) as held:
        return LabelledScene(name=f"generated_{place}", pixels=held["pixels"], ships_px=held["ships"].reshape(-1, 4, 2))


def start(work: Path) -> Path:
    """The checkpoint that has seen generated harbours alone."""
    checkpoint = work / "start.pt"
    if not checkpoint.exists():
        if SEED in GENERATED_PLACES:
            raise ValueError(f"place {SEED} is the committed sample: leave it out of the training")
        places = [generated_harbour(place, work / "generated") for place in GENERATED_PLACES]
        _train(places, START, None, checkpoint)
    return checkpoint


def train_fold(number: int, data: Path, work: Path, first: Path) -> None:
    """All rounds of one network and the mean of their weights; `ALL_PORTS` leaves none out. Verdicts on the ports left out follow."""
    from onboard.training.network import mean_network, save_checkpoint

    held_out = FOLDS[number] if number < ALL_PORTS else ()
    scenes = read_labelled_scenes(data, BANDS)
    seen = [with_missed_ships(scene) for scene in scenes if scene.port not in held_out]
    name = "ship_s2" if number == ALL_PORTS else f"fold_{number}"
    rounds = [work / f"{name}_round_{count}.pt" for count in range(1, len(ROUNDS) + 1)]
    for plan, checkpoint in zip(ROUNDS, rounds, strict=True):
        if not checkpoint.exists():
            _train(seen, plan, first, checkpoint)
        first = checkpoint
    final = work / f"{name}.pt"
    if not final.exists():
        notes = {"scenes": [scene.name for scene in seen], "mean_of": [path.name for path in rounds]}
        save_checkpoint(mean_network(rounds), final, notes=notes)
    if held_out:
        judged = [judge_port(final, scene, number, plan=ROUNDS[-1]) for scene in scenes if scene.port in held_out]
        write_held_out(judged, work / f"held_out_{number}.json")


def verdict(checkpoint: Path, data: Path) -> str:
    """How a network that has seen no port fares on all ten, at the threshold that is best for it there: an upper bound of its F1."""
    ports = [judge_port(checkpoint, scene, 0, plan=START) for scene in read_labelled_scenes(data, BANDS)]
    judged, ships = [item for port in ports for item in port.judged], sum(port.ships for port in ports)
    score = max((score_at(judged, ships, item.score) for item in judged), key=lambda one: one.f1)
    return f"{checkpoint.name}: precision {score.precision:.3f}, recall {score.recall:.3f}, F1 {score.f1:.3f} at its best threshold"


def _train(scenes: list[LabelledScene], plan: TrainingPlan, first: Path | None, checkpoint: Path) -> None:
    from onboard.training.network import save_checkpoint
    from onboard.training.train import train

    network = train(scenes, plan, start_from=first, report=lambda line: print(f"{checkpoint.stem}: {line}", flush=True))
    notes = {
        "scenes": [scene.name for scene in scenes],
        "plan": repr(plan),
        "start": str(first.name) if first else None,
    }
    save_checkpoint(network, checkpoint, notes=notes)


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing in the work folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_ship_s2", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with images/ and labels_obb/ of the ten ports")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "ship_s2", help="where checkpoints are kept")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="networks trained at once")
    parser.add_argument(
        "--judge", type=Path, metavar="CHECKPOINT", help="train nothing: judge one that has seen no port"
    )
    options = parser.parse_args(arguments)
    if options.judge:
        print(verdict(options.judge, options.data))
        return
    first = start(options.work)
    with ProcessPoolExecutor(max_workers=options.workers) as pool:
        jobs = [pool.submit(train_fold, n, options.data, options.work, first) for n in (ALL_PORTS, *range(len(FOLDS)))]
        for job in jobs:
            job.result()
    print(f"python -m onboard.training evaluate --work {options.work}")
    print(f"python -m onboard.training export --work {options.work} --checkpoint {options.work / 'ship_s2.pt'}")


if __name__ == "__main__":
    main()
