"""Weather: what goes before the scenario, and a file that may change any time."""

from dataclasses import replace

import pytest

from mission.channel import ChannelRate, ChannelSettings, GilbertElliott
from mission.errors import ServiceError
from mission.live.weather import Weather, WeatherFile

STEP = ChannelRate(
    from_ms=5, rate_bps=700, frame_loss=0.1, robust_rate_bps=300, robust_frame_loss=0.01, bit_error_rate=1e-7
)
BURSTS = GilbertElliott.with_mean(0.02, p_bad_to_good=0.25, loss_good=0.0, loss_bad=1.0)
SCENARIO = ChannelSettings(rate_bps=500, delay_ms=25, loss=BURSTS, bit_error_rate=1e-8, duplicate=0.1, rates=(STEP,))


def test_fair_weather_changes_nothing():
    assert Weather().over(SCENARIO) == SCENARIO


def test_each_number_goes_before_the_scenario_along_the_whole_pass():
    changed = Weather(rate=900, delay=7, jitter=3, loss=0.3, bit_errors=1e-3).over(SCENARIO)
    step = replace(STEP, rate_bps=900, robust_rate_bps=900, frame_loss=0.3, robust_frame_loss=0.3, bit_error_rate=1e-3)
    assert changed == replace(
        SCENARIO,
        rate_bps=900,
        delay_ms=7,
        jitter_ms=3,
        loss=GilbertElliott.with_mean(0.3, p_bad_to_good=0.25, loss_good=0.0, loss_bad=1.0),
        bit_error_rate=1e-3,
        rates=(step,),
    )


def test_no_loss_and_no_bit_errors_are_numbers_too():
    changed = Weather(loss=0.0, bit_errors=0.0).over(SCENARIO)
    assert changed.loss.mean_loss == 0 and changed.bit_error_rate == 0
    assert changed.rates[0].frame_loss == 0 and changed.rates[0].bit_error_rate == 0


def test_the_nearer_weather_wins_number_by_number():
    assert Weather(loss=0.3, blackout=False).before(Weather(loss=0.1, delay=4)) == Weather(
        loss=0.3, delay=4, blackout=False
    )


def test_a_file_is_read_when_it_comes_changes_and_goes(tmp_path):
    file = tmp_path / "weather.toml"
    weather = WeatherFile(file)
    assert weather.read() == Weather()
    assert weather.read() is None
    file.write_text("loss = 0.25\nblackout = true\n")
    assert weather.read() == Weather(loss=0.25, blackout=True)
    assert weather.read() is None
    file.unlink()
    assert weather.read() == Weather()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"los = 0.5\n", "Did you mean 'loss'"),
        (b"loss = 1.5\n", "loss = 1.5"),
        (b"loss = ", "not valid TOML"),
        (b"loss = 0.5 # \xff", "cannot be read"),
    ],
)
def test_nonsense_is_told_once_and_the_next_text_is_read(tmp_path, text, said):
    file = tmp_path / "weather.toml"
    file.write_bytes(text)
    weather = WeatherFile(file)
    with pytest.raises(ServiceError, match=said):
        weather.read()
    assert weather.read() is None
    file.write_text("loss = 0.5\n")
    assert weather.read() == Weather(loss=0.5)
