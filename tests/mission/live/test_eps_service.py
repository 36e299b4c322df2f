"""The power system as a service: its files are whole, its charge outlives it, its faults come from a file, and the worker follows it."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from mission.errors import ServiceError
from mission.live.eps_control import ControlFile
from mission.live.eps_model import EpsControl
from mission.live.eps_service import KEPT_FILE, EpsService
from mission.live.load_file import Load, LoadFile, write_load
from mission.live.service import Service
from mission.live.service_settings import ServiceSettings
from mission.live.structured_log import StructuredLog
from mission.live.worker_power import WorkerPower, budget_limits
from mission.scenario import Scenario
from onboard.energy_prices import EnergyPrices
from onboard.eps_reading import read_eps
from onboard.governor import Effort
from onboard.meter import ModelMeter

PATIENCE_S = 20
STATION = {"name": "a", "latitude_deg": 78.0, "longitude_deg": 15.0}
SCENARIO = Scenario.model_validate({"orbit": {"altitude_km": 500.0, "stations": [STATION]}, "eps": {"sunlight": "sun"}})


class Bench:
    """A power system whose time passes when told to."""

    def __init__(self, folder):
        self.folder = folder
        self.stream = io.StringIO()
        self.now_ms = 1_800_000_000_000
        self.services = []

    def open(self, scenario=SCENARIO):
        log = StructuredLog("eps", stream=self.stream, level="debug", environment={})
        self.services.append(Service("eps", ServiceSettings(state=self.folder / "state", http=None), log))
        return EpsService(
            self.services[-1],
            scenario,
            power=self.folder / "power",
            load=self.folder / "load.json",
            control=self.folder / "control",
            wall_ms=lambda: self.now_ms,
            monotonic_ms=lambda: self.now_ms,
        )

    def run(self, eps, seconds):
        for _ in range(2 * seconds):
            self.now_ms += 500
            eps.turn()
        return read_eps(self.folder / "power")

    def end(self):
        """As kill -9 ends it: nothing is said, the lock goes."""
        service = self.services.pop()
        service.state.close()
        service.loop.close()

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


def test_it_writes_what_the_flight_computer_reads(bench):
    reading = bench.run(bench.open(), 60)
    assert reading.charge_fraction == pytest.approx((57_600 + 60 * 16) / 72_000, rel=1e-3)
    assert (reading.cap_w, reading.load_w, reading.critical_c) == (24.0, 6.0, 85.0)
    assert reading.sources == ("power_supply/battery", "hwmon0 ina3221", "hwmon1 tianshu_eps")
    assert not list((bench.folder / "power").rglob(".*"))
    assert bench.status["healthy"] and bench.status["charge_fraction"] == pytest.approx(reading.charge_fraction)


def test_it_draws_what_the_flight_computer_says_while_it_says_it(bench):
    eps = bench.open()
    write_load(bench.folder / "load.json", Load(at_ms=1, compute_w=3.5, radio_on=True))
    assert bench.run(eps, 10).load_w == 21.5
    assert bench.run(eps, 1).load_w == 6.0  # said nothing new for 10 s: it is gone
    write_load(bench.folder / "load.json", Load(at_ms=2, compute_w=3.5))
    assert bench.run(eps, 1).load_w == 9.5
    (bench.folder / "load.json").unlink()
    assert bench.run(eps, 1).load_w == 6.0


def test_a_wrong_load_file_is_logged_once_and_draws_nothing(bench):
    eps = bench.open()
    (bench.folder / "load.json").write_text('{"compute_w": -3}')
    assert bench.run(eps, 5).load_w == 6.0
    assert len(bench.told("load file trouble")) == 1
    assert "compute_w" in bench.told("load file trouble")[0]["problem"] and bench.status["healthy"]
    write_load(bench.folder / "load.json", Load(compute_w=1.0))
    assert bench.run(eps, 1).load_w == 7.0
    assert len(bench.told("load file well again")) == 1


def test_faults_from_the_control_file(bench):
    eps, control = bench.open(), bench.folder / "control"
    control.write_text('{"cap_w": 5, "sunlit": false}')
    reading = bench.run(eps, 10)
    assert (reading.cap_w, reading.rails[0].power_w) == (5.0, 0.0)
    assert bench.status["control"] == {"cap_w": 5.0, "sunlit": False}
    control.write_text("cap_w = 0.5\ntemperature_c = 82.25\n")
    reading = bench.run(eps, 1)
    assert (reading.cap_w, reading.temperature_c, reading.rails[0].power_w > 20) == (0.5, 82.25, True)
    control.unlink()
    assert bench.run(eps, 1).cap_w == 24.0
    assert [line.get("cap_w") for line in bench.told("control")] == [5.0, 0.5, None]


@pytest.mark.parametrize(
    "text",
    [
        '{"cap_w": "much"}',
        '{"cap_w": -1}',
        '{"cap_w": NaN}',
        '{"kap_w": 5}',
        "cap_w = ",
        "[1, 2]",
        '{"cap_w": 5',
        "\0\0",
        "",
    ],
)
def test_a_wrong_control_file_is_logged_once_and_changes_nothing(bench, text):
    eps, control = bench.open(), bench.folder / "control"
    control.write_text("cap_w = 9.0")
    bench.run(eps, 1)
    control.write_text(text)
    reading = bench.run(eps, 5)
    if text == "":  # empty TOML says nothing, which is a thing to say
        assert reading.cap_w == 24.0
        return
    assert reading.cap_w == 9.0
    (trouble,) = bench.told("control file trouble")
    assert str(control) in trouble["problem"] and trouble["problem"] in bench.status["problems"]
    control.write_text("cap_w = 8.0")
    assert bench.run(eps, 1).cap_w == 8.0
    assert len(bench.told("control file well again")) == 1


def test_a_control_file_that_cannot_be_read_changes_nothing(tmp_path):
    (tmp_path / "control").write_text("cap_w = 9.0")
    file = ControlFile(tmp_path / "control")
    assert file.read() and not file.read()
    (tmp_path / "control").unlink()
    (tmp_path / "control").mkdir()
    assert file.read() and "cannot be read" in file.problem and not file.read()
    assert file.control == EpsControl(cap_w=9.0)


def test_charge_and_warmth_survive_a_kill(bench):
    eps = bench.open()
    bench.run(eps, 60)
    before = eps.model.state
    bench.end()
    bench.now_ms += 3_600_000
    after = bench.open().model.state
    assert after.at_ms == bench.now_ms
    assert after.charge_fraction == pytest.approx(before.charge_fraction, abs=5 * 16 / 72_000)
    assert after.temperature_c == pytest.approx(before.temperature_c, abs=0.1)
    assert after.compute_j == before.compute_j


@pytest.mark.parametrize("text", ["", "{", '{"charge_fraction": 7, "temperature_c": 1, "compute_j": 0}', "\0" * 90])
def test_a_kept_charge_that_is_none_is_forgotten(bench, text):
    bench.run(bench.open(), 6)
    bench.end()
    (bench.folder / "state" / KEPT_FILE).write_text(text)
    assert bench.open().model.state.charge_fraction == pytest.approx(0.8)
    assert len(bench.told("charge forgotten")) == 1


def test_readings_that_cannot_be_written_are_told_and_written_later(bench):
    eps = bench.open()
    bench.run(eps, 1)
    limiter = bench.folder / "power/class/hwmon/hwmon1"
    (limiter / "power1_cap").unlink()
    (limiter / "power1_cap").mkdir()
    (limiter / "power1_cap/in the way").touch()
    for _ in range(20):
        bench.now_ms += 500
        eps.turn()
    assert len(bench.told("power file trouble")) == 1
    assert not bench.status["healthy"] and "power1_cap" in bench.status["reason"]
    (limiter / "power1_cap/in the way").unlink()
    (limiter / "power1_cap").rmdir()
    assert bench.run(eps, 1).cap_w == 24.0
    assert bench.status["healthy"]


def test_files_that_somebody_removed_come_back(bench):
    eps = bench.open()
    before = bench.run(eps, 6)
    shutil.rmtree(bench.folder / "power/class")
    assert bench.run(eps, 6).sources == before.sources


def test_a_folder_that_cannot_be_is_refused(bench):
    (bench.folder / "power").write_text("a file")
    with pytest.raises(ServiceError, match="--power"):
        bench.open()


def test_a_load_file_is_believed_as_long_as_it_changes(tmp_path):
    file, path = LoadFile(tmp_path / "load.json"), tmp_path / "load.json"
    assert file.read(0) == Load()
    for turn in range(5):
        write_load(path, Load(at_ms=turn, compute_w=2.0))
        assert file.read(9000 * turn).compute_w == 2.0
    assert file.read(46_000).compute_w == 2.0
    assert file.read(46_001) == Load()
    assert LoadFile(None).read(0) == Load()


def test_the_worker_follows_the_power_system(bench):
    """Both ends in virtual time, joined by nothing but files: limit, darkness and heat stop the work, and it comes back."""
    eps, section = bench.open(), SCENARIO.power
    prices = EnergyPrices(**section.prices.model_dump())

    def pass_time(duration_ms):
        for _ in range(max(1, duration_ms // 500)):
            bench.now_ms += 500
            write_load(bench.folder / "load.json", Load(at_ms=bench.now_ms, compute_w=worker.report().compute_w))
            eps.turn()

    worker = WorkerPower(
        lambda: read_eps(bench.folder / "power"),
        limits=budget_limits(section),
        prices=prices,
        meter=ModelMeter(prices),
        radio_on=lambda: False,
        clock_ms=lambda: bench.now_ms,
        sleep=pass_time,
    )
    pass_time(500)
    control = bench.folder / "control"
    assert worker.decide(0.25).effort is Effort.DETECT
    control.write_text('{"cap_w": 5}')
    pass_time(1000)
    began_ms, turns = bench.now_ms, []

    def turn_and_lift(duration_ms):
        turns.append(duration_ms)
        if len(turns) == 100:
            control.write_text('{"charge_fraction": 0.2}')
        pass_time(duration_ms)

    worker._sleep = turn_and_lift
    assert worker.decide(0.25).effort is Effort.SCREEN_ONLY
    assert bench.now_ms - began_ms >= 50_000
    control.write_text('{"charge_fraction": 0.9, "temperature_c": 81}')
    pass_time(1000)
    worker._sleep = lambda duration_ms: (control.unlink(missing_ok=True), pass_time(duration_ms))
    assert worker.decide(0.25).effort is Effort.DETECT
    report = worker.report()
    assert report.temperature_c < 77 and report.waited_ms > 50_000
    assert (report.detect, report.screen_only) == (2, 1)


def test_the_process(tmp_path):
    """Starts, answers, follows its control file, is killed, comes back with its charge, stops when told to."""
    (tmp_path / "s.toml").write_text('[eps]\ninitial_charge_fraction = 0.5\nsunlight = "sun"\npanel_w = 900.0\n')
    command = [sys.executable, "-m", "mission.cli", "eps", "--http", "127.0.0.1:0"]
    environment = os.environ | {
        "TIANSHU_SCENARIO": str(tmp_path / "s.toml"),
        "TIANSHU_STATE": str(tmp_path / "state"),
        "TIANSHU_POWER": str(tmp_path / "power"),
        "TIANSHU_LOAD": str(tmp_path / "load.json"),
        "TIANSHU_CONTROL": str(tmp_path / "control.json"),
    }
    charges = []
    for boot in (1, 2):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            started = json.loads(process.stderr.readline())
            assert (started["event"], started["boot"]) == ("service started", boot)
            address = started["http"]
            wait_for(lambda: read_eps(tmp_path / "power").cap_w == 24.0)
            charges.append(read_eps(tmp_path / "power").charge_fraction)
            (tmp_path / "control.json").write_text('{"cap_w": 5}')
            wait_for(lambda: read_eps(tmp_path / "power").cap_w == 5.0)
            (tmp_path / "control.json").write_text('{"charge_fraction": 0.625}')
            wait_for(lambda: read_eps(tmp_path / "power").charge_fraction == pytest.approx(0.625))
            assert get(address, "/healthz")["healthy"]
            if boot == 1:
                wait_for(lambda: '"charge_fraction":0.62' in kept(tmp_path))
            process.send_signal(signal.SIGKILL if boot == 1 else signal.SIGTERM)
            (tmp_path / "control.json").unlink()
            assert process.wait(PATIENCE_S) == (-signal.SIGKILL if boot == 1 else 0)
        finally:
            process.kill()
            process.communicate()
    assert charges[0] == pytest.approx(0.5, abs=0.1)
    assert charges[1] == pytest.approx(0.625, abs=0.1)


def kept(folder):
    file = folder / "state" / KEPT_FILE
    return file.read_text() if file.exists() else ""


def get(address, path):
    host, port = address if isinstance(address, list) else address.rsplit(":", 1)
    with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=5) as answer:
        return json.loads(answer.read())


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
