"""How fast file delivery and frames run on one core: python -m benchmarks.link_throughput [--mib 16] [--json] [--memory-mib 1024]

Figures are per second of CPU time of this process, the best of five runs; input is seeded random bytes in files of a temporary folder
or in memory, PDUs carry 1 KiB of file. The same transfers run with cfdp-py in the same process, where it is installed.
`--memory-mib` sets the size of a file that is carried by both ends in a process of its own, file to file.
"""

import argparse
import binascii
import gc
import importlib.util
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from downlink.cfdp_checksum import ChecksumType, file_checksum
from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_destination_transaction import DestinationSettings
from downlink.cfdp_events import FileCompleted
from downlink.cfdp_source import CfdpSource
from downlink.cfdp_source_transaction import SourceSettings
from downlink.file_ports import ReadableFile
from downlink.frame_assembler import FrameAssembler
from downlink.frame_reader import FrameReader
from downlink.link_profile import LinkProfile
from downlink.space_packet import PacketStream

SEGMENT_BYTES = 1024
PDU_BYTES = SEGMENT_BYTES + 16
FRAME_BYTES = 1115
RUNS = 5
LOSS = 0.02
FRAME_FILLING_PDU_BYTES = FRAME_BYTES - 16
"""With its packet header such a PDU fills a frame: what the mission sends where frames are lost."""
LONGEST_PDU_BYTES = LinkProfile().longest_pdu_bytes
"""Such a PDU fills eight frames: what the mission sends where hardly any is."""
DESTINATION = DestinationSettings(max_file_bytes=1 << 40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What one piece of the link does in a second of CPU time."""

    name: str
    """what was done"""
    file_mb_per_s: float
    """file bytes, 10**6 a second"""
    units_per_s: float
    """PDUs or frames a second"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The same transfer with ours and with cfdp-py."""

    name: str
    """what was done"""
    ours_pdus_per_s: float
    """PDUs of 1 KiB a second of CPU time"""
    cfdp_py_pdus_per_s: float
    """likewise"""
    ratio: float
    """ours over theirs"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRun:
    """A large file through both ends, from disk to disk, at 1 KiB a PDU."""

    file_bytes: int
    """its length"""
    lost_fraction: float
    """FileData PDUs dropped on the way"""
    traced_peak_bytes: int
    """most memory that Python held at once beyond what it held before, over the first 64 MiB of the file"""
    resident_growth_bytes: int
    """growth of the largest resident size of the process from the first 64 MiB to the end"""
    cpu_s: float
    """CPU time of both ends together, disk included"""


class DiskFile:
    """A file on disk as the source reads it and the destination fills it."""

    def __init__(self, path: Path, mode: str) -> None:
        self._file = path.open(mode)
        self.size_bytes = path.stat().st_size

    def read(self, start: int, end: int) -> bytes:
        """Bytes start..end."""
        self._file.seek(start)
        piece: bytes = self._file.read(end - start)
        return piece

    def write(self, offset: int, data: bytes) -> None:
        """Puts `data` at `offset`."""
        self._file.seek(offset)
        self._file.write(data)

    def __enter__(self) -> "DiskFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of the quickest of some runs."""
    gc.collect()
    best = float("inf")
    for _ in range(RUNS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def source_with(file: bytes | ReadableFile, pdu_bytes: int = PDU_BYTES) -> CfdpSource:
    """A source with one file to send."""
    source = CfdpSource(1, 2, SourceSettings(max_pdu_bytes=pdu_bytes))
    source.put(transaction_seq=1, source_name="a", destination_name="b", file_bytes=file)
    return source


def send(file: bytes | ReadableFile) -> int:
    """How many PDUs a file becomes."""
    source, pdus = source_with(file), 0
    while source.next_pdu(0) is not None:
        pdus += 1
    return pdus


def receive(pdus: list[bytes], sink: DiskFile | None = None) -> None:
    """Hands all PDUs of one file to a destination. Raises RuntimeError if they do not complete it."""
    destination = CfdpDestination(2, {1}, DESTINATION, open_sink=lambda _: sink)
    completed = sum(type(event) is FileCompleted for pdu in pdus for event in destination.receive(pdu, 0))
    if completed != 1:
        raise RuntimeError(f"the PDUs complete {completed} files, not 1")


def send_frames(content: bytes, pdu_bytes: int = PDU_BYTES) -> Iterator[bytes]:
    """A file as frames: PDUs, packets, frames."""
    source, packets = source_with(content, pdu_bytes), PacketStream(7)
    assembler = FrameAssembler(5, 1, frame_bytes=FRAME_BYTES)
    while (pdu := source.next_pdu(0)) is not None:
        assembler.push(packets.packet(pdu))
        while (frame := assembler.next_frame()) is not None:
            yield frame
    if (frame := assembler.next_frame(flush=True)) is not None:
        yield frame


def receive_frames(frames: list[bytes]) -> None:
    """Frames back to the file. Raises RuntimeError if they do not complete it."""
    reader, destination, completed = FrameReader(5, frame_bytes=FRAME_BYTES), CfdpDestination(2, {1}, DESTINATION), 0
    for frame in frames:
        for packet in reader.feed(frame).packets:
            completed += sum(type(event) is FileCompleted for event in destination.receive(packet.data, 0))
    if completed != 1:
        raise RuntimeError(f"the frames complete {completed} files, not 1")


def assemble(packets: list[bytes]) -> None:
    """Packets to frames."""
    assembler = FrameAssembler(5, 1, frame_bytes=FRAME_BYTES)
    for packet in packets:
        assembler.push(packet)
        while assembler.next_frame() is not None:
            pass


def read(frames: list[bytes]) -> None:
    """Frames to packets."""
    reader = FrameReader(5, frame_bytes=FRAME_BYTES)
    for frame in frames:
        reader.feed(frame)


def stages(content: bytes) -> list[Speed]:
    """Every stage of the link by itself, then all of them together."""
    source, packets = source_with(content), PacketStream(7)
    pdus = list(iter(lambda: source.next_pdu(0), None))
    encoded = [packets.packet(pdu) for pdu in pdus]
    frames = list(send_frames(content))
    filled = list(send_frames(content, FRAME_FILLING_PDU_BYTES))
    long = list(send_frames(content, LONGEST_PDU_BYTES))
    gc.collect()
    gc.freeze()  # What stays for the whole measurement is not looked through again and again.
    work: list[tuple[str, int, Callable[[], object]]] = [
        ("file to PDUs", len(pdus), lambda: send(content)),
        ("PDUs to file", len(pdus), lambda: receive(pdus)),
        ("packets to frames", len(frames), lambda: assemble(encoded)),
        ("frames to packets", len(frames), lambda: read(frames)),
        ("CRC-16 of the frames alone", len(frames), lambda: [binascii.crc_hqx(frame, 0xFFFF) for frame in frames]),
        ("whole stack down: file to frames", len(frames), lambda: deque(send_frames(content), maxlen=0)),
        ("whole stack up: frames to file", len(frames), lambda: receive_frames(frames)),
        (
            "down, each PDU filling a frame",
            len(filled),
            lambda: deque(send_frames(content, FRAME_FILLING_PDU_BYTES), maxlen=0),
        ),
        ("up, each PDU filling a frame", len(filled), lambda: receive_frames(filled)),
        (
            "down, each PDU filling eight frames",
            len(long),
            lambda: deque(send_frames(content, LONGEST_PDU_BYTES), maxlen=0),
        ),
        ("up, each PDU filling eight frames", len(long), lambda: receive_frames(long)),
    ]
    speeds = []
    for name, units, run in work:
        seconds = cpu_seconds(run)
        speeds.append(Speed(name=name, file_mb_per_s=len(content) / seconds / 1e6, units_per_s=units / seconds))
    return speeds


def checksums(content: bytes) -> list[Speed]:
    """The checksums of a file."""
    speeds = []
    for kind in (ChecksumType.MODULAR, ChecksumType.CRC_32C, ChecksumType.CRC_32):
        rate = 1 / cpu_seconds(lambda kind=kind: file_checksum(kind, content))  # type: ignore[misc]
        speeds.append(Speed(name=f"checksum {kind.name}", file_mb_per_s=rate * len(content) / 1e6, units_per_s=rate))
    return speeds


def transfer(content: bytes, *, loss: float, seed: int = 1) -> None:
    """Both ends of ours in one process, until the source knows that the file has arrived."""
    chance, source, destination = random.Random(seed), source_with(content), CfdpDestination(2, {1}, DESTINATION)
    now_ms, sent = 0, 0
    while source.open_transactions:
        pdu = source.next_pdu(now_ms)
        if pdu is not None and not (pdu[0] & 0x10 and chance.random() < loss):
            destination.receive(pdu, now_ms)
        while (answer := destination.next_pdu(now_ms)) is not None:
            source.receive(answer, now_ms)
        sent += 1
        # A hundred PDUs a millisecond; time leaps when there is nothing to do but to wait.
        now_ms = now_ms + (sent % 100 == 0) if pdu is not None else (destination.next_wakeup_ms(now_ms) or now_ms) + 1


def comparisons(content: bytes, folder: Path) -> list[Comparison]:
    """Ours over cfdp-py on the same file, files on disk at both ends; empty where cfdp-py is not installed."""
    if importlib.util.find_spec("cfdppy") is None:
        return []
    from benchmarks import cfdp_py_peer as theirs

    leaving, arrived = folder / "leaving.bin", folder / "arrived.bin"
    leaving.write_bytes(content)
    their_pdus = theirs.send_all(theirs.source_of(leaving, arrived, pdu_bytes=PDU_BYTES))
    count = len(content) // SEGMENT_BYTES

    def our_send() -> None:
        with DiskFile(leaving, "rb") as file:
            send(file)

    def our_receive() -> None:
        with DiskFile(arrived, "w+b") as sink:
            receive(their_pdus, sink)

    def their_receive() -> None:
        peer = theirs.destination(pdu_bytes=PDU_BYTES)
        for pdu in their_pdus:
            peer.step(pdu)
        if arrived.read_bytes() != content:
            raise RuntimeError("cfdp-py received another file than was sent")

    def their_transfer(loss: float) -> None:
        chance = random.Random(1)
        theirs.transfer(
            leaving, arrived, pdu_bytes=PDU_BYTES, is_lost=lambda pdu: bool(pdu[0] & 0x10) and chance.random() < loss
        )

    pairs: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
        (
            "file to PDUs",
            our_send,
            lambda: theirs.send_all(theirs.source_of(leaving, arrived, pdu_bytes=PDU_BYTES)),
        ),
        ("PDUs to file", our_receive, their_receive),
        ("both ends, no loss", lambda: transfer(content, loss=0.0), lambda: their_transfer(0.0)),
        (f"both ends, {LOSS:.0%} of segments lost", lambda: transfer(content, loss=LOSS), lambda: their_transfer(LOSS)),
    ]
    results = []
    for name, our_work, their_work in pairs:
        ours, other = count / cpu_seconds(our_work), count / cpu_seconds(their_work)
        results.append(Comparison(name=name, ours_pdus_per_s=ours, cfdp_py_pdus_per_s=other, ratio=ours / other))
    return results


def carry_large_file(size_bytes: int, *, lost_fraction: float = 0.01) -> MemoryRun:
    """A file of `size_bytes` through both ends in this process, disk to disk. Raises RuntimeError if it does not arrive byte by byte."""
    warm_bytes, chance = 64 << 20, random.Random(2)
    with tempfile.TemporaryDirectory() as name:
        leaving, arrived = Path(name, "leaving.bin"), Path(name, "arrived.bin")
        with leaving.open("wb") as out:
            for _ in range(size_bytes >> 20):
                out.write(chance.randbytes(1 << 20))
        start = time.process_time()
        with DiskFile(leaving, "rb") as file, DiskFile(arrived, "w+b") as sink:
            source = source_with(file)
            destination = CfdpDestination(2, {1}, DESTINATION, open_sink=lambda _: sink)
            completed, number, now_ms, resident, traced = 0, 0, 0, 0, 0
            tracemalloc.start()
            while source.open_transactions:
                pdu = source.next_pdu(now_ms)
                number += 1
                if pdu is not None and not (pdu[0] & 0x10 and chance.random() < lost_fraction):
                    completed += sum(type(event) is FileCompleted for event in destination.receive(pdu, now_ms))
                while (answer := destination.next_pdu(now_ms)) is not None:
                    source.receive(answer, now_ms)
                now_ms = now_ms + (number % 100 == 0) if pdu else (destination.next_wakeup_ms(now_ms) or now_ms) + 1
                if number == warm_bytes // SEGMENT_BYTES:
                    traced = tracemalloc.get_traced_memory()[1]
                    tracemalloc.stop()
                    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        seconds = time.process_time() - start
        growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - resident
        if completed != 1 or not _same(leaving, arrived):
            raise RuntimeError(f"{completed} files arrived, or another one than was sent")
    return MemoryRun(
        file_bytes=size_bytes,
        lost_fraction=lost_fraction,
        traced_peak_bytes=traced,
        resident_growth_bytes=growth,
        cpu_s=seconds,
    )


def _same(first: Path, second: Path) -> bool:
    with first.open("rb") as one, second.open("rb") as other:
        while piece := one.read(1 << 20):
            if piece != other.read(1 << 20):
                return False
        return not other.read(1)


def memory_run(size_bytes: int) -> MemoryRun:
    """`carry_large_file` in a process of its own, so that its resident size is that of file delivery alone."""
    command = [sys.executable, "-m", "benchmarks.link_throughput", "--carry-mib", str(size_bytes >> 20)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return MemoryRun(**json.loads(output))


def measure(*, mib: int = 16, memory_mib: int = 1024) -> dict[str, object]:
    """Everything, ready for JSON."""
    content = random.Random(1).randbytes(mib << 20)
    with tempfile.TemporaryDirectory() as folder:
        return {
            "stages": [asdict(speed) for speed in stages(content)],
            "checksums": [asdict(speed) for speed in checksums(content)],
            "against_cfdp_py": [asdict(pair) for pair in comparisons(content, Path(folder))],
            "memory": asdict(memory_run(memory_mib << 20)) if memory_mib else None,
        }


def show(mib: int, memory_mib: int) -> None:
    """Print the tables."""
    content = random.Random(1).randbytes(mib << 20)
    print(f"{mib} MiB, PDUs of {SEGMENT_BYTES} file bytes, frames of {FRAME_BYTES} bytes, one core, per CPU second\n")
    for speed in (*stages(content), *checksums(content)):
        print(f"{speed.name:36} {speed.file_mb_per_s:9,.0f} MB/s {speed.units_per_s:12,.0f} /s")
    print(f"\n{'the same transfer, PDUs/s':36} {'ours':>12} {'cfdp-py':>12} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as folder:
        for pair in comparisons(content, Path(folder)):
            print(f"{pair.name:36} {pair.ours_pdus_per_s:12,.0f} {pair.cfdp_py_pdus_per_s:12,.0f} {pair.ratio:6.1f}x")
    if memory_mib:
        run = memory_run(memory_mib << 20)
        print(
            f"\n{run.file_bytes / 1e6:,.0f} MB from disk to disk, {run.lost_fraction:.0%} of segments lost: {run.cpu_s:.1f} s;"
            f" most memory held by Python {run.traced_peak_bytes / 1e6:.1f} MB,"
            f" resident size grown by {run.resident_growth_bytes / 1e6:.1f} MB after the first 64 MiB"
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=16, help="size of the file sent (default: %(default)s)")
    parser.add_argument(
        "--memory-mib", type=int, default=1024, help="size of the large file, 0: none (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--carry-mib", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.carry_mib:
        print(json.dumps(asdict(carry_large_file(chosen.carry_mib << 20))))
    elif chosen.json:
        print(json.dumps(measure(mib=chosen.mib, memory_mib=chosen.memory_mib), indent=1))
    else:
        show(chosen.mib, chosen.memory_mib)


if __name__ == "__main__":
    main()
