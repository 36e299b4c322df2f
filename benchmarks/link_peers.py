"""Bytes on the link over bytes of the file, for several losses: our CFDP entities, cfdp-py, LibreCube's cfdp, and the ideal.

python -m benchmarks.link_peers [--json]

One file, class 2, one PDU in each frame, the emulated channel in virtual time, seeds fixed. Both directions lose PDUs with the same
chance. At a loss p no protocol that repeats what was lost does better than 1 / (1 - p); the headers of a file of so many PDUs come
on top. A transfer that is not over after ten virtual minutes has failed: its bytes do not count, and the table says so.
"""

import argparse
import heapq
import json
import logging
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.link_peer_ends import (
    CfdpPyDestination,
    CfdpPySource,
    End,
    LibreCubeEnd,
    OurDestination,
    OurSource,
    VirtualClock,
    virtual_peers,
)
from mission.channel import Channel, ChannelSettings, GilbertElliott
from mission.streams import Streams

FILE_BYTES = 500_000
LOSSES = (0.0, 0.02, 0.1, 0.2, 0.3)
SEEDS = tuple(range(8))
RATE_BPS, UPLINK_BPS, DELAY_MS = 4_000_000, 256_000, 25
LONGEST_MS = 600_000

MakeEnds = Callable[[Path, VirtualClock], tuple[End, End]]
ENTITIES: dict[str, MakeEnds] = {
    "ours": lambda file, clock: (OurSource(file), OurDestination(file)),
    "cfdp-py, deferred NAK": lambda file, clock: (
        CfdpPySource(file, immediate_nak=False),
        CfdpPyDestination(file, immediate_nak=False),
    ),
    "cfdp-py, immediate NAK": lambda file, clock: (
        CfdpPySource(file, immediate_nak=True),
        CfdpPyDestination(file, immediate_nak=True),
    ),
    "LibreCube cfdp": lambda file, clock: (
        LibreCubeEnd(file, clock, sends=True),
        LibreCubeEnd(file, clock, sends=False),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What one transfer took."""

    delivered: bool
    """Whether the whole file arrived, and the source knew, in time."""
    down_bytes: int
    """Bytes of PDUs sent by the source."""
    up_bytes: int
    """Bytes of PDUs sent by the destination."""
    duration_ms: int
    """Until the source was through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCost:
    """What an implementation costs at one loss, over all seeds."""

    entity: str
    """Which implementation."""
    frame_loss: float
    """Share of PDUs lost in both directions."""
    transfers: int
    """Seeds tried."""
    delivered: int
    """Transfers that ended well."""
    down_over_payload: float | None
    """Bytes sent over bytes of the file, of transfers that ended well; None where none did."""
    up_over_payload: float | None
    """Bytes answered over bytes of the file, likewise."""
    mean_ms: float | None
    """Duration, likewise."""
    ideal: float
    """1 / (1 - p)."""


def transfer(make_ends: MakeEnds, *, frame_loss: float, seed: int, file_bytes: int = FILE_BYTES) -> Transfer:
    """One file through one channel."""
    with tempfile.TemporaryDirectory() as folder, virtual_peers() as clock:
        file = Path(folder) / "leaving"
        file.write_bytes(random.Random(seed).randbytes(file_bytes))
        source, destination = make_ends(file, clock)
        loss = GilbertElliott.independent(frame_loss)
        streams = Streams(seed)
        down = Channel(ChannelSettings(rate_bps=RATE_BPS, delay_ms=DELAY_MS, loss=loss), streams.generator("down"))
        up = Channel(ChannelSettings(rate_bps=UPLINK_BPS, delay_ms=DELAY_MS, loss=loss), streams.generator("up"))
        _exchange(clock, ((source, down, destination), (destination, up, source)))
        return Transfer(
            delivered=source.is_over() and destination.is_over(),
            down_bytes=down.counts.sent_bytes,
            up_bytes=up.counts.sent_bytes,
            duration_ms=clock.now_ms,
        )


def _exchange(clock: VirtualClock, directions: Sequence[tuple[End, Channel, End]]) -> None:
    """Lets both ends send whenever their transmitter is free, until the source is through or the time is up."""
    arrivals: list[tuple[int, int, End, bytes]] = []
    source = directions[0][0]
    while clock.now_ms < LONGEST_MS and not source.is_over():
        while arrivals and arrivals[0][0] <= clock.now_ms:
            _, _, receiver, pdu = heapq.heappop(arrivals)
            receiver.take(pdu, clock.now_ms)
        moments_ms = [LONGEST_MS]
        for sender, channel, receiver in directions:
            while channel.busy_until_ms <= clock.now_ms and (pdu_now := sender.next_pdu(clock.now_ms)) is not None:
                for arrival in channel.transmit(pdu_now, clock.now_ms):
                    order = channel.counts.sent * 2 + (channel is directions[0][1])
                    heapq.heappush(arrivals, (arrival.at_ms, order, receiver, arrival.frame))
            wakeup_ms = sender.next_wakeup_ms(clock.now_ms)
            if channel.busy_until_ms > clock.now_ms:
                moments_ms.append(channel.busy_until_ms)
            elif wakeup_ms is not None:
                moments_ms.append(wakeup_ms)
        if arrivals:
            moments_ms.append(arrivals[0][0])
        clock.now_ms = max(clock.now_ms + 1, min(moments_ms))


def link_cost(
    entity: str, frame_loss: float, *, seeds: Sequence[int] = SEEDS, file_bytes: int = FILE_BYTES
) -> LinkCost:
    """An implementation of `ENTITIES` at one loss."""
    outcomes = [transfer(ENTITIES[entity], frame_loss=frame_loss, seed=seed, file_bytes=file_bytes) for seed in seeds]
    good = [outcome for outcome in outcomes if outcome.delivered]
    payload = file_bytes * len(good)
    return LinkCost(
        entity=entity,
        frame_loss=frame_loss,
        transfers=len(outcomes),
        delivered=len(good),
        down_over_payload=sum(each.down_bytes for each in good) / payload if good else None,
        up_over_payload=sum(each.up_bytes for each in good) / payload if good else None,
        mean_ms=sum(each.duration_ms for each in good) / len(good) if good else None,
        ideal=1 / (1 - frame_loss),
    )


def measure(*, losses: Sequence[float] = LOSSES, seeds: Sequence[int] = SEEDS) -> list[LinkCost]:
    """Every implementation at every loss."""
    logging.disable(logging.CRITICAL)
    try:
        return [link_cost(entity, loss, seeds=seeds) for loss in losses for entity in ENTITIES]
    finally:
        logging.disable(logging.NOTSET)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Bytes on the link over bytes of the file, ours and others.")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    costs = measure()
    if parser.parse_args(arguments).json:
        json.dump([asdict(cost) for cost in costs], sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    print(f"{'loss':>5} {'entity':<24} {'delivered':>9} {'down/file':>10} {'ideal':>7} {'up/file':>8} {'seconds':>8}")
    for cost in costs:
        figures = (
            f"{cost.down_over_payload:>10.4f} {cost.ideal:>7.4f} {cost.up_over_payload:>8.4f} {cost.mean_ms / 1000:>8.2f}"
            if cost.down_over_payload is not None and cost.up_over_payload is not None and cost.mean_ms is not None
            else f"{'-':>10} {cost.ideal:>7.4f}"
        )
        print(f"{cost.frame_loss:>5.0%} {cost.entity:<24} {cost.delivered:>5} / {cost.transfers} {figures}")


if __name__ == "__main__":
    main()
