"""The folder that a run writes into: made, and cleared of an earlier run only when asked (edge: files)."""

import shutil
from pathlib import Path
from typing import Final

from mission.audit_verdicts import VERDICTS_FILE
from mission.errors import RunError

REPORT_FILE: Final = "report.json"
PAGE_FILE: Final = "report.html"
ONBOARD_JOURNALS: Final = (Path("onboard", "products.journal"), Path("onboard", "uplink.journal"))
"""Layers first, then what the uplink must not forget."""
GROUND_JOURNALS: Final = (Path("ground", "layers.journal"), Path("ground", "commands.journal"))
"""Layers first, then the orders given."""
RAW_FOLDER: Final = Path("onboard", "raw")
"""Tiles that were not coded."""
JOURNALS: Final = (ONBOARD_JOURNALS[0], GROUND_JOURNALS[0])
"""By which a folder is known to be of a run."""


def prepare_folder(out: Path, *, replace: bool) -> None:
    """Make `out`, and with `replace` remove what an earlier run wrote there: its reports, and folders that hold its journals.

    Raises RunError for a folder that holds an earlier run without `replace`, or in which something else bears one of
    the names that a run uses.
    """
    strange = [
        path.parent for path in (out / journal for journal in JOURNALS) if path.parent.exists() and not path.is_file()
    ]
    if strange:
        raise RunError(f"{strange[0]} is not of a run, nothing is removed: choose another --out")
    earlier = [out / name for name in (REPORT_FILE, PAGE_FILE, VERDICTS_FILE, *(path.parts[0] for path in JOURNALS))]
    earlier = [path for path in earlier if path.exists()]
    if earlier and not replace:
        raise RunError(
            f"{out} holds an earlier run ({', '.join(path.name for path in earlier)}): "
            "choose another --out, or give --replace"
        )
    try:
        for path in earlier:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write into {out}: {error.strerror}; choose another --out") from error
