"""What the worker process does: surveys a scene file as it is ordered, hands its layers over, and codes images in between.

A scene goes before images: between two images the worker looks for orders. One handover is under way at a time. While the store cannot
take it (a full disk, say), or the raw store cannot take a tile, the worker waits: nothing is dropped, and nothing piles up.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mission.live.coding_work import CodingWork
from mission.live.handover import write_handover
from mission.live.worker_messages import (
    TEXT_LIMIT_CHARS,
    CodingAllowed,
    CodingTerms,
    FromWorker,
    GiveUp,
    LayersKept,
    LayersReady,
    ProductsKept,
    RadioState,
    SceneOrder,
    SceneRefused,
    SceneWorked,
    TileWorked,
    WorkerHeld,
    WorkerReady,
)
from mission.live.worker_power import worker_power
from mission.pipeline_setup import ingest_settings, open_detector, pipeline_settings
from onboard.energy_port import EnergyPort
from onboard.energy_prices import EnergyStep
from onboard.errors import DetectorInputError, IngestError, StoreError
from onboard.governor import Decision, Effort
from onboard.ingest import SELF_CONTAINED_DRIVERS, open_scene
from onboard.policy import load_policy
from onboard.processed_scene import ProcessedScene, TileReport
from onboard.scene_survey import SceneSurvey
from onboard.sensor_frame import SensorFrame
from onboard.valuation import ValuedLayer

if TYPE_CHECKING:
    from mission.live.scene_worker import WorkerPipe, WorkerSetup

TRY_AGAIN_S: Final = 2.0
"""After something that the disk refused, doubled up to the limit while it goes on refusing."""
TRY_AGAIN_LIMIT_S: Final = 30.0
LOOK_AGAIN_S: Final = 0.5
"""For energy to code with."""
NOTES_LIMIT: Final = 20


class SceneWork:
    """Surveys scenes, one after the other, as they are ordered; codes what they leave raw."""

    def __init__(self, setup: "WorkerSetup", pipe: "WorkerPipe") -> None:
        """Loads detector and policy, opens the raw store. Raises the errors of the onboard room, JournalError."""
        self._pipe = pipe
        self._scenario = setup.scenario
        self._handover = setup.handover
        self._radio_on = False
        self._policy = load_policy(self._scenario.policy.file)
        self._detector = open_detector(self._scenario, searched_from=self._policy.audit.searched_from)
        self._power = worker_power(
            self._scenario.power,
            setup.power,
            radio_on=lambda: self._radio_on,
            on_report=self._say,
            sleep=self._sleep,
        )
        # Whoever can write into the spool shall not make the flight computer open other files or addresses.
        self._ingest = ingest_settings(self._scenario).model_copy(update={"drivers": SELF_CONTAINED_DRIVERS})
        self._order: SceneOrder | None = None
        self._products: ProductsKept | None = None
        self._unwanted: list[int] = []
        self._layers_kept = self._may_code = self._is_stale = False
        self._held = ""
        self._disk_again_s = 0.0
        self._disk_rest_s = TRY_AGAIN_S
        self._coding = CodingWork(setup, self._policy, self._power, emit=self._hand_over_image, say=self._say)

    def run(self) -> None:
        """Until the parent is gone: EOFError or ConnectionError."""
        try:
            self._work()
        finally:
            self._coding.close()

    def _work(self) -> None:
        self._say(WorkerReady(model=self._detector.model.label, raw_scenes=self._coding.raw.scenes))
        while self._products is None:
            self._listen(None)
        self._resume(self._products)
        while True:
            worked = self._turn()
            while self._listen(0.0 if worked else self._rest_s()):
                worked = True

    def _resume(self, products: ProductsKept) -> None:
        """Take up the raw store; a disk that refuses is tried again."""
        while True:
            try:
                self._coding.resume(products)
            except StoreError as error:
                self._hold(str(error)[:TEXT_LIMIT_CHARS])
                self._sleep(round(TRY_AGAIN_S * 1000))
            else:
                self._hold("")
                return

    def _turn(self) -> bool:
        """Whether anything could be done: the scene that is ordered, or else the best image."""
        if time.monotonic() < self._disk_again_s:
            return False
        try:
            if self._is_stale:
                self._coding.reopen()
                self._is_stale = False
            for scene in self._unwanted[:]:
                self._coding.give_up(scene)
                self._unwanted.remove(scene)
            if self._order is not None and self._survey_ordered(self._order):
                return True
            worked = (self._may_code or self._order is not None) and self._coding.code_next()
        except StoreError as error:
            self._disk_refused(str(error))
            return False
        if not self._coding.refused:
            self._power.rest()
        if self._order is None:
            self._hold("")
        return worked

    def _rest_s(self) -> float | None:
        """How long to listen when there is nothing to be done."""
        wait_s = self._disk_again_s - time.monotonic()
        if wait_s > 0:
            return wait_s
        if self._order is not None:
            return TRY_AGAIN_S
        return LOOK_AGAIN_S if self._coding.refused else None

    # ---- a scene

    def _survey_ordered(self, order: SceneOrder) -> bool:
        """Whether the order is over; it is not while the disk has no room for the scene. Raises StoreError: the raw store refuses."""
        try:
            with open_scene(order.path, self._ingest) as frame:
                lack = self._coding.lack_of_room(order.scene, _raw_bytes(frame))
                if lack is not None:
                    self._hold(lack.reason, wanted_bytes=lack.wanted_bytes)
                    return False
                answer: SceneWorked | SceneRefused = self._surveyed(order, frame)
        except (IngestError, DetectorInputError) as error:
            answer = SceneRefused(reason=str(error)[:TEXT_LIMIT_CHARS])
        self._order, self._may_code = None, False
        self._disk_rest_s = TRY_AGAIN_S
        self._hold("")
        self._say(answer)
        self._say(self._power.report())
        return True

    def _surveyed(self, order: SceneOrder, frame: SensorFrame) -> SceneWorked:
        efforts = NotedEfforts(self._power, order.efforts)

        def emit(layers: Sequence[ValuedLayer]) -> None:
            is_summary = bool(layers) and layers[0].layer.address.product == 0
            self._hand_over(order.scene, layers, efforts.noted if is_summary else "")

        self._coding.begin_survey(order.scene)
        survey = SceneSurvey(
            policy=self._policy,
            settings=pipeline_settings(self._scenario, frame.dtype),
            detector=self._detector,
            energy=efforts,
            tiles=self._coding.tiles,
            emit=emit,
            on_tile=self._tile_worked,
            is_kept=frozenset(order.kept_products).__contains__,
        )
        scene = survey.survey(frame, scene=order.scene, captured_ms=order.captured_ms)
        self._coding.end_survey(scene)
        return _worked(scene)

    def _tile_worked(self, report: TileReport) -> None:
        self._say(TileWorked(outcome=report.outcome.value))

    # ---- layers

    def _hand_over_image(self, layers: Sequence[ValuedLayer]) -> None:
        self._hand_over(layers[0].layer.address.scene, layers, "")

    def _hand_over(self, scene: int, layers: Sequence[ValuedLayer], efforts: str) -> None:
        """Returns when they are kept."""
        if not layers:
            return
        while True:
            try:
                write_handover(self._handover, scene=scene, layers=layers, efforts=efforts)
                break
            except OSError as error:
                self._hold(f"cannot write {self._handover}: {error.strerror or error}; free some space")
                self._sleep(round(TRY_AGAIN_S * 1000))
        self._hold("")
        self._layers_kept = False
        self._say(LayersReady())
        while not self._layers_kept:
            self._listen(None)

    # ---- a disk that refuses

    def _disk_refused(self, reason: str) -> None:
        """The raw store cannot be written: try again later, from what lies in it."""
        self._hold(reason[:TEXT_LIMIT_CHARS])
        self._is_stale = True
        self._disk_again_s = time.monotonic() + self._disk_rest_s
        self._disk_rest_s = min(2 * self._disk_rest_s, TRY_AGAIN_LIMIT_S)

    def _hold(self, reason: str, *, wanted_bytes: int = 0) -> None:
        """Say that work stands still, again each time it is tried, or that it goes on."""
        if reason or self._held:
            self._say(WorkerHeld(reason=reason, wanted_bytes=wanted_bytes))
        self._held = reason

    # ---- the pipe

    def _listen(self, seconds: float | None) -> bool:
        """Take the next message; whether one came in that time."""
        message = self._pipe.heard_within(seconds)
        match message:
            case None:
                return False
            case RadioState():
                self._radio_on = message.on
            case LayersKept():
                self._layers_kept = True
            case SceneOrder():
                self._order = message
            case CodingAllowed():
                self._may_code = True
            case CodingTerms():
                self._coding.take_terms(message)
            case ProductsKept():
                self._products = message
            case GiveUp():
                self._unwanted.append(message.scene)
        return True

    def _sleep(self, duration_ms: int) -> None:
        """Waits so long at most, and listens meanwhile; ends with the parent."""
        self._listen(duration_ms / 1000)

    def _say(self, message: FromWorker) -> None:
        self._pipe.say(message)


def _worked(scene: ProcessedScene) -> SceneWorked:
    return SceneWorked(
        tiles=len(scene.tiles),
        detections=len(scene.detections),
        chips=len(scene.chips),
        notes=tuple(note[:TEXT_LIMIT_CHARS] for note in scene.notes[:NOTES_LIMIT]),
    )


def _raw_bytes(frame: SensorFrame) -> int:
    """What the pixels of a scene take, masks included: more than its raw tiles do."""
    sample_bytes = 1 if frame.dtype == "uint8" else 2
    return frame.height * frame.width * (len(frame.band_names) * sample_bytes + 1)


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
