"""What a service writes on standard error: one JSON object a line, or aligned text for a person at a terminal.

    {"at": "2026-03-01T10:15:02.125Z", "service": "onboard", "level": "info", "event": "contact started", "station": "Svalbard"}

A line leaves in one write, so the lines of a service and of its child processes never mix.
"""

import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Literal, TextIO, get_args

from pydantic import BaseModel

LogLevel = Literal["debug", "info", "warning", "error"]
LOG_LEVELS: tuple[str, ...] = get_args(LogLevel)
STYLE_VARIABLE = "TIANSHU_LOG"
"""Set to `text` for lines that a person reads; they are written where the stream is a terminal."""
_EVENT_COLUMNS = 28


class StructuredLog:
    """The log of one service. Below `level` nothing is written; what cannot be written is counted, never raised."""

    def __init__(
        self,
        service: str,
        *,
        level: LogLevel = "info",
        stream: TextIO | None = None,
        now_s: Callable[[], float] = time.time,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """`stream` is standard error where it is absent."""
        self.service = service
        self.level: LogLevel = level
        self.unwritten = 0
        """Lines that the stream refused: its reader is gone, or its disk is full."""
        self._stream = stream
        self._now_s = now_s
        shown = stream or sys.stderr
        self._as_text = environment.get(STYLE_VARIABLE) == "text" and shown is not None and shown.isatty()

    def debug(self, event: str, **fields: Any) -> None:
        """What only a person who searches for a fault wants to see."""
        self._write("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """What happened as it should."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """What should not have happened, and was coped with."""
        self._write("warning", event, fields)

    def error(self, event: str, *, error: BaseException | None = None, **fields: Any) -> None:
        """What the service could not cope with; with an `error` its traceback is written, too."""
        if error is not None:
            fields = {"error": f"{type(error).__name__}: {error}"} | fields
            fields["traceback"] = "".join(traceback.format_exception(error))
        self._write("error", event, fields)

    def _write(self, level: LogLevel, event: str, fields: Mapping[str, Any]) -> None:
        if LOG_LEVELS.index(level) < LOG_LEVELS.index(self.level):
            return
        at = datetime.fromtimestamp(self._now_s(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = {"at": at, "service": self.service, "level": level, "event": event}
        rest = {name: plain(value) for name, value in fields.items()}
        line = _text(head, rest) if self._as_text else _json(head, rest)
        stream = self._stream or sys.stderr
        if stream is None:  # the process was started with standard error closed
            self.unwritten += 1
            return
        try:
            stream.write(line + "\n")
            stream.flush()
        except OSError:  # a log whose reader is gone must not end the service
            self.unwritten += 1


def plain(value: Any) -> Any:
    """A value as JSON can say it: bytes in hexadecimal, models as objects, numbers that are none as text."""
    if value is None or (isinstance(value, bool | int | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value)


def _json(head: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    named = {f"{name}_" if name in head else name: value for name, value in fields.items()}
    return json.dumps({**head, **named}, ensure_ascii=False)


def _text(head: Mapping[str, str], fields: Mapping[str, Any]) -> str:
    told = "".join(f"  {name}={value}" for name, value in fields.items() if name != "traceback")
    trace = f"\n{fields['traceback'].rstrip()}" if "traceback" in fields else ""
    time_of_day = head["at"][11:-1]
    start = f"{time_of_day}  {head['level']:<7}  {head['service']:<8}  {head['event']:<{_EVENT_COLUMNS}}"
    return f"{start}{told}".rstrip() + trace
