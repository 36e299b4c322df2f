"""`python -m tests.fuzz.run`: every target under the coverage-guided fuzzer, one after the other, each for its share of the time.

The inputs that are kept in the repository, and the seeds of each target, are where the fuzzer starts; what it finds grows in `--out`.
With `--merge` the smallest set of inputs with the same coverage goes back into the repository. Needs the extra `fuzz`.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.fuzz.targets import CORPUS, TARGETS, kept_inputs

LONGEST_RUN_OF_ONE_INPUT_S: Final = 10
MEMORY_LIMIT_MB: Final = 1536
LONGEST_PROCESS_S: Final = 120
"""Then the target goes on in a fresh process: the instrumentation keeps some memory of every execution."""
LONGEST_KEPT_BYTES: Final = 1024
"""A longer input stays out of the repository: with so many targets they would outgrow the code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one target's run came to."""

    target: str
    executions: int = 0
    seconds: int = 0
    new_inputs: int = 0
    features: int = 0
    slowest_s: int = 0
    peak_mb: int = 0
    crashes: tuple[Path, ...] = ()

    def joined(self, later: "Outcome") -> "Outcome":
        """The outcome of this process and a later one of the same target."""
        return Outcome(
            target=self.target,
            executions=self.executions + later.executions,
            seconds=self.seconds + later.seconds,
            new_inputs=self.new_inputs + later.new_inputs,
            features=max(self.features, later.features),
            slowest_s=max(self.slowest_s, later.slowest_s),
            peak_mb=max(self.peak_mb, later.peak_mb),
            crashes=later.crashes,
        )


def main() -> int:
    """Exit code 1 where an input breaks a contract."""
    arguments = _arguments()
    os.nice(10)
    chosen = arguments.targets or list(TARGETS)
    second_per_share = arguments.minutes * 60 / sum(TARGETS[name].share for name in chosen)
    outcomes = [_fuzz(name, arguments.out, max(1, round(second_per_share * TARGETS[name].share))) for name in chosen]
    Console(width=118).print(_table(outcomes))
    crashes = [(outcome.target, crash) for outcome in outcomes for crash in outcome.crashes]
    for target, crash in crashes:
        sys.stdout.write(f"reproduce: python -m tests.fuzz.replay {target} {crash}\n")
    if arguments.merge:
        for name in chosen:
            _merge(name, arguments.out)
    return 1 if crashes else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="time for all targets together")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="where inputs, logs and crashes go")
    parser.add_argument("--merge", action="store_true", help="minimise what was found into tests/fuzz/corpus")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all by default")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.targets) - set(TARGETS))
    if unknown:
        parser.error(f"no target {', '.join(unknown)}; choose from {', '.join(TARGETS)}")
    return arguments


def _fuzz(name: str, out: Path, seconds: int) -> Outcome:
    corpus, crashes, log = out / "corpus" / name, out / "crashes" / name, out / "logs" / f"{name}.log"
    for folder in (corpus, crashes, log.parent):
        folder.mkdir(parents=True, exist_ok=True)
    for data in [*TARGETS[name].seeds(), *(path.read_bytes() for path in kept_inputs(name))]:
        (corpus / hashlib.sha1(data).hexdigest()).write_bytes(data)
    before = set(crashes.iterdir())
    log.write_text("")
    outcome = Outcome(target=name)
    while seconds > 0 and not outcome.crashes:
        process = _one_process(name, corpus, crashes, min(seconds, LONGEST_PROCESS_S))
        with log.open("a") as stream:
            stream.write(process.stdout)
        fresh = sorted(path for path in set(crashes.iterdir()) - before if not path.name.startswith("slow-unit"))
        if process.returncode and not fresh:
            # It ended before it could say which input was at fault: the log is what there is.
            fresh = [log]
        outcome = outcome.joined(_read_log(name, process.stdout, tuple(fresh)))
        seconds -= LONGEST_PROCESS_S
    return outcome


def _one_process(name: str, corpus: Path, crashes: Path, seconds: int) -> subprocess.CompletedProcess[str]:
    """The fuzzer, run to its end."""
    command = [
        *(sys.executable, "-m", "tests.fuzz.instrumented", name, str(corpus)),
        f"-max_total_time={seconds}",
        f"-max_len={TARGETS[name].longest}",
        f"-rss_limit_mb={MEMORY_LIMIT_MB}",
        f"-timeout={LONGEST_RUN_OF_ONE_INPUT_S}",
        f"-artifact_prefix={crashes}/",
        "-print_final_stats=1",
    ]
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
    )


def _read_log(name: str, log: str, crashes: tuple[Path, ...]) -> Outcome:
    def last(pattern: str) -> int:
        found = re.findall(pattern, log)
        return int(found[-1]) if found else 0

    return Outcome(
        target=name,
        executions=last(r"stat::number_of_executed_units:\s+(\d+)") or last(r"^#(\d+)"),
        seconds=last(r"Done \d+ runs in (\d+) second"),
        new_inputs=last(r"stat::new_units_added:\s+(\d+)"),
        features=last(r" ft: (\d+)"),
        slowest_s=last(r"stat::slowest_unit_time_sec:\s+(\d+)"),
        peak_mb=last(r"stat::peak_rss_mb:\s+(\d+)"),
        crashes=crashes,
    )


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(title="Coverage-guided fuzzing")
    table.add_column("target")
    for heading in ("executions", "per second", "new inputs", "features", "slowest s", "peak MB", "crashes"):
        table.add_column(heading, justify="right")
    for one in outcomes:
        per_second = one.executions // max(1, one.seconds)
        figures = (one.executions, per_second, one.new_inputs, one.features, one.slowest_s, one.peak_mb)
        table.add_row(one.target, *(f"{figure:,}" for figure in figures), str(len(one.crashes)))
    table.add_section()
    table.add_row(
        "all", f"{sum(one.executions for one in outcomes):,}", *[""] * 5, str(sum(len(o.crashes) for o in outcomes))
    )
    return table


def _merge(name: str, out: Path) -> None:
    """The smallest set with the same coverage into the repository, short inputs first, up to a limit."""
    fresh = out / "merged" / name
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    found = out / "corpus" / name
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.instrumented",
        name,
        "-merge=1",
        str(fresh),
        str(CORPUS / name),
        str(found),
    ]
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    with (out / "logs" / f"{name}.merge.log").open("w") as stream:
        subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=True)
    regressions = {path.name for path in kept_inputs(name) if path.name.startswith("regression-")}
    for path in kept_inputs(name):
        if path.name not in regressions:
            path.unlink()
    room = TARGETS[name].kept_bytes
    for path in sorted(fresh.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        room -= path.stat().st_size
        if path.stat().st_size <= LONGEST_KEPT_BYTES and room >= 0:
            shutil.copyfile(path, CORPUS / name / path.name)


if __name__ == "__main__":
    sys.exit(main())
