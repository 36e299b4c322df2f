"""What the link is meant to reach, beside what was measured."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.link_tables import LinkTables
from benchmarks.low_signal_curves import Comparison

OVER_CFDP_PY = 5.0
STACK_MB_PER_S = 100.0
OVERHEAD = 1.03
RESIDENT_GROWTH_BYTES = 8 << 20
"""Beyond this the memory of a transfer is not flat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One target."""

    name: str
    """What is measured."""
    wanted: str
    """In words, with its unit."""
    measured: float | None
    """None where it was left out."""
    unit: str
    """Of `measured`."""
    met: bool | None
    """None where nothing is demanded or nothing was measured."""


def targets(tables: LinkTables) -> list[Target]:
    """All targets in the order of the tables."""
    return [*_throughput(tables), *_bytes(tables), *_missions(tables), *_low_signal(tables)]


def _throughput(tables: LinkTables) -> Iterator[Target]:
    ratios = [pair["ratio"] for pair in tables.throughput["against_cfdp_py"]]
    least = min(ratios) if ratios else None
    yield Target(
        name="file delivery over cfdp-py, least of four transfers",
        wanted=f"at least {OVER_CFDP_PY:g}x",
        measured=least,
        unit="x",
        met=None if least is None else least >= OVER_CFDP_PY,
    )
    for stage in tables.throughput["stages"]:
        if stage["name"].startswith(("down, each", "up, each")):
            yield Target(
                name=f"whole stack {stage['name']}",
                wanted=f"{STACK_MB_PER_S:g} MB/s",
                measured=stage["file_mb_per_s"],
                unit="MB/s",
                met=stage["file_mb_per_s"] >= STACK_MB_PER_S,
            )
    memory = tables.throughput["memory"]
    if memory:
        yield Target(
            name=f"resident memory grown over {memory['file_bytes'] / 1e6:,.0f} MB",
            wanted="flat",
            measured=memory["resident_growth_bytes"] / 1e6,
            unit="MB",
            met=memory["resident_growth_bytes"] <= RESIDENT_GROWTH_BYTES,
        )


def _bytes(tables: LinkTables) -> Iterator[Target]:
    for cost in tables.whole_stack:
        clean = cost.frame_loss == 0
        yield Target(
            name=f"bytes on the link per byte of payload, {cost.frame_loss:.0%} of frames lost",
            wanted=f"at most {OVERHEAD:g}" if clean else f"beside 1/(1-p) = {cost.ideal:.4f}",
            measured=cost.over_payload,
            unit="",
            met=cost.over_payload <= OVERHEAD if clean else None,
        )


def _missions(tables: LinkTables) -> Iterator[Target]:
    yield Target(
        name=f"harsh missions failed, of {tables.missions['missions']:,}",
        wanted="none",
        measured=tables.missions["failed"],
        unit="",
        met=tables.missions["failed"] == 0,
    )


def _low_signal(tables: LinkTables) -> Iterator[Target]:
    for share, comparison in tables.low_signal:
        for quality in comparison.gains_db:
            gain_db = gain_over_best_file_db(comparison, quality)
            if gain_db is not None:
                yield Target(
                    name=f"low signal, {comparison.scene}, {share:.1%} of the bits: {quality}",
                    wanted="the gain over the best whole file",
                    measured=gain_db,
                    unit="dB",
                    met=None,
                )


def gain_over_best_file_db(comparison: Comparison, quality: str) -> float | None:
    """By how much less signal layers reach a quality than the best whole file that was fixed beforehand; None where either never does."""
    levels = comparison.gains_db[quality]
    files = [
        levels[curve.name]
        for curve in comparison.curves
        if not curve.ours and not curve.name.endswith("signal known") and levels[curve.name] is not None
    ]
    ours = [levels[curve.name] for curve in comparison.curves if curve.ours and levels[curve.name] is not None]
    if not files or not ours:
        return None
    return min(level for level in files if level is not None) - min(level for level in ours if level is not None)
