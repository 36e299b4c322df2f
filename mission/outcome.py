"""What a finished flight looks like row by row: layers sent, detections and truth, battery, scenes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from downlink.alerts import AlertDetection
from downlink.products import ALERTS_PRODUCT, LayerAddress
from ground.catalogue import PublishedScene, publish
from ground.geojson import DeliveredDetection
from ground.geolocation import Geolocator
from ground.reconstruction import decoded_on_demand, rebuild_windows
from ground.scene_layers import SceneLayers
from ground.scene_references import SceneReferences
from ground.waiting_images import WaitingImages
from mission.flight import FlightRecord
from mission.measures import tile_state
from mission.report_model import DetectionFigures
from mission.report_rows import CurvePoint, DetectionRow, EnergyPoint, SceneView, SentLayer, TruthRow
from mission.truth import Truth, matched
from onboard.processed_scene import ProcessedScene

SAME_PLACE_PX = 0.2
"""Packing an alert moves a centre by less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedDetections:
    """Detections of a flight beside the truth."""

    rows: tuple[DetectionRow, ...]
    """Every detection made on board."""
    truth: tuple[TruthRow, ...]
    """Every object known; empty without truth."""
    figures: DetectionFigures
    """Counted."""


def arrivals_ms(record: FlightRecord) -> dict[LayerAddress, int]:
    """When each layer was on the ground."""
    return {
        address: observation.at_ms
        for observation in record.world.observations
        if observation.what == "arrived"
        for address in observation.addresses
    }


def publish_scenes(record: FlightRecord, directory: Path) -> dict[int, PublishedScene]:
    """Rebuild and publish every scene whose summary arrived, by scene number."""
    arrived_ms = arrivals_ms(record)
    store = record.layer_store
    references = SceneReferences(store)
    published = {}
    for scene in store.scenes:
        layers = SceneLayers.of(store, scene)
        summary = layers.summary()
        if summary is None:
            continue
        delivered = [
            DeliveredDetection(detection=detection, received_ms=arrived_ms[address])
            for address, batch in layers.alerts()
            for detection in batch
        ]
        waiting = WaitingImages()
        images = layers.images(summary, references.predict)
        published[summary.scene] = publish(
            directory,
            summary,
            windows=rebuild_windows(summary, decoded_on_demand(images, waiting)),
            waiting=waiting,
            delivered=delivered,
            published_ms=record.world.now_ms,
        )
    return published


def judge_detections(record: FlightRecord, truths: Sequence[Truth | None]) -> JudgedDetections:
    """Detections with their arrival, matched with the truth where there is one.

    Precision and recall are those of the detections on the ground: of what its user gets.
    """
    rows: list[DetectionRow] = []
    truth_rows: list[TruthRow] = []
    hits_total = truth_total = delivered_in_judged = 0
    for processed, truth in zip(record.scenes, truths, strict=True):
        received_ms = _received_ms(record, processed)
        hits = np.zeros(len(received_ms), bool)
        if truth is not None:
            on_ground = np.array([at is not None for at in received_ms], dtype=bool)
            corners = np.array([d.corners_px for d in processed.detections], dtype=np.float64).reshape(-1, 4, 2)
            confidences = np.array([d.confidence for d in processed.detections])
            hits[on_ground], found = matched(corners[on_ground], confidences[on_ground], truth)
            truth_rows.extend(_truth_rows(processed, truth, found))
            hits_total += int(hits.sum())
            truth_total += len(truth.class_names)
            delivered_in_judged += int(on_ground.sum())
        rows.extend(_detection_rows(processed, received_ms, hits if truth is not None else None))
    delivered = sum(row.received_ms is not None for row in rows)
    if all(truth is None for truth in truths):
        return JudgedDetections(
            rows=tuple(rows), truth=(), figures=DetectionFigures(onboard=len(rows), delivered=delivered)
        )
    figures = DetectionFigures(
        onboard=len(rows),
        delivered=delivered,
        truth=truth_total,
        true_positive=hits_total,
        precision=hits_total / delivered_in_judged if delivered_in_judged else None,
        recall=hits_total / truth_total if truth_total else None,
        f1=2 * hits_total / (delivered_in_judged + truth_total) if delivered_in_judged + truth_total else None,
    )
    return JudgedDetections(rows=tuple(rows), truth=tuple(truth_rows), figures=figures)


def sent_layers(record: FlightRecord) -> tuple[SentLayer, ...]:
    """Layers in the order in which they were first given to the link."""
    arrived_ms = arrivals_ms(record)
    rows: list[SentLayer] = []
    for observation in record.world.observations:
        if observation.what != "sent":
            continue
        contact = next(
            index
            for index, planned in enumerate(record.contacts)
            if planned.contact.aos_ms <= observation.at_ms <= planned.contact.los_ms
        )
        for address in observation.addresses:
            layer = record.captured[address]
            rows.append(
                SentLayer(
                    order=len(rows),
                    contact=contact,
                    scene=address.scene,
                    rung=layer.rung,
                    product=address.product,
                    step=address.step,
                    size_bytes=layer.size_bytes,
                    value=layer.value_at(observation.at_ms),
                    sent_ms=observation.at_ms,
                    arrived_ms=arrived_ms.get(address),
                )
            )
    return tuple(rows)


def fifo_curve(record: FlightRecord, sent: Sequence[SentLayer]) -> tuple[CurvePoint, ...]:
    """Value at capture of the same number of bytes taken in the order of making: what first in, first out would bring."""
    limit_bytes = sum(layer.size_bytes for layer in sent)
    points, link_bytes, value = [CurvePoint(link_bytes=0, value=0.0)], 0, 0.0
    for layer in record.captured.values():
        if link_bytes + layer.size_bytes > limit_bytes:
            break
        link_bytes += layer.size_bytes
        value += layer.value
        points.append(CurvePoint(link_bytes=link_bytes, value=value))
    return tuple(points)


def energy_points(record: FlightRecord) -> tuple[EnergyPoint, ...]:
    """The battery over time."""
    return tuple(
        EnergyPoint(at_ms=point.at_ms, charge_j=point.charge_j, sunlit=point.sunlit, step=point.step.value)
        for point in record.power.history
    )


def scene_views(
    record: FlightRecord, paths: Sequence[Path], published: dict[int, PublishedScene]
) -> tuple[SceneView, ...]:
    """Each scene as it was and as it was rebuilt."""
    views = []
    for processed, path in zip(record.scenes, paths, strict=True):
        summary = processed.summary
        on_ground = published.get(summary.scene)
        views.append(
            SceneView(
                scene=summary.scene,
                name=summary.name,
                original_path=path,
                rebuilt_path=on_ground.cog if on_ground else None,
                tile_px=summary.tile_px,
                tile_outcomes=tuple(tile_state(report) for report in processed.tiles),
                tile_reasons=tuple(report.reason for report in processed.tiles),
                gsd_m=summary.gsd_m,
                captured_ms=summary.captured_ms,
            )
        )
    return tuple(views)


def _received_ms(record: FlightRecord, processed: ProcessedScene) -> list[int | None]:
    """Per detection on board, when its alert was on the ground; each alert answers for one detection."""
    arrived_ms = arrivals_ms(record)
    waiting: list[tuple[AlertDetection, int]] = [
        (alert, arrived_ms[address])
        for address, batch in SceneLayers.of(record.layer_store, processed.summary.scene).alerts()
        if address.product == ALERTS_PRODUCT
        for alert in batch
    ]
    received: list[int | None] = []
    for detection in processed.detections:
        x, y = detection.center_px
        same = next(
            (
                index
                for index, (alert, _) in enumerate(waiting)
                if alert.class_id == detection.class_id
                and max(abs(_mean(alert, 0) - x), abs(_mean(alert, 1) - y)) < SAME_PLACE_PX
            ),
            None,
        )
        received.append(None if same is None else waiting.pop(same)[1])
    return received


def _mean(alert: AlertDetection, axis: int) -> float:
    return sum(corner[axis] for corner in alert.corners_px) / 4


def _detection_rows(
    processed: ProcessedScene, received_ms: Sequence[int | None], hits: np.ndarray | None
) -> list[DetectionRow]:
    geolocator = Geolocator.of(processed.summary.georeference)
    centres = [detection.center_px for detection in processed.detections]
    places = None if geolocator is None else geolocator.lonlat(centres)
    rows = []
    for index, detection in enumerate(processed.detections):
        placed = places is not None and bool(np.isfinite(places[index]).all())
        rows.append(
            DetectionRow(
                scene=processed.summary.scene,
                class_name=processed.summary.classes[detection.class_id],
                confidence=detection.confidence,
                corners_px=detection.corners_px,
                lon=float(places[index, 0]) if placed and places is not None else None,
                lat=float(places[index, 1]) if placed and places is not None else None,
                captured_ms=processed.summary.captured_ms,
                received_ms=received_ms[index],
                matched=None if hits is None else bool(hits[index]),
            )
        )
    return rows


def _truth_rows(processed: ProcessedScene, truth: Truth, found: np.ndarray) -> list[TruthRow]:
    rows = []
    for name, corners, is_found in zip(truth.class_names, truth.corners_px.tolist(), found.tolist(), strict=True):
        first, second, third, fourth = (tuple(corner) for corner in corners)
        rows.append(
            TruthRow(
                scene=processed.summary.scene,
                class_name=name,
                corners_px=(first, second, third, fourth),
                found=is_found,
            )
        )
    return rows
