"""Figures as a reader wants them: few digits, the unit beside them, an en dash where there is none to give.

A number and its unit are joined by a no-break space, thousands by a narrow one.
"""

from __future__ import annotations

from datetime import UTC, datetime

ABSENT = "\u2013"
"""Shown where a figure does not exist."""
_SPACE = "\u00a0"
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(count: int | None) -> str:
    """Bytes in decimal units with three digits: 999 B, 1.23 kB, 45.6 MB."""
    if count is None:
        return ABSENT
    scaled, unit = float(count), 0
    while abs(scaled) >= 999.5 and unit < len(_BYTE_UNITS) - 1:
        scaled, unit = scaled / 1000, unit + 1
    return f"{count}{_SPACE}B" if unit == 0 else f"{significant(scaled)}{_SPACE}{_BYTE_UNITS[unit]}"


def whole(count: int | None) -> str:
    """A whole number with thin groups of three: 1 234 567."""
    return ABSENT if count is None else f"{count:,}".replace(",", "\u202f")


def percent(share: float | None) -> str:
    """A fraction as percent: one decimal, and towards 100 % (and 0 %) as many as keep it from being rounded to it."""
    if share is None:
        return ABSENT
    text = ""
    for decimals in (1, 2, 3, 4):
        text = f"{share * 100:.{decimals}f}"
        if (float(text) < 100 or share >= 1) and (float(text) != 0 or share == 0):
            break
    return f"{text}{_SPACE}%"


def decibel(psnr_db: float | None, *, lossless: bool = False) -> str:
    """A PSNR; `lossless` where the pixels are identical and no PSNR exists."""
    if lossless:
        return "lossless"
    return ABSENT if psnr_db is None else f"{psnr_db:.1f}{_SPACE}dB"


def duration(seconds: float | None) -> str:
    """Seconds as 0.25 s, 42.0 s, 3 min 20 s, 2 h 05 min or 3 d 04 h."""
    if seconds is None:
        return ABSENT
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 59.95:
        return f"{seconds:.2f}{_SPACE}s" if seconds < 1 else f"{seconds:.1f}{_SPACE}s"
    whole_s = round(seconds)
    if whole_s < 3600:
        return _pair(whole_s // 60, "min", whole_s % 60, "s")
    if whole_s < 86400:
        return _pair(whole_s // 3600, "h", whole_s % 3600 // 60, "min")
    return _pair(whole_s // 86400, "d", whole_s % 86400 // 3600, "h")


def energy(joules: float | None) -> str:
    """Joules with three digits: 12.3 J, 4.56 kJ."""
    if joules is None:
        return ABSENT
    for factor, unit in ((1e6, "MJ"), (1e3, "kJ")):
        if abs(joules) >= 0.9995 * factor:
            return f"{significant(joules / factor)}{_SPACE}{unit}"
    return f"{significant(joules)}{_SPACE}J"


def share(fraction: float | None) -> str:
    """A score between 0 and 1: 0.873."""
    return ABSENT if fraction is None else f"{fraction:.3f}"


def degrees(angle: float | None) -> str:
    """Longitude or latitude to about a metre, with a true minus sign."""
    return ABSENT if angle is None else f"{angle:.5f}°".replace("-", "\u2212")


def significant(value: float) -> str:
    """Two or three digits without an exponent: 0.0004, 0.012, 1.23, 45.6, 789, and whole numbers from there on."""
    if value == 0:
        return "0"
    magnitude = abs(value)
    if magnitude >= 999.5:
        return whole(round(value))
    decimals = 0 if magnitude >= 99.95 else 1 if magnitude >= 9.995 else 2 if magnitude >= 0.0995 else 3
    if magnitude < 0.00995:
        return f"{value:.1g}" if magnitude >= 1e-4 else f"{value:.0e}"
    return f"{value:.{decimals}f}"


def plural(count: int, noun: str) -> str:
    """1 scene, 2 scenes."""
    return f"{whole(count)} {noun}{'' if count == 1 else 's'}"


def utc(at_ms: int) -> str:
    """An instant: 2026-03-01 12:34:56 UTC."""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _pair(first: int, first_unit: str, second: int, second_unit: str) -> str:
    return _SPACE.join((str(first), first_unit, f"{second:02d}", second_unit))
