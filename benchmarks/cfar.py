"""The classical baseline on labelled scenes: the table of ports left out, and which ships it and the network find.

    python -m benchmarks.cfar --data ../shared/data/s2_ships [--network MODEL] [--fit] [--json]

Five folds of two ports: discriminant, calibration and threshold of each come from the other four. `--network` names a model folder
with its held-out networks (onboard/models/ship_s2); both are then compared ship by ship, each by the fold that has not seen the
port. `--fit` writes the weights of all scenes, and of each fold, to onboard/models/cfar.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from onboard.cfar import BANDS, CFAR_FILE, Candidates
from onboard.detector import Detector, preferred_engine, read_model
from onboard.training.calibrate import operating_point
from onboard.training.cfar_fit import (
    BASELINE_F1_GIVEN_UP,
    candidates_by_scene,
    detector_of,
    fit_discriminant,
    fitted_weights,
    held_out_ports,
)
from onboard.training.crossval import FOLDS, HeldOutPort
from onboard.training.evaluate import held_out_table, table_lines
from onboard.training.held_out_cfar import write_baseline_folds
from onboard.training.held_out_networks import fold_detector, read_held_out_networks
from onboard.training.labelled_scene import LabelledScene, read_labelled_scenes
from onboard.training.matching import match
from onboard.training.scene_detection import detect_scene
from onboard.water import land_distance_px, water_mask

VERSION = "0.5.0"
SMALL_PX = 12.0
AWAY_PX = 10.0
"""100 m in pixels of 10 m."""
Judged = dict[str, tuple[Candidates, np.ndarray]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipFinding:
    """One labelled ship and who finds it."""

    port: str
    length_px: float
    away_from_land: bool
    by_baseline: bool
    by_network: bool


def baseline_of_fold(
    judged: Judged, ports: Sequence[HeldOutPort], scenes: Sequence[LabelledScene], fold: int
) -> Detector:
    """Fitted, calibrated and cut off by the other folds."""
    own = {scene.name for scene in scenes if scene.port in FOLDS[fold]}
    others = [port for port in ports if port.fold != fold]
    point = operating_point(others, f1_given_up=BASELINE_F1_GIVEN_UP)
    rest = {name: item for name, item in judged.items() if name not in own}
    return detector_of(fit_discriminant(rest), calibration=point.calibration, threshold=point.threshold)


def network_blind_to(folder: Path, own: LabelledScene) -> Detector:
    """The held-out network of a model folder that has not seen a scene, as it flies."""
    model, networks = read_model(folder), read_held_out_networks(folder)
    index = networks.fold_for(own)
    if index is None:
        raise SystemExit(f"{folder} holds no network that has not seen {own.name}; name onboard/models/ship_s2")
    network = networks.folds[index]
    return fold_detector(folder, model, network, preferred_engine(model), threshold=network.threshold)


def findings(scene: LabelledScene, baseline: Detector, network: Detector) -> list[ShipFinding]:
    """Ship by ship."""
    pixels = np.ascontiguousarray(scene.pixels.transpose(2, 0, 1))
    distance = land_distance_px(water_mask(pixels, BANDS))
    height, width = distance.shape
    found = []
    for detector in (baseline, network):
        seen = detect_scene(detector, scene, detector.model.bands)
        corners = np.array([item.corners_px for item in seen]).reshape(-1, 4, 2)
        scores = np.array([item.confidence for item in seen])
        found.append([bool(match(corners, scores, ship[None]).any()) for ship in scene.ships_px])
    rows = []
    for index, ship in enumerate(scene.ships_px):
        column, row = ship.mean(axis=0)
        sides = np.linalg.norm(np.diff(ship[:3], axis=0), axis=1)
        rows.append(
            ShipFinding(
                port=scene.port,
                length_px=float(sides.max()),
                away_from_land=bool(distance[min(int(row), height - 1), min(int(column), width - 1)] >= AWAY_PX),
                by_baseline=found[0][index],
                by_network=found[1][index],
            )
        )
    return rows


def comparison_lines(rows: Sequence[ShipFinding]) -> list[str]:
    """How many ships of each kind both, one, or neither find."""
    lines = [f"{'ships':34s}  count   both  baseline alone  network alone  neither"]
    kinds = {
        "all": rows,
        "100 m from land or more": [row for row in rows if row.away_from_land],
        f"of these shorter than {SMALL_PX:.0f} px": [r for r in rows if r.away_from_land and r.length_px < SMALL_PX],
        "nearer to land": [row for row in rows if not row.away_from_land],
        f"of these shorter than {SMALL_PX:.0f} px ": [
            r for r in rows if not r.away_from_land and r.length_px < SMALL_PX
        ],
    }
    for name, kind in kinds.items():
        counts = [
            sum((row.by_baseline, row.by_network) == pair for row in kind)
            for pair in ((True, True), (True, False), (False, True), (False, False))
        ]
        lines.append(f"{name:34s}  {len(kind):5d}  {counts[0]:5d}  {counts[1]:14d}  {counts[2]:13d}  {counts[3]:7d}")
    return lines


def main() -> int:
    """Fit, judge, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/s2_ships"))
    parser.add_argument(
        "--network", type=Path, help="compare ship by ship with the held-out networks of this model folder"
    )
    parser.add_argument("--fit", action="store_true", help="write the committed weights anew")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args()
    scenes = read_labelled_scenes(options.data, BANDS)
    judged = candidates_by_scene(scenes)
    ports = held_out_ports(scenes, judged)
    table = held_out_table(ports, f1_given_up=BASELINE_F1_GIVEN_UP)
    rows: list[ShipFinding] = []
    if options.network:
        for fold, places in enumerate(FOLDS):
            own = [scene for scene in scenes if scene.port in places]
            if not own:
                continue
            baseline = baseline_of_fold(judged, ports, scenes, fold)
            network = network_blind_to(options.network, own[0])
            rows += [row for scene in own for row in findings(scene, baseline, network)]
    if options.fit:
        CFAR_FILE.parent.mkdir(parents=True, exist_ok=True)
        weights = fitted_weights(judged, ports, version=VERSION)
        CFAR_FILE.write_text(weights.model_dump_json(indent=1) + "\n", encoding="utf-8")
        write_baseline_folds(scenes, CFAR_FILE.parent, version=VERSION)
    if options.json:
        result = {"table": {name: asdict(score) for name, score in table.items()}, "ships": [asdict(r) for r in rows]}
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        sys.stdout.write("\n".join([*table_lines(table), "", *(comparison_lines(rows) if rows else [])]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
