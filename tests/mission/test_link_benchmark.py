"""The benchmark of the link: all tables at tiny sizes, the shape of its JSON, its targets, its plots."""

import json
import xml.etree.ElementTree as ElementTree

import pytest
from rich.console import Console

from benchmarks import link
from benchmarks.link_plot import Point
from benchmarks.link_tables import COMMANDS, Sizes, measure
from benchmarks.link_targets import targets
from benchmarks.link_text import print_tables
from mission.progress import ProgressBars

TINY = Sizes(
    throughput_mib=0,
    memory_mib=0,
    losses=(0.0, 0.3),
    peer_seeds=(1,),
    stack_seeds=(1,),
    erasure_losses=(0.3,),
    erasure_seeds=(1,),
    uplink_frames=200,
    missions=2,
    eirp_steps_db=(),
    low_signal_shares=(),
)
THROUGHPUT = {
    "stages": [
        {"name": "down, each PDU filling a frame", "file_mb_per_s": 120.0, "units_per_s": 1.0},
        {"name": "up, each PDU filling a frame", "file_mb_per_s": 60.0, "units_per_s": 1.0},
    ],
    "checksums": [],
    "against_cfdp_py": [
        {"name": "one", "ours_pdus_per_s": 90.0, "cfdp_py_pdus_per_s": 10.0, "ratio": 9.0},
        {"name": "two", "ours_pdus_per_s": 40.0, "cfdp_py_pdus_per_s": 10.0, "ratio": 4.0},
    ],
    "memory": None,
}


@pytest.fixture(scope="module")
def tables():
    pytest.importorskip("cfdppy", reason="cfdp-py is not installed")
    pytest.importorskip("cfdp", reason="LibreCube's cfdp is not installed")
    with pytest.MonkeyPatch.context() as patch, ProgressBars(quiet=True) as bars:
        patch.setattr("benchmarks.link_throughput.measure", lambda **sizes: THROUGHPUT)
        patch.setattr("benchmarks.link_overhead.PRODUCTS", 20)
        patch.setattr("benchmarks.erasure.PRODUCTS", 6)
        return measure(TINY, bars)


def test_every_table_is_there_under_the_command_that_prints_it_alone(tables):
    printed = json.loads(json.dumps(link.as_json(tables, quick=True)))
    assert set(printed) == {"quick", "commands", "targets", "tables"}
    assert set(printed["tables"]) == set(printed["commands"]) == set(COMMANDS)
    clean, lossy = printed["tables"]["whole_stack"]
    assert clean["frame_loss"] == 0 and clean["link_bytes"] > clean["record_bytes"] > clean["payload_bytes"]
    assert clean["over_payload"] == pytest.approx(clean["link_bytes"] / clean["payload_bytes"])
    assert lossy["over_payload"] > lossy["ideal"] > 1.4
    assert {row["scheme"] for row in printed["tables"]["erasure"]} == {"files", "uniform", "unequal"}
    assert printed["tables"]["missions"]["missions"] == 2
    assert printed["tables"]["uplink_security"]["accepted_share"] == 1


def test_targets_say_what_is_met_and_what_is_not(tables):
    found = {target.name: target for target in targets(tables)}
    ratio = found["file delivery over cfdp-py, least of four transfers"]
    assert (ratio.measured, ratio.met) == (4.0, False)
    assert found["whole stack down, each PDU filling a frame"].met is True
    assert found["whole stack up, each PDU filling a frame"].met is False
    clean = found["bytes on the link per byte of payload, 0% of frames lost"]
    assert clean.met is True and 1 < clean.measured <= 1.03
    assert found["bytes on the link per byte of payload, 30% of frames lost"].met is None
    assert found["harsh missions failed, of 2"].met is True


def test_the_text_has_every_command_and_the_plots_are_drawings(tables, tmp_path, capsys):
    console = Console(width=132)
    print_tables(tables, console)
    text = capsys.readouterr().out
    assert all(command in text for name, command in COMMANDS.items() if name != "low_signal")
    link.write_plots(tables, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"link_bytes.svg", "link_one_way.svg"}
    drawing = ElementTree.parse(tmp_path / "link_bytes.svg").getroot()
    words = "".join(drawing.itertext())
    assert "LibreCube cfdp" in words and "ours, whole stack" in words and "30%" in words


def test_excess_is_counted_from_the_ideal():
    assert Point(loss=0.3, ratio=1 / 0.7).excess_percent == pytest.approx(0.0)
    assert Point(loss=0.5, ratio=2.2).excess_percent == pytest.approx(10.0)
