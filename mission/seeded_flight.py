"""Flies one seeded mission: first with everything that goes wrong, then over clean contacts until nothing is owed."""

import binascii
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from downlink import link_events
from downlink.command import Order
from downlink.contact import Contact
from downlink.frame_security import ERROR_CONTROL_BYTES
from downlink.transfer_frame import decode_transfer_frame, frame_is_intact
from ground import link_events as ground_events
from ground.station import GroundStation
from mission.channel import ChannelSettings
from mission.contacts import PlannedContact
from mission.dice import Dice
from mission.errors import InvariantError, PowerLost
from mission.event_log import EventRecorder
from mission.incarnation import Incarnation
from mission.invariants import Invariants
from mission.link_ends import EndJournals, LinkKeys, ground_station, onboard_computer
from mission.scenario_security import simulated_association
from mission.seeded_captures import Capture
from mission.seeded_mission import SeededMission
from mission.simulated_disk import SimulatedDisk
from mission.simulation import World
from mission.strangers import Stranger
from mission.streams import Streams
from onboard import link_events as onboard_events
from onboard.computer import OnboardComputer

FAULTS = (
    "frames lost",
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
    "onboard reboots",
    "onboard power losses",
    "ground reboots",
    "ground snapshots",
    "ground power losses",
    "journals compacted",
    "layers evicted",
    "orders given",
)
"""Everything that a seeded mission may suffer."""
KEY_SEED = 0
KEYS = LinkKeys(associations=(simulated_association(KEY_SEED),), reboot_lockout_ms=200)
"""A short lockout: the contacts of these missions are short."""
CLEAN_DOWNLINK_BPS = 512_000
CLEAN_UPLINK_BPS = 64_000
CLEAN_DELAY_MS = 20
CLEAN_GAP_MS = 60_000
SETTLING_CONTACTS = 3
"""Clean contacts beside those that what is owed fills: for time-outs that had grown long, and for the last acknowledgements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlownMission:
    """What became of one seeded mission."""

    seed: int
    """Of every random stream."""
    log_hash: str
    """SHA-256 over everything that happened."""
    link_ms: int
    """Time in contact with faults; the clean contacts at the end, idle for the most part, are not counted."""
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
        self._onboard_recorder = None if record_in is None else EventRecorder(record_in / "onboard.log")
        self._ground_recorder = None if record_in is None else EventRecorder(record_in / "ground.log")
        self.faults: Counter[str] = Counter()
        """How often each of FAULTS has happened."""
        self._onboard_disk, self._ground_disk = SimulatedDisk(), SimulatedDisk()
        self._uplink_disk, self._command_disk = SimulatedDisk(), SimulatedDisk()
        self._onboard_journals = EndJournals(layers=self._onboard_disk, commands=self._uplink_disk)
        self._ground_journals = EndJournals(layers=self._ground_disk, commands=self._command_disk)
        self._onboard_power = list(mission.onboard_power_bytes)
        self._uplink_power = list(mission.uplink_power_bytes)
        self._ground_power = list(mission.ground_power_bytes)
        self._ground_snapshot: bytes | None = None
        self._uplink_recorded: list[bytes] = []
        self._attacker = Dice(Streams(mission.seed).generator("attacker"))
        self._misreading = Dice(Streams(mission.seed).generator("misreading"))
        self.world = World(self._computer(), self._station(), mission.contacts, Streams(mission.seed))
        self.world.onboard_recorder, self.world.ground_recorder = self._onboard_recorder, self._ground_recorder
        self.invariants = Invariants(self.world, capacity_bytes=mission.capacity_bytes)
        self._capturing: Capture | None = None
        self._cut_off_ms = 0

    def fly(self) -> FlownMission:
        """Raises InvariantError when a promise is broken, or when a core raises anything at all."""
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
        if mission.misread:
            world.as_received = self._misread
        for capture in mission.captures:
            world.schedule(capture.at_ms, lambda c=capture: self._capture(c))  # type: ignore[misc]
        for at_ms in mission.cuts_ms:
            world.schedule(at_ms, self._cut)
        for at_ms in mission.onboard_reboots_ms:
            world.schedule(at_ms, self._reboot_onboard)
        for at_ms in mission.ground_reboots_ms:
            world.schedule(at_ms, self._reboot_ground)
        for at_ms in mission.ground_snapshots_ms:
            world.schedule(at_ms, self._save_ground)
        for at_ms in mission.compactions_ms:
            world.schedule(at_ms, self._compact)
        for at_ms, order in mission.orders:
            world.schedule(at_ms, lambda o=order: self._give(o))  # type: ignore[misc]
        world.as_heard_on_board = self._record_uplink
        for at_ms in mission.attacks_ms:
            world.schedule(at_ms, self._attack)
        for stranger in mission.strangers:
            world.schedule(stranger.at_ms, lambda s=stranger: self._hear_stranger(s))  # type: ignore[misc]
        self._power(self._onboard_disk, self._onboard_power)
        self._power(self._uplink_disk, self._uplink_power)
        self._power(self._ground_disk, self._ground_power)

    def _run(self) -> None:
        """Until nothing is left to happen, through every loss of power."""
        while self.world.events_waiting:
            try:
                self.world.run()
            except PowerLost as lost:
                self._restart_after(lost)
                self.invariants.check()

    def _capture(self, capture: Capture) -> None:
        if self._capturing is None:
            self.invariants.expect(capture.layers)
        self._capturing = capture
        self.world.tell_computer(onboard_events.LayersCaptured(layers=capture.layers))
        self._capturing = None

    def _cut(self) -> None:
        contact = self.world.contact
        if contact is not None:
            self.faults["contacts cut"] += 1
            self.faults["files open when a contact was cut"] += self.world.computer.open_files
            self._cut_off_ms += contact.los_ms - self.world.now_ms
            self.world.cut_contact()

    def _compact(self) -> None:
        self.faults["journals compacted"] += 1
        self.world.computer.store.compact()

    def _misread(self, frame: bytes) -> bytes:
        """Now and then, other bytes in the packet zone, and a check that agrees with them."""
        if not self._misreading.chance(self.mission.misread) or not frame_is_intact(frame):
            return frame
        self.faults["frames misread"] += 1
        read = decode_transfer_frame(frame)
        zone = bytearray(read.packet_zone)
        for _ in range(self._misreading.whole(1, 8)):
            zone[self._misreading.whole(0, len(zone) - 1)] ^= 1 << self._misreading.whole(0, 7)
        return replace(read, packet_zone=bytes(zone)).encode()

    def _give(self, order: Order) -> None:
        self.faults["orders given"] += 1
        self.world.tell_station(ground_events.OrderGiven(order=order))

    def _record_uplink(self, frame: bytes) -> None:
        """Somebody writes down what goes up, to say it again."""
        self._uplink_recorded.append(frame)

    def _attack(self) -> None:
        """A frame that went up in earnest before, and one of the same words that somebody without the key has changed."""
        if not self._uplink_recorded:
            return
        frame = self._attacker.pick(self._uplink_recorded)
        changed = bytearray(frame[:-ERROR_CONTROL_BYTES])
        changed[self._attacker.whole(0, len(changed) - 1)] ^= 1 << self._attacker.whole(0, 7)
        forged = bytes(changed) + binascii.crc_hqx(changed, 0xFFFF).to_bytes(ERROR_CONTROL_BYTES, "big")
        for kind, heard in (("uplink frames replayed", frame), ("uplink frames forged", forged)):
            self.faults[kind] += 1
            self._hear_stranger(Stranger(at_ms=self.world.now_ms, on_board=True, frame=heard))

    def _hear_stranger(self, stranger: Stranger) -> None:
        self.faults["strangers heard"] += 1
        before = self._state()
        if stranger.on_board:
            answer: object = self.world.ask_computer(link_events.FrameHeard(frame=stranger.frame))
        else:
            answer = self.world.ask_station(link_events.FrameHeard(frame=stranger.frame))
        if answer or self._state() != before:
            detail = (
                f"{len(stranger.frame)} bytes {stranger.frame[:16].hex()}: {before} became {self._state()}, {answer}"
            )
            raise InvariantError("a stranger's frame changes nothing", detail, now_ms=self.world.now_ms)

    def _state(self) -> tuple[int, ...]:
        """What a stranger must not change, in numbers."""
        computer, station = self.world.computer, self.world.station
        accepted = computer.gate.counts.accepted
        onboard = (self._onboard_disk.size_bytes, computer.open_files, computer.link_queue_bytes, accepted)
        ground = (self._ground_disk.size_bytes, station.open_files, station.held_bytes)
        return onboard + ground

    # ---- starting again

    def _computer(self) -> OnboardComputer:
        expected = [planned.contact for planned in self.mission.contacts]
        journals = self._onboard_journals
        if self._onboard_recorder is not None:
            incarnation = Incarnation(
                end="onboard",
                profile=self.mission.profile,
                capacity_bytes=self.mission.capacity_bytes,
                expected_contacts=tuple(expected),
                key_seed=KEY_SEED,
            )
            journals = self._onboard_recorder.begin(incarnation, journals, KEYS)
        return onboard_computer(
            self.mission.profile,
            capacity_bytes=self.mission.capacity_bytes,
            journals=journals,
            keys=KEYS,
            expected_contacts=expected,
        )

    def _station(self) -> GroundStation:
        now_ms = self.world.now_ms if self._ground_snapshot else 0
        journals = self._ground_journals
        if self._ground_recorder is not None:
            incarnation = Incarnation(
                end="ground",
                profile=self.mission.profile,
                snapshot=self._ground_snapshot,
                now_ms=now_ms,
                key_seed=KEY_SEED,
            )
            journals = self._ground_recorder.begin(incarnation, journals, KEYS)
        return ground_station(
            self.mission.profile,
            journals=journals,
            keys=KEYS,
            snapshot=self._ground_snapshot,
            now_ms=now_ms,
        )

    def _save_ground(self) -> None:
        self.faults["ground snapshots"] += 1
        self._ground_snapshot = self.world.station.snapshot(self.world.now_ms)

    def _reboot_onboard(self) -> None:
        self.faults["onboard reboots"] += 1
        self.world.replace_computer(self._computer())

    def _reboot_ground(self) -> None:
        self.faults["ground reboots"] += 1
        self.world.replace_station(self._station())

    def _restart_after(self, lost: PowerLost) -> None:
        """Bring the end up again that lost power. A capture that it broke off is offered again, as the sensor would."""
        if lost.disk is self._ground_disk:
            self.faults["ground power losses"] += 1
            self._ground_disk.restart()
            self.world.replace_station(self._station())
            self._power(self._ground_disk, self._ground_power)
            return
        self.faults["onboard power losses"] += 1
        self._onboard_disk.restart()
        self._uplink_disk.restart()
        self.world.replace_computer(self._computer())
        if self._capturing is not None:
            self._capture(self._capturing)
        self._power(self._onboard_disk, self._onboard_power)
        self._power(self._uplink_disk, self._uplink_power)

    @staticmethod
    def _power(disk: SimulatedDisk, losses: list[int]) -> None:
        if losses:
            disk.lose_power_after(losses.pop(0))

    # ---- the end

    def _settle(self) -> None:
        """Faults off: as many clean contacts as what is owed can need."""
        for disk in (self._onboard_disk, self._uplink_disk, self._ground_disk):
            disk.restart()
        self.world.as_received = lambda frame: frame
        profile = self.mission.profile
        duration_ms = 20_000 + 20 * max(profile.ack_timeout_ms, profile.nak_timeout_ms, profile.express_repeat_ms)
        carried_bytes = CLEAN_DOWNLINK_BPS * duration_ms // 8000
        owed_bytes = self.world.computer.store.queued_bytes
        contacts = SETTLING_CONTACTS + -(-4 * owed_bytes // carried_bytes)
        aos_ms = self.world.now_ms + CLEAN_GAP_MS
        for number in range(contacts):
            clean = _clean_contact(len(self.mission.contacts) + number, aos_ms, aos_ms + duration_ms)
            self.world.add_contact(clean)
            aos_ms += duration_ms + CLEAN_GAP_MS
        self._run()
        self.invariants.check_settled()

    def _flown(self) -> FlownMission:
        logs = self.world.contact_logs
        for counts in [log.downlink for log in logs] + [log.uplink for log in logs]:
            self.faults["frames lost"] += counts.lost
            self.faults["frames corrupted"] += counts.corrupted
            self.faults["frames duplicated"] += counts.duplicated
            self.faults["frames reordered"] += counts.reordered
        self.faults["contacts without uplink"] += sum(one.uplink is None for one in self.mission.contacts)
        self.faults["layers evicted"] += self.invariants.evicted_layers
        return FlownMission(
            seed=self.mission.seed,
            log_hash=self.world.log_hash,
            link_ms=sum(one.contact.duration_ms for one in self.mission.contacts) - self._cut_off_ms,
            captured_bytes=self.mission.captured_bytes,
            sent_bytes=sum(log.sent_bytes for log in logs),
            faults={fault: self.faults[fault] for fault in FAULTS},
        )


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
