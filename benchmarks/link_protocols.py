"""How fast the link protocols run on one core: python -m benchmarks.link_protocols [--mib 32]

Figures are per second of CPU time of this process. Input is seeded random bytes.
"""

import argparse
import random
import time
from collections.abc import Callable
from functools import partial

from downlink.cfdp_checksum import ChecksumType, file_checksum
from downlink.cfdp_decoding import decode_pdu
from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_events import FileCompleted
from downlink.cfdp_header import PduHeader
from downlink.cfdp_pdu import FileData
from downlink.cfdp_source import CfdpSource
from downlink.frame_assembler import FrameAssembler
from downlink.frame_reader import FrameReader
from downlink.space_packet import SpacePacket, next_sequence_count

REPEATS = 50_000


def rate(count: int, work: Callable[[], object]) -> float:
    """How many of `count` things `work` does per CPU second."""
    start = time.process_time()
    work()
    return count / (time.process_time() - start)


def send_file(content: bytes) -> list[bytes]:
    """All PDUs of one file."""
    source = CfdpSource(1, 2)
    source.put(transaction_seq=1, source_name="a", destination_name="b", file_bytes=content)
    pdus = []
    while (pdu := source.next_pdu(0)) is not None:
        pdus.append(pdu)
    return pdus


def receive_file(pdus: list[bytes]) -> int:
    """How many files the PDUs complete."""
    destination = CfdpDestination(2, {1})
    return sum(isinstance(event, FileCompleted) for pdu in pdus for event in destination.receive(pdu, 0))


def assemble(pdus: list[bytes]) -> list[bytes]:
    """All frames of the PDUs, one per packet."""
    assembler, frames, count = FrameAssembler(5, 1), [], 0
    for pdu in pdus:
        assembler.push(SpacePacket(apid=7, sequence_count=count, data=pdu).encode())
        count = next_sequence_count(count)
        while (frame := assembler.next_frame()) is not None:
            frames.append(frame)
    return frames


def read(frames: list[bytes]) -> int:
    """How many packets the frames carry."""
    reader = FrameReader(5)
    return sum(len(reader.feed(frame).packets) for frame in frames)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=32, help="size of the file sent (default: %(default)s)")
    content = random.Random(1).randbytes(parser.parse_args().mib << 20)
    header = PduHeader(source_entity_id=1, destination_entity_id=2, transaction_seq=3)
    segment, pdus = content[:1000], send_file(content)
    encoded = FileData(header=header, offset=0, data=segment).encode()
    frames = assemble(pdus)
    figures = {
        "FileData encoded (1000 B)": rate(
            REPEATS, lambda: [FileData(header=header, offset=0, data=segment).encode() for _ in range(REPEATS)]
        ),
        "FileData decoded (1000 B)": rate(REPEATS, lambda: [decode_pdu(encoded) for _ in range(REPEATS)]),
        "PDUs out of a source": rate(len(pdus), lambda: send_file(content)),
        "PDUs into a destination": rate(len(pdus), lambda: receive_file(pdus)),
        "frames assembled (1115 B)": rate(len(frames), lambda: assemble(pdus)),
        "frames read (1115 B)": rate(len(frames), lambda: read(frames)),
    }
    for name, per_second in figures.items():
        print(f"{name:28} {per_second:12,.0f} /s")
    for kind in (ChecksumType.MODULAR, ChecksumType.CRC_32C, ChecksumType.CRC_32):
        megabytes = rate(len(content), partial(file_checksum, kind, content)) / 1e6
        print(f"checksum {kind.name:19} {megabytes:12,.0f} MB/s")


if __name__ == "__main__":
    main()
