"""The field's known failures: every painted image through the survey, a table, and a contact sheet to look at.

    python -m benchmarks.detector_failures [--model DIR] [--sheet FILE.png] [--json]

Each image of tests/onboard/failure_images.py is surveyed with the network and with the classical baseline. On the sheet (near
infrared, red, green) ships are outlined in yellow, the network's detections in green, the baseline's in magenta. Ends with exit code 1
when the network misses more ships or gives more false alarms than an image allows.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from onboard.cfar import cfar_detector
from onboard.detection import Detection
from onboard.detector import load_detector
from tests.onboard.failure_images import FAILURES, FailureImage
from tests.onboard.failure_search import SearchedImage, Verdict, search, verdict_of

MODEL_DIR = Path(__file__).resolve().parent.parent / "onboard" / "models" / "ship_s2"
WHITE_REFLECTANCE = 0.25
COLUMNS = 5
FRAME_PX = 400
TRUTH, NETWORK, BASELINE = (255, 220, 0), (0, 255, 80), (255, 0, 255)
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow:
    """One image."""

    image: FailureImage
    network: SearchedImage
    baseline: SearchedImage

    @property
    def verdicts(self) -> tuple[Verdict, Verdict]:
        """The network's and the baseline's."""
        return verdict_of(self.image, self.network.detections), verdict_of(self.image, self.baseline.detections)

    @property
    def held(self) -> bool:
        """Whether the network stays within what the image allows."""
        verdict = self.verdicts[0]
        return (
            verdict.found >= self.image.least_found
            and verdict.repeated == 0
            and verdict.false_alarms <= self.image.most_false_alarms
            and self.network.outcomes[0] is self.image.outcome
        )


def search_all(model_dir: Path) -> list[FailureRow]:
    """Every image with both detectors."""
    network, baseline = load_detector(model_dir, threads=2), cfar_detector()
    images = [paint() for paint in FAILURES]
    return [
        FailureRow(image=image, network=search(image, network), baseline=search(image, baseline)) for image in images
    ]


def table_of(rows: Sequence[FailureRow], label: str) -> Table:
    """What was allowed and what came."""
    heads = ("image", "screen", "ships", "least", label, "baseline", "false, at most", label, "baseline", "verdict")
    table = Table(*heads, title="Images that mislead ship detectors", title_justify="left")
    for row in rows:
        network, baseline = row.verdicts
        table.add_row(
            row.image.name,
            row.network.outcomes[0].value,
            str(len(row.image.ships)),
            str(row.image.least_found),
            str(network.found),
            str(baseline.found),
            str(row.image.most_false_alarms),
            str(network.false_alarms),
            str(baseline.false_alarms),
            "held" if row.held else "FAILS",
        )
    return table


def write_sheet(rows: Sequence[FailureRow], path: Path) -> None:
    """All images side by side with their boxes."""
    import cv2  # comes with the trainer; the table needs none of it

    frames = []
    for row in rows:
        reflectance = row.image.pixels[[3, 2, 1]].astype(np.float32) / 10_000
        picture = (np.sqrt(np.clip(reflectance / WHITE_REFLECTANCE, 0, 1)) * 255).astype(np.uint8)
        scale = FRAME_PX / picture.shape[1]
        frame: np.ndarray = np.ascontiguousarray(
            cv2.resize(picture.transpose(1, 2, 0), (FRAME_PX, FRAME_PX), interpolation=cv2.INTER_AREA)
        )
        for outlines, colour in (
            (row.image.ships, TRUTH),
            (_corners(row.network.detections), NETWORK),
            (_corners(row.baseline.detections), BASELINE),
        ):
            _outline(cv2, frame, outlines, scale, colour)
        (label_px, _), _ = cv2.getTextSize(row.image.name, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
        cv2.rectangle(frame, (0, 0), (12 + label_px, 22), (0, 0, 0), -1)  # some images are white
        cv2.putText(frame, row.image.name, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1)
        frames.append(frame)
    frames += [np.zeros_like(frames[0])] * (-len(frames) % COLUMNS)
    lines = [np.concatenate(frames[first : first + COLUMNS], axis=1) for first in range(0, len(frames), COLUMNS)]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.concatenate(lines)[:, :, ::-1])


def _corners(detections: Sequence[Detection]) -> list[np.ndarray]:
    return [np.array(one.corners_px) for one in detections]


def _outline(cv2: object, frame: np.ndarray, boxes: Sequence[np.ndarray], scale: float, colour: Colour) -> None:
    polygons = [np.rint(box * scale).astype(np.int32) for box in boxes]
    cv2.polylines(frame, polygons, True, colour, 1)  # type: ignore[attr-defined]


def main() -> int:
    """Search, print, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--model", type=Path, default=MODEL_DIR, help="model folder of the network")
    parser.add_argument("--sheet", type=Path, help="write the contact sheet here")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args()
    rows = search_all(options.model)
    if options.sheet:
        write_sheet(rows, options.sheet)
    if options.json:
        result = {row.image.name: _as_json(row) for row in rows}
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        Console(width=130).print(table_of(rows, options.model.name))
    return 0 if all(row.held for row in rows) else 1


def _as_json(row: FailureRow) -> dict[str, object]:
    network, baseline = row.verdicts
    return {
        "ships": len(row.image.ships),
        "least_found": row.image.least_found,
        "most_false_alarms": row.image.most_false_alarms,
        "network": {"found": network.found, "repeated": network.repeated, "false_alarms": network.false_alarms},
        "baseline": {"found": baseline.found, "repeated": baseline.repeated, "false_alarms": baseline.false_alarms},
        "held": row.held,
    }


if __name__ == "__main__":
    sys.exit(main())
