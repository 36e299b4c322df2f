"""What the link protocols cost: bytes on the downlink over bytes of layers, for several losses of transfer frames.

python -m benchmarks.link_overhead

One contact, long enough for everything; independent losses; seeds fixed. The extra bytes are headers of records,
packets, frames and files, fill at the end of a burst, and repeats. At a loss p no protocol that repeats whole frames can do better
than 1 / (1 - p), which is the last column.
"""

import random
from collections.abc import Iterator

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


def fly(seed: int, frame_loss: float) -> tuple[int, int]:
    """(bytes of layers, bytes on the downlink) of one contact that carries everything. Raises RuntimeError if it did not."""
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
    return sum(valued.layer.size_bytes for valued in captured), world.contact_logs[0].sent_bytes


def main() -> None:
    print(f"{'frame loss':>10} {'layers B':>12} {'link B':>12} {'link/layers':>12} {'1/(1-p)':>9}")
    for frame_loss in LOSSES:
        totals = [sum(column) for column in zip(*(fly(seed, frame_loss) for seed in SEEDS), strict=True)]
        ratio = totals[1] / totals[0]
        print(f"{frame_loss:>10.0%} {totals[0]:>12,} {totals[1]:>12,} {ratio:>12.4f} {1 / (1 - frame_loss):>9.4f}")


if __name__ == "__main__":
    main()
