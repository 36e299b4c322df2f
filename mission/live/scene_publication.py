"""The publisher's work: layers from the journal of the ground service to a scene in the catalogue (edge: files; runs in the child process).

The journal belongs to the other process. Here single records are read at positions that it has named; they do not change any more.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from downlink.errors import DownlinkError, JournalError
from downlink.products import LayerAddress
from downlink.record import HEADER, bytes_after_header, record_at
from ground.catalogue import PublishedScene, publish
from ground.errors import GroundError
from ground.geojson import DeliveredDetection
from ground.quality import QualityStatistics
from ground.reconstruction import decoded_on_demand, rebuild_windows
from ground.scene_layers import SceneLayers
from ground.stac import quality_figures
from mission.live.publication import Publication, PublicationOrder, Unpublished

PROBLEM_LIMIT_CHARS = 500
PIXELS_LIMIT = 1 << 30
"""Of a scene that is made here: the downlink is not authenticated, and a summary may say anything."""


def publish_scene(journal: Path, directory: Path, order: PublicationOrder) -> Publication | Unpublished:
    """Rebuild the scene and put it into `directory`/ground. What cannot be published is said, not raised."""
    try:
        return _publish(journal, directory, order)
    except (DownlinkError, GroundError, OSError, ValueError, ArithmeticError, MemoryError) as error:
        return Unpublished(scene=order.scene, problem=f"{type(error).__name__}: {error}"[:PROBLEM_LIMIT_CHARS])


def _publish(journal: Path, directory: Path, order: PublicationOrder) -> Publication | Unpublished:
    layers = SceneLayers(scene=order.scene, payloads=read_layers(journal, order.positions))
    summary = layers.summary()
    if summary is None or summary.scene != order.scene:
        return Unpublished(scene=order.scene, problem="its summary has not arrived, or is that of another scene")
    if summary.width * summary.height > PIXELS_LIMIT:
        size = f"{summary.width} x {summary.height} px"
        return Unpublished(
            scene=order.scene, problem=f"its summary says {size}; at most {PIXELS_LIMIT} px are made here"
        )
    delivered = [
        DeliveredDetection(detection=detection, received_ms=order.alerts_received_ms.get(address, order.now_ms))
        for address, batch in layers.alerts()
        for detection in batch
    ]
    published = publish(
        directory,
        summary,
        windows=rebuild_windows(summary, decoded_on_demand(layers.images(summary))),
        delivered=delivered,
        published_ms=order.now_ms,
    )
    return Publication(
        scene=order.scene,
        layers=len(order.positions),
        published_ms=order.now_ms,
        name=summary.name,
        folder=published.folder.name,
        captured_ms=summary.captured_ms,
        width=summary.width,
        height=summary.height,
        detections=len(delivered),
        **_quality(published),
    )


def _quality(published: PublishedScene) -> dict[str, Any]:
    statistics: QualityStatistics = published.statistics
    return {
        "arrived_fraction": statistics.arrived_fraction,
        "byte_exact_fraction": statistics.byte_exact_fraction,
        "psnr_db": quality_figures(statistics)["estimated_psnr_db_p50"],
    }


def read_layers(journal: Path, positions: Iterable[int]) -> dict[LayerAddress, bytes]:
    """Payloads of the records at these positions. Raises JournalError where there is none, OSError for an unreadable file."""
    payloads = {}
    with journal.open("rb", buffering=0) as file:
        for position in positions:
            file.seek(position)
            header = file.read(HEADER.size)
            record = record_at(header + _read_all(file, bytes_after_header(header)))
            if record is None:
                raise JournalError(f"journal {journal} has no whole record at byte {position}; it will be read again")
            payloads[record.address] = record.payload
    return payloads


def _read_all(file: Any, size_bytes: int) -> bytes:
    data = bytearray()
    while len(data) < size_bytes and (piece := file.read(size_bytes - len(data))):
        data += piece
    return bytes(data)
