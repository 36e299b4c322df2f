"""Options of a service: command line before environment before scenario before default; `[services]` of a scenario."""

import argparse
from pathlib import Path

import pytest

from mission.errors import ScenarioError, ServiceError
from mission.live.service_options import add_service_options
from mission.live.service_settings import OptionSource, scenario_of
from mission.scenario import load_scenario
from mission.scenario_services import GroundServiceSection, OnboardServiceSection, SensorServiceSection

SCENARIO = """
[services.onboard]
state = "from-scenario"
link = "udp://0.0.0.0:7001"
raw_capacity = 5_000_000
http = "none"

[services.sensor]
scenes = ["a.tif", "b.tif"]
interval = 2.5
"""


def options(*arguments):
    parser = argparse.ArgumentParser()
    add_service_options(parser)
    parser.add_argument("--link")
    parser.add_argument("--max-waiting", type=int)
    return parser.parse_args(arguments)


def source(*arguments, section=None, **environment):
    return OptionSource(options(*arguments), section or OnboardServiceSection(), environment=environment)


def test_the_nearest_place_wins():
    section = OnboardServiceSection(link="scenario")
    assert source("--link", "command", section=section, TIANSHU_LINK="environment").of("link") == "command"
    assert source(section=section, TIANSHU_LINK="environment").of("link") == "environment"
    assert source(section=section, TIANSHU_LINK="").of("link") == "scenario"
    assert source().of("link", str, "default") == "default"
    assert source().of("link") is None


def test_what_is_given_becomes_what_is_wanted():
    assert source(TIANSHU_MAX_WAITING="12").of("max_waiting", int) == 12
    assert source(TIANSHU_SPOOL="a/b").of("spool", Path) == Path("a/b")
    assert source(TIANSHU_KEEP_DONE="true").of("keep_done", bool) is True
    assert source(section=OnboardServiceSection(keep_done=False)).of("keep_done", bool, True) is False


def test_what_cannot_be_used_is_refused_with_its_place():
    with pytest.raises(ServiceError, match="TIANSHU_MAX_WAITING = 'many' cannot be used"):
        source(TIANSHU_MAX_WAITING="many").of("max_waiting", int)
    with pytest.raises(ServiceError, match=r"--log-level = 'loud' cannot be used.*'warning'"):
        source("--log-level", "loud").settings()


def test_what_is_needed_and_nowhere_given_is_named_with_the_three_places():
    with pytest.raises(ServiceError, match=r"'max_waiting'.*--max-waiting, TIANSHU_MAX_WAITING, or .*services.sensor"):
        source(section=SensorServiceSection()).required("max_waiting", int)


def test_settings_have_defaults_of_the_service():
    settings = source(section=SensorServiceSection()).settings()
    assert (settings.state, settings.http, settings.log_level) == (Path("sensor-state"), "127.0.0.1:9104", "info")
    settings = source("--http", "none", TIANSHU_STATE="/data", TIANSHU_LOG_LEVEL="debug").settings()
    assert (settings.state, settings.http, settings.log_level) == (Path("/data"), None, "debug")


def test_a_scenario_tells_its_services(tmp_path):
    file = tmp_path / "live.toml"
    file.write_text(SCENARIO, encoding="utf-8")
    scenario = scenario_of(options(), {"TIANSHU_SCENARIO": str(file)})
    assert scenario == scenario_of(options("--scenario", str(file)), {"TIANSHU_SCENARIO": "elsewhere"})
    assert scenario.services.sensor.scenes == (Path("a.tif"), Path("b.tif"))
    settings = source(section=scenario.services.onboard).settings()
    assert (settings.state, settings.http) == (Path("from-scenario"), None)
    section = scenario.services.onboard
    assert source(section=section, TIANSHU_REFERENCE_CAPACITY="0").of("reference_capacity", int, 7) == 0
    assert [source(section=section).of(name, int, 7) for name in ("raw_capacity", "reference_capacity")] == [
        5_000_000,
        7,
    ]
    assert load_scenario().services.onboard == OnboardServiceSection()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[services.onboard]\nspol = "x"\n',
            "services.onboard.spol = 'x': there is no such key. Did you mean 'spool'?",
        ),
        ("[services.onbord]\n", "Did you mean 'onboard'?"),
        ("[services.sensor]\ninterval = 0.0\n", "services.sensor.interval = 0.0"),
        ("[services.ground]\nlink = 7\n", "services.ground.link = 7"),
        ('[services.eps]\nlog_level = "loud"\n', "services.eps.log_level = 'loud'"),
    ],
)
def test_a_scenario_that_tells_them_nonsense_is_refused(tmp_path, text, said):
    file = tmp_path / "live.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as refused:
        load_scenario(file)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("section", "kind"),
    [(OnboardServiceSection(record=True), bool), (GroundServiceSection(record=Path("x.log")), Path)],
)
def test_what_a_test_asks_of_a_service_stands_in_the_scenario_as_well(section, kind):
    assert source(section=section).of("record", kind) in (True, Path("x.log"))
    assert source(section=type(section)(skew=Path("skew"))).of("skew", Path) == Path("skew")
