"""The camera as a service: whole files, numbers used once, gaps counted, a full disk survived."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mission.errors import ServiceError
from mission.live import sensor_service as sensor_module
from mission.live.sensor_service import KEPT_FILE, SensorService
from mission.live.service import Service
from mission.live.service_settings import ServiceSettings
from mission.live.structured_log import StructuredLog

PATIENCE_S = 20
SCENES = {"harbour.tif": b"II*\0 first " * 30_000, "open sea.tiff": b"MM\0* second " * 7}


class Killed(BaseException):
    """The process ends here."""


class Bench:
    def __init__(self, folder):
        self.folder = folder
        self.spool = folder / "spool"
        self.stream = io.StringIO()
        self.now_ms = 1_800_000_000_000
        self.services = []
        self.scenes = []
        for name, content in SCENES.items():
            (folder / name).write_bytes(content)
            self.scenes.append(folder / name)

    def open(self, **options):
        log = StructuredLog("sensor", stream=self.stream, level="debug", environment={})
        self.services.append(Service("sensor", ServiceSettings(state=self.folder / "state", http=None), log))
        options = {"spool": self.spool, "interval_s": 10.0, "wall_ms": lambda: self.now_ms} | options
        return SensorService(self.services[-1], options.pop("scenes", self.scenes), **options)

    def end(self):
        service = self.services.pop()
        service.state.close()
        service.loop.close()

    def names(self):
        return sorted(path.name for path in self.spool.iterdir())

    def told(self, event):
        return [line for line in map(json.loads, self.stream.getvalue().splitlines()) if line["event"] == event]

    @property
    def status(self):
        return json.loads((self.folder / "state/status.json").read_text())


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    while made.services:
        made.end()


def test_scenes_in_turn_each_whole_and_new(bench):
    sensor = bench.open()
    before_ns = time.time_ns() - 1_000_000_000
    for _ in range(3):
        sensor.capture()
    assert bench.names() == ["harbour_000001.tif", "harbour_000003.tif", "open sea_000002.tif"]
    assert (bench.spool / "harbour_000003.tif").read_bytes() == SCENES["harbour.tif"]
    assert (bench.spool / "open sea_000002.tif").read_bytes() == SCENES["open sea.tiff"]
    assert all((bench.spool / name).stat().st_mtime_ns > before_ns for name in bench.names())
    assert (bench.status["captured"], bench.status["waiting"], bench.status["last"]) == (3, 3, "harbour_000003.tif")


def test_numbers_go_on_after_a_restart(bench):
    bench.open().capture()
    bench.end()
    for path in bench.spool.iterdir():
        path.unlink()
    bench.open().capture()
    assert bench.names() == ["open sea_000002.tif"]


def test_a_full_spool_holds_captures_back(bench):
    sensor = bench.open(max_waiting=2)
    for _ in range(5):
        sensor.capture()
    assert len(bench.names()) == 2
    assert len(bench.told("capture held back")) == 3
    (bench.spool / "harbour_000001.tif").unlink()
    sensor.capture()
    assert bench.names() == ["harbour_000003.tif", "open sea_000002.tif"]
    bench.end()
    bench.open(max_waiting=2).show()
    assert (bench.status["gaps"], bench.status["captured"]) == (3, 3)


def test_after_the_last_capture_it_rests(bench):
    sensor = bench.open(count=2)
    for _ in range(5):
        sensor.capture()
    assert sensor.finished and len(bench.names()) == 2
    assert len(bench.told("all captures taken")) == 1
    bench.end()
    again = bench.open(count=2)
    again.capture()
    assert len(bench.names()) == 2
    assert bench.told("service stopped") == []


def refuse(code, path=None):
    raise OSError(code, os.strerror(code), path)


def test_a_full_disk_leaves_nothing_half_and_loses_no_number(bench, monkeypatch):
    sensor = bench.open()
    sensor.capture()
    written = []
    real = sensor_module.os.fsync
    monkeypatch.setattr(sensor_module.os, "fsync", lambda handle: written.append(handle) or refuse(errno.ENOSPC))
    for _ in range(3):
        sensor.capture()
    assert bench.names() == ["harbour_000001.tif"]
    assert len(written) == 3 and len(bench.told("capture failed")) == 3
    assert bench.status["failed"] == 3 and not bench.status["healthy"]
    assert "No space left" in bench.status["reason"]
    monkeypatch.setattr(sensor_module.os, "fsync", real)
    sensor.capture()
    assert bench.names() == ["harbour_000001.tif", "open sea_000002.tif"]
    assert bench.status["healthy"] and (bench.spool / "open sea_000002.tif").read_bytes() == SCENES["open sea.tiff"]


def test_a_state_folder_that_is_full_takes_no_picture(bench, monkeypatch):
    sensor = bench.open()
    monkeypatch.setattr(sensor_module, "replace_small_file", lambda path, data: refuse(errno.EDQUOT, str(path)))
    sensor.capture()
    assert bench.names() == [] and bench.status["captured"] == 0


def test_a_scene_or_a_spool_that_vanishes_is_told(bench):
    sensor = bench.open()
    bench.scenes[0].rename(bench.folder / "elsewhere")
    sensor.capture()
    assert bench.names() == [] and "harbour.tif" in bench.status["reason"]
    (bench.folder / "elsewhere").rename(bench.scenes[0])
    bench.spool.rmdir()
    sensor.capture()
    assert "spool" in bench.status["reason"]
    bench.spool.mkdir()
    sensor.capture()
    assert bench.names() == ["harbour_000001.tif"] and bench.status["healthy"]


def test_a_counted_capture_that_could_not_be_renamed_is_renamed_next(bench, monkeypatch):
    sensor = bench.open(count=1)
    real = sensor_module.os.rename
    monkeypatch.setattr(sensor_module.os, "rename", lambda source, target: refuse(errno.EIO, str(source)))
    sensor.capture()
    assert bench.names() == [".harbour_000001.tif.unfinished"]
    monkeypatch.setattr(sensor_module.os, "rename", real)
    sensor.capture()
    assert bench.names() == ["harbour_000001.tif"]


CALLS = ("open", "write", "fsync", "keep", "rename", "synchronise")


@given(st.lists(st.tuples(st.sampled_from(CALLS), st.booleans()), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_killed_anywhere_no_number_is_used_twice_or_left_out(tmp_path_factory, ends):
    """The process ends just before one of the steps of a capture or of a start, is started again, and so on; the flight computer
    takes every file as soon as it is there."""
    bench = Bench(tmp_path_factory.mktemp("sensor"))
    taken = []

    def take():
        for path in sorted(bench.spool.glob("[!.]*"), key=lambda path: path.stem[-6:]):
            taken.append((path.name, path.read_bytes()))
            path.unlink()

    for step, at_start in ends:
        with pytest.MonkeyPatch.context() as patch:
            if at_start:
                kill_at(patch, step)
            with pytest.raises(Killed):
                sensor = bench.open()
                kill_at(patch, step)
                sensor.capture()
        bench.end()
        take()
    sensor = bench.open()
    sensor.capture()
    bench.end()
    take()
    stems = ("harbour", "open sea")
    assert [name for name, _ in taken] == [f"{stems[n % 2]}_{n + 1:06d}.tif" for n in range(len(taken))]
    assert all(content == tuple(SCENES.values())[n % 2] for n, (_, content) in enumerate(taken))
    assert bench.names() == []
    assert len(taken) == json.loads((bench.folder / "state" / KEPT_FILE).read_text())["captured"]


def kill_at(patch, step):
    """Ends the process: before `open`, in the middle of a write, before the file is on the disk, before it is counted, before it is
    renamed, after it was renamed."""

    def killed(*arguments, **options):
        raise Killed

    match step:
        case "open":
            patch.setattr(sensor_module, "copy_durably", killed)
        case "write":

            def write_half(source, target):
                target.write_bytes(source.read_bytes()[:5])
                raise Killed

            patch.setattr(sensor_module, "copy_durably", write_half)
        case "fsync":

            def write_whole(source, target):
                target.write_bytes(source.read_bytes())
                raise Killed

            patch.setattr(sensor_module, "copy_durably", write_whole)
        case "keep":
            patch.setattr(sensor_module, "replace_small_file", killed)
        case "rename":
            patch.setattr(sensor_module.os, "rename", killed)
        case "synchronise":
            patch.setattr(sensor_module, "synchronise", killed)


def test_what_cannot_be_started_is_refused(bench):
    (bench.folder / "empty.tif").touch()
    for scenes, said in (
        ([], "no scene"),
        ([bench.folder / "absent.tif"], "absent.tif cannot be read"),
        ([bench.folder], "cannot be read"),
        ([bench.scenes[0], bench.folder / "empty.tif"], "empty.tif is empty"),
    ):
        with pytest.raises(ServiceError, match=said):
            bench.open(scenes=scenes)
        bench.end()
    with pytest.raises(ServiceError, match="--spool"):
        bench.open(spool=bench.scenes[0])
    bench.end()
    long = bench.folder / f"{'n' * 200}.tif"
    long.write_bytes(b"II*\0")
    with pytest.raises(ServiceError, match="160 bytes"):
        bench.open(scenes=[long])


@pytest.mark.parametrize("text", ["", "{}x", '{"captured": -1}'])
def test_a_count_that_cannot_be_read_is_refused(bench, text):
    bench.open().capture()
    bench.end()
    (bench.folder / "state" / KEPT_FILE).write_text(text)
    with pytest.raises(ServiceError, match="highest number used"):
        bench.open()


def test_the_process(tmp_path):
    """Takes its pictures at its rate, is killed, does not hurry after its restart, rests after the last one, stops when told to."""
    (tmp_path / "a.tif").write_bytes(SCENES["harbour.tif"])
    options = ["--spool", "spool", "--state", "state", "--interval", "0.3", "--count", "4", "--http", "none", "a.tif"]
    command = [sys.executable, "-m", "mission.cli", "sensor", *options]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    for wanted in (2, 4):
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            wait_for(lambda w=wanted: len(list((tmp_path / "spool").glob("[!.]*"))) >= w)
            process.send_signal(signal.SIGKILL if wanted == 2 else signal.SIGTERM)
            assert process.wait(PATIENCE_S) == (-signal.SIGKILL if wanted == 2 else 0)
        finally:
            process.kill()
            process.communicate()
    assert sorted(path.name for path in (tmp_path / "spool").iterdir()) == [f"a_{n:06d}.tif" for n in (1, 2, 3, 4)]
    times = sorted(path.stat().st_mtime for path in (tmp_path / "spool").iterdir())
    assert all(later - earlier > 0.2 for earlier, later in pairwise(times))


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
