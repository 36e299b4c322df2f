"""The flight computer's end of the link in real time: the core over its journals on the disk, driven by the clock.

Where the disk refuses, the core is given up and built again from its journals, after one second, then two, up to thirty: what it
had promised is in them. Contacts and port go on meanwhile; what is heard is lost, and the ground repeats it.
"""

import shutil
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from downlink.contact import Contact
from downlink.errors import JournalError
from downlink.journal import FileJournal
from downlink.layer_digest import NO_LAYERS, layer_digest, toggle
from mission.incarnation import Incarnation
from mission.link_setup import EndJournals, LinkKeys, link_keys, link_profile, planner_settings
from mission.live.contact_windows import ContactWindows
from mission.live.frame_port import FramePort
from mission.live.link_driver import LinkDriver
from mission.live.live_clock import LiveClock
from mission.live.structured_log import StructuredLog
from mission.live.terms_watch import TermsWatch
from mission.live.worker_messages import CodingTerms
from mission.onboard_end import AcknowledgedLayers, onboard_computer
from mission.scenario import Scenario
from onboard.computer import OnboardComputer
from onboard.errors import StoreError
from onboard.link_events import ContactsExpected, LayersCaptured, LayersDelivered, LayersEvicted, RoomWanted
from onboard.policy import load_policy
from onboard.valuation import ValuedLayer

LAYERS_FILE: Final = "products.journal"
UPLINK_FILE: Final = "uplink.journal"
CONTACTS_AHEAD: Final = 32
"""Contacts that are planned over."""
AGAIN_MS: Final = 1000
AGAIN_LIMIT_MS: Final = 30_000
"""A core that failed is built again after the one, doubled up to the other."""
STEADY_S: Final = 60.0
"""A core that lasted so long starts the waiting times anew."""
SETTLED_S: Final = 5.0
"""A core that lasted so long, or has kept layers, is well again."""
MARKS_ROOM_BYTES: Final = 4 * 1024 * 1024
"""Layers leave so much of the disk free: what was delivered can still be noted, and only that makes room again."""
REWRITING_ROOM_BYTES: Final = 1024 * 1024
"""Of this, so much stays free while the journal is rewritten beside itself, without what was delivered."""
CORE_ERRORS: Final = (JournalError, StoreError, OSError)
"""What the disk can do to a core."""


class CoreRecorder(Protocol):
    """Writes the log of a core (`mission.event_log.EventRecorder`)."""

    def begin(self, incarnation: Incarnation, journals: EndJournals, keys: LinkKeys) -> EndJournals:
        """A core is about to be built from these; returns the journals to build it over."""

    def event(self, event: Any, now_ms: int) -> None:
        """The core is about to be told this."""

    def actions(self, actions: Sequence[Any]) -> None:
        """What it answered."""


class OnboardRadio:
    """One satellite's end, from what its state folder holds."""

    def __init__(
        self,
        scenario: Scenario,
        state: Path,
        port: FramePort,
        log: StructuredLog,
        *,
        windows: ContactWindows,
        clock: LiveClock,
        references: AcknowledgedLayers | None = None,
        discard_uncoded: Callable[[int], None] | None = None,
        recorder: CoreRecorder | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`references` is told what the ground acknowledges, `discard_uncoded` which scenes it does not want.

        Raises KeyFileError, PolicyError; what the disk refuses is told by `problem`, and tried again.
        """
        self._scenario = scenario
        self._state = state
        self._port = port
        self._log = log
        self._windows = windows
        self._clock = clock
        self._references = references
        self._discard_uncoded = discard_uncoded
        self._terms = TermsWatch(clock_s=monotonic_s)
        self._recorder = recorder
        self._monotonic_s = monotonic_s
        self._profile = link_profile(scenario)
        self._keys = link_keys(scenario, seed=scenario.mission.seed)
        if scenario.security.uplink_key_file is None:
            log.warning(
                "simulated uplink key", remedy="anybody can make it from the seed: give security.uplink_key_file"
            )
        self._planning = planner_settings(load_policy(scenario.policy.file))
        self._journals: list[FileJournal] = []
        self._again_at_s = 0.0
        self._again_ms = AGAIN_MS
        self._built_s = monotonic_s()
        self._last_problem = ""
        self._delivered: tuple[int, bytes] = (0, NO_LAYERS)
        self.driver: LinkDriver | None = None
        """None until the journals could be read for the first time."""
        self.computer: OnboardComputer | None = None
        """The core; None while it is given up."""
        self.problem = ""
        """Why there is no core; empty while there is one."""
        self.no_room = ""
        """Why layers cannot be kept though there is a core; empty while they can."""
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
    def next_contact(self) -> Contact | None:
        """The one after it."""
        planned = self._windows.next_after(self._clock.now_ms())
        return None if planned is None else planned.contact

    @property
    def trouble(self) -> str:
        """Why things are not well: a core that was just built again has yet to show that it lasts. Empty where they are."""
        if self.problem or self.no_room:
            return self.problem or self.no_room
        return self._last_problem if self._monotonic_s() - self._built_s < SETTLED_S else ""

    @property
    def delivered_digest(self) -> bytes:
        """`layer_digest` of what the ground has acknowledged."""
        return self._delivered[1]

    @property
    def last_scene(self) -> int:
        """The highest scene number that any layer has."""
        return 0 if self.computer is None else self.computer.store.last_scene

    def kept_products_of(self, scenes: Collection[int]) -> dict[int, frozenset[int]] | None:
        """Products of these scenes that are stored, scenes without any left out; None without a core."""
        return None if self.computer is None else self.computer.store.products_by_scene(frozenset(scenes))

    def new_coding_terms(self) -> CodingTerms | None:
        """What is worth coding now; None where that was just said, or without a core."""
        computer, now_ms = self.computer, self._clock.now_ms()
        if computer is None:
            return None
        requests = computer.standing_requests(now_ms)
        known = id(computer), computer.store.tally, self.contact, requests
        if not self._terms.due(known):
            return None
        return self._terms.ask(
            known,
            lambda: CodingTerms(
                at_ms=now_ms,
                price=computer.coding_price(now_ms),
                requests=requests,
                room_bytes=_room_beside(computer),
            ),
        )

    # ---- what is done

    def turn(self) -> int:
        """All that is due; returns when to be called again, Unix ms, if the port is not readable before."""
        now_ms = self._clock.now_ms()
        if self.computer is None and self._monotonic_s() >= self._again_at_s:
            self._build()
        if self.driver is None:
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

    def tell(self, event: Any) -> bool:
        """Tell the core; whether it has taken it."""
        if self.computer is None or self.driver is None:
            return False
        try:
            self.driver.tell(event)
        except CORE_ERRORS as error:
            self._give_up(error)
            return False
        return True

    def keep(self, layers: Sequence[ValuedLayer]) -> bool:
        """Whether they are durable now. They are not offered to the core where the disk has no room for them."""
        needed_bytes = sum(valued.layer.size_bytes for valued in layers) + MARKS_ROOM_BYTES
        free_bytes = self.make_room(needed_bytes)
        if free_bytes is None:
            return False
        self.no_room = ""
        if free_bytes < needed_bytes:
            self.no_room = (
                f"{free_bytes} bytes are free under {self._state}, {needed_bytes} are needed for the next layers; "
                "free some space"
            )
            return False
        kept = self.tell(LayersCaptured(layers=tuple(layers)))
        if kept:
            self._last_problem = ""
        return kept

    def make_room(self, needed_bytes: int) -> int | None:
        """Rewrite the journal without what was delivered where that leaves so much of the disk free; returns what is free then, None
        where the disk does not say."""
        try:
            free_bytes = shutil.disk_usage(self._state).free
            if self._room_can_be_made(free_bytes, needed_bytes) and self.tell(RoomWanted()):
                free_bytes = shutil.disk_usage(self._state).free
                self._log.info("room made", free_bytes=free_bytes)
        except OSError as error:
            self.no_room = f"cannot ask for free space under {self._state}: {error.strerror}"
            return None
        return free_bytes

    def _room_can_be_made(self, free_bytes: int, needed_bytes: int) -> bool:
        """Whether the journal, rewritten without what was delivered, would leave as much free as is needed."""
        if self.computer is None or free_bytes >= needed_bytes:
            return False
        store = self.computer.store
        gained_bytes = store.journal_bytes - store.kept_bytes
        return free_bytes + gained_bytes >= needed_bytes and store.kept_bytes + REWRITING_ROOM_BYTES <= free_bytes

    def check_clock(self) -> None:
        """Compare with the wall clock; where it has gone back, build the core again: it remembers times that are still to come."""
        step_ms = self._clock.check()
        if step_ms == 0:
            return
        self.clock_steps += 1
        self._log.warning("clock stepped", step_ms=step_ms)
        if step_ms < 0:
            self.clock_restarts += 1
            self._build()

    def close(self) -> None:
        """Close the journals; the core is gone."""
        self.computer = None
        for journal in self._journals:
            journal.close()
        self._journals.clear()

    # ---- the core

    def _build(self) -> None:
        again = self.driver is not None
        self.close()
        try:
            computer = self._core_from_journals()
            self._delivered = len(computer.store.delivered), layer_digest(computer.store.delivered)
            if self.driver is None:
                self.driver = LinkDriver(
                    computer,
                    self._port,
                    direction="down",
                    windows=self._windows,
                    clock=self._clock,
                    recorder=self._recorder,
                    on_action=self._take_action,
                )
            else:
                self.driver.replace_core(computer)
        except CORE_ERRORS as error:
            self._give_up(error)
            return
        self.computer, self.problem, self._built_s = computer, "", self._monotonic_s()
        if again:
            self.restarts += 1
            self._log.info("core built again", layers=len(computer.store.backlog()), open_files=computer.open_files)

    def _core_from_journals(self) -> OnboardComputer:
        for name in (LAYERS_FILE, UPLINK_FILE):
            self._journals.append(FileJournal(self._state / name))
            if damaged := self._journals[-1].damaged_bytes:
                self._log.warning("journal damaged", file=name, damaged_bytes=damaged)
        journals = EndJournals(layers=self._journals[0], commands=self._journals[1])
        now_ms = self._clock.now_ms()
        capacity_bytes = self._scenario.store.capacity_bytes
        expected = self._expected_contacts(now_ms)
        if self._recorder is not None:
            has_key_file = self._scenario.security.uplink_key_file is not None
            incarnation = Incarnation(
                end="onboard",
                profile=self._profile,
                now_ms=now_ms,
                capacity_bytes=capacity_bytes,
                expected_contacts=expected,
                planning=self._planning,
                keeps_references=self._references is not None,
                key_seed=None if has_key_file else self._scenario.mission.seed,
            )
            journals = self._recorder.begin(incarnation, journals, self._keys)
        return onboard_computer(
            self._profile,
            capacity_bytes=capacity_bytes,
            journals=journals,
            keys=self._keys,
            expected_contacts=expected,
            planning=self._planning,
            references=self._references,
            discard_uncoded=self._discard_uncoded,
        )

    def _expected_contacts(self, now_ms: int) -> tuple[Contact, ...]:
        return tuple(planned.contact for planned in self._windows.coming(now_ms, CONTACTS_AHEAD))

    def _give_up(self, error: Exception) -> None:
        """The core goes; another is built later."""
        self.problem = self._last_problem = str(error)
        self._log.warning("core given up", problem=self.problem, again_ms=self._again_ms)
        with suppress(OSError):
            self.close()
        now_s = self._monotonic_s()
        if now_s - self._built_s > STEADY_S:
            self._again_ms = AGAIN_MS
        self._again_at_s = now_s + self._again_ms / 1000
        self._again_ms = min(2 * self._again_ms, AGAIN_LIMIT_MS)

    # ---- what happens

    def _contact_changed(self, before: Contact | None) -> None:
        contact = self.contact
        if before is not None and self.driver is not None:
            ended = self.driver.passes[-1 if contact is None else -2] if self.driver.passes else None
            self._log.info(
                "contact ended",
                contact=before.contact_id,
                station=before.station,
                sent_frames=ended.sent_frames if ended else 0,
                heard_frames=ended.heard_frames if ended else 0,
            )
            self.tell(ContactsExpected(contacts=self._expected_contacts(self._clock.now_ms())))
        if contact is not None:
            self._log.info(
                "contact started", contact=contact.contact_id, station=contact.station, los_ms=contact.los_ms
            )

    def _take_action(self, action: Any, now_ms: int) -> None:
        match action:
            case LayersDelivered():
                count, digest = self._delivered
                for address in action.addresses:
                    digest = toggle(digest, address)
                self._delivered = count + len(action.addresses), digest
            case LayersEvicted():
                self._log.warning("layers evicted", layers=len(action.addresses))


def _room_beside(computer: OnboardComputer) -> int:
    """What raw tiles must leave of the disk: room for marks, for the next layers, and for the journal to be rewritten."""
    return 2 * MARKS_ROOM_BYTES + REWRITING_ROOM_BYTES + computer.store.kept_bytes
