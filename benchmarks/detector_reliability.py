"""Is confidence a probability? python -m benchmarks.detector_reliability [--data DIR] [--model NAME] [--plot FILE] [--json]

Every scene is judged by the network that has not seen it. For ten bins of confidence: how many detections, what they promise, what
came true; beside it the calibration error, and the error that confidences which were exactly right would show on as few detections.
The plot has the reliability diagram, and precision over recall of the network and of the classical baseline.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.detector_reliability_plot import draw
from onboard.training.evaluate import LOWEST_CONFIDENCE, NetworkChoice, evaluate, networks_of
from onboard.training.held_out_cfar import baseline_networks
from onboard.training.labelled_scene import read_labelled_scenes
from onboard.training.matching import JudgedDetection, calibration_error

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "s2_ships"
MODELS = ROOT / "onboard" / "models"
BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The detections of a tenth of the scale of confidence."""

    low: float
    count: int
    promised: float
    """Mean confidence; the middle of the bin where it is empty."""
    kept: float
    """Share of hits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """What one detector promises and keeps."""

    name: str
    ships: int
    bins: tuple[Bin, ...]
    ece: float
    """Expected calibration error over all detections from LOWEST_CONFIDENCE on."""
    ece_if_exact: float
    """What it would be on average if every confidence were the exact probability: an error of so few is not told from none."""
    curve: tuple[tuple[float, float], ...]
    """(recall, precision) at every threshold, from the highest."""


def bins_of(judged: Sequence[JudgedDetection]) -> tuple[Bin, ...]:
    """Ten equal bins."""
    scores = np.array([item.score for item in judged])
    hits = np.array([item.hit for item in judged], dtype=np.float64)
    bin_of = np.minimum((scores * BINS).astype(int), BINS - 1)
    rows = []
    for number in range(BINS):
        inside = bin_of == number
        count, low = int(inside.sum()), number / BINS
        promised = float(scores[inside].mean()) if count else low + 0.5 / BINS
        rows.append(Bin(low=low, count=count, promised=promised, kept=float(hits[inside].mean()) if count else 0.0))
    return tuple(rows)


def error_if_exact(judged: Sequence[JudgedDetection]) -> float:
    """Mean calibration error of detections that are hits with exactly their confidence: each bin's sum is about normal, its mean distance
    from the expected one sqrt(2 / pi) standard deviations."""
    scores = np.array([item.score for item in judged])
    bin_of = np.minimum((scores * BINS).astype(int), BINS - 1)
    variances = np.bincount(bin_of, weights=scores * (1 - scores), minlength=BINS)
    return float(np.sqrt(2 / np.pi * variances).sum() / max(len(scores), 1))


def reliability(name: str, networks: NetworkChoice, data: Path) -> Reliability:
    """Judge the scenes of a folder."""
    evaluation = evaluate(networks, read_labelled_scenes(data, networks.shipped.model.bands))
    judged = sorted((one for scene in evaluation.scenes for one in scene.judgement.judged), key=lambda one: -one.score)
    hits, ships = np.cumsum([one.hit for one in judged]), evaluation.pooled.ships
    return Reliability(
        name=name,
        ships=ships,
        bins=bins_of(judged),
        ece=calibration_error(judged),
        ece_if_exact=error_if_exact(judged),
        curve=tuple((float(hit / ships), float(hit / count)) for count, hit in enumerate(hits, start=1)),
    )


def lines_of(result: Reliability) -> list[str]:
    """The bins as an aligned table."""
    lines = [f"{result.name}, {result.ships} ships", "confidence  detections  promised   kept"]
    for row in result.bins:
        kept = f"{row.kept:6.3f}" if row.count else "     -"
        lines.append(f"{row.low:.1f} to {row.low + 1 / BINS:.1f}  {row.count:10d}  {row.promised:8.3f} {kept}")
    lines.append(
        f"calibration error {result.ece:.3f} over detections from {LOWEST_CONFIDENCE} on; "
        f"{result.ece_if_exact:.3f} if every confidence were exact"
    )
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Print both tables; write the plot where one is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detector_reliability", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with images/ and labels_obb/")
    parser.add_argument("--model", default="ship_s2", help="a shipped model")
    parser.add_argument("--plot", type=Path, help="SVG to write")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    results = [
        reliability(options.model, networks_of(MODELS / options.model), options.data),
        reliability("cfar", baseline_networks(), options.data),
    ]
    if options.plot:
        options.plot.write_text(draw(results), encoding="utf-8")
    if options.json:
        print(json.dumps([asdict(result) for result in results]))
        return
    print("\n\n".join("\n".join(lines_of(result)) for result in results))


if __name__ == "__main__":
    main()
