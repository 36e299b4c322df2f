"""`tianshu audit`: what was missed on board, from the units that the discard audit drew and the verdicts on them."""

import argparse
import sys
from pathlib import Path


def add_audit_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "audit",
        help="say what was missed among the discarded, with intervals",
        description="Reads the discard audit from the journal of a run, or of a ground service, which may be at work, and the "
        "verdicts that the run or a person has given.",
    )
    parser.add_argument(
        "folder", type=Path, metavar="OUT_FOLDER", help="folder of a run, or state folder of a ground service"
    )
    parser.add_argument(
        "--verdicts",
        type=Path,
        metavar="FILE",
        help="JSON or CSV (scene, unit, objects) of what is in the cells; goes before the verdicts that lie in the folder",
    )
    parser.add_argument(
        "--review", type=Path, metavar="DIR", help="write the cells as pictures, and a verdict file to be filled in"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON and nothing else")
    parser.set_defaults(command=audit)


def audit(options: argparse.Namespace) -> int:
    """Prints the figures; returns the exit code, 1 where no audit has come down. Raises the errors of every room."""
    from rich.console import Console

    from mission.audit_review import read_audit, show_audit, write_review

    judged = read_audit(options.folder, options.verdicts)
    if options.review is not None:
        write_review(judged, options.review)
    figures = judged.figures
    if options.json:
        sys.stdout.write("null\n" if figures is None else figures.model_dump_json(indent=2) + "\n")
    elif figures is None:
        sys.stdout.write(f"no discard audit has come down in {options.folder}\n")
    else:
        show_audit(figures, Console())
        if options.review is not None:
            sys.stdout.write(f"{options.review}\n")
    return 1 if figures is None else 0
