"""The command line `tianshu`: one file for each command, and what becomes of their errors."""

import argparse
import sys
from collections.abc import Sequence

from downlink.errors import DownlinkError
from ground.errors import GroundError
from mission.cli_audit import add_audit_command
from mission.cli_channel import add_channel_command
from mission.cli_evaluate import add_evaluate_command
from mission.cli_export import add_export_command
from mission.cli_replay import add_replay_command
from mission.cli_run import add_run_command
from mission.cli_simulate import add_simulate_command
from mission.cli_train import add_train_command
from mission.errors import MissionError
from mission.live.cli_eps import add_eps_command
from mission.live.cli_ground import add_ground_command
from mission.live.cli_health import add_health_command
from mission.live.cli_onboard import add_onboard_command
from mission.live.cli_sensor import add_sensor_command
from onboard.errors import OnboardError

EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130
ROOM_ERRORS = (DownlinkError, OnboardError, GroundError, MissionError)
COMMANDS = (
    add_run_command,
    add_simulate_command,
    add_channel_command,
    add_replay_command,
    add_export_command,
    add_evaluate_command,
    add_train_command,
    add_audit_command,
    add_onboard_command,
    add_ground_command,
    add_eps_command,
    add_sensor_command,
    add_health_command,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code, with one message on standard error where something was refused.

    1 where what was checked does not hold, 2 where something was refused, 130 where the user interrupted it.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except ROOM_ERRORS as error:
        sys.stderr.write(f"tianshu: {error}\n")
        return EXIT_REFUSED
    except OSError as error:
        sys.stderr.write(f"tianshu: {_told(error)}\n")
        return EXIT_REFUSED
    except KeyboardInterrupt:
        sys.stderr.write("tianshu: interrupted\n")
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tianshu", description="Onboard edge processing for Earth observation, end to end."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add_command in COMMANDS:
        add_command(commands)
    return parser


def _told(error: OSError) -> str:
    """A refusal of the operating system that no room expected, with what to do about it."""
    what = f"{error.filename}: " if error.filename else ""
    return f"{what}{error.strerror or error}; free space or check rights, then run again (what was stored is intact)"


if __name__ == "__main__":
    sys.exit(main())
