"""What the whole stack costs: bytes on the downlink over bytes of layer payload, for several losses of transfer frames.

python -m benchmarks.link_overhead [--json]

The onboard computer and the ground station of the mission, one contact long enough for everything; independent losses on the
downlink, none on the uplink; seeds fixed. The extra bytes are headers of records (18 bytes each), packets, frames and files, fill at
the end of a burst, and repeats; the command report and the probes of file delivery are among them. `link / records` leaves the headers
of records out of the account. At a loss p no protocol that repeats whole frames can do better than 1 / (1 - p), the last column.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from downlink.contact import Contact
from downlink.link_profile import LinkProfile
from downlink.products import FIRST_BLOCK, Layer, LayerAddress, Rung
from downlink.record import OVERHEAD_BYTES
from mission.channel import ChannelSettings, GilbertElliott
from mission.contacts import PlannedContact
from mission.link_ends import ground_station, onboard_computer
from mission.simulation import World
from mission.streams import Streams
from onboard.link_events import LayersCaptured
from onboard.valuation import ValuedLayer

PRODUCTS = 60
PAYLOAD_BYTES = (210, 530, 1_700, 4_300, 9_100, 31_000)
"""Mean sizes of the steps of a block, near those of real Sentinel-2 tiles in a poor contact."""
LOSSES = (0.0, 0.02, 0.1, 0.2, 0.3)
SEEDS = (1, 2, 3)
RATE_BPS, DELAY_MS, DURATION_MS = 1_000_000, 25, 600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StackCost:
    """What one loss costs, over all seeds."""

    frame_loss: float
    """Share of downlink frames lost, independently."""
    payload_bytes: int
    """Bytes of layers without any header."""
    record_bytes: int
    """The same with the headers of their records."""
    link_bytes: int
    """Bytes of transfer frames sent down."""
    over_payload: float
    """`link_bytes` over `payload_bytes`."""
    over_records: float
    """`link_bytes` over `record_bytes`."""
    ideal: float
    """1 / (1 - p)."""


def layers(seed: int) -> Iterator[ValuedLayer]:
    """Products of six steps of scattered sizes and falling value per byte."""
    chance = random.Random(seed)
    for product in range(PRODUCTS):
        for step, mean_bytes in enumerate(PAYLOAD_BYTES):
            payload = chance.randbytes(round(mean_bytes * chance.uniform(0.4, 1.6)))
            layer = Layer(
                address=LayerAddress(scene=1, product=FIRST_BLOCK + product, step=step),
                rung=Rung.REFINEMENT,
                size_bytes=OVERHEAD_BYTES + len(payload),
                value=chance.uniform(0.5, 1.5) * len(payload) / 10**step,
                half_life_s=86_400.0,
                captured_ms=0,
            )
            yield ValuedLayer(layer=layer, payload=payload)


def fly(seed: int, frame_loss: float) -> tuple[int, int, int]:
    """(bytes of layer payload, of records, on the downlink) of one contact that carries everything. Raises RuntimeError if it did not."""
    contact = Contact(
        contact_id=0,
        station="bench",
        aos_ms=1_000,
        los_ms=1_000 + DURATION_MS,
        downlink_bps=RATE_BPS,
        uplink_bps=64_000,
        one_way_delay_ms=DELAY_MS,
        frame_loss=frame_loss,
    )
    loss = GilbertElliott.independent(frame_loss)
    planned = PlannedContact(
        contact=contact,
        downlink=ChannelSettings(rate_bps=RATE_BPS, delay_ms=DELAY_MS, loss=loss),
        uplink=ChannelSettings(rate_bps=contact.uplink_bps, delay_ms=DELAY_MS),
    )
    profile = LinkProfile()
    computer = onboard_computer(profile, capacity_bytes=1 << 30)
    world = World(computer, ground_station(profile), [planned], Streams(seed))
    captured = tuple(layers(seed))
    world.schedule(0, lambda: world.tell_computer(LayersCaptured(layers=captured)))
    world.run()
    if computer.store.backlog():
        raise RuntimeError(f"seed {seed}, loss {frame_loss}: {len(computer.store.backlog())} layers are not delivered")
    payload_bytes = sum(len(valued.payload) for valued in captured)
    record_bytes = sum(valued.layer.size_bytes for valued in captured)
    return payload_bytes, record_bytes, world.contact_logs[0].sent_bytes


def stack_cost(frame_loss: float, *, seeds: Sequence[int] = SEEDS) -> StackCost:
    """All seeds at one loss. Raises RuntimeError where a contact did not carry everything."""
    payload_bytes, record_bytes, link_bytes = (
        sum(column) for column in zip(*(fly(seed, frame_loss) for seed in seeds), strict=True)
    )
    return StackCost(
        frame_loss=frame_loss,
        payload_bytes=payload_bytes,
        record_bytes=record_bytes,
        link_bytes=link_bytes,
        over_payload=link_bytes / payload_bytes,
        over_records=link_bytes / record_bytes,
        ideal=1 / (1 - frame_loss),
    )


def measure(*, losses: Sequence[float] = LOSSES, seeds: Sequence[int] = SEEDS) -> list[StackCost]:
    """Every loss."""
    return [stack_cost(frame_loss, seeds=seeds) for frame_loss in losses]


def overhead_table(costs: Sequence[StackCost]) -> Iterator[str]:
    """Lines of text: a row per loss."""
    yield f"{'loss':>5} {'payload B':>12} {'link B':>12} {'link/payload':>13} {'link/records':>13} {'1/(1-p)':>9}"
    for cost in costs:
        yield (
            f"{cost.frame_loss:>5.0%} {cost.payload_bytes:>12,} {cost.link_bytes:>12,} {cost.over_payload:>13.4f} "
            f"{cost.over_records:>13.4f} {cost.ideal:>9.4f}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    as_json = parser.parse_args(arguments).json
    costs = measure()
    if as_json:
        sys.stdout.write(json.dumps([asdict(cost) for cost in costs], indent=1) + "\n")
    else:
        sys.stdout.write("\n".join(overhead_table(costs)) + "\n")


if __name__ == "__main__":
    main()
