"""Many seeded missions, one after the other, and what they show (edge: the clock, to say how fast they went)."""

import hashlib
import time
from typing import TextIO

from pydantic import BaseModel, ConfigDict
from rich import box
from rich.console import Console
from rich.table import Table

from mission.errors import InvariantError, RunError
from mission.progress import ProgressBars
from mission.report_units import size
from mission.seeded_flight import FAULTS, FlownMission, SeededFlight
from mission.seeded_mission import harsh_mission, seeded_mission


class FailedMission(BaseModel):
    """A seed that broke a promise."""

    model_config = ConfigDict(frozen=True)

    seed: int
    """Of every random stream."""
    invariant: str
    """What must always hold."""
    detail: str
    """What was found instead, with its numbers."""
    now_ms: int
    """When, mission time."""
    reproduce: str
    """The command that does it again."""


class CampaignFigures(BaseModel):
    """What `tianshu simulate --json` prints."""

    model_config = ConfigDict(frozen=True)

    first_seed: int
    """The seeds are `first_seed` and the `missions - 1` numbers after it."""
    missions: int
    """Missions flown, failed ones included."""
    failed: int
    """Missions that broke a promise."""
    missions_per_s: float
    """Wall clock of this process."""
    real_time_factor: float
    """`link_s` over wall clock."""
    wall_s: float
    """Wall clock."""
    link_s: float
    """Time in contact with faults, of the missions that passed."""
    captured_bytes: int
    """Records of all layers captured in them."""
    sent_bytes: int
    """Transfer frames on their downlinks."""
    faults: dict[str, int]
    """How often each kind of fault happened in them."""
    log_hash: str
    """SHA-256 over the log hashes of all missions that passed, in order of seed."""
    failures: tuple[FailedMission, ...]
    """Every mission that failed."""


def run_campaign(*, first: int, count: int, bars: ProgressBars, harsh: bool = False) -> CampaignFigures:
    """Fly the missions of `count` seeds from `first` on, harsh ones if so wished. Raises RunError where that is no number of missions."""
    if count < 1 or first < 0:
        raise RunError(f"{count} missions from seed {first}: fly at least 1, from seed 0 up")
    flown: list[FlownMission] = []
    failures: list[FailedMission] = []
    started_s = time.perf_counter()
    with bars.stage("Simulate", total=count) as stage:
        for seed in range(first, first + count):
            try:
                flown.append(SeededFlight((harsh_mission if harsh else seeded_mission)(seed)).fly())
            except InvariantError as error:
                failures.append(_failure(seed, error, harsh))
            stage.advance(note=f"{len(failures)} failed")
    wall_s = time.perf_counter() - started_s
    link_s = sum(mission.link_ms for mission in flown) / 1000
    return CampaignFigures(
        first_seed=first,
        missions=count,
        failed=len(failures),
        missions_per_s=count / wall_s,
        real_time_factor=link_s / wall_s,
        wall_s=wall_s,
        link_s=link_s,
        captured_bytes=sum(mission.captured_bytes for mission in flown),
        sent_bytes=sum(mission.sent_bytes for mission in flown),
        faults={fault: sum(mission.faults[fault] for mission in flown) for fault in FAULTS},
        log_hash=hashlib.sha256("".join(mission.log_hash for mission in flown).encode()).hexdigest(),
        failures=tuple(failures),
    )


def _failure(seed: int, error: InvariantError, harsh: bool) -> FailedMission:
    return FailedMission(
        seed=seed,
        invariant=error.invariant,
        detail=error.detail,
        now_ms=error.now_ms,
        reproduce=f"tianshu simulate --first {seed} --seeds 1" + (" --harsh" if harsh else ""),
    )


def show_campaign(figures: CampaignFigures, console: Console) -> None:
    """Print the figures, then every failure with the command that repeats it."""
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    last = figures.first_seed + figures.missions - 1
    table.add_row(f"{figures.missions:,}", f"missions, seeds {figures.first_seed} to {last}")
    table.add_row(f"{figures.failed:,}", "failed", style="red" if figures.failed else "green")
    table.add_row(f"{figures.missions_per_s:.1f}", "missions per second")
    table.add_row(f"{figures.real_time_factor:,.0f}", f"times real time: {figures.link_s:,.0f} s of contact")
    table.add_row(size(figures.captured_bytes), f"captured, {size(figures.sent_bytes)} sent")
    table.add_section()
    for fault, times in figures.faults.items():
        table.add_row(f"{times:,}", fault)
    console.print(table)
    console.print(f"log hash {figures.log_hash}", soft_wrap=True, highlight=False)
    for failure in figures.failures:
        console.print(f"seed {failure.seed} at {failure.now_ms} ms: {failure.invariant}", style="red", soft_wrap=True)
        console.print(f"  {failure.detail}", soft_wrap=True, highlight=False, markup=False)
        console.print(f"  {failure.reproduce}", soft_wrap=True, highlight=False, markup=False)


def write_campaign(figures: CampaignFigures, stream: TextIO) -> None:
    """The figures as JSON and nothing else, for `--json`."""
    stream.write(figures.model_dump_json(indent=2) + "\n")
