"""What the worker does, in this process and without its pipe: orders in, handovers and answers out."""

import queue
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import mission.live.scene_work as scene_work
from mission.live.handover import read_handover
from mission.live.reference_keeper import ReferenceKeeper
from mission.live.scene_work import NotedEfforts, SceneWork
from mission.live.scene_worker import WorkerSetup
from mission.live.worker_messages import (
    CodingAllowed,
    CodingBegun,
    CodingTerms,
    GivenUp,
    GiveUp,
    ImageCoded,
    LayersKept,
    LayersReady,
    ProductsKept,
    RadioState,
    RawReport,
    SceneOrder,
    SceneRefused,
    SceneWorked,
    TileWorked,
    WorkerHeld,
    WorkerNote,
    WorkerReady,
)
from mission.live.worker_power import WorkerPowerReport
from mission.scenario import Scenario
from onboard.energy_prices import EnergyStep
from onboard.governor import Effort
from onboard.raw_files import DiskRawFiles
from onboard.raw_store import RawStore
from tests.onboard.test_pipeline import Allowing, BrightPixelDetector

SCENARIO = Scenario.model_validate(
    {
        "contacts": {"source": "repeating", "period_s": 10.0, "duration_s": 8.0},
        "power": {"meter": "model"},
        "sensor": {"allow_no_crs": True, "band_names": ["B02", "B03", "B04", "B08"]},
    }
)


AT_MS = 1_770_000_000_123
TERMS = CodingTerms(at_ms=AT_MS + 100_000, price=0.0, requests=(), room_bytes=0)
CODE = (TERMS, CodingAllowed())
BLOCK, SUMMARY, ALERTS, CHIP, AUDIT = 1, 0, 0xFFFF, 0x8000, 0xFFFE


class ScriptedPipe:
    """Keeps each handover as soon as it is ready; every other message comes from `inbox` when the worker rests, and then the parent is
    gone. A callable in the inbox is called."""

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
        if self.said and isinstance(self.said[-1], LayersReady):
            self.said.append("kept")
            self.kept.append(read_handover(self.handover))
            return LayersKept()
        if seconds is not None:
            self.rests.append(seconds)
            return None
        if self.inbox.empty():
            raise EOFError
        message = self.inbox.get()
        if not callable(message):
            return message
        message()
        return RadioState(on=False)

    def of(self, kind: Any) -> list[Any]:
        return [one for one in self.said if isinstance(one, kind)]

    def kinds(self) -> list[str]:
        return [type(one).__name__ for one in self.said if not isinstance(one, WorkerPowerReport | RawReport | str)]

    def products(self) -> list[set[int]]:
        return [{one.layer.address.product for one in handover.layers} for handover in self.kept]


def write_scene(path: Path, *, size: int = 96, **place: Any) -> Path:
    pixels = np.random.default_rng(5).integers(300, 700, (4, size, size)).astype(np.uint16)
    pixels[0, 40, 50] = 60_000
    with rasterio.open(path, "w", driver="GTiff", height=size, width=size, count=4, dtype="uint16", **place) as file:
        file.write(pixels)
    return path


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif")


def setup_in(tmp_path: Path, *, handover: Path | None = None, raw_capacity_bytes: int = 1 << 30) -> WorkerSetup:
    return WorkerSetup(
        scenario=SCENARIO,
        power=tmp_path / "power",
        handover=handover or tmp_path / "handover",
        raw=tmp_path / "raw",
        references=tmp_path / "references",
        raw_capacity_bytes=raw_capacity_bytes,
        reference_capacity_bytes=1 << 20,
    )


def run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *messages: Any,
    handover: Path | None = None,
    raw_capacity_bytes: int = 1 << 30,
    kept: ProductsKept | None = None,
    until: type[BaseException] = EOFError,
    pipe: ScriptedPipe | None = None,
) -> ScriptedPipe:
    monkeypatch.setattr(scene_work, "open_detector", lambda scenario, **_: BrightPixelDetector())
    setup = setup_in(tmp_path, handover=handover, raw_capacity_bytes=raw_capacity_bytes)
    pipe = pipe or ScriptedPipe(setup.handover)
    for message in (kept or ProductsKept(products=()), *messages):
        pipe.inbox.put(message)
    if not setup.handover.parent.exists():
        pipe.on_held = lambda: setup.handover.parent.mkdir(exist_ok=True)
    with pytest.raises(until):
        SceneWork(setup, pipe).run()  # type: ignore[arg-type]
    return pipe


def test_a_scene_leaves_in_handovers_that_belong_together(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = SceneOrder(scene=7, path=str(scene), captured_ms=AT_MS)
    pipe = run(tmp_path, monkeypatch, RadioState(on=True), order, *CODE)
    assert pipe.said[0] == WorkerReady(model="bright@0x1234")
    assert pipe.kinds()[1:] == [
        "TileWorked", "LayersReady", "LayersReady", "LayersReady", "SceneWorked", "CodingBegun", "LayersReady", "ImageCoded"
    ]  # fmt: skip
    assert TileWorked(outcome="kept") in pipe.said
    assert [one.scene for one in pipe.kept] == [7, 7, 7, 7]
    assert [one.efforts for one in pipe.kept] == [str(int(Effort.DETECT)), "", "", ""]
    assert pipe.products() == [{SUMMARY, ALERTS}, {CHIP}, {AUDIT}, {BLOCK}]
    assert pipe.of(SceneWorked)[0].detections == 1
    waiting = [one.tiles for one in pipe.of(RawReport)]
    assert waiting == [0, 1, 0] and pipe.of(RawReport)[1].size_bytes > 0
    assert list((tmp_path / "raw").iterdir()) == []


def test_kept_products_are_not_handed_over_again(tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = SceneOrder(scene=7, path=str(scene), captured_ms=AT_MS, kept_products=(1, 0, 0xFFFF), efforts="2")
    pipe = run(tmp_path, monkeypatch, order, *CODE)
    assert pipe.products() == [{CHIP}, {AUDIT}]


def test_images_wait_until_they_are_allowed_and_worth_the_price(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = SceneOrder(scene=7, path=str(scene), captured_ms=AT_MS)
    pipe = run(tmp_path, monkeypatch, TERMS, order)
    assert not pipe.of(CodingBegun), "the scene is in work by the books"
    dear = replace(TERMS, price=1e9)
    pipe = run(tmp_path, monkeypatch, dear, CodingAllowed(), lambda: None, dear)
    assert pipe.said[0] == WorkerReady(model="bright@0x1234", raw_scenes=(7,)) and not pipe.of(CodingBegun)
    pipe = run(tmp_path, monkeypatch, dear, CodingAllowed(), TERMS)
    assert pipe.products() == [{BLOCK}] and pipe.of(RawReport)[-1].tiles == 0


def test_a_scene_goes_before_the_next_image(tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two scenes lie raw, then a third is ordered while the first image is coded."""
    orders = [SceneOrder(scene=n, path=str(scene), captured_ms=AT_MS) for n in (1, 2, 3)]
    run(tmp_path, monkeypatch, *orders[:2])

    class Ordering(ScriptedPipe):
        def heard_within(self, seconds: float | None) -> Any:
            if seconds is not None and len(self.of(ImageCoded)) == 1 and not self.of(SceneWorked):
                self.said.append("ordered")
                if self.said.count("ordered") == 1:
                    return orders[2]
            return super().heard_within(seconds)

    pipe = run(tmp_path, monkeypatch, *CODE, lambda: None, CodingAllowed(), pipe=Ordering(tmp_path / "handover"))
    kinds = [kind for kind in pipe.kinds() if kind in ("ImageCoded", "SceneWorked")]
    assert kinds == ["ImageCoded", "SceneWorked", "ImageCoded", "ImageCoded"]


def test_killed_at_any_message_every_image_is_coded_once(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker dies at its n-th word, for every n; then another takes over. What is kept is the same in the end."""

    class KilledError(Exception):
        pass

    class Dying(ScriptedPipe):
        left = 0

        def say(self, message: Any) -> None:
            if self.left == 0:
                raise KilledError
            self.left -= 1
            super().say(message)

        def heard_within(self, seconds: float | None) -> Any:
            heard = super().heard_within(seconds)
            if isinstance(heard, LayersKept) and self.left == 0:
                raise KilledError  # kept, and the worker never hears of it
            return heard

    def order(kept: set[int]) -> SceneOrder:
        return SceneOrder(scene=7, path=str(scene), captured_ms=AT_MS, kept_products=tuple(sorted(kept)))

    undisturbed = run(tmp_path / "undisturbed", monkeypatch, order(set()), *CODE)
    expected = {one.layer.address: one.payload for handover in undisturbed.kept for one in handover.layers}
    words = len([one for one in undisturbed.said if not isinstance(one, str)])
    for left in range(words):
        folder = tmp_path / str(left)
        folder.mkdir()
        pipe = Dying(folder / "handover")
        pipe.left = left
        first = run(folder, monkeypatch, order(set()), *CODE, pipe=pipe, until=KilledError)
        made = [one for handover in first.kept for one in handover.layers]
        kept = {one.layer.address.product for one in made}
        is_over = bool(first.of(SceneWorked))
        products = ((7, tuple(sorted(kept))),) if kept else ()
        again = run(
            folder,
            monkeypatch,
            *([] if is_over else [order(kept)]),
            *CODE,
            kept=ProductsKept(products=products),
        )
        made += [one for handover in again.kept for one in handover.layers]
        assert sorted(one.layer.address for one in made) == sorted(expected), f"killed after {left} words"
        assert {one.layer.address: one.payload for one in made} == expected
        assert again.of(RawReport)[-1] == RawReport(capacity_bytes=again.of(RawReport)[-1].capacity_bytes)


def test_a_full_raw_store_discards_what_promises_least_and_counts_it_for_good(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [SceneOrder(scene=n, path=str(scene), captured_ms=AT_MS + n) for n in (1, 2)]
    size_bytes = run(tmp_path / "large", monkeypatch, orders[0]).of(RawReport)[-1].size_bytes
    pipe = run(tmp_path, monkeypatch, *orders, raw_capacity_bytes=size_bytes + 2000)
    report = pipe.of(RawReport)[-1]
    assert (report.tiles, report.discarded_tiles) == (1, 1) and report.discarded_bytes == size_bytes
    assert len(pipe.of(SceneWorked)) == 2, "summary, alerts and chips of both are kept"
    pipe = run(tmp_path, monkeypatch, raw_capacity_bytes=size_bytes + 2000)
    assert pipe.of(RawReport)[-1] == report


def test_damaged_tiles_and_notes_are_counted_and_said_and_the_rest_is_coded(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [SceneOrder(scene=n, path=str(scene), captured_ms=AT_MS + n) for n in (1, 2, 3, 4)]
    run(tmp_path, monkeypatch, *orders)
    raw = tmp_path / "raw"
    tile = next((raw / "0000000001").glob("*.raw"))
    tile.write_bytes(tile.read_bytes()[:-9] + b"asymmetry")
    store = RawStore(raw, capacity_bytes=1 << 30)
    store.put(5, 0, b"of a scene whose note nobody can read")
    store.seal(5, b"{}")
    (raw / "0000000002" / "seal").write_bytes(b"no seal")
    pipe = run(tmp_path, monkeypatch, *CODE)
    assert {one.scene for one in pipe.of(ImageCoded)} == {3, 4}
    report = pipe.of(RawReport)[-1]
    assert (report.tiles, report.damaged_tiles) == (0, 3)
    reasons = " ".join(one.reason for one in pipe.of(WorkerNote))
    assert all(f"scene {scene}" in reasons for scene in (1, 2, 5))
    assert run(tmp_path, monkeypatch).of(RawReport)[-1].damaged_tiles == 3


def test_what_is_given_up_goes_and_is_counted(tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [SceneOrder(scene=n, path=str(scene), captured_ms=AT_MS + n) for n in (1, 2, 3)]
    run(tmp_path, monkeypatch, *orders)
    given_up = ProductsKept(products=(), given_up=((1, BLOCK), (9, None)))
    pipe = run(tmp_path, monkeypatch, GiveUp(scene=2), *CODE, kept=given_up)
    assert pipe.of(GivenUp) == [
        GivenUp(scene=1, product=BLOCK, tiles=1),
        GivenUp(scene=9, product=None, tiles=0),
        GivenUp(scene=2, product=None, tiles=1),
    ]
    assert [one.scene for one in pipe.of(ImageCoded)] == [3]
    assert pipe.of(RawReport)[-1].given_up_tiles == 2 and pipe.of(RawReport)[-1].discarded_tiles == 0


def test_a_raw_store_that_the_disk_refuses_holds_the_worker_and_loses_nothing(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(files: Any, folder: str, name: str, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scene_work, "TRY_AGAIN_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(DiskRawFiles, "write", refuse)
        pipe = ScriptedPipe(tmp_path / "handover")
        pipe.on_held = lambda: len(pipe.of(WorkerHeld)) == 3 and patch.undo()  # type: ignore[assignment,return-value]
        order = SceneOrder(scene=7, path=str(scene), captured_ms=AT_MS)
        run(tmp_path, monkeypatch, order, *CODE, pipe=pipe)
    held = [one.reason for one in pipe.of(WorkerHeld)]
    assert all("No space left" in reason for reason in held[:-1]) and held[-1] == "" and len(held) == 4
    assert pipe.products() == [{SUMMARY, ALERTS}, {CHIP}, {AUDIT}, {BLOCK}]
    assert pipe.of(RawReport)[-1].discarded_tiles == 0


def test_a_scene_waits_for_room_on_the_disk_and_images_are_coded_meanwhile(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, monkeypatch, SceneOrder(scene=1, path=str(scene), captured_ms=AT_MS))

    class Usage:
        total, free = 1 << 30, 50_000

    monkeypatch.setattr("mission.live.coding_work.shutil.disk_usage", lambda path: Usage)
    pipe = ScriptedPipe(tmp_path / "handover")
    pipe.on_held = lambda: pipe.of(ImageCoded) and setattr(Usage, "free", 1 << 29)  # type: ignore[assignment,return-value]
    run(tmp_path, monkeypatch, TERMS, SceneOrder(scene=2, path=str(scene), captured_ms=AT_MS + 1), pipe=pipe)
    kinds = [kind for kind in pipe.kinds() if kind in ("ImageCoded", "SceneWorked")]
    assert kinds == ["ImageCoded", "SceneWorked"]
    held = pipe.of(WorkerHeld)[0]
    assert "are needed for the next scene's raw tiles" in held.reason and held.wanted_bytes == 96 * 96 * 9


def test_what_is_no_scene_is_refused_and_the_next_order_is_taken(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, cut = tmp_path / "text.tif", tmp_path / "cut.tif"
    text.write_text("not a picture")
    cut.write_bytes(scene.read_bytes()[:200])
    orders = [SceneOrder(scene=n, path=str(path), captured_ms=AT_MS) for n, path in enumerate((text, cut, scene), 1)]
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
    pipe = run(tmp_path, monkeypatch, SceneOrder(scene=1, path=str(disguised), captured_ms=AT_MS))
    (refused,) = [one for one in pipe.said if isinstance(one, SceneRefused)]
    assert "only GTiff and JP2OpenJPEG are taken" in refused.reason and not pipe.kept


def test_a_handover_that_cannot_be_written_is_told_and_tried_again(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = SceneOrder(scene=7, path=str(scene), captured_ms=AT_MS)
    pipe = run(tmp_path, monkeypatch, order, handover=tmp_path / "full" / "handover")
    held = [one.reason for one in pipe.said if isinstance(one, WorkerHeld)]
    assert len(held) == 2 and "free some space" in held[0] and held[1] == ""
    assert len(pipe.kept) == 3 and pipe.rests


def test_what_the_ground_has_serves_as_a_reference_and_what_it_lost_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_000_000, 10, 10)}
    paths = [write_scene(tmp_path / f"{number}.tif", size=256, **place) for number in (1, 2, 3)]
    orders = [SceneOrder(scene=n, path=str(path), captured_ms=AT_MS + n) for n, path in enumerate(paths, 1)]
    references = ReferenceKeeper(tmp_path / "references", capacity_bytes=1 << 30)
    first = run(tmp_path, monkeypatch, orders[0], *CODE)
    for handover in first.kept:
        for one in handover.layers:
            references.take(one.layer.address, one.payload)
    assert references.scenes == 1 and references.problem == ""
    second = run(tmp_path, monkeypatch, orders[1], *CODE)
    (alone,), (predicted,) = first.of(ImageCoded), second.of(ImageCoded)
    assert (alone.reference_scene, predicted.reference_scene) == (None, 1)
    assert predicted.size_bytes < alone.size_bytes / 20
    references.forget(None)
    (alone_again,) = run(tmp_path, monkeypatch, orders[2], *CODE).of(ImageCoded)
    assert alone_again.reference_scene is None and alone_again.size_bytes == alone.size_bytes


def test_a_folder_of_references_that_cannot_be_read_is_said_and_images_are_coded_alone(
    tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(store: Any, *asked: Any, **more: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("onboard.reference_store.ReferenceStore.candidates", refuse)
    orders = [SceneOrder(scene=n, path=str(scene), captured_ms=AT_MS) for n in (1, 2)]
    pipe = run(tmp_path, monkeypatch, *orders, *CODE)
    assert len(pipe.of(ImageCoded)) == 2
    assert ["Input/output error" in one.reason for one in pipe.of(WorkerNote)] == [True], "once, not for every image"


def test_efforts_of_before_are_given_again() -> None:
    noted = NotedEfforts(Allowing(Effort.DETECT))
    assert [noted.decide(0.1).effort for _ in range(2)] == [Effort.DETECT, Effort.DETECT]
    again = NotedEfforts(Allowing(Effort.SCREEN_ONLY), "210")
    decisions = [again.decide(0.1) for _ in range(4)]
    assert [one.effort for one in decisions] == [Effort.DETECT, Effort.SCREEN_ONLY, Effort.SKIP, Effort.SCREEN_ONLY]
    assert "as before the restart" in decisions[0].reason
    assert (noted.noted, again.noted) == ("22", "2101")
    assert noted.may_spend(EnergyStep.ENCODE, 0.1).is_allowed
