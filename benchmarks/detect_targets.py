"""What the search is held to, and what the run says of it. Targets whose ways were not run are left out."""

from dataclasses import dataclass
from typing import Any, Final

LEAST_RECALL: Final = 0.98
"""Of what the bare engine finds in float32: a ratio of speeds counts at the same recall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One figure to reach."""

    name: str
    wanted: str
    here: str
    is_hit: bool


def targets_of(result: dict[str, Any]) -> list[Target]:
    """Every target that `benchmarks.detect` can judge from its rows."""
    rows = {row["way"]: row for row in result["rows"]}
    ours, bare = rows.get("ours, every tile"), rows.get("bare engine")
    targets = []
    for name, least in (("SAHI defaults", 12.0), ("SAHI on the engine", 2.5)):
        if ours and name in rows:
            targets.append(_at_least(f"times {name}, every tile", least, rows[name]["wall_s"] / ours["wall_s"]))
    if ours and bare:
        targets.append(_at_least("share of the bare engine's GFLOP/s", 0.6, ours["gflops"] / bare["gflops"]))
        ours_float, bare_float = rows.get("ours, every tile, float32"), rows.get("bare engine, float32")
        if ours_float and bare_float:
            share = ours_float["gflops"] / bare_float["gflops"]
            targets.append(_at_least("share of it in float32", 0.6, share))
        useful = ours["mpix_per_s"] / (bare["mpix"] * bare["network_share"] / bare["wall_s"])
        targets.append(_at_least("the same, without the halo's pixels", 0.6, useful))
    if ours and ours["recall"] is not None:
        targets.append(_at_least("recall of every tile", LEAST_RECALL, ours["recall"]))
    if "ours with gates" in rows and rows["ours with gates"]["recall"] is not None:
        targets.append(_at_least("recall with gates", LEAST_RECALL, rows["ours with gates"]["recall"]))
    if "ours, sparse ocean" in rows:
        targets.append(_at_least("Mpix/s, sparse ocean", 100.0, rows["ours, sparse ocean"]["mpix_per_s"]))
    for name, row in rows.items():
        if name.startswith("ours"):
            targets.append(_at_most(f"peak MB, {name}", 1000.0, row["peak_bytes"] / 1e6))
    first = result["first_result"]
    targets.append(_at_most("s to the first result", 2.0, first["wall_s"]))
    heavy = ", ".join(first["loaded"]) or "none"
    targets.append(Target(name="torch and its like loaded", wanted="none", here=heavy, is_hit=not first["loaded"]))
    return targets


def _at_least(name: str, least: float, here: float) -> Target:
    return Target(name=name, wanted=f">= {least:g}", here=f"{here:.2f}", is_hit=here >= least)


def _at_most(name: str, most: float, here: float) -> Target:
    return Target(name=name, wanted=f"<= {most:g}", here=f"{here:.2f}", is_hit=here <= most)
