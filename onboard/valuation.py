"""What each layer is worth: points from the policy, the detections and the measured distortion (pure).

The usefulness of an image rises from 0 to 1 with its PSNR between the two bounds of the policy. A step is worth the
points of its image times the usefulness it adds, so the value of a prefix is the sum of its steps.

The pixels of a block weigh as its value map says (`onboard.value_map`), twice: the weights add up to its points, and the
PSNR is that of the weighted squared error. So what a step is worth follows from the error it takes away where it matters.
Images that are not coded yet are valued by the same law from their forecast.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from downlink.alerts import BATCH_LIMIT, AlertDetection, encode_alerts
from downlink.products import ALERTS_PRODUCT, SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from downlink.record import OVERHEAD_BYTES
from downlink.scene import SceneSummary, encode_summary
from onboard.coding_forecast import BlockForecast
from onboard.detection import Detection
from onboard.policy import ImageInterest, Policy

if TYPE_CHECKING:  # whoever only carries valued layers does not load the coder of pixels
    from downlink.image_encoding import ImageProduct


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuedLayer:
    """A layer and the bytes it stands for."""

    layer: Layer
    """Address, size, value and half-life."""
    payload: bytes
    """What its record carries."""


def value_image(
    image: "ImageProduct",
    address: LayerAddress,
    *,
    points: float,
    interest: ImageInterest,
    policy: Policy,
    captured_ms: int,
    peak_dn: int,
) -> tuple[ValuedLayer, ...]:
    """The layers of a block or chip worth `points` at full quality. `address` names its step 0."""
    sizes = [len(payload) for payload in image.payloads]
    layers = _image_layers(sizes, image.weighted_mse, address, points, interest, policy, captured_ms, peak_dn)
    return tuple(
        ValuedLayer(layer=layer, payload=payload) for layer, payload in zip(layers, image.payloads, strict=True)
    )


def expected_layers(
    forecast: BlockForecast,
    address: LayerAddress,
    *,
    points: float,
    interest: ImageInterest,
    policy: Policy,
    captured_ms: int,
    peak_dn: int,
) -> tuple[Layer, ...]:
    """What the layers of an image that is not coded yet are expected to be, by the laws of `value_image`."""
    return _image_layers(forecast.size_bytes, forecast.mse, address, points, interest, policy, captured_ms, peak_dn)


def block_points(weights: np.ndarray, interest: ImageInterest, *, area_weight: float) -> float:
    """Points of a block at full quality: those of a million pixels of weight 1, times its weights (`value_map`) in millions.

    `area_weight` is the policy's factor for the place."""
    return interest.value * float(weights.sum(dtype=np.float64)) / 1e6 * area_weight


def value_summary(summary: SceneSummary, policy: Policy) -> ValuedLayer:
    """The layer of a scene summary."""
    payload = encode_summary(summary)
    return ValuedLayer(
        layer=Layer(
            address=LayerAddress(scene=summary.scene, product=SUMMARY_PRODUCT, step=0),
            rung=Rung.SUMMARY,
            size_bytes=OVERHEAD_BYTES + len(payload),
            value=policy.summary.value,
            half_life_s=policy.summary.half_life_s,
            captured_ms=summary.captured_ms,
        ),
        payload=payload,
    )


def value_alerts(
    detections: Sequence[Detection], points: Sequence[float], *, scene: int, policy: Policy, captured_ms: int
) -> tuple[ValuedLayer, ...]:
    """Alert batches of a scene, the most valuable detections in the first. `points` states each detection's worth."""
    order = sorted(range(len(detections)), key=lambda index: (-points[index], index))
    batches = [order[start : start + BATCH_LIMIT] for start in range(0, len(order), BATCH_LIMIT)]
    valued = []
    for step, batch in enumerate(batches):
        payload = encode_alerts([_alert(detections[index]) for index in batch])
        valued.append(
            ValuedLayer(
                layer=Layer(
                    address=LayerAddress(scene=scene, product=ALERTS_PRODUCT, step=step),
                    rung=Rung.ALERT,
                    size_bytes=OVERHEAD_BYTES + len(payload),
                    value=policy.alerts.value * sum(points[index] for index in batch),
                    half_life_s=policy.alerts.half_life_s,
                    captured_ms=captured_ms,
                ),
                payload=payload,
            )
        )
    return tuple(valued)


def settled_mse(policy: Policy, peak_dn: int) -> float:
    """Mean squared error, DN squared, below which less is no more use to the policy: `usefulness` is 1 there."""
    return float(peak_dn * peak_dn / 10 ** (policy.useful_psnr_db[1] / 10))


def usefulness(mse: float, policy: Policy, peak_dn: int) -> float:
    """0 to 1: where the PSNR of `mse` lies between the bounds of the policy."""
    if mse <= 0:
        return 1.0
    low, high = policy.useful_psnr_db
    psnr_db = 10 * math.log10(peak_dn * peak_dn / mse)
    return min(1.0, max(0.0, (psnr_db - low) / (high - low)))


def _image_layers(
    size_bytes: Sequence[int],
    mse: Sequence[float],
    address: LayerAddress,
    points: float,
    interest: ImageInterest,
    policy: Policy,
    captured_ms: int,
    peak_dn: int,
) -> tuple[Layer, ...]:
    """The layers of payloads of `size_bytes` that leave `mse`."""
    best = 0.0  # nothing on the ground: what never came is masked there, not guessed
    layers = []
    for step, (payload_bytes, left) in enumerate(zip(size_bytes, mse, strict=True)):
        last = step == len(size_bytes) - 1
        reached = max(best, usefulness(left, policy, peak_dn))
        layers.append(
            Layer(
                address=LayerAddress(scene=address.scene, product=address.product, step=step),
                rung=_rung(address, step, last),
                size_bytes=OVERHEAD_BYTES + payload_bytes,
                value=points * (reached - best + (interest.lossless_bonus if last else 0.0)),
                half_life_s=interest.half_life_s,
                captured_ms=captured_ms,
            )
        )
        best = reached
    return tuple(layers)


def _rung(address: LayerAddress, step: int, last: bool) -> Rung:
    if address.is_chip:
        return Rung.CHIP
    if step == 0:
        return Rung.PREVIEW
    return Rung.LOSSLESS if last else Rung.REFINEMENT


def _alert(detection: Detection) -> AlertDetection:
    return AlertDetection(class_id=detection.class_id, confidence=detection.confidence, corners_px=detection.corners_px)
