"""`tianshu sensor`: the simulated camera as a service."""

import argparse
from pathlib import Path

from mission.live.service_options import add_service_options


def add_sensor_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "sensor",
        help="simulate a camera that puts scene files into the flight computer's spool",
        description="Puts copies of the scenes into the spool, in turn, each at once whole, until SIGTERM or SIGINT. After --count "
        "captures, counted over all its starts, it rests.",
    )
    add_service_options(parser)
    parser.add_argument("--spool", metavar="DIR", help="folder into which scene files are put")
    parser.add_argument(
        "--interval", metavar="S", help="seconds from one capture to the next (sensor.capture_interval_s)"
    )
    parser.add_argument("--count", metavar="N", help="how many captures; 0: no end (0)")
    parser.add_argument("--max-waiting", metavar="N", help="with so many files in the spool a capture is held back")
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help="scene files, taken in turn")
    parser.set_defaults(command=run_sensor)


def run_sensor(options: argparse.Namespace) -> int:
    """Runs until it is told to stop. Raises ServiceError, ScenarioError."""
    from typing import Annotated

    from pydantic import Field

    from mission.live.sensor_service import SensorService
    from mission.live.service import open_service
    from mission.live.service_settings import OptionSource, scenario_of

    scenario = scenario_of(options)
    source = OptionSource(options, scenario.services.sensor)
    spool: Path = source.required("spool", Path)
    interval_s = source.of("interval", Annotated[float, Field(gt=0, allow_inf_nan=False)])
    sensor = {
        "interval_s": scenario.sensor.capture_interval_s if interval_s is None else interval_s,
        "count": source.of("count", Annotated[int, Field(ge=0)], 0),
        "max_waiting": source.of("max_waiting", Annotated[int, Field(ge=1)]),
    }
    scenes: list[Path] = source.of("scenes", list[Path], [])
    service = open_service(source)
    SensorService(service, scenes, spool=spool, **sensor).start()
    return service.run()
