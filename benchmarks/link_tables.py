"""The tables of `benchmarks.link`: each measured by the benchmark that owns it, at the sizes that were asked for."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing import cpu_count
from pathlib import Path
from typing import Any, Literal

from benchmarks import erasure, link_budget, link_overhead, link_peers, link_throughput, low_signal, uplink_security
from benchmarks.low_signal_curves import LEVELS_DB, Comparison
from benchmarks.low_signal_scene import observe
from mission.campaign import Campaign, run_campaign
from mission.progress import ProgressBars

TableName = Literal[
    "throughput",
    "bytes_on_link",
    "whole_stack",
    "erasure",
    "uplink_security",
    "missions",
    "coding",
    "low_signal",
]
COMMANDS: dict[TableName, str] = {
    "throughput": "python -m benchmarks.link_throughput",
    "bytes_on_link": "python -m benchmarks.link_peers",
    "whole_stack": "python -m benchmarks.link_overhead",
    "erasure": "python -m benchmarks.erasure",
    "uplink_security": "python -m benchmarks.uplink_security",
    "missions": "tianshu simulate --first 0 --seeds 1000 --harsh",
    "coding": "python -m benchmarks.link_budget",
    "low_signal": "python -m benchmarks.low_signal",
}
"""What prints each table alone, in the order in which they are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured."""

    throughput_mib: int = 16
    """File of the throughput table."""
    memory_mib: int = 1024
    """File carried from disk to disk with its memory watched."""
    losses: tuple[float, ...] = link_peers.LOSSES
    """Of both tables of bytes on the link."""
    peer_seeds: tuple[int, ...] = link_peers.SEEDS
    """Transfers per implementation and loss."""
    stack_seeds: tuple[int, ...] = link_overhead.SEEDS
    """Contacts per loss of the whole stack."""
    erasure_losses: tuple[float, ...] = erasure.LOSSES
    """Of the table of one-way passes."""
    erasure_seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Passes per row of it."""
    uplink_frames: int = uplink_security.FRAMES
    """Authenticated for the table of the uplink."""
    missions: int = 1000
    """Harsh missions flown, seeds from 0 on."""
    eirp_steps_db: tuple[float, ...] = link_budget.EIRP_STEPS_DB
    """Transmitters of the coding table, relative to the scenario's."""
    hours: float = 24.0
    """Contacts of the coding table."""
    low_signal_shares: tuple[float, ...] = (0.025, 0.01)
    """Symbols over raw bits on the sample scene, the last of them on real ports too; none: no table."""


FULL = Sizes()
QUICK = Sizes(
    throughput_mib=2,
    memory_mib=128,
    losses=(0.0, 0.1, 0.3),
    peer_seeds=(0, 1),
    stack_seeds=(1,),
    erasure_losses=(0.0, 0.1, 0.3),
    erasure_seeds=(1,),
    uplink_frames=4000,
    missions=25,
    eirp_steps_db=(0.0,),
    hours=6.0,
    low_signal_shares=(),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTables:
    """Everything that `benchmarks.link` measures."""

    throughput: dict[str, Any]
    """`stages` and `checksums` (`link_throughput.Speed`), `against_cfdp_py` (`Comparison`), `memory` (`MemoryRun`)."""
    bytes_on_link: list[link_peers.LinkCost]
    """File delivery alone, ours and other implementations, over loss."""
    whole_stack: list[link_overhead.StackCost]
    """The mission's own stack over loss."""
    erasure: list[erasure.OneWayRow]
    """Passes over a station that only listens and whose frames carry every layer once."""
    uplink_security: dict[str, float]
    """Bytes and frames per second of the authenticated uplink."""
    missions: dict[str, Any]
    """`mission.campaign.CampaignFigures` of the harsh missions."""
    coding: list[link_budget.CodingGain]
    """Adaptive against fixed coding."""
    low_signal: list[tuple[float, Comparison]]
    """Share of symbols and quality over Es/N0, per scene."""

    def to_json(self) -> dict[TableName, Any]:
        """Lists and objects under the names of the tables; of the curves of the low signal a few points."""
        return {
            "throughput": self.throughput,
            "bytes_on_link": [asdict(cost) for cost in self.bytes_on_link],
            "whole_stack": [asdict(cost) for cost in self.whole_stack],
            "erasure": [asdict(row) for row in self.erasure],
            "uplink_security": self.uplink_security,
            "missions": self.missions,
            "coding": [_coding_row(gain) for gain in self.coding],
            "low_signal": [_low_signal_row(share, comparison) for share, comparison in self.low_signal],
        }


def measure(sizes: Sizes, bars: ProgressBars, *, data: Path | None = None) -> LinkTables:
    """All tables, one after the other. With `data` two real ports beside the sample scene for the low signal."""
    tables: dict[str, Any] = {}
    with bars.stage("Link tables", total=len(COMMANDS)) as stage:
        for name, make in _makers(sizes, bars, data):
            stage.advance(0, note=name)
            tables[name] = make()
            stage.advance(note=name)
    return LinkTables(**tables)


def _makers(sizes: Sizes, bars: ProgressBars, data: Path | None) -> Iterator[tuple[TableName, Any]]:
    yield "throughput", lambda: link_throughput.measure(mib=sizes.throughput_mib, memory_mib=sizes.memory_mib)
    yield "bytes_on_link", lambda: link_peers.measure(losses=sizes.losses, seeds=sizes.peer_seeds)
    yield "whole_stack", lambda: link_overhead.measure(losses=sizes.losses, seeds=sizes.stack_seeds)
    yield (
        "erasure",
        lambda: erasure.one_way_rows(sizes.erasure_seeds, capacities=(1.0,), losses=sizes.erasure_losses),
    )
    yield "uplink_security", lambda: uplink_security.measure(sizes.uplink_frames)
    yield "missions", lambda: _missions(sizes.missions, bars)
    yield "coding", lambda: [link_budget.coding_gain(hours=sizes.hours, eirp_step_db=db) for db in sizes.eirp_steps_db]
    yield "low_signal", lambda: _low_signal(sizes.low_signal_shares, data)


def _missions(count: int, bars: ProgressBars) -> dict[str, Any]:
    return run_campaign(Campaign(first=0, count=count, harsh_every=1, jobs=cpu_count()), bars).model_dump(mode="json")


def _low_signal(shares: tuple[float, ...], data: Path | None) -> list[tuple[float, Comparison]]:
    if not shares:
        return []
    runs = [(share, pair) for share in shares for pair in low_signal.scenes_of(None, 1)]
    runs += [(shares[-1], pair) for pair in (low_signal.scenes_of(data, 2) if data else [])]
    return [(share, low_signal.compare(observe(image, truth), share=share)) for share, (image, truth) in runs]


def _coding_row(gain: link_budget.CodingGain) -> dict[str, Any]:
    row = asdict(gain) | {"over_best_fixed": gain.over_best_fixed, "over_best_per_pass": gain.over_best_per_pass}
    del row["passes"]
    return row


def _low_signal_row(share: float, comparison: Comparison) -> dict[str, Any]:
    row = asdict(comparison) | {"share": share}
    for curve, shown in zip(comparison.curves, row["curves"], strict=True):
        shown["points"] = {
            f"{level:g}": asdict(point)
            for level, point in zip(LEVELS_DB, curve.points, strict=True)
            if level in low_signal.COMPARED_AT_DB
        }
    return row
