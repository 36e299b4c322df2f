"""Unix milliseconds as text (pure)."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_text(unix_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds: 2023-11-14T22:13:20.123Z."""
    return (_EPOCH + timedelta(milliseconds=unix_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tiff_datetime(unix_ms: int) -> str:
    """What TIFF writes into its DateTime tag (TIFF 6.0, tag 306), here in UTC: 2023:11:14 22:13:20."""
    return (_EPOCH + timedelta(milliseconds=unix_ms)).strftime("%Y:%m:%d %H:%M:%S")
