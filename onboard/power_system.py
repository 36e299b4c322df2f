"""The satellite's energy in one place: battery, sunlight, loads, the governor's decisions and the ledger of joules.

It is what survey and coder ask before a tile and charge after a step. Time is told to it with `advance`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from onboard.battery import Battery
from onboard.energy_forecast import Loads, forecast_horizon_ms, forecast_net_j
from onboard.energy_ledger import EnergyLedger
from onboard.energy_prices import EnergyPrices, EnergyStep
from onboard.governor import Decision, GovernorState, decide, may_spend
from onboard.meter import EnergyReading, Meter
from onboard.sunlight import Sunlight


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargePoint:
    """The battery at one instant."""

    at_ms: int
    """Unix milliseconds."""
    charge_j: float
    """Joules in the battery."""
    sunlit: bool
    """Whether the panels see the Sun from here on."""
    step: EnergyStep
    """What the charge was last spent on."""


class PowerSystem:
    """Battery and loads of one satellite over time."""

    def __init__(
        self,
        battery: Battery,
        *,
        reserve_j: float,
        loads: Loads,
        sunlight: Sunlight,
        contacts_ms: Sequence[tuple[int, int]],
        prices: EnergyPrices,
        meter: Meter,
        start_ms: int,
    ) -> None:
        """`contacts_ms` are (AOS, LOS) in order of time; `start_ms` is the time of `battery`."""
        self.battery = battery
        self.meter = meter
        self.ledger = EnergyLedger()
        self.now_ms = start_ms
        self._reserve_j = reserve_j
        self._loads = loads
        self._sunlight = sunlight
        self._contacts_ms = tuple(contacts_ms)
        self._prices = prices
        self.history: list[ChargePoint] = []
        self._note(EnergyStep.IDLE)

    def advance(self, to_ms: int) -> None:
        """Let time pass: panels, bus and, during contacts, the radio. An earlier time changes nothing."""
        edges = {edge for contact in self._contacts_ms for edge in contact if self.now_ms < edge < to_ms}
        lit = self._sunlight.phases(self.now_ms, to_ms) if to_ms > self.now_ms else ()
        edges.update(start for start, _, _ in lit if start > self.now_ms)
        for edge_ms in [*sorted(edges), to_ms]:
            if edge_ms > self.now_ms:
                self._pass_time(edge_ms)

    def decide(self, mpix: float) -> Decision:
        """The effort that a tile of `mpix` million pixels may take in the survey now."""
        screen_only_j = self._prices.survey_j(mpix)
        detect_j = screen_only_j + self._prices.step_j(EnergyStep.DETECT, mpix)
        return decide(self._state(screen_only_j, detect_j))

    def may_spend(self, step: EnergyStep, mpix: float) -> Decision:
        """Whether `step` may be done now on `mpix` million pixels: by the rule of `decide`."""
        price_j = self._prices.step_j(step, mpix)
        return may_spend(price_j, self._state(price_j, price_j))

    def _state(self, screen_only_j: float, detect_j: float) -> GovernorState:
        until_ms = forecast_horizon_ms(self.now_ms, sunlight=self._sunlight, contacts_ms=self._contacts_ms)
        return GovernorState(
            charge_j=self.battery.charge_j,
            capacity_j=self.battery.capacity_j,
            reserve_j=self._reserve_j,
            screen_only_j=screen_only_j,
            detect_j=detect_j,
            forecast_net_j=forecast_net_j(
                self.now_ms,
                until_ms,
                sunlight=self._sunlight,
                contacts_ms=self._contacts_ms,
                loads=self._loads,
            ),
        )

    @contextmanager
    def charge(self, step: EnergyStep, mpix: float) -> Iterator[None]:
        """Meter the work inside, then take its joules from the battery and enter them in the ledger.

        Work that ends with an exception has cost its joules all the same.
        """
        reading: EnergyReading | None = None
        try:
            with self.meter.measure(step, megapixels=mpix) as reading:
                yield
        finally:
            if reading is not None:
                self.battery = self.battery.draw(reading.energy_j)
                self.ledger.charge(step, reading.energy_j)
                self._note(step)

    def _pass_time(self, to_ms: int) -> None:
        on_air = any(aos <= self.now_ms < los for aos, los in self._contacts_ms)
        seconds = (to_ms - self.now_ms) / 1000
        load_w = self._loads.idle_w + (self._loads.radio_w if on_air else 0.0)
        self.battery = self.battery.advance(
            self.now_ms, to_ms, sunlight=self._sunlight, panel_w=self._loads.panel_w, load_w=load_w
        )
        self.ledger.charge(EnergyStep.IDLE, self._loads.idle_w * seconds)
        if on_air:
            self.ledger.charge(EnergyStep.TRANSMIT, self._loads.radio_w * seconds)
        self.now_ms = to_ms
        self._note(EnergyStep.TRANSMIT if on_air else EnergyStep.IDLE)

    def _note(self, step: EnergyStep) -> None:
        sunlit = self._sunlight.lit_ms(self.now_ms, self.now_ms + 1) > 0
        self.history.append(ChargePoint(at_ms=self.now_ms, charge_j=self.battery.charge_j, sunlit=sunlit, step=step))
