import json
import shutil
from pathlib import Path

import pytest

from onboard.detector import read_model
from onboard.errors import ModelFileError
from onboard.training.__main__ import main
from onboard.training.calibrate import operating_point
from onboard.training.crossval import read_held_out
from onboard.training.held_out_networks import read_held_out_networks
from onboard.training.operating_points import write_operating_points

SHIPPED = Path(__file__).parent.parent.parent / "onboard" / "models" / "ship_s2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped model's descriptions and verdicts, with a calibration and a threshold that are not theirs."""
    folder = tmp_path / "ship_s2"
    (folder / "folds").mkdir(parents=True)
    for path in (SHIPPED / "model.json", SHIPPED / "folds" / "folds.json", *SHIPPED.glob("held_out_*.json")):
        shutil.copy(path, folder / path.relative_to(SHIPPED))
    for path in (folder / "model.json", folder / "folds" / "folds.json"):
        said = json.loads(path.read_text(encoding="utf-8"))
        for one in said.get("folds", [said]):
            one["threshold"], one["calibration"] = 0.9, {"slope": 3.0, "intercept": 1.0}
        path.write_text(json.dumps(said), encoding="utf-8")
    return folder


def test_only_calibration_and_threshold_are_written_and_they_are_the_shipped_ones(folder: Path):
    write_operating_points(folder, read_held_out(folder))
    assert read_model(folder) == read_model(SHIPPED)
    assert read_held_out_networks(folder) == read_held_out_networks(SHIPPED)


def test_no_fold_has_a_part_in_its_own_threshold(folder: Path):
    ports = read_held_out(folder)
    write_operating_points(folder, ports)
    for number, fold in enumerate(read_held_out_networks(folder).folds):
        others = operating_point([port for port in ports if port.port not in fold.scenes])
        assert fold.threshold == round(others.threshold, 4)
        assert fold.calibration == others.calibration
        assert {port.port for port in ports if port.fold == number} == set(fold.scenes)


def test_the_command_says_what_it_writes_and_takes_a_version(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["calibrate", "--model", str(folder), "--version", "0.6.9"]) == 0
    model = read_model(folder)
    assert model.version == "0.6.9"
    printed = capsys.readouterr()
    assert f"threshold {model.threshold:.4f}" in printed.out + printed.err


def test_verdicts_of_other_folds_than_the_networks_change_nothing(folder: Path):
    before = (folder / "model.json").read_bytes()
    ports = [port for port in read_held_out(folder) if port.fold != 2]
    with pytest.raises(ValueError, match="5 held-out networks and verdicts of 4 folds"):
        write_operating_points(folder, ports)
    assert (folder / "model.json").read_bytes() == before


def test_a_folder_without_a_model_is_named(tmp_path: Path):
    with pytest.raises(ModelFileError, match=r"model\.json cannot be read"):
        write_operating_points(tmp_path, read_held_out(SHIPPED))
