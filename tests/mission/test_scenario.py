"""Scenario files: what ships loads, what is wrong is named with its remedy."""

import json
import tomllib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.command import DropScene, ForgetReferences
from downlink.requests import LayerRequest
from mission.contacts import plan_contacts
from mission.errors import ScenarioError
from mission.scenario import SCENARIOS_FOLDER, Scenario, load_scenario, scenario_file, shipped_scenarios
from mission.scenario_problems import dotted, keys_at
from mission.scenario_section import Section

LISTED = """
[contacts]
source = "list"
[[contact]]
aos_s = 60
duration_s = 5.5
downlink_bps = 100_000
"""


def write(tmp_path, text):
    file = tmp_path / "own.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(tmp_path, text):
    with pytest.raises(ScenarioError) as caught:
        load_scenario(write(tmp_path, text))
    assert "own.toml" in str(caught.value)
    return caught.value


def test_shipped_scenarios_load():
    assert set(shipped_scenarios()) >= {"adaptive", "default", "one_percent"}
    for name in shipped_scenarios():
        scenario = load_scenario(name)
        assert (scenario.contacts.capacity_raw_fraction is None) == (scenario.radio is not None)
        assert len(scenario.orbit.stations) == 4
    assert load_scenario(None) == load_scenario("default")
    assert load_scenario("one_percent").contacts.capacity_raw_fraction == 0.01


def test_start_is_unix_milliseconds(tmp_path):
    for start in ("2025-02-28T01:00:00.250+01:00", '"2025-02-28T00:00:00.250Z"'):
        scenario = load_scenario(write(tmp_path, f"[mission]\nstart = {start}\n{LISTED}"))
        assert scenario.start_ms == 1740700800250
        assert scenario.mission.start == datetime(2025, 2, 28, 0, 0, 0, 250000, tzinfo=UTC)


def test_a_scenario_survives_json():
    scenario = load_scenario(None)
    data = json.loads(scenario.model_dump_json())
    assert data["power"]["battery_capacity_wh"] == 20.0
    assert data["contacts"]["max_contacts"] == 6
    assert data["orbit"]["tle"][1].startswith("2 58273")


def test_power_in_joules(tmp_path):
    text = "[power]\nbattery_capacity_wh = 10\ninitial_charge_fraction = 0.5\nreserve_fraction = 0.2\n" + LISTED
    power = load_scenario(write(tmp_path, text)).power
    assert (power.capacity_j, power.initial_charge_j, power.reserve_j) == (36000, 18000, 7200)


def test_policy_file_counts_from_the_scenario_folder(tmp_path):
    scenario = load_scenario(write(tmp_path, '[policy]\nfile = "policies/ships.toml"\n' + LISTED))
    assert scenario.policy.file == tmp_path / "policies" / "ships.toml"
    elsewhere = (tmp_path / "x" / "ships.toml").as_posix()
    assert (
        load_scenario(write(tmp_path, f'[policy]\nfile = "{elsewhere}"\n' + LISTED)).policy.file.as_posix() == elsewhere
    )


def test_unknown_key_names_path_value_allowed_and_nearest(tmp_path):
    error = refusal(tmp_path, "[power]\nbatery_capacity_wh = 12.5\n" + LISTED)
    (problem,) = error.problems
    assert problem.key == "power.batery_capacity_wh"
    assert problem.value == 12.5
    assert problem.suggestion == "battery_capacity_wh"
    assert "reserve_fraction" in problem.allowed
    for said in ("power.batery_capacity_wh = 12.5", "Did you mean 'battery_capacity_wh'", "Allowed here:", "panel_w"):
        assert said in str(error)


@pytest.mark.parametrize(
    ("text", "key", "suggestion"),
    [
        ("[chanel]\nframe_loss = 0.1\n" + LISTED, "chanel", "channel"),
        (LISTED + "downlink_pbs = 5\n", "contact[0].downlink_pbs", "downlink_bps"),
        (LISTED + "[contact.burst]\np_bad_good = 0.5\n", "contact[0].burst.p_bad_good", "p_bad_to_good"),
        ("[power.prices]\ndetect_j_mpix = 1.0\n" + LISTED, "power.prices.detect_j_mpix", "detect_j_per_mpix"),
        (LISTED + "[[orbit.stations]]\nname = 'a'\nlatitude = 5\n", "orbit.stations[0].latitude", "latitude_deg"),
    ],
)
def test_unknown_keys_at_every_depth(tmp_path, text, key, suggestion):
    error = refusal(tmp_path, text)
    problem = next(one for one in error.problems if one.key == key)
    assert suggestion in problem.allowed
    assert problem.suggestion == suggestion


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[power]\npanel_w = -1\n" + LISTED, "power.panel_w = -1"),
        ("[power]\npanel_w = '22'\n" + LISTED, "power.panel_w = '22'"),
        ("[power]\npanel_w = nan\n" + LISTED, "power.panel_w = nan"),
        ("[mission]\nseed = 1.5\n" + LISTED, "mission.seed = 1.5"),
        ("[mission]\nseed = true\n" + LISTED, "mission.seed = True"),
        ("[mission]\nstart = 2025-02-28T00:00:00\n" + LISTED, "end it with Z"),
        ("[mission]\nstart = 'yesterday'\n" + LISTED, "mission.start = 'yesterday'"),
        ("[mission]\nstart = 2110-02-28T00:00:00Z\n" + LISTED, "1970 to 2050"),
        ("[detector]\nengine = 'tensorrt'\n" + LISTED, "'openvino', 'onnxruntime' or 'ultralytics'"),
        ("[channel]\nframe_loss = 1.0\n" + LISTED, "channel.frame_loss = 1.0"),
        ("[channel.burst]\nloss_bad = 1.0\n" + LISTED, "exactly one of frame_loss"),
        ("[channel]\nframe_loss = 0.5\n[channel.burst]\nloss_bad = 0.4\n" + LISTED, "mean frame loss 0.5"),
        ("[link]\nframe_bytes = 4000\n" + LISTED, "link.frame_bytes = 4000"),
        ("[orbit]\naltitude_km = 500\ntle = ['a', 'b']\n" + LISTED, "exactly one of tle"),
        ("[orbit]\ntle = ['a', 'b']\n" + LISTED, "TLE line 1 must have 69 characters"),
        (LISTED + "[[contact]]\naos_s = 62\nduration_s = 1\ndownlink_bps = 9\n", "begins before the one at 60"),
        ("[contacts]\nsource = 'list'\n", "needs at least one"),
        ("[orbit]\naltitude_km = 500.0\n", "add [[orbit.stations]]"),
        ("[[contact]]\naos_s = 1\nduration_s = 1\ndownlink_bps = 9\n", "set contacts.source"),
        ("[[contact]]\naos_s = 1\n[contacts]\nsource = 'list'\n", "contact[0].downlink_bps"),
        ("[contacts\n", "not valid TOML"),
    ],
)
def test_wrong_values_name_key_value_and_remedy(tmp_path, text, said):
    assert said in str(refusal(tmp_path, text))


def test_all_problems_are_told_at_once(tmp_path):
    error = refusal(tmp_path, "[power]\npanel_w = -1\nidle_w = -2\n[sensor]\ncolour = 1\n" + LISTED)
    assert {problem.key for problem in error.problems} == {"power.panel_w", "power.idle_w", "sensor.colour"}


def test_elements_far_from_the_start_are_refused(tmp_path):
    text = (SCENARIOS_FOLDER / "default.toml").read_text(encoding="utf-8").replace("2025-02-28T", "2026-02-28T")
    assert "365 days before mission.start" in str(refusal(tmp_path, text))


def test_stations_with_the_same_name_are_refused(tmp_path):
    text = (SCENARIOS_FOLDER / "default.toml").read_text(encoding="utf-8").replace('"Inuvik"', '"Svalbard"')
    assert "repeated: Svalbard" in str(refusal(tmp_path, text))


def test_an_absent_file_lists_what_ships(tmp_path):
    with pytest.raises(ScenarioError, match=r"no\.toml.*cannot") as caught:
        load_scenario(tmp_path / "no.toml")
    assert "default, one_percent" in str(caught.value)
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_scenario(tmp_path)


def test_bytes_that_are_not_text_are_refused(tmp_path):
    file = tmp_path / "own.toml"
    file.write_bytes(b"\xff\xfe\x12\x34")
    with pytest.raises(ScenarioError, match="not valid TOML"):
        load_scenario(file)


def test_a_file_here_wins_over_a_shipped_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert scenario_file("default").parent == SCENARIOS_FOLDER
    (tmp_path / "default").write_text(LISTED)
    assert load_scenario("default").contacts.source == "list"


def test_every_field_of_every_section_is_described():
    """Shipped documentation: each field is followed by its own line of docstring."""
    import ast
    import inspect
    import sys

    sections = [section for section in every_section(Section) if section.__module__.startswith("mission.")]
    assert len(sections) > 12
    for section in sections:
        source = inspect.getsource(sys.modules[section.__module__])
        body = next(
            n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == section.__name__
        ).body
        for node, following in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign) and not ast.unparse(node.annotation).startswith("ClassVar"):
                assert isinstance(following, ast.Expr), f"{section.__name__}.{ast.unparse(node.target)}"


def every_section(root):
    return [root, *(below for section in root.__subclasses__() for below in every_section(section))]


def test_every_key_in_the_shipped_files_is_known():
    for name in shipped_scenarios():
        data = tomllib.loads((SCENARIOS_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
        assert set(data) <= set(keys_at((), Scenario))
        assert set(data["channel"]["burst"]) <= set(keys_at(("channel", "burst"), Scenario))


@given(st.lists(st.one_of(st.integers(0, 99), st.from_regex(r"[a-z_]+", fullmatch=True)), max_size=5))
def test_dotted_paths_keep_every_step(path):
    text = dotted(path)
    steps = [
        int(step) if step.isdigit() else step for step in text.replace("[", ".").replace("]", "").split(".") if step
    ]
    assert steps == path


def test_a_file_that_only_sets_power_is_heard_by_the_default_stations(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[power]\nbattery_capacity_wh = 5.0\n")
    scenario = load_scenario(file)
    assert scenario.power.battery_capacity_wh == 5.0
    assert [station.name for station in scenario.orbit.stations] == [
        station.name for station in load_scenario().orbit.stations
    ]
    assert plan_contacts(scenario, raw_bytes=1_000_000)


def test_orders_become_what_goes_up(tmp_path):
    scenario = load_scenario(
        write(
            tmp_path,
            LISTED
            + """
[[order]]
at_s = 30
scene = 2
products = "chips"
last_step = 3
factor = 50.0
for_s = 600

[[order]]
at_s = 40.5
kind = "drop"
scene = 7

[[order]]
at_s = 50
kind = "forget"
scene = 8

[[order]]
at_s = 51
kind = "forget"
""",
        )
    )
    request, drop, forget, forget_all = (section.order(1_000_000) for section in scenario.order)
    assert drop == DropScene(scene=7)
    assert (forget, forget_all) == (ForgetReferences(scene=8), ForgetReferences(scene=None))
    assert request.request == LayerRequest(
        scene=2, first_product=0x8000, last_product=0xFFFE, last_step=3, factor=50.0, until_ms=1_000_000 + 630_000
    )


def test_an_order_that_says_too_much_is_refused(tmp_path):
    error = refusal(tmp_path, LISTED + '[[order]]\nat_s = 1\nkind = "drop"\nscene = 1\nfactor = 2.0\n')
    assert "remove factor" in str(error)
    assert "order" in str(refusal(tmp_path, LISTED + "[[order]]\nat_s = 1\nscene = 0\n"))
    error = refusal(tmp_path, LISTED + '[[order]]\nat_s = 1\nkind = "forget"\nlast_step = 2\n')
    assert "remove last_step" in str(error)
    assert "give its number" in str(refusal(tmp_path, LISTED + '[[order]]\nat_s = 1\nkind = "drop"\n'))
    assert "give its number" in str(refusal(tmp_path, LISTED + "[[order]]\nat_s = 1\n"))
