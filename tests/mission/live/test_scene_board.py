"""The board of scenes: what is to be published next, what a restart still knows, what trouble does."""

import pytest

from downlink.errors import JournalError
from downlink.journal import FileJournal, MemoryJournal
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, SUMMARY_PRODUCT, LayerAddress
from downlink.record import Record, RecordKind
from ground.store import LayerStore
from mission.live.publication import Publication, Unpublished
from mission.live.scene_board import FIRST_RETRY_MS, LONGEST_RETRY_MS, REST_PER_WORK, SHORTEST_REST_MS, SceneBoard

NOW_MS = 1_750_000_000_123


def address(scene, product, step=0):
    return LayerAddress(scene=scene, product=product, step=step)


class Bench:
    """A board over a store."""

    def __init__(self, notes=None):
        self.store = LayerStore(MemoryJournal())
        self.notes = notes or MemoryJournal()
        self.board = SceneBoard(self.notes)
        self.board.adopt(self.store)
        self.now_ms = NOW_MS

    def arrive(self, *addresses):
        records = [Record(kind=RecordKind.LAYER, address=one, payload=bytes(range(10))) for one in addresses]
        self.board.arrived(self.store, self.store.add(records), self.now_ms)

    def order(self):
        return self.board.next_order(self.store, self.now_ms)

    def published(self, order, **fields):
        return Publication(
            scene=order.scene, layers=len(order.positions), published_ms=order.now_ms, name="harbour", folder="harbour",
            captured_ms=NOW_MS - 9_000, width=20, height=10, detections=1, arrived_fraction=0.5, byte_exact_fraction=0.25,
            psnr_db=37.5, **fields,
        )  # fmt: skip


def test_a_scene_is_published_once_its_summary_is_there_and_again_when_more_came():
    bench = Bench()
    bench.arrive(address(4, FIRST_BLOCK))
    assert bench.order() is None
    bench.arrive(address(4, SUMMARY_PRODUCT))
    order = bench.order()
    assert (order.scene, order.now_ms) == (4, NOW_MS)
    assert [bench.store._journal.read(at).address.product for at in order.positions] == [FIRST_BLOCK, SUMMARY_PRODUCT]
    bench.board.take(bench.published(order), bench.now_ms)
    bench.now_ms += 10 * SHORTEST_REST_MS
    assert bench.order() is None
    bench.arrive(address(4, FIRST_BLOCK, 1))
    assert len(bench.order().positions) == 3
    (scene,) = bench.board.newest_first(10)
    assert (scene.layers, scene.layer_bytes, scene.publication.layers) == (3, 3 * 28, 2)


def test_rests_grow_with_the_work():
    bench = Bench()
    for work_ms, rest_ms in ((100, SHORTEST_REST_MS), (9_000, REST_PER_WORK * 9_000)):
        bench.arrive(address(1, SUMMARY_PRODUCT), address(1, FIRST_BLOCK + work_ms))
        order = bench.order()
        bench.now_ms += work_ms
        bench.board.take(bench.published(order), bench.now_ms)
        bench.arrive(address(1, FIRST_BLOCK + work_ms, 1))
        bench.now_ms += rest_ms - 1
        assert bench.order() is None
        bench.now_ms += 1
        assert bench.order() is not None


def test_the_scene_that_has_waited_longest_goes_first_and_none_starves():
    bench = Bench()
    bench.arrive(*(address(scene, SUMMARY_PRODUCT) for scene in (3, 1, 2)))
    chosen = []
    for turn in range(9):
        order = bench.order()
        chosen.append(order.scene)
        bench.board.take(bench.published(order), bench.now_ms)
        bench.now_ms += SHORTEST_REST_MS
        bench.arrive(*(address(scene, FIRST_BLOCK, turn) for scene in (1, 2, 3)))
    assert chosen == [1, 2, 3] * 3


def test_what_cannot_be_published_is_tried_again_ever_more_seldom_and_says_why():
    bench = Bench()
    bench.arrive(address(1, SUMMARY_PRODUCT))
    wait_ms = FIRST_RETRY_MS
    for _ in range(9):
        order = bench.order()
        bench.board.take(Unpublished(scene=order.scene, problem="no room"), bench.now_ms)
        assert bench.board.scenes[1].problem == "no room"
        bench.now_ms += wait_ms - 1
        assert bench.order() is None
        bench.now_ms += 1
        wait_ms = min(2 * wait_ms, LONGEST_RETRY_MS)
    order = bench.order()
    bench.board.take(bench.published(order), bench.now_ms)
    assert (bench.board.scenes[1].problem, bench.board.scenes[1].failures) == ("", 0)


def test_a_restart_knows_arrivals_and_publications(tmp_path):
    with FileJournal(tmp_path / "scenes") as notes:
        bench = Bench(notes)
        alerts = address(7, ALERTS_PRODUCT, 2)
        bench.arrive(address(7, SUMMARY_PRODUCT), alerts)
        bench.now_ms += 60_000
        order = bench.order()
        assert order.alerts_received_ms == {alerts: NOW_MS}
        bench.board.take(bench.published(order), bench.now_ms)
    with FileJournal(tmp_path / "scenes") as notes:
        board = SceneBoard(notes)
        board.adopt(bench.store)
        assert board.scenes[7].publication == bench.board.scenes[7].publication is not None
        assert board.scenes[7].alerts_received_ms == {alerts: NOW_MS}
        assert board.next_order(bench.store, bench.now_ms + 10**9) is None
        board.forget_unpublished(lambda folder: False)
        assert board.next_order(bench.store, bench.now_ms).alerts_received_ms == {alerts: NOW_MS}


def test_notes_that_cannot_be_read_are_passed_over():
    notes = MemoryJournal()
    for payload in (b"", b"\xff\xfe", b"[]", b'{"published": {"scene": 3}}', b'{"arrived_ms": "soon"}', b"{" * 5000):
        notes.append([Record(kind=RecordKind.NOTE, address=address(3, SUMMARY_PRODUCT), payload=payload)])
    board = SceneBoard(notes)
    assert board.scenes[3].publication is None


class FullDisk(MemoryJournal):
    full = True

    def append(self, records):
        if self.full:
            raise JournalError("no room on the disk")
        return super().append(records)


def test_notes_wait_where_the_disk_is_full():
    notes = FullDisk()
    bench = Bench(notes)
    alerts = [address(7, ALERTS_PRODUCT, step) for step in range(2)]
    bench.arrive(address(7, SUMMARY_PRODUCT), alerts[0])
    assert bench.board.problem == "no room on the disk"
    assert bench.order().alerts_received_ms == {alerts[0]: NOW_MS}
    notes.full = False
    bench.arrive(alerts[1])
    assert bench.board.problem == ""
    assert SceneBoard(notes).scenes[7].alerts_received_ms == dict.fromkeys(alerts, NOW_MS)


def test_a_long_journal_of_notes_is_rewritten_with_what_counts(monkeypatch):
    monkeypatch.setattr("mission.live.scene_board.COMPACT_ABOVE_BYTES", 2_000)
    bench = Bench()
    bench.arrive(address(1, SUMMARY_PRODUCT), address(1, ALERTS_PRODUCT))
    for step in range(20):
        bench.arrive(address(1, FIRST_BLOCK, step))
        bench.now_ms += SHORTEST_REST_MS
        bench.board.take(bench.published(bench.order()), bench.now_ms)
    assert bench.notes.size_bytes > 2_000
    again = SceneBoard(bench.notes)
    assert bench.notes.size_bytes < 1_000
    assert (
        again.scenes[1].publication
        == SceneBoard(bench.notes).scenes[1].publication
        == bench.board.scenes[1].publication
    )


@pytest.mark.parametrize("limit", [0, 2, 9])
def test_the_newest_scenes_come_first_and_the_list_is_bounded(limit):
    bench = Bench()
    bench.arrive(*(address(scene, FIRST_BLOCK) for scene in (5, 9, 2, 7)))
    assert [scene.scene for scene in bench.board.newest_first(limit)] == [9, 7, 5, 2][:limit]


@pytest.mark.parametrize("step_ms", [3_600_000, -3_600_000])
def test_a_clock_that_is_set_makes_no_rest_longer_or_shorter(step_ms):
    bench = Bench()
    bench.arrive(address(1, SUMMARY_PRODUCT))
    order = bench.order()
    bench.now_ms += 1_000 + step_ms  # while the publisher works
    bench.board.clock_stepped(step_ms)
    bench.board.take(bench.published(order), bench.now_ms)
    bench.arrive(address(1, FIRST_BLOCK))
    bench.now_ms += step_ms  # and while the scene rests
    bench.board.clock_stepped(step_ms)
    bench.now_ms += SHORTEST_REST_MS - 1
    assert bench.order() is None
    bench.now_ms += 1
    assert bench.order() is not None


def test_a_scene_that_waits_for_a_reference_is_published_again_once_layers_of_it_come_and_not_before():
    bench = Bench()
    bench.arrive(address(1, FIRST_BLOCK), address(5, SUMMARY_PRODUCT), address(5, FIRST_BLOCK))
    waiting = bench.published(bench.order(), waiting_images=2, missing=((1, 1), (2, 0)))
    bench.board.take(waiting, bench.now_ms)
    bench.now_ms += 10 * SHORTEST_REST_MS
    bench.arrive(address(3, FIRST_BLOCK))
    assert bench.order() is None
    bench.arrive(address(2, FIRST_BLOCK))
    assert bench.order().scene == 5
    again = SceneBoard(bench.notes)
    again.adopt(bench.store)
    assert again.scenes[5].publication == waiting
    assert again.next_order(bench.store, bench.now_ms).scene == 5
    bench.board.take(bench.published(bench.order(), waiting_images=1, missing=((1, 1), (2, 1))), bench.now_ms)
    bench.now_ms += 10 * SHORTEST_REST_MS
    assert bench.order() is None
    bench.arrive(address(1, FIRST_BLOCK, 1))
    assert bench.order().scene == 5
