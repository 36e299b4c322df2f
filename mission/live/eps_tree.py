"""What the simulated power system says, as files laid out like Linux lays out /sys. No I/O: paths and texts.

`onboard.eps_reading` names the kernel documents that define each file and its unit.
"""

from mission.live.eps_model import EpsSettings, EpsState

BATTERY = "class/power_supply/battery"
MONITOR = "class/hwmon/hwmon0"
LIMITER = "class/hwmon/hwmon1"
PACKAGE = "class/powercap/intel-rapl:0"
ENERGY_RANGE_UJ = 262_143_328_850
"""Of a counter of 32 bits of 61 uJ, as processors have them."""
UWH_PER_J = 1e6 / 3600
FULL_FRACTION = 0.999
VOLTAGE_SWING = 0.16
"""Voltage between empty and full, share of the nominal voltage."""


def eps_files(state: EpsState, settings: EpsSettings) -> dict[str, str]:
    """Every file with its text, line feed included, as the kernel ends them."""
    values = {
        **_battery(state, settings),
        **_monitor(state, settings),
        f"{LIMITER}/name": "tianshu_eps",
        f"{LIMITER}/power1_label": "satellite",
        f"{LIMITER}/power1_cap": round(state.cap_w * 1e6),
        f"{LIMITER}/power1_input": round(state.load_w * 1e6),
        f"{LIMITER}/temp1_label": "electronics",
        f"{LIMITER}/temp1_input": round(state.temperature_c * 1000),
        f"{LIMITER}/temp1_crit": round(settings.critical_c * 1000),
        f"{PACKAGE}/name": "package-0",
        f"{PACKAGE}/energy_uj": round(state.compute_j * 1e6) % (ENERGY_RANGE_UJ + 1),
        f"{PACKAGE}/max_energy_range_uj": ENERGY_RANGE_UJ,
    }
    return {path: f"{value}\n" for path, value in values.items()}


def battery_voltage_v(state: EpsState, settings: EpsSettings) -> float:
    """Volts: a straight line around the nominal voltage."""
    return settings.nominal_voltage_v * (1 + VOLTAGE_SWING * (state.charge_fraction - 0.5))


def _battery(state: EpsState, settings: EpsSettings) -> dict[str, str | int]:
    into_w = state.panel_w - state.load_w
    full = state.charge_fraction >= FULL_FRACTION
    idle_status = "Full" if full else "Not charging"
    stuck = (full and into_w > 0) or (state.battery.charge_j <= 0 and into_w < 0)
    flowing_w = 0.0 if stuck else into_w
    moving_status = "Charging" if flowing_w > 0 else "Discharging"
    voltage_v = battery_voltage_v(state, settings)
    return {
        f"{BATTERY}/type": "Battery",
        f"{BATTERY}/scope": "System",
        f"{BATTERY}/present": 1,
        f"{BATTERY}/technology": "Li-ion",
        f"{BATTERY}/status": moving_status if flowing_w else idle_status,
        f"{BATTERY}/capacity": round(100 * state.charge_fraction),
        f"{BATTERY}/energy_now": round(state.battery.charge_j * UWH_PER_J),
        f"{BATTERY}/energy_full": round(state.battery.capacity_j * UWH_PER_J),
        f"{BATTERY}/energy_full_design": round(state.battery.capacity_j * UWH_PER_J),
        f"{BATTERY}/voltage_now": round(voltage_v * 1e6),
        f"{BATTERY}/current_now": round(flowing_w / voltage_v * 1e6),
        f"{BATTERY}/power_now": round(flowing_w * 1e6),
        f"{BATTERY}/temp": round(state.temperature_c * 10),
    }


def _monitor(state: EpsState, settings: EpsSettings) -> dict[str, str | int]:
    """Three lines at the battery's voltage: in from the panels, out to the bus, into or out of the battery."""
    voltage_v = battery_voltage_v(state, settings)
    lines = (("panels", state.panel_w), ("bus", state.load_w), ("battery", state.panel_w - state.load_w))
    files: dict[str, str | int] = {f"{MONITOR}/name": "ina3221"}
    for channel, (label, power_w) in enumerate(lines, start=1):
        files[f"{MONITOR}/in{channel}_label"] = label
        files[f"{MONITOR}/in{channel}_enable"] = 1
        files[f"{MONITOR}/in{channel}_input"] = round(voltage_v * 1000)
        files[f"{MONITOR}/curr{channel}_input"] = round(power_w / voltage_v * 1000)
    return files
