"""Contacts whose rates follow from the radio: geometry, margins, cuts, refusals, and a flight through the command line."""

import json
import tomllib

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from downlink.link_budget import free_space_loss_db, slant_range_km
from downlink.modcod import modcod_named
from mission import cli
from mission.contacts import contacts_from_orbit, cut_to_capacity, plan_contacts
from mission.errors import ScenarioError
from mission.orbit import look_angles, one_way_delay_ms
from mission.scenario import SCENARIOS_FOLDER, Scenario, load_scenario
from onboard.detection import Detection
from onboard.detector import DetectorModel, PlattCalibration

ADAPTIVE = load_scenario("adaptive")
NATURAL = contacts_from_orbit(ADAPTIVE)
SHIPS = ((60, 50), (150, 90))


def with_radio(**changes):
    text = (SCENARIOS_FOLDER / "adaptive.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    data["radio"] |= changes
    return Scenario.model_validate(data)


def total_expected(scenario):
    return sum(one.contact.expected_bytes for one in contacts_from_orbit(scenario))


def test_look_angles_agree_with_the_law_of_cosines_and_the_light_time():
    satellite = ADAPTIVE.orbit.satellite(ADAPTIVE.start_ms)
    station = ADAPTIVE.orbit.stations[1].station()
    contact = next(one.contact for one in NATURAL if one.contact.station == station.name)
    times_ms = np.linspace(contact.aos_ms, contact.los_ms, 9)
    elevations, ranges = look_angles(satellite, station, times_ms)
    assert elevations[-1] == pytest.approx(5.0, abs=0.01)
    assert (elevations[:-1] > 5.0).all()
    for elevation, range_km in zip(elevations, ranges, strict=True):  # a circle at about 485 km, 6,378 km round Earth
        assert range_km == pytest.approx(slant_range_km(float(elevation), 490.0), rel=0.04)
    assert one_way_delay_ms(satellite, station, contact.aos_ms) == np.ceil(ranges[0] / 299.792458)


def test_rates_rise_and_fall_with_the_elevation():
    for planned in NATURAL:
        contact = planned.contact
        assert contact.rates[0].from_ms == contact.aos_ms
        assert contact.rates[-1].from_ms < contact.los_ms
        rates = [step.downlink_bps for step in contact.rates]
        top = rates.index(max(rates))
        assert rates[: top + 1] == sorted(rates[: top + 1])
        assert rates[top:] == sorted(rates[top:], reverse=True)
        assert contact.downlink_bps == contact.capacity_bytes * 8000 // contact.duration_ms
        assert contact.frame_loss == pytest.approx(1 - contact.expected_bytes / contact.capacity_bytes)
        for step in contact.rates:
            assert step.es_n0_db - modcod_named(step.modcod).threshold_db > 1.0 - 0.5
            assert step.robust_bps < step.downlink_bps
            assert 0.005 <= step.robust_frame_loss <= step.frame_loss < 0.006


def test_the_signal_follows_the_budget():
    planned = max(NATURAL, key=lambda one: one.contact.duration_ms)
    weakest, strongest = (choose(step.es_n0_db for step in planned.contact.rates) for choose in (min, max))
    satellite = ADAPTIVE.orbit.satellite(ADAPTIVE.start_ms)
    stations = {section.name: section.station() for section in ADAPTIVE.orbit.stations}
    times_ms = np.arange(planned.contact.aos_ms, planned.contact.los_ms, 1000.0)
    _, ranges = look_angles(satellite, stations[planned.contact.station], times_ms)
    space_db = free_space_loss_db(float(ranges.max()), 8.2e9) - free_space_loss_db(float(ranges.min()), 8.2e9)
    assert strongest - weakest == pytest.approx(space_db, abs=2.5)  # and up to 2.5 dB of air at 5 degrees
    assert strongest - weakest > space_db - 0.3


def test_the_channel_gets_what_the_contact_states():
    for planned in NATURAL:
        assert planned.downlink.rate_bps == planned.contact.downlink_bps
        assert planned.uplink.rate_bps == 64_000
        assert planned.uplink.rates == ()
        for step, rate in zip(planned.contact.rates, planned.downlink.rates, strict=True):
            assert (step.from_ms, step.downlink_bps, step.robust_bps) == (
                rate.from_ms,
                rate.rate_bps,
                rate.robust_rate_bps,
            )
            assert (step.frame_loss, step.robust_frame_loss) == (rate.frame_loss, rate.robust_frame_loss)


def test_an_unforeseen_loss_is_known_to_the_channel_alone():
    surprised = contacts_from_orbit(with_radio(unforeseen_loss_db=1.9))
    for planned, before in zip(surprised, NATURAL, strict=True):
        assert planned.contact == before.contact
        assert [rate.rate_bps for rate in planned.downlink.rates] == [rate.rate_bps for rate in before.downlink.rates]
        losses = [rate.frame_loss for rate in planned.downlink.rates]
        assert max(losses) > 0.5
        assert all(rate.robust_frame_loss < 0.01 for rate in planned.downlink.rates[3:-3])


@pytest.mark.parametrize("modcod", ["QPSK 1/4", "QPSK 1/2", "QPSK 3/4", "8PSK 3/4", "16APSK 3/4", "32APSK 9/10"])
def test_adaptive_coding_carries_more_than_any_fixed_one(modcod):
    assert total_expected(ADAPTIVE) > 1.15 * total_expected(with_radio(adaptive=False, modcod=modcod))


def test_a_share_of_the_symbols_is_that_share_of_the_bytes():
    assert total_expected(with_radio(share=0.001)) == pytest.approx(2 * total_expected(ADAPTIVE), rel=1e-3)


@settings(max_examples=25)
@given(st.integers(1000, 4_000_000))
def test_cut_contacts_carry_their_share(capacity_bytes):
    cut = cut_to_capacity(NATURAL[:4], capacity_bytes=capacity_bytes)
    natural = sum(one.contact.capacity_bytes for one in NATURAL[:4])
    carried = sum(one.contact.capacity_bytes for one in cut)
    assert carried <= min(capacity_bytes, natural)
    assert carried >= min(capacity_bytes, natural) - 4 * 10  # a millisecond of 45 kbit/s is 6 bytes
    for one in cut:
        before = next(other for other in NATURAL if other.contact.contact_id == one.contact.contact_id)
        assert one.contact.aos_ms == before.contact.aos_ms
        share = min(1, capacity_bytes / natural)
        assert one.contact.capacity_bytes == pytest.approx(share * before.contact.capacity_bytes, abs=10)


def test_a_plan_takes_the_first_contacts_whole():
    planned = plan_contacts(ADAPTIVE, raw_bytes=10**7)
    assert [one.contact for one in planned] == [one.contact for one in NATURAL[:4]]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (("share = 0.0005", "share = 0.0"), "radio.share = 0.0"),
        (("frequency_ghz = 8.2", "frequency_ghz = 12.5"), "12.5 GHz (tables: 1 to 4, 7 to 9, 25 to 27.5 GHz); give the loss"),
        (("margin_db = 1.0", "adaptive = false"), "adaptive = false needs modcod"),
        (("margin_db = 1.0", 'modcod = "QPSK 3/4"'), "set adaptive = false to use it"),
        (("margin_db = 1.0", 'adaptive = false\nmodcod = "QPSK 7/8"'), "no modulation and code rate 'QPSK 7/8'"),
        (("eirp_dbw = 4.0", "eirp_db = 4.0"), "Did you mean 'eirp_dbw'?"),
        (("eirp_dbw = 4.0", ""), "required and absent"),
        (("uplink_bps = 64_000", "downlink_bps = 64_000"), "remove contacts.downlink_bps, or remove [radio]"),
        (('source = "orbit"', 'source = "list"'), '[radio] needs elevations: set contacts.source = "orbit"'),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_remedy(tmp_path, edit, said):
    text = (SCENARIOS_FOLDER / "adaptive.toml").read_text(encoding="utf-8")
    changed = text.replace(*edit)
    assert changed != text
    (tmp_path / "own.toml").write_text(changed, encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(tmp_path / "own.toml")
    assert said in str(caught.value)


class BrightDetector:
    """Calls bright pixels of the last band ships."""

    model = DetectorModel(
        name="bright", version="0.0.1", classes=("ship",), bands=("B08",), dn_to_input="sqrt_reflectance",
        training_gsd_m=10.0, input_px=640, threshold=0.5, calibration=PlattCalibration(),
        files={"openvino": {"bright.xml": "12" * 32}}, training_data="none", licence="AGPL-3.0-or-later",
    )  # fmt: skip

    def detect(self, pixels, band_names):
        found = []
        for y, x in zip(*np.nonzero(pixels[3] > 9000), strict=True):
            corners = ((x - 4.0, y - 2.0), (x + 5.0, y - 2.0), (x + 5.0, y + 3.0), (x - 4.0, y + 3.0))
            found.append(Detection(class_id=0, confidence=0.75, corners_px=corners))
        return found


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """A small scene of sea with two ships."""
    monkeypatch.setattr("mission.run.open_detector", lambda scenario, **_: BrightDetector())
    pixels = np.random.default_rng(0xADA).integers(300, 420, (4, 128, 192)).astype(np.uint16)
    for x, y in SHIPS:
        pixels[3, y, x] = 9500
    path = tmp_path / "sea.tif"
    profile = {"driver": "GTiff", "height": 128, "width": 192, "count": 4, "dtype": "uint16"}
    with rasterio.open(path, "w", crs="EPSG:32630", transform=Affine(10, 0, 5e5, 0, -10, 5e6), **profile) as dataset:
        dataset.write(pixels)
        dataset.descriptions = ("B02", "B03", "B04", "B08")
    return path


def fly(scene, out, scenario):
    arguments = ["run", str(scene), "--out", str(out), "--scenario", str(scenario), "--no-baselines", "--quiet"]
    assert cli.main(arguments) == 0
    return json.loads((out / "report.json").read_text())


def test_the_adaptive_scenario_flies_through_the_command_line(scene, tmp_path):
    report = fly(scene, tmp_path / "out", "adaptive")
    assert report["detections"]["onboard"] == report["detections"]["delivered"] == len(SHIPS)
    assert [contact["capacity_bytes"] for contact in report["contacts"]] == [
        one.contact.capacity_bytes for one in NATURAL[:4]
    ]
    assert report["quality"]["roi_lossless"]
    assert report["ledger"]["delivered"] == report["ledger"]["captured"]
    for contact in report["contacts"]:
        assert contact["sent_bytes"] <= contact["capacity_bytes"]


def test_alerts_come_through_where_the_prediction_was_too_good(scene, tmp_path):
    text = (SCENARIOS_FOLDER / "adaptive.toml").read_text(encoding="utf-8")
    text = text.replace("fade_sigma_db = 0.2", "fade_sigma_db = 0.2\nunforeseen_loss_db = 2.5")
    (tmp_path / "weak.toml").write_text(text.replace("max_contacts = 4", "max_contacts = 1"), encoding="utf-8")
    report = fly(scene, tmp_path / "out", tmp_path / "weak.toml")
    (contact,) = report["contacts"]
    assert contact["frames_lost"] > 0.8 * contact["frames"]
    assert report["detections"]["delivered"] == len(SHIPS)
