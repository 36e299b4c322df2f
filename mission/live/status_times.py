"""Times on the ground's page: whole seconds, UTC, and never an error, whatever clock they come from (pure)."""

from datetime import UTC, datetime

from mission.report_markup import Markup, element
from mission.report_units import duration


def clock(at_ms: int, *, with_day: bool = False) -> str:
    """12:34:56 UTC, with the day where asked for; the bare number where it is outside of what calendars say."""
    try:
        at = datetime.fromtimestamp(at_ms / 1000, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"
    return at.strftime("%Y-%m-%d %H:%M:%S UTC" if with_day else "%H:%M:%S")


def ago(at_ms: int, now_ms: int) -> str:
    """42 s ago."""
    seconds = max(0, now_ms - at_ms) // 1000
    return "just now" if seconds < 1 else f"{_whole_seconds(seconds)} ago"


def countdown(until_ms: int, now_ms: int) -> Markup:
    """The time left, which the page's script counts down."""
    seconds = max(0, until_ms - now_ms + 999) // 1000
    return element("span", _whole_seconds(seconds), data_until=until_ms, class_="countdown")


def _whole_seconds(seconds: int) -> str:
    return f"{seconds}\u00a0s" if seconds < 60 else duration(seconds)
