"""Somebody who is no part of the mission and sends to every port they know: noise, frames of another spacecraft, forged frames.

Runs in a container: `python3 - SEED SECONDS PORT_OF_ITS_OWN HOST:PORT...` with this file on standard input; port 0 takes any.
"""

import random
import socket
import sys
import time

from downlink.express import encode_receipts
from downlink.frame_assembler import FrameAssembler
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.products import ALERTS_PRODUCT, LayerAddress
from downlink.record import Record, RecordKind, encode_record
from downlink.transfer_frame import FRAME_OVERHEAD_BYTES, TransferFrame

PROFILE = LinkProfile()
ADDRESS = LayerAddress(scene=0x12345678, product=ALERTS_PRODUCT, step=0x56)
PACKETS_PER_S = 200


def noise(chance: random.Random) -> bytes:
    """Any bytes of any length."""
    return chance.randbytes(chance.choice((0, 1, 17, 256, 1115, 1400)))


def of_another_spacecraft(chance: random.Random) -> bytes:
    """A whole frame that would do harm if it were believed: an alert, or a receipt."""
    up = chance.random() < 0.5
    packet = (
        PacketSender().packet(Apid.EXPRESS_RECEIPT, encode_receipts([ADDRESS])[0])
        if up
        else PacketSender().packet(
            Apid.EXPRESS, encode_record(Record(kind=RecordKind.LAYER, address=ADDRESS, payload=b"\x12\x34\x56"))
        )
    )
    frames = FrameAssembler(
        (PROFILE.spacecraft_id + chance.randint(1, 1023)) % 1024,
        VirtualChannel.COMMANDS if up else VirtualChannel.EXPRESS,
        frame_bytes=PROFILE.uplink_frame_bytes if up else PROFILE.frame_bytes,
    )
    frames.push(packet)
    return frames.next_frame(flush=True) or b""


def forged(chance: random.Random) -> bytes:
    """A frame with our spacecraft's number and a right check value around noise."""
    frame_bytes = chance.choice((PROFILE.frame_bytes, PROFILE.uplink_frame_bytes))
    return TransferFrame(
        spacecraft_id=PROFILE.spacecraft_id,
        vc_id=chance.choice((0, 1, 2, 3, 62, 63)),
        frame_count=chance.randrange(1 << 28),
        first_header_pointer=chance.choice((0, 5, 0x7FE, 0x7FF)),
        packet_zone=chance.randbytes(frame_bytes - FRAME_OVERHEAD_BYTES),
    ).encode()


def main(seed: str, seconds: str, own_port: str, *targets: str) -> None:
    """Send until the time is over; prints how many packets left."""
    chance, sent, end_s = random.Random(int(seed)), 0, time.monotonic() + float(seconds)
    addresses = [(host, int(port)) for host, _, port in (target.rpartition(":") for target in targets)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        port.bind(("0.0.0.0", int(own_port)))
        while time.monotonic() < end_s:
            packet = chance.choice((noise, of_another_spacecraft, forged))(chance)
            for address in addresses:
                try:
                    sent += port.sendto(packet, address) >= 0
                except OSError:  # nobody there, or no room
                    continue
            time.sleep(1 / PACKETS_PER_S)
    print(sent)


main(*sys.argv[1:])
