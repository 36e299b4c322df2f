"""The ground's end of the link in real time: the station over its journals and its snapshot on the disk, driven by the clock.

Where the disk refuses, the core is given up and built again from its journals and its last snapshot, after one second, then two, up to
thirty: an acknowledgement leaves only when what it says is in them. Contacts and port go on meanwhile; what is heard is lost, and the
satellite sends it again.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from downlink.contact import Contact
from downlink.errors import CfdpSnapshotError, HousekeepingError, JournalError
from downlink.housekeeping import Housekeeping
from downlink.journal import FileJournal
from downlink.products import LayerAddress
from ground.errors import CommandDeskError, UnkeptFileError
from ground.link_events import LayersArrived, OrderGiven
from ground.station import GroundStation
from mission.incarnation import Incarnation
from mission.link_ends import ground_station
from mission.link_setup import EndJournals, link_keys, link_profile
from mission.live.contact_windows import ContactWindows
from mission.live.frame_port import FramePort
from mission.live.link_driver import LinkDriver
from mission.live.live_clock import LiveClock
from mission.live.onboard_radio import CoreRecorder
from mission.live.state_folder import replace_small_file
from mission.live.structured_log import StructuredLog
from mission.scenario import Scenario

LAYERS_FILE: Final = "layers.journal"
COMMANDS_FILE: Final = "commands.journal"
SNAPSHOT_FILE: Final = "files.snapshot"
HOUSEKEEPING_FILE: Final = "housekeeping"
AGAIN_MS: Final = 1000
AGAIN_LIMIT_MS: Final = 30_000
"""A core that failed is built again after the one, doubled up to the other."""
STEADY_S: Final = 60.0
"""A core that lasted so long starts the waiting times anew."""
CORE_ERRORS: Final = (JournalError, UnkeptFileError, CommandDeskError, OSError)
"""What the disk can do to a core."""
_TIME_BYTES: Final = 8


class GroundRadio:
    """One ground's end, from what its state folder holds."""

    def __init__(
        self,
        scenario: Scenario,
        state: Path,
        port: FramePort,
        log: StructuredLog,
        *,
        windows: ContactWindows,
        clock: LiveClock,
        recorder: CoreRecorder | None = None,
        on_core: Callable[[GroundStation], None] = lambda station: None,
        on_arrival: Callable[[tuple[LayerAddress, ...], int], None] = lambda addresses, now_ms: None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_core` gets each core before it is told anything. Raises KeyFileError; what the disk refuses is told by `problem`."""
        self._scenario = scenario
        self._state = state
        self._port = port
        self._log = log
        self._windows = windows
        self._clock = clock
        self._recorder = recorder
        self._on_core = on_core
        self._on_arrival = on_arrival
        self._monotonic_s = monotonic_s
        self._profile = link_profile(scenario)
        self._keys = link_keys(scenario, seed=scenario.mission.seed)
        if scenario.security.uplink_key_file is None:
            log.warning(
                "simulated uplink key", remedy="anybody can make it from the seed: give security.uplink_key_file"
            )
        self._journals: list[FileJournal] = []
        self._again_at_s = 0.0
        self._again_ms = AGAIN_MS
        self._built_s = monotonic_s()
        self._saved_snapshot = b""
        self._saved_housekeeping: tuple[Housekeeping, int] | None = None
        self.driver: LinkDriver | None = None
        """None until the journals could be read for the first time."""
        self.station: GroundStation | None = None
        """The core; None while it is given up."""
        self.housekeeping: tuple[Housekeeping, int] | None = self._read_housekeeping()
        """The newest that was heard, by whatever core, and when."""
        self.problem = ""
        """Why there is no core; empty while there is one."""
        self.unsaved = ""
        """Why the unfinished files could not be saved last time; empty where they could."""
        self.restarts = 0
        """How often the core was built again."""
        self.clock_steps = 0
        """How often the wall clock was set."""
        self.clock_restarts = 0
        """How often it went back so far that the core was built again."""
        self._build()

    # ---- what is asked

    @property
    def contact(self) -> Contact | None:
        """The contact that goes on."""
        return None if self.driver is None else self.driver.contact

    @property
    def now_ms(self) -> int:
        """By this end's clock."""
        return self._clock.now_ms()

    # ---- what is done

    def turn(self) -> int:
        """All that is due; returns when to be called again, Unix ms, if the port is not readable before."""
        now_ms = self._clock.now_ms()
        if self.station is None and self._monotonic_s() >= self._again_at_s:
            self._build()
        if self.driver is None:
            self._port.receive()  # or it stays readable
            return now_ms + AGAIN_MS
        before = self.driver.contact
        try:
            wake_ms = self.driver.turn()
        except CORE_ERRORS as error:
            self._give_up(error)
            wake_ms = now_ms
        if before != self.driver.contact:
            self._contact_changed(before)
        return wake_ms

    def give(self, event: OrderGiven) -> bool:
        """Give the satellite an order; whether it is durable now."""
        if self.station is None or self.driver is None:
            return False
        try:
            self.driver.tell(event)
        except CORE_ERRORS as error:
            self._give_up(error)
            return False
        return True

    def save(self) -> None:
        """The unfinished files and the last housekeeping, for whoever starts next. A disk that refuses costs repeats, nothing else."""
        if self.station is None:
            return
        try:
            snapshot = self.station.snapshot(self._clock.now_ms())
        except UnkeptFileError as error:
            self._give_up(error)
            return
        try:
            if snapshot != self._saved_snapshot:
                replace_small_file(self._state / SNAPSHOT_FILE, snapshot)
                self._saved_snapshot = snapshot
            self._save_housekeeping(self.station.housekeeping)
        except OSError as error:
            problem = f"unfinished files cannot be saved under {self._state}: {error.strerror}"
            if not self.unsaved:
                self._log.warning("unfinished files not saved", problem=problem)
            self.unsaved = problem
        else:
            self.unsaved = ""

    def check_clock(self) -> int:
        """Compare with the wall clock; where it has gone back, build the core again: it remembers times that are still to come.

        Returns the step that was taken, milliseconds.
        """
        step_ms = self._clock.check()
        if step_ms == 0:
            return 0
        self.clock_steps += 1
        self._log.warning("clock stepped", step_ms=step_ms)
        if step_ms < 0:
            self.clock_restarts += 1
            self.save()
            self._build()
        return step_ms

    def close(self) -> None:
        """Close the journals; the core is gone."""
        self._keep_housekeeping()
        self.station = None
        for journal in self._journals:
            journal.close()
        self._journals.clear()

    # ---- the core

    def _build(self) -> None:
        again = self.driver is not None
        self.close()
        try:
            station = self._core_from_journals()
            self._on_core(station)
            if self.driver is None:
                self.driver = LinkDriver(
                    station,
                    self._port,
                    direction="up",
                    windows=self._windows,
                    clock=self._clock,
                    recorder=self._recorder,
                    on_action=self._take_action,
                )
            else:
                self.driver.replace_core(station)
        except CORE_ERRORS as error:
            self._give_up(error)
            return
        self.station, self.problem, self._built_s = station, "", self._monotonic_s()
        if again:
            self.restarts += 1
            self._log.info("core built again", layers=len(station.store), open_files=station.open_files)

    def _core_from_journals(self) -> GroundStation:
        for name in (LAYERS_FILE, COMMANDS_FILE):
            self._journals.append(FileJournal(self._state / name))
            if damaged := self._journals[-1].damaged_bytes:
                self._log.warning("journal damaged", file=name, damaged_bytes=damaged)
        try:
            station = self._core(self._read_snapshot())
        except CfdpSnapshotError as error:
            self._log.warning("unfinished files forgotten", file=SNAPSHOT_FILE, problem=str(error))
            station = self._core(None)
        station.housekeeping = self.housekeeping
        return station

    def _core(self, snapshot: bytes | None) -> GroundStation:
        journals = EndJournals(layers=self._journals[0], commands=self._journals[1])
        now_ms = self._clock.now_ms()
        if self._recorder is not None:
            has_key_file = self._scenario.security.uplink_key_file is not None
            incarnation = Incarnation(
                end="ground",
                profile=self._profile,
                now_ms=now_ms,
                snapshot=snapshot,
                key_seed=None if has_key_file else self._scenario.mission.seed,
            )
            journals = self._recorder.begin(incarnation, journals, self._keys)
        return ground_station(self._profile, journals=journals, keys=self._keys, snapshot=snapshot, now_ms=now_ms)

    def _give_up(self, error: Exception) -> None:
        """The core goes; another is built later."""
        self.problem = str(error)
        self._log.warning("core given up", problem=self.problem, again_ms=self._again_ms)
        with suppress(OSError):
            self.close()
        now_s = self._monotonic_s()
        if now_s - self._built_s > STEADY_S:
            self._again_ms = AGAIN_MS
        self._again_at_s = now_s + self._again_ms / 1000
        self._again_ms = min(2 * self._again_ms, AGAIN_LIMIT_MS)

    # ---- what is kept beside the journals

    def _read_snapshot(self) -> bytes | None:
        try:
            return (self._state / SNAPSHOT_FILE).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._log.warning("unfinished files forgotten", file=SNAPSHOT_FILE, problem=str(error))
            return None

    def _read_housekeeping(self) -> tuple[Housekeeping, int] | None:
        try:
            kept = (self._state / HOUSEKEEPING_FILE).read_bytes()
            report = Housekeeping.decode(kept[_TIME_BYTES:], self._keys.associations)
        except (OSError, HousekeepingError):
            return None
        return report, int.from_bytes(kept[:_TIME_BYTES], "big")

    def _save_housekeeping(self, heard: tuple[Housekeeping, int] | None) -> None:
        if heard is not None and heard != self._saved_housekeeping:
            report, received_ms = heard
            kept = received_ms.to_bytes(_TIME_BYTES, "big") + report.encode(self._keys.associations[0])
            replace_small_file(self._state / HOUSEKEEPING_FILE, kept, durable=False)
            self._saved_housekeeping = heard

    def _keep_housekeeping(self) -> None:
        if self.station is not None and self.station.housekeeping is not None:
            self.housekeeping = self.station.housekeeping

    # ---- what happens

    def _contact_changed(self, before: Contact | None) -> None:
        contact = self.contact
        self.save()
        if before is not None and self.driver is not None:
            ended = self.driver.passes[-1 if contact is None else -2] if self.driver.passes else None
            self._log.info(
                "contact ended",
                contact=before.contact_id,
                station=before.station,
                heard_frames=ended.heard_frames if ended else 0,
                sent_frames=ended.sent_frames if ended else 0,
            )
        if contact is not None:
            self._log.info(
                "contact started", contact=contact.contact_id, station=contact.station, los_ms=contact.los_ms
            )

    def _take_action(self, action: Any, now_ms: int) -> None:
        if isinstance(action, LayersArrived):
            self._on_arrival(action.addresses, now_ms)
