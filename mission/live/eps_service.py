"""`tianshu eps`: a satellite's power system as a process (edge: files, clock).

Twice a second it reads what the flight computer draws and what faults are asked for, lets that time pass in the model, and writes the
readings, each file whole. It keeps charge and temperature through restarts; time during which it does not run does not pass.
"""

import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mission.errors import ServiceError
from mission.live.eps_control import ControlFile
from mission.live.eps_model import EpsLoads, EpsModel, EpsState, eps_settings, first_state
from mission.live.eps_sunlight import sunlight_profile
from mission.live.eps_tree import eps_files
from mission.live.load_file import LoadFile
from mission.live.service import Service
from mission.live.service_status import ServiceStatus
from mission.live.state_folder import replace_small_file
from mission.scenario import Scenario
from onboard.battery import Battery

TURN_S = 0.5
KEEP_EVERY_MS = 5000
"""Charge and temperature are put on the disk so often; a loss of power costs the simulation that much time."""
WRITE_ALL_EVERY_MS = 5000
"""Files whose text is as before are written so often all the same, in case somebody has touched them."""
KEPT_FILE = "eps.json"


class KeptCharge(BaseModel):
    """What outlives the process."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    charge_fraction: float = Field(ge=0, le=1)
    """Of the battery."""
    temperature_c: float = Field(ge=-273.15, le=1000)
    """Of the electronics, degrees Celsius."""
    compute_j: float = Field(ge=0)
    """Spent on image processing since the first start, joules."""


class EpsStatus(ServiceStatus):
    """What `/status` says."""

    charge_fraction: float
    """Of the battery, 0 to 1."""
    charge_j: float
    """The same in joules."""
    capacity_j: float
    """What the battery can hold, joules."""
    unmet_j: float
    """What the loads asked of an empty battery since the service started, joules."""
    panel_w: float
    """What the panels give now, watts."""
    load_w: float
    """What all loads draw, watts."""
    compute_w: float
    """Image processing's part of it, watts."""
    radio_on: bool
    """Whether the transmitter is on."""
    cap_w: float
    """The limit, watts."""
    temperature_c: float
    """Of the electronics, degrees Celsius."""
    critical_c: float
    """Where they would be cut off, degrees Celsius."""
    control: dict[str, float | bool]
    """Faults in force."""
    problems: tuple[str, ...]
    """Files that cannot be read or written now."""


class EpsService:
    """The power system on the frame of a service."""

    def __init__(
        self,
        service: Service,
        scenario: Scenario,
        *,
        power: Path,
        load: Path | None,
        control: Path | None,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
    ) -> None:
        """`power` is the root of the readings. Raises ServiceError where it cannot be made, or the orbit's elements are old."""
        self._service = service
        self._power = power
        self._wall_ms = wall_ms
        self._monotonic_ms = monotonic_ms
        self._load = LoadFile(load)
        self._control = ControlFile(control)
        self._written: dict[str, str] = {}
        self._written_all_ms: int | None = None
        self._kept_ms = monotonic_ms()
        self._problems: dict[str, str] = {}
        settings = eps_settings(scenario.eps, scenario.power)
        state = self._state_after_restart(first_state(scenario.eps, scenario.power, now_ms=wall_ms()))
        self.model = EpsModel(settings, sunlight_profile(scenario, now_ms=wall_ms()), state=state)
        self._gauges()
        try:
            power.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ServiceError(
                f"the power readings cannot be written under {power}: {error.strerror}; give another folder with --power"
            ) from error

    def start(self) -> None:
        """Put it on the service's loop."""
        self._service.every(TURN_S, self.turn)
        self._service.on_stop(self._keep)

    def turn(self) -> None:
        """Read, let time pass, write, show."""
        self._look_at_control()
        load = self._load.read(self._monotonic_ms())
        self._note("load", self._load.problem)
        loads = EpsLoads(compute_w=load.compute_w, radio_on=load.radio_on)
        state = self.model.advance(self._wall_ms(), loads, self._control.control)
        self._write(state)
        if self._monotonic_ms() - self._kept_ms >= KEEP_EVERY_MS:
            self._keep()
        self._show(state, loads)

    def _look_at_control(self) -> None:
        if not self._control.read():
            return
        self._note("control", self._control.problem)
        self._kept_ms = self._monotonic_ms() - KEEP_EVERY_MS  # what a person has set is not lost
        if not self._control.problem:
            self._service.log.info("control", **self._faults())

    def _faults(self) -> dict[str, float | bool]:
        control = self._control.control
        given = {name: getattr(control, name) for name in type(control).__dataclass_fields__}
        return {name: value for name, value in given.items() if value is not None}

    def _write(self, state: EpsState) -> None:
        """Files whose text has changed; now and then all of them."""
        now_ms = self._monotonic_ms()
        if self._written_all_ms is None or now_ms - self._written_all_ms >= WRITE_ALL_EVERY_MS:
            self._written.clear()
            self._written_all_ms = now_ms
        try:
            for name, text in eps_files(state, self.model.settings).items():
                if self._written.get(name) != text:
                    self._write_file(self._power / name, text)
                    self._written[name] = text
        except OSError as error:
            self._note("power", f"{error.filename or self._power} cannot be written: {error.strerror}")
        else:
            self._note("power", "")

    def _write_file(self, path: Path, text: str) -> None:
        try:
            replace_small_file(path, text.encode("ascii"), durable=False)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_small_file(path, text.encode("ascii"), durable=False)

    def _keep(self) -> None:
        """Charge and temperature onto the disk."""
        state = self.model.state
        kept = KeptCharge(
            charge_fraction=state.charge_fraction, temperature_c=state.temperature_c, compute_j=state.compute_j
        )
        self._kept_ms = self._monotonic_ms()
        try:
            replace_small_file(self._service.state.path / KEPT_FILE, kept.model_dump_json().encode() + b"\n")
        except OSError as error:
            self._note("state", f"{KEPT_FILE} cannot be written: {error.strerror}")
        else:
            self._note("state", "")

    def _state_after_restart(self, first: EpsState) -> EpsState:
        """The state that the last process left, or `first` where there was none."""
        file = self._service.state.path / KEPT_FILE
        try:
            kept = KeptCharge.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return first
        except (OSError, ValidationError) as error:
            self._service.log.warning(
                "charge forgotten", file=file, problem=str(error), instead="as at the first start"
            )
            return first
        capacity_j = first.battery.capacity_j
        return EpsState(
            at_ms=first.at_ms,
            battery=Battery(capacity_j=capacity_j, charge_j=capacity_j * kept.charge_fraction),
            temperature_c=kept.temperature_c,
            compute_j=kept.compute_j,
        )

    def _note(self, what: str, problem: str) -> None:
        """Log a problem once when it comes, and once when it goes."""
        before = self._problems.get(what, "")
        if problem == before:
            return
        if problem:
            self._problems[what] = problem
            self._service.log.warning(f"{what} file trouble", problem=problem)
        else:
            del self._problems[what]
            self._service.log.info(f"{what} file well again")

    def _show(self, state: EpsState, loads: EpsLoads) -> None:
        status = EpsStatus(
            charge_fraction=state.charge_fraction,
            charge_j=state.battery.charge_j,
            capacity_j=state.battery.capacity_j,
            unmet_j=state.battery.unmet_j,
            panel_w=state.panel_w,
            load_w=state.load_w,
            compute_w=loads.compute_w,
            radio_on=loads.radio_on,
            cap_w=state.cap_w,
            temperature_c=state.temperature_c,
            critical_c=self.model.settings.critical_c,
            control=self._faults(),
            problems=tuple(self._problems.values()),
        )
        unwritten = self._problems.get("power", "")
        self._service.show(status, healthy=not unwritten, reason=unwritten)

    def _gauges(self) -> None:
        gauge = self._service.metrics.gauge
        gauge("charge_fraction", "Charge of the battery, 0 to 1.", lambda: self.model.state.charge_fraction)
        gauge("load_w", "What all loads draw, watts.", lambda: self.model.state.load_w)
        gauge("panel_w", "What the panels give, watts.", lambda: self.model.state.panel_w)
        gauge("cap_w", "Limit on the power, watts.", lambda: self.model.state.cap_w)
        gauge("temperature_c", "Of the electronics, degrees Celsius.", lambda: self.model.state.temperature_c)
