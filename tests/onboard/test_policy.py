"""The policy file: what it says, and what is said of one that cannot be used."""

import subprocess
import sys
import tomllib

import pytest
from pydantic import ValidationError

from onboard.errors import PolicyError
from onboard.policy import DEFAULT_POLICY, AreaInterest, load_policy

TEXT = """\
name = "wishes"
useful_psnr_db = [25.0, 55.0]
[summary]
value = 4.0
half_life_s = 7200.0
[alerts]
value = 1.5
half_life_s = 3600.0
[chips]
value = 0.5
half_life_s = 21600.0
quality_percent = [4.0, 8.0, 30.0, 100.0]
levels = 2
largest_px = 192
[blocks]
value = 2.0
half_life_s = 86400.0
quality_percent = [1.0, 100.0]
levels = 5
[classes.ship]
weight = 1.0
"""


@pytest.fixture
def policy_file(tmp_path):
    def write(text):
        path = tmp_path / "wishes.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def refusal(path):
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert caught.value.path == path
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_the_policy_that_ships_is_read_without_a_name():
    policy = load_policy()
    assert policy == load_policy(DEFAULT_POLICY)
    assert policy.name == "maritime"
    assert policy.class_weight("ship") == 1.0
    assert policy.area_weight((10.0, 50.0)) == 1.0


def test_the_policy_that_ships_spells_out_the_defaults_of_map_coding_and_reference(policy_file):
    shipped, silent = load_policy(), load_policy(policy_file(TEXT))
    assert (shipped.map, shipped.coding, shipped.reference) == (silent.map, silent.coding, silent.reference)
    written = tomllib.loads(DEFAULT_POLICY.read_text(encoding="utf-8"))
    assert set(written["map"]) == set(type(shipped.map).model_fields)
    assert set(written["coding"]) == set(type(shipped.coding).model_fields)


def test_a_detection_in_a_block_is_worth_a_fraction_of_its_chip():
    policy, ship_px = load_policy(), (20 + 2 * 16) * (8 + 2 * 16)
    in_the_block = policy.blocks.value * (policy.map.detection - policy.map.clear) * ship_px / 1e6
    assert 0.05 * policy.chips.value < in_the_block < 0.25 * policy.chips.value


def test_a_policy_is_read_without_the_coder_of_pixels():
    read = "import sys; from onboard.policy import load_policy; load_policy(); print('rasterio' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


def test_classes_and_areas_weigh(policy_file):
    policy = load_policy(
        policy_file(
            TEXT
            + '[classes.tanker]\nweight = 3.5\n[[areas]]\nname = "strait"\nwest = 1.0\nsouth = 50.5\neast = 2.0\n'
            + 'north = 51.5\nweight = 4.0\n[[areas]]\nname = "sea"\nwest = 0.0\nsouth = 50.0\neast = 9.0\nnorth = 60.0\nweight = 0.5\n'
        )
    )
    assert (policy.class_weight("tanker"), policy.class_weight("never heard of")) == (3.5, 1.0)
    weights = [policy.area_weight(place) for place in ((1.5, 51.0), (5.0, 51.0), (-1.0, 51.0), None)]
    assert weights == [4.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize(("west", "east"), [(170.0, -170.0), (179.0, 179.5)])
def test_an_area_that_crosses_the_antimeridian_is_short_and_one_that_does_not_is_not_turned_round(west, east):
    area = AreaInterest(name="dateline", west=west, south=-20.0, east=east, north=-10.0, weight=2.0)
    crossing = west > east
    assert area.contains(179.2, -15.0)
    assert area.contains(-179.5, -15.0) == crossing
    assert area.contains(175.0, -15.0) == crossing
    assert not area.contains(0.0, -15.0)
    assert not area.contains(-169.0, -15.0)
    assert not area.contains(179.2, -9.0)


def test_an_area_upside_down_is_refused():
    with pytest.raises(ValidationError, match=r"south 20\.0 must lie below north 10\.0"):
        AreaInterest(name="flipped", west=0, south=20, east=1, north=10, weight=1)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda text: text + "\n[classes.ship.colour]\nred = 1\n", "classes.ship.colour"),
        (lambda text: "wieght = 2\n" + text, "wieght"),
        (lambda text: text.replace("half_life_s = 3600.0", "half_life_s = 0"), "alerts.half_life_s"),
        (lambda text: text.replace("value = 1.5", "value = nan"), "alerts.value"),
        (lambda text: text.replace("30.0, 100.0]", "30.0, 90.0]"), "chips"),
        (lambda text: text.replace("[4.0, 8.0,", "[8.0, 8.0,"), "chips"),
        (lambda text: text.replace("largest_px = 192", "largest_px = 4"), "chips.largest_px"),
        (lambda text: text.replace('name = "wishes"', 'name = ""'), "name"),
        (lambda text: text + "[map]\ncloud = -0.1\n", "map.cloud"),
        (lambda text: text + "[coding]\ncontacts_ahead = 0\n", "coding.contacts_ahead"),
        (lambda text: text + "[reference]\nclearly_beter = 0.5\n", "reference.clearly_beter"),
        (lambda text: text.replace("useful_psnr_db = [", "useful_psnr_db = [90.0, 10.0] # ["), "useful_psnr_db"),
        (lambda text: text.replace('name = "wishes"\n', ""), "name: Field required"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_the_file(policy_file, change, key):
    assert change(TEXT) != TEXT
    message = refusal(policy_file(change(TEXT)))
    assert key in message
    assert len(message) < 500


def test_what_is_not_toml_and_what_is_not_there_is_told(policy_file, tmp_path):
    assert "is not TOML" in refusal(policy_file("name = \n"))
    assert "is not TOML" in refusal(policy_file(b"name = '\xff'\n"))
    assert "No such file" in refusal(tmp_path / "absent.toml")
    assert "Is a directory" in refusal(tmp_path)
