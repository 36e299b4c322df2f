"""A small finished run for the tests of the report: a scene of 96 x 64 px, three contacts, a few layers and detections."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from downlink.products import Rung
from mission.report_model import (
    ByteFigures,
    ContactFigures,
    DetectionFigures,
    EnergyFigures,
    LatencyFigures,
    LedgerAccount,
    LedgerFigures,
    QualityFigures,
    Report,
    SavedFigures,
    SceneFigures,
    SoftwareFigures,
    ThroughputFigures,
)
from mission.report_rows import (
    Corners,
    CurvePoint,
    DetectionRow,
    EnergyPoint,
    RunReport,
    SceneView,
    SentLayer,
    TruthRow,
)

START_MS = 1_767_225_600_000
STATIONS = ("Kiruna", "Svalbard", "Punta Arenas")


@pytest.fixture
def make_report() -> Callable[..., Report]:
    """A report that holds together; any field may be given."""

    def make(**fields: Any) -> Report:
        sizes = fields.get("bytes") or ByteFigures(
            raw=49_152, lossless=24_011, lossy_equal_quality=7_003, crops_only=911, downlinked=3_030, overhead=517,
            by_rung={"alert": 64, "chip": 911}, lossless_codec="JPEG 2000",
        )  # fmt: skip
        contacts = tuple(
            ContactFigures(
                id=index + 1, station=station, aos_s=600.0 + 5400 * index, los_s=1050.0 + 5400 * index,
                capacity_bytes=1_200, sent_bytes=1_010, frames=9, frames_lost=index, retransmitted_bytes=31 * index,
                idle_bytes=190,
            )
            for index, station in enumerate(STATIONS)
        )  # fmt: skip
        figures: dict[str, Any] = {
            "seed": 7,
            "scenes": (SceneFigures(name="harbour", bands=4, height=64, width=96, dtype="uint16", valid_fraction=0.75),),
            "bytes": sizes,
            "saved": SavedFigures.of(sizes),
            "detections": DetectionFigures(
                onboard=3, delivered=2, truth=4, true_positive=1, precision=0.5, recall=0.25, f1=1 / 3
            ),
            "quality": QualityFigures(
                roi_psnr_db=None, roi_lossless=True, roi_valid_fraction=0.875, scene_psnr_db=36.2, valid_fraction=0.75
            ),
            "latency_s": LatencyFigures(first_alert=601.5, alerts_p50=601.5, alerts_p90=5902.0),
            "energy_j": EnergyFigures(budget=3000.0, spent=120.0, by_step={"detect": 90.0, "compress": 30.0}),
            "throughput": ThroughputFigures(mpix_per_s=1.5, wall_s=0.004),
            "ledger": LedgerFigures(
                captured=6, delivered=4, queued=1, evicted=0, discarded=1, reasons={"cloud fraction 0.81": 1},
                raw_bytes=LedgerAccount(captured=49_152, delivered=32_768, queued=8_192, evicted=0, discarded=8_192),
            ),
            "contacts": contacts,
            "software": SoftwareFigures(version="0.1.0", model="ships@1", command="tianshu run harbour.tif"),
        }  # fmt: skip
        return Report(**{**figures, **fields})

    return make


@pytest.fixture
def make_run(tmp_path: Path, make_report: Callable[..., Report]) -> Callable[..., RunReport]:
    """A run with one scene on disk; any field of RunReport may be given, and the scene's name."""

    def make(*, name: str = "harbour", **fields: Any) -> RunReport:
        view = _scene_on_disk(tmp_path, name)
        run: dict[str, Any] = {
            "report": make_report(),
            "start_ms": START_MS,
            "end_ms": START_MS + 12_600_000,
            "scenes": (view,),
            "sent": _sent_layers(),
            "detections": _detections(name),
            "truth": (
                TruthRow(scene=1, class_name="ship", corners_px=_box(20, 30), found=True),
                TruthRow(scene=1, class_name="ship", corners_px=_box(80, 12), found=False),
            ),
            "energy": tuple(
                EnergyPoint(at_ms=START_MS + 60_000 * minute, charge_j=70_000.0 - 13 * minute, sunlit=minute % 95 < 60)
                for minute in range(210)
            ),
            "battery_capacity_j": 72_000.0,
            "fifo_curve": (CurvePoint(link_bytes=900, value=11.0), CurvePoint(link_bytes=2513, value=40.0)),
            "title": "A harbour over three passes",
        }
        return RunReport(**{**run, **fields})

    return make


def _scene_on_disk(folder: Path, name: str) -> SceneView:
    """An original of four bands, and its rebuilding: the right third never came, the left third is byte-exact."""
    generator = np.random.default_rng(20_260_101)
    pixels = generator.integers(200, 3000, (4, 64, 96)).astype(np.uint16)
    came = np.zeros((64, 96), dtype=bool)
    came[:, :64] = True
    quality = np.where(came, 2 * 37, 0).astype(np.uint16)
    quality[:, :32] = 255
    original, rebuilt = folder / "original.tif", folder / "scene.tif"
    profile = {"driver": "GTiff", "height": 64, "width": 96, "dtype": "uint16"}
    with rasterio.open(original, "w", count=4, **profile) as dataset:
        dataset.write(pixels)
        dataset.descriptions = ("B02", "B03", "B04", "B08")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(rebuilt, "w", count=5, **profile) as dataset:
        dataset.write(np.concatenate([np.where(came, pixels, 0), quality[None]]))
        dataset.descriptions = ("B02", "B03", "B04", "B08", "quality")
        dataset.write_mask(came)
    return SceneView(
        scene=1, name=name, original_path=original, rebuilt_path=rebuilt, tile_px=32,
        tile_outcomes=("kept", "screened", "cloud", "kept", "kept", "power"),
        tile_reasons=("", "", f"cloud fraction 0.81 in {name}", "", "", "charge 12 % under 20 %"),
        gsd_m=10.0, captured_ms=START_MS,
    )  # fmt: skip


def _sent_layers() -> tuple[SentLayer, ...]:
    rungs = (Rung.SUMMARY, Rung.ALERT, Rung.CHIP, Rung.PREVIEW, Rung.REFINEMENT, Rung.LOSSLESS)
    products = (0, 0xFFFF, 0x8001, 3, 3, 3)
    return tuple(
        SentLayer(
            order=index, contact=index // 2, scene=1, rung=rung, product=products[index], step=max(0, index - 3),
            size_bytes=101 + 127 * index, value=60.0 / (index + 1), sent_ms=START_MS + 600_000 + 2_700_000 * index,
            arrived_ms=None if rung is Rung.REFINEMENT else START_MS + 601_000 + 2_700_000 * index,
        )
        for index, rung in enumerate(rungs)
    )  # fmt: skip


def _detections(name: str) -> tuple[DetectionRow, ...]:
    arrivals = (601_500, 5_902_000, None)
    return tuple(
        DetectionRow(
            scene=1, class_name=name, confidence=0.9 - 0.2 * index, corners_px=_box(20 + 25 * index, 30), lon=20.5,
            lat=-54.25, captured_ms=START_MS, received_ms=None if arrival is None else START_MS + arrival,
            matched=index == 0,
        )
        for index, arrival in enumerate(arrivals)
    )  # fmt: skip


def _box(x: float, y: float) -> Corners:
    return ((x - 6, y - 2), (x + 6, y - 3), (x + 6, y + 2), (x - 6, y + 3))
