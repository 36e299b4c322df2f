"""The publisher's work: layers from the journal of the ground service to a scene in the catalogue (edge: files; runs in the child process).

The journal belongs to the other process. Here single records are read at positions that it has named; they do not change any more.
"""

from collections.abc import Callable, Iterable
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
from ground.scene_references import SceneReferences
from ground.stac import quality_figures
from ground.waiting_images import WaitingImages
from mission.live.publication import LayersFound, Publication, PublicationOrder, Unpublished

PROBLEM_LIMIT_CHARS = 500
PIXELS_LIMIT = 1 << 30
"""Of a scene that is made here: the downlink is not authenticated, and a summary may say anything."""


LookUp = Callable[[int], LayersFound]
"""What is held of a scene."""


class EarlierScenes:
    """The layers of the scenes that an order's images are predicted from, looked up as they are needed (a `HeldLayers`)."""

    def __init__(self, journal: Path, look_up: LookUp) -> None:
        self._journal = journal
        self._look_up = look_up
        self._found: dict[int, dict[LayerAddress, int]] = {}

    def holds(self, address: LayerAddress) -> bool:
        return address in self._positions(address.scene)

    def payload(self, address: LayerAddress) -> bytes:
        """Raises JournalError where it cannot be read."""
        try:
            return read_layers(self._journal, (self._positions(address.scene)[address],))[address]
        except (OSError, KeyError) as error:
            raise JournalError(f"journal {self._journal} does not give layer {address}: {error!r}") from error

    def layers(self, scene: int) -> int:
        """How many are held of a scene."""
        return len(self._positions(scene))

    def _positions(self, scene: int) -> dict[LayerAddress, int]:
        if scene not in self._found:
            self._found[scene] = dict(self._look_up(scene).positions)
        return self._found[scene]


def publish_scene(
    journal: Path, directory: Path, order: PublicationOrder, look_up: LookUp
) -> Publication | Unpublished:
    """Rebuild the scene and put it into `directory`/ground. What cannot be published is said, not raised."""
    try:
        return _publish(journal, directory, order, EarlierScenes(journal, look_up))
    except (DownlinkError, GroundError, OSError, ValueError, ArithmeticError, MemoryError) as error:
        return Unpublished(scene=order.scene, problem=f"{type(error).__name__}: {error}"[:PROBLEM_LIMIT_CHARS])


def _publish(
    journal: Path, directory: Path, order: PublicationOrder, earlier: EarlierScenes
) -> Publication | Unpublished:
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
    waiting = WaitingImages()
    images = layers.images(summary, SceneReferences(earlier).predict)
    published = publish(
        directory,
        summary,
        windows=rebuild_windows(summary, decoded_on_demand(images, waiting)),
        waiting=waiting,
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
        waiting_images=len(waiting),
        missing=tuple((scene, earlier.layers(scene)) for scene in waiting.scenes),
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
