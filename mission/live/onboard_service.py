"""`tianshu onboard`: the flight computer as a process. Scene files in, transfer frames out, until it is told to stop.

Two processes: this one has the radio and the journals, and never touches a pixel; its child (`mission.live.scene_worker`) works scenes
through. Either may be killed at any instant. The state folder holds all that must not be lost:

    products.journal   layers, what was delivered, what was given up
    uplink.journal     replay protection, standing orders
    captures.journal   scene numbers, the scene in work
    coding.journal     images over which the worker died, raw tiles that are given up
    handover           layers on their way from the worker to the store
    raw/               raw tiles of surveyed scenes, and their notes; the worker's alone
    losses.journal     raw tiles that went uncoded; the worker's alone
    references/        what the ground has acknowledged, to predict from
"""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import NonNegativeInt, PositiveInt

from downlink.errors import JournalError
from downlink.journal import FileJournal
from mission.errors import ServiceError
from mission.link_setup import link_profile
from mission.live.capture_journal import CaptureJournal
from mission.live.coding_journal import CodingJournal
from mission.live.coding_line import UNWANTED
from mission.live.contact_windows import ContactWindows
from mission.live.frame_port import FramePort, open_frame_port
from mission.live.handover import HANDOVER_FILE
from mission.live.link_watch import LinkWatch
from mission.live.live_clock import LiveClock
from mission.live.load_file import LIFE_MS, Load, write_load
from mission.live.onboard_radio import OnboardRadio
from mission.live.onboard_status import (
    ClockStatus,
    CodingStatus,
    ContactStatus,
    EffortStatus,
    EnergyStatus,
    LedgerStatus,
    LinkStatus,
    OnboardStatus,
    ReferencesStatus,
    ScenesStatus,
    WorkerStatus,
    housekeeping_of,
)
from mission.live.power_watch import PowerWatch
from mission.live.reference_keeper import ReferenceKeeper
from mission.live.scene_line import SceneLine
from mission.live.scene_worker import SceneWorker, WorkerSetup
from mission.live.service import Service, open_service
from mission.live.service_settings import OptionSource
from mission.live.spool import Spool
from mission.scenario import Scenario
from onboard.eps_reading import read_eps
from onboard.link_events import HousekeepingTaken
from onboard.policy import load_policy

if TYPE_CHECKING:
    from mission.event_log import EventRecorder

CAPTURES_FILE: Final = "captures.journal"
CODING_FILE: Final = "coding.journal"
RAW_FOLDER: Final = "raw"
REFERENCES_FOLDER: Final = "references"
RECORD_FOLDER: Final = "record"
RECORDS_KEPT: Final = 4
LINE_EVERY_S: Final = 0.5
STATUS_EVERY_S: Final = 1.0
CODING_GAUGES: Final = {
    "waiting_tiles": "Raw tiles that wait for coding.",
    "raw_bytes": "What raw tiles take.",
    "price": "Points per byte that an image must promise to be coded.",
}
CODING_COUNTS: Final = {
    "coded_images": "Images coded.",
    "discarded_tiles": "Raw tiles that went uncoded for want of room.",
    "damaged_tiles": "Raw tiles that could not be read back.",
    "given_up_tiles": "Raw tiles given up.",
}
HOUSEKEEPING_EVERY_S: Final = 5.0
LATENESS_S: Final = 60.0
CLOCK_EVERY_S: Final = 1.0
SHORTEST_REST_S: Final = 0.0005
"""Between two turns of the radio, so that pipe and endpoints have theirs."""


class OnboardFolders:
    """Where the service finds and leaves files."""

    def __init__(self, *, spool: Path, power: Path, load: Path | None, keep_done: bool, skew: Path | None) -> None:
        self.spool = spool
        """Scene files of the sensor."""
        self.power = power
        """Root of the power readings, laid out as /sys."""
        self.load = load
        """File into which it writes what it draws; None: nowhere."""
        self.keep_done = keep_done
        """Whether scene files are kept once their layers are stored."""
        self.skew = skew
        """File of milliseconds by which its clock is wrong on purpose; None: it is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacities:
    """What the folders of the state may take beside the product store."""

    raw_bytes: int
    """Raw tiles that wait for coding."""
    reference_bytes: int
    """What the ground has acknowledged."""


class OnboardService:
    """The flight computer on the frame of a service."""

    def __init__(
        self,
        service: Service,
        scenario: Scenario,
        folders: OnboardFolders,
        port: FramePort,
        *,
        capacities: Capacities,
        recorder: "EventRecorder | None" = None,
    ) -> None:
        """Raises ServiceError for a spool, a capture journal or a coding journal that cannot be used, KeyFileError, PolicyError."""
        self._service = service
        self._scenario = scenario
        self._folders = folders
        self._capacities = capacities
        self._port = port
        self._link_watch = LinkWatch(port, service.log)
        self._recorder = recorder
        self._clock = LiveClock(skew_file=folders.skew)
        self._power = PowerWatch(lambda: read_eps(folders.power))
        self._started_s = time.monotonic()
        self._ledger = LedgerStatus()
        self._load_unwritten = self._delivery_problem = ""
        self._open_files = self._refused_frames = 0
        self._lateness = Lateness()
        self._radio_due_s = time.monotonic()
        self._radio_timer: asyncio.TimerHandle | None = None
        windows = ContactWindows(scenario)
        windows.check(self._clock.now_ms())
        state = service.settings.state
        self._captures_journal = _journal(state / CAPTURES_FILE)
        self._coding_journal = _journal(state / CODING_FILE)
        self.references = ReferenceKeeper(state / REFERENCES_FOLDER, capacity_bytes=capacities.reference_bytes)
        self._coding = CodingJournal(self._coding_journal)
        self._unwanted: list[int] = []
        self.radio = OnboardRadio(
            scenario,
            state,
            port,
            service.log,
            windows=windows,
            clock=self._clock,
            references=self.references,
            discard_uncoded=self._discard_uncoded,
            recorder=recorder,
        )
        self.line = SceneLine(
            Spool(_made(folders.spool), keep_done=folders.keep_done),
            CaptureJournal(self._captures_journal),
            self._coding,
            self.radio,
            service.log,
            start_worker=self._start_worker,
            handover=state / HANDOVER_FILE,
        )
        self._gauges()

    def start(self) -> None:
        """Put it on the service's loop."""
        self._power.start()
        self._service.on_readable(self._port.fileno(), self._radio_turn)
        self._service.every(LINE_EVERY_S, self._line_turn)
        self._service.every(CLOCK_EVERY_S, self._check_clock)
        self._service.every(STATUS_EVERY_S, self._show)
        self._service.every(HOUSEKEEPING_EVERY_S, self._take_housekeeping)
        self._service.on_stop(self._stop)
        self._service.after(0, self._radio_turn)

    # ---- turns

    def _radio_turn(self) -> None:
        if self._radio_timer is not None:
            self._radio_timer.cancel()
        wake_ms = self.radio.turn()
        self.line.tell_radio(self.radio.contact is not None)
        rest_s = max(SHORTEST_REST_S, (wake_ms - self._clock.now_ms()) / 1000)
        self._radio_due_s = time.monotonic() + rest_s
        self._radio_timer = self._service.after(rest_s, self._radio_due)

    def _radio_due(self) -> None:
        self._lateness.add(time.monotonic() - self._radio_due_s)
        self._radio_turn()

    def _discard_uncoded(self, scene: int) -> None:
        """The ground has dropped a scene. Durable before the order is closed; raises JournalError, and then the order stays open."""
        self._coding.give_up(scene, None, UNWANTED)
        self._unwanted.append(scene)

    def _line_turn(self) -> None:
        while self._unwanted:
            self.line.coding.discard(self._unwanted.pop(0))
        terms = self.radio.new_coding_terms()
        if terms is not None:
            self.line.tell_terms(terms)
        if self.line.wanted_bytes:
            self.radio.make_room(self.line.wanted_bytes)
        self.line.turn()
        self._radio_turn()

    def _worker_spoke(self) -> None:
        self.line.hear()
        self._radio_turn()

    def _check_clock(self) -> None:
        self.radio.check_clock()

    def _start_worker(self) -> SceneWorker:
        state = self._service.settings.state
        setup = WorkerSetup(
            scenario=self._scenario,
            power=self._folders.power,
            handover=state / HANDOVER_FILE,
            raw=state / RAW_FOLDER,
            references=state / REFERENCES_FOLDER,
            raw_capacity_bytes=self._capacities.raw_bytes,
            reference_capacity_bytes=self._capacities.reference_bytes,
        )
        worker = SceneWorker(setup, on_close=self._service.forget)
        self._service.on_readable(worker.fileno(), self._worker_spoke)
        return worker

    def _stop(self) -> None:
        self.line.stop()
        self._power.close()
        self.radio.close()
        self._captures_journal.close()
        self._coding_journal.close()
        self._port.close()

    # ---- what is told

    def _show(self) -> None:
        """The status, and what is drawn for the power system."""
        self._link_watch.look()
        self._tell_of_deliveries()
        self._write_load()
        reason = self.radio.trouble or self.line.problem or self.references.problem
        self._service.show(self._current_status(), healthy=not reason, reason=reason)

    def _tell_of_deliveries(self) -> None:
        """A delivered layer that could not become a reference is said once."""
        computer = self.radio.computer
        problem = "" if computer is None else computer.store.delivery_problem or computer.references_problem
        if problem and problem != self._delivery_problem:
            self._service.log.warning("references not kept", problem=problem)
        self._delivery_problem = problem

    def _take_housekeeping(self) -> None:
        """How things stand, for the next contact."""
        report = housekeeping_of(
            self._current_status(),
            at_ms=self._clock.now_ms(),
            uptime_s=int(time.monotonic() - self._started_s),
            boot=self._service.boot,
            disk_full=bool(self.radio.trouble) or self.line.held,
        )
        self.radio.tell(HousekeepingTaken(report=report))

    def _current_status(self) -> OnboardStatus:
        radio, line = self.radio, self.line
        computer = radio.computer
        if computer is not None:  # the last word of the one before otherwise
            self._ledger = LedgerStatus.of(computer.store.account())
            self._open_files = computer.open_files
            self._refused_frames = computer.gate.counts.refused
        return OnboardStatus(
            contact=ContactStatus.of(radio.contact),
            next_contact=ContactStatus.of(radio.next_contact),
            ledger=self._ledger,
            delivered_digest=radio.delivered_digest.hex(),
            scenes=ScenesStatus(
                waiting=line.waiting,
                in_work=line.captures.last_scene if line.in_work else 0,
                done=line.captures.done,
                rejected=line.captures.rejected,
            ),
            coding=CodingStatus.of(line.coding),
            references=ReferencesStatus.of(self.references, self.line.coding),
            open_files=self._open_files,
            effort=EffortStatus(
                detect=line.power.detect,
                screen_only=line.power.screen_only,
                skip=0,
                waiting_for_power=line.power.waiting,
                reason=line.power.reason,
            ),
            energy=self._energy(),
            link=self._link(),
            clock=ClockStatus(now_ms=self._clock.now_ms(), steps=radio.clock_steps, restarts=radio.clock_restarts),
            worker=WorkerStatus(
                pid=0 if line.worker is None else line.worker.pid, starts=line.worker_starts, tiles=line.tiles_worked
            ),
            core_restarts=radio.restarts,
            recording=self._recording(),
        )

    def _energy(self) -> EnergyStatus:
        """What the power system says now; the worker's own reading rests while it has no work."""
        power = self.line.power
        reading, problem = self._power.now()
        return EnergyStatus(
            charge_fraction=reading.charge_fraction,
            cap_w=reading.cap_w,
            compute_w=self._compute_w(),
            temperature_c=reading.temperature_c,
            source=power.source or ", ".join(reading.sources),
            problem=problem,
        )

    def _compute_w(self) -> float:
        """What the worker draws; nothing where it has said nothing for long."""
        return self.line.power.compute_w if self.line.power_age_s < LIFE_MS / 1000 else 0.0

    def _link(self) -> LinkStatus:
        driver, problem = self.radio.driver, self._port.problem
        return LinkStatus(
            open=not problem,
            problem=problem,
            sent_frames=driver.sent_frames if driver else 0,
            sent_bytes=driver.sent_bytes if driver else 0,
            heard_frames=driver.heard_frames if driver else 0,
            refused_frames=self._refused_frames,
            unsent_frames=driver.refused_frames if driver else 0,
            strangers=self._port.counts.strangers,
            late_ms=round(1000 * self._lateness.worst_s, 1),
        )

    def _recording(self) -> str | None:
        if self._recorder is None:
            return None
        return self._recorder.stopped or str(self._recorder.path)

    def _write_load(self) -> None:
        """Tell the power simulator what is drawn. What cannot be written is said once."""
        if self._folders.load is None:
            return
        load = Load(at_ms=self._clock.now_ms(), compute_w=self._compute_w(), radio_on=self.radio.contact is not None)
        try:
            write_load(self._folders.load, load)
        except OSError as error:
            if self._load_unwritten != str(error):
                self._load_unwritten = str(error)
                self._service.log.warning("load not written", file=self._folders.load, problem=str(error))
        else:
            self._load_unwritten = ""

    def _gauges(self) -> None:
        metrics, radio, line = self._service.metrics, self.radio, self.line
        for state in ("captured", "delivered", "queued", "evicted"):
            for what in ("layers", "bytes"):
                metrics.gauge(
                    f"{state}_{what}",
                    f"The product store's {what} {state}.",
                    lambda key=f"{state}_{what}": float(getattr(self._ledger, key)),  # type: ignore[misc]
                )
        metrics.gauge("scenes_waiting", "Scene files in the spool.", lambda: float(line.waiting))
        metrics.counted("scenes_done", "Scenes surveyed, their file cleared away.", lambda: float(line.captures.done))
        metrics.counted("scenes_rejected", "Files that were refused.", lambda: float(line.captures.rejected))
        metrics.counted("tiles_worked", "Tiles worked through.", lambda: float(line.tiles_worked))
        for name, words in CODING_GAUGES.items():
            metrics.gauge(f"coding_{name}", words, lambda key=name: float(getattr(CodingStatus.of(line.coding), key)))  # type: ignore[misc]
        for name, words in CODING_COUNTS.items():
            metrics.counted(f"coding_{name}", words, lambda key=name: float(getattr(CodingStatus.of(line.coding), key)))  # type: ignore[misc]
        metrics.gauge("reference_scenes", "Scenes held to predict from.", lambda: float(self.references.scenes))
        metrics.gauge("reference_bytes", "What they take.", lambda: float(self.references.used_bytes))
        metrics.counted("worker_starts", "Starts of the worker process.", lambda: float(line.worker_starts))
        metrics.counted("core_restarts", "Times that the core was built again.", lambda: float(radio.restarts))
        metrics.counted("clock_steps", "Times that the wall clock was set.", lambda: float(radio.clock_steps))
        metrics.gauge("compute_watts", "Mean power of image processing over 10 s.", self._compute_w)
        metrics.gauge(
            "radio_late_seconds", "Latest turn of the radio in the last minute.", lambda: self._lateness.worst_s
        )
        metrics.gauge("in_contact", "1 in contact.", lambda: float(radio.contact is not None))
        metrics.counted("sent_frames", "Frames that left.", lambda: float(self._link().sent_frames))
        metrics.counted("sent_bytes", "Their bytes.", lambda: float(self._link().sent_bytes))
        metrics.counted("heard_frames", "Frames that came in.", lambda: float(self._link().heard_frames))


class Lateness:
    """The worst of the last minute or two."""

    def __init__(self) -> None:
        self._since_s = time.monotonic()
        self._before_s = self._now_s = 0.0

    def add(self, late_s: float) -> None:
        """A turn came so late."""
        now_s = time.monotonic()
        if now_s - self._since_s > LATENESS_S:
            self._since_s, self._before_s, self._now_s = now_s, self._now_s, 0.0
        self._now_s = max(self._now_s, late_s)

    @property
    def worst_s(self) -> float:
        """Seconds."""
        return max(self._before_s, self._now_s)


def open_onboard_service(source: OptionSource, scenario: Scenario) -> tuple[Service, OnboardService]:
    """The service as its options say, ready to run. Raises ServiceError, PortError, ScenarioError, KeyFileError, PolicyError."""
    folders = OnboardFolders(
        spool=source.required("spool", Path),
        power=source.of("power", Path, Path("/sys")),
        load=source.of("load", Path),
        keep_done=source.of("keep_done", bool, False),
        skew=source.of("skew", Path),
    )
    address = source.required("link")
    profile = link_profile(scenario)
    capacities = Capacities(
        raw_bytes=source.of("raw_capacity", PositiveInt, scenario.store.raw_capacity_bytes),
        reference_bytes=source.of(
            "reference_capacity", NonNegativeInt, load_policy(scenario.policy.file).reference.capacity_bytes
        ),
    )
    service = open_service(source)
    port = open_frame_port(address, frame_bytes_in=profile.uplink_frame_bytes, frame_bytes_out=profile.frame_bytes)
    recorder = _recorder(service) if source.of("record", bool, False) else None
    return service, OnboardService(service, scenario, folders, port, capacities=capacities, recorder=recorder)


def _recorder(service: Service) -> "EventRecorder":
    """A log of its own for each start; the last few are kept."""
    from mission.event_log import EventRecorder

    folder = service.settings.state / RECORD_FOLDER
    if folder.is_dir():
        for old in sorted(folder.glob("onboard-*.log"))[: -RECORDS_KEPT + 1]:
            old.unlink(missing_ok=True)
    return EventRecorder(folder / f"onboard-{service.boot:010d}.log")


def _journal(path: Path) -> FileJournal:
    try:
        return FileJournal(path)
    except JournalError as error:
        raise ServiceError(str(error)) from error


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceError(
            f"the spool {folder} cannot be made ({error.strerror}); give another with --spool"
        ) from error
    return folder
