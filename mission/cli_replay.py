"""`tianshu replay`: tells a recorded core everything again and compares its decisions."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mission.replay import ReplayOutcome

EXIT_DIFFERS = 1


def add_replay_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its options."""
    parser = commands.add_parser("replay", help="replay the event log of a core and compare what it decides")
    parser.add_argument("log", type=Path, metavar="LOG", help="event log of a service or of a simulated mission")
    parser.add_argument("--keys", type=Path, metavar="FILE", help="key file of the mission; not for simulated keys")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON and nothing else")
    parser.set_defaults(command=replay_log)


def replay_log(options: argparse.Namespace) -> int:
    """Replays the log; returns 1 where the decisions differ or the log is damaged."""
    from mission.key_file import read_key_file
    from mission.replay import replay

    outcome = replay(options.log, read_key_file(options.keys) if options.keys else ())
    sys.stdout.write(outcome.model_dump_json(indent=2) + "\n" if options.json else _told(outcome))
    return 0 if outcome.agrees else EXIT_DIFFERS


def _told(outcome: "ReplayOutcome") -> str:
    lines = [
        f"{outcome.end or 'empty'} log {outcome.log}",
        f"  {outcome.events:,} events in {outcome.incarnations} incarnations, {outcome.broken_off} of them broken off",
        f"  from {outcome.first_ms} to {outcome.last_ms} ms",
        f"  recorded {outcome.hash_recorded}",
        f"  replayed {outcome.hash_replayed}",
    ]
    if outcome.torn_bytes:
        lines.append(f"  {outcome.torn_bytes} bytes of an unfinished record at the end are passed over")
    if outcome.note:
        lines.append(f"  recording ended: {outcome.note}")
    if outcome.damaged_at_byte is not None:
        lines.append(f"  DAMAGED at byte {outcome.damaged_at_byte}: nothing from there on was replayed")
    if (first := outcome.divergence) is not None:
        lines += [
            f"  DIFFERS first at event {first.event_number} (incarnation {first.incarnation}, {first.now_ms} ms, byte {first.at_byte})",
            f"    event    {first.event}",
            f"    recorded {first.recorded}",
            f"    replayed {first.replayed}",
        ]
    if outcome.agrees:
        lines.append("  the replayed core decides the same")
    return "\n".join(lines) + "\n"
