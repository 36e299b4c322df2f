"""Confidence and threshold of a model folder that is exported already, fitted anew on the verdicts that lie in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onboard.detector import DetectorModel, read_model
from onboard.training.calibrate import operating_point
from onboard.training.crossval import HeldOutPort
from onboard.training.held_out_networks import FOLDS_FILE, HeldOutNetworks, read_held_out_networks


def write_operating_points(
    model_dir: Path, ports: Sequence[HeldOutPort], *, version: str | None = None
) -> DetectorModel:
    """Calibration and threshold into `model.json` and, each from the other folds, into `folds.json`; returns the description.

    `ports` are the verdicts of all folds. The networks stay as they are. Raises ModelFileError for a file that cannot be read, ValueError
    where the verdicts are of other folds than the networks.
    """
    model, networks = read_model(model_dir), read_held_out_networks(model_dir)
    numbers = sorted({port.fold for port in ports})
    if networks.folds and len(networks.folds) != len(numbers):
        raise ValueError(
            f"{model_dir} holds {len(networks.folds)} held-out networks and verdicts of {len(numbers)} folds; export the model again"
        )
    folds = []
    for number, fold in zip(numbers, networks.folds, strict=bool(networks.folds)):
        point = operating_point([port for port in ports if port.fold != number] or list(ports))
        own = {"calibration": point.calibration, "threshold": round(point.threshold, 4)}
        folds.append(fold.model_copy(update=own))
    point = operating_point(ports)
    update = {
        "calibration": point.calibration,
        "threshold": round(point.threshold, 4),
        "version": version or model.version,
    }
    model = model.model_copy(update=update)
    (model_dir / "model.json").write_text(model.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if folds:
        text = HeldOutNetworks(folds=tuple(folds)).model_dump_json(indent=1)
        (model_dir / FOLDS_FILE).write_text(text + "\n", encoding="utf-8")
    return model
