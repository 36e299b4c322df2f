"""`tianshu eps`: the simulated power system as a service."""

import argparse
from pathlib import Path

from mission.live.service_options import add_service_options


def add_eps_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "eps",
        help="simulate the satellite's power system: battery, panels, eclipse, heat",
        description="Writes its readings as Linux lays out /sys, twice a second, until SIGTERM or SIGINT. The flight computer reads "
        "them with --power; on a board --power /sys reads the real ones.",
    )
    add_service_options(parser)
    parser.add_argument("--power", metavar="DIR", help="root of the readings that are written")
    parser.add_argument("--load", metavar="FILE", help="file in which the flight computer says what it draws")
    parser.add_argument("--control", metavar="FILE", help='faults, JSON or TOML, read again every turn: {"cap_w": 5}')
    parser.set_defaults(command=run_eps)


def run_eps(options: argparse.Namespace) -> int:
    """Runs until it is told to stop. Raises ServiceError, ScenarioError."""
    from mission.live.eps_service import EpsService
    from mission.live.service import open_service
    from mission.live.service_settings import OptionSource, scenario_of

    scenario = scenario_of(options)
    source = OptionSource(options, scenario.services.eps)
    power: Path = source.required("power", Path)
    load, control = source.of("load", Path), source.of("control", Path)
    service = open_service(source)
    EpsService(service, scenario, power=power, load=load, control=control).start()
    return service.run()
