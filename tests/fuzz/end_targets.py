"""Fuzz targets of whole ends: a satellite under a ground that lies, a ground under a sky that lies, and both on a bad link."""

from dataclasses import dataclass, field

from downlink.contact import Contact
from downlink.errors import CommandError
from downlink.express import encode_receipts
from downlink.frame_assembler import FrameAssembler
from downlink.frame_security import SECURITY_BYTES, FrameProtector
from downlink.link_events import ContactEnded, ContactStarted, FrameHeard, TransmitFrame, TransmitterReady
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, FIRST_CHIP, SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from downlink.record import OVERHEAD_BYTES, Record, RecordKind, encode_record
from downlink.transfer_frame import TransferFrame
from ground.errors import CommandDeskError
from ground.station import GroundStation
from mission.link_ends import EndJournals, LinkKeys, ground_station, onboard_computer
from onboard.computer import OnboardComputer
from onboard.link_events import LayersCaptured, LayersDelivered
from onboard.valuation import ValuedLayer
from tests.fuzz.contract import Target, require, value_or_refusal, with_crc16
from tests.fuzz.footprint import footprint_bytes
from tests.fuzz.pdu_tape import pdu_bytes_from
from tests.fuzz.tape import Tape
from tests.fuzz.uplink_targets import KEYS, NOW_MS, order_from

PROFILE = LinkProfile(
    frame_bytes=200, uplink_frame_bytes=96, bundle_bytes=900, express_repeat_ms=100, ack_timeout_ms=200, nak_timeout_ms=100,
    silence_ms=5000,
)  # fmt: skip
LINK_KEYS = LinkKeys(associations=KEYS, reboot_lockout_ms=50)
PRODUCTS = (SUMMARY_PRODUCT, FIRST_BLOCK, FIRST_BLOCK + 1, FIRST_CHIP, FIRST_CHIP + 1, ALERTS_PRODUCT)
STEPS_LIMIT = 160
LAYERS_LIMIT = 24
CAPACITY_BYTES = 3000
CLEAR_ROUNDS = 400
"""Rounds of a perfect link after which nothing may be left to send: six waits, each at its longest, and every byte ten times."""
FOOTPRINT_LIMIT_BYTES = 900_000
"""Either end without what it has stored: buffers of both machines, 64 open commands, waiting answers."""


def layer_of(address: LayerAddress, size_bytes: int, density: float) -> ValuedLayer:
    """A layer whose payload is told by its address and its length."""
    seed = address.product * 31 + address.step * 7 + address.scene
    payload = bytes((seed + n * n) & 0xFF for n in range(size_bytes))
    layer = Layer(
        address=address, rung=Rung.REFINEMENT, size_bytes=size_bytes + OVERHEAD_BYTES, value=density * size_bytes + 1e-6,
        half_life_s=1e9, captured_ms=NOW_MS,
    )  # fmt: skip
    return ValuedLayer(layer=layer, payload=payload)


def address_from(tape: Tape) -> LayerAddress:
    """One of few addresses, so that those of receipts and layers meet."""
    place = tape.byte()
    return LayerAddress(scene=place & 1, product=PRODUCTS[(place >> 1) % len(PRODUCTS)], step=place >> 5 & 3)


def contact_from(tape: Tape) -> Contact:
    """A contact with a station that answers, or one that only listens."""
    kind = tape.byte()
    return Contact(
        contact_id=kind, station="Awarua", aos_ms=NOW_MS, los_ms=NOW_MS + 1 + tape.number(2), downlink_bps=8000 * (1 + tape.byte()),
        uplink_bps=64_000 * (kind & 1), one_way_delay_ms=20, frame_loss=(kind >> 1) / 128,
    )  # fmt: skip


def captured_from(tape: Tape) -> list[ValuedLayer]:
    """Up to four layers."""
    return [layer_of(address_from(tape), tape.below(600), tape.below(64) / 8) for _ in range(1 + tape.below(4))]


def frames_of(answer: list[object]) -> list[bytes]:
    """The frames that an end wants to be sent."""
    return [action.frame for action in answer if isinstance(action, TransmitFrame)]


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


def onboard_computer_alone(data: bytes) -> None:
    """Never raises, whatever a ground with the key or without says; delivers what was sent and captured; the account balances."""
    tape, now_ms, journals = Tape(data), NOW_MS, EndJournals()
    computer = onboard_computer(PROFILE, capacity_bytes=CAPACITY_BYTES, journals=journals, keys=LINK_KEYS)
    liar = _Liar(vc_ids=(VirtualChannel.COMMANDS,), frame_bytes=PROFILE.uplink_frame_bytes - SECURITY_BYTES)
    protector = FrameProtector(KEYS[0])
    captured: set[LayerAddress] = set()
    for _ in range(STEPS_LIMIT):
        if not tape:
            break
        answer: list[object] = []
        frames: list[bytes] = []
        match tape.below(12):
            case 0 | 1:
                layers = captured_from(tape) if len(captured) < LAYERS_LIMIT else []
                captured.update(one.layer.address for one in layers)
                answer += computer.handle(LayersCaptured(layers=layers), now_ms)
            case 2:
                frames = liar.say(tape, Apid.FILES_UP, pdu_bytes_from(tape, seq=tape.below(8)))
            case 3:
                (receipt,) = encode_receipts([address_from(tape) for _ in range(1 + tape.below(9))])
                frames = liar.say(tape, Apid.EXPRESS_RECEIPT, receipt)
            case 4:
                frames = liar.say(tape, tape.pick(tuple(Apid)), tape.chunk(300))
            case 5:
                frames = [liar.frame(tape)]
            case 6:
                answer += computer.handle(FrameHeard(frame=with_crc16(tape.chunk(120))), now_ms)
            case 7 | 8:
                for _ in range(1 + tape.below(16)):
                    answer += computer.handle(TransmitterReady(), now_ms)
            case 9:
                now_ms += tape.number(2)
            case 10:
                event = ContactStarted(contact=contact_from(tape)) if tape.below(3) else ContactEnded()
                answer += computer.handle(event, now_ms)
            case _:
                computer = onboard_computer(PROFILE, capacity_bytes=CAPACITY_BYTES, journals=journals, keys=LINK_KEYS)
        for frame in frames:
            answer += computer.handle(FrameHeard(frame=protector.protect(frame, now_ms)), now_ms)
        delivered = {
            address for action in answer if isinstance(action, LayersDelivered) for address in action.addresses
        }
        require(delivered <= captured, "a layer is delivered that was never captured")
    require(computer.store.account().balanced, "the account does not balance")
    _check_footprint(computer, journals, (computer.store,))


def ground_station_alone(data: bytes) -> None:
    """Never raises, whatever comes from the sky; what is stored came in a record; the memory for what is unfinished is bounded."""
    tape, now_ms, journals = Tape(data), NOW_MS, EndJournals()
    station = ground_station(PROFILE, journals=journals, keys=LINK_KEYS)
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
                    station.handle(TransmitterReady(), now_ms)
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


class _Link:
    """Both ends, the frames between them, and what was captured."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.onboard, self.ground = EndJournals(), EndJournals()
        self.computer = self._new_computer()
        self.station = ground_station(PROFILE, journals=self.ground, keys=LINK_KEYS)
        self.snapshot: bytes | None = None
        self.down: list[bytes] = []
        self.up: list[bytes] = []
        self.payloads: dict[LayerAddress, bytes] = {}

    def _new_computer(self) -> OnboardComputer:
        return onboard_computer(PROFILE, capacity_bytes=CAPACITY_BYTES, journals=self.onboard, keys=LINK_KEYS)

    def capture(self, layers: list[ValuedLayer]) -> None:
        fresh = [one for one in layers if one.layer.address not in self.payloads][: LAYERS_LIMIT - len(self.payloads)]
        for one in fresh:
            self.payloads.setdefault(one.layer.address, one.payload)
        self.computer.handle(LayersCaptured(layers=fresh), self.now_ms)

    def send(self, frames: int) -> bool:
        """Both ends send up to so many frames; whether either had any."""
        before = len(self.down) + len(self.up)
        for _ in range(frames):
            self.down += frames_of(self.tell_computer(TransmitterReady()))
            self.up += frames_of(self.station.handle(TransmitterReady(), self.now_ms))
        return len(self.down) + len(self.up) > before

    def arrive(self) -> None:
        """What is on the way arrives, first down, then up."""
        down, up, self.down, self.up = self.down, self.up, [], []
        for frame in down:
            self.station.handle(FrameHeard(frame=frame), self.now_ms)
        for frame in up:
            self.tell_computer(FrameHeard(frame=frame))

    def tell_computer(self, event: FrameHeard | TransmitterReady) -> list[object]:
        answer: list[object] = list(self.computer.handle(event, self.now_ms))
        for action in answer:
            if isinstance(action, LayersDelivered):
                self.check_held(action.addresses)
        return answer

    def check_held(self, addresses: tuple[LayerAddress, ...]) -> None:
        for address in addresses:
            require(
                self.station.store.holds(address), f"{address} is marked delivered, and the ground does not have it"
            )

    def disturb(self, tape: Tape) -> None:
        """Loses, repeats, delays or damages some frames on the way."""
        how, which = tape.below(8), tape.byte()
        frames = self.up if how & 4 else self.down
        touched = [n for n in range(len(frames)) if which >> n % 8 & 1]
        match how & 3:
            case 0:
                frames[:] = [frame for n, frame in enumerate(frames) if n not in touched]
            case 1:
                frames += [frames[n] for n in touched]
            case 2:
                frames[:] = [frame for n, frame in enumerate(frames) if n not in touched] + [frames[n] for n in touched]
            case _:
                for n in touched:
                    damaged = bytearray(frames[n])
                    damaged[which % len(damaged)] ^= 1 + which % 255
                    frames[n] = bytes(damaged)

    def contact(self, contact: Contact | None) -> None:
        event = ContactEnded() if contact is None else ContactStarted(contact=contact)
        self.computer.handle(event, self.now_ms)
        self.station.handle(event, self.now_ms)

    def reboot(self, which: int) -> None:
        if which & 1:
            self.computer = self._new_computer()
        if which & 2:
            self.snapshot = self.station.snapshot(self.now_ms)
        if which & 4:
            snapshot = self.snapshot if which & 8 else None
            self.station = ground_station(
                PROFILE, journals=self.ground, keys=LINK_KEYS, snapshot=snapshot, now_ms=self.now_ms
            )

    def check_stored(self) -> None:
        store = self.station.store
        for address in store.addresses:
            require(store.payload(address) == self.payloads.get(address), f"{address} is not what was captured")
        self.check_held(tuple(self.computer.store.delivered))
        require(self.computer.store.account().balanced, "the account does not balance")

    def settle(self) -> None:
        """A perfect link, for as long as either end has anything to say."""
        self.contact(None)
        self.now_ms += 1000
        good = Contact(
            contact_id=99, station="Awarua", aos_ms=self.now_ms, los_ms=self.now_ms + 10**7, downlink_bps=10**6, uplink_bps=10**5,
            one_way_delay_ms=1, frame_loss=0.0,
        )  # fmt: skip
        self.contact(good)
        for _ in range(CLEAR_ROUNDS):
            self.send(8)
            self.arrive()
            if not self.computer.store.backlog() and not self.computer.open_files:
                break
            self.now_ms += 50
        backlog = self.computer.store.backlog()
        require(not backlog, f"on a perfect link {[str(layer.address) for layer in backlog]} are not delivered")


def both_ends(data: bytes) -> None:
    """Whatever the link and reboots do: stored is what was captured, delivered is what is stored, and in the end all is delivered."""
    tape, link = Tape(data), _Link()
    for _ in range(STEPS_LIMIT):
        if not tape:
            break
        match tape.below(10):
            case 0:
                link.capture(captured_from(tape))
            case 1 | 2:
                link.send(1 + tape.below(16))
            case 3 | 4:
                link.arrive()
            case 5:
                link.disturb(tape)
            case 6:
                link.now_ms += 1 + tape.number(2) % 8000
            case 7:
                link.contact(contact_from(tape) if tape.below(4) else None)
            case 8:
                # The desk itself refuses link reports, and more orders than it keeps.
                value_or_refusal(
                    (CommandError, CommandDeskError), link.station.desk.issue, order_from(tape), link.now_ms
                )
            case _:
                link.reboot(tape.byte())
    link.check_stored()
    link.settle()
    link.check_stored()


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


def _both_seeds() -> list[bytes]:
    capture, more = (
        b"\x00\x03\x02\x00\x20\x05\x06\x00\x90\x07\x00\x00\x30\x09\x0a\x01\x10\x02",
        b"\x00\x01\x22\x00\x50\x05\x26\x00\x90\x03",
    )
    contact, listen, end = b"\x07\x01\x01\xff\xff\x40", b"\x07\x01\x00\xff\xff\x40", b"\x07\x00"
    send, arrive, wait = b"\x01\x0f", b"\x03", b"\x06\x01\x00"
    lose, twice, late, damage, lose_up = (
        b"\x05\x00\x24",
        b"\x05\x01\x11",
        b"\x05\x02\x05",
        b"\x05\x03\x40",
        b"\x05\x04\x55",
    )
    order = b"\x08\x02\x01"
    return [
        capture + contact + send + lose + arrive + wait + send + arrive + more + send + lose_up + arrive + wait + send + twice + arrive,
        capture + contact + send + arrive + b"\x09\x01" + contact + send + late + arrive + wait + send + damage + arrive,
        capture + listen + send + lose + arrive + send + arrive + end + more + contact + send + arrive + order + send + arrive,
        capture + contact + send + lose + arrive + b"\x09\x02" + send + arrive + b"\x09\x0c" + contact + wait + send + arrive,
        capture + contact + send + arrive + send + b"\x09\x04" + contact + send + lose_up + arrive + wait + send + arrive,
    ]  # fmt: skip


TARGETS = {
    "onboard_computer": Target(run=onboard_computer_alone, seeds=_computer_seeds),
    "ground_station": Target(run=ground_station_alone, seeds=_station_seeds),
    "both_ends": Target(run=both_ends, seeds=_both_seeds, longest=1024),
}
