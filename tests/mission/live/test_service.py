"""The frame of the services: how one starts, works, tells of itself, and ends."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mission.errors import ServiceError
from mission.live import service as service_module
from mission.live.service import Service
from mission.live.service_settings import ServiceSettings
from mission.live.service_status import ServiceStatus
from mission.live.structured_log import StructuredLog

PATIENCE_S = 10


class DemoStatus(ServiceStatus):
    turns: int = 0


@pytest.fixture
def log_stream():
    return io.StringIO()


@pytest.fixture
def opened(tmp_path, log_stream):
    """Makes services; ends those that a test did not run."""
    services = []

    def open_one(state="state", http="127.0.0.1:0"):
        log = StructuredLog("demo", stream=log_stream, level="debug", environment={})
        services.append(Service("demo", ServiceSettings(state=tmp_path / state, http=http), log))
        return services[-1]

    yield open_one
    for service in services:
        if not service.loop.is_closed():
            service.stop()
            service.run()


def events(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def told(stream, event):
    return [line for line in events(stream) if line["event"] == event]


def ask(service, path):
    """Status and JSON or text of a page, asked while the service runs."""
    try:
        with urllib.request.urlopen(f"http://{service.endpoints.address}{path}", timeout=PATIENCE_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()


# ---- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_service_well(number, opened, log_stream):
    service = opened()
    done = []
    service.on_stop(lambda: done.append("first"))
    service.on_stop(lambda: done.append("second"))
    service.after(0.0, lambda: os.kill(os.getpid(), number))
    assert service.run() == 0
    assert done == ["first", "second"]
    assert told(log_stream, "told to stop")[0]["signal"] == number.name
    assert [line["event"] for line in events(log_stream)][-1] == "service stopped"
    assert events(log_stream)[-1]["exit_code"] == 0


SCRIPT = """
import sys
from pathlib import Path
from mission.live.service import Service
from mission.live.service_settings import ServiceSettings
from mission.live.structured_log import StructuredLog
service = Service("demo", ServiceSettings(state=Path(sys.argv[1]), http="127.0.0.1:0"), StructuredLog("demo"))
service.on_stop(lambda: service.log.info("flushed"))
sys.exit(service.run())
"""


def test_a_process_ends_with_0_and_writes_nothing_but_its_log(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    try:
        first = json.loads(process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert (first["event"], first["boot"], first["pid"]) == ("service started", 1, process.pid)
    assert process.returncode == 0
    assert [json.loads(line)["event"] for line in rest.splitlines()] == ["told to stop", "flushed", "service stopped"]


def broken():
    raise ZeroDivisionError("a callback of the test")


@pytest.mark.parametrize("kind", ["every", "after", "on_readable", "on_stop"])
def test_an_exception_in_a_callback_ends_the_service_with_70(kind, opened, log_stream):
    service = opened()
    done = []
    reading, writing = os.pipe()
    os.write(writing, b"\x12")
    begin = {
        "every": lambda: service.every(0.01, broken),
        "after": lambda: service.after(0.0, broken),
        "on_readable": lambda: service.on_readable(reading, broken),
        "on_stop": lambda: (service.on_stop(broken), service.after(0.0, service.stop)),
    }
    begin[kind]()
    service.on_stop(lambda: done.append("flushed all the same"))
    assert service.run() == 70
    assert done == ["flushed all the same"]
    (failure,) = told(log_stream, "internal error")
    assert failure["error"] == "ZeroDivisionError: a callback of the test"
    assert "in broken" in failure["traceback"] and failure["level"] == "error"
    os.close(reading)
    os.close(writing)


def test_the_first_bad_exit_code_stands(opened):
    service = opened()
    service.stop(3)
    service.stop(0)
    service.stop(4)
    assert service.run() == 3


def test_a_stop_that_takes_too_long_is_abandoned(tmp_path):
    script = SCRIPT.replace('service.log.info("flushed")', "time.sleep(600)").replace(
        "import sys", "import sys, time", 1
    )
    script = script.replace(
        "sys.exit(", "import mission.live.service as s; s.STOP_LIMIT_S = 0.1; service.stop(); sys.exit("
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], stderr=subprocess.PIPE, text=True, timeout=6 * PATIENCE_S
    )
    assert ended.returncode == 70
    assert json.loads(ended.stderr.splitlines()[-1])["event"] == "stopping took too long"


# ---- callbacks


def test_every_is_called_at_once_and_missed_turns_are_left_out(opened):
    """On a clock of its own: turns of 100 ms, the second of which takes 370 ms."""
    service = opened(http=None)
    now_s = [1000.0]
    service.loop.time = lambda: now_s[0]
    called = []
    service.every(0.1, lambda: called.append(now_s[0]))

    def turn(to_s):
        now_s[0] = to_s
        service.loop.call_soon(service.loop.stop)
        service.loop.run_forever()

    turn(1000.0)
    assert called == [1000.0]
    turn(1000.05)
    assert called == [1000.0]
    turn(1000.1)
    turn(1000.47)
    turn(1000.48)
    assert called == [1000.0, 1000.1, 1000.47]
    turn(1000.5)
    assert called == [1000.0, 1000.1, 1000.47, 1000.5]


def test_after_can_be_taken_back(opened):
    service = opened(http=None)
    called = []
    service.after(0.0, lambda: called.append("no")).cancel()
    service.after(0.01, service.stop)
    assert service.run() == 0 and called == []


def test_what_is_readable_is_told_until_it_is_forgotten(opened):
    service = opened(http=None)
    reading, writing = os.pipe()
    heard = []

    def read():
        heard.append(os.read(reading, 1))
        if len(heard) == 2:
            service.forget(reading)
            service.after(0.01, service.stop)

    os.write(writing, b"\x12\x34\x56")
    service.on_readable(reading, read)
    service.run()
    assert heard == [b"\x12", b"\x34"]
    os.close(reading)
    os.close(writing)


# ---- what it tells


def test_status_health_and_metrics_are_answered(opened, tmp_path):
    service = opened()
    service.metrics.counter("frames", "Frames sent.").inc(3)
    service.metrics.gauge("charge_ratio", "Charge.").set(0.25)
    service.metrics.counted("sent_bytes", "Bytes sent.", lambda: 12345)
    service.serve("/hello", lambda path: service_module.Response(body=b"hello"))
    answers = {}

    def look(service=service):
        answers["starting"] = ask(service, "/healthz")
        service.show(DemoStatus(turns=7))
        answers["well"] = ask(service, "/healthz")
        answers["status"] = ask(service, "/status")
        answers["metrics"] = ask(service, "/metrics")
        answers["hello"] = ask(service, "/hello")
        service.show(DemoStatus(turns=8), healthy=False, reason="disk full")
        answers["unwell"] = ask(service, "/healthz")
        service.stop()

    service.after(0.0, look)
    assert service.run() == 0
    assert answers["starting"][0] == 503 and json.loads(answers["starting"][1])["reason"] == "starting"
    assert answers["well"] == (200, b'{"service": "demo", "healthy": true, "reason": ""}\n')
    assert answers["unwell"][0] == 503 and json.loads(answers["unwell"][1])["reason"] == "disk full"
    assert answers["hello"] == (200, b"hello")
    status = DemoStatus.model_validate_json(answers["status"][1])
    assert (status.service, status.turns, status.boot, status.pid) == ("demo", 7, 1, os.getpid())
    assert 0 <= status.at_ms - status.started_ms < 60_000 and abs(status.at_ms / 1000 - time.time()) < 60
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(answers["metrics"][1].decode())
        for sample in family.samples
    }
    assert values["tianshu_demo_frames_total"] == 3 and values["tianshu_demo_sent_bytes_total"] == 12345
    assert values["tianshu_demo_charge_ratio"] == 0.25 and values["tianshu_demo_healthy"] == 1
    assert values["tianshu_up"] == 1
    assert values["process_open_fds"] > 0 and values["process_resident_memory_bytes"] > 1 << 20
    assert values["process_start_time_seconds"] > 0
    left = DemoStatus.model_validate_json((tmp_path / "state" / "status.json").read_bytes())
    assert (left.turns, left.healthy, left.reason) == (8, False, "disk full")


def test_the_time_a_status_gives_itself_stays(opened, tmp_path):
    service = opened(http=None)
    service.show(DemoStatus(at_ms=1234567))
    assert json.loads((tmp_path / "state" / "status.json").read_bytes())["at_ms"] == 1234567


def test_a_service_that_shows_nothing_any_more_is_unwell(opened, monkeypatch):
    service = opened()
    answers = []

    def look():
        service.show(DemoStatus())
        answers.append(ask(service, "/healthz")[0])
        monkeypatch.setattr(service_module, "STATUS_LIFE_S", 0.0)
        answers.append(ask(service, "/healthz"))
        service.stop()

    service.after(0.0, look)
    service.run()
    assert answers[0] == 200 and answers[1][0] == 503 and b"the service hangs" in answers[1][1]


def test_turning_unwell_and_well_again_is_logged_once_each(opened, log_stream):
    service = opened(http=None)
    for healthy, reason in [
        (True, ""),
        (False, "disk full"),
        (False, "disk full"),
        (False, "no key"),
        (False, "3 bytes are free"),
        (False, "27 bytes are free"),
        (True, ""),
        (True, ""),
    ]:
        service.show(DemoStatus(), healthy=healthy, reason=reason)
    assert [line["reason"] for line in told(log_stream, "unhealthy")] == ["disk full", "no key", "3 bytes are free"]
    assert len(told(log_stream, "healthy again")) == 1


def test_a_full_disk_does_not_end_a_service(opened, log_stream, monkeypatch):
    service = opened(http=None)

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(service_module, "replace_small_file", full)
        for _ in range(3):
            service.show(DemoStatus())
    service.show(DemoStatus(turns=4))
    assert len(told(log_stream, "status not written")) == 1
    assert json.loads((service.state.path / "status.json").read_bytes())["turns"] == 4


# ---- the start


def test_starts_are_counted(opened, log_stream):
    for expected in (1, 2, 3):
        service = opened()
        assert service.boot == expected
        service.stop()
        service.run()
    assert [line["boot"] for line in told(log_stream, "service started")] == [1, 2, 3]


def test_a_port_in_use_is_refused_and_leaves_the_state_folder_free(opened):
    first = opened("one")
    with pytest.raises(ServiceError, match=f"at {first.endpoints.address} .*choose another address"):
        opened("two", first.endpoints.address)
    opened("two").stop()


def test_a_state_folder_in_use_is_refused(opened):
    opened("one")
    with pytest.raises(ServiceError, match="used by another process"):
        opened("one")
