"""The two ends of a seeded mission as they start again and again: their disks, what befalls these, and the cores built over them."""

from collections.abc import Iterator

from downlink.journal import FileJournal
from ground.station import GroundStation
from mission.dice import Dice
from mission.event_log import EventRecorder
from mission.incarnation import Incarnation
from mission.link_ends import ground_station, onboard_computer
from mission.link_setup import EndJournals, LinkKeys
from mission.scenario_security import simulated_association
from mission.seeded_faults import ClockFaults, DiskFaults
from mission.seeded_mission import SeededMission
from mission.simulated_clock import SimulatedClock
from mission.simulated_disk import SimulatedDisk
from mission.streams import Streams
from onboard.computer import OnboardComputer

KEY_SEED = 0
AGAIN_MS = 1000
LONGEST_AGAIN_MS = 30_000
STEADY_MS = 60_000
"""A core that has lived so long is built again after AGAIN_MS when it fails."""


class SeededEnd:
    """The disks of one end, and when it may start again."""

    def __init__(self, name: str, mission: SeededMission, faults: tuple[DiskFaults, DiskFaults]) -> None:
        streams = Streams(mission.seed)
        disks = [
            SimulatedDisk(f"{name} {what}", Dice(streams.generator(f"disk/{name}/{what}")))
            for what in ("layers", "commands")
        ]
        self.layers, self.commands = disks
        self.mission = mission
        self.keys = LinkKeys(
            associations=(simulated_association(KEY_SEED),), reboot_lockout_ms=mission.reboot_lockout_ms
        )
        self.recorder: EventRecorder | None = None
        self._power = {id(disk): iter(each.power_bytes) for disk, each in zip(disks, faults, strict=True)}
        self._started_ms = 0
        self._again_ms = AGAIN_MS

    @property
    def disks(self) -> tuple[SimulatedDisk, SimulatedDisk]:
        """Of layers, and of orders or replay protection."""
        return self.layers, self.commands

    def arm(self) -> None:
        """Let the power end as planned next."""
        for disk in self.disks:
            write_bytes = next(self._power[id(disk)], None)
            if write_bytes is not None:
                disk.lose_power_after(write_bytes)

    def lose_power(self) -> int:
        """Both caches are gone; returns the bytes that were written and are no more."""
        return sum(disk.lose_power() for disk in self.disks)

    def make_whole(self) -> None:
        """No more faults."""
        for disk in self.disks:
            disk.keep_power()
            disk.full = False
        self._power = {id(disk): iter(()) for disk in self.disks}

    def started(self, now_ms: int) -> None:
        """A core has been built."""
        self._started_ms = now_ms

    def next_start_ms(self, now_ms: int) -> int:
        """When to build a core again after one that failed now: later and later, as the live services do."""
        if now_ms - self._started_ms > STEADY_MS:
            self._again_ms = AGAIN_MS
        again_ms, self._again_ms = self._again_ms, min(2 * self._again_ms, LONGEST_AGAIN_MS)
        return now_ms + again_ms

    def _journals(self) -> EndJournals:
        return EndJournals(layers=FileJournal(self.layers), commands=FileJournal(self.commands))

    def _recorded(self, incarnation: Incarnation) -> EndJournals:
        journals = self._journals()
        return journals if self.recorder is None else self.recorder.begin(incarnation, journals, self.keys)


class SeededOnboard(SeededEnd):
    """The satellite."""

    def __init__(self, mission: SeededMission) -> None:
        super().__init__("onboard", mission, mission.onboard_disks)

    def build(self, own_ms: int) -> OnboardComputer:
        """Raises JournalError where the disk is full."""
        mission = self.mission
        expected = tuple(planned.contact for planned in mission.contacts)
        incarnation = Incarnation(
            end="onboard",
            profile=mission.profile,
            now_ms=own_ms,
            capacity_bytes=mission.capacity_bytes,
            expected_contacts=expected,
            planning=mission.planning,
            key_seed=KEY_SEED,
        )
        return onboard_computer(
            mission.profile,
            capacity_bytes=mission.capacity_bytes,
            journals=self._recorded(incarnation),
            keys=self.keys,
            expected_contacts=expected,
            planning=mission.planning,
        )


class SeededGround(SeededEnd):
    """The ground station."""

    def __init__(self, mission: SeededMission) -> None:
        super().__init__("ground", mission, mission.ground_disks)
        self.snapshot: bytes | None = None
        """The last one saved."""

    def build(self, own_ms: int) -> GroundStation:
        """Raises JournalError where the disk is full."""
        profile, snapshot = self.mission.profile, self.snapshot
        incarnation = Incarnation(end="ground", profile=profile, snapshot=snapshot, now_ms=own_ms, key_seed=KEY_SEED)
        return ground_station(
            profile, journals=self._recorded(incarnation), keys=self.keys, snapshot=snapshot, now_ms=own_ms
        )


def clock_of(faults: ClockFaults, *, since_ms: int) -> SimulatedClock:
    """A clock with its first error and its drift; its steps are events of the mission."""
    return SimulatedClock(offset_ms=faults.offset_ms, drift_ppb=faults.drift_ppb, since_ms=since_ms)


def full_spans(
    faults: tuple[DiskFaults, DiskFaults], disks: tuple[SimulatedDisk, SimulatedDisk]
) -> Iterator[tuple[SimulatedDisk, int, int]]:
    """Each disk with a time from which and until which it is full."""
    for disk, each in zip(disks, faults, strict=True):
        for from_ms, until_ms in each.full_ms:
            yield disk, from_ms, until_ms
