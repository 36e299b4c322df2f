"""`tianshu ground`: a ground station as a process. Transfer frames in, scenes, a catalogue and a page out, until it is told to stop.

Two processes: this one has the radio and the journals, and never touches a pixel; its child (`mission.live.publisher`) rebuilds scenes.
Either may be killed at any instant. The state folder:

    layers.journal      layers as they arrived, file deliveries that are complete
    commands.journal    orders to the satellite
    files.snapshot      file deliveries under way, as of a few seconds ago
    housekeeping        what the satellite last said of itself
    scenes.journal      arrival times of alerts, and what each scene was published from
    ground/             the catalogue: scenes as they are so far
    orders/             orders of people and programs, one JSON file each
"""

import asyncio
from pathlib import Path
from typing import Final

from downlink.errors import JournalError
from downlink.journal import FileJournal, Journal, MemoryJournal
from downlink.products import LayerAddress
from ground.command_desk import OUTSTANDING_LIMIT
from ground.link_events import OrderGiven
from ground.station import GroundStation
from ground.store import LayerStore
from mission.live.agreement import agreement
from mission.live.contact_windows import ContactWindows
from mission.live.frame_port import FramePort
from mission.live.ground_radio import LAYERS_FILE, GroundRadio
from mission.live.ground_status import (
    GroundStatus,
    HeldStatus,
    OrdersStatus,
    PublisherStatus,
    SceneStatus,
    link_of,
    onboard_of,
)
from mission.live.link_watch import LinkWatch
from mission.live.live_clock import LiveClock
from mission.live.onboard_radio import CoreRecorder
from mission.live.onboard_status import ClockStatus, ContactStatus
from mission.live.order_folder import FoundOrder, OrderFolder
from mission.live.pass_log import PassLog
from mission.live.publisher import Publisher
from mission.live.publisher_line import PublisherLine
from mission.live.reference_repair import ReferenceRepair
from mission.live.scene_board import SceneBoard
from mission.live.service import Service
from mission.live.status_page import CATALOGUE_PATH, StatusPage
from mission.scenario import Scenario

SCENES_FILE: Final = "scenes.journal"
PUBLISH_EVERY_S: Final = 0.5
STATUS_EVERY_S: Final = 1.0
ORDERS_EVERY_S: Final = 1.0
CLOCK_EVERY_S: Final = 1.0
SAVE_EVERY_S: Final = 5.0
SMALLEST_REST_S: Final = 0.0005
"""Between two turns of the radio, so that publisher and endpoints have theirs."""
SCENES_SHOWN: Final = 50
COMING_CONTACTS: Final = 6


class GroundService:
    """The ground station on the frame of a service."""

    def __init__(
        self,
        service: Service,
        scenario: Scenario,
        port: FramePort,
        *,
        skew: Path | None = None,
        recorder: CoreRecorder | None = None,
    ) -> None:
        """`skew`: file of milliseconds by which its clock is wrong on purpose. Raises KeyFileError, ServiceError."""
        self._service = service
        self._scenario = scenario
        self._port = port
        self._link_watch = LinkWatch(port, service.log)
        self._recorder = recorder
        self._clock = LiveClock(skew_file=skew)
        self._windows = ContactWindows(scenario)
        self._windows.check(self._clock.now_ms())
        self._passes = PassLog()
        self._store: LayerStore | None = None
        self._orders_given = self._orders_refused = 0
        self._orders_problem = ""
        self._timer: asyncio.TimerHandle | None = None
        state = service.settings.state
        self._orders = OrderFolder(state)
        self._scenes_journal = self._open_scenes(state / SCENES_FILE)
        self._repair = ReferenceRepair()
        self._line = PublisherLine(
            SceneBoard(self._scenes_journal),
            service.log,
            start=self._start_publisher,
            on_published=self._repair.take_publication,
        )
        self._page = StatusPage(state)
        self._line.board.forget_unpublished(self._page.has_scene)
        self.radio = GroundRadio(
            scenario,
            state,
            port,
            service.log,
            windows=self._windows,
            clock=self._clock,
            recorder=recorder,
            on_core=self._take_core,
            on_arrival=self._take_arrival,
        )
        self._metrics()

    def start(self) -> None:
        """Put it on the service's loop."""
        self._service.on_readable(self._port.fileno(), self._radio_turn)
        self._service.every(PUBLISH_EVERY_S, self._publish_turn)
        self._service.every(CLOCK_EVERY_S, self._check_clock)
        self._service.every(STATUS_EVERY_S, self._show)
        self._service.every(ORDERS_EVERY_S, self._take_orders)
        self._service.every(SAVE_EVERY_S, self._save_in_contact)
        self._service.serve("/", self._page.page)
        self._service.serve(CATALOGUE_PATH, self._page.file)
        self._service.on_stop(self._stop)
        self._radio_turn()

    # ---- the radio

    def _radio_turn(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        rest_s = (self.radio.turn() - self._clock.now_ms()) / 1000
        self._timer = self._service.after(max(SMALLEST_REST_S, rest_s), self._radio_turn)

    def _check_clock(self) -> None:
        self._line.board.clock_stepped(self.radio.check_clock())
        self._radio_turn()

    def _save_in_contact(self) -> None:
        if self.radio.contact is not None or self.radio.unsaved:
            self.radio.save()

    def _take_core(self, station: GroundStation) -> None:
        """A core that is about to begin."""
        self._store = station.store
        self._line.board.adopt(station.store)
        self._passes.count(None, frames_lost=0)

    def _take_arrival(self, addresses: tuple[LayerAddress, ...], now_ms: int) -> None:
        if self._store is not None:
            self._line.board.arrived(self._store, addresses, now_ms)
        self._count_pass(arrived_layers=len(addresses))

    def _count_pass(self, *, arrived_layers: int = 0) -> None:
        station, contact = self.radio.station, self.radio.contact
        if station is not None:
            aos_ms = None if contact is None else contact.aos_ms
            self._passes.count(aos_ms, frames_lost=station.frames_lost, arrived_layers=arrived_layers)

    # ---- scenes

    def _open_scenes(self, path: Path) -> Journal:
        """Its notes; in memory alone where the disk refuses: they are no promise to anybody."""
        try:
            return FileJournal(path)
        except JournalError as error:
            self._service.log.warning("notes of scenes not kept", problem=str(error))
            return MemoryJournal()

    def _start_publisher(self) -> Publisher:
        state = self._service.settings.state
        publisher = Publisher(state / LAYERS_FILE, state, on_close=self._service.forget)
        self._service.on_readable(publisher.fileno(), self._publish_turn)
        self._service.log.info("publisher started", pid=publisher.pid)
        return publisher

    def _publish_turn(self) -> None:
        store = None if self.radio.station is None else self._store
        self._line.turn(store, self._clock.now_ms())
        self._repair_references()

    def _repair_references(self) -> None:
        """Where acknowledged layers are gone, tell the satellite to predict from them no more."""
        station, store = self.radio.station, self._store
        if station is None or store is None:
            return
        if station.housekeeping is not None:
            self._repair.take_housekeeping(station.housekeeping[0], held_layers=len(store), held_digest=store.digest)
        outstanding = [one.order for one in station.desk.outstanding]
        for order in self._repair.due(outstanding, last_scene=store.last_scene):
            if not self.radio.give(OrderGiven(order=order)):
                return
            self._repair.given(order)
            self._service.log.warning("references lost", scene="all" if order.scene is None else order.scene)

    # ---- orders

    def _take_orders(self) -> None:
        try:
            for found in self._orders.look(self._clock.now_ms()):
                if not self._take_order(found):
                    break
            self._orders_problem = ""
        except OSError as error:
            self._note_orders_problem(f"orders cannot be taken from {self._orders.path}: {error.strerror}")

    def _take_order(self, found: FoundOrder) -> bool:
        """Whether to go on with the next one."""
        log, station = self._service.log, self.radio.station
        if found.order is None:
            self._orders_refused += 1
            log.warning("order refused", file=found.path.name, problem=found.problem)
            self._orders.refused(found, found.problem)
            return True
        if station is None or len(station.desk.outstanding) >= OUTSTANDING_LIMIT:
            return False  # it waits in its folder
        if not self.radio.give(OrderGiven(order=found.order)):
            return False
        self._orders_given += 1
        number = station.desk.outstanding[-1].number
        log.info("order given", file=found.path.name, number=number, kind=type(found.order).__name__)
        self._orders.done(found)
        self._radio_turn()
        return True

    def _note_orders_problem(self, problem: str) -> None:
        if problem != self._orders_problem:
            self._service.log.warning("orders not taken", problem=problem)
        self._orders_problem = problem

    # ---- what is told

    def _show(self) -> None:
        self._link_watch.look()
        status = self.status()
        self._page.show(status, trouble=self.radio.problem)
        self._service.show(status, healthy=not self.radio.problem, reason=self.radio.problem)

    def status(self) -> GroundStatus:
        """Everything, as of now."""
        self._count_pass()
        now_ms = self._clock.now_ms()
        radio, board, store = self.radio, self._line.board, self._store
        station, driver = radio.station, radio.driver
        heard = station.housekeeping if station is not None else radio.housekeeping
        held = HeldStatus() if store is None else HeldStatus(held_layers=len(store), held_bytes=store.held_bytes)
        digest = bytes(8) if store is None else store.digest
        contact = radio.contact
        coming = [one.contact for one in self._windows.coming(now_ms, COMING_CONTACTS) if one.contact.aos_ms > now_ms]
        report = None if heard is None else heard[0]
        return GroundStatus(
            at_ms=now_ms,
            started_ms=self._service.started_ms,
            mission=self._scenario.mission.name,
            contact=ContactStatus.of(contact),
            next_contact=ContactStatus.of(coming[0] if coming else None),
            coming=tuple(one for one in map(ContactStatus.of, coming) if one is not None),
            ledger=held,
            held_digest=digest.hex(),
            scenes=tuple(SceneStatus.of(scene) for scene in board.newest_first(SCENES_SHOWN)),
            scenes_total=len(board.scenes),
            link=link_of(driver, station, self._port),
            open_files=0 if station is None else station.open_files,
            unanswered_files=0 if station is None else station.unanswered_files,
            orders=self._orders_status(station),
            onboard=onboard_of(report),
            housekeeping_received_ms=None if heard is None else heard[1],
            agreement=agreement(report, held_layers=held.held_layers, held_digest=digest),
            passes=self._passes.passes(() if driver is None else driver.passes),
            core_restarts=radio.restarts,
            clock=ClockStatus(now_ms=now_ms, steps=radio.clock_steps, restarts=radio.clock_restarts),
            publisher=PublisherStatus(pid=self._line.pid, starts=self._line.starts, busy=self._line.busy),
            problems=self._problems(),
            recording=self._recording(),
        )

    def _orders_status(self, station: GroundStation | None) -> OrdersStatus:
        last = None if station is None else station.desk.last_report
        return OrdersStatus(
            outstanding=0 if station is None else len(station.desk.outstanding),
            last_executed=0 if last is None else last.last_number,
            given=self._orders_given,
            refused=self._orders_refused,
        )

    def _problems(self) -> tuple[str, ...]:
        known = (self.radio.unsaved, self._line.problem, self._line.board.problem, self._orders_problem)
        return tuple(problem for problem in known if problem)

    def _recording(self) -> str | None:
        if self._recorder is None:
            return None
        return getattr(self._recorder, "stopped", "") or str(getattr(self._recorder, "path", ""))

    def _metrics(self) -> None:
        gauge, counted = self._service.metrics.gauge, self._service.metrics.counted
        gauge("held_layers", "Layers on the ground.", lambda: 0 if self._store is None else len(self._store))
        gauge("held_bytes", "Their bytes.", lambda: 0 if self._store is None else self._store.held_bytes)
        gauge("in_contact", "1 while there is contact.", lambda: float(self.radio.contact is not None))
        gauge("scenes_total", "Scenes of which anything has arrived.", lambda: len(self._line.board.scenes))
        gauge("open_files_count", "File deliveries under way.", self._open_files)
        counted("heard_frames", "Frames heard.", lambda: self._driven("heard_frames"))
        counted("heard_bytes", "Their bytes.", lambda: self._driven("heard_bytes"))
        counted("sent_frames", "Frames sent.", lambda: self._driven("sent_frames"))
        counted("core_restarts", "Times that the core was built again.", lambda: self.radio.restarts)
        counted("publisher_starts", "Publishers started.", lambda: self._line.starts)

    def _driven(self, count: str) -> int:
        return 0 if self.radio.driver is None else int(getattr(self.radio.driver, count))

    def _open_files(self) -> int:
        station = self.radio.station
        return 0 if station is None else station.open_files

    def _stop(self) -> None:
        self.radio.save()
        self._line.end()
        if self._timer is not None:
            self._timer.cancel()
        self._service.forget(self._port.fileno())
        self.radio.close()
        self._port.close()
        if isinstance(self._scenes_journal, FileJournal):
            self._scenes_journal.close()
