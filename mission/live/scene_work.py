"""What the worker process does: opens a scene file, works it through, hands its layers over, and waits until they are kept.

One handover is under way at a time. While the store cannot take it (a full disk, say), the worker waits: nothing is dropped, and
nothing piles up.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mission.live.handover import write_handover
from mission.live.worker_messages import (
    TEXT_LIMIT_CHARS,
    FromWorker,
    LayersKept,
    LayersReady,
    RadioState,
    SceneOrder,
    SceneRefused,
    SceneWorked,
    TileWorked,
    ToWorker,
    WorkerHeld,
    WorkerReady,
)
from mission.live.worker_power import worker_power
from mission.pipeline_setup import ingest_settings, open_detector, pipeline_settings
from onboard.energy_port import EnergyPort
from onboard.energy_prices import EnergyStep
from onboard.errors import DetectorInputError, IngestError
from onboard.governor import Decision, Effort
from onboard.ingest import SELF_CONTAINED_DRIVERS, open_scene
from onboard.pipeline import ProcessedScene, ScenePipeline, TileReport
from onboard.policy import load_policy
from onboard.valuation import ValuedLayer

if TYPE_CHECKING:
    from mission.live.scene_worker import WorkerPipe, WorkerSetup

TRY_AGAIN_S: Final = 2.0
"""After a handover that could not be written."""
NOTES_LIMIT: Final = 20


class SceneWork:
    """Works scenes through, one after the other, as they are ordered."""

    def __init__(self, setup: "WorkerSetup", pipe: "WorkerPipe") -> None:
        """Loads detector and policy. Raises the errors of the onboard room."""
        self._pipe = pipe
        self._scenario = setup.scenario
        self._handover = setup.handover
        self._radio_on = False
        self._policy = load_policy(self._scenario.policy.file)
        self._detector = open_detector(self._scenario)
        self._power = worker_power(
            self._scenario.power,
            setup.power,
            radio_on=lambda: self._radio_on,
            on_report=self._say,
            sleep=self._sleep,
        )
        # Whoever can write into the spool shall not make the flight computer open other files or addresses.
        self._ingest = ingest_settings(self._scenario).model_copy(update={"drivers": SELF_CONTAINED_DRIVERS})

    def run(self) -> None:
        """Until the parent is gone: EOFError or ConnectionError."""
        self._say(WorkerReady(model=self._detector.model.label))
        while True:
            message = self._next(None)
            if isinstance(message, SceneOrder):
                self._say(self._worked(message))
                self._say(self._power.report())

    def _worked(self, order: SceneOrder) -> SceneWorked | SceneRefused:
        try:
            scene = self._process(order)
        except (IngestError, DetectorInputError) as error:
            return SceneRefused(reason=str(error)[:TEXT_LIMIT_CHARS])
        return SceneWorked(
            tiles=len(scene.tiles),
            detections=len(scene.detections),
            chips=len(scene.chips),
            notes=tuple(note[:TEXT_LIMIT_CHARS] for note in scene.notes[:NOTES_LIMIT]),
        )

    def _process(self, order: SceneOrder) -> ProcessedScene:
        kept = frozenset(order.kept_products)
        efforts = NotedEfforts(self._power, order.efforts)

        def emit(layers: Sequence[ValuedLayer]) -> None:
            is_summary = bool(layers) and layers[0].layer.address.product == 0
            self._hand_over(order.scene, layers, efforts.noted if is_summary else "")

        with open_scene(order.path, self._ingest) as frame:
            pipeline = ScenePipeline(
                policy=self._policy,
                settings=pipeline_settings(self._scenario, frame.dtype),
                detector=self._detector,
                energy=efforts,
                emit=emit,
                on_tile=self._tile_worked,
                is_kept=kept.__contains__,
            )
            return pipeline.process(frame, scene=order.scene, captured_ms=order.captured_ms)

    def _tile_worked(self, report: TileReport) -> None:
        self._say(TileWorked(outcome=report.outcome.value))

    def _hand_over(self, scene: int, layers: Sequence[ValuedLayer], efforts: str) -> None:
        if not layers:
            return
        held = False
        while True:
            try:
                write_handover(self._handover, scene=scene, layers=layers, efforts=efforts)
                break
            except OSError as error:
                self._say(
                    WorkerHeld(reason=f"cannot write {self._handover}: {error.strerror or error}; free some space")
                )
                held = True
                self._sleep(round(TRY_AGAIN_S * 1000))
        if held:
            self._say(WorkerHeld(reason=""))
        self._say(LayersReady())
        while not isinstance(self._next(None), LayersKept):
            pass

    def _next(self, seconds: float | None) -> ToWorker | None:
        """The next message that is not about the radio; None where none comes in that time."""
        message = self._pipe.heard_within(seconds)
        if isinstance(message, RadioState):
            self._radio_on = message.on
        return message

    def _sleep(self, duration_ms: int) -> None:
        """Waits, and hears of the radio meanwhile; ends with the parent."""
        self._next(duration_ms / 1000)

    def _say(self, message: FromWorker) -> None:
        self._pipe.say(message)


class NotedEfforts:
    """An energy port that notes what each tile was allowed, and gives tiles of before what they were given then."""

    def __init__(self, port: EnergyPort, before: str = "") -> None:
        self._port = port
        self._before = before
        self.noted = ""
        """One digit of `Effort` per tile."""

    def decide(self, mpix: float) -> Decision:
        """What the port decides; for a tile of before that what was decided then, once the port lets it begin."""
        decision = self._port.decide(mpix)
        tile = len(self.noted)
        if tile < len(self._before) and self._before[tile] != str(int(decision.effort)):
            effort = Effort(int(self._before[tile]))
            decision = Decision(effort=effort, reason=f"{effort.name} as before the restart; {decision.reason}")
        self.noted += str(int(decision.effort))
        return decision

    def may_spend(self, step: EnergyStep, mpix: float) -> Decision:
        """As the port decides."""
        return self._port.may_spend(step, mpix)

    @contextmanager
    def charge(self, step: EnergyStep, mpix: float) -> Iterator[None]:
        """As the port does."""
        with self._port.charge(step, mpix):
            yield
