"""HTML and SVG elements built from values: whatever is not markup already is escaped, so no name can break the page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from html import escape
from typing import Final, TypeAlias

_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_VOID: Final = frozenset({"img", "input", "br", "meta", "hr", "col"})

Value: TypeAlias = str | int | float | bool | None
Child: TypeAlias = "str | int | Iterable[Child] | None"


class Markup(str):
    """Text that is markup already; plain `str` is escaped wherever it meets an element."""

    __slots__ = ()


def element(tag: str, *children: Child, **attributes: Value) -> Markup:
    """An element of HTML or SVG, well formed as XML.

    Attribute names: a trailing underscore is dropped (`class_`), inner underscores become hyphens (`stroke_width`).
    A value of None or False leaves the attribute out, True writes its own name, numbers are written as `number` does.
    """
    opening = tag + "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{opening}/>")
    return Markup(f"<{opening}>{join(children)}</{tag}>")


def join(children: Iterable[Child]) -> Markup:
    """Children one after another: markup as it is, text escaped, None as nothing, an iterable flattened."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, str | int):
            parts.append(escape(_printable(str(child)), quote=True))
        else:
            parts.append(join(child))
    return Markup("".join(parts))


def number(value: float) -> str:
    """A coordinate with at most two decimals and no trailing zeros. Raises ValueError for NaN and infinity."""
    if not math.isfinite(value):
        raise ValueError(f"cannot draw at {value}: filter NaN and infinity out before drawing")
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def points(coordinates: Iterable[tuple[float, float]]) -> str:
    """The `points` attribute of a polyline or polygon."""
    return " ".join(f"{number(x)},{number(y)}" for x, y in coordinates)


def _attribute(name: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    written = name.removesuffix("_").replace("_", "-")
    if value is True:
        return f' {written}="{written}"'
    text = value if isinstance(value, str) else number(value)
    return f' {written}="{escape(_printable(text), quote=True)}"'


def _printable(text: str) -> str:
    """Characters that XML 1.0 (production 2, Char) forbids become U+FFFD."""
    return _FORBIDDEN.sub("\ufffd", text)
