"""`tianshu onboard`: the flight computer as a service."""

import argparse

from mission.live.service_options import add_service_options


def add_onboard_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "onboard",
        help="run the flight computer: scene files in, transfer frames out",
        description="Surveys every scene file that appears in the spool, codes what is worth its bytes, keeps the layers, and sends "
        "them in the contacts of the scenario, until SIGTERM or SIGINT. It may be killed at any instant, and goes on from its state "
        "folder.",
    )
    add_service_options(parser)
    parser.add_argument("--link", metavar="ADDRESS", help="frames: udp://, tcp://, tcp-listen:// or serial://")
    parser.add_argument("--spool", metavar="DIR", help="folder into which the sensor puts scene files")
    parser.add_argument("--power", metavar="DIR", help="root of the power readings, laid out as /sys (/sys)")
    parser.add_argument("--load", metavar="FILE", help="file into which it writes what it draws (nowhere)")
    parser.add_argument("--keep-done", action="store_true", help="keep scene files once they are surveyed")
    parser.add_argument("--raw-capacity", metavar="BYTES", help="raw tiles kept until they are coded (scenario)")
    parser.add_argument("--reference-capacity", metavar="BYTES", help="acknowledged layers to predict from (policy)")
    parser.add_argument("--record", action="store_true", help="write every event and decision into STATE/record")
    parser.add_argument("--skew", metavar="FILE", help="file of milliseconds by which its clock is to be wrong")
    parser.set_defaults(command=run_onboard)


def run_onboard(options: argparse.Namespace) -> int:
    """Runs until it is told to stop. Raises MissionError, OnboardError, DownlinkError."""
    from mission.live.onboard_service import open_onboard_service
    from mission.live.service_settings import OptionSource, scenario_of

    scenario = scenario_of(options)
    service, onboard = open_onboard_service(OptionSource(options, scenario.services.onboard), scenario)
    onboard.start()
    return service.run()
