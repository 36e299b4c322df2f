"""Fuzz targets of the uplink: commands, authentication, replay, the gate on board, the desk on the ground."""

from collections.abc import Iterable

from downlink.command import (
    CancelRequest,
    Command,
    DropScene,
    ForgetReferences,
    Order,
    ReportLink,
    RequestLayers,
    UploadContacts,
    decode_command,
    encode_command,
)
from downlink.command_report import CommandReport, UplinkCounts
from downlink.contact import Contact
from downlink.errors import CommandError, JournalError
from downlink.frame_assembler import FrameAssembler
from downlink.frame_reader import FrameVerdict
from downlink.frame_security import (
    MAX_NUMBER,
    SECURITY_BYTES,
    AuthenticFrame,
    FrameProtector,
    FrameVerifier,
    SecurityAssociation,
)
from downlink.journal import MemoryJournal
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.record import Record
from downlink.replay_window import REMEMBERED_NUMBERS, ReplayWindow
from downlink.requests import LayerRequest
from ground.command_desk import OUTSTANDING_LIMIT, CommandDesk
from ground.errors import CommandDeskError
from onboard.command_gate import CommandGate
from tests.fuzz.contract import Target, require, value_or_refusal, with_crc16
from tests.fuzz.footprint import footprint_bytes
from tests.fuzz.tape import Tape

PROFILE = LinkProfile()
KEYS = (SecurityAssociation(spi=7, key=bytes(range(32))), SecurityAssociation(spi=0x1234, key=bytes(range(100, 132))))
OPEN_FRAME_BYTES = PROFILE.uplink_frame_bytes - SECURITY_BYTES
NOW_MS = 1_750_000_000_123
STEPS_LIMIT = 300
GATE_FOOTPRINT_LIMIT_BYTES = 500_000
"""64 open commands of at most 1 KiB as objects, an unfinished packet, the windows and the counts of 512 frames."""


class FullDisk(MemoryJournal):
    """A journal that cannot be written while `full`."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False

    def append(self, records: Iterable[Record]) -> tuple[int, ...]:
        if self.full:
            raise JournalError("no room on the disk")
        return super().append(records)

    def replace(self, records: Iterable[Record]) -> tuple[int, ...]:
        if self.full:
            raise JournalError("no room on the disk")
        return super().replace(records)


def command(data: bytes) -> None:
    """A command or CommandError; what is decoded encodes to the same bytes."""
    # With version and a kind that is known, so that the fuzzer is quickly inside.
    for encoded in (data, b"\x01" + bytes([1 + data[0] % 5]) + data[1:] if data else b"\x01"):
        decoded = value_or_refusal(CommandError, decode_command, encoded)
        if decoded is not None:
            require(encode_command(decoded) == encoded, f"{decoded} changes on the way")


def frame_security(data: bytes) -> None:
    """Nothing but an untouched frame of a key's holder is authentic, whatever the check value says."""
    tape = Tape(data)
    verifier = FrameVerifier(
        KEYS,
        spacecraft_id=PROFILE.spacecraft_id,
        frame_bytes=PROFILE.uplink_frame_bytes,
        vc_ids=(VirtualChannel.COMMANDS,),
    )
    sound = _authentic_frames()[tape.below(3)]
    forged = bytearray(sound)
    for _ in range(tape.below(6)):
        forged[tape.below(len(forged))] ^= tape.byte()
    sealed = with_crc16(bytes(forged[:-2]))
    for frame in (
        bytes(forged),
        sealed,
        tape.rest(),
        with_crc16(data[: PROFILE.uplink_frame_bytes - 2]),
        sealed[: tape.below(257)],
    ):
        verdict = verifier.verify(frame)
        authentic = isinstance(verdict, AuthenticFrame)
        require(not authentic or frame in _authentic_frames(), f"forged frame {frame.hex()} is believed")
    require(isinstance(verifier.verify(sound), AuthenticFrame), "an authentic frame is refused")


def _authentic_frames() -> tuple[bytes, ...]:
    if not _FRAMES:
        for key in (*KEYS, KEYS[0]):
            uplink = FrameAssembler(PROFILE.spacecraft_id, VirtualChannel.COMMANDS, frame_bytes=OPEN_FRAME_BYTES)
            uplink.push(PacketSender().packet(Apid.COMMAND, encode_command(_some_commands()[len(_FRAMES)])))
            _FRAMES.append(FrameProtector(key).protect(uplink.next_frame(flush=True) or b"", NOW_MS + len(_FRAMES)))
    return tuple(_FRAMES)


_FRAMES: list[bytes] = []


def replay_window(data: bytes) -> None:
    """A number is accepted once, never at or below the floor, and the window stays small."""
    tape = Tape(data)
    window = ReplayWindow(tape.number(8) if tape.flag() else 0)
    accepted: set[int] = set()
    number = window.floor
    for _ in range(STEPS_LIMIT * 4):
        if not tape:
            break
        move = tape.byte()
        number = tape.number(8) if move >= 0xF0 else number + (move - 0x60) * tape.pick((1, 3, 256, 100_000))
        number = min(max(number, 0), MAX_NUMBER)
        if window.is_new(number):
            require(number not in accepted, f"number {number} is new twice")
            require(number > window.floor, f"number {number} is new at a floor of {window.floor}")
            accepted.add(number)
            window.accept(number)
            require(not window.is_new(number), f"number {number} stays new")
    held = footprint_bytes(window)
    require(held <= 10_000, f"a window of {REMEMBERED_NUMBERS} numbers holds {held} bytes")


class _GateBench:
    """A gate, the ground that speaks to it, and everything that was ever on the air."""

    def __init__(self) -> None:
        self.journal = FullDisk()
        self.gate = CommandGate(PROFILE, KEYS, self.journal)
        self.protectors = [FrameProtector(key) for key in KEYS]
        self.packets = PacketSender()
        self.uplink = FrameAssembler(PROFILE.spacecraft_id, VirtualChannel.COMMANDS, frame_bytes=OPEN_FRAME_BYTES)
        self.on_the_air: list[bytes] = []
        self.read: set[bytes] = set()
        self.executed: list[int] = []
        self.now_ms = NOW_MS

    def say(self, apid: int, data: bytes, key: int) -> None:
        """One packet, in as many frames as it takes."""
        self.uplink.push(self.packets.packet(Apid(apid), data or b"\0"))
        while (open_frame := self.uplink.next_frame(flush=True)) is not None:
            frame = self.protectors[key].protect(open_frame, self.now_ms)
            self.on_the_air.append(frame)
            self.hear(frame)

    def hear(self, frame: bytes) -> None:
        reading = self.gate.hear(frame)
        if reading.refusal is None:
            require(frame in self.on_the_air, "a frame is read that nobody with the key has sent")
            require(frame not in self.read, "a frame is read twice")
            require(reading.verdict in FrameVerdict, "an authentic frame has no verdict")
            self.read.add(frame)
        require(reading.refusal is None or not (reading.packets or reading.orders), "a refused frame says something")
        numbered = [order for order in reading.orders if not isinstance(order, ReportLink)]
        if numbered:
            last = self.gate.last_number
            require(last > max(self.executed, default=0), f"command {last} is executed out of turn")
            self.executed.append(last)

    def reboot(self) -> None:
        last = self.gate.last_number
        self.gate = CommandGate(PROFILE, KEYS, self.journal)
        require(
            self.gate.last_number == last, f"after the reboot the last command is {self.gate.last_number}, not {last}"
        )

    def report(self) -> None:
        data = self.gate.next_report(self.now_ms)
        if data is not None:
            report = CommandReport.decode(data, KEYS)
            require(report.last_number == self.gate.last_number, "a report tells another number")


def command_gate(data: bytes) -> None:
    """Never raises; a frame is read once, also after reboots; a command is executed once and in order; memory is bounded."""
    tape, bench = Tape(data), _GateBench()
    for _ in range(STEPS_LIMIT):
        if not tape:
            break
        match tape.below(9):
            case 0:
                bench.say(
                    tape.pick((Apid.COMMAND, Apid.EXPRESS_RECEIPT, Apid.FILES_UP, Apid.EXPRESS)),
                    tape.chunk(1024),
                    tape.below(2),
                )
            case 1 | 2:
                number = tape.below(64) if tape.below(8) else tape.number(6)
                sent = value_or_refusal(
                    CommandError, Command, number=number, after=tape.below(64), order=order_from(tape)
                )
                if sent is not None:
                    bench.say(Apid.COMMAND, encode_command(sent), tape.below(2))
            case 3:
                if bench.on_the_air:
                    bench.hear(tape.pick(bench.on_the_air[-256:]))
            case 4:
                bench.hear(with_crc16(tape.take(PROFILE.uplink_frame_bytes - 2)))
            case 5:
                bench.journal.full = False
                bench.reboot()
            case 6:
                bench.now_ms += tape.below(0x10000)
            case 7:
                bench.journal.full = tape.flag()
            case _:
                bench.report()
    require(bench.gate.counts.accepted <= len(bench.on_the_air), "more frames are accepted than were sent")
    held = footprint_bytes(bench.gate, without=(bench.journal,))
    require(held <= GATE_FOOTPRINT_LIMIT_BYTES, f"the gate holds {held} bytes")
    bench.gate.orders.requests(bench.now_ms)
    bench.gate.orders.contacts(bench.now_ms)


def order_from(tape: Tape) -> Order:
    """Any order that can be said."""
    match tape.below(6):
        case 0:
            first = tape.number(2)
            request = LayerRequest(
                scene=tape.below(4), first_product=first, last_product=min(0xFFFF, first + tape.below(9)), last_step=tape.byte(),
                factor=1.0 + tape.below(99), until_ms=NOW_MS + tape.number(3),
            )  # fmt: skip
            return RequestLayers(request=request)
        case 1:
            return CancelRequest(request_number=1 + tape.below(64))
        case 2:
            return DropScene(scene=tape.below(4))
        case 3:
            from_ms = NOW_MS + tape.number(3)
            contacts = tuple(
                Contact(
                    contact_id=n, station="Awarua", aos_ms=from_ms + 1000 * n, los_ms=from_ms + 1000 * n + 1 + tape.number(2),
                    downlink_bps=1_000_000, uplink_bps=64_000, one_way_delay_ms=20, frame_loss=0.125,
                )
                for n in range(tape.below(6))
            )  # fmt: skip
            return UploadContacts(from_ms=from_ms, until_ms=from_ms + 10_000, contacts=contacts)
        case 4:
            return ForgetReferences(scene=(None, tape.below(4))[tape.below(2)])
        case _:
            lost = tape.number(2)
            bursts = min(lost, 1 + tape.number(1))
            return ReportLink(contact_id=tape.byte(), frames_heard=tape.number(2), frames_lost=lost, bursts=bursts)


def command_desk(data: bytes) -> None:
    """Never raises on what it hears; an order is closed only by a report of the satellite or by its own end."""
    tape, journal, now_ms = Tape(data), MemoryJournal(), NOW_MS
    desk = CommandDesk(KEYS, journal)
    issued: list[int] = []
    reported, expired = 0, 0
    for _ in range(STEPS_LIMIT):
        if not tape:
            break
        match tape.below(7):
            case 0:
                number = value_or_refusal((CommandError, CommandDeskError), desk.issue, order_from(tape), now_ms)
                issued += [] if number is None else [number]
            case 1:
                require(
                    desk.take_report(tape.chunk(64)) is None, "a report is believed that nobody with the key has sent"
                )
            case 2:
                reported = max(reported, (*issued, 0)[tape.below(len(issued) + 1)] + tape.below(3) - 1)
                report = CommandReport(last_number=max(0, reported), counts=UplinkCounts(forged=tape.byte()))
                require(desk.take_report(report.encode(KEYS[tape.below(2)])) == report, "a true report is refused")
            case 3:
                now_ms += tape.number(2)
            case 4:
                payload = desk.next_payload(now_ms)
                require(payload is None or decode_command(payload) is not None, "the desk says something unreadable")
            case 5:
                expired += desk.expired_orders
                desk = CommandDesk(KEYS, journal)
            case _:
                desk.start_contact()
        require(len(desk.outstanding) <= OUTSTANDING_LIMIT, f"{len(desk.outstanding)} commands are outstanding")
        late = len(issued) - len(desk.outstanding) - expired - desk.expired_orders
        require(reported > 0 or late == 0, f"{late} orders are closed, says nobody")
    desk.next_due_ms()


def _some_commands() -> list[Command]:
    contact = Contact(
        contact_id=3, station="Awarua", aos_ms=NOW_MS, los_ms=NOW_MS + 600_000, downlink_bps=1_000_000, uplink_bps=64_000,
        one_way_delay_ms=20, frame_loss=0.125,
    )  # fmt: skip
    request = LayerRequest(
        scene=0x01020304, first_product=5, last_product=0x8003, last_step=7, factor=12.5, until_ms=NOW_MS
    )
    orders: list[Order] = [
        RequestLayers(request=request), CancelRequest(request_number=0x123456), DropScene(scene=0xCAFE),
        ForgetReferences(scene=0xBEEF), ForgetReferences(scene=None),
        UploadContacts(from_ms=NOW_MS - 5, until_ms=NOW_MS + 9, contacts=(contact,)),
    ]  # fmt: skip
    numbered = [Command(number=0x0102030405 + n, after=0x33 * n, order=order) for n, order in enumerate(orders)]
    link = ReportLink(contact_id=9, frames_heard=1000, frames_lost=17, bursts=6)
    return [*numbered, Command(number=0, after=0, order=link)]


def _command_seeds() -> list[bytes]:
    encoded = [encode_command(one) for one in _some_commands()]
    # Without version the target puts the kind in front that the first byte stands for.
    return encoded + [bytes([one[1] - 1]) + one[2:] for one in encoded]


def _gate_seeds() -> list[bytes]:
    order, drop = b"\x01\x05\x01\x00\x02\x01\x00", b"\x02\x07\x01\x03\x02\x02\x01"
    receipt = b"\x00\x01\x08\x01\x01\x02\x03\x04\xff\xff\x05\x01"
    replay, reboot, wait, report = b"\x03\x00", b"\x05", b"\x06\x20\x00", b"\x08"
    contacts = b"\x01\x09\x01\x00\x03\x00\x01\x00\x03\x00\x50\x00\x60\x00\x70\x00"
    return [
        order + drop + report + replay + reboot + replay + wait + order + report, receipt + contacts + report,
        b"\x07\x01" + order + b"\x07\x00" + wait + order + replay, b"\x04" + bytes(range(254)) + order + reboot + wait + receipt,
    ]  # fmt: skip


def _desk_seeds() -> list[bytes]:
    issue = b"\x00\x02\x01" + b"\x00\x00\x00\x05\x03\x07\x01\x00\x10\x00" + b"\x00\x01\x05"
    report = b"\x02\x00\x01\x09\x01"
    return [
        issue + b"\x04\x04" + report + b"\x05" + b"\x04" + report,
        issue + b"\x03\xff\xff\x04" * 20,
        b"\x01\x27\x01" + bytes(range(38)) + issue,
    ]


TARGETS = {
    "command": Target(run=command, seeds=_command_seeds, longest=1100),
    "frame_security": Target(
        run=frame_security, seeds=lambda: [b"", b"\x01\x02\x30\x01\x40\x80", *_authentic_frames()], longest=512
    ),
    "replay_window": Target(
        run=replay_window, seeds=lambda: [b"\x00" + bytes(range(0x50, 0xA0)), b"\x01" + bytes(range(9, 60))]
    ),
    "command_gate": Target(run=command_gate, seeds=_gate_seeds, share=3),
    "command_desk": Target(run=command_desk, seeds=_desk_seeds, share=2),
}
