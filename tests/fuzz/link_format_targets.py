"""Fuzz targets of what stands alone on the link: frames, packets, records, receipts, alerts, housekeeping."""

import math
import struct

from downlink.alerts import AlertDetection, decode_alerts, encode_alerts
from downlink.errors import HousekeepingError, LayerError, RecordError, SpacePacketError, TransferFrameError
from downlink.express import decode_receipt, encode_receipts
from downlink.frame_security import SecurityAssociation
from downlink.housekeeping import Housekeeping
from downlink.products import ALERTS_PRODUCT, LayerAddress
from downlink.record import HEADER, Record, RecordKind, encode_record, record_at, scan_records
from downlink.report_tag import report_tag
from downlink.space_packet import (
    IDLE_APID,
    PacketScan,
    PacketType,
    SpacePacket,
    decode_space_packet,
    idle_packet,
    scan_space_packets,
)
from downlink.transfer_frame import IDLE_VC_ID, ONLY_IDLE_DATA, TransferFrame, decode_transfer_frame
from tests.fuzz.contract import Target, require, value_or_refusal, with_crc16, with_crc32
from tests.fuzz.tape import Tape

KEY = SecurityAssociation(spi=7, key=bytes(range(32)))


def transfer_frame(data: bytes) -> None:
    """A frame or TransferFrameError, of the bytes as they are and with their check value repaired."""
    for frame in (data, with_crc16(data)):
        decoded = value_or_refusal(TransferFrameError, decode_transfer_frame, frame)
        if decoded is not None:
            require(decode_transfer_frame(decoded.encode()) == decoded, f"{decoded} changes on the way")


def space_packet(data: bytes) -> None:
    """A packet or SpacePacketError; a scan accounts for every byte, in one piece or in two."""
    decoded = value_or_refusal(SpacePacketError, decode_space_packet, data)
    if decoded is not None:
        require(decoded.encode() == data, f"{decoded} changes on the way")
    for apids in (None, frozenset((0x101, 0x102))):
        scan = scan_space_packets(data, apids=apids)
        _check_scan(scan, data)
        cut = len(data) // 2
        first = scan_space_packets(data[:cut], apids=apids)
        second = scan_space_packets(data[first.consumed :], apids=apids)
        require(first.found + second.found == scan.found, "a scan in two pieces finds other packets")


def _check_scan(scan: PacketScan, data: bytes) -> None:
    covered = sum(end - start for start, end in scan.skipped) + sum(len(packet.encode()) for packet in scan.found)
    require(covered == scan.consumed <= len(data), f"scan covers {covered} of {scan.consumed} consumed bytes")


def record(data: bytes) -> None:
    """Never an error; every record found is one, and every byte is accounted for."""
    for stream in (data, with_crc32(data), _stream_of_records(Tape(data))):
        for final in (False, True):
            scan = scan_records(stream, final=final)
            found = sum(each.size_bytes for each in scan.records)
            require(found + scan.skipped_bytes == scan.consumed <= len(stream), "bytes of a scan do not add up")
            require(not final or scan.consumed == len(stream), "a final scan leaves bytes")
            for each, at in zip(scan.records, scan.offsets, strict=True):
                require(
                    encode_record(each) == stream[at : at + each.size_bytes], f"{each.address} is not what stood there"
                )
        record_at(stream)


def _stream_of_records(tape: Tape) -> bytes:
    """Records and noise: the fields of a header, a body, and mostly a right check value."""
    stream = bytearray()
    while tape:
        kind, address, body = tape.byte(), tape.take(7).ljust(7, b"\0"), tape.chunk(512)
        header = HEADER.pack(b"\xeb\x71", kind & 7, address, len(body) if kind & 8 else tape.number(4))
        stream += with_crc32(header + body) if kind & 16 else header + body
    return bytes(stream)


def express_receipt(data: bytes) -> None:
    """Addresses or RecordError."""
    addresses = value_or_refusal(RecordError, decode_receipt, data)
    if addresses is not None:
        again = tuple(address for payload in encode_receipts(addresses) for address in decode_receipt(payload))
        require(again == addresses, "a receipt changes on the way")


def alerts(data: bytes) -> None:
    """Detections or LayerError; boxes are finite, and those inside a scene come back as they were."""
    detections = value_or_refusal(LayerError, decode_alerts, data)
    if detections is None:
        return
    for detection in detections:
        finite = all(math.isfinite(edge) for corner in detection.corners_px for edge in corner)
        require(finite and 0 <= detection.confidence <= 1, f"{detection} is impossible")
    packed = value_or_refusal(LayerError, encode_alerts, detections)
    if packed is not None:
        classes = [detection.class_id for detection in decode_alerts(packed)]
        require(classes == [detection.class_id for detection in detections], "classes change on the way")


def housekeeping(data: bytes) -> None:
    """Housekeeping or HousekeepingError, of the bytes as they are and with their tag; what is decoded encodes to the same bytes."""
    for encoded in (data, data + report_tag(b"tianshu housekeeping 1", data, KEY)):
        decoded = value_or_refusal(HousekeepingError, Housekeeping.decode, encoded, (KEY,))
        if decoded is not None:
            require(decoded.encode(KEY) == encoded, f"{decoded} changes on the way")
            require(not decoded.is_newer_than(decoded), "a report is newer than itself")


def _frame_seeds() -> list[bytes]:
    frames = [
        TransferFrame(spacecraft_id=0x2A5, vc_id=1, frame_count=0x0ABCDEF, first_header_pointer=3, packet_zone=bytes(range(1, 12))),
        TransferFrame(spacecraft_id=0x3FF, vc_id=62, frame_count=1, first_header_pointer=ONLY_IDLE_DATA, packet_zone=b"\x5a" * 40),
        TransferFrame(spacecraft_id=0x155, vc_id=IDLE_VC_ID, frame_count=0, first_header_pointer=ONLY_IDLE_DATA, packet_zone=b"\xff" * 7),
    ]  # fmt: skip
    encoded = [frame.encode() for frame in frames]
    # Without its check value a frame is sealed again by the target.
    return encoded + [frame[:-2] for frame in encoded]


def _packet_seeds() -> list[bytes]:
    packets = [
        SpacePacket(apid=0x101, sequence_count=0x1234, data=b"\x01\x02\x03").encode(),
        SpacePacket(apid=0x112, sequence_count=0x3FFF, data=b"\xfe", packet_type=PacketType.TELECOMMAND).encode(),
        SpacePacket(apid=IDLE_APID, sequence_count=7, data=b"\x55" * 9, secondary_header=True).encode(),
        idle_packet(9),
    ]
    return [*packets, b"".join(packets), b"\xff\xfe" + packets[0] + b"\x20" + packets[1] + packets[2][:5]]


def _record_seeds() -> list[bytes]:
    address = LayerAddress(scene=0x12345678, product=0x9ABC, step=0xDE)
    layer = encode_record(Record(kind=RecordKind.LAYER, address=address, payload=b"\x01\x02\x03"))
    mark = encode_record(Record(kind=RecordKind.DELIVERED, address=address))
    # As the tape of `_stream_of_records`: two sound records, then one whose length lies.
    tape = (
        b"\x19" + address.pack() + b"\x03\x01\x02\x03" + b"\x1a" + address.pack() + b"\x00" + b"\x11" + address.pack()
    )
    return [
        layer, layer[:-4], mark, layer + b"\xeb" + mark, layer[:-1] + b"\0" + mark, layer[:17], tape + b"\x00\x00\x01\x00\x00",
    ]  # fmt: skip


def _receipt_seeds() -> list[bytes]:
    addresses = [LayerAddress(scene=0x0A0B0C0D, product=ALERTS_PRODUCT, step=step) for step in range(31)]
    return encode_receipts(addresses[:2]) + encode_receipts(addresses)


def _alert_seeds() -> list[bytes]:
    box = ((10.0, 20.0), (42.0, 20.0), (42.0, 28.0), (10.0, 28.0))
    turned = ((100.0, 200.0), (110.0, 210.0), (106.0, 214.0), (96.0, 204.0))
    one = AlertDetection(class_id=3, confidence=0.2, corners_px=box)
    two = AlertDetection(class_id=250, confidence=1.0, corners_px=turned)
    return [encode_alerts([one]), encode_alerts([one, two]), b"\x01\x01" + struct.pack(">14B", *range(200, 214))]


def _housekeeping_seeds() -> list[bytes]:
    known = Housekeeping(
        at_ms=1_750_000_000_123, boot=3, uptime_s=4711, charge_permille=873, cap_mw=15_000, compute_mw=7_250,
        temperature_decicelsius=-123, captured_layers=9, captured_bytes=0x010203040506, computing=True,
        delivered_digest=bytes(range(1, 9)), scenes_done=0x01020304, open_files=2,
    ).encode(KEY)  # fmt: skip
    unknown = Housekeeping(at_ms=1, boot=1, uptime_s=0, disk_full=True).encode(KEY)
    # Without its tag a report is tagged again by the target.
    return [known, known[:-8], unknown[:-8], known[:-9]]


TARGETS = {
    "transfer_frame": Target(run=transfer_frame, seeds=_frame_seeds, longest=2100),
    "space_packet": Target(run=space_packet, seeds=_packet_seeds),
    "record": Target(run=record, seeds=_record_seeds),
    "express_receipt": Target(run=express_receipt, seeds=_receipt_seeds, longest=512),
    "alerts": Target(run=alerts, seeds=_alert_seeds),
    "housekeeping": Target(run=housekeeping, seeds=_housekeeping_seeds, longest=128),
}
