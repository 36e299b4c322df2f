"""Regions of interest: what the detections of a scene are worth, and the chips that are cut out around them."""

from collections.abc import Sequence
from dataclasses import dataclass

from downlink.image_encoding import encode_image
from downlink.products import FIRST_CHIP, LayerAddress
from downlink.scene import SceneSummary, Window
from onboard.chips import Chip, cut_chips
from onboard.detection import Detection
from onboard.energy_port import EnergyPort
from onboard.energy_prices import EnergyStep
from onboard.policy import Policy
from onboard.scene_places import area_weight
from onboard.sensor_frame import SensorFrame
from onboard.valuation import ValuedLayer, value_image


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionCoder:
    """Values the detections of one scene and codes the regions around them."""

    frame: SensorFrame
    """Where the pixels are."""
    summary: SceneSummary
    """What travels first."""
    policy: Policy
    """What the mission values."""
    energy: EnergyPort
    """Pays for coding."""

    def points(self, detection: Detection) -> float:
        """What one detection is worth: class weight times probability times the weight of the place."""
        class_weight = self.policy.class_weight(self.summary.classes[detection.class_id])
        return class_weight * detection.confidence * area_weight(self.policy, self.frame, detection.center_px)

    def chips(self, detections: Sequence[Detection]) -> tuple[Chip, ...]:
        """Windows around the detections, as the policy draws them."""
        interest = self.policy.chips
        return cut_chips(
            detections,
            height=self.frame.height,
            width=self.frame.width,
            margin_px=interest.margin_px,
            largest_px=interest.largest_px,
        )

    def code(self, chip: Chip, number: int, points: float) -> tuple[ValuedLayer, ...]:
        """The layers of chip `number`, worth `points` at full quality. Raises TileReadError where its pixels are damaged."""
        interest, window = self.policy.chips, chip.window
        with self.energy.charge(EnergyStep.ENCODE, window.height * window.width / 1e6):
            image = encode_image(
                self.frame.read(window),
                window,
                valid=self.frame.valid(window),
                quality_percent=interest.quality_percent,
                levels=interest.levels,
                nodata=self.frame.nodata,
            )
        return value_image(
            image,
            LayerAddress(scene=self.summary.scene, product=FIRST_CHIP + number, step=0),
            points=interest.value * points,
            interest=interest,
            policy=self.policy,
            captured_ms=self.summary.captured_ms,
            peak_dn=self.summary.peak_dn,
        )


def within_scene(detections: Sequence[Detection], frame: SensorFrame) -> list[Detection]:
    """Detections whose centre lies in the scene, their corners clipped to it: repeated edge pixels are no ground."""
    scene = Window(row=0, col=0, height=frame.height, width=frame.width)
    return [_clipped(detection, frame) for detection in detections if scene.contains(*detection.center_px)]


def _clipped(detection: Detection, frame: SensorFrame) -> Detection:
    first, second, third, fourth = (
        (min(max(x, 0.0), float(frame.width)), min(max(y, 0.0), float(frame.height))) for x, y in detection.corners_px
    )
    return Detection(
        class_id=detection.class_id, confidence=detection.confidence, corners_px=(first, second, third, fourth)
    )
