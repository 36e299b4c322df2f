"""`tianshu ground`: the ground station as a service."""

import argparse
from pathlib import Path

from mission.live.service_options import add_service_options


def add_ground_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "ground",
        help="receive, acknowledge, rebuild and publish; a page shows how things stand",
        description="Takes transfer frames from a frame port, answers them, publishes scenes as they are so far, and serves "
        "a status page and the catalogue, until SIGTERM or SIGINT.",
    )
    add_service_options(parser)
    parser.add_argument("--link", metavar="ADDRESS", help="frame port: udp://, tcp://, tcp-listen:// or serial://")
    parser.add_argument("--record", metavar="FILE", help="write an event log that 'tianshu replay' can read")
    parser.add_argument(
        "--skew", metavar="FILE", help="milliseconds by which the clock is wrong on purpose (for tests)"
    )
    parser.set_defaults(command=run_ground)


def run_ground(options: argparse.Namespace) -> int:
    """Runs until it is told to stop. Raises ServiceError, PortError, ScenarioError, KeyFileError."""
    from mission.event_log import EventRecorder
    from mission.link_setup import link_profile
    from mission.live.frame_port import open_frame_port
    from mission.live.ground_service import GroundService
    from mission.live.service import open_service
    from mission.live.service_settings import OptionSource, scenario_of

    scenario = scenario_of(options)
    source = OptionSource(options, scenario.services.ground)
    link: str = source.required("link")
    record, skew = source.of("record", Path), source.of("skew", Path)
    profile = link_profile(scenario)
    port = open_frame_port(link, frame_bytes_in=profile.frame_bytes, frame_bytes_out=profile.uplink_frame_bytes)
    service = open_service(source)
    recorder = None if record is None else EventRecorder(record)
    GroundService(service, scenario, port, skew=skew, recorder=recorder).start()
    return service.run()
