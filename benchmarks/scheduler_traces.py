"""Seeded days of scenes for the scheduler's benchmark: layers as the pipeline makes them, and the contacts they wait for.

Half-lives and points come from the policy that ships. Sizes and the shares of value per step are those that the pipeline gave
for the sample scenes (median bytes of a step, spread as a lognormal): a tile of 512 x 512 pixels in four bands is worth about
one point in all its steps, an alert batch as many points as it holds expected ships, a chip half of that.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from downlink.alerts import BATCH_LIMIT, DETECTION_BYTES
from downlink.contact import Contact
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, FIRST_CHIP, SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from downlink.record import OVERHEAD_BYTES
from mission.streams import Streams
from onboard.policy import Policy, load_policy

DAY_MS = 86_400_000
START_MS = 1_750_000_000_000
SUMMARY_BYTES = 752
BLOCK_STEPS = ((3481, 0.27), (6497, 0.135), (18_780, 0.17), (43_144, 0.19), (100_946, 0.135), (390_761, 0.05))
CHIP_STEPS = ((350, 0.55), (464, 0.3), (917, 0.05), (1590, 0.0), (1914, 0.05))
"""Median bytes and mean share of the value, per step."""
SPREAD = 0.35
"""Standard deviation of the logarithm of sizes and shares."""
TILE_MPIX = 0.262144


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a satellite takes in a day."""

    scenes: tuple[tuple[int, tuple[Layer, ...]], ...]
    """Time of capture and layers in the order in which the pipeline makes them, in order of time."""

    @property
    def layers(self) -> list[Layer]:
        """All layers of all scenes."""
        return list(itertools.chain.from_iterable(layers for _, layers in self.scenes))

    @property
    def size_bytes(self) -> int:
        """Bytes of all layers."""
        return sum(layer.size_bytes for layer in self.layers)


def day_of_scenes(streams: Streams, *, scenes: int, tiles: int = 18, span_ms: int = DAY_MS) -> Trace:
    """Scenes at random times; half of them are open sea with hardly a ship, some are full of them."""
    rng = streams.generator("trace")
    policy = load_policy()
    times = np.sort(START_MS + rng.integers(0, span_ms, scenes))
    return Trace(
        scenes=tuple(
            (int(time_ms), _scene(number, int(time_ms), tiles, policy, rng)) for number, time_ms in enumerate(times)
        )
    )


def contacts_of_a_day(
    streams: Streams, *, count: int, capacity_bytes: int, span_ms: int = DAY_MS + DAY_MS // 6
) -> list[Contact]:
    """Contacts of five to ten minutes, spread with some chance over a day and four hours, that carry so many bytes together."""
    rng = streams.generator("contacts")
    slots = span_ms / count
    minutes = rng.uniform(5, 10, count)
    bps = max(1, round(capacity_bytes * 8 / float(minutes.sum() * 60)))
    contacts = []
    for number, length in enumerate(minutes):
        aos_ms = START_MS + int((number + rng.uniform(0.1, 0.8)) * slots)
        contacts.append(
            Contact(
                contact_id=number, station="Svalbard", aos_ms=aos_ms, los_ms=aos_ms + int(length * 60_000), downlink_bps=bps,
                uplink_bps=64_000, one_way_delay_ms=5, frame_loss=0.0,
            )
        )  # fmt: skip
    return contacts


def _scene(number: int, captured_ms: int, tiles: int, policy: Policy, rng: np.random.Generator) -> tuple[Layer, ...]:
    ships = int(rng.poisson(rng.choice((0.3, 12.0, 45.0), p=(0.5, 0.4, 0.1))))
    confidence = np.sort(rng.beta(4, 2, ships))[::-1]
    layers = [
        _layer(
            number,
            SUMMARY_PRODUCT,
            0,
            Rung.SUMMARY,
            SUMMARY_BYTES,
            policy.summary.value,
            policy.summary.half_life_s,
            captured_ms,
        )
    ]
    for batch, start in enumerate(range(0, ships, BATCH_LIMIT)):
        held = confidence[start : start + BATCH_LIMIT]
        size_bytes = OVERHEAD_BYTES + 8 + DETECTION_BYTES * len(held)
        value = policy.alerts.value * float(held.sum())
        layers.append(
            _layer(number, ALERTS_PRODUCT, batch, Rung.ALERT, size_bytes, value, policy.alerts.half_life_s, captured_ms)
        )
    clusters = np.array_split(confidence, max(1, round(ships / 1.6))) if ships else []
    for chip, members in enumerate(clusters):
        layers += _image(number, FIRST_CHIP + chip, CHIP_STEPS, policy.chips.value * float(members.sum()),
                         policy.chips.half_life_s, captured_ms, rng)  # fmt: skip
    for tile in range(tiles):
        clear = float(rng.beta(1.2, 0.5))
        layers += _image(number, FIRST_BLOCK + tile, BLOCK_STEPS, policy.blocks.value * TILE_MPIX * clear,
                         policy.blocks.half_life_s, captured_ms, rng)  # fmt: skip
    return tuple(layers)


def _image(
    scene: int, product: int, steps: tuple[tuple[int, float], ...], points: float, half_life_s: float, captured_ms: int,
    rng: np.random.Generator,
) -> list[Layer]:  # fmt: skip
    size = rng.lognormal(0, SPREAD)
    layers = []
    for step, (median_bytes, share) in enumerate(steps):
        if product >= FIRST_CHIP:
            rung = Rung.CHIP
        else:
            rung = Rung.PREVIEW if step == 0 else Rung.LOSSLESS if step == len(steps) - 1 else Rung.REFINEMENT
        size_bytes = OVERHEAD_BYTES + int(median_bytes * size * rng.lognormal(0, SPREAD / 4))
        value = points * share * float(rng.lognormal(0, SPREAD))
        layers.append(_layer(scene, product, step, rung, size_bytes, value, half_life_s, captured_ms))
    return layers


def _layer(
    scene: int, product: int, step: int, rung: Rung, size_bytes: int, value: float, half_life_s: float, captured_ms: int
) -> Layer:
    address = LayerAddress(scene=scene, product=product, step=step)
    return Layer(
        address=address, rung=rung, size_bytes=size_bytes, value=value, half_life_s=half_life_s, captured_ms=captured_ms
    )
