"""Fuzz targets of the erasure code: packets, the decoder in another language, sender and receiver, snapshots."""

import binascii

from downlink.erasure_code import ObjectShape, decode_object, encode_symbols
from downlink.erasure_object import ErasureOffer, pack_objects, unpack_objects
from downlink.erasure_packet import HEADER, decode_symbol_packet
from downlink.erasure_receiver import ErasureLimits, ErasureReceiver
from downlink.erasure_sender import ErasureSender, ErasureSettings
from downlink.errors import ErasureCodeError, ErasurePacketError, ErasureSnapshotError
from downlink.frame_loss import LossBelief
from downlink.products import LayerAddress
from downlink.record import Record, RecordKind, encode_record
from tests.fuzz.contract import Target, require, value_or_refusal
from tests.fuzz.footprint import footprint_bytes
from tests.fuzz.tape import Tape

PACKET_BYTES = 75
LIMITS = ErasureLimits(open_objects=8, held_bytes=20_000, object_bytes=4096, remembered_objects=16)
FOOTPRINT_LIMIT_BYTES = 120_000
"""Symbols of `LIMITS`, and what they and 16 remembered objects cost as objects."""
STEPS_LIMIT = 250
SNAPSHOT_PREAMBLE_BYTES = 9
LAYER_BYTES = {LayerAddress(scene=7, product=1 + n, step=0): 20 + 61 * n for n in range(12)}


def symbol_packet(data: bytes) -> None:
    """A symbol packet or ErasurePacketError."""
    for packet in (data, b"\x01" + data):
        decoded = value_or_refusal(ErasurePacketError, decode_symbol_packet, packet)
        if decoded is not None:
            require(decoded.encode() == packet, f"{decoded} changes on the way")


def erasure_code(data: bytes) -> None:
    """An object, None or ErasureCodeError, and never the end of the process; sound symbols give their object or nothing."""
    tape = Tape(data)
    symbol_bytes = 8 * tape.below(5)
    content = tape.chunk(900)
    first, count = tape.number(3) if tape.below(8) == 7 else tape.below(40), tape.below(64)
    symbols = value_or_refusal(
        ErasureCodeError, encode_symbols, content, symbol_bytes, first=min(first, 20_000), count=count
    )
    if symbols is None:
        return
    shape = ObjectShape(object_bytes=len(content), symbol_bytes=symbol_bytes)
    held = {min(first, 20_000) + n: symbol for n, symbol in enumerate(symbols) if not tape.below(4)}
    found = value_or_refusal(ErasureCodeError, decode_object, shape, held)
    require(found is None or found == content, "sound symbols give another object")
    for _ in range(tape.below(8)):
        held[tape.number(3)] = tape.take(symbol_bytes + tape.below(16) // 15)
    value_or_refusal(ErasureCodeError, decode_object, shape, held)


class _Bench:
    """A sender of twelve layers, a receiver, and what lies between."""

    def __init__(self) -> None:
        self.records = {
            address: encode_record(
                Record(kind=RecordKind.LAYER, address=address, payload=bytes((address.product * 7 + n) & 0xFF for n in range(size)))
            )
            for address, size in LAYER_BYTES.items()
        }  # fmt: skip
        self.sender = self._new_sender()
        self.receiver = ErasureReceiver(LIMITS)
        self.on_the_way: list[bytes] = []
        self.honest = True

    def _new_sender(self) -> ErasureSender:
        return ErasureSender(
            self.records.__getitem__,
            packet_bytes=PACKET_BYTES,
            settings=ErasureSettings(open_objects=4, cached_bytes=4000),
        )

    def begin(self, tape: Tape) -> None:
        offers = [
            ErasureOffer(address=address, size_bytes=len(record), value=float(tape.byte()))
            for address, record in self.records.items()
            if tape.below(4)
        ]
        offers.sort(key=lambda offer: -offer.value / offer.size_bytes)
        belief = LossBelief(
            mean=(1 + tape.below(200)) / 220, weight_frames=1.0 + tape.byte(), correlation=tape.below(9) / 10
        )
        self.sender.begin(offers, belief, capacity_bytes=float(tape.number(2)))

    def hear(self, packet: bytes) -> None:
        for record in self.receiver.receive(packet).records:
            if self.honest:
                require(
                    encode_record(record) == self.records.get(record.address), f"{record.address} is not what was sent"
                )
        held = self.receiver.held_bytes
        require(0 <= held <= LIMITS.held_bytes, f"the receiver holds {held} bytes")
        require(self.receiver.open_objects <= LIMITS.open_objects, f"{self.receiver.open_objects} objects are open")

    def reboot(self) -> None:
        snapshot = self.sender.snapshot()
        self.sender = self._new_sender()
        self.sender.restore(snapshot)


def erasure_link(data: bytes) -> None:
    """Neither end raises; from an honest sender come its records alone; memory is bounded."""
    tape, bench = Tape(data), _Bench()
    for _ in range(STEPS_LIMIT):
        if not tape:
            break
        match tape.below(10):
            case 0:
                bench.begin(tape)
            case 1 | 2 | 3:
                for _ in range(1 + tape.below(32)):
                    packet = bench.sender.next_packet(PACKET_BYTES - tape.below(4) * 8)
                    bench.on_the_way += [] if packet is None else [packet]
            case 4:
                lost = tape.byte()
                bench.on_the_way = [packet for n, packet in enumerate(bench.on_the_way) if not lost >> n % 8 & 1]
            case 5 | 6:
                for packet in bench.on_the_way:
                    bench.hear(packet)
                bench.on_the_way = bench.on_the_way[: tape.below(4)]
            case 7:
                bench.reboot()
            case 8:
                bench.sender.forget([address for address in LAYER_BYTES if not tape.below(3)])
            case _:
                bench.honest = False
                bench.hear(_packet_from(tape))
                bench.receiver.whole_records()
    held = footprint_bytes(bench.receiver)
    require(held <= FOOTPRINT_LIMIT_BYTES, f"the receiver holds {held} bytes")
    for chance in bench.sender.expected_delivered().values():
        require(0 <= chance <= 1, f"a layer has arrived with probability {chance}")


def _packet_from(tape: Tape) -> bytes:
    kind = tape.byte()
    if kind >= 0xF0:
        return tape.chunk(200)
    size = (1 + tape.below(200)).to_bytes(3, "big") if kind < 0x80 else tape.take(3).ljust(3, b"\0")
    identifier = tape.below(24).to_bytes(3, "big") if kind & 1 else tape.take(3).ljust(3, b"\0")
    return HEADER.pack(1, tape.below(24), size, identifier) + tape.take(8 * (1 + tape.below(8))).ljust(8, b"\x11")


def erasure_snapshot(data: bytes) -> None:
    """Objects or ErasureSnapshotError, of the bytes as they are and with their check value repaired."""
    repaired = (
        data[:5] + binascii.crc32(data[SNAPSHOT_PREAMBLE_BYTES:]).to_bytes(4, "big") + data[SNAPSHOT_PREAMBLE_BYTES:]
    )
    for snapshot in (data, repaired):
        unpacked = value_or_refusal(ErasureSnapshotError, unpack_objects, snapshot)
        if unpacked is None:
            continue
        number, objects = unpacked
        require(unpack_objects(pack_objects(number, objects))[0] == number, "a snapshot changes on the way")
        bench = _Bench()
        value_or_refusal(ErasureSnapshotError, bench.sender.restore, snapshot)


def _sent_packets() -> list[bytes]:
    bench = _Bench()
    offers = [
        ErasureOffer(address=address, size_bytes=len(record), value=9.0) for address, record in bench.records.items()
    ]
    bench.sender.begin(offers, LossBelief(mean=0.2, weight_frames=50.0), capacity_bytes=2000.0)
    packets = [bench.sender.next_packet(PACKET_BYTES) for _ in range(6)]
    return [packet for packet in packets if packet is not None] + [bench.sender.snapshot()]


def _code_seeds() -> list[bytes]:
    content = bytes(range(1, 120))
    return [
        b"\x01\x77" + content + b"\x00\x00\x20", b"\x02\x77" + content + b"\x00\x05\x10" + b"\x01" * 30 + b"\x04" + bytes(range(99)),
        b"\x04\x77" + content + b"\x07\x00\x50\x00\x3f", b"\x00\x03abc\x00\x00\x05", b"\x01\x00\x00\x00\x05",
    ]  # fmt: skip


def _link_seeds() -> list[bytes]:
    begin = b"\x00" + b"\x09\x01" * 12 + b"\x20\x30\x02\x20\x00"
    send, hear, lose = b"\x01\x1f" + b"\x00" * 32, b"\x05\x00", b"\x04\x24"
    noise = b"\x09\x01\x14\x01\x02\x01" + bytes(range(16)) + b"\x09\xf5\x09abcdefghi"
    return [
        begin + send + hear + send + lose + hear, begin + send + b"\x07" + begin + send + hear, noise * 9,
        begin + send + b"\x08" + b"\x00\x01" * 6 + begin + send + lose + hear + noise + b"\x05\x03",
    ]  # fmt: skip


TARGETS = {
    "symbol_packet": Target(run=symbol_packet, seeds=lambda: _sent_packets()[:-1], longest=2100),
    "erasure_code": Target(run=erasure_code, seeds=_code_seeds, longest=2048),
    "erasure_link": Target(run=erasure_link, seeds=_link_seeds, share=3),
    "erasure_snapshot": Target(run=erasure_snapshot, seeds=lambda: _sent_packets()[-1:], longest=1024),
}
