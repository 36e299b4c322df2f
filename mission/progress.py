"""Progress bars on standard error: shown on a terminal, silent everywhere else and whenever a script asks.

with ProgressBars(quiet=quiet) as bars:
    with bars.stage("Detect", total=len(tiles)) as stage:
        for tile in tiles:
            ...
            stage.advance()
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

Item = TypeVar("Item")


class Stage:
    """One bar: a piece of work with a known or unknown number of parts."""

    def __init__(self, bars: Progress | None, task: TaskID | None) -> None:
        self._bars = bars
        self._task = task
        self.done = 0
        """Parts done so far."""

    def advance(self, parts: int = 1, *, note: str = "") -> None:
        """`parts` more are done; `note` stands beside the bar."""
        self.done += parts
        self._update(note)

    def reach(self, done: int, *, note: str = "") -> None:
        """Set the number of parts done, for work that reports totals."""
        self.done = done
        self._update(note)

    def _update(self, note: str) -> None:
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=self.done, note=note)


class ProgressBars:
    """The bars of one command. Nothing is written with `quiet`, or where `console` (standard error) is no terminal."""

    def __init__(self, *, quiet: bool = False, console: Console | None = None) -> None:
        target = console if console is not None else Console(stderr=True)
        self.shown = not quiet and target.is_terminal
        """Whether anything is written at all."""
        self._bars = _bars(target) if self.shown else None

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def refresh(self) -> None:
        """Draw the bars now, without waiting for the next turn of the display."""
        if self._bars is not None:
            self._bars.refresh()

    @contextmanager
    def stage(self, label: str, *, total: int | None = None) -> Iterator[Stage]:
        """A bar for the time of the block; an unknown `total` (None) pulses."""
        if self._bars is None:
            yield Stage(None, None)
            return
        task = self._bars.add_task(label, total=total, note="")
        stage = Stage(self._bars, task)
        yield stage
        self._bars.update(task, total=stage.done if total is None else total)
        self._bars.stop_task(task)

    def track(self, items: Iterable[Item], label: str, *, total: int | None = None) -> Iterator[Item]:
        """The items one by one, each counted once the next is asked for."""
        with self.stage(label, total=total) as stage:
            for item in items:
                yield item
                stage.advance()


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<12}", markup=False),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
        console=console,
        transient=True,
    )
