"""The compose system under seeded faults for as long as asked: `python -m tests.containers.soak --minutes 60 --seed 1`.

Each minute memory, open files and journal sizes of every service go into runs/soak/samples.csv, at the end into a plot. In the
first third services are killed, too; after that the same processes must live on, and their memory and files must not grow: the
slopes over the last two thirds are judged. At the end everything must have come down, pixel for pixel.
"""

import argparse
import contextlib
import csv
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from tests.containers.compose import REPOSITORY, Compose
from tests.containers.living_system import (
    AIR,
    CHANNEL_ON_AIR,
    CHANNEL_ON_EARTH,
    EARTH,
    HERE,
    SERVICES,
    LivingSystem,
    free_port,
)
from tests.containers.simulated_scenes import simulate_scenes
from tests.containers.small_scenes import cut_small_scenes
from tests.containers.soak_plot import soak_plot

MEMORY_SLOPE_LIMIT = 24.0
"""MiB an hour. A publisher at work takes some 20 MiB more for a moment, hence not less; 360 scenes an hour that leak 70 KiB each are
more."""
FILES_SLOPE_LIMIT = 6.0
"""Open files an hour; a publisher at work has a few more."""
NOT_OURS = ("sh", "cat", "find", "docker-init", "tini")
SAMPLE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One service at one time; all its processes together."""

    minute: float
    """Since the soak began."""
    service: str
    """Its name."""
    memory_mib: float
    """Resident."""
    open_files: int
    """File descriptors."""
    processes: int
    """Alive."""
    journals_kib: float
    """Files of its state folder but for the catalogue."""
    boot: int
    """How often it has started."""


def sample(system: LivingSystem, service: str, *, minute: float) -> Sample:
    """Look into a service's container."""
    script = (
        "for p in /proc/[0-9]*; do n=$(cat $p/comm 2>/dev/null) || continue; r=$(grep VmRSS $p/status 2>/dev/null) || continue; "
        'echo "$n" $r $(ls $p/fd 2>/dev/null | wc -l); done'
    )
    memory_kib, open_files, processes = 0, 0, 0
    for line in system.compose.execute(service, "sh", "-c", script).splitlines():
        name, _, resident_kib, _, files = line.rsplit(maxsplit=4)
        if name not in NOT_OURS and not name.startswith("docker-init"):
            memory_kib, open_files, processes = memory_kib + int(resident_kib), open_files + int(files), processes + 1
    sizes = system.hands(rf"find /at/{service} -path /at/{service}/ground -prune -o -type f -printf '%s\n'").split()
    return Sample(
        minute=round(minute, 2),
        service=service,
        memory_mib=round(memory_kib / 1024, 2),
        open_files=open_files,
        processes=processes,
        journals_kib=round(sum(map(int, sizes)) / 1024, 1),
        boot=int(system.status(service).get("boot", 0)),
    )


class Faults:
    """What goes wrong, as the seed has it. Each fault ends before the next begins."""

    def __init__(self, system: LivingSystem) -> None:
        self._system = system
        self.counts: dict[str, int] = {}

    def one(self, *, may_kill: bool) -> None:
        """Any of them."""
        kinds: list[Callable[[], None]] = [self.pause, self.partition, self.clock_step, self.power_drop, self.storm]
        chosen = self._system.chance.choice([*kinds, self.kill, self.kill] if may_kill else kinds)
        self.counts[chosen.__name__] = self.counts.get(chosen.__name__, 0) + 1
        chosen()

    def pause(self) -> None:
        service = self._system.chance.choice(SERVICES)
        self._system.compose.pause(service)
        self._system.wait_at_random(1, 6)
        self._system.compose.unpause(service)

    def kill(self) -> None:
        service = self._system.chance.choice(SERVICES)
        self._system.compose.kill(service)
        self._system.wait_at_random(0, 3)
        self._system.compose.start(service)

    def partition(self) -> None:
        network, address = self._system.chance.choice([("air", CHANNEL_ON_AIR), ("earth", CHANNEL_ON_EARTH)])
        self._system.compose.disconnect("channel", network)
        self._system.wait_at_random(1, 8)
        self._system.compose.connect("channel", network, address)

    def clock_step(self) -> None:
        service = self._system.chance.choice(("onboard", "ground"))
        skew_ms = self._system.chance.randint(-5000, 5000)
        self._system.hands(f"echo {skew_ms} > /at/{service}/skew_ms")
        self._system.wait_at_random(1, 5)
        self._system.hands(f"rm /at/{service}/skew_ms")

    def power_drop(self) -> None:
        self._system.hands("echo cap_w = 5 > /at/eps/control.toml")
        self._system.wait_at_random(3, 10)
        self._system.hands("rm /at/eps/control.toml")

    def storm(self) -> None:
        weather = self._system.chance.choice(("loss = 0.4", "bit_errors = 2e-5", "blackout = true"))
        self._system.hands(f"echo '{weather}' > /at/channel/weather.toml")
        self._system.wait_at_random(3, 10)
        self._system.hands("rm /at/channel/weather.toml")


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float:
    """Least squares over (minute, value)."""
    if len(points) < 2:
        return 0.0
    mean_x, mean_y = (sum(column) / len(points) for column in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return 60 * sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def series(samples: Sequence[Sample], figure: str, *, after_minute: float = 0) -> dict[str, list[tuple[float, float]]]:
    """(minute, value) of every service."""
    return {
        name: [(s.minute, getattr(s, figure)) for s in samples if s.service == name and s.minute >= after_minute]
        for name in SERVICES
    }


def judge(samples: Sequence[Sample], *, after_minute: float) -> list[str]:
    """What grows, in words."""
    growing = []
    for figure, limit in (("memory_mib", MEMORY_SLOPE_LIMIT), ("open_files", FILES_SLOPE_LIMIT)):
        for name, points in series(samples, figure, after_minute=after_minute).items():
            slope = slope_per_hour(points)
            told = f"{name}: {figure} {points[0][1]:g} to {points[-1][1]:g}, {slope:+.2f} an hour" if points else name
            sys.stdout.write(f"  {told}\n")
            if slope > limit:
                growing.append(f"{told} (limit {limit:g})")
    return growing


def soak(system: LivingSystem, *, minutes: float, out: Path) -> list[str]:
    """Run, sample, plot; what grows, in words."""
    faults, samples, began_s = Faults(system), [], time.monotonic()
    next_sample_s, quiet_minute = 0.0, minutes / 3
    with (out / "samples.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(field.name for field in fields(Sample))
        while (elapsed_s := time.monotonic() - began_s) < minutes * 60:
            if elapsed_s >= next_sample_s:
                next_sample_s += SAMPLE_S
                fresh = [sample(system, name, minute=elapsed_s / 60) for name in SERVICES]
                table.writerows([getattr(one, field.name) for field in fields(Sample)] for one in fresh)
                file.flush()
                samples.extend(fresh)
            faults.one(may_kill=elapsed_s / 60 < quiet_minute)
            system.wait_at_random(2, 10)
    sys.stdout.write(f"faults: {faults.counts}\n")
    panels = {
        "resident memory, MiB": series(samples, "memory_mib"),
        "open files": series(samples, "open_files"),
        "journals, KiB": series(samples, "journals_kib"),
    }
    title = f"{minutes:g} minutes under faults; kills in the first {quiet_minute:g}"
    (out / "soak.svg").write_text(soak_plot(panels, title=title), encoding="utf-8")
    return judge(samples, after_minute=quiet_minute + 1)


def main() -> int:
    """Exit code 1 where something grows; what does not come down raises AssertionError."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "soak")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        scenes = cut_small_scenes(Path(folder))
        environment = {
            "TIANSHU_AIR_NET": AIR,
            "TIANSHU_EARTH_NET": EARTH,
            "TIANSHU_PAGE_PORT": str(free_port()),
            "TIANSHU_INTERVAL": "10",
            "TESTS_FOLDER": str(HERE),
            "SCENES_FOLDER": folder,
            "ONBOARD_STATE_SIZE": "1g",
            "GROUND_STATE_SIZE": "3g",
        }
        files = [REPOSITORY / "docker-compose.yml", HERE / "compose.tests.yml"]
        with tempfile.TemporaryDirectory() as simulated:
            system = LivingSystem(
                compose=Compose(project="tianshu-soak", files=files, environment=environment),
                simulated=simulate_scenes(scenes, Path(simulated)),
            )
        system.reseed(options.seed)
        system.compose("build", "onboard", timeout_s=1200)
        with contextlib.ExitStack() as ending:
            ending.callback(system.compose.down)
            system.up()
            with system.capturing():
                growing = soak(system, minutes=options.minutes, out=options.out)
            system.settle()
    sys.stdout.write("".join(f"GROWS: {line}\n" for line in growing) or "nothing grows\n")
    return 1 if growing else 0


if __name__ == "__main__":
    sys.exit(main())
