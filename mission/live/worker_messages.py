"""What the flight computer's main process and its worker tell each other through their pipe: small things only, never pixels or layers."""

from dataclasses import dataclass

from downlink.requests import LayerRequest
from mission.live.worker_power import WorkerPowerReport

TEXT_LIMIT_CHARS = 1000
"""Longest reason or note: a message fits the pipe's buffer many times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneOrder:
    """To the worker: work this file through."""

    scene: int
    """Its number."""
    path: str
    """Where it lies."""
    captured_ms: int
    """When it was taken, Unix ms."""
    kept_products: tuple[int, ...] = ()
    """Products of the scene that are stored already."""
    efforts: str = ""
    """What each tile must be allowed again, where the scene's summary is stored already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersKept:
    """To the worker: what lies in the handover file is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RadioState:
    """To the worker: whether the transmitter takes its share of the power."""

    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductsKept:
    """To the worker, before anything else: what is stored of the scenes that it has raw tiles of, and what is given up."""

    products: tuple[tuple[int, tuple[int, ...]], ...]
    """Scene, and its products that are stored: their tiles are not coded again."""
    given_up: tuple[tuple[int, int | None], ...] = ()
    """Scene and product, None for all of them: their tiles are dropped, uncoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingTerms:
    """To the worker: what is worth coding now."""

    at_ms: int
    """When this was true, Unix ms."""
    price: float
    """Points per byte that an image must promise (`OnboardComputer.coding_price`)."""
    requests: tuple[LayerRequest, ...]
    """What the ground asks for."""
    room_bytes: int
    """What raw tiles leave free on the disk: room for the next layers, for marks, and for a journal that is rewritten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingAllowed:
    """To the worker: no scene is in work by the books, so that images may be coded until the next order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """To the worker: drop the raw tiles of this scene."""

    scene: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReady:
    """From the worker: tell me what is stored, then give me a scene."""

    model: str
    """The detector, `name@version`."""
    raw_scenes: tuple[int, ...] = ()
    """Of which raw tiles wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileWorked:
    """From the worker: one tile more."""

    outcome: str
    """What became of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersReady:
    """From the worker: layers lie in the handover file; I wait until they are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHeld:
    """From the worker: I cannot go on, and try again."""

    reason: str
    """Why; empty once it goes on."""
    wanted_bytes: int = 0
    """What would have to be free on the disk of the state folder; 0 where that is not what it waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingBegun:
    """From the worker: this image is being coded from here on."""

    scene: int
    product: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCoded:
    """From the worker: the layers of the image are kept, and its raw tile is gone."""

    scene: int
    product: int
    size_bytes: int
    """Of all its layers."""
    forecast_bytes: int
    """What they were expected to take."""
    choice: str
    """Alone, or how it leans on what the ground holds (`onboard.reference_choice.Choice`)."""
    reference_scene: int | None
    """The scene it leans on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingRests:
    """From the worker: nothing is being coded; the image that was begun last, if it was not coded, could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """From the worker: these raw tiles are gone."""

    scene: int
    product: int | None
    tiles: int
    """How many there were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawReport:
    """From the worker: the raw store now, and what became of tiles."""

    tiles: int = 0
    """Waiting for coding."""
    size_bytes: int = 0
    """What the raw store takes."""
    capacity_bytes: int = 0
    """What it may take."""
    discarded_tiles: int = 0
    """Gone uncoded for want of room, ever."""
    discarded_bytes: int = 0
    damaged_tiles: int = 0
    """Could not be read back, ever."""
    given_up_tiles: int = 0
    """Gone uncoded because the worker died over them, or because the ground did not want the scene, ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerNote:
    """From the worker, for the log: something cannot be read, and work goes on without it."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneWorked:
    """From the worker: summary, alerts and chips of the scene are kept, its raw tiles are sealed."""

    tiles: int
    detections: int
    chips: int
    notes: tuple[str, ...]
    """What a reader of the log should know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneRefused:
    """From the worker: this file cannot be worked through, now or later."""

    reason: str
    """The error's message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFailed:
    """From the worker, before it ends: what it could not cope with."""

    error: str
    """The error's kind and message."""
    traceback: str
    """Its last lines."""


ToWorker = SceneOrder | LayersKept | RadioState | ProductsKept | CodingTerms | CodingAllowed | GiveUp
FromWorker = (
    WorkerReady
    | TileWorked
    | LayersReady
    | WorkerHeld
    | SceneWorked
    | SceneRefused
    | WorkerFailed
    | WorkerPowerReport
    | CodingBegun
    | ImageCoded
    | CodingRests
    | GivenUp
    | RawReport
    | WorkerNote
)
