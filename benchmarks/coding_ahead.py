"""How far ahead to code: python -m benchmarks.coding_ahead

Scenes of random texture, cloud and interest come once an orbit, and so does a contact, which carries more or less than
expected or nothing at all. Nothing is coded while a contact lasts. For every number of contacts ahead that sets the coding price: the
share of tiles that was coded, how many of those flew, and the value on the ground, against coding everything.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from downlink.backlog_price import backlog_price
from downlink.contact import Contact
from downlink.contact_groups import groups_at, windows_at
from downlink.layer_table import LayerTable, layer_table
from downlink.products import FIRST_BLOCK, LayerAddress
from onboard.coding_forecast import BlockForecast
from onboard.coding_queue import CodingQueue, UncodedImage
from onboard.policy import Policy, load_policy
from onboard.valuation import expected_layers

ORBIT_MS = 95 * 60_000
CONTACT_MS = 8 * 60_000
TILE_MPIX = 512 * 512 / 1e6
TILE_BYTES = 512 * 512 * 4 * 2
PEAK_DN = 10_000
KNOWN_CONTACTS = 12
"""Contacts that have been uploaded at any time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One mission, or several together."""

    tiles: int
    coded: int
    flown: int
    """Tiles of which at least the first step was sent."""
    value: float
    """Points of all that was sent, each at the contact that carried it."""


def main() -> int:
    """Prints one table for each room of a contact, or the same figures as JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.coding_ahead", description=__doc__)
    parser.add_argument(
        "--rooms-mb", type=float, nargs="+", default=[0.1, 0.3, 1.0], help="expected room of a contact, MB"
    )
    parser.add_argument("--ahead", type=int, nargs="+", default=[1, 2, 3, 4, 8], help="contacts that set the price")
    parser.add_argument("--missions", type=int, default=3)
    parser.add_argument("--orbits", type=int, default=20)
    parser.add_argument("--tiles", type=int, default=100, help="of one scene")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    rows = []
    for room_mb in arguments.rooms_mb:
        outcomes = {
            ahead: [
                fly(seed, room_mb * 1e6, ahead, orbits=arguments.orbits, tiles=arguments.tiles)
                for seed in range(arguments.missions)
            ]
            for ahead in (None, *arguments.ahead)
        }
        all_coded = sum(one.value for one in outcomes[None])
        rows += [_row(room_mb, ahead, missions, all_coded) for ahead, missions in outcomes.items()]
    sys.stdout.write((json.dumps(rows, indent=1) if arguments.json else _text(rows)) + "\n")
    return 0


def fly(seed: int, room_bytes: float, ahead: int | None, *, orbits: int, tiles: int) -> Outcome:
    """One mission. `ahead` None codes everything."""
    chance, policy = np.random.default_rng(seed), load_policy()
    queue, table, coded, flown, value = CodingQueue(), layer_table(()), 0, set(), 0.0
    contacts = [_contact(number, room_bytes) for number in range(orbits + KNOWN_CONTACTS)]
    for orbit in range(orbits):
        now_ms = orbit * ORBIT_MS
        queue.add(_scene(orbit, tiles, chance, policy))
        while True:
            windows = windows_at(contacts[: orbit + KNOWN_CONTACTS], now_ms=now_ms, payload_fraction=1.0)
            asked: dict[str, Any] = {"now_ms": now_ms, "requests": ()}
            price = 0.0 if ahead is None else backlog_price(table, windows, contacts_ahead=ahead, **asked)
            one = queue.best(price=price, **asked)
            if one is None:
                break
            queue.remove(one.scene, [one.product])
            table, coded = table.with_layers(one.layers), coded + 1
        carried = 0.0 if chance.random() < 0.1 else room_bytes * chance.lognormal(-0.02, 0.3)
        rows = _best_rows(table, contacts[orbit].aos_ms, carried)
        sent = table.layers[rows]
        value += float(table.values_at(contacts[orbit].aos_ms, rows).sum())
        flown |= {(layer.address.scene, layer.address.product) for layer in sent}
        table = table.without(layer.address for layer in sent)
    return Outcome(tiles=orbits * tiles, coded=coded, flown=len(flown), value=value)


def _scene(number: int, tiles: int, chance: np.random.Generator, policy: Policy) -> list[UncodedImage]:
    """Tiles whose error falls by 6 dB with every bit per sample from a random texture, under random cloud."""
    cloudy, interest = chance.random(), chance.lognormal(0.0, 0.5)
    images = []
    for tile in range(tiles):
        percents = np.array(policy.blocks.quality_percent)
        percents[-1] = chance.uniform(25, 60)  # what exactness takes
        texture = chance.lognormal(9.0, 1.5)
        mse = (*(texture * 4.0 ** -(1 + percents[:-1] / 100 * 16)), 0.0)
        sizes = np.diff(percents / 100 * TILE_BYTES, prepend=0.0)
        weight = max(policy.map.cloud, 1 - 1.5 * cloudy * chance.random()) + chance.exponential(0.3) * interest
        address = LayerAddress(scene=number, product=FIRST_BLOCK + tile, step=0)
        layers = expected_layers(
            BlockForecast(size_bytes=tuple(int(size) for size in sizes), mse=mse),
            address,
            points=policy.blocks.value * TILE_MPIX * weight,
            interest=policy.blocks,
            policy=policy,
            captured_ms=number * ORBIT_MS,
            peak_dn=PEAK_DN,
        )
        images.append(UncodedImage(scene=number, product=address.product, layers=layers, raw_bytes=TILE_BYTES))
    return images


def _contact(number: int, room_bytes: float) -> Contact:
    aos_ms = number * ORBIT_MS + ORBIT_MS // 2
    return Contact(
        contact_id=number,
        station="one",
        aos_ms=aos_ms,
        los_ms=aos_ms + CONTACT_MS,
        downlink_bps=int(room_bytes * 8000 / CONTACT_MS),
        uplink_bps=0,
        one_way_delay_ms=0,
        frame_loss=0.0,
    )


def _best_rows(table: LayerTable, now_ms: int, room_bytes: float) -> np.ndarray:
    """Rows of the layers that leave, best groups first, as far as they fit whole."""
    groups = groups_at(table, windows_at((), now_ms=now_ms, payload_fraction=1.0), (), now_ms)
    order = np.argsort(-groups.density, kind="stable")
    last = np.append(groups.first[1:], len(table))
    rows = [np.arange(groups.first[at], last[at]) for at in order.tolist()]
    leaving = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    return leaving[np.cumsum(table.size_bytes[leaving]) <= room_bytes]


def _row(room_mb: float, ahead: int | None, missions: list[Outcome], all_coded: float) -> dict[str, float | int | None]:
    tiles, coded, flown = (sum(getattr(one, name) for one in missions) for name in ("tiles", "coded", "flown"))
    return {
        "room_mb": room_mb,
        "contacts_ahead": ahead,
        "coded_share": coded / tiles,
        "coded_for_nothing_share": 1 - flown / max(1, coded),
        "value_share": sum(one.value for one in missions) / all_coded,
    }


def _text(rows: list[dict[str, float | int | None]]) -> str:
    lines = ["room MB  contacts ahead  tiles coded  of these never sent  value on the ground"]
    for row in rows:
        ahead = "all coded" if row["contacts_ahead"] is None else row["contacts_ahead"]
        lines.append(
            f"{row['room_mb']:7g}  {ahead:>14}  {row['coded_share']:11.1%}  {row['coded_for_nothing_share']:19.1%}"
            f"  {row['value_share']:19.2%}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
