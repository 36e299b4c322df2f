"""The line of scenes to the publisher: what happens when children die, hang, or cannot be had."""

import io

from downlink.journal import MemoryJournal
from downlink.products import FIRST_BLOCK, SUMMARY_PRODUCT, LayerAddress
from downlink.record import Record, RecordKind
from ground.store import LayerStore
from mission.live.publication import LayersWanted, Publication
from mission.live.publisher_line import PATIENCE_S, START_AGAIN_LIMIT_S, PublisherLine
from mission.live.scene_board import LONGEST_RETRY_MS, SceneBoard
from mission.live.structured_log import StructuredLog


class Child:
    """A publisher that does what its plan says: publish, die or hang."""

    pid = 4711

    def __init__(self, plan):
        self.plan, self.orders, self.has_ended, self.ended = plan, [], False, False
        self.answers = []

    def give(self, order):
        self.orders.append(order)

    def heard(self):
        if not self.orders or self.plan == "hang":
            return None
        if self.plan == "ask" and not self.answers:
            return LayersWanted(scene=2)
        order = self.orders.pop()
        if self.plan == "die":
            self.has_ended = True
            return None
        return Publication(
            scene=order.scene, layers=len(order.positions), published_ms=order.now_ms, name="n", folder="n", captured_ms=0, width=1,
            height=1, detections=0, arrived_fraction=1.0, byte_exact_fraction=1.0, psnr_db=None,
            waiting_images=3 if self.plan == "ask" else 0, missing=((2, 1),) if self.plan == "ask" else (),
        )  # fmt: skip

    def answer(self, found):
        self.answers.append(found)

    def end(self):
        self.has_ended = self.ended = True
        return "killed by SIGTERM"

    def buried(self):
        return "killed by SIGKILL"


class Bench:
    def __init__(self, *plans):
        self.now_s = 0.0
        self.plans, self.children, self.refusals = list(plans), [], 0
        self.store = LayerStore(MemoryJournal())
        self.said, self.told = io.StringIO(), []
        self.board = SceneBoard(MemoryJournal())
        self.line = PublisherLine(
            self.board, StructuredLog("ground", stream=self.said), start=self._start, monotonic_s=lambda: self.now_s,
            on_published=self.told.append,
        )  # fmt: skip
        self.arrive(SUMMARY_PRODUCT)

    def _start(self):
        if self.refusals:
            self.refusals -= 1
            raise OSError(11, "Resource temporarily unavailable")
        self.children.append(Child(self.plans.pop(0)))
        return self.children[-1]

    def arrive(self, product, scene=1):
        record = Record(
            kind=RecordKind.LAYER, address=LayerAddress(scene=scene, product=product, step=0), payload=b"\x01\x02"
        )
        self.board.arrived(self.store, self.store.add([record]), self.now_ms)

    @property
    def now_ms(self):
        return round(1000 * self.now_s)

    def pass_s(self, seconds):
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.line.turn(self.store, self.now_ms)
            self.now_s += 0.5

    @property
    def published(self):
        return self.board.scenes[1].publication is not None


def test_one_child_publishes_scene_after_scene():
    bench = Bench("publish")
    bench.pass_s(2)
    assert bench.published and len(bench.children) == bench.line.starts == 1
    bench.arrive(FIRST_BLOCK)
    bench.arrive(SUMMARY_PRODUCT, scene=2)
    bench.pass_s(20)
    assert [bench.board.scenes[scene].publication.layers for scene in (1, 2)] == [2, 1]
    assert bench.line.pid == 4711 and not bench.line.busy


def test_children_that_die_are_followed_by_others_ever_more_seldom_and_the_scene_says_so():
    bench = Bench(*["die"] * 6, "publish")
    bench.pass_s(9)
    assert bench.board.scenes[1].problem == "the publisher was killed by SIGKILL"
    assert bench.line.pid == 0 and not bench.line.busy
    bench.pass_s(2 * LONGEST_RETRY_MS / 1000)
    assert bench.published and bench.board.scenes[1].problem == ""
    assert bench.line.starts == 7


def test_a_child_that_hangs_is_ended():
    bench = Bench("hang", "publish")
    bench.pass_s(PATIENCE_S - 1)
    assert not bench.published and bench.line.busy and not bench.children[0].ended
    bench.pass_s(START_AGAIN_LIMIT_S)
    assert bench.children[0].ended and bench.published


def test_where_no_process_can_be_had_it_is_told_and_tried_again():
    bench = Bench("publish")
    bench.refusals = 3
    bench.pass_s(2)
    assert "Resource temporarily unavailable" in bench.line.problem
    bench.pass_s(10)
    assert bench.published and bench.line.problem == ""


def test_without_a_store_what_was_given_is_still_heard():
    bench = Bench("publish")
    bench.line.turn(bench.store, bench.now_ms)
    assert bench.line.busy
    bench.line.turn(None, bench.now_ms)
    assert bench.published and not bench.line.busy
    bench.line.end()
    assert bench.children[0].ended


def test_a_child_that_asks_for_an_earlier_scene_is_told_what_is_held_of_it():
    bench = Bench("ask")
    bench.arrive(FIRST_BLOCK, scene=2)
    bench.arrive(FIRST_BLOCK + 1, scene=2)
    bench.pass_s(2)
    (child,) = bench.children
    (found,) = child.answers
    expected = {LayerAddress(scene=2, product=product, step=0) for product in (FIRST_BLOCK, FIRST_BLOCK + 1)}
    assert dict(found.positions) == {one: bench.store.position(one) for one in expected}
    assert bench.published and bench.told == [bench.board.scenes[1].publication]
    assert "images wait for their reference" in bench.said.getvalue()


def test_a_child_that_asks_waits_while_there_is_no_core():
    bench = Bench("ask")
    store, bench.store = bench.store, None
    bench.line.turn(store, 0)
    bench.pass_s(5)
    assert bench.children[0].answers == [] and bench.line.busy
    bench.store = store
    bench.pass_s(1)
    assert len(bench.children[0].answers) == 1 and bench.published


def test_a_child_that_ends_while_it_waits_for_an_answer_is_asked_no_more():
    bench = Bench("ask", "publish")
    store, bench.store = bench.store, None
    bench.line.turn(store, 0)
    bench.pass_s(1)
    bench.children[0].has_ended = True
    bench.pass_s(1)
    bench.store = store
    bench.pass_s(30)
    assert bench.children[0].answers == bench.children[1].answers == [] and bench.published
