"""Many seeded missions in as many processes, and what they show (edge: processes, and the clock, to say how fast they went)."""

import hashlib
import multiprocessing
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel, ConfigDict
from rich import box
from rich.console import Console
from rich.table import Table

from mission.errors import InvariantError, RunError
from mission.progress import ProgressBars
from mission.report_units import size
from mission.seeded_contacts import START_MS
from mission.seeded_flight import FAULTS, FlownMission, SeededFlight
from mission.seeded_mission import harsh_mission, seeded_mission

MISSIONS_PER_PROCESS = 6
"""A process is started for so many missions at least."""
SEEDS_AT_A_TIME = 4
INTERRUPTS_IGNORED = (signal.SIGINT, signal.SIG_IGN)
"""An interrupt from the keyboard reaches every process; the first one ends the others."""


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
    """When, from the beginning of the mission."""
    reproduce: str
    """The command that does it again."""


class CampaignFigures(BaseModel):
    """What `tianshu simulate --json` prints."""

    model_config = ConfigDict(frozen=True)

    first_seed: int
    """The seeds are `first_seed` and the `missions - 1` numbers after it."""
    missions: int
    """Missions flown, failed ones included."""
    harsh_missions: int
    """Those of them that were harsh."""
    failed: int
    """Missions that broke a promise."""
    missions_per_s: float
    """Over wall clock, with `jobs` processes."""
    real_time_factor: float
    """`mission_s` over wall clock: how much faster than life the missions were flown, the hours between passes included."""
    contact_time_factor: float
    """`contact_s` over wall clock: the same of the time in which frames flew and faults happened."""
    jobs: int
    """Processes."""
    wall_s: float
    """Wall clock."""
    mission_s: float
    """From the first event of each mission to its last, of those that passed."""
    contact_s: float
    """Time in contact with faults, of those that passed."""
    most_clean_contacts: int
    """Contacts without faults that the slowest of them needed until nothing was owed."""
    captured_bytes: int
    """Records of all layers captured in them."""
    sent_bytes: int
    """Transfer frames on their downlinks."""
    faults: dict[str, int]
    """How often each kind of fault happened in them."""
    log_hash: str
    """SHA-256 over the log hashes of all missions that passed, in order of seed: the same for any number of processes."""
    failures: tuple[FailedMission, ...]
    """Every mission that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """Which missions to fly, and how. Validated at birth: raises RunError."""

    first: int
    """The first seed."""
    count: int
    """Missions, at least 1."""
    harsh_every: int = 0
    """Seeds that this divides fly the harsh mission: 1 means all, 0 none."""
    jobs: int = 1
    """Processes, at least 1."""
    record_in: Path | None = None
    """Folder for event logs: both ends of each mission, in a folder named after its seed."""

    def __post_init__(self) -> None:
        if self.count < 1 or self.first < 0:
            raise RunError(f"{self.count} missions from seed {self.first}: fly at least 1, from seed 0 up")
        if self.harsh_every < 0 or self.jobs < 1:
            raise RunError(
                f"every {self.harsh_every}th mission harsh, {self.jobs} processes: give 0 or more, and at least 1"
            )

    def is_harsh(self, seed: int) -> bool:
        """Whether the mission of a seed is flown as a harsh one."""
        return self.harsh_every > 0 and seed % self.harsh_every == 0

    @property
    def processes(self) -> int:
        """As many as are worth starting."""
        return max(1, min(self.jobs, self.count // MISSIONS_PER_PROCESS))


def run_campaign(campaign: Campaign, bars: ProgressBars) -> CampaignFigures:
    """Fly the missions."""
    flown: list[FlownMission] = []
    failures: list[FailedMission] = []
    started_s = time.perf_counter()
    with bars.stage("Simulate", total=campaign.count) as stage, _results(campaign) as results:
        for result in results:
            if isinstance(result, FlownMission):
                flown.append(result)
            else:
                failures.append(result)
            stage.advance(note=f"{len(failures)} failed")
    wall_s = time.perf_counter() - started_s
    seeds = range(campaign.first, campaign.first + campaign.count)
    mission_s = sum(mission.mission_ms for mission in flown) / 1000
    contact_s = sum(mission.contact_ms for mission in flown) / 1000
    return CampaignFigures(
        first_seed=campaign.first,
        missions=campaign.count,
        harsh_missions=sum(map(campaign.is_harsh, seeds)),
        failed=len(failures),
        missions_per_s=campaign.count / wall_s,
        real_time_factor=mission_s / wall_s,
        contact_time_factor=contact_s / wall_s,
        jobs=campaign.processes,
        wall_s=wall_s,
        mission_s=mission_s,
        contact_s=contact_s,
        most_clean_contacts=max((mission.clean_contacts for mission in flown), default=0),
        captured_bytes=sum(mission.captured_bytes for mission in flown),
        sent_bytes=sum(mission.sent_bytes for mission in flown),
        faults={fault: sum(mission.faults[fault] for mission in flown) for fault in FAULTS},
        log_hash=hashlib.sha256("".join(mission.log_hash for mission in flown).encode()).hexdigest(),
        failures=tuple(failures),
    )


@contextmanager
def _results(campaign: Campaign) -> Iterator[Iterator[FlownMission | FailedMission]]:
    """What becomes of each mission, in order of seed, whoever flies it."""
    seeds = range(campaign.first, campaign.first + campaign.count)
    fly = partial(_fly, campaign)
    if campaign.processes == 1:
        yield map(fly, seeds)
        return
    # Fresh processes: a forked one would inherit the locks of the progress bars.
    with multiprocessing.get_context("spawn").Pool(campaign.processes, signal.signal, INTERRUPTS_IGNORED) as pool:
        yield pool.imap(fly, seeds, chunksize=SEEDS_AT_A_TIME)


def _fly(campaign: Campaign, seed: int) -> FlownMission | FailedMission:
    harsh = campaign.is_harsh(seed)
    record_in = None if campaign.record_in is None else campaign.record_in / str(seed)
    try:
        return SeededFlight((harsh_mission if harsh else seeded_mission)(seed), record_in=record_in).fly()
    except InvariantError as error:
        return FailedMission(
            seed=seed,
            invariant=error.invariant,
            detail=error.detail,
            now_ms=error.now_ms - START_MS,
            reproduce=f"tianshu simulate --first {seed} --seeds 1" + (" --harsh" if harsh else ""),
        )


def show_campaign(figures: CampaignFigures, console: Console) -> None:
    """Print the figures, then every failure with the command that repeats it."""
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    last = figures.first_seed + figures.missions - 1
    harsh = f", {figures.harsh_missions:,} of them harsh" if figures.harsh_missions else ""
    table.add_row(f"{figures.missions:,}", f"missions, seeds {figures.first_seed} to {last}{harsh}")
    table.add_row(f"{figures.failed:,}", "failed", style="red" if figures.failed else "green")
    table.add_row(f"{figures.missions_per_s:.1f}", f"missions per second in {figures.jobs} processes")
    table.add_row(f"{figures.real_time_factor:,.0f}", f"times real time: {figures.mission_s / 3600:,.0f} h of mission")
    table.add_row(f"{figures.contact_time_factor:,.0f}", f"times contact time: {figures.contact_s:,.0f} s with faults")
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
