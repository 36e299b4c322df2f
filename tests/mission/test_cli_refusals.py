"""What the command line refuses: one clear message, exit code 2, and nothing that was stored before is lost."""

import errno
import os

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from downlink.journal import FileJournal
from mission import cli
from onboard.detector import DetectorModel, PlattCalibration
from onboard.store import ProductStore

LISTED = """
[mission]
name = "refusals"
[power]
meter = "model"
[contacts]
source = "list"
[[contact]]
aos_s = 30.0
duration_s = 20.0
downlink_bps = 200000
"""


class BlindDetector:
    model = DetectorModel(
        name="blind", version="0", classes=("ship",), bands=("B02",), dn_to_input="sqrt_reflectance",
        training_gsd_m=10.0, input_px=640, threshold=0.5, calibration=PlattCalibration(),
        files={"openvino": {"x.xml": "34" * 32}}, training_data="none", licence="AGPL-3.0-or-later",
    )  # fmt: skip

    def detect(self, pixels, band_names):
        return []


@pytest.fixture
def scene(tmp_path):
    path = tmp_path / "sea.tif"
    profile = {"driver": "GTiff", "height": 90, "width": 70, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", crs="EPSG:32630", transform=Affine(10, 0, 5e5, 0, -10, 5e6), **profile) as dataset:
        dataset.write(np.random.default_rng(5).integers(20, 60, (1, 90, 70)).astype(np.uint8))
        dataset.descriptions = ("B02",)
    return path


@pytest.fixture
def tianshu(tmp_path, scene, monkeypatch, capsys):
    """Run `tianshu run`; gives (exit code, what was said on standard error)."""
    monkeypatch.setattr("mission.run.open_detector", lambda scenario, **_: BlindDetector())
    scenario = tmp_path / "listed.toml"
    scenario.write_text(LISTED)

    def command(*options, scenes=(scene,), out="out", scenario=scenario):
        arguments = [
            "run",
            *map(str, scenes),
            "--out",
            str(tmp_path / out),
            "--scenario",
            str(scenario),
            "--no-baselines",
        ]
        code = cli.main([*arguments, "--quiet", *map(str, options)])
        said = capsys.readouterr()
        assert said.out == ""
        return code, said.err

    return command


def files_in(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(answer, *words):
    code, said = answer
    assert code == cli.EXIT_REFUSED
    assert said.startswith("tianshu: ") and said.endswith("\n")
    assert "Traceback" not in said
    for word in words:
        assert word in said
    return said


def test_scenes_that_are_absent_or_no_scenes(tianshu, tmp_path):
    refused(tianshu(scenes=[tmp_path / "absent.tif"]), "absent.tif")
    (tmp_path / "letter.tif").write_bytes(b"dear reader")
    refused(tianshu(scenes=[tmp_path / "letter.tif"]), "letter.tif")
    assert not (tmp_path / "out").exists()


def test_a_truncated_scene(tianshu, scene, tmp_path):
    cut = tmp_path / "cut.tif"
    cut.write_bytes(scene.read_bytes()[:200])
    refused(tianshu(scenes=[cut]), "cut.tif")


def test_a_scenario_with_a_wrong_key_or_none_at_all(tianshu, tmp_path):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(LISTED.replace("downlink_bps", "downlink_bsp"))
    refused(tianshu(scenario=wrong), "wrong.toml", "contact[0].downlink_bsp", "downlink_bps")
    refused(tianshu(scenario=tmp_path / "absent.toml"), "absent.toml")


@pytest.mark.parametrize("count", [2, 3])
def test_truth_for_another_number_of_scenes(tianshu, scene, count):
    refused(tianshu(*["--truth", scene] * count), f"{count} truth files for 1 scenes")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.txt", "0 0.1 0.1 0.2 0.1 0.2 0.2\n", ["line 1", "7 numbers"]),
        ("a.txt", "\n0 1 2 3 4 5 6 7 8\n", ["line 2", "not shares of width and height"]),
        ("a.txt", "0 nan 0 0 0 0 0 0 0\n", ["line 1", "not shares"]),
        ("a.txt", "ship 0 0 0 0 0 0 0 0\n", ["line 1", "invalid literal"]),
        ("a.geojson", "{", ["top level"]),
        ("a.geojson", "[]", ["top level"]),
        ("a.geojson", '{"features": [null]}', ["feature 0"]),
        ("a.geojson", '{"features": [{"geometry": {"coordinates": [[[0,0],[1,0],[1,1],[0,0]]]}}]}', ["feature 0", "3 corners"]),
        ("a.geojson", '{"features": [{"geometry": {"coordinates": [[["e",0],[1,0],[1,1],[0,1]]]}}]}', ["feature 0"]),
        ("a.geojson", '{"features": [{"properties": {"corners_px": [1, 2, 3]}}]}', ["feature 0"]),
        ("a.geojson", '{"features": [{"properties": {"corners_px": [[1,2],[3,4],[5,6],[7,NaN]]}}]}', ["not all numbers"]),
    ],
)  # fmt: skip
def test_truth_that_is_none_is_told_with_file_and_place_before_anything_flies(tianshu, tmp_path, name, text, words):
    truth = tmp_path / name
    truth.write_text(text)
    refused(tianshu("--truth", truth), name, "give a GeoJSON", *words)
    assert not (tmp_path / "out").exists()


def test_truth_that_is_absent(tianshu, tmp_path):
    refused(tianshu("--truth", tmp_path / "absent.txt"), "absent.txt", "No such file")


def test_a_negative_seed(tianshu):
    refused(tianshu("--seed", "-4"), "--seed -4")


def test_an_earlier_run_is_kept_unless_told_otherwise(tianshu, tmp_path):
    assert tianshu() == (0, "")
    before = files_in(tmp_path / "out")
    refused(tianshu(), "holds an earlier run", "--replace")
    assert files_in(tmp_path / "out") == before
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert tianshu("--replace", "--seed", "9") == (0, "")
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert files_in(tmp_path / "out")[next(iter(p for p in before if p.name == "report.json"))] != before


def test_what_is_refused_does_not_cost_the_earlier_run(tianshu, tmp_path):
    assert tianshu() == (0, "")
    before = files_in(tmp_path / "out")
    (tmp_path / "letter.tif").write_bytes(b"dear reader")
    refused(tianshu("--replace", scenes=[tmp_path / "letter.tif"]), "letter.tif")
    refused(tianshu("--replace", "--truth", tmp_path / "absent.txt"), "absent.txt")
    assert files_in(tmp_path / "out") == before


def test_folders_of_the_same_name_that_are_not_of_a_run_are_never_removed(tianshu, tmp_path):
    source = tmp_path / "checkout" / "onboard"
    source.mkdir(parents=True)
    (source / "computer.py").write_text("precious")
    refused(tianshu("--replace", out="checkout"), "onboard is not of a run", "another --out")
    assert (source / "computer.py").read_text() == "precious"


def test_a_file_where_the_folder_should_be(tianshu, tmp_path):
    (tmp_path / "out").write_text("a file")
    refused(tianshu(), "cannot write into", "another --out")
    assert (tmp_path / "out").read_text() == "a file"


@pytest.mark.parametrize("writes", [1, 3, 9])
def test_a_full_disk_ends_the_run_with_what_was_stored_intact(tianshu, tmp_path, monkeypatch, writes):
    left, fsync = [writes], os.fsync

    def filling(handle):
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= 1
        fsync(handle)

    monkeypatch.setattr(os, "fsync", filling)
    refused(tianshu(), "No space left on device")
    monkeypatch.undo()
    journal_path = tmp_path / "out" / "onboard" / "products.journal"
    if journal_path.exists():
        with FileJournal(journal_path) as journal:
            assert ProductStore(journal).account().balanced
            assert journal.damaged_bytes == 0
    assert not (tmp_path / "out" / "report.json").exists()


def test_a_report_that_cannot_be_written_is_told_and_the_journals_stay(tianshu, tmp_path, monkeypatch):
    def full(self, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("mission.report_model.Report.write", full)
    refused(tianshu(), "report.json: No space left on device", "free space")
    with FileJournal(tmp_path / "out" / "onboard" / "products.journal") as journal:
        assert ProductStore(journal).account().captured_bytes > 0


def test_an_interruption_is_no_traceback(tianshu, monkeypatch):
    def interrupted(request, bars):
        raise KeyboardInterrupt

    monkeypatch.setattr("mission.run.run", interrupted)
    assert tianshu() == (cli.EXIT_INTERRUPTED, "tianshu: interrupted\n")


def test_a_model_that_is_not_there(tmp_path, scene, capsys):
    arguments = ["run", str(scene), "--out", str(tmp_path / "out"), "--model", str(tmp_path / "nowhere")]
    assert cli.main(arguments) == cli.EXIT_REFUSED
    assert "nowhere" in capsys.readouterr().err
