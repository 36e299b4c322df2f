"""What befalls the two ends of a seeded mission beside the link: their disks, their clocks, their power, the sensor and the detector."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mission.channel import Span
from mission.dice import Dice
from mission.seeded_captures import Capture

LARGEST_CLOCK_ERROR_MS = 2000
LARGEST_DRIFT_PPB = 50_000
"""A crystal that nobody corrects."""
LARGEST_CLOCK_STEP_MS = 600_000
LONGEST_FULL_MS = 600_000
LONGEST_DELAY_MS = 1_800_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFaults:
    """What befalls one journal."""

    power_bytes: tuple[int, ...] = ()
    """Bytes written from one loss of power in a write to the next."""
    full_ms: tuple[Span, ...] = ()
    """No room from here until there."""
    rot: tuple[tuple[int, float], ...] = ()
    """When a bit flips, and where: as a share of the bytes that there are then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFaults:
    """What is wrong with one clock."""

    offset_ms: int = 0
    """How far it is ahead when the mission begins."""
    drift_ppb: int = 0
    """What it gains, in parts of 10**9."""
    steps: tuple[tuple[int, int], ...] = ()
    """When somebody sets it, and by how many milliseconds; together they come to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reboot:
    """An end starts again."""

    at_ms: int
    """When."""
    lost_power: bool
    """Whether its disks lost what was in their caches; a process that is killed loses nothing of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorFaults:
    """What became of the captures before they reached the onboard computer."""

    captures: tuple[Capture, ...]
    """Those that reach it, in order of time."""
    missed: int
    """Emissions that the sensor never made."""
    late: int
    """Emissions that a slow detector made late, several at once among them."""


def disk_faults(dice: Dice, span: Span, *, written_bytes: int, likely: float = 1.0) -> DiskFaults:
    """`written_bytes` is about what the journal will hold; `likely` scales the chances."""
    start_ms, end_ms = span
    losses = dice.whole(1, 3) if dice.chance(0.3 * likely) else 0
    fulls = dice.whole(1, 2) if dice.chance(0.2 * likely) else 0
    flips = dice.whole(1, 3) if dice.chance(0.2 * likely) else 0
    full_from = sorted(dice.whole(start_ms, end_ms) for _ in range(fulls))
    return DiskFaults(
        power_bytes=tuple(round(dice.skewed(1, written_bytes)) for _ in range(losses)),
        full_ms=tuple((from_ms, from_ms + round(dice.skewed(50, LONGEST_FULL_MS))) for from_ms in full_from),
        rot=tuple((dice.whole(start_ms, end_ms), dice.share(0, 1)) for _ in range(flips)),
    )


def clock_faults(dice: Dice, span: Span, moments: Sequence[int]) -> ClockFaults:
    """A third of all clocks are right. `moments` are when it would hurt to be set; every step is taken back later."""
    if dice.chance(1 / 3):
        return ClockFaults()
    steps: list[tuple[int, int]] = []
    for at_ms in moments[: dice.whole(1, 2)] if dice.chance(0.3) else ():
        step_ms = round(dice.skewed(1, LARGEST_CLOCK_STEP_MS)) * dice.pick((-1, 1))
        back_ms = at_ms + round(dice.skewed(100, LARGEST_CLOCK_STEP_MS))
        steps += [(at_ms, step_ms), (back_ms, -step_ms)]
    return ClockFaults(
        offset_ms=round(dice.skewed(1, LARGEST_CLOCK_ERROR_MS)) * dice.pick((-1, 1)),
        drift_ppb=dice.whole(-LARGEST_DRIFT_PPB, LARGEST_DRIFT_PPB),
        steps=tuple(sorted(steps)),
    )


def sensor_faults(dice: Dice, captures: Sequence[Capture]) -> SensorFaults:
    """Gaps in what the sensor sees, and a detector that falls behind and then delivers in a burst."""
    kept = list(captures)
    missed = late = 0
    if dice.chance(0.25) and len(kept) > 1:
        first = dice.whole(0, len(kept) - 1)
        gap = dice.whole(1, max(1, len(kept) // 3))
        missed = min(gap, len(kept) - first, len(kept) - 1)
        del kept[first : first + missed]
    if dice.chance(0.3):
        first = dice.whole(0, len(kept) - 1)
        late = dice.whole(1, len(kept) - first)
        until_ms = kept[first + late - 1].at_ms + round(dice.skewed(100, LONGEST_DELAY_MS))
        together = dice.chance(0.5)
        for index in range(first, first + late):
            delayed_ms = until_ms if together else kept[index].at_ms + (until_ms - kept[first + late - 1].at_ms)
            kept[index] = replace(kept[index], at_ms=delayed_ms)
    return SensorFaults(captures=tuple(sorted(kept, key=lambda one: one.at_ms)), missed=missed, late=late)
