"""The classical baseline fitted without the fold of a scene: `folds/` beside its weights, so that it is judged as a network is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from onboard.cfar import CFAR_FILE, CfarDetector, CfarWeights, cfar_detector
from onboard.detector import verified_file
from onboard.training.calibrate import operating_point
from onboard.training.cfar_fit import BASELINE_F1_GIVEN_UP, candidates_by_scene, fit_discriminant, held_out_ports
from onboard.training.crossval import FOLDS
from onboard.training.evaluate import LOWEST_CONFIDENCE, NetworkChoice
from onboard.training.held_out_networks import (
    FOLDS_FILE,
    HeldOutNetwork,
    HeldOutNetworks,
    read_held_out_networks,
)
from onboard.training.labelled_scene import LabelledScene


def baseline_networks(*, as_shipped: bool = False) -> NetworkChoice:
    """The baseline, and its fits without each fold. Raises ModelFileError for a file that is absent or altered."""
    model_dir = CFAR_FILE.parent
    folds = read_held_out_networks(model_dir)

    def open_fold(number: int) -> CfarDetector:
        fold = folds.folds[number]
        path = verified_file(model_dir / FOLDS_FILE.parent / fold.file, fold.sha256)
        weights = CfarWeights.model_validate_json(path.read_text(encoding="utf-8"))
        return CfarDetector(weights, threshold=LOWEST_CONFIDENCE)

    return NetworkChoice(
        shipped=cfar_detector(threshold=LOWEST_CONFIDENCE), folds=folds, open_fold=open_fold, as_shipped=as_shipped
    )


def write_baseline_folds(scenes: Sequence[LabelledScene], model_dir: Path, *, version: str) -> HeldOutNetworks:
    """Fit the baseline without each fold of FOLDS in turn, calibrated on the verdicts of the others; returns `folds.json`."""
    judged = candidates_by_scene(scenes)
    ports = held_out_ports(scenes, judged)
    folder = model_dir / FOLDS_FILE.parent
    folder.mkdir(parents=True, exist_ok=True)
    folds = []
    for number in sorted({port.fold for port in ports}):
        unseen = {scene.name: scene.pixels_sha256 for scene in scenes if scene.port in FOLDS[number]}
        rest = [port for port in ports if port.fold != number] or ports
        point = operating_point(rest, f1_given_up=BASELINE_F1_GIVEN_UP)
        seen = {name: item for name, item in judged.items() if name not in unseen}
        weights = CfarWeights(
            version=version,
            discriminant=fit_discriminant(seen),
            calibration=point.calibration,
            threshold=round(point.threshold, 4),
            training_data=", ".join(sorted(seen)),
        )
        path = folder / f"fold_{number}.json"
        path.write_text(weights.model_dump_json(indent=1) + "\n", encoding="utf-8")
        folds.append(
            HeldOutNetwork(
                file=path.name,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                scenes=unseen,
                calibration=point.calibration,
                threshold=weights.threshold,
            )
        )
    networks = HeldOutNetworks(folds=tuple(folds))
    (model_dir / FOLDS_FILE).write_text(networks.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return networks
