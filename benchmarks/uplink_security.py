"""What authentication of the uplink costs, in bytes and time: python -m benchmarks.uplink_security [--json]

One core, 256-byte uplink frames. `protect` and `verify` are the security layer alone; `open frames` is what an uplink without it
takes; `gate` is everything from a heard frame to its packets, replay window, ceilings and frame reader included.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence

from downlink.frame_assembler import FrameAssembler
from downlink.frame_reader import FrameReader
from downlink.frame_security import SECURITY_BYTES, FrameProtector, FrameVerifier, SecurityAssociation
from downlink.journal import MemoryJournal
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.transfer_frame import FRAME_OVERHEAD_BYTES
from onboard.command_gate import CommandGate

FRAMES = 20_000
FRAME_INTERVAL_MS = 4
"""256 bytes at 512 kbit/s."""
ROUNDS = 3
START_MS = 1_770_000_000_000
ASSOCIATION = SecurityAssociation(spi=0x1234, key=bytes(range(0x10, 0x30)))


def measure(frames: int = FRAMES) -> dict[str, float]:
    """Figures by name: bytes of frames and zones, frames per second of CPU time, best of three rounds."""
    profile = LinkProfile()
    open_bytes = profile.uplink_frame_bytes - SECURITY_BYTES
    open_frames = _open_frames(profile, open_bytes, frames)
    times_ms = [START_MS + FRAME_INTERVAL_MS * number for number in range(frames)]
    protector = FrameProtector(ASSOCIATION)
    secured = [protector.protect(frame, now_ms) for frame, now_ms in zip(open_frames, times_ms, strict=True)]
    forged = [frame[:20] + bytes([frame[20] ^ 1]) + frame[21:] for frame in secured]
    verifier = FrameVerifier(
        (ASSOCIATION,),
        spacecraft_id=profile.spacecraft_id,
        frame_bytes=profile.uplink_frame_bytes,
        vc_ids=(VirtualChannel.COMMANDS,),
    )

    def protect() -> None:
        fresh = FrameProtector(ASSOCIATION)
        for frame, now_ms in zip(open_frames, times_ms, strict=True):
            fresh.protect(frame, now_ms)

    def through_gate(heard: Sequence[bytes]) -> Callable[[], None]:
        def hear() -> None:
            gate = CommandGate(profile, (ASSOCIATION,), MemoryJournal())
            for frame in heard:
                gate.hear(frame)

        return hear

    def read_open() -> None:
        reader = FrameReader(profile.spacecraft_id, frame_bytes=open_bytes)
        for frame in open_frames:
            reader.feed(frame)

    journal = MemoryJournal()
    gate = CommandGate(profile, (ASSOCIATION,), journal)
    accepted = sum(gate.hear(frame).refusal is None for frame in secured)
    return {
        "frame_bytes": profile.uplink_frame_bytes,
        "security_bytes": SECURITY_BYTES,
        "packet_zone_bytes": open_bytes - FRAME_OVERHEAD_BYTES,
        "packet_zone_lost": SECURITY_BYTES / (profile.uplink_frame_bytes - FRAME_OVERHEAD_BYTES),
        "protect_frames_per_s": _rate(protect, frames),
        "verify_frames_per_s": _rate(lambda: [verifier.verify(frame) for frame in secured], frames),
        "refuse_damaged_frames_per_s": _rate(lambda: [verifier.verify(frame) for frame in forged], frames),
        "read_open_frames_per_s": _rate(read_open, frames),
        "gate_frames_per_s": _rate(through_gate(secured), frames),
        "accepted_share": accepted / frames,
        "ceiling_writes_per_minute": len(tuple(journal.records())) / (frames * FRAME_INTERVAL_MS / 60_000),
        "ceiling_write_bytes": journal.size_bytes / len(tuple(journal.records())),
    }


def _open_frames(profile: LinkProfile, open_bytes: int, frames: int) -> list[bytes]:
    """Full frames of packets of 100 bytes."""
    packets = PacketSender()
    assembler = FrameAssembler(profile.spacecraft_id, VirtualChannel.COMMANDS, frame_bytes=open_bytes)
    made: list[bytes] = []
    while len(made) < frames:
        assembler.push(packets.packet(Apid.FILES_UP, bytes(range(94))))
        frame = assembler.next_frame()
        if frame is not None:
            made.append(frame)
    return made


def _rate(work: Callable[[], object], frames: int) -> float:
    best_s = float("inf")
    for _ in range(ROUNDS):
        start_s = time.process_time()
        work()
        best_s = min(best_s, time.process_time() - start_s)
    return frames / best_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    figures = measure()
    if parser.parse_args().json:
        sys.stdout.write(json.dumps({name: round(value, 4) for name, value in figures.items()}, indent=1) + "\n")
        return 0
    for name, value in figures.items():
        sys.stdout.write(f"{name:30}{value:14,.3f}\n" if value < 100 else f"{name:30}{value:14,.0f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
