"""When erasure coding without feedback beats file delivery with it: value by the end of a pass, and time until 99 % of it.

python -m benchmarks.erasure_feedback [--seeds 3] [--json FILE]

CFDP class 2 with NAKs against `downlink.erasure_sender`, over the same seeded losses on a downlink of 1 Mbit/s; the
uplink has 64 kbit/s, frames of 256 bytes and losses of its own. In the short pass the frames carry every layer once, in
the long one three times over. The erasure sender reckons with the true loss but hears nothing.
"""

import argparse
import heapq
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.erasure import PROFILE, RATE_BPS, ZONE_BYTES, Scene, seeded_scene, usable
from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_events import FileCompleted
from downlink.cfdp_source import CfdpSource
from downlink.erasure_receiver import ErasureReceiver
from downlink.erasure_sender import ErasureSender
from downlink.frame_assembler import FrameAssembler
from downlink.frame_loss import expected_loss
from downlink.frame_reader import FrameReader
from downlink.link_profile import Apid, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.record import Record, scan_records
from downlink.space_packet import PRIMARY_HEADER_BYTES
from mission.channel import Channel, ChannelSettings, GilbertElliott
from mission.streams import Streams

LOSSES = (0.02, 0.1, 0.3, 0.5)
UPLINKS = ((20, 0.0), (600, 0.0), (3000, 0.0), (20, 0.5), (20, 0.7), (20, 0.9), (600, 0.5))
"""One-way delay in ms of both directions, share of uplink frames lost."""
SHORT_PASS, LONG_PASS = 1.0, 3.0
UPLINK_BPS = 64_000
UPLINK_ROOM_BYTES = 240
WANTED = 0.99

Arrivals = list[tuple[int, tuple[Record, ...]]]
"""(time in ms, records that came to hand then)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRow:
    """One scheme on one kind of link, mean over the seeds."""

    scheme: str
    """`cfdp` or `erasure`."""
    frame_loss: float
    """Of the downlink."""
    delay_ms: int
    """One way."""
    uplink_loss: float
    """Share of uplink frames lost."""
    value_share: float
    """Value usable at the end of the short pass, over all value."""
    wanted_s: float | None
    """Until WANTED of all value is usable in the long pass; None: not in every seed."""


class Downlink:
    """Packets to frames to arrivals, one frame per slot."""

    def __init__(self, seed: int, *, frame_loss: float, delay_ms: int, apid: Apid) -> None:
        settings = ChannelSettings(rate_bps=RATE_BPS, delay_ms=delay_ms, loss=GilbertElliott.independent(frame_loss))
        self.channel = Channel(settings, Streams(seed).generator("erasure downlink"))
        self.assembler = FrameAssembler(PROFILE.spacecraft_id, VirtualChannel.FILES, frame_bytes=PROFILE.frame_bytes)
        self.reader = FrameReader(PROFILE.spacecraft_id)
        self.packets = PacketSender()
        self.apid = apid
        self.coming: list[tuple[int, int, bytes]] = []

    @property
    def room_bytes(self) -> int:
        """For the data of one more packet in this frame."""
        return 0 if self.assembler.full_frame_ready else self.assembler.room_bytes - PRIMARY_HEADER_BYTES

    def push(self, data: bytes) -> None:
        self.assembler.push(self.packets.packet(self.apid, data))

    def send(self, now_ms: int) -> None:
        frame = self.assembler.next_frame(flush=True)
        if frame is not None:
            for arrival in self.channel.transmit(frame, now_ms):
                heapq.heappush(self.coming, (arrival.at_ms, len(self.coming), arrival.frame))

    def heard(self, now_ms: int) -> Iterator[bytes]:
        """Data of packets that have arrived by now."""
        while self.coming and self.coming[0][0] <= now_ms:
            yield from (one.data for one in self.reader.feed(heapq.heappop(self.coming)[2]).packets if not one.is_idle)


def slot_ms(number: int) -> int:
    """When frame `number` begins."""
    return number * PROFILE.frame_bytes * 8000 // RATE_BPS


def cfdp_pass(
    scene: Scene, seed: int, frames: int, *, frame_loss: float, delay_ms: int, uplink_loss: float
) -> Arrivals:
    """Bundles as files of class 2, best first, with everything that file delivery can ask for."""
    down = Downlink(seed, frame_loss=frame_loss, delay_ms=delay_ms, apid=Apid.FILES_DOWN)
    loss = GilbertElliott.independent(uplink_loss)
    uplink = Channel(
        ChannelSettings(rate_bps=UPLINK_BPS, delay_ms=delay_ms, loss=loss), Streams(seed).generator("erasure uplink")
    )
    source = CfdpSource(PROFILE.onboard_entity, PROFILE.ground_entity, PROFILE.source_settings)
    destination = CfdpDestination(PROFILE.ground_entity, (PROFILE.onboard_entity,), PROFILE.destination_settings)
    for number, content in enumerate(bundles(scene)):
        source.put(
            transaction_seq=number, source_name="", destination_name="", file_bytes=content, priority=1_000_000 - number
        )
    answers: list[tuple[int, int, list[bytes]]] = []
    arrivals: Arrivals = []
    for slot in range(frames):
        now_ms = slot_ms(slot)
        events = [event for data in down.heard(now_ms) for event in destination.receive(data, now_ms)]
        for event in [*events, *destination.take_events()]:
            if isinstance(event, FileCompleted):
                arrivals.append((now_ms, scan_records(event.data).records))
        if uplink.busy_until_ms <= now_ms:
            send_answers(destination, uplink, now_ms, answers)
        while answers and answers[0][0] <= now_ms:
            for pdu in heapq.heappop(answers)[2]:
                source.receive(pdu, now_ms)
        while down.room_bytes > 0 and (pdu_out := source.next_pdu(now_ms, down.room_bytes)) is not None:
            down.push(pdu_out)
        down.send(now_ms)
    last_ms = slot_ms(frames) + delay_ms
    for data in down.heard(last_ms):
        for event in destination.receive(data, last_ms):
            if isinstance(event, FileCompleted):
                arrivals.append((last_ms, scan_records(event.data).records))
    beginnings = (scan_records(destination.prefix(one)).records for one in destination.open_transactions)
    arrivals.extend((last_ms, records) for records in beginnings)
    return arrivals


def send_answers(
    destination: CfdpDestination, uplink: Channel, now_ms: int, answers: list[tuple[int, int, list[bytes]]]
) -> None:
    """One uplink frame of whatever the destination has to say."""
    pdus: list[bytes] = []
    room = UPLINK_ROOM_BYTES
    while room > 0 and (pdu := destination.next_pdu(now_ms)) is not None:
        pdus.append(pdu)
        room -= len(pdu) + PRIMARY_HEADER_BYTES
    if pdus:
        for arrival in uplink.transmit(bytes(PROFILE.uplink_frame_bytes), now_ms):
            heapq.heappush(answers, (arrival.at_ms, len(answers), pdus))


def bundles(scene: Scene) -> Iterator[bytes]:
    """Layers best first in files of the usual size."""
    content = b""
    for offer in scene.offers:
        if content and len(content) + offer.size_bytes > PROFILE.bundle_bytes:
            yield content
            content = b""
        content += scene.records[offer.address]
    yield content


def erasure_pass(scene: Scene, seed: int, frames: int, *, frame_loss: float, delay_ms: int) -> Arrivals:
    """The erasure sender, deaf."""
    down = Downlink(seed, frame_loss=frame_loss, delay_ms=delay_ms, apid=Apid.ERASURE_DOWN)
    sender = ErasureSender(scene.records.__getitem__, packet_bytes=PROFILE.pdu_bytes)
    sender.begin(scene.offers, expected_loss(frame_loss), capacity_bytes=frames * ZONE_BYTES)
    receiver = ErasureReceiver()
    arrivals: Arrivals = []
    for slot in range(frames + 1):
        now_ms = slot_ms(slot) + (delay_ms if slot == frames else 0)
        for data in down.heard(now_ms):
            reading = receiver.receive(data)
            if reading.records:
                arrivals.append((now_ms, reading.records))
        while slot < frames and down.room_bytes > 0 and (data_out := sender.next_packet(down.room_bytes)) is not None:
            down.push(data_out)
        down.send(now_ms)
    arrivals.append((slot_ms(frames) + delay_ms, receiver.whole_records()))
    return arrivals


def time_of(scene: Scene, arrivals: Arrivals, wanted: float) -> int | None:
    """When so much of the value could be used; None: never."""
    records: list[Record] = []
    for place, (at_ms, more) in enumerate(arrivals):
        records.extend(more)
        last_of_its_moment = place + 1 == len(arrivals) or arrivals[place + 1][0] > at_ms
        if last_of_its_moment and usable(scene, records)[0] >= wanted:
            return at_ms
    return None


def feedback_rows(seeds: Sequence[int]) -> list[FeedbackRow]:
    """Both schemes on every link."""
    rows = []
    for frame_loss in LOSSES:
        for delay_ms, uplink_loss in UPLINKS:
            for scheme in ("cfdp", "erasure"):
                values, times = [], []
                for seed in seeds:
                    scene = seeded_scene(seed)
                    for capacity in (SHORT_PASS, LONG_PASS):
                        frames = round(capacity * scene.total_bytes / (ZONE_BYTES - PRIMARY_HEADER_BYTES))
                        arrivals = (
                            cfdp_pass(
                                scene,
                                seed,
                                frames,
                                frame_loss=frame_loss,
                                delay_ms=delay_ms,
                                uplink_loss=uplink_loss,
                            )
                            if scheme == "cfdp"
                            else erasure_pass(scene, seed, frames, frame_loss=frame_loss, delay_ms=delay_ms)
                        )
                        if capacity == SHORT_PASS:
                            values.append(usable(scene, [one for _, records in arrivals for one in records])[0])
                        else:
                            times.append(time_of(scene, arrivals, WANTED))
                reached = [at_ms for at_ms in times if at_ms is not None]
                rows.append(
                    FeedbackRow(
                        scheme=scheme,
                        frame_loss=frame_loss,
                        delay_ms=delay_ms,
                        uplink_loss=uplink_loss,
                        value_share=sum(values) / len(values),
                        wanted_s=sum(reached) / len(reached) / 1000 if len(reached) == len(times) else None,
                    )
                )
    return rows


def feedback_table(rows: Sequence[FeedbackRow]) -> Iterator[str]:
    """Lines of text: a row per link."""
    yield f"{'loss':>5} {'delay':>6} {'up lost':>7}   value at LOS: cfdp  erasure   s to 99 %: cfdp  erasure"
    for cfdp, erasure in zip(rows[::2], rows[1::2], strict=True):
        times = "".join(f"{'-' if row.wanted_s is None else f'{row.wanted_s:.1f}':>9}" for row in (cfdp, erasure))
        yield (
            f"{cfdp.frame_loss:>5.0%} {cfdp.delay_ms:>6} {cfdp.uplink_loss:>7.0%} "
            f"{cfdp.value_share:>20.3f} {erasure.value_share:>8.3f} {times:>26}"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="passes per figure (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the rows there")
    arguments = parser.parse_args()
    rows = feedback_rows(range(1, arguments.seeds + 1))
    sys.stdout.write("\n".join(feedback_table(rows)) + "\n")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
