"""Coding in order of value: the uncoded image that promises most per byte becomes layers, one image at a call.

The coder owns no clock: it is told the time, the price below which a byte will find no room on the coming contacts, and what the
ground asks for. It codes with the value map of the block and, where that pays, from what the ground is known to hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from downlink.image_layers import ImageAssembly
from downlink.products import FIRST_BLOCK, LayerAddress
from downlink.requests import LayerRequest
from downlink.scene import Georeference, SceneSummary, Window
from onboard.cloud import CloudSettings, cloud_mask
from onboard.coding_queue import UncodedImage
from onboard.detection import Detection
from onboard.energy_port import EnergyPort
from onboard.energy_prices import EnergyStep
from onboard.errors import StoreError, SurveyNoteError
from onboard.policy import Policy
from onboard.reference_choice import Choice, CodedImage, ReferenceCandidate, code_best
from onboard.scene_places import area_weight, centre_px
from onboard.scene_survey import Emit, uncoded_image
from onboard.screening import CLOUD_SAMPLES_PER_SIDE
from onboard.survey_note import SurveyNote
from onboard.tile_look import reflectance_of
from onboard.uncoded_tiles import UncodedTiles
from onboard.valuation import ValuedLayer, block_points, settled_mse, value_image
from onboard.value_map import value_map

NEWEST_REFERENCES: Final = 2
"""How many earlier scenes a block is tried against."""


class References(Protocol):
    """What the ground is known to hold: `onboard.reference_store.ReferenceStore`."""

    def candidates(
        self,
        georeference: Georeference,
        band_names: tuple[str, ...],
        dtype: str,
        window: Window,
        *,
        newest: int = NEWEST_REFERENCES,
    ) -> tuple[ReferenceCandidate, ...]:
        """Earlier blocks under `window` of a scene, newest scene first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedBlock:
    """An image that has layers now."""

    scene: int
    """Scene number."""
    product: int
    """Which block of it."""
    mpix: float
    """Million pixels."""
    size_bytes: int
    """Of all its layers."""
    forecast_bytes: int
    """What they were expected to take."""
    choice: Choice
    """Alone, or how it leans on what the ground holds."""
    reference_scene: int | None
    """The scene it leans on."""
    saved_bytes: int | None
    """What all its layers take less than they would alone; None where it was coded one way only."""
    reason: str
    """Why so, for people and reports."""

    @property
    def tile(self) -> int:
        """Row-major number of its tile."""
        return self.product - FIRST_BLOCK


@dataclass(slots=True, kw_only=True)
class SceneCoder:
    """Codes what waits in the raw store."""

    policy: Policy
    """What the mission values."""
    tiles: UncodedTiles
    """What waits."""
    energy: EnergyPort
    """Allows an image and is charged for it."""
    emit: Emit
    """Takes the layers of one block; they are durable when it returns."""
    references: References | None = None
    """What the ground has acknowledged; None codes every block alone."""
    cloud: CloudSettings = field(default_factory=CloudSettings)
    """How cloud is told."""
    refusal: str = ""
    """Why the last call did nothing though something was worth coding: the energy. Empty otherwise."""
    _notes: dict[int, SurveyNote] = field(default_factory=dict)

    def resume(self) -> None:
        """Take up what a raw store of before holds: at the start, before anything else."""
        self._notes.update((note.summary.scene, note) for note in self.tiles.resume(self._image_of))

    def code_next(self, now_ms: int, *, price: float, requests: Sequence[LayerRequest]) -> CodedBlock | None:
        """Code the image that promises most per byte. None where none promises `price` points per byte, or, with `refusal` set,
        where there is no energy for it.

        Raw tiles that cannot be read back, and scenes whose note cannot, are given up on the way, and counted.
        """
        self.refusal = ""
        while (image := self.tiles.best(now_ms, price=price, requests=requests)) is not None:
            try:
                note = self._note(image.scene)
            except SurveyNoteError:
                self.tiles.give_up(image.scene)
                continue
            window = _window(note.summary, image)
            mpix = window.height * window.width / 1e6
            decision = self.energy.may_spend(EnergyStep.ENCODE, mpix)
            if not decision.is_allowed:
                self.refusal = decision.reason
                return None
            with self.energy.charge(EnergyStep.ENCODE, mpix):
                try:
                    pixels, valid = self.tiles.pixels(image)
                except StoreError:
                    self._forget_finished(image.scene)
                    continue
                layers, coded = self._layers(note, image, pixels, valid)
            self.emit(layers)
            self.tiles.coded(image)
            self._forget_finished(image.scene)
            return _coded_block(image, mpix, layers, coded)
        return None

    def _layers(
        self, note: SurveyNote, image: UncodedImage, pixels: np.ndarray, valid: np.ndarray
    ) -> tuple[tuple[ValuedLayer, ...], CodedImage]:
        summary, interest, window = note.summary, self.policy.blocks, _window(note.summary, image)
        weighing = _Weighing(
            window=window,
            valid=valid,
            cloud=self._cloud(note, pixels),
            detections=tuple(noted.detection() for noted in note.detections),
            policy=self.policy,
        )
        coded = code_best(
            pixels,
            window,
            valid=valid,
            quality_percent=interest.quality_percent,
            levels=interest.levels,
            nodata=summary.nodata,
            weights_of=weighing.weights,
            candidates=self._candidates(note, window),
            settings=self.policy.reference,
            settled_mse=settled_mse(self.policy, summary.peak_dn),
        )
        points = block_points(
            weighing.map(coded.changed),
            interest,
            area_weight=area_weight(self.policy, summary, centre_px(window)),
        )
        layers = value_image(
            coded.image,
            LayerAddress(scene=image.scene, product=image.product, step=0),
            points=points,
            interest=interest,
            policy=self.policy,
            captured_ms=summary.captured_ms,
            peak_dn=summary.peak_dn,
        )
        return layers, coded

    def _candidates(self, note: SurveyNote, window: Window) -> Sequence[ReferenceCandidate]:
        if self.references is None or not self.policy.reference.enabled:
            return ()
        summary = note.summary
        return self.references.candidates(
            summary.georeference, summary.band_names, summary.dtype, window, newest=NEWEST_REFERENCES
        )

    def _cloud(self, note: SurveyNote, pixels: np.ndarray) -> np.ndarray | None:
        """Cloud on every n-th pixel, as the screen judges it; None where these bands cannot tell."""
        step = max(1, min(pixels.shape[1:]) // CLOUD_SAMPLES_PER_SIDE)
        sample = reflectance_of(pixels[:, ::step, ::step], note.dn_offset)
        return cloud_mask(sample, note.summary.band_names, self.cloud)

    def _image_of(self, note: SurveyNote, tile: int, raw_bytes: int) -> UncodedImage:
        noted = note.tiles[tile].forecast
        if noted is None:
            raise ValueError(f"tile {tile} of scene {note.summary.scene} was never kept raw")
        return uncoded_image(
            noted.forecast,
            LayerAddress(scene=note.summary.scene, product=FIRST_BLOCK + tile, step=0),
            points=noted.points,
            policy=self.policy,
            captured_ms=note.summary.captured_ms,
            peak_dn=note.summary.peak_dn,
            raw_bytes=raw_bytes,
        )

    def _note(self, scene: int) -> SurveyNote:
        if scene not in self._notes:
            self._notes[scene] = self.tiles.note(scene)
        return self._notes[scene]

    def _forget_finished(self, scene: int) -> None:
        if not self.tiles.holds(scene):
            self._notes.pop(scene, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weighing:
    """The value map of one block, for whatever is known to have changed."""

    window: Window
    valid: np.ndarray
    cloud: np.ndarray | None
    detections: tuple[Detection, ...]
    policy: Policy

    def map(self, changed: np.ndarray | None) -> np.ndarray:
        """(height, width) float32."""
        return value_map(
            self.window,
            self.valid,
            cloud=self.cloud,
            detections=self.detections,
            changed=changed,
            weights=self.policy.map,
        )

    def weights(self, changed: np.ndarray | None) -> np.ndarray | None:
        """The same; None where all valid pixels weigh alike, for then the coder has less to do."""
        weights = self.map(changed)
        return None if np.array_equal(weights != 0, self.valid) and np.ptp(weights[self.valid]) == 0 else weights


def _window(summary: SceneSummary, image: UncodedImage) -> Window:
    """Where the block lies in its scene."""
    row, col = (place * summary.tile_px for place in divmod(image.product - FIRST_BLOCK, summary.tile_cols))
    height, width = min(summary.tile_px, summary.height - row), min(summary.tile_px, summary.width - col)
    return Window(row=row, col=col, height=height, width=width)


def _coded_block(image: UncodedImage, mpix: float, layers: Sequence[ValuedLayer], coded: CodedImage) -> CodedBlock:
    first = ImageAssembly(nodata=None, payloads={0: coded.image.payloads[0]})
    reference = None if coded.choice is Choice.ALONE else first.reference
    return CodedBlock(
        scene=image.scene,
        product=image.product,
        mpix=mpix,
        size_bytes=sum(valued.layer.size_bytes for valued in layers),
        forecast_bytes=sum(layer.size_bytes for layer in image.layers),
        choice=coded.choice,
        reference_scene=None if reference is None else reference.scene,
        saved_bytes=None
        if coded.alone_bytes is None
        else coded.alone_bytes - sum(len(payload) for payload in coded.image.payloads),
        reason=coded.reason,
    )
