"""What the discard audit costs and what it can be trusted with: how often its intervals hold the truth, and what is seen in its pictures.

    python -m benchmarks.discard_audit [--data ../shared/data/s2_ships] [--model onboard/models/ship_s2] [--json]

First table: discards of known miss rates are drawn from with different shares, 2,000 times each, and the stated 95 % interval is
held against the true rate. Second table: cells of 64 px, up to eight around labelled ships of each scene and as many without a label, are
coded as the audit codes them, 16 to a picture, with so many bytes for each; then the detector looks at them as the ground would.
"""

import argparse
import json
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from downlink.audit_sample import AuditManifest, AuditStratum, AuditUnit, DiscardKind, decode_audit
from downlink.image_layers import ImageAssembly
from downlink.scene import Georeference, SceneSummary, TileOutcome
from ground.discard_audit import Judge, SceneAudit, Verdict, pooled_rate
from mission.audit_judges import judged_by_detector
from mission.pipeline_setup import DEFAULT_MODEL, MODELS_FOLDER
from mission.truth import Truth, read_truth
from onboard.detector import Detector, load_detector
from onboard.discard_audit import audit_layer
from onboard.energy_prices import EnergyStep
from onboard.governor import Decision, Effort
from onboard.ingest import IngestSettings, open_scene
from onboard.policy import load_policy
from onboard.sensor_frame import SensorFrame

MISSIONS: Final = 2000
SEED: Final = 20260311
DESIGNS: Final = {
    "one share, 2 %": ((0.02,), (4000,), (0.03,)),
    "one share, rare misses": ((0.02,), (20_000,), (0.002,)),
    "three scenes, clustered misses": ((0.02, 0.02, 0.02), (1500, 900, 1700), (0.0, 0.05, 0.2)),
    "shares of 1, 10 and 5 %": ((0.01, 0.1, 0.05), (4000, 400, 900), (0.05, 0.02, 0.1)),
    "20 and 2 %, misses in the small share": ((0.2, 0.02), (200, 3000), (0.3, 0.005)),
    "5 and 1 %, all misses in the small share": ((0.05, 0.01), (600, 2500), (0.0, 0.1)),
}
"""Shares, populations and true miss rates, scene by scene."""
UNIT_BYTES: Final = (80, 160, 320, 640, 8192)
CELL_PX: Final = 64
SHIPS_PER_SCENE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRow:
    """One design."""

    design: str
    units: int
    """Drawn, on average."""
    true_rate: float
    mean_estimate: float
    held: float
    """Share of the intervals that hold the true rate."""
    mean_width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRow:
    """So many bytes for each cell."""

    unit_bytes: int
    real_bytes: float
    """Per cell, headers, places and record included."""
    of_raw: float
    """The same over the raw pixels of the cell."""
    with_ship: int
    seen: int
    """Cells with a labelled ship in which the detector names something."""
    without: int
    suspected: int
    """Cells without a label in which it does."""


class Unmetered:
    """An energy port that allows everything and counts nothing."""

    def decide(self, mpix: float) -> Decision:
        return Decision(effort=Effort.DETECT, reason="unmetered")

    def may_spend(self, step: EnergyStep, mpix: float) -> Decision:
        return Decision(effort=Effort.SCREEN_ONLY, reason="unmetered")

    def charge(self, step: EnergyStep, mpix: float) -> AbstractContextManager[None]:
        return nullcontext()


def summary_of(
    scene: int, height: int, width: int, band_names: tuple[str, ...], dtype: Literal["uint8", "uint16"]
) -> SceneSummary:
    """As far as the ground needs one here."""
    return SceneSummary(
        scene=scene, name="benchmark", captured_ms=1, height=height, width=width, dtype=dtype, band_names=band_names, nodata=None,
        georeference=Georeference(crs_wkt=None, transform=(1, 0, 0, 0, -1, 0)), peak_dn=10_000, tile_px=65_536,
        tile_outcomes=(TileOutcome.CLOUD,), gsd_m=None, footprint_lonlat=None, model="m@1", classes=("ship",), policy="p",
        acquired_ms=None,
    )  # fmt: skip


def coverage(name: str) -> CoverageRow:
    """Draw from one design many times."""
    shares, populations, rates = DESIGNS[name]
    chance = np.random.default_rng(SEED)
    misses = [round(rate * population) for rate, population in zip(rates, populations, strict=True)]
    true_rate = sum(misses) / sum(populations)
    held, drawn_in_all = 0, 0
    estimates, widths = [], []
    summary = summary_of(1, 64, 64, ("B08",), "uint16")
    for _ in range(MISSIONS):
        audits, verdicts = [], {}
        for scene, (share, population, missed) in enumerate(zip(shares, populations, misses, strict=True)):
            drawn = int(share * population + chance.random())
            hits = int(chance.hypergeometric(missed, population - missed, drawn)) if drawn else 0
            units = (AuditUnit(row=0, col=0),) * drawn
            parts = [units[at : at + 255] for at in range(0, drawn, 255)] or [()]
            for part, some in enumerate(parts):
                number = 100 * scene + part
                stratum = AuditStratum(
                    kind=DiscardKind.CLOUD, population=population if part == 0 else len(some), share=share, units=some
                )
                audits.append(
                    SceneAudit(
                        summary=summary.model_copy(update={"scene": number}),
                        manifest=AuditManifest(cell_px=CELL_PX, strata=(stratum,)),
                        picture=None,
                        size_bytes=0,
                    )
                )
                here = min(hits, len(some))
                hits -= here
                for unit in range(len(some)):
                    verdicts[number, unit] = Verdict(objects=int(unit < here), judge=Judge.TRUTH)
            drawn_in_all += drawn
        rate = pooled_rate(audits, verdicts, (DiscardKind.CLOUD,))
        held += rate.interval.low - 1e-12 <= true_rate <= rate.interval.high + 1e-12
        estimates.append(rate.rate or 0.0)
        widths.append(rate.interval.high - rate.interval.low)
    return CoverageRow(
        design=name,
        units=round(drawn_in_all / MISSIONS),
        true_rate=true_rate,
        mean_estimate=float(np.mean(estimates)),
        held=held / MISSIONS,
        mean_width=float(np.mean(widths)),
    )


def chosen_cells(frame: SensorFrame, truth: Truth, chance: np.random.Generator) -> tuple[list[AuditUnit], list[bool]]:
    """Cells around ships, then cells without; whether each holds one."""
    centres = truth.corners_px.mean(axis=1)
    limits = np.array([frame.width - CELL_PX, frame.height - CELL_PX])
    jitter = chance.integers(-16, 17, (len(centres), 2))
    corners = np.clip(np.round(centres - CELL_PX / 2 + jitter), 0, limits).astype(int)
    order = chance.permutation(len(centres))[:SHIPS_PER_SCENE]
    units = [AuditUnit(row=int(corners[one, 1]), col=int(corners[one, 0])) for one in order]
    holds = [True] * len(units)
    for _ in range(1000):
        if len(units) == 2 * SHIPS_PER_SCENE:
            break
        col, row = (int(chance.integers(0, limit + 1)) for limit in limits)
        near = (np.abs(centres - (col + CELL_PX / 2, row + CELL_PX / 2)) < CELL_PX / 2 + 6).all(axis=1)
        if not near.any():
            units.append(AuditUnit(row=row, col=col))
            holds.append(False)
    return units, holds


def pictures(data: Path, detector: Detector) -> list[PictureRow]:
    """Every size of cell over every scene."""
    policy = load_policy()
    paths = sorted(data.glob("images/*.tif"))
    rows = []
    for unit_bytes in UNIT_BYTES:
        rules = policy.audit.model_copy(update={"unit_bytes": unit_bytes, "cell_px": CELL_PX})
        sized = policy.model_copy(update={"audit": rules})
        counts, real_bytes, raw_bytes = np.zeros((2, 2), int), 0, 0
        for number, path in enumerate(paths, start=1):
            with open_scene(path, IngestSettings(allow_no_crs=True)) as frame:
                truth = read_truth(data / "labels_obb" / f"{path.stem}.txt", frame, ("ship",))
                units, holds = chosen_cells(frame, truth, np.random.default_rng(SEED + number))
                summary = summary_of(number, frame.height, frame.width, frame.band_names, frame.dtype)
                stratum = AuditStratum(kind=DiscardKind.CLOUD, population=1000, share=0.5, units=tuple(units))
                manifest = AuditManifest(cell_px=CELL_PX, strata=(stratum,))
                layer = audit_layer(manifest, frame, summary, policy=sized, energy=Unmetered())
                raw_bytes += len(units) * CELL_PX * CELL_PX * len(frame.band_names) * np.dtype(frame.dtype).itemsize
            audit = came_down(layer.payload, summary)
            real_bytes += layer.layer.size_bytes
            verdicts = judged_by_detector(audit, detector, [], dn_offset=0)
            for place, is_there in enumerate(holds):
                counts[int(is_there), int(verdicts[number, place].objects > 0)] += 1
        rows.append(
            PictureRow(
                unit_bytes=unit_bytes,
                real_bytes=real_bytes / counts.sum(),
                of_raw=real_bytes / raw_bytes,
                with_ship=int(counts[1].sum()),
                seen=int(counts[1, 1]),
                without=int(counts[0].sum()),
                suspected=int(counts[0, 1]),
            )
        )
    return rows


def came_down(payload: bytes, summary: SceneSummary) -> SceneAudit:
    """As the ground reads it."""
    manifest, image = decode_audit(payload)
    picture = ImageAssembly(nodata=summary.nodata, payloads={0: image}).decode()
    return SceneAudit(summary=summary, manifest=manifest, picture=picture, size_bytes=len(payload))


def show(covered: list[CoverageRow], seen: list[PictureRow]) -> None:
    """Both tables."""
    console = Console(width=130)
    table = Table("design", "units", "true rate", "mean estimate", "intervals that hold it", "mean width")
    for row in covered:
        table.add_row(
            row.design, str(row.units), f"{row.true_rate:.3%}", f"{row.mean_estimate:.3%}", f"{row.held:.1%}", f"{row.mean_width:.1%}"
        )  # fmt: skip
    console.print(table)
    if seen:
        table = Table(
            "bytes asked for",
            "bytes taken",
            "of raw",
            "cells with a ship",
            "something seen",
            "cells without",
            "suspected",
        )
        for one in seen:
            found = f"{one.seen} ({one.seen / one.with_ship:.0%})"
            suspected = f"{one.suspected} ({one.suspected / one.without:.0%})"
            sizes = (str(one.unit_bytes), f"{one.real_bytes:.0f}", f"{one.of_raw:.2%}")
            table.add_row(*sizes, str(one.with_ship), found, str(one.without), suspected)
        console.print(table)


def main() -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(description="The discard audit: coverage of its intervals, worth of its pictures.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/s2_ships"))
    parser.add_argument("--model", type=Path, default=MODELS_FOLDER / DEFAULT_MODEL)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    covered = [coverage(name) for name in DESIGNS]
    seen = []
    if options.data.is_dir():
        threshold = load_policy().audit.lowest_confidence
        seen = pictures(options.data, load_detector(options.model, threads=1, threshold=threshold))
    elif not options.json:
        sys.stderr.write(f"{options.data} is not there: no pictures are judged\n")
    if options.json:
        sys.stdout.write(
            json.dumps(
                {"coverage": [asdict(row) for row in covered], "pictures": [asdict(row) for row in seen]}, indent=2
            )
            + "\n"
        )
    else:
        show(covered, seen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
