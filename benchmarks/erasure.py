"""What erasure coding with unequal protection is worth where nobody answers, and how fast it is.

python -m benchmarks.erasure [--seeds 5] [--json FILE] [--svg FILE]

One pass over a station that only listens, the same number of transfer frames for everybody, the same seeded losses:

- `files`: bundles of layers as CFDP files, best first, once; begun again from the front where frames are left over.
- `uniform`: the same bundles coded by RaptorQ, K / (1 - p) and 4 % symbols of each.
- `unequal`: `downlink.erasure_sender`: objects and repair symbols ranked by value per byte.

Figures are shares of all value and of all layers, where a layer counts once its earlier steps are there too. Records
that are whole in what arrived count for all three, decoded or not.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

from benchmarks.erasure_plot import draw
from downlink.cfdp_decoding import decode_pdu
from downlink.cfdp_pdu import FileData
from downlink.cfdp_source import CfdpSource
from downlink.erasure_code import decode_object, encode_symbols
from downlink.erasure_object import ErasureOffer, group_offers
from downlink.erasure_packet import SymbolPacket, shape_for
from downlink.erasure_receiver import ErasureReceiver
from downlink.erasure_sender import ErasureSender
from downlink.frame_assembler import FrameAssembler
from downlink.frame_loss import LossBelief, expected_loss
from downlink.frame_reader import FrameReader
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.products import FIRST_BLOCK, Layer, LayerAddress, Rung
from downlink.protection import uniform_symbols
from downlink.record import OVERHEAD_BYTES, Record, RecordKind, encode_record, scan_records
from downlink.scheduler import rank_groups
from downlink.space_packet import PRIMARY_HEADER_BYTES
from downlink.transfer_frame import FRAME_OVERHEAD_BYTES
from mission.channel import Channel, ChannelSettings, GilbertElliott
from mission.streams import Streams

PRODUCTS = 60
STEP_BYTES = (210, 530, 1_700, 4_300, 9_100, 31_000)
"""Mean payload of the steps of a block, near those of real Sentinel-2 tiles in a poor contact."""
STEP_DENSITY = (1.0, 0.5, 0.2, 0.08, 0.03, 0.01)
"""Their value per byte."""
RATE_BPS = 1_000_000
LOSSES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
BURSTS = (None, 8.0)
"""Mean runs of lost frames; None: independent losses."""
CAPACITIES = (0.25, 0.5, 1.0, 2.0)
"""Frames of the pass over frames that carry every layer once."""
SOURCE_SYMBOLS = (1, 4, 16, 64, 256, 1024, 4096)
"""Sizes of objects whose coding is timed."""
SCHEMES = ("files", "uniform", "unequal")
PROFILE = LinkProfile()
ZONE_BYTES = PROFILE.frame_bytes - FRAME_OVERHEAD_BYTES

NextPacket = Callable[[int, int], bytes | None]
"""(now_ms, room for packet data) to the data of a packet, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What there is to send."""

    offers: tuple[ErasureOffer, ...]
    """Best first."""
    records: dict[LayerAddress, bytes]
    """Encoded."""
    values: dict[LayerAddress, float]
    """Of each layer by itself."""

    @property
    def total_bytes(self) -> int:
        return sum(map(len, self.records.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class OneWayRow:
    """One scheme in one kind of pass, mean over the seeds."""

    scheme: str
    """One of SCHEMES."""
    capacity: float
    """Frames of the pass over frames that carry every layer once."""
    expected_loss: float
    """What the sender reckons with."""
    frame_loss: float
    """What the channel does."""
    burst_frames: float | None
    """Mean run of lost frames; None: independent."""
    value_share: float
    """Value of layers on the ground that can be used, over all value."""
    layer_share: float
    """Those layers over all layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedRow:
    """The code itself on one core."""

    source_symbols: int
    """K."""
    encode_mb_per_s: float
    """Object bytes, with 40 % repair symbols."""
    decode_mb_per_s: float
    """Object bytes, from a random set of K + 1 symbols of those."""


def seeded_scene(seed: int) -> Scene:
    """Products of six steps of scattered sizes and falling value per byte."""
    chance = random.Random(seed)
    layers, records, values = [], {}, {}
    for product in range(PRODUCTS):
        worth = chance.lognormvariate(0, 1)
        for step, (mean_bytes, density) in enumerate(zip(STEP_BYTES, STEP_DENSITY, strict=True)):
            payload = chance.randbytes(round(mean_bytes * chance.uniform(0.4, 1.6)))
            address = LayerAddress(scene=1, product=FIRST_BLOCK + product, step=step)
            value = worth * density * len(payload)
            records[address] = encode_record(Record(kind=RecordKind.LAYER, address=address, payload=payload))
            values[address] = value
            size_bytes = OVERHEAD_BYTES + len(payload)
            layers.append(
                Layer(
                    address=address,
                    rung=Rung.REFINEMENT,
                    size_bytes=size_bytes,
                    value=value,
                    half_life_s=1e9,
                    captured_ms=0,
                )
            )
    offers = tuple(
        ErasureOffer(address=layer.address, size_bytes=layer.size_bytes, value=group.density * layer.size_bytes)
        for group in rank_groups(layers, 0)
        for layer in group.layers
    )
    return Scene(offers=offers, records=records, values=values)


def usable(scene: Scene, arrived: Iterable[Record]) -> tuple[float, float]:
    """(share of value, share of layers) of what arrived and has its earlier steps."""
    here = {record.address for record in arrived}
    used: set[LayerAddress] = set()
    for address in sorted(here):
        if address.previous is None or address.previous in used:
            used.add(address)
    value = sum(scene.values[address] for address in used) / sum(scene.values.values())
    return value, len(used) / len(scene.values)


def fly(next_packet: NextPacket, apid: Apid, channel: Channel, frames: int) -> Iterator[bytes]:
    """Data of the packets that arrive of a pass of so many frames."""
    assembler = FrameAssembler(PROFILE.spacecraft_id, VirtualChannel.ERASURE, frame_bytes=PROFILE.frame_bytes)
    reader, packets = FrameReader(PROFILE.spacecraft_id), PacketSender()
    for number in range(frames):
        now_ms = number * PROFILE.frame_bytes * 8000 // RATE_BPS
        while not assembler.full_frame_ready:
            data = next_packet(now_ms, assembler.room_bytes - PRIMARY_HEADER_BYTES)
            if data is None:
                break
            assembler.push(packets.packet(apid, data))
        frame = assembler.next_frame(flush=True)
        if frame is None:
            return
        for arrival in channel.transmit(frame, now_ms):
            yield from (one.data for one in reader.feed(arrival.frame).packets if one.apid == apid)


def files_pass(scene: Scene, channel: Channel, frames: int) -> list[Record]:
    """CFDP without feedback, over and over."""
    source = CfdpSource(PROFILE.onboard_entity, PROFILE.ground_entity, PROFILE.source_settings)
    bundles = []
    content = b""
    for offer in scene.offers:
        if content and len(content) + offer.size_bytes > PROFILE.bundle_bytes:
            bundles.append(content)
            content = b""
        content += scene.records[offer.address]
    again = cycle(enumerate([*bundles, content]))
    puts = 0

    def next_packet(now_ms: int, room_bytes: int) -> bytes | None:
        nonlocal puts
        if source.unsent_priority is None:
            number, file_bytes = next(again)
            numbers.append(number)
            source.put(transaction_seq=puts, source_name="", destination_name="", file_bytes=file_bytes)
            puts += 1
        return source.next_pdu(now_ms, room_bytes)

    numbers: list[int] = []
    segments: dict[int, dict[int, bytes]] = {}
    for data in fly(next_packet, Apid.FILES_DOWN, channel, frames):
        pdu = decode_pdu(data)
        if isinstance(pdu, FileData):
            segments.setdefault(numbers[pdu.header.transaction_seq], {})[pdu.offset] = bytes(pdu.data)
    return [record for held in segments.values() for record in records_in(held)]


def records_in(segments: dict[int, bytes]) -> tuple[Record, ...]:
    """Whole records in the gapless runs of a file."""
    records: list[Record] = []
    run, end = b"", -1
    for offset, data in sorted(segments.items()):
        if offset > end:
            records.extend(scan_records(run, final=True).records)
            run, end = b"", offset
        run += data[end - offset :]
        end = max(end, offset + len(data))
    return (*records, *scan_records(run, final=True).records)


def uniform_pass(scene: Scene, channel: Channel, frames: int, loss: LossBelief) -> list[Record]:
    """Bundles coded alike, over and over with new symbols."""
    packet_bytes = PROFILE.pdu_bytes

    def symbols() -> Iterator[bytes]:
        bundle_symbols = [16] * len(scene.offers)
        groups = list(group_offers(scene.offers, packet_bytes, bundle_symbols))
        for again in range(100):
            for number, group in enumerate(groups):
                content = b"".join(scene.records[offer.address] for offer in group)
                shape = shape_for(len(content), packet_bytes)
                count = uniform_symbols(shape.source_symbols, loss.mean if loss.mean > 1e-3 else 0.0)
                coded = encode_symbols(content, shape.symbol_bytes, first=again * count, count=count)
                for place, symbol in enumerate(coded):
                    yield SymbolPacket(
                        object_number=number, shape=shape, identifier=again * count + place, symbol=symbol
                    ).encode()

    waiting: list[bytes] = []
    coming = symbols()

    def next_packet(now_ms: int, room_bytes: int) -> bytes | None:
        if not waiting:
            waiting.append(next(coming))
        return waiting.pop() if len(waiting[0]) <= room_bytes else None

    return received(fly(next_packet, Apid.ERASURE_DOWN, channel, frames))


def unequal_pass(scene: Scene, channel: Channel, frames: int, loss: LossBelief) -> list[Record]:
    """The erasure sender."""
    sender = ErasureSender(scene.records.__getitem__, packet_bytes=PROFILE.pdu_bytes)
    sender.begin(scene.offers, loss, capacity_bytes=frames * ZONE_BYTES)
    return received(fly(lambda now_ms, room_bytes: sender.next_packet(room_bytes), Apid.ERASURE_DOWN, channel, frames))


def received(packets: Iterable[bytes]) -> list[Record]:
    """What the receiver makes of them, with what it can read of objects that stay incomplete."""
    receiver = ErasureReceiver()
    records = [record for data in packets for record in receiver.receive(data).records]
    return [*records, *receiver.whole_records()]


def one_way(
    scheme: str, seed: int, *, capacity: float, expected: float, frame_loss: float, burst_frames: float | None
) -> tuple[float, float]:
    """(share of value, share of layers) of one pass of one seed."""
    scene = seeded_scene(seed)
    frames = round(capacity * scene.total_bytes / (ZONE_BYTES - PRIMARY_HEADER_BYTES))
    loss = GilbertElliott.independent(frame_loss)
    if burst_frames is not None and frame_loss > 0:
        loss = GilbertElliott.with_mean(frame_loss, p_bad_to_good=1 / burst_frames, loss_good=0.0, loss_bad=1.0)
    channel = Channel(
        ChannelSettings(rate_bps=RATE_BPS, delay_ms=5, loss=loss), Streams(seed).generator("erasure downlink")
    )
    belief = expected_loss(expected, burst_frames=burst_frames)
    if scheme == "files":
        return usable(scene, files_pass(scene, channel, frames))
    if scheme == "uniform":
        return usable(scene, uniform_pass(scene, channel, frames, belief))
    return usable(scene, unequal_pass(scene, channel, frames, belief))


def one_way_rows(
    seeds: Sequence[int], *, capacities: Sequence[float] = CAPACITIES, losses: Sequence[float] = LOSSES
) -> list[OneWayRow]:
    """Every loss with the plan right, and the plan wrong both ways."""
    cases = [
        (capacity, loss, loss, burst)
        for capacity in capacities
        for burst in BURSTS
        for loss in losses
        if loss or burst is None
    ]
    cases += [(1.0, expected, loss, None) for expected, loss in ((0.1, 0.3), (0.3, 0.1), (0.02, 0.2))]
    rows = []
    for capacity, expected, loss, burst in cases:
        for scheme in SCHEMES:
            results = [
                one_way(scheme, seed, capacity=capacity, expected=expected, frame_loss=loss, burst_frames=burst)
                for seed in seeds
            ]
            rows.append(
                OneWayRow(
                    scheme=scheme,
                    capacity=capacity,
                    expected_loss=expected,
                    frame_loss=loss,
                    burst_frames=burst,
                    value_share=sum(value for value, _ in results) / len(results),
                    layer_share=sum(layers for _, layers in results) / len(results),
                )
            )
    return rows


def speed_rows(sizes: Sequence[int] = SOURCE_SYMBOLS) -> list[SpeedRow]:
    """Encoding and decoding per CPU second."""
    rows = []
    chance = random.Random(1)
    for source_symbols in sizes:
        symbol_bytes = 1088
        data = chance.randbytes(source_symbols * symbol_bytes - 5)
        shape = shape_for(len(data), PROFILE.pdu_bytes)
        repeats = max(2, 2048 // source_symbols)
        count = source_symbols + max(2, source_symbols * 2 // 5)
        start = time.process_time()
        for _ in range(repeats):
            symbols = encode_symbols(data, shape.symbol_bytes, first=0, count=count)
        encoded_s = time.process_time() - start
        kept = {number: symbols[number] for number in chance.sample(range(1, count), source_symbols + 1)}
        start = time.process_time()
        for _ in range(repeats):
            if decode_object(shape, kept) not in (data, None):
                raise RuntimeError(f"object of {source_symbols} symbols decoded to something else")
        decoded_s = time.process_time() - start
        rows.append(
            SpeedRow(
                source_symbols=source_symbols,
                encode_mb_per_s=repeats * len(data) / encoded_s / 1e6,
                decode_mb_per_s=repeats * len(data) / decoded_s / 1e6,
            )
        )
    return rows


def one_way_table(rows: Sequence[OneWayRow]) -> Iterator[str]:
    """Lines of text: a row per kind of pass, value (layers) per scheme."""
    yield f"{'frames':>6} {'bursts':>6} {'plan':>5} {'loss':>5}  " + "".join(f"{scheme:>18}" for scheme in SCHEMES)
    for start in range(0, len(rows), len(SCHEMES)):
        first, cells = rows[start], rows[start : start + len(SCHEMES)]
        burst = "-" if first.burst_frames is None else f"{first.burst_frames:g}"
        yield (
            f"{first.capacity:>6g} {burst:>6} {first.expected_loss:>5.0%} {first.frame_loss:>5.0%}  "
            + "".join(f"{f'{row.value_share:.3f} ({row.layer_share:.3f})':>18}" for row in cells)
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="passes per figure (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the rows there")
    parser.add_argument("--svg", type=Path, help="draw the one-way comparison there")
    arguments = parser.parse_args()
    one_way_found, speed_found = one_way_rows(range(1, arguments.seeds + 1)), speed_rows()
    sys.stdout.write("\n".join(one_way_table(one_way_found)) + "\n\n")
    sys.stdout.write(f"{'K':>5} {'encode MB/s':>12} {'decode MB/s':>12}\n")
    for row in speed_found:
        sys.stdout.write(f"{row.source_symbols:>5} {row.encode_mb_per_s:>12.0f} {row.decode_mb_per_s:>12.0f}\n")
    if arguments.svg:
        arguments.svg.write_text(draw(one_way_found), encoding="utf-8")
    if arguments.json:
        found = {"one_way": [asdict(row) for row in one_way_found], "speed": [asdict(row) for row in speed_found]}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
