"""The terminal summary at two widths, report.json alone for scripts, and bars that stay silent off a terminal."""

import io
import json
from collections.abc import Callable

import pytest
from rich.cells import cell_len
from rich.console import Console

from mission.progress import ProgressBars
from mission.report_model import ByteFigures, Report, SavedFigures
from mission.report_terminal import show_summary, write_json
from mission.report_units import decibel, duration, energy, percent, significant, size

MakeReport = Callable[..., Report]


def shown(report: Report, width: int) -> str:
    stream = io.StringIO()
    show_summary(report, Console(file=stream, width=width), page="out/report.html")
    return stream.getvalue()


@pytest.mark.parametrize("width", [100, 80])
def test_the_summary_fits_and_says_saving_and_price(make_report: MakeReport, width: int) -> None:
    text = shown(make_report(), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "\x1b" not in text and "…" not in text
    for words in ("93.8 %", "less than the raw pixels", "3.03 kB instead of 49.2 kB", "lossless", "36.2 dB", "75.0 %",
                  "2 of 3", "0.250", "10 min 02 s", "120 J", "balanced", "out/report.html"):  # fmt: skip
        assert words in text


def test_a_wide_terminal_keeps_each_figure_on_one_line(make_report: MakeReport) -> None:
    lines = shown(make_report(), 180).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 100
    assert any("less than the raw pixels" in line and "49.2 kB" in line for line in lines)


def test_sending_more_than_the_baseline_is_called_more(make_report: MakeReport) -> None:
    sizes = ByteFigures(raw=2_020, lossless=None, lossy_equal_quality=None, crops_only=0, downlinked=3_030, overhead=0)
    text = shown(make_report(bytes=sizes), 100)
    assert "50.0 %" in text and "more than the raw pixels" in text


def test_json_is_alone_on_the_stream(make_report: MakeReport) -> None:
    stream = io.StringIO()
    write_json(make_report(), stream)
    assert json.loads(stream.getvalue())["schema"] == 1 and stream.getvalue().endswith("}\n")


@pytest.mark.parametrize(("terminal", "quiet"), [(False, False), (True, True)])
def test_bars_are_silent_off_a_terminal_and_when_quiet(terminal: bool, quiet: bool) -> None:
    stream = io.StringIO()
    with ProgressBars(quiet=quiet, console=Console(file=stream, force_terminal=terminal)) as bars:
        assert list(bars.track(range(5), "Detect", total=5)) == [0, 1, 2, 3, 4]
        with bars.stage("Compress") as stage:
            stage.advance(2)
            stage.reach(7, note="tile 7")
    assert stage.done == 7 and not bars.shown and stream.getvalue() == ""


def test_bars_show_label_and_count_on_a_terminal() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=90)
    with ProgressBars(console=console) as bars, bars.stage("Detect [1/2]", total=4) as stage:
        stage.advance(3, note="tile 3")
        bars.refresh()
    assert "Detect [1/2]" in stream.getvalue() and "3/4" in stream.getvalue() and "tile 3" in stream.getvalue()


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (size(999), "999 B"), (size(999_499), "999 kB"), (size(999_500), "1.00 MB"), (size(None), "–"),
        (percent(0.99999), "99.999 %"), (percent(1.0), "100.0 %"), (percent(0.0), "0.0 %"), (percent(0.00004), "0.004 %"),
        (percent(-0.5), "-50.0 %"), (decibel(None), "–"), (decibel(None, lossless=True), "lossless"),
        (duration(59.96), "1 min 00 s"), (duration(0.25), "0.25 s"), (duration(7260), "2 h 01 min"),
        (duration(90_000), "1 d 01 h"), (energy(999.7), "1.00 kJ"), (energy(12.34), "12.3 J"),
        (significant(0.0123), "0.012"), (significant(1234.5), "1 234"), (significant(0.0004), "0.0004"),
    ],
)  # fmt: skip
def test_figures_are_short_and_never_rounded_to_certainty(written: str, expected: str) -> None:
    assert plain(written) == expected


def test_sending_more_than_lossless_is_said_in_whole_words(make_report: MakeReport) -> None:
    sizes = make_report().bytes.model_copy(update={"lossless": 1000, "lossless_codec": "zstd"})
    report = make_report().model_copy(update={"bytes": sizes, "saved": SavedFigures.of(sizes)})
    assert "more than lossless (zstd)" in shown(report, 180)


def test_a_note_is_told_once_with_the_number_of_its_scenes(make_report: MakeReport) -> None:
    scene = make_report().scenes[0].model_copy(update={"notes": ("nothing is searched",)})
    text = shown(make_report(scenes=(scene, scene)), 100)
    assert text.count("nothing is searched") == 1 and "2 scenes" in text


def test_an_empty_battery_is_told(make_report: MakeReport) -> None:
    report = make_report()
    assert "battery was empty" not in shown(report, 100)
    short = report.energy_j.model_copy(update={"unmet": 20.0})
    text = shown(make_report(energy_j=short), 100)
    assert "20.0 J" in text and "the battery was empty" in text
