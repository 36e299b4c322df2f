"""What the flight computer's main process and its worker tell each other through their pipe: small things only, never pixels or layers."""

from dataclasses import dataclass

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
class WorkerReady:
    """From the worker: give me a scene."""

    model: str
    """The detector, `name@version`."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneWorked:
    """From the worker: every layer of the scene is kept."""

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


ToWorker = SceneOrder | LayersKept | RadioState
FromWorker = (
    WorkerReady | TileWorked | LayersReady | WorkerHeld | SceneWorked | SceneRefused | WorkerFailed | WorkerPowerReport
)
