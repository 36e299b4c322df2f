"""The line of scenes: what it does with files, with the worker, with a disk that refuses, and after a restart at any point."""

import io
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from downlink.errors import JournalError
from downlink.journal import FileJournal, MemoryJournal
from downlink.products import SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from mission.live.capture_journal import CaptureJournal
from mission.live.coding_journal import CodingJournal
from mission.live.handover import write_handover
from mission.live.scene_line import DEATHS_LIMIT, SILENCE_LIMIT_S, START_AGAIN_LIMIT_S, START_AGAIN_S, SceneLine
from mission.live.spool import Spool
from mission.live.structured_log import StructuredLog
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
    SceneOrder,
    SceneRefused,
    SceneWorked,
    WorkerFailed,
    WorkerHeld,
    WorkerReady,
)
from onboard.store import ProductStore
from onboard.valuation import ValuedLayer

WORKED = SceneWorked(tiles=1, detections=2, chips=1, notes=())


def layers_of(scene: int, product: int, coding: bytes, steps: int = 3) -> tuple[ValuedLayer, ...]:
    return tuple(
        ValuedLayer(
            layer=Layer(
                address=LayerAddress(scene=scene, product=product, step=step),
                rung=Rung.REFINEMENT,
                size_bytes=18 + len(coding) + 1,
                value=1.0,
                half_life_s=60.0,
                captured_ms=1,
            ),
            payload=coding + bytes([step]),
        )
        for step in range(steps)
    )


class FakeWorker:
    """A child that says what the test has it say."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.says: list[Any] = []
        self.has_ended = False
        self.how = "killed by SIGKILL"
        self.pid = 4711

    def tell(self, message: Any) -> None:
        self.told.append(message)

    def heard(self) -> list[Any]:
        says, self.says = self.says, []
        return says

    def end(self) -> str:
        self.has_ended = True
        return self.how

    def buried(self) -> str:
        return self.end()

    @property
    def orders(self) -> list[SceneOrder]:
        return [message for message in self.told if isinstance(message, SceneOrder)]


class StoreKeeper:
    """A product store over a journal, which may refuse."""

    def __init__(self, journal: Any) -> None:
        self.store = ProductStore(journal)
        self.refuses = False

    def keep(self, layers: Sequence[ValuedLayer]) -> bool:
        if not self.refuses:
            self.store.add(layers)
        return not self.refuses

    def kept_products_of(self, scenes: Collection[int]) -> dict[int, frozenset[int]] | None:
        return None if self.refuses else self.store.products_by_scene(scenes)

    @property
    def last_scene(self) -> int:
        return self.store.last_scene


class Bench:
    """A line that can be started again over what it left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self.spool.mkdir()
        self.handover = folder / "handover"
        self.layers, self.captures, self.images = MemoryJournal(), MemoryJournal(), MemoryJournal()
        self.workers: list[FakeWorker] = []
        self.now_s = 0.0
        self.log = io.StringIO()
        self.start()

    def start(self) -> None:
        self.keeper = StoreKeeper(self.layers)
        self.line = SceneLine(
            Spool(self.spool),
            CaptureJournal(self.captures),
            CodingJournal(self.images),
            self.keeper,
            StructuredLog("onboard", stream=self.log),
            start_worker=self.new_worker,
            handover=self.handover,
            clock_s=lambda: self.now_s,
        )

    def new_worker(self) -> Any:
        self.workers.append(FakeWorker())
        return self.workers[-1]

    @property
    def worker(self) -> FakeWorker:
        return self.workers[-1]

    def say(self, *messages: Any) -> None:
        self.worker.says.extend(messages)
        self.line.hear()

    def put(self, name: str, mtime_ns: int = 5_000_000) -> Path:
        path = self.spool / name
        path.write_bytes(b"pixels of " + os.fsencode(name))
        os.utime(path, ns=(mtime_ns, mtime_ns))
        return path

    def ready(self, *raw_scenes: int) -> None:
        self.now_s += START_AGAIN_LIMIT_S
        self.line.turn()
        self.say(WorkerReady(model="ship_s2@1", raw_scenes=raw_scenes))

    def die(self) -> None:
        self.worker.has_ended = True
        self.line.hear()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_one_scene_from_the_spool_to_the_store(bench: Bench) -> None:
    path = bench.put("a.tif", 5_000_000)
    bench.put("b.tif", 6_000_000)
    bench.ready()
    (order,) = bench.worker.orders
    assert order == SceneOrder(scene=1, path=str(path), captured_ms=5)
    assert bench.line.waiting == 1 and bench.line.in_work
    layers = layers_of(1, 1, b"coded")
    write_handover(bench.handover, scene=1, layers=layers, efforts="")
    bench.say(LayersReady())
    assert bench.worker.told[-1] == LayersKept()
    assert [bench.keeper.store.payload(one.layer.address) for one in layers] == [one.payload for one in layers]
    bench.say(WORKED)
    assert not path.exists() and bench.line.captures.done == 1
    assert [order.scene for order in bench.worker.orders] == [1, 2]


def test_a_refused_file_is_rejected_with_its_reason_and_the_next_one_comes(bench: Bench) -> None:
    bench.put("a.tif", 5)
    bench.put("b.tif", 6)
    (bench.spool / "folder.tif").mkdir()
    os.utime(bench.spool / "folder.tif", ns=(1, 1))
    bench.ready()
    assert [order.scene for order in bench.worker.orders] == [2], "the folder was scene 1, and was never opened"
    bench.say(SceneRefused(reason="a.tif does not open as a raster"))
    assert (bench.spool / "rejected" / "a.tif.reason.txt").read_text() == "a.tif does not open as a raster\n"
    assert [order.scene for order in bench.worker.orders] == [2, 3]
    assert bench.line.captures.rejected == 2
    assert "does not open as a raster" in bench.log.getvalue()


def test_the_worker_is_held_while_the_store_refuses(bench: Bench) -> None:
    bench.put("a.tif")
    bench.ready()
    write_handover(bench.handover, scene=1, layers=layers_of(1, 1, b"coded"), efforts="")
    bench.keeper.refuses = True
    bench.say(LayersReady())
    for _ in range(3):
        bench.line.turn()
        assert LayersKept() not in bench.worker.told
    bench.keeper.refuses = False
    bench.line.turn()
    assert bench.worker.told.count(LayersKept()) == 1 and len(bench.keeper.store.backlog()) == 3


def test_a_worker_that_cannot_write_is_told_of(bench: Bench) -> None:
    bench.put("a.tif")
    bench.ready()
    bench.say(WorkerHeld(reason="cannot write handover: No space left on device"))
    assert bench.line.held and "No space left" in bench.line.problem
    bench.say(WorkerHeld(reason=""))
    assert not bench.line.held and bench.line.problem == ""


def test_a_capture_journal_that_refuses_holds_the_line_until_it_does_not(bench: Bench) -> None:
    class FullDisk(MemoryJournal):
        full = True

        def append(self, records: Any) -> tuple[int, ...]:
            if self.full:
                raise JournalError("captures.journal: No space left on device")
            return super().append(records)

    bench.captures = FullDisk()
    bench.start()
    bench.put("a.tif")
    bench.ready()
    assert not bench.worker.orders and "No space left" in bench.line.problem
    bench.captures.full = False
    bench.line.turn()
    assert len(bench.worker.orders) == 1 and bench.line.problem == ""
    bench.captures.full = True
    bench.say(WORKED)
    assert (bench.spool / "a.tif").exists() and bench.line.captures.done == 0
    bench.captures.full = False
    bench.line.turn()
    assert not (bench.spool / "a.tif").exists() and bench.line.captures.done == 1


def test_a_scene_over_which_the_worker_dies_is_tried_again_and_then_rejected(bench: Bench) -> None:
    bench.put("poison.tif", 5)
    bench.put("good.tif", 6)
    for death in range(DEATHS_LIMIT):
        bench.ready()
        assert [order.scene for order in bench.worker.orders] == [1]
        bench.say(WorkerFailed(error=f"MemoryError: {death}", traceback="..."))
        bench.die()
    bench.ready()
    assert [order.scene for order in bench.worker.orders] == [2]
    reason = (bench.spool / "rejected" / "poison.tif.reason.txt").read_text()
    assert "died 3 times" in reason and "MemoryError: 0" in reason and "MemoryError: 2" in reason


def test_deaths_are_counted_over_restarts_but_restarts_are_no_deaths(bench: Bench) -> None:
    bench.put("poison.tif")
    for death in range(DEATHS_LIMIT):
        bench.ready()
        bench.start()  # this process was killed, and the worker with it
        bench.ready()
        assert [order.scene for order in bench.worker.orders] == [1], f"after {death} deaths"
        bench.die()
    bench.ready()
    assert not bench.worker.orders and bench.line.captures.rejected == 1


def test_a_worker_that_does_not_start_is_started_again_later_and_blames_no_file(bench: Bench) -> None:
    bench.put("a.tif")
    bench.line.turn()
    for waited_s in (START_AGAIN_S, 2 * START_AGAIN_S, 4 * START_AGAIN_S):
        count = len(bench.workers)
        bench.say(WorkerFailed(error="ModelFileError: the hash is wrong", traceback="..."))
        bench.die()
        assert "the hash is wrong" in bench.line.problem
        bench.now_s += 0.9 * waited_s
        bench.line.turn()
        assert len(bench.workers) == count
        bench.now_s += 0.2 * waited_s
        bench.line.turn()
        assert len(bench.workers) == count + 1
    bench.say(WorkerReady(model="ship_s2@1"))
    assert bench.line.problem == "" and len(bench.worker.orders) == 1
    assert bench.line.captures.current is not None and bench.line.captures.current.deaths == ()


def test_a_silent_worker_is_ended(bench: Bench) -> None:
    bench.put("a.tif")
    bench.ready()
    bench.now_s += SILENCE_LIMIT_S + 1
    bench.line.turn()
    assert bench.worker.has_ended
    bench.ready()
    assert len(bench.workers) == 2 and [order.scene for order in bench.worker.orders] == [1]


def test_the_worker_is_told_of_the_radio_also_a_new_one(bench: Bench) -> None:
    bench.ready()
    bench.line.tell_radio(True)
    bench.line.tell_radio(True)
    states = [RadioState(on=False), RadioState(on=True)]
    assert [one for one in bench.worker.told if isinstance(one, RadioState)] == states
    bench.die()
    bench.now_s += START_AGAIN_S
    bench.line.turn()
    assert bench.worker.told == [RadioState(on=True)]


@pytest.mark.parametrize("tail_bytes", [1, 40, 75, 95, 140, 10_000])
def test_an_append_cut_by_a_crash_is_completed_from_the_handover(tmp_path: Path, tail_bytes: int) -> None:
    bench = Bench(tmp_path)
    bench.put("a.tif")
    with FileJournal(tmp_path / "products") as journal:
        bench.layers = journal  # type: ignore[assignment]
        bench.start()
        bench.ready()
        first, second = layers_of(1, 1, b"first"), layers_of(1, 2, b"second")
        bench.keeper.keep(first)
        whole_before = journal.size_bytes
        write_handover(bench.handover, scene=1, layers=second, efforts="22")
        bench.keeper.keep(second)
        cut_to = max(whole_before, journal.size_bytes - tail_bytes)
    os.truncate(tmp_path / "products", cut_to)
    with FileJournal(tmp_path / "products") as journal:
        bench.layers = journal  # type: ignore[assignment]
        bench.start()
        bench.ready()
        store = bench.keeper.store
        assert {one.layer.address: one.payload for one in (*first, *second)} == {
            layer.address: store.payload(layer.address) for layer in store.backlog()
        }
        (order,) = bench.worker.orders
        assert sorted(order.kept_products) == [1, 2]
        assert order.efforts == "", "the summary is not stored: this attempt may decide anew"


def test_efforts_come_back_once_the_summary_is_stored(bench: Bench) -> None:
    bench.put("a.tif")
    bench.ready()
    write_handover(bench.handover, scene=1, layers=layers_of(1, SUMMARY_PRODUCT, b"summary", steps=1), efforts="2122")
    bench.say(LayersReady())
    bench.start()
    bench.ready()
    (order,) = bench.worker.orders
    assert (order.kept_products, order.efforts) == ((SUMMARY_PRODUCT,), "2122")


def test_a_damaged_handover_ends_the_worker_and_the_scene_is_done_again(bench: Bench) -> None:
    bench.put("a.tif")
    bench.ready()
    bench.handover.write_bytes(b"noise")
    bench.say(LayersReady())
    assert bench.worker.has_ended and not bench.keeper.store.backlog()
    bench.line.turn()
    bench.ready()
    assert [order.scene for order in bench.worker.orders] == [1]


def test_a_file_that_left_or_was_replaced_is_no_longer_this_scene(bench: Bench) -> None:
    bench.put("a.tif", 5)
    bench.ready()
    bench.put("a.tif", 9_000_000)
    bench.start()
    bench.ready()
    (order,) = bench.worker.orders
    assert (order.scene, order.captured_ms) == (2, 9)
    assert bench.line.captures.rejected == 1 and (bench.spool / "a.tif").exists()


def test_a_spool_that_cannot_be_cleared_stops_the_line_and_says_so(bench: Bench) -> None:
    bench.put("bad.tif")
    (bench.spool / "rejected").write_text("a file where the folder should be")
    bench.ready()
    bench.say(SceneRefused(reason="no raster"))
    assert "rejected" in bench.line.problem
    bench.start()
    bench.ready()
    assert not bench.worker.orders, "it is not worked through again"
    (bench.spool / "rejected").unlink()
    bench.line.turn()
    assert bench.line.problem == "" and bench.line.captures.rejected == 1
    assert (bench.spool / "rejected" / "bad.tif").exists()


# ---- coding


TERMS = CodingTerms(at_ms=1_000, price=0.5, requests=(), room_bytes=9)


def coded(scene: int, product: int, reference_scene: int | None = None) -> ImageCoded:
    return ImageCoded(
        scene=scene,
        product=product,
        size_bytes=100,
        forecast_bytes=90,
        choice="alone",
        reference_scene=reference_scene,
    )


def test_images_are_coded_only_while_no_scene_is_in_work_by_the_books(bench: Bench) -> None:
    bench.put("a.tif")
    bench.ready()
    assert bench.worker.told[1:] == [ProductsKept(products=()), *bench.worker.orders]
    bench.line.tell_terms(TERMS)
    bench.line.turn()
    assert bench.worker.told[-1] is TERMS
    bench.captures.append = refuse  # type: ignore[method-assign]
    bench.say(WORKED)
    assert CodingAllowed() not in bench.worker.told, "a crash now would have the scene worked through again"
    del bench.captures.append
    bench.line.turn()
    assert bench.worker.told[-1] == CodingAllowed()
    bench.say(CodingBegun(scene=1, product=1))
    assert bench.line.is_busy and not bench.line.in_work
    bench.put("b.tif", 6_000_000)
    bench.line.turn()
    assert [order.scene for order in bench.worker.orders] == [1, 2], "the order is there before the image is done"
    bench.say(coded(1, 1, reference_scene=9))
    assert (bench.line.coding.coded_images, bench.line.coding.predicted_images) == (1, 1)
    bench.say(WORKED)
    assert bench.worker.told.count(CodingAllowed()) == 2
    bench.line.turn()
    assert bench.worker.told.count(TERMS) == 1 and bench.worker.told.count(CodingAllowed()) == 2


def refuse(records: Any) -> tuple[int, ...]:
    raise JournalError("No space left on device")


def test_layers_of_an_image_are_kept_without_a_scene_in_work(bench: Bench) -> None:
    bench.ready(1)
    bench.say(CodingBegun(scene=1, product=2))
    write_handover(bench.handover, scene=1, layers=layers_of(1, 2, b"coded"), efforts="")
    bench.say(LayersReady())
    assert bench.worker.told[-1] == LayersKept() and bench.keeper.store.products_of(1) == {2}


def test_a_worker_is_told_what_is_stored_before_anything_else(bench: Bench) -> None:
    """Killed between the layers kept and the raw tile dropped: the handover is stored first, then the worker hears of it."""
    write_handover(bench.handover, scene=4, layers=layers_of(4, 3, b"coded"), efforts="")
    bench.start()
    bench.keeper.refuses = True
    bench.put("a.tif")
    bench.ready(4, 5)
    assert [one for one in bench.worker.told if not isinstance(one, RadioState)] == []
    bench.keeper.refuses = False
    bench.line.turn()
    told = [one for one in bench.worker.told if not isinstance(one, RadioState)]
    assert told == [ProductsKept(products=((4, (3,)),)), *bench.worker.orders] and bench.worker.orders[0].scene == 5


def test_an_image_over_which_the_worker_dies_three_times_is_given_up_and_blames_no_scene(bench: Bench) -> None:
    bench.put("a.tif")
    for death in range(3):
        bench.ready(7)
        assert ProductsKept(products=()) in bench.worker.told
        bench.say(CodingBegun(scene=7, product=3))
        if death == 1:
            bench.start()  # this process is killed, too: no death of the image
            bench.ready(7)
            bench.say(CodingBegun(scene=7, product=3))
        bench.die()
    assert bench.line.captures.current is not None and bench.line.captures.current.deaths == ()
    bench.start()
    bench.ready(7)
    assert ProductsKept(products=(), given_up=((7, 3),)) in bench.worker.told
    assert "died 3 times over it" in bench.log.getvalue()
    bench.say(GivenUp(scene=7, product=3, tiles=1))
    bench.start()
    bench.ready(7)
    assert ProductsKept(products=()) in bench.worker.told, "it is reported gone"


def test_an_image_that_is_coded_after_a_death_is_dangerous_no_more(bench: Bench) -> None:
    for product in (3, 4):
        bench.ready(7)
        bench.say(CodingBegun(scene=7, product=product))
        bench.die()
    bench.ready(7)
    bench.say(CodingBegun(scene=7, product=3), coded(7, 3))
    bench.keeper.keep(layers_of(7, 4, b"was on its way"))
    bench.start()
    bench.ready(7)
    bench.line.turn()
    assert CodingJournal(bench.images).dangerous == ()


def test_raw_tiles_of_what_is_rejected_or_not_wanted_are_given_up(bench: Bench) -> None:
    bench.put("bad.tif")
    bench.ready()
    bench.say(SceneRefused(reason="no raster"))
    assert bench.worker.told[-2:] == [GiveUp(scene=1), CodingAllowed()]
    bench.line.coding.discard(44)
    bench.line.turn()
    assert bench.worker.told[-1] == GiveUp(scene=44)
    bench.say(GivenUp(scene=1, product=None, tiles=0))
    bench.start()
    bench.ready()
    assert bench.worker.told[-2] == ProductsKept(products=(), given_up=((44, None),))


def test_a_worker_that_ends_idle_again_and_again_is_started_ever_later(bench: Bench) -> None:
    starts_s = []
    for _ in range(4):
        bench.ready()
        bench.die()
        died_s, count = bench.now_s, len(bench.workers)
        assert "does not last" in bench.line.problem
        while len(bench.workers) == count:
            bench.now_s += 0.5
            bench.line.turn()
        starts_s.append(bench.now_s - died_s)
    assert starts_s == [1, 2, 4, 8]


def test_a_silent_worker_that_codes_is_ended(bench: Bench) -> None:
    bench.ready(7)
    bench.say(CodingBegun(scene=7, product=3))
    bench.now_s += SILENCE_LIMIT_S + 1
    bench.line.turn()
    assert bench.worker.has_ended and "silent" in bench.log.getvalue()
