"""What a seeded mission captures: synthetic layers of every kind and size, scene by scene, product by product."""

from dataclasses import dataclass

from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, FIRST_CHIP, SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from downlink.record import OVERHEAD_BYTES, Record, RecordKind, encode_record
from mission.dice import Dice
from onboard.valuation import ValuedLayer

LARGEST_PAYLOAD_BYTES = 65_536
LARGEST_EXPRESS_BYTES = 1200
MISLEADING = 0.1
"""Share of payloads that contain what looks like a record, or like the beginning of one. A whole record within a payload would
indeed be taken for one where a file breaks off before it; nothing that is sent contains one."""
NEVER_CAPTURED = LayerAddress(scene=0x12345678, product=0x1234, step=0x56)
"""The address in those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """What the pipeline emits at once: whole products."""

    at_ms: int
    """Mission time."""
    layers: tuple[ValuedLayer, ...]
    """Every step of its products."""


def seeded_captures(dice: Dice, *, times_ms: tuple[int, ...], total_bytes: int) -> tuple[Capture, ...]:
    """One scene per time, in several emissions, together about `total_bytes` on the link; ordered by time."""
    captures: list[Capture] = []
    for scene, start_ms in enumerate(times_ms, start=1):
        at_ms = start_ms
        products = _scene(dice, scene, captured_ms=start_ms, budget_bytes=total_bytes // len(times_ms))
        while products:
            taken = dice.whole(1, len(products))
            layers = tuple(layer for product in products[:taken] for layer in product)
            captures.append(Capture(at_ms=at_ms, layers=layers))
            del products[:taken]
            at_ms += dice.whole(1, 3000)
    return tuple(sorted(captures, key=lambda capture: capture.at_ms))


def _scene(dice: Dice, scene: int, *, captured_ms: int, budget_bytes: int) -> list[list[ValuedLayer]]:
    """The products of a scene: a summary, alerts, chips and blocks until the budget is spent."""
    products = [[_layer(dice, LayerAddress(scene=scene, product=SUMMARY_PRODUCT, step=0), Rung.SUMMARY, captured_ms)]]
    for batch in range(dice.whole(0, 4)):
        address = LayerAddress(scene=scene, product=ALERTS_PRODUCT, step=batch)
        products.append([_layer(dice, address, Rung.ALERT, captured_ms)])
    chips = blocks = spent_bytes = 0
    while spent_bytes < budget_bytes:
        if dice.chance(0.4):
            first, rung, chips = FIRST_CHIP + chips, Rung.CHIP, chips + 1
        else:
            first, rung, blocks = FIRST_BLOCK + blocks, Rung.REFINEMENT, blocks + 1
        steps = [
            _layer(dice, LayerAddress(scene=scene, product=first, step=step), rung, captured_ms, budget_bytes)
            for step in range(dice.whole(1, 6))
        ]
        products.append(steps)
        spent_bytes += sum(step.layer.size_bytes for step in steps)
    return products


def _layer(
    dice: Dice, address: LayerAddress, rung: Rung, captured_ms: int, budget_bytes: int = LARGEST_PAYLOAD_BYTES
) -> ValuedLayer:
    largest = LARGEST_EXPRESS_BYTES if address.is_express else min(LARGEST_PAYLOAD_BYTES, max(64, budget_bytes // 2))
    payload = dice.data(round(dice.skewed(1, largest)))
    if dice.chance(MISLEADING):
        payload = _misleading(dice, payload)
    return ValuedLayer(
        layer=Layer(
            address=address,
            rung=rung,
            size_bytes=OVERHEAD_BYTES + len(payload),
            value=0.0 if dice.chance(0.05) else dice.skewed(0.01, 1000),
            half_life_s=dice.skewed(1, 100_000),
            captured_ms=captured_ms,
        ),
        payload=payload,
    )


def _misleading(dice: Dice, payload: bytes) -> bytes:
    """A payload with a record whose checksum is wrong, or the head of a very long one, in its middle."""
    record = encode_record(Record(kind=RecordKind.LAYER, address=NEVER_CAPTURED, payload=b"\xeb\x71" * 3))
    inserted = record[:-1] + bytes([record[-1] ^ 1]) if dice.chance(0.5) else record[:10] + b"\x00\xff\xff\xff"
    middle = dice.whole(0, len(payload))
    return payload[:middle] + inserted + payload[middle:]
