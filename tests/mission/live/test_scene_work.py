"""What the worker does, in this process and without its pipe: orders in, handovers and answers out."""

import queue
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import mission.live.scene_work as scene_work
from mission.live.handover import read_handover
from mission.live.scene_work import NotedEfforts, SceneWork
from mission.live.scene_worker import WorkerSetup
from mission.live.worker_messages import (
    LayersKept,
    LayersReady,
    RadioState,
    SceneOrder,
    SceneRefused,
    SceneWorked,
    TileWorked,
    WorkerHeld,
    WorkerReady,
)
from mission.live.worker_power import WorkerPowerReport
from mission.scenario import Scenario
from onboard.governor import Effort
from tests.onboard.test_pipeline import Allowing, BrightPixelDetector

SCENARIO = Scenario.model_validate(
    {
        "contacts": {"source": "repeating", "period_s": 10.0, "duration_s": 8.0},
        "power": {"meter": "model"},
        "sensor": {"allow_no_crs": True, "band_names": ["B02", "B03", "B04", "B08"]},
    }
)


class ScriptedPipe:
    """Keeps each handover as soon as it is ready; every other message comes from `inbox`, and then the parent is gone."""

    def __init__(self, handover: Path) -> None:
        self.handover = handover
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.said: list[Any] = []
        self.kept: list[Any] = []
        self.on_held = lambda: None
        self.rests: list[float] = []

    def say(self, message: Any) -> None:
        self.said.append(message)
        if isinstance(message, WorkerHeld) and message.reason:
            self.on_held()

    def heard_within(self, seconds: float | None) -> Any:
        if seconds is not None:
            self.rests.append(seconds)
            return None
        if self.said and isinstance(self.said[-1], LayersReady):
            self.said.append("kept")
            self.kept.append(read_handover(self.handover))
            return LayersKept()
        if self.inbox.empty():
            raise EOFError
        return self.inbox.get()

    def kinds(self) -> list[str]:
        return [type(one).__name__ for one in self.said if not isinstance(one, WorkerPowerReport | str)]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(5).integers(300, 700, (4, 96, 96)).astype(np.uint16)
    pixels[0, 40, 50] = 60_000
    path = tmp_path / "scene.tif"
    with rasterio.open(path, "w", driver="GTiff", height=96, width=96, count=4, dtype="uint16") as file:
        file.write(pixels)
    return path


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *messages: Any, handover: Path | None = None) -> ScriptedPipe:
    monkeypatch.setattr(scene_work, "open_detector", lambda scenario: BrightPixelDetector())
    handover = handover or tmp_path / "handover"
    pipe = ScriptedPipe(handover)
    for message in messages:
        pipe.inbox.put(message)
    setup = WorkerSetup(scenario=SCENARIO, power=tmp_path / "power", handover=handover)
    if not handover.parent.exists():
        pipe.on_held = lambda: handover.parent.mkdir(exist_ok=True)
    with pytest.raises(EOFError):
        SceneWork(setup, pipe).run()  # type: ignore[arg-type]
    return pipe


def test_a_scene_leaves_in_handovers_that_belong_together(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = SceneOrder(scene=7, path=str(scene), captured_ms=1_770_000_000_123)
    pipe = run(tmp_path, monkeypatch, RadioState(on=True), order)
    assert pipe.said[0] == WorkerReady(model="bright@0x1234")
    assert pipe.kinds()[1:] == ["LayersReady", "TileWorked", "LayersReady", "LayersReady", "SceneWorked"]
    assert TileWorked(outcome="kept") in pipe.said
    block, summary, chip = pipe.kept
    assert [one.scene for one in pipe.kept] == [7, 7, 7]
    assert [one.efforts for one in pipe.kept] == ["", str(int(Effort.DETECT)), ""]
    assert {one.layer.address.product for one in block.layers} == {1}
    assert [one.layer.address.product for one in summary.layers] == [0, 0xFFFF]
    assert {one.layer.address.product for one in chip.layers} == {0x8000}
    assert next(one for one in pipe.said if isinstance(one, SceneWorked)).detections == 1


def test_kept_products_are_not_handed_over_again(tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = SceneOrder(scene=7, path=str(scene), captured_ms=5, kept_products=(1, 0, 0xFFFF), efforts="2")
    pipe = run(tmp_path, monkeypatch, order)
    assert [{one.layer.address.product for one in handover.layers} for handover in pipe.kept] == [{0x8000}]


def test_what_is_no_scene_is_refused_and_the_next_order_is_taken(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, cut = tmp_path / "text.tif", tmp_path / "cut.tif"
    text.write_text("not a picture")
    cut.write_bytes(scene.read_bytes()[:200])
    orders = [SceneOrder(scene=n, path=str(path), captured_ms=5) for n, path in enumerate((text, cut, scene), 1)]
    pipe = run(tmp_path, monkeypatch, *orders)
    refused = [one for one in pipe.said if isinstance(one, SceneRefused)]
    assert len(refused) == 2 and all(str(path) in one.reason for path, one in zip((text, cut), refused, strict=True))
    assert pipe.kinds()[-1] == "SceneWorked"


def test_a_scene_that_is_made_of_other_files_is_refused(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{band}"><SimpleSource><SourceFilename>{scene}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3, 4)
    )
    disguised = tmp_path / "spool.tif"
    disguised.write_text(f'<VRTDataset rasterXSize="96" rasterYSize="96">{bands}</VRTDataset>')
    pipe = run(tmp_path, monkeypatch, SceneOrder(scene=1, path=str(disguised), captured_ms=5))
    (refused,) = [one for one in pipe.said if isinstance(one, SceneRefused)]
    assert "only GTiff and JP2OpenJPEG are taken" in refused.reason and not pipe.kept


def test_a_handover_that_cannot_be_written_is_told_and_tried_again(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = SceneOrder(scene=7, path=str(scene), captured_ms=5)
    pipe = run(tmp_path, monkeypatch, order, handover=tmp_path / "full" / "handover")
    held = [one.reason for one in pipe.said if isinstance(one, WorkerHeld)]
    assert len(held) == 2 and "free some space" in held[0] and held[1] == ""
    assert len(pipe.kept) == 3 and pipe.rests


def test_efforts_of_before_are_given_again() -> None:
    noted = NotedEfforts(Allowing(Effort.DETECT))
    assert [noted.decide(0.1).effort for _ in range(2)] == [Effort.DETECT, Effort.DETECT]
    again = NotedEfforts(Allowing(Effort.SCREEN_ONLY), "210")
    decisions = [again.decide(0.1) for _ in range(4)]
    assert [one.effort for one in decisions] == [Effort.DETECT, Effort.SCREEN_ONLY, Effort.SKIP, Effort.SCREEN_ONLY]
    assert "as before the restart" in decisions[0].reason
    assert (noted.noted, again.noted) == ("22", "2101")
