"""What others do to a seeded mission: damage that no check shows, frames from elsewhere, and attacks on the uplink."""

import binascii
from collections import Counter
from dataclasses import replace
from functools import partial

from downlink import link_events
from downlink.frame_security import ERROR_CONTROL_BYTES, PRIMARY_HEADER_BYTES, SECURITY_HEADER
from downlink.transfer_frame import decode_transfer_frame, frame_is_intact
from mission.dice import Dice
from mission.errors import InvariantError
from mission.seeded_mission import SeededMission
from mission.simulation import World
from mission.strangers import Stranger
from mission.streams import Streams


class Interference:
    """Everybody who is not of the mission."""

    def __init__(self, mission: SeededMission, world: World, faults: Counter[str]) -> None:
        self._mission = mission
        self._world = world
        self._faults = faults
        self._uplink_recorded: list[bytes] = []
        self._numbers_used: set[tuple[int, int]] = set()
        self._attacker = Dice(Streams(mission.seed).generator("attacker"))
        self._misreading = Dice(Streams(mission.seed).generator("misreading"))

    def begin(self) -> None:
        """From now on."""
        world, mission = self._world, self._mission
        if mission.misread:
            world.as_received = self._misread
        world.as_sent_up = self._watch_uplink
        world.as_heard_on_board = self._record_uplink
        for at_ms in mission.attacks_ms:
            world.schedule(at_ms, self._attack)
        for stranger in mission.strangers:
            world.schedule(stranger.at_ms, partial(self._hear_stranger, stranger))

    def end(self) -> None:
        """Nothing is misread any more."""
        self._world.as_received = lambda frame: frame

    def _misread(self, frame: bytes) -> bytes:
        """Now and then, other bytes in the packet zone, and a check that agrees with them."""
        if not self._misreading.chance(self._mission.misread) or not frame_is_intact(frame):
            return frame
        self._faults["frames misread"] += 1
        read = decode_transfer_frame(frame)
        zone = bytearray(read.packet_zone)
        for _ in range(self._misreading.whole(1, 8)):
            zone[self._misreading.whole(0, len(zone) - 1)] ^= 1 << self._misreading.whole(0, 7)
        return replace(read, packet_zone=bytes(zone)).encode()

    def _watch_uplink(self, frame: bytes) -> None:
        """Two messages under one key and number give an attacker the means to make any other."""
        used = SECURITY_HEADER.unpack_from(frame, PRIMARY_HEADER_BYTES)
        if used in self._numbers_used:
            detail = f"number {used[1]} of key {used[0]} stands in two frames"
            raise InvariantError("no number is used twice under a key", detail, now_ms=self._world.now_ms)
        self._numbers_used.add(used)

    def _record_uplink(self, frame: bytes) -> None:
        """Somebody writes down what goes up. A frame that the satellite could not accept then may be new to it later: not of use here."""
        if not self._world.computer.gate.counts.unsaved:
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
            if self._hear(Stranger(at_ms=self._world.now_ms, on_board=True, frame=heard)):
                self._faults[kind] += 1

    def _hear_stranger(self, stranger: Stranger) -> None:
        self._hear(stranger)

    def _hear(self, stranger: Stranger) -> bool:
        """Whether the end was there to hear it."""
        world = self._world
        if not (world.onboard if stranger.on_board else world.ground).is_up:
            return False
        self._faults["strangers heard"] += 1
        before = self._state()
        event = link_events.FrameHeard(frame=stranger.frame)
        answer = world.ask_computer(event) if stranger.on_board else world.ask_station(event)
        if answer or self._state() != before:
            detail = (
                f"{len(stranger.frame)} bytes {stranger.frame[:16].hex()}: {before} became {self._state()}, {answer}"
            )
            raise InvariantError("a stranger's frame changes nothing", detail, now_ms=world.now_ms)
        return True

    def _state(self) -> tuple[int, ...]:
        """What a stranger must not change, in numbers."""
        computer, station = self._world.computer, self._world.station
        store, gate = computer.store, computer.gate
        onboard = (len(store.delivered), store.queued_bytes, computer.open_files, computer.link_queue_bytes)
        ground = (len(station.store), station.open_files, station.held_bytes)
        return (*onboard, gate.counts.accepted, gate.last_number, *ground)
