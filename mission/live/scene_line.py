"""The line of scenes: takes files from the spool, has the worker survey them, keeps the layers, clears the files away. In between the
worker codes images, as `mission.live.coding_line` lets it.

`turn` does whatever can be done now, and may be called at any time. What the disk refuses is told in `problem` and tried
again at the next turn; meanwhile the worker waits. A file over which the worker has died three times is rejected.
"""

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol

from downlink.errors import JournalError
from downlink.products import SUMMARY_PRODUCT
from mission.live.capture_journal import Capture, CaptureJournal
from mission.live.coding_journal import CodingJournal
from mission.live.coding_line import CodingLine
from mission.live.handover import read_handover
from mission.live.scene_worker import SceneWorker
from mission.live.spool import Spool
from mission.live.structured_log import StructuredLog
from mission.live.worker_messages import (
    CodingTerms,
    FromWorker,
    ImageCoded,
    LayersKept,
    LayersReady,
    RadioState,
    SceneOrder,
    SceneRefused,
    SceneWorked,
    TileWorked,
    WorkerFailed,
    WorkerHeld,
    WorkerReady,
)
from mission.live.worker_power import WorkerPowerReport
from onboard.valuation import ValuedLayer

DEATHS_LIMIT: Final = 3
REFUSALS_PER_TURN: Final = 16
"""Files that are no scenes by their look alone, cleared away in one turn."""
SILENCE_LIMIT_S: Final = 600.0
"""A worker that works and says nothing for so long hangs: it is killed."""
START_AGAIN_S: Final = 1.0
START_AGAIN_LIMIT_S: Final = 30.0
"""A worker that ends without a scene or an image is started again after the one, doubled up to the other until one has done a tile."""


class LayerKeeper(Protocol):
    """Who keeps layers."""

    def keep(self, layers: Sequence[ValuedLayer]) -> bool:
        """Whether they are durable now."""

    def kept_products_of(self, scenes: Collection[int]) -> dict[int, frozenset[int]] | None:
        """Products of these scenes that are stored, scenes without any left out; None while that cannot be told."""

    @property
    def last_scene(self) -> int:
        """The highest scene number that any layer has; 0 without layers."""


class SceneLine:
    """One spool, one worker, one scene at a time."""

    def __init__(
        self,
        spool: Spool,
        captures: CaptureJournal,
        images: CodingJournal,
        keeper: LayerKeeper,
        log: StructuredLog,
        *,
        start_worker: Callable[[], SceneWorker],
        handover: Path,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`start_worker` gives a new child and sees to it that `hear` is called when it has something to say."""
        self._spool = spool
        self.captures = captures
        self.coding = CodingLine(images, keeper, log)
        """What the worker does between two scenes."""
        self._keeper = keeper
        self._log = log
        self._start_worker = start_worker
        self._handover = handover
        self._clock_s = clock_s
        self.worker: SceneWorker | None = None
        """The child, None while there is none."""
        self.problem = ""
        """Why the line stands still; empty while it does not."""
        self.waiting = 0
        """Scene files in the spool, the one in work not counted."""
        self.wanted_bytes = 0
        """What the worker waits to be free on the disk; 0 where it does not."""
        self.power = WorkerPowerReport()
        """The worker's last word on power."""
        self.worker_starts = 0
        self.tiles_worked = 0
        self._ready = False
        self._worker_waits = False
        self._in_work: Capture | None = None
        self._result: SceneWorked | SceneRefused | None = None
        self._radio_on = False
        self._to_keep = handover.exists()
        self._unnoted_death = ""
        self._worker_problem = ""
        self._failure = ""
        self._held = ""
        self._spoke_s = self._power_s = clock_s()
        self._start_at_s = clock_s()
        self._start_again_s = START_AGAIN_S

    @property
    def held(self) -> bool:
        """Whether the worker cannot write its layers."""
        return bool(self._held)

    @property
    def power_age_s(self) -> float:
        """How old `power` is, seconds."""
        return self._clock_s() - self._power_s

    @property
    def in_work(self) -> bool:
        """Whether the worker has a scene."""
        return self._in_work is not None

    @property
    def is_busy(self) -> bool:
        """Whether the worker has a scene, or codes an image."""
        return self.in_work or self.coding.image is not None

    def turn(self) -> None:
        """Do what can be done now."""
        try:
            self._tend_worker()
            self._keep_handover()
            self._note_death()
            self._note_result()
            self._clear_away()
            self._turn_coding(may_code=False)
            self._order_next()
            self._turn_coding(may_code=not self.in_work and _is_over(self.captures.current))
        except JournalError as error:
            self.problem = str(error)
        except OSError as error:
            where = error.filename or self._spool.folder
            self.problem = f"{where}: {error.strerror}; check rights and free space of the spool and the state folder"
        else:
            self.problem = self._worker_problem or self._held

    def hear(self) -> None:
        """Take what the worker has said, then a turn."""
        if self.worker is not None:
            for message in self.worker.heard():
                self._spoke_s = self._clock_s()
                self._take(message)
        self.turn()

    def tell_radio(self, on: bool) -> None:
        """The transmitter takes its share of the power, or no longer."""
        if on != self._radio_on:
            self._radio_on = on
            if self.worker is not None:
                self.worker.tell(RadioState(on=on))

    def tell_terms(self, terms: CodingTerms) -> None:
        """What is worth coding from now on."""
        self.coding.terms = terms

    def stop(self) -> None:
        """End the worker."""
        if self.worker is not None:
            self.worker.end()
            self.worker = None

    # ---- the worker

    def _take(self, message: FromWorker) -> None:
        match message:
            case WorkerReady():
                self._ready, self._worker_problem = True, ""
                self.coding.ready(message.raw_scenes)
                self._log.info("worker ready", model=message.model, worker_pid=self.worker.pid if self.worker else 0)
            case TileWorked():
                self.tiles_worked += 1
                self._start_again_s = START_AGAIN_S
            case LayersReady():
                self._to_keep = self._worker_waits = True
            case WorkerHeld():
                self._held, self.wanted_bytes = message.reason, message.wanted_bytes
            case WorkerPowerReport():
                self.power, self._power_s = message, self._clock_s()
            case WorkerFailed():
                self._failure = message.error
                self._log.error("worker failed", problem=message.error, trace=message.traceback)
            case SceneWorked() | SceneRefused():
                self._result = message
            case ImageCoded():
                self._start_again_s = START_AGAIN_S
                self.coding.take(message)
            case _:
                self.coding.take(message)

    def _tend_worker(self) -> None:
        if self.worker is None:
            self._start()
        elif self.worker.has_ended:
            self._bury(self.worker, self.worker.buried())
        elif (self.is_busy or not self._ready) and self._clock_s() - self._spoke_s > SILENCE_LIMIT_S:
            self._bury(self.worker, f"silent for {SILENCE_LIMIT_S:.0f} s, {self.worker.end()}")

    def _start(self) -> None:
        if self._clock_s() < self._start_at_s:
            return
        self._ready, self._failure, self._spoke_s = False, "", self._clock_s()
        self.coding.begin()
        self.worker = self._start_worker()
        self.worker_starts += 1
        self.worker.tell(RadioState(on=self._radio_on))

    def _bury(self, worker: SceneWorker, how: str) -> None:
        """A worker has ended: over an image or a scene that counts against it, before it was ready it is started again later."""
        how = f"{self._failure}; {how}" if self._failure else how
        self.worker, self._held, self._worker_waits, self.wanted_bytes = None, "", False, 0
        scene, product = self.coding.image or (self._in_work.scene if self._in_work else None, None)
        self._log.warning("worker ended", how=how, scene=scene, product=product)
        over_image = self.coding.worker_died(how)
        if self._in_work is not None and self._result is None and not over_image:
            self._unnoted_death = how
        elif self._result is None and not over_image:
            self._worker_problem = f"the worker does not {'last' if self._ready else 'start'}: {how}"
            self._start_at_s = self._clock_s() + self._start_again_s
            self._start_again_s = min(2 * self._start_again_s, START_AGAIN_LIMIT_S)
        if self._result is None:
            self._in_work = None

    # ---- the layers

    def _keep_handover(self) -> None:
        """Have the layers in the handover file stored; at the start those that were on their way before."""
        if not self._to_keep:
            return
        handover = read_handover(self._handover)
        if handover is None:
            self._log.warning("handover damaged", file=self._handover)
            self._to_keep = False
            if self.worker is not None and self._worker_waits:
                self.worker.end()  # the scene, or the image, is worked through again
            return
        now = self.captures.current
        if handover.efforts and now is not None and now.scene == handover.scene and not now.efforts:
            self.captures.note_efforts(handover.efforts)
        if not self._keeper.keep(handover.layers):
            return
        self._to_keep = False
        if self.worker is not None and self._worker_waits:
            self._worker_waits = False
            self.worker.tell(LayersKept())

    def _turn_coding(self, *, may_code: bool) -> None:
        self.coding.turn(self.worker, may_open=self._ready and not self._to_keep, may_code=may_code)

    # ---- the files

    def _note_death(self) -> None:
        """Count a death against the file that was in work; too many, and it is rejected."""
        if not self._unnoted_death:
            return
        self.captures.note_death(self._unnoted_death)
        self._unnoted_death = ""
        now = self.captures.current
        if now is not None and len(now.deaths) >= DEATHS_LIMIT:
            self._end_capture("rejected", f"the worker died {len(now.deaths)} times over it: {'; '.join(now.deaths)}")

    def _note_result(self) -> None:
        """The worker is done with its scene."""
        if self._result is None or self._to_keep:
            return
        match self._result:
            case SceneWorked() as worked:
                self._end_capture("done")
                self._log.info(
                    "scene done",
                    scene=self.captures.last_scene,
                    tiles=worked.tiles,
                    detections=worked.detections,
                    chips=worked.chips,
                    notes=worked.notes,
                )
            case SceneRefused(reason=reason):
                self._end_capture("rejected", reason)
        self._result = self._in_work = None

    def _end_capture(self, outcome: Literal["done", "rejected"], reason: str = "") -> None:
        now = self.captures.current
        if now is None:
            return
        if outcome == "rejected":
            self.coding.give_up(now.scene, reason)
        self.captures.end(outcome, reason)
        if outcome == "rejected":
            self._log.warning("scene rejected", scene=now.scene, file=_shown(now.file.name), reason=reason)

    def _clear_away(self) -> None:
        """Move the file of a capture that is over out of the spool."""
        now = self.captures.current
        if now is None or not now.outcome:
            return
        if now.outcome == "done":
            self._spool.move_done(now.file)
        else:
            self._spool.move_rejected(now.file, now.reason)
        self.captures.leave()

    def _order_next(self) -> None:
        """Give the worker the capture that was begun, or the oldest file."""
        for _ in range(REFUSALS_PER_TURN):
            view = self._spool.look()
            now = self.captures.current
            self.waiting = view.waiting if now is None else max(0, view.waiting - 1)
            if self.in_work or self._to_keep or self.worker is None or not self.coding.is_open:
                return
            if now is None:
                if view.first is None:
                    return
                now = self.captures.begin(view.first, above=self._keeper.last_scene)
                self.waiting = view.waiting - 1
            if not self._spool.still_holds(now.file):
                objection = "the file has left the spool, or another has taken its place"
            else:
                objection = self._spool.objection_to(now.file)
            if not objection:
                self._order(now)
                return
            self._end_capture("rejected", objection)
            self._clear_away()

    def _order(self, now: Capture) -> None:
        products = self._keeper.kept_products_of((now.scene,))
        if products is None or self.worker is None:
            return
        kept = products.get(now.scene, frozenset())
        self.coding.ordered()
        self._in_work, self._spoke_s = now, self._clock_s()
        self._log.info("scene in work", scene=now.scene, file=now.file.name, products_kept=len(kept))
        self.worker.tell(
            SceneOrder(
                scene=now.scene,
                path=str(self._spool.path_of(now.file)),
                captured_ms=now.captured_ms,
                kept_products=tuple(kept),
                efforts=now.efforts if SUMMARY_PRODUCT in kept else "",
            )
        )


def _is_over(now: Capture | None) -> bool:
    """Whether no scene is in work by the books."""
    return now is None or bool(now.outcome)


def _shown(name: str) -> str:
    """A file name as a log can show it."""
    return name if name.isprintable() else ascii(name)
