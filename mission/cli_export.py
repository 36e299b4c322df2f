"""`tianshu export`: a scene on the ground as a file of an ordinary format."""

import argparse
import sys
from pathlib import Path


def add_export_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "export",
        help="write a scene on the ground as JPEG 2000 or GeoTIFF",
        description="Rebuilds a scene from what has arrived, or takes the codestream of one image as it came. Reads the journal "
        "of a run, or of a ground service, which may be at work.",
    )
    parser.add_argument(
        "folder", type=Path, metavar="OUT_FOLDER", help="folder of a run, or state folder of a ground service"
    )
    parser.add_argument("--scene", type=int, required=True, metavar="N", help="number of the scene")
    parser.add_argument(
        "--format",
        choices=("jp2", "cog", "j2k"),
        default="jp2",
        help="jp2: JPEG 2000, reversible (default); cog: Cloud-Optimized GeoTIFF; j2k: codestream of one image as it came",
    )
    image = parser.add_mutually_exclusive_group()
    image.add_argument("--block", type=int, metavar="K", help="with j2k: the block, counted from 0, row by row")
    image.add_argument("--chip", type=int, metavar="K", help="with j2k: the chip, counted from 0")
    parser.add_argument("--to", type=Path, metavar="FILE", help="file to write (OUT_FOLDER/export/scene-N...)")
    parser.set_defaults(command=export)


def export(options: argparse.Namespace) -> int:
    """Writes the file; returns the exit code. Raises the errors of every room."""
    from downlink.products import BLOCKS_LIMIT, FIRST_BLOCK, FIRST_CHIP
    from mission.errors import RunError
    from mission.scene_export import ExportRequest, export_scene

    number, first = (options.block, FIRST_BLOCK) if options.chip is None else (options.chip, FIRST_CHIP)
    if number is not None and options.format != "j2k":
        raise RunError(
            f"--format {options.format} is the whole scene: leave out --block and --chip, or give --format j2k"
        )
    if number is not None and not 0 <= number < BLOCKS_LIMIT:
        raise RunError(f"there is no image {number}: blocks and chips are counted from 0 to {BLOCKS_LIMIT - 1}")
    request = ExportRequest(
        folder=options.folder,
        scene=options.scene,
        format=options.format,
        product=None if number is None else first + number,
        to=options.to,
    )
    exported = export_scene(request)
    for line in (str(exported.path), *exported.notes):
        sys.stdout.write(f"{line}\n")
    return 0
