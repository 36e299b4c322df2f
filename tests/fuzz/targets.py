"""Every fuzz target by its name, and the inputs that are kept for it."""

from pathlib import Path
from typing import Final

from tests.fuzz import (
    both_ends_target,
    cfdp_targets,
    end_targets,
    erasure_targets,
    frame_reader_targets,
    link_format_targets,
    product_format_targets,
    store_targets,
    uplink_targets,
)
from tests.fuzz.contract import Target

TARGETS: Final[dict[str, Target]] = {
    **link_format_targets.TARGETS,
    **product_format_targets.TARGETS,
    **frame_reader_targets.TARGETS,
    **cfdp_targets.TARGETS,
    **uplink_targets.TARGETS,
    **erasure_targets.TARGETS,
    **store_targets.TARGETS,
    **end_targets.TARGETS,
    **both_ends_target.TARGETS,
}
CORPUS: Final = Path(__file__).resolve().parent / "corpus"


def kept_inputs(name: str) -> list[Path]:
    """The files of a target's corpus, in a fixed order."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())
