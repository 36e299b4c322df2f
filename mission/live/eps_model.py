"""A satellite's power system, simulated: battery, panels, eclipse, limit, and the warmth of its electronics. No I/O.

Warmth is one node: `heat_capacity dT/dt = load - (T - surroundings) / heat_resistance`, solved exactly over each stretch of constant
load and light. A time step longer than `LONGEST_STEP_MS` is no time that passed: the simulator was stopped, or its clock was set.
"""

import math
from dataclasses import dataclass, replace

from mission.live.eps_sunlight import SunlightProfile
from mission.scenario_eps import EpsSection
from mission.scenario_onboard import PowerSection
from onboard.battery import Battery
from onboard.errors import EnergyError
from onboard.sunlight import Sunlight

LONGEST_STEP_MS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EpsLoads:
    """What is switched on."""

    compute_w: float
    """Image processing, watts."""
    radio_on: bool
    """Whether the transmitter is on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpsControl:
    """Faults: each value that is given stands in place of the model's while it is given."""

    cap_w: float | None = None
    """Limit on the whole satellite's power, watts."""
    panel_w: float | None = None
    """What the panels give in sunlight, watts."""
    charge_fraction: float | None = None
    """Charge of the battery, share of its capacity."""
    temperature_c: float | None = None
    """Of the electronics, degrees Celsius."""
    sunlit: bool | None = None
    """Whether the panels see the Sun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpsSettings:
    """The satellite."""

    capacity_j: float
    """Of the battery, joules."""
    panel_w: float
    """What the panels give in sunlight, watts."""
    idle_w: float
    """What the bus draws always, watts."""
    radio_w: float
    """What the transmitter draws, watts."""
    cap_w: float
    """Limit on the whole satellite's power, watts."""
    sunlit_surroundings_c: float
    """What unpowered electronics settle at in sunlight, degrees Celsius."""
    eclipse_surroundings_c: float
    """The same in eclipse."""
    heat_resistance_k_per_w: float
    """How much warmer than that one watt keeps them, kelvin."""
    heat_capacity_j_per_k: float
    """What warms them by one kelvin, joules."""
    critical_c: float
    """Where they would be cut off, degrees Celsius."""
    nominal_voltage_v: float
    """Of the battery at half charge, volts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpsState:
    """The power system at one moment."""

    at_ms: int
    """Unix ms."""
    battery: Battery
    """With its books."""
    temperature_c: float
    """Of the electronics, degrees Celsius."""
    compute_j: float = 0.0
    """Spent on image processing so far, joules."""
    load_w: float = 0.0
    """What all loads draw, watts."""
    panel_w: float = 0.0
    """What the panels give, watts."""
    cap_w: float = 0.0
    """The limit in force, watts."""

    @property
    def charge_fraction(self) -> float:
        """Share of the capacity."""
        return self.battery.charge_j / self.battery.capacity_j


class EpsModel:
    """The power system over time."""

    def __init__(self, settings: EpsSettings, sunlight: SunlightProfile, *, state: EpsState) -> None:
        self.settings = settings
        self.state = state
        self._sunlight = sunlight

    def advance(self, now_ms: int, loads: EpsLoads, control: EpsControl | None = None) -> EpsState:
        """Let time pass until `now_ms` under constant loads. Raises EnergyError for loads below 0, OrbitError by the orbit."""
        if not loads.compute_w >= 0:
            raise EnergyError(f"image processing cannot draw {loads.compute_w} W; give 0 or more")
        control = control or EpsControl()
        settings, before = self.settings, self.state
        load_w = settings.idle_w + settings.radio_w * loads.radio_on + loads.compute_w
        panel_w = settings.panel_w if control.panel_w is None else control.panel_w
        step_ms = now_ms - before.at_ms
        start_ms = before.at_ms if 0 <= step_ms <= LONGEST_STEP_MS else now_ms
        sunlight = self._sunlight_between(start_ms, now_ms + 1, control)
        battery = before.battery.advance(start_ms, now_ms, sunlight=sunlight, panel_w=panel_w, load_w=load_w)
        temperature_c, lit = before.temperature_c, False
        for phase_start_ms, phase_end_ms, phase_lit in sunlight.phases(start_ms, now_ms + 1):
            lit = phase_lit
            seconds = (min(phase_end_ms, now_ms) - phase_start_ms) / 1000
            temperature_c = self._warmed(temperature_c, load_w=load_w, lit=lit, seconds=seconds)
        if control.charge_fraction is not None:
            battery = replace(battery, charge_j=control.charge_fraction * battery.capacity_j)
        self.state = EpsState(
            at_ms=now_ms,
            battery=battery,
            temperature_c=temperature_c if control.temperature_c is None else control.temperature_c,
            compute_j=before.compute_j + loads.compute_w * (now_ms - start_ms) / 1000,
            load_w=load_w,
            panel_w=panel_w if lit else 0.0,
            cap_w=settings.cap_w if control.cap_w is None else control.cap_w,
        )
        return self.state

    def _sunlight_between(self, start_ms: int, end_ms: int, control: EpsControl) -> Sunlight:
        if control.sunlit is None:
            return self._sunlight.between(start_ms, end_ms)
        return Sunlight(intervals=((start_ms, end_ms),) if control.sunlit else ())

    def _warmed(self, temperature_c: float, *, load_w: float, lit: bool, seconds: float) -> float:
        settings = self.settings
        surroundings_c = settings.sunlit_surroundings_c if lit else settings.eclipse_surroundings_c
        settled_c = surroundings_c + load_w * settings.heat_resistance_k_per_w
        time_constant_s = settings.heat_resistance_k_per_w * settings.heat_capacity_j_per_k
        return settled_c + (temperature_c - settled_c) * math.exp(-seconds / time_constant_s)


def eps_settings(eps: EpsSection, power: PowerSection) -> EpsSettings:
    """`[eps]` over `[power]`."""
    capacity_wh = power.battery_capacity_wh if eps.battery_capacity_wh is None else eps.battery_capacity_wh
    return EpsSettings(
        capacity_j=capacity_wh * 3600,
        panel_w=power.panel_w if eps.panel_w is None else eps.panel_w,
        idle_w=power.idle_w,
        radio_w=power.radio_w,
        cap_w=eps.cap_w,
        sunlit_surroundings_c=eps.sunlit_surroundings_c,
        eclipse_surroundings_c=eps.eclipse_surroundings_c,
        heat_resistance_k_per_w=eps.heat_resistance_k_per_w,
        heat_capacity_j_per_k=eps.heat_capacity_j_per_k,
        critical_c=eps.critical_temperature_c,
        nominal_voltage_v=eps.nominal_voltage_v,
    )


def first_state(eps: EpsSection, power: PowerSection, *, now_ms: int) -> EpsState:
    """The power system at its very first start."""
    capacity_j = eps_settings(eps, power).capacity_j
    fraction = power.initial_charge_fraction if eps.initial_charge_fraction is None else eps.initial_charge_fraction
    return EpsState(
        at_ms=now_ms,
        battery=Battery(capacity_j=capacity_j, charge_j=capacity_j * fraction),
        temperature_c=eps.initial_temperature_c,
    )
