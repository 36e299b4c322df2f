"""What the ground service and its publisher tell each other of a scene."""

from dataclasses import dataclass

from downlink.products import LayerAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationOrder:
    """Publish this scene from these layers."""

    scene: int
    """Its number."""
    positions: tuple[int, ...]
    """Where its layers lie in the journal of layers."""
    alerts_received_ms: dict[LayerAddress, int]
    """When each of its alert batches arrived, Unix ms; one that is missing counts as received now."""
    now_ms: int
    """Time of the publication, Unix ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A scene as it was published."""

    scene: int
    """Its number."""
    layers: int
    """Layers that it was made from."""
    published_ms: int
    """When, Unix ms."""
    name: str
    """As the satellite calls it."""
    folder: str
    """In the catalogue."""
    captured_ms: int
    """When the camera took it, by the clock on board, Unix ms."""
    width: int
    """Columns."""
    height: int
    """Rows."""
    detections: int
    """That have arrived."""
    arrived_fraction: float
    """Share of its pixels of which anything has arrived."""
    byte_exact_fraction: float
    """Share of its pixels that are those of the camera, to the last bit."""
    psnr_db: float | None
    """Estimated signal-to-noise ratio that half of the arrived pixels exceed, decibels; None: infinite, or nothing has arrived."""
    waiting_images: int = 0
    """Images that arrived and are not shown, because what they are predicted from is missing."""
    missing: tuple[tuple[int, int], ...] = ()
    """Scenes that this is part of, each with the number of its layers that were held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersWanted:
    """The publisher asks in the middle of an order: which layers of an earlier scene are held, to predict from?"""

    scene: int
    """Its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersFound:
    """The answer."""

    positions: tuple[tuple[LayerAddress, int], ...]
    """Its layers, and where each lies in the journal of layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpublished:
    """A scene that could not be published; what was published of it before stands."""

    scene: int
    """Its number."""
    problem: str
    """Why not."""
