"""One progress bar for each network of a training."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mission.progress import ProgressBars, Stage

if TYPE_CHECKING:
    from onboard.training.train_folder import TrainingEars


class NetworkBars:
    """The bar of the network at hand; those before it stay."""

    def __init__(self, bars: ProgressBars, *, steps: int) -> None:
        self._bars = bars
        self._steps = steps
        self._open = ExitStack()
        self._stage: Stage | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def listening(self, say: Callable[[str], None]) -> TrainingEars:
        """What a training tells its progress to; lines go to `say` as well."""
        from onboard.training.train_folder import TrainingEars

        def begin(label: str) -> None:
            self._open.close()
            self._stage = self._open.enter_context(self._bars.stage(label, total=self._steps))
            say(label)

        def reach(step: int) -> None:
            if self._stage is not None:
                self._stage.reach(step)

        return TrainingEars(report=say, on_network=begin, on_step=reach)
