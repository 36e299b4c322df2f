"""Log lines: JSON with the fixed fields first, aligned text for a person, and no way to hurt the service."""

import io
import json
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mission.live.service_status import ServiceStatus
from mission.live.structured_log import StructuredLog

AT_S = 1_772_360_102.125  # 2026-03-01T10:15:02.125Z


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Gone(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


class Colour(Enum):
    RED = "r"


def log_to(stream, **options):
    return StructuredLog("onboard", stream=stream, now_s=lambda: AT_S, **{"environment": {}} | options)


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_time_service_level_event_first():
    stream = io.StringIO()
    log_to(stream).info("contact started", station="Svalbard", los_ms=7)
    assert stream.getvalue() == (
        '{"at": "2026-03-01T10:15:02.125Z", "service": "onboard", "level": "info", "event": "contact started", '
        '"station": "Svalbard", "los_ms": 7}\n'
    )


def test_what_json_cannot_say_is_written_as_text():
    stream = io.StringIO()
    log_to(stream).info(
        "odd",
        path=Path("a/b"),
        digest=b"\x12\xab",
        colour=Colour.RED,
        nothing=None,
        yes=True,
        endless=float("inf"),
        kept={3: (1, 2.5)},
        status=ServiceStatus(service="onboard", pid=7),
    )
    (line,) = lines(stream)
    assert line["path"] == "a/b" and line["digest"] == "12ab" and line["colour"] == "RED"
    assert line["nothing"] is None and line["yes"] is True and line["endless"] == "inf"
    assert line["kept"] == {"3": [1, 2.5]} and line["status"]["pid"] == 7


def test_a_field_cannot_pass_for_one_of_the_fixed_ones():
    stream = io.StringIO()
    log_to(stream).warning("real", at="forged", level="info", service="ground")
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["service"]) == ("real", "warning", "onboard")
    assert (line["at_"], line["level_"], line["service_"]) == ("forged", "info", "ground")


@given(text=st.text(), number=st.floats())
def test_whatever_it_is_told_a_line_stays_one_line(text, number):
    stream = io.StringIO()
    log_to(stream).info(text, number=number, words=[text])
    assert stream.getvalue().count("\n") == 1
    (line,) = [json.loads(stream.getvalue(), parse_constant=pytest.fail)]
    assert (line["event"], line["words"]) == (text, [text])


@pytest.mark.parametrize(("level", "written"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_decides_what_is_written(level, written):
    stream = io.StringIO()
    log = log_to(stream, level=level)
    for write in (log.debug, log.info, log.warning, log.error):
        write("said")
    assert len(lines(stream)) == written
    assert lines(stream)[-1]["level"] == "error"


def test_an_error_brings_its_traceback():
    stream = io.StringIO()
    try:
        raise ValueError("the reason")
    except ValueError as error:
        log_to(stream).error("failed", error=error, scene=4)
    (line,) = lines(stream)
    assert (line["error"], line["scene"]) == ("ValueError: the reason", 4)
    assert "Traceback" in line["traceback"] and 'raise ValueError("the reason")' in line["traceback"]


def test_a_person_at_a_terminal_gets_aligned_text_when_asked_for():
    stream = Terminal()
    log = log_to(stream, environment={"TIANSHU_LOG": "text"})
    log.info("contact started", station="Svalbard")
    log.warning("unhealthy", reason="disk full")
    first, second = stream.getvalue().splitlines()
    assert first == "10:15:02.125  info     onboard   contact started               station=Svalbard"
    assert first.index("contact started") == second.index("unhealthy")
    assert first.index("station=") == second.index("reason=")


@pytest.mark.parametrize(
    ("stream", "environment"),
    [(io.StringIO(), {"TIANSHU_LOG": "text"}), (Terminal(), {}), (Terminal(), {"TIANSHU_LOG": "json"})],
)
def test_programs_get_json_whatever_was_asked_for(stream, environment):
    log_to(stream, environment=environment).info("x")
    assert lines(stream)[0]["event"] == "x"


def test_a_reader_that_is_gone_is_counted_and_nothing_more():
    log = log_to(Gone())
    log.info("one")
    log.error("two")
    assert log.unwritten == 2


def test_a_process_without_standard_error_logs_nothing_and_lives(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    log = StructuredLog("onboard", environment={"TIANSHU_LOG": "text"})
    log.warning("unheard")
    assert log.unwritten == 1
