"""Fuzz targets of one end of the link alone: a satellite under a ground that lies, a ground under a sky that lies."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from downlink.cfdp_decoding import decode_pdu
from downlink.cfdp_pdu import Finished
from downlink.command import Command, ReportLink, decode_command, encode_command
from downlink.errors import CfdpPduError, RecordError
from downlink.express import decode_receipt, encode_receipts
from downlink.frame_assembler import FrameAssembler
from downlink.frame_reader import FrameReader
from downlink.frame_security import SECURITY_BYTES, AuthenticFrame, FrameProtector, FrameVerifier
from downlink.link_events import ContactEnded, ContactStarted, FrameHeard, TransmitFrame, TransmitterReady
from downlink.link_profile import Apid, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.products import LayerAddress
from downlink.record import Record, RecordKind, encode_record
from downlink.space_packet import SpacePacket
from downlink.transfer_frame import TransferFrame
from ground.station import GroundStation
from ground.store import LARGEST_FILE_NUMBER
from mission.link_ends import EndJournals, ground_station, onboard_computer
from onboard.computer import OnboardComputer
from onboard.link_events import Event, LayersCaptured, LayersDelivered
from onboard.valuation import ValuedLayer
from tests.fuzz.contract import Target, require, value_or_refusal, with_crc16
from tests.fuzz.footprint import footprint_bytes
from tests.fuzz.link_tape import (
    CAPACITY_BYTES,
    LAYERS_LIMIT,
    LINK_KEYS,
    PROFILE,
    address_from,
    captured_from,
    contact_from,
)
from tests.fuzz.pdu_tape import pdu_bytes_from
from tests.fuzz.tape import Tape
from tests.fuzz.uplink_targets import KEYS, NOW_MS, order_from

STEPS_LIMIT = 160
FOOTPRINT_LIMIT_BYTES = 900_000
"""Either end without what it has stored: buffers of both machines, 64 open commands, waiting answers."""


@dataclass(slots=True)
class _Liar:
    """Whoever speaks to an end from the other side: sound frames with any packets, frames with any fields, noise."""

    vc_ids: tuple[int, ...]
    frame_bytes: int
    packets: PacketSender = field(default_factory=PacketSender)
    channels: dict[int, FrameAssembler] = field(default_factory=dict)

    def say(self, tape: Tape, apid: int, data: bytes) -> list[bytes]:
        """A packet in as many frames as it takes."""
        vc_id = tape.pick(self.vc_ids)
        channel = self.channels.setdefault(
            vc_id, FrameAssembler(PROFILE.spacecraft_id, vc_id, frame_bytes=self.frame_bytes)
        )
        channel.push(self.packets.packet(Apid(apid), data or b"\0"))
        return list(iter(lambda: channel.next_frame(flush=True), None))

    def frame(self, tape: Tape) -> bytes:
        """A frame of any fields."""
        zone = tape.chunk(self.frame_bytes - 10).ljust(self.frame_bytes - 10, b"\x01")
        return TransferFrame(
            spacecraft_id=PROFILE.spacecraft_id, vc_id=tape.pick(self.vc_ids), frame_count=tape.number(4) % (1 << 28),
            first_header_pointer=tape.pick((0, tape.below(256), 0x7FF, 0x7FE)), packet_zone=zone,
        ).encode()  # fmt: skip


class _Listener:
    """Hears what a station says, and checks that it claims nothing that is not so."""

    def __init__(self) -> None:
        channels = (VirtualChannel.COMMANDS,)
        self.verifier = FrameVerifier(
            KEYS, spacecraft_id=PROFILE.spacecraft_id, frame_bytes=PROFILE.uplink_frame_bytes, vc_ids=channels
        )
        self.reader = FrameReader(PROFILE.spacecraft_id, frame_bytes=PROFILE.uplink_frame_bytes - SECURITY_BYTES)

    def hear(self, station: GroundStation, actions: Sequence[object]) -> None:
        for action in actions:
            if isinstance(action, TransmitFrame):
                verified = self.verifier.verify(action.frame)
                require(isinstance(verified, AuthenticFrame), "a station sends a frame that its satellite refuses")
                for packet in self.reader.feed(verified.open_frame).packets:
                    self._check(station, packet)

    def _check(self, station: GroundStation, packet: SpacePacket) -> None:
        if packet.apid == Apid.EXPRESS_RECEIPT:
            missing = [address for address in decode_receipt(packet.data) if not station.store.holds(address)]
            require(not missing, f"a receipt names {missing}, which the ground does not have")
        elif packet.apid == Apid.FILES_UP:
            pdu = decode_pdu(packet.data)
            if isinstance(pdu, Finished) and pdu.complete and pdu.header.transaction_seq <= LARGEST_FILE_NUMBER:
                number = pdu.header.transaction_seq
                known = {file.number for file in station.store.completed_files}
                require(number in known, f"file {number} is called complete and is not")
        else:
            decode_command(packet.data)


class _Satellite:
    """A computer under a ground with the key, and which layers that ground has said it has."""

    def __init__(self) -> None:
        self.journals = EndJournals()
        self.computer = self._new_computer()
        self.liar = _Liar(vc_ids=(VirtualChannel.COMMANDS,), frame_bytes=PROFILE.uplink_frame_bytes - SECURITY_BYTES)
        self.protector = FrameProtector(KEYS[0])
        self.captured: set[LayerAddress] = set()
        self.confirmed: set[LayerAddress] = set()
        self.now_ms = NOW_MS

    def _new_computer(self) -> OnboardComputer:
        return onboard_computer(PROFILE, capacity_bytes=CAPACITY_BYTES, journals=self.journals, keys=LINK_KEYS)

    def reboot(self) -> None:
        self.computer = self._new_computer()

    def capture(self, layers: Sequence[ValuedLayer]) -> None:
        if len(self.captured) < LAYERS_LIMIT:
            self.captured.update(one.layer.address for one in layers)
            self.tell(LayersCaptured(layers=layers))

    def hear(self, tape: Tape, apid: Apid, data: bytes) -> None:
        """A packet of the ground, in authentic frames."""
        if apid == Apid.EXPRESS_RECEIPT:
            self.confirmed.update(value_or_refusal(RecordError, decode_receipt, data) or ())
        pdu = value_or_refusal(CfdpPduError, decode_pdu, data) if apid == Apid.FILES_UP else None
        if isinstance(pdu, Finished) and pdu.complete and not pdu.condition:
            self.confirmed.update(self.computer.store.files.get(pdu.header.transaction_seq, ()))
        for frame in self.liar.say(tape, apid, data):
            self.hear_open(frame)

    def hear_open(self, frame: bytes) -> None:
        self.tell(FrameHeard(frame=self.protector.protect(frame, self.now_ms)))

    def tell(self, event: Event) -> None:
        for action in self.computer.handle(event, self.now_ms):
            if isinstance(action, LayersDelivered):
                require(self.captured.issuperset(action.addresses), "a layer is delivered that was never captured")
                require(self.confirmed.issuperset(action.addresses), "a layer is delivered, says nobody")


def onboard_computer_alone(data: bytes) -> None:
    """Never raises, whatever a ground says; delivered is what was captured and confirmed by a key's holder; the account balances."""
    tape, satellite = Tape(data), _Satellite()
    for _ in range(STEPS_LIMIT):
        if not tape:
            break
        match tape.below(13):
            case 0 | 1:
                satellite.capture(captured_from(tape))
            case 2:
                satellite.hear(tape, Apid.FILES_UP, pdu_bytes_from(tape, seq=tape.below(8)))
            case 3:
                (receipt,) = encode_receipts([address_from(tape) for _ in range(1 + tape.below(9))])
                satellite.hear(tape, Apid.EXPRESS_RECEIPT, receipt)
            case 4:
                satellite.hear(tape, tape.pick(tuple(Apid)), tape.chunk(300))
            case 5:
                # It may hold a packet that confirms anything.
                satellite.confirmed = satellite.captured
                satellite.hear_open(satellite.liar.frame(tape))
            case 6:
                satellite.tell(FrameHeard(frame=with_crc16(tape.chunk(120))))
            case 7 | 8:
                for _ in range(1 + tape.below(16)):
                    satellite.tell(TransmitterReady())
            case 9:
                satellite.now_ms += tape.number(2)
            case 10:
                satellite.tell(ContactStarted(contact=contact_from(tape)) if tape.below(3) else ContactEnded())
            case 12:
                order = order_from(tape)
                number = 0 if isinstance(order, ReportLink) else 1 + tape.below(64)
                satellite.hear(tape, Apid.COMMAND, encode_command(Command(number=number, after=0, order=order)))
            case _:
                satellite.reboot()
    require(satellite.computer.store.account().balanced, "the account does not balance")
    _check_footprint(satellite.computer, satellite.journals, (satellite.computer.store,))


def ground_station_alone(data: bytes) -> None:
    """Never raises, whatever comes from the sky; acknowledges only what it has; the memory for what is unfinished is bounded."""
    tape, now_ms, journals = Tape(data), NOW_MS, EndJournals()
    station = ground_station(PROFILE, journals=journals, keys=LINK_KEYS)
    listener = _Listener()
    liar = _Liar(
        vc_ids=(VirtualChannel.EXPRESS, VirtualChannel.FILES, VirtualChannel.ERASURE), frame_bytes=PROFILE.frame_bytes
    )
    for _ in range(STEPS_LIMIT):
        if not tape:
            break
        frames: list[bytes] = []
        match tape.below(11):
            case 0 | 1:
                frames = liar.say(
                    tape,
                    Apid.FILES_DOWN,
                    pdu_bytes_from(tape, seq=tape.number(tape.pick((1, 1, 1, 8))) & (1 << 64) - 1),
                )
            case 2:
                frames = liar.say(tape, Apid.FILES_DOWN, _segment_of_records(tape))
            case 3:
                frames = liar.say(tape, Apid.EXPRESS, _record_from(tape))
            case 4:
                frames = liar.say(tape, tape.pick(tuple(Apid)), tape.chunk(300))
            case 5:
                frames = [liar.frame(tape)]
            case 6:
                frames = [with_crc16(tape.chunk(PROFILE.frame_bytes))]
            case 7:
                for _ in range(1 + tape.below(16)):
                    listener.hear(station, station.handle(TransmitterReady(), now_ms))
            case 8:
                now_ms += tape.number(2)
            case 9:
                station.handle(ContactStarted(contact=contact_from(tape)) if tape.below(3) else ContactEnded(), now_ms)
            case _:
                snapshot = station.snapshot(now_ms) if tape.flag() else None
                station = ground_station(PROFILE, journals=journals, keys=LINK_KEYS, snapshot=snapshot, now_ms=now_ms)
        for frame in frames:
            station.handle(FrameHeard(frame=frame), now_ms)
    _check_footprint(station, journals, (station.store, station.desk))


def _record_from(tape: Tape) -> bytes:
    kind = tape.pick((RecordKind.LAYER, RecordKind.LAYER, *RecordKind))
    return encode_record(Record(kind=kind, address=address_from(tape), payload=tape.chunk(100)))


def _segment_of_records(tape: Tape) -> bytes:
    """A FileData PDU, as our satellite sends them, of a record at a small offset."""
    seq, record = tape.below(4), _record_from(tape)
    header = bytes([0x10, *(4 + len(record)).to_bytes(2, "big"), 0x02, 0x01]) + seq.to_bytes(3, "big") + b"\x02"
    return header + tape.below(300).to_bytes(4, "big") + record


def _check_footprint(end: OnboardComputer | GroundStation, journals: EndJournals, stored: tuple[object, ...]) -> None:
    held = footprint_bytes(end, without=(journals.layers, journals.commands, *stored))
    require(held <= FOOTPRINT_LIMIT_BYTES, f"{type(end).__name__} holds {held} bytes")


def _computer_seeds() -> list[bytes]:
    capture, contact, listen, send = (
        b"\x00\x01\x02\x01\x20\x05\x06\x00\x90\x07",
        b"\x0a\x01\x01\xff\xff\x40",
        b"\x0a\x01\x00\xff\xff\x40",
        b"\x07\x0f",
    )
    wait, end, reboot = b"\x09\x10\x00", b"\x0a\x00", b"\x0b"
    finished = b"\x02\x00\x00\x00\x03\x00\x01\x02\x00"
    nak = b"\x02\x00\x00\x00\x05\x01\x01\x02\x00\x00\x05\x00"
    receipt = b"\x03\x01\x02\x06\x00"
    return [
        capture + contact + send + nak + send + finished + send, capture + contact + send + receipt + wait + send + end + contact + send,
        capture + contact + send + reboot + contact + send + finished, capture + listen + send + end + contact + send + receipt,
        b"\x04\x03\x05\x01\x02\x03\x04\x05\x00" + b"\x05\x20" + bytes(range(32)) + b"\x00\x00\x00\x00\x05\x03\x09" + b"\x06\x0aabcdefghij",
    ]  # fmt: skip


def _station_seeds() -> list[bytes]:
    contact, answer, wait = b"\x09\x01\x01\xff\xff\x40", b"\x07\x0f", b"\x08\x20\x00"
    express = b"\x03\x00\x00\x08\x01\x02\x03\x04\x05\x06\x07\x08\x00"
    segment = b"\x02\x01\x00\x02\x05\x11\x22\x33\x44\x55\x00\x00\x01"
    metadata = b"\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01"
    wide = b"\x00\x03\x01\x02\x03\x04\x05\x06\x07\x08\x00\xe0\x00\x07\x00\x00"
    wide_file = wide + bytes(7) + wide + b"\x02" + bytes(7)
    jumps = b"".join(b"\x05\x00\x00" + (n * 0x07FFFFFF % (1 << 28)).to_bytes(4, "big") + b"\x00\x02" for n in range(40))
    return [
        contact + express + answer + segment + metadata + wait + answer, segment + b"\x0a\x01" + segment + b"\x0a\x00" + answer,
        contact + wide_file + answer, contact + jumps + wait + answer,
    ]  # fmt: skip


TARGETS = {
    "onboard_computer": Target(run=onboard_computer_alone, seeds=_computer_seeds, share=4),
    "ground_station": Target(run=ground_station_alone, seeds=_station_seeds, share=4),
}
