"""The energy port of the process that works scenes through: it follows the power system in real time (edge: files, clock, sleep).

Where a tile may not begin, `decide` waits until it may: work is late, never lost. While it waits, and after steps, it reports.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mission.scenario_onboard import PowerSection
from onboard.energy_prices import EnergyPrices, EnergyStep
from onboard.eps_reading import EpsReading, read_eps
from onboard.errors import EnergyError
from onboard.governor import Decision, Effort
from onboard.meter import EnergyReading, Meter, choose_meter
from onboard.power_budget import BudgetLimits, PowerBudget, Wait

Answer = TypeVar("Answer")

READ_EVERY_MS = 250
REPORT_EVERY_MS = 500
COMPUTE_WINDOW_MS = 10_000
"""Over which `compute_w` is the mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPowerReport:
    """What the worker has done with its power, and what the power system says; goes through a pipe."""

    detect: int = 0
    """Tiles that were allowed the detector."""
    screen_only: int = 0
    """Tiles that were allowed screening and coding."""
    waits: int = 0
    """How often work had to wait."""
    waited_ms: int = 0
    """How long in all, the present wait included."""
    waiting: bool = False
    """Whether it waits for power now."""
    reason: str = ""
    """Why it waits, or what the last decision rested on."""
    compute_w: float = 0.0
    """Mean power of image processing over the last 10 s, watts. A report gets old: without a new one for 10 s it is 0."""
    spent_j: float = 0.0
    """Joules of image processing since the worker started."""
    available_w: float | None = None
    """What the limit leaves to image processing, watts; None where there is no limit."""
    charge_fraction: float | None = None
    """Of the battery, 0 to 1; None where nothing says it."""
    cap_w: float | None = None
    """The limit, watts."""
    temperature_c: float | None = None
    """Degrees Celsius."""
    source: str = ""
    """Which devices spoke, and which meter counts joules."""
    problem: str = ""
    """Why the power system cannot be read now; empty where it can."""
    problems: int = 0
    """How often it could not be read."""


class ComputePower:
    """Mean power of work over the last while."""

    def __init__(self, window_ms: int = COMPUTE_WINDOW_MS) -> None:
        self._window_ms = window_ms
        self._steps: deque[tuple[int, int, float]] = deque()

    def add(self, start_ms: int, end_ms: int, energy_j: float) -> None:
        """A step that took `energy_j`, evenly from `start_ms` to `end_ms`."""
        self._steps.append((start_ms, max(end_ms, start_ms + 1), energy_j))

    def mean_w(self, now_ms: int) -> float:
        """Watts over the window that ends now."""
        begin_ms = now_ms - self._window_ms
        while self._steps and self._steps[0][1] <= begin_ms:
            self._steps.popleft()
        inside_j = sum(
            energy_j * (min(end_ms, now_ms) - max(start_ms, begin_ms)) / (end_ms - start_ms)
            for start_ms, end_ms, energy_j in self._steps
            if start_ms < now_ms
        )
        return 1000 * inside_j / self._window_ms


def monotonic_ms() -> int:
    """Milliseconds that no clock setting moves."""
    return time.monotonic_ns() // 1_000_000


def sleep_ms(duration_ms: int) -> None:
    """Does nothing for so long."""
    time.sleep(duration_ms / 1000)


class WorkerPower:
    """The `EnergyPort` of a live worker."""

    def __init__(
        self,
        read: Callable[[], EpsReading],
        *,
        limits: BudgetLimits,
        prices: EnergyPrices,
        meter: Meter,
        radio_on: Callable[[], bool],
        on_report: Callable[[WorkerPowerReport], None] = lambda report: None,
        clock_ms: Callable[[], int] = monotonic_ms,
        sleep: Callable[[int], None] = sleep_ms,
    ) -> None:
        """`on_report` is called while waiting, too; what it raises ends the wait."""
        self._read = read
        self._prices = prices
        self._meter = meter
        self._radio_on = radio_on
        self._on_report = on_report
        self._clock_ms = clock_ms
        self._sleep = sleep
        self._budget = PowerBudget(limits, now_ms=clock_ms())
        self._compute = ComputePower()
        self._efforts = dict.fromkeys(Effort, 0)
        self._spent_j = 0.0
        self._waits = 0
        self._waited_ms = 0
        self._waiting = False
        self._reason = ""
        self._problem = ""
        self._problems = 0
        self._read_ms: int | None = None
        self._reported_ms: int | None = None

    def decide(self, mpix: float) -> Decision:
        """The effort that a tile of `mpix` million pixels may take; comes back when there is power for it."""
        screen_only_j = self._prices.survey_j(mpix)
        detect_j = screen_only_j + self._prices.step_j(EnergyStep.DETECT, mpix)
        decision = self._when_allowed(
            lambda now_ms: self._budget.decide(screen_only_j=screen_only_j, detect_j=detect_j, now_ms=now_ms)
        )
        self._efforts[decision.effort] += 1
        self._reason = decision.reason
        return decision

    def may_spend(self, step: EnergyStep, mpix: float) -> Decision:
        """Whether there is power for the step now: SKIP where it is still to be saved, so that more urgent work can come before it."""
        price_j = self._prices.step_j(step, mpix)
        self._observe()
        answer = self._budget.decide(screen_only_j=price_j, detect_j=price_j, now_ms=self._clock_ms())
        self._reason, self._waiting = answer.reason, isinstance(answer, Wait)
        self._tell()
        return Decision(effort=Effort.SKIP, reason=answer.reason) if isinstance(answer, Wait) else answer

    def rest(self) -> None:
        """Nothing waits for power any more."""
        if self._waiting:
            self._waiting, self._reported_ms = False, None
            self._tell()

    @contextmanager
    def charge(self, step: EnergyStep, mpix: float) -> Iterator[None]:
        """Meter the work inside and take its joules from the budget; waits first where more was spent than there was.

        Work that ends with an exception has cost its joules all the same.
        """
        self._when_allowed(lambda now_ms: self._budget.debt(now_ms=now_ms))
        start_ms = self._clock_ms()
        reading: EnergyReading | None = None
        try:
            with self._meter.measure(step, megapixels=mpix) as reading:
                yield
        finally:
            if reading is not None:
                self._budget.spend(reading.energy_j)
                self._spent_j += reading.energy_j
                self._compute.add(start_ms, self._clock_ms(), reading.energy_j)
        self._tell()

    def report(self) -> WorkerPowerReport:
        """How things stand."""
        eps = self._budget.reading
        return WorkerPowerReport(
            detect=self._efforts[Effort.DETECT],
            screen_only=self._efforts[Effort.SCREEN_ONLY],
            waits=self._waits,
            waited_ms=self._waited_ms,
            waiting=self._waiting,
            reason=self._reason,
            compute_w=self._compute.mean_w(self._clock_ms()),
            spent_j=self._spent_j,
            available_w=self._budget.available_w,
            charge_fraction=eps.charge_fraction,
            cap_w=eps.cap_w,
            temperature_c=eps.temperature_c,
            source=", ".join((*eps.sources, f"meter {self._meter.name}")),
            problem=self._problem,
            problems=self._problems,
        )

    def _when_allowed(self, ask: Callable[[int], Answer | Wait]) -> Answer:
        """The first answer that is no wait."""
        self._observe()
        answer = ask(self._clock_ms())
        if not isinstance(answer, Wait):
            return answer
        self._waits += 1
        self._waiting, began_ms, before_ms = True, self._clock_ms(), self._waited_ms
        try:
            while isinstance(answer, Wait):
                self._reason = answer.reason
                self._tell()
                self._sleep(answer.for_ms)
                self._waited_ms = before_ms + max(0, self._clock_ms() - began_ms)
                self._observe()
                answer = ask(self._clock_ms())
        finally:
            self._waiting = False
        return answer

    def _observe(self) -> None:
        """Ask the power system again where the last answer is not fresh."""
        now_ms = self._clock_ms()
        if self._read_ms is not None and 0 <= now_ms - self._read_ms < READ_EVERY_MS:
            return
        self._read_ms = now_ms
        reading: EpsReading | None = None
        try:
            reading = self._read()
        except EnergyError as error:
            self._problem = str(error)
            self._problems += 1
        else:
            self._problem = ""
        self._budget.observe(reading, radio_on=self._radio_on(), now_ms=now_ms)

    def _tell(self) -> None:
        now_ms = self._clock_ms()
        if self._reported_ms is None or now_ms - self._reported_ms >= REPORT_EVERY_MS:
            self._reported_ms = now_ms
            self._on_report(self.report())


def budget_limits(section: PowerSection) -> BudgetLimits:
    """What `[power]` tells the governor."""
    return BudgetLimits(
        idle_w=section.idle_w,
        radio_w=section.radio_w,
        reserve_fraction=section.reserve_fraction,
        floor_fraction=section.floor_fraction,
        burst_j=section.budget.burst_j,
        heat_margin_c=section.budget.heat_margin_c,
    )


def worker_power(
    section: PowerSection,
    power: Path,
    *,
    radio_on: Callable[[], bool],
    on_report: Callable[[WorkerPowerReport], None],
    sleep: Callable[[int], None] = sleep_ms,
) -> WorkerPower:
    """The port that reads the tree under `power` and charges with the meter of `[power]`.

    `sleep` takes milliseconds; a worker whose parent may vanish gives one that ends then. Raises MeterError.
    """
    prices = EnergyPrices(**section.prices.model_dump())
    return WorkerPower(
        lambda: read_eps(power),
        limits=budget_limits(section),
        prices=prices,
        meter=choose_meter(section.meter, prices=prices, core_w=section.core_w),
        radio_on=radio_on,
        on_report=on_report,
        sleep=sleep,
    )
