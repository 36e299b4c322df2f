"""What can go wrong while the world is being set up or run.

MissionError
├── ScenarioError     a scenario file that cannot be read, or says something impossible
├── KeyFileError      a file of uplink keys that cannot be used
├── OrbitError        an orbit, a station or a span of time that cannot be computed
├── ChannelError      a link fault model with impossible numbers
├── RelayError        a port, an address or a profile that a relay or a file delivery over UDP cannot use
├── ServiceError      a live service that cannot start or go on as told
├── PortError         an address of a frame port that cannot be used
├── ReplayError       a recorded log that cannot be replayed
├── TruthError        a truth file that cannot be read
├── VerdictError      a file of verdicts on what a discard audit has drawn that cannot be used
├── RunError          a run that cannot be started or finished as asked
├── InvariantError    a simulated mission that broke a promise of the system
├── PowerLost         a simulated disk that lost its power in the middle of a write
└── ReportError       a picture or a page of the report that cannot be made
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class MissionError(Exception):
    """Root of every error raised in `mission`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioProblem:
    """One thing that is wrong in a scenario file."""

    key: str
    """Dotted path of the key, list positions in brackets: `contact[1].downlink_bps`; empty for the whole file."""
    value: object
    """What the file says there; None where nothing is said."""
    remedy: str
    """What is expected instead."""
    allowed: tuple[str, ...] = ()
    """The keys that may stand in this place, where the key itself is unknown."""
    suggestion: str | None = None
    """The allowed key nearest to the unknown one."""

    def __str__(self) -> str:
        said = f"{self.key} = {self.value!r}: " if self.key else ""
        hint = f" Did you mean {self.suggestion!r}?" if self.suggestion else ""
        keys = f" Allowed here: {', '.join(self.allowed)}." if self.allowed else ""
        return f"{said}{self.remedy}{hint}{keys}"


class ScenarioError(MissionError):
    """A scenario cannot be used; every problem found is listed."""

    def __init__(self, source: str, problems: Sequence[ScenarioProblem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"scenario {source} cannot be used:{lines}")


class KeyFileError(MissionError):
    """A file of uplink keys cannot be used."""

    def __init__(self, message: str, path: Path, line: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        """The file."""
        self.line = line
        """Number of the line, from 1, where one is to blame."""


class OrbitError(MissionError):
    """An orbit, a station or a span of time cannot be computed."""


class ChannelError(MissionError):
    """A channel was described with impossible numbers."""


class RelayError(MissionError):
    """A port, an address or a profile that a relay or a file delivery over UDP cannot use."""


class ServiceError(MissionError):
    """A live service cannot start, or go on, as told."""


class PortError(MissionError):
    """An address of a frame port cannot be used."""


class ReplayError(MissionError):
    """A recorded log cannot be replayed."""


class ReportError(MissionError):
    """A picture or a page of the report cannot be made."""


class TruthError(MissionError):
    """A truth file cannot be read."""


class VerdictError(MissionError):
    """A verdict file cannot be read, or speaks of another run."""


class RunError(MissionError):
    """A run cannot be started, or finished, as asked."""


class InvariantError(MissionError):
    """A simulated mission broke a promise of the system."""

    def __init__(self, invariant: str, detail: str, *, now_ms: int) -> None:
        self.invariant = invariant
        """What must always hold."""
        self.detail = detail
        """What was found instead, with its numbers."""
        self.now_ms = now_ms
        """When it was found, mission time."""
        super().__init__(f"{invariant}: {detail} (at {now_ms} ms)")


class PowerLost(MissionError):
    """A simulated disk lost its power in the middle of a write."""

    def __init__(self, disk: object, written_bytes: int, asked_bytes: int) -> None:
        self.disk = disk
        """Which one."""
        self.written_bytes = written_bytes
        """Bytes of the write that reached the disk."""
        self.asked_bytes = asked_bytes
        """Bytes that were to be written."""
        super().__init__(f"power lost after {written_bytes} of {asked_bytes} bytes written")
