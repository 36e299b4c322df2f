"""Flies one seeded mission: first with everything that goes wrong, then over clean contacts until nothing is owed."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from downlink.command import Order
from downlink.contact import Contact
from downlink.errors import JournalError
from ground import link_events as ground_events
from ground.errors import UnkeptFileError
from mission.channel import ChannelSettings
from mission.contacts import PlannedContact
from mission.errors import InvariantError, PowerLost
from mission.event_log import EventRecorder
from mission.invariants import Invariants
from mission.seeded_captures import Capture
from mission.seeded_contacts import START_MS
from mission.seeded_ends import SeededEnd, SeededGround, SeededOnboard, clock_of, full_spans
from mission.seeded_interference import Interference
from mission.seeded_mission import SeededMission
from mission.simulated_disk import SimulatedDisk
from mission.simulation import World
from mission.streams import Streams
from onboard import link_events as onboard_events

FAULTS = (
    "frames lost",
    "contacts with losses in bursts",
    "frames in a blackout",
    "frames corrupted",
    "frames misread",
    "frames duplicated",
    "frames reordered",
    "strangers heard",
    "uplink frames replayed",
    "uplink frames forged",
    "contacts cut",
    "files open when a contact was cut",
    "contacts without uplink",
    "frames sent out of contact",
    "clocks wrong",
    "clock steps",
    "clocks set back",
    "onboard reboots",
    "ground reboots",
    "onboard power losses",
    "ground power losses",
    "writes torn",
    "bytes lost in caches",
    "disks full",
    "cores given up for a failing disk",
    "bits flipped on board",
    "bits flipped on the ground",
    "layers lost to flipped bits",
    "ground snapshots",
    "journals compacted",
    "captures missed by the sensor",
    "captures late from the detector",
    "layers evicted",
    "orders given",
)
"""Everything that a seeded mission may suffer."""
CLEAN_DOWNLINK_BPS = 512_000
CLEAN_UPLINK_BPS = 64_000
CLEAN_DELAY_MS = 20
CLEAN_GAP_MS = 1_800_000
SETTLING_CONTACTS = 3
"""Clean contacts beside those that what is owed fills: for time-outs that had grown long, and for the last acknowledgements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlownMission:
    """What became of one seeded mission."""

    seed: int
    """Of every random stream."""
    log_hash: str
    """SHA-256 over everything that happened."""
    mission_ms: int
    """From the first event to the last, the clean contacts at the end included."""
    contact_ms: int
    """Time in contact with faults; the clean contacts at the end, idle for the most part, are not counted."""
    clean_contacts: int
    """Contacts without faults until everything owed had arrived."""
    captured_bytes: int
    """Records of all layers."""
    sent_bytes: int
    """Transfer frames on the downlink."""
    faults: dict[str, int]
    """How often each kind of fault happened."""


class SeededFlight:
    """One mission with its world, its disks and its invariants. Fly it once."""

    def __init__(self, mission: SeededMission, *, record_in: Path | None = None) -> None:
        """`record_in`: a folder for the event logs of both ends, `onboard.log` and `ground.log`."""
        self.mission = mission
        self.faults: Counter[str] = Counter()
        """How often each of FAULTS has happened."""
        self._onboard, self._ground = SeededOnboard(mission), SeededGround(mission)
        if record_in is not None:
            self._onboard.recorder = EventRecorder(record_in / "onboard.log")
            self._ground.recorder = EventRecorder(record_in / "ground.log")
        onboard_clock = clock_of(mission.onboard_clock, since_ms=START_MS)
        ground_clock = clock_of(mission.ground_clock, since_ms=START_MS)
        self.world = World(
            self._onboard.build(onboard_clock.read(START_MS)),
            self._ground.build(ground_clock.read(START_MS)),
            mission.contacts,
            Streams(mission.seed),
            onboard_clock=onboard_clock,
            ground_clock=ground_clock,
        )
        self.world.now_ms = START_MS
        self.world.onboard.recorder, self.world.ground.recorder = self._onboard.recorder, self._ground.recorder
        self.invariants = Invariants(self.world, capacity_bytes=mission.capacity_bytes)
        self._interference = Interference(mission, self.world, self.faults)
        self._captures_waiting: list[Capture] = []
        self._orders_waiting: list[Order] = []
        self._cut_off_ms = 0
        self._clean_contacts = 0

    def fly(self) -> FlownMission:
        """Raises InvariantError when a promise is broken, or when a core raises anything that it may not."""
        try:
            self._schedule_everything()
            self._run()
            self._settle()
        except InvariantError:
            raise
        except Exception as error:
            detail = f"{type(error).__name__}: {error}"
            raise InvariantError("the cores never raise", detail, now_ms=self.world.now_ms) from error
        return self._flown()

    # ---- what happens

    def _schedule_everything(self) -> None:
        mission, world = self.mission, self.world
        world.after_event = self.invariants.check
        for capture in mission.captures:
            world.schedule(capture.at_ms, lambda c=capture: self._capture(c))  # type: ignore[misc]
        for at_ms in mission.cuts_ms:
            world.schedule(at_ms, self._cut)
        for reboot in mission.onboard_reboots:
            world.schedule(reboot.at_ms, lambda r=reboot: self._reboot_onboard(lost_power=r.lost_power))  # type: ignore[misc]
        for reboot in mission.ground_reboots:
            world.schedule(reboot.at_ms, lambda r=reboot: self._reboot_ground(lost_power=r.lost_power))  # type: ignore[misc]
        for at_ms in mission.ground_snapshots_ms:
            world.schedule(at_ms, self._save_ground)
        for at_ms in mission.compactions_ms:
            world.schedule(at_ms, self._compact)
        for at_ms, order in mission.orders:
            world.schedule(at_ms, lambda o=order: self._give(o))  # type: ignore[misc]
        self._interference.begin()
        self._schedule_clocks()
        self._schedule_disks(self._onboard, mission.onboard_disks, "bits flipped on board")
        self._schedule_disks(self._ground, mission.ground_disks, "bits flipped on the ground")

    def _schedule_clocks(self) -> None:
        world, mission = self.world, self.mission
        for end, faults, reboot in (
            (world.onboard, mission.onboard_clock, self._reboot_onboard),
            (world.ground, mission.ground_clock, self._reboot_ground),
        ):
            self.faults["clocks wrong"] += not end.clock.is_right
            for at_ms, step_ms in faults.steps:

                def step(end=end, step_ms=step_ms, reboot=reboot) -> None:  # type: ignore[no-untyped-def]
                    self.faults["clock steps"] += 1
                    if world.step_clock(end, step_ms):
                        self.faults["clocks set back"] += 1
                        reboot(lost_power=False)

                world.schedule(at_ms, step)

    def _schedule_disks(self, end: SeededEnd, faults, fault: str) -> None:  # type: ignore[no-untyped-def]
        end.arm()
        for disk, from_ms, until_ms in full_spans(faults, end.disks):
            self.world.schedule(from_ms, lambda d=disk: self._fill(d))  # type: ignore[misc]
            self.world.schedule(until_ms, lambda d=disk: setattr(d, "full", False))  # type: ignore[misc]
        for disk, each in zip(end.disks, faults, strict=True):
            for at_ms, share in each.rot:
                self.world.schedule(at_ms, lambda d=disk, s=share: self._rot(end, d, s, fault))  # type: ignore[misc]

    def _run(self) -> None:
        """Until nothing is left to happen, through every loss of power and every failure of a disk."""
        while self.world.events_waiting:
            try:
                self.world.run()
            except PowerLost as lost:
                self._restart_after(lost)
            except (JournalError, UnkeptFileError):
                self._give_up()

    def _capture(self, capture: Capture) -> None:
        """A capture that fails is offered again, as the sensor's spool does."""
        self.invariants.announce(capture.layers)
        self._captures_waiting.append(capture)
        if self.world.onboard.is_up and len(self._captures_waiting) == 1:
            self._offer_captures()

    def _offer_captures(self) -> None:
        while self._captures_waiting:
            capture = self._captures_waiting[0]
            self.world.tell_computer(onboard_events.LayersCaptured(layers=capture.layers))
            self.invariants.expect(capture.layers)
            del self._captures_waiting[0]

    def _cut(self) -> None:
        contact = self.world.contact
        if contact is not None:
            self.faults["contacts cut"] += 1
            self.faults["files open when a contact was cut"] += self.world.computer.open_files
            self._cut_off_ms += contact.los_ms - self.world.now_ms
            self.world.cut_contact()

    def _compact(self) -> None:
        if self.world.onboard.is_up:
            self.faults["journals compacted"] += 1
            self.world.at_work = self.world.onboard
            self.world.computer.store.compact()

    def _give(self, order: Order) -> None:
        self.faults["orders given"] += 1
        self._orders_waiting.append(order)
        if self.world.ground.is_up:
            self._give_orders()

    def _give_orders(self) -> None:
        while self._orders_waiting:
            self.world.tell_station(ground_events.OrderGiven(order=self._orders_waiting[0]))
            del self._orders_waiting[0]

    def _fill(self, disk: SimulatedDisk) -> None:
        self.faults["disks full"] += 1
        disk.full = True

    def _rot(self, end: SeededEnd, disk: SimulatedDisk, share: float, fault: str) -> None:
        if disk.size_bytes():
            self.faults[fault] += 1
            record = disk.rot(int(share * 8 * disk.size_bytes()))
            if record is not None and disk is end.layers:
                self.invariants.rotted(record, on_board=end is self._onboard)

    # ---- starting again

    def _save_ground(self) -> None:
        if self.world.ground.is_up:
            self.faults["ground snapshots"] += 1
            self.world.at_work = self.world.ground
            self._ground.snapshot = self.world.station.snapshot(self.world.ground.clock.read(self.world.now_ms))

    def _reboot_onboard(self, *, lost_power: bool) -> None:
        self.faults["onboard reboots"] += 1
        if lost_power:
            self._lose_power(self._onboard)
        self._start_onboard()

    def _reboot_ground(self, *, lost_power: bool) -> None:
        self.faults["ground reboots"] += 1
        if lost_power:
            self._lose_power(self._ground)
        self._start_ground()

    def _lose_power(self, end: SeededEnd) -> None:
        self.faults["onboard power losses" if end is self._onboard else "ground power losses"] += 1
        self.faults["bytes lost in caches"] += end.lose_power()
        end.arm()

    def _start_onboard(self) -> None:
        """A core from the journals; raises as they do."""
        world = self.world
        world.at_work, world.onboard.is_up = world.onboard, False
        computer = self._onboard.build(world.onboard.clock.read(world.now_ms))
        self._onboard.started(world.now_ms)
        self.invariants.restarted(on_board=True)
        world.replace_computer(computer)
        self._offer_captures()

    def _start_ground(self) -> None:
        world = self.world
        world.at_work, world.ground.is_up = world.ground, False
        station = self._ground.build(world.ground.clock.read(world.now_ms))
        self._ground.started(world.now_ms)
        self.invariants.restarted(on_board=False)
        world.replace_station(station)
        self._give_orders()

    def _restart_after(self, lost: PowerLost) -> None:
        """An end lost its power in the middle of a write, and starts again at once."""
        self.faults["writes torn"] += 0 < lost.written_bytes < lost.asked_bytes
        on_board = lost.disk in self._onboard.disks
        (self.world.onboard if on_board else self.world.ground).is_up = False
        self._lose_power(self._onboard if on_board else self._ground)
        self.world.schedule(self.world.now_ms, self._start_onboard if on_board else self._start_ground)

    def _give_up(self) -> None:
        """The disk of the end at work has failed it: it is built again from its journals later, as the live services do."""
        world = self.world
        self.faults["cores given up for a failing disk"] += 1
        world.at_work.is_up = False
        on_board = world.at_work is world.onboard
        start = self._start_onboard if on_board else self._start_ground
        end: SeededEnd = self._onboard if on_board else self._ground
        world.schedule(end.next_start_ms(world.now_ms), lambda: None if world_is_up(world, on_board) else start())

    # ---- the end

    def _settle(self) -> None:
        """Faults off: clean contacts until nothing is owed, as many as that can need at the most."""
        world, profile = self.world, self.mission.profile
        for end in (self._onboard, self._ground):
            end.make_whole()
        self._interference.end()
        duration_ms = 20_000 + 20 * max(profile.ack_timeout_ms, profile.nak_timeout_ms, profile.express_repeat_ms)
        carried_bytes = CLEAN_DOWNLINK_BPS * duration_ms // 8000
        owed_bytes = world.computer.store.queued_bytes
        contacts = SETTLING_CONTACTS + -(-4 * owed_bytes // carried_bytes)
        aos_ms = (
            max(world.now_ms, *(end.clock.caught_up_ms(world.now_ms) for end in (world.onboard, world.ground)))
            + CLEAN_GAP_MS
        )
        while self._clean_contacts < contacts and not (self._clean_contacts and self.invariants.settled):
            number = len(self.mission.contacts) + self._clean_contacts
            world.add_contact(_clean_contact(number, aos_ms, aos_ms + duration_ms))
            self._run()
            self._clean_contacts += 1
            aos_ms += duration_ms + CLEAN_GAP_MS
        self.invariants.check_settled()

    def _flown(self) -> FlownMission:
        logs = self.world.contact_logs
        for counts in [log.downlink for log in logs] + [log.uplink for log in logs]:
            self.faults["frames lost"] += counts.lost
            self.faults["frames in a blackout"] += counts.blacked_out
            self.faults["frames corrupted"] += counts.corrupted
            self.faults["frames duplicated"] += counts.duplicated
            self.faults["frames reordered"] += counts.reordered
        contacts = self.mission.contacts
        self.faults["contacts with losses in bursts"] += sum(0 < one.downlink.loss.bad_share < 1 for one in contacts)
        self.faults["contacts without uplink"] += sum(one.uplink is None for one in contacts)
        self.faults["frames sent out of contact"] += self.world.frames_out_of_contact
        self.faults["layers evicted"] += self.invariants.evicted_layers
        self.faults["layers lost to flipped bits"] += self.invariants.lost_layers
        self.faults["captures missed by the sensor"] += self.mission.captures_missed
        self.faults["captures late from the detector"] += self.mission.captures_late
        return FlownMission(
            seed=self.mission.seed,
            log_hash=self.world.log_hash,
            mission_ms=self.world.now_ms - START_MS,
            contact_ms=sum(one.contact.duration_ms for one in contacts) - self._cut_off_ms,
            clean_contacts=self._clean_contacts,
            captured_bytes=self.mission.captured_bytes,
            sent_bytes=sum(log.sent_bytes for log in logs),
            faults={fault: self.faults[fault] for fault in FAULTS},
        )


def world_is_up(world: World, on_board: bool) -> bool:
    """Whether an end has been started by somebody else meanwhile."""
    return (world.onboard if on_board else world.ground).is_up


def _clean_contact(number: int, aos_ms: int, los_ms: int) -> PlannedContact:
    contact = Contact(
        contact_id=number,
        station="clean",
        aos_ms=aos_ms,
        los_ms=los_ms,
        downlink_bps=CLEAN_DOWNLINK_BPS,
        uplink_bps=CLEAN_UPLINK_BPS,
        one_way_delay_ms=CLEAN_DELAY_MS,
        frame_loss=0.0,
    )
    return PlannedContact(
        contact=contact,
        downlink=ChannelSettings(rate_bps=CLEAN_DOWNLINK_BPS, delay_ms=CLEAN_DELAY_MS),
        uplink=ChannelSettings(rate_bps=CLEAN_UPLINK_BPS, delay_ms=CLEAN_DELAY_MS),
    )
