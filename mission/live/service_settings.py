"""What every service is told, and where it looks for it: command line, then environment, then scenario, then default.

An option `max_waiting` of the service `sensor` is `--max-waiting`, `TIANSHU_MAX_WAITING`, or `max_waiting` in the scenario's
`[services.sensor]`. An empty environment variable counts as absent.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from mission.errors import ServiceError
from mission.live.structured_log import LogLevel
from mission.scenario import Scenario, load_scenario
from mission.scenario_services import NO_HTTP, ServiceSection

ENVIRONMENT_PREFIX = "TIANSHU_"


class ServiceSettings(BaseModel):
    """What the frame of a service needs to know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Path
    """Folder of everything that outlives the process; made where it is absent."""
    http: str | None = "127.0.0.1:9101"
    """Where health, status and metrics are answered, HOST:PORT; port 0 for any free one. None: nowhere."""
    log_level: LogLevel = "info"
    """The least important line that is written."""


def scenario_of(options: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Scenario:
    """The scenario of `--scenario` or `TIANSHU_SCENARIO`, the default one without either. Raises ScenarioError."""
    return load_scenario(getattr(options, "scenario", None) or environment.get(f"{ENVIRONMENT_PREFIX}SCENARIO") or None)


class OptionSource:
    """Where one service finds its options."""

    def __init__(
        self,
        options: argparse.Namespace,
        section: ServiceSection,
        *,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """`section` is the service's own of `scenario.services`; without a scenario an empty one."""
        self.service = section.service
        self._options = options
        self._section = section
        self._environment = environment

    def of(self, name: str, kind: Any = str, default: Any = None) -> Any:
        """The option, as a `kind` (any type pydantic knows, such as `Path`, `int`, `bool`), or the default where nobody gives it.

        Raises ServiceError where what is given is not of that kind.
        """
        given = getattr(self._options, name, None)
        if given is not None and given != [] and given is not False:
            return _as_kind(given, kind, f"--{name.replace('_', '-')}")
        variable = ENVIRONMENT_PREFIX + name.upper()
        if self._environment.get(variable):
            return _as_kind(self._environment[variable], kind, variable)
        told = getattr(self._section, name, None)
        return default if told is None else _as_kind(told, kind, f"{name} of [services.{self.service}]")

    def required(self, name: str, kind: Any = str) -> Any:
        """The option. Raises ServiceError where nobody gives it."""
        value = self.of(name, kind)
        if value is None:
            raise ServiceError(
                f"the {self.service} service needs to know {name!r}: give --{name.replace('_', '-')}, "
                f"{ENVIRONMENT_PREFIX}{name.upper()}, or {name} in [services.{self.service}] of the scenario"
            )
        return value

    def settings(self) -> ServiceSettings:
        """State folder, HTTP address and log level. Raises ServiceError."""
        http = self.of("http", str, self._section.default_http)
        return ServiceSettings(
            state=self.of("state", Path, Path(f"{self.service}-state")),
            http=None if http == NO_HTTP else http,
            log_level=self.of("log_level", LogLevel, "info"),
        )


def _as_kind(value: object, kind: Any, source: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise ServiceError(f"{source} = {str(value)!r} cannot be used: {error.errors()[0]['msg']}") from error
