"""Scenario section of the simulated power system: what is not told here is that of `[power]`."""

from typing import Annotated, Literal

from pydantic import Field

from mission.scenario_section import NonNegativeFloat, PositiveFloat, Probability, Section

Celsius = Annotated[float, Field(ge=-150, le=300)]


class EpsSection(Section):
    """`[eps]`: the satellite's power system as `tianshu eps` plays it."""

    battery_capacity_wh: PositiveFloat | None = None
    """Usable battery capacity, watt-hours. Absent: `power.battery_capacity_wh`."""
    initial_charge_fraction: Probability | None = None
    """Charge at the first start, share of the capacity; later starts go on where the last one stopped. Absent:
    `power.initial_charge_fraction`."""
    panel_w: NonNegativeFloat | None = None
    """What the panels give in sunlight, watts. Absent: `power.panel_w`."""
    cap_w: NonNegativeFloat = 24.0
    """Limit on the whole satellite's power that the power system gives out, watts."""
    sunlight: Literal["sun", "orbit", "scenario"] = "orbit"
    """`sun`: always. `orbit`: day and night in turn, `orbit_period_s` and `eclipse_fraction`. `scenario`: as on `[orbit]`, whose
    elements must be of these days."""
    orbit_period_s: Annotated[float, Field(ge=2)] = 5670.0
    """From one sunrise to the next, seconds; counted from the Unix epoch."""
    eclipse_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.36
    """Share of it that is night; the night ends the period."""
    initial_temperature_c: Celsius = 20.0
    """Of the electronics at the first start, degrees Celsius."""
    sunlit_surroundings_c: Celsius = 10.0
    """What unpowered electronics would settle at in sunlight, degrees Celsius."""
    eclipse_surroundings_c: Celsius = -15.0
    """The same in eclipse."""
    heat_resistance_k_per_w: PositiveFloat = 1.5
    """How much warmer than that one watt keeps them, kelvin."""
    heat_capacity_j_per_k: PositiveFloat = 1500.0
    """What warms them by one kelvin, joules."""
    critical_temperature_c: Annotated[float, Field(gt=0, le=300)] = 85.0
    """Temperature at which the power system would cut them off, degrees Celsius."""
    nominal_voltage_v: Annotated[float, Field(ge=3, le=60)] = 7.6
    """Of the battery at half charge, volts."""
