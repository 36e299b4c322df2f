"""When a scene was taken, from the tags of its file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

CAPTURE_TAGS: Final = (
    "ACQUISITION_DATETIME",
    "ACQUISITIONDATETIME",
    "ACQUISITION_TIME",
    "ACQUISITION_DATE",
    "SENSING_TIME",
    "DATATAKE_SENSING_START",
    "PRODUCT_START_TIME",
    "DATE_ACQUIRED",
    "DATETIME",
    "DATE",
    "TIFFTAG_DATETIME",
)
"""Tags that may hold the time, best first. TIFF's own comes last: some writers put the time of writing there."""

_LAYOUTS: Final = ("%Y:%m:%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y:%m:%d", "%Y/%m/%d")
"""What is in use besides ISO 8601; the first is TIFF 6.0, tag 306."""


def captured_ms_from_tags(tags: Mapping[str, str]) -> int | None:
    """Unix time in milliseconds from the best tag that holds a readable time; None when there is none.

    A time without a zone is taken as UTC, a date alone as its midnight. Times before 1970 count as unreadable.
    """
    for name in CAPTURE_TAGS:
        moment = _parse(tags.get(name, "").strip())
        if moment is not None and moment.timestamp() >= 0:
            return round(moment.timestamp() * 1000)
    return None


def _parse(text: str) -> datetime | None:
    for layout in (None, *_LAYOUTS):
        try:
            moment = datetime.fromisoformat(text) if layout is None else datetime.strptime(text, layout)
        except ValueError:
            continue
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return None
