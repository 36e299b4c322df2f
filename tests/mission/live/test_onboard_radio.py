"""The radio over journals on a disk: what a disk that refuses, a crash and a clock that goes back do to it."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from downlink.errors import JournalError
from downlink.journal import FileJournal
from downlink.layer_digest import layer_digest
from downlink.products import Layer, LayerAddress, Rung
from downlink.record import RecordKind
from mission.event_log import EventRecorder
from mission.live.contact_windows import ContactWindows
from mission.live.onboard_radio import AGAIN_LIMIT_MS, LAYERS_FILE, MARKS_ROOM_BYTES, STEADY_S, OnboardRadio
from mission.live.reference_keeper import LEFT_FREE_BYTES, ReferenceKeeper
from mission.live.structured_log import StructuredLog
from mission.live.terms_watch import LONGEST_S
from mission.replay import replay
from mission.scenario import Scenario
from onboard.errors import StoreError
from onboard.link_events import LayersDelivered
from onboard.valuation import ValuedLayer
from tests.mission.live.live_doubles import FakeClock, FakePort

SCENARIO = Scenario.model_validate(
    {"contacts": {"source": "repeating", "period_s": 20.0, "duration_s": 14.0, "downlink_bps": 1_000_000}}
)
AOS_MS = 1_795_374_000_000
BLOCK = tuple(
    ValuedLayer(
        layer=Layer(
            address=LayerAddress(scene=3, product=1, step=step),
            rung=Rung.PREVIEW,
            size_bytes=1018,
            value=5.0 - step,
            half_life_s=3600.0,
            captured_ms=AOS_MS,
        ),
        payload=bytes([step + 1]) * 1000,
    )
    for step in range(3)
)


class SteppingClock(FakeClock):
    """Tells of the steps that a test has it take."""

    step_ms = 0

    def check(self) -> int:
        step_ms, self.step_ms = self.step_ms, 0
        self.time_ms += step_ms
        return step_ms


class Bench:
    def __init__(self, state: Path) -> None:
        self.clock, self.now_s, self.log = SteppingClock(AOS_MS - 500), 0.0, io.StringIO()
        self.port = FakePort(self.clock)
        self.state = state
        self.recorder: EventRecorder | None = None
        self.unwanted: list[int] = []
        self.start()

    def start(self) -> None:
        self.references = ReferenceKeeper(self.state / "references", capacity_bytes=1 << 20)
        self.radio = OnboardRadio(
            SCENARIO,
            self.state,
            self.port,
            StructuredLog("onboard", stream=self.log),
            windows=ContactWindows(SCENARIO),
            clock=self.clock,  # type: ignore[arg-type]
            references=self.references,
            discard_uncoded=self.unwanted.append,
            recorder=self.recorder,
            monotonic_s=lambda: self.now_s,
        )

    def turns(self, duration_ms: int) -> None:
        until_ms = self.clock.time_ms + duration_ms
        while self.clock.time_ms < until_ms:
            wake_ms = self.radio.turn()
            passed_ms = max(1, min(wake_ms, until_ms) - self.clock.time_ms)
            self.clock.time_ms += passed_ms
            self.now_s += passed_ms / 1000


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_kept_layers_leave_in_the_contact(bench: Bench) -> None:
    assert bench.radio.keep(BLOCK)
    bench.turns(400)
    assert not bench.port.sent
    bench.turns(600)
    assert bench.port.sent and all(AOS_MS <= at_ms < AOS_MS + 14_000 for at_ms, _ in bench.port.sent)
    assert bench.radio.contact is not None and bench.radio.last_scene == 3
    assert bench.radio.kept_products_of((3, 4)) == {3: {1}}


def test_a_disk_that_refuses_costs_the_core_not_the_service(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.radio.keep(BLOCK[:1])
    append = FileJournal.append

    def refuse(journal: FileJournal, records: Any) -> tuple[int, ...]:
        told = tuple(records)
        if any(record.kind is RecordKind.LAYER for record in told):
            raise JournalError("cannot append: No space left on device")
        return append(journal, told)

    monkeypatch.setattr(FileJournal, "append", refuse)
    waits_s, gone_s = [], 0.0
    for _ in range(7):
        assert not bench.radio.keep(BLOCK[1:])
        assert "No space left" in bench.radio.problem and bench.radio.computer is None
        assert bench.radio.kept_products_of((3,)) is None and bench.radio.new_coding_terms() is None
        gone_s = bench.now_s
        while bench.radio.computer is None:
            bench.turns(100)
        waits_s.append(round(bench.now_s - gone_s))
        assert "No space left" in bench.radio.trouble, "no news of health before it has lasted"
    assert waits_s == [1, 2, 4, 8, 16, 30, AGAIN_LIMIT_MS // 1000]
    monkeypatch.setattr(FileJournal, "append", append)
    assert bench.radio.keep(BLOCK[1:]) and bench.radio.trouble == ""
    assert bench.radio.restarts == 7
    computer = bench.radio.computer
    assert computer is not None
    assert [computer.store.payload(one.layer.address) for one in BLOCK] == [one.payload for one in BLOCK]
    bench.turns(round(STEADY_S * 1000) + 1000)
    monkeypatch.setattr(FileJournal, "append", refuse)
    assert not bench.radio.keep((*BLOCK, *_next_block()))
    gone_s = bench.now_s
    while bench.radio.computer is None:
        bench.turns(100)
    assert round(bench.now_s - gone_s) == 1, "a core that lasted begins with the shortest wait again"


def _next_block() -> tuple[ValuedLayer, ...]:
    return _next_block_of(19)


def _next_block_of(size_bytes: int) -> tuple[ValuedLayer, ...]:
    layer = Layer(
        address=LayerAddress(scene=4, product=1, step=0),
        rung=Rung.PREVIEW,
        size_bytes=size_bytes,
        value=1.0,
        half_life_s=60.0,
        captured_ms=AOS_MS,
    )
    return (ValuedLayer(layer=layer, payload=b"x" * (size_bytes - 18)),)


def test_layers_leave_room_for_marks_and_the_core_lives_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = MARKS_ROOM_BYTES + 3 * 1018 - 1

    monkeypatch.setattr("mission.live.onboard_radio.shutil.disk_usage", lambda path: Usage)
    assert not bench.radio.keep(BLOCK)
    assert "are needed for the next layers" in bench.radio.no_room
    assert bench.radio.computer is not None and bench.radio.problem == ""
    Usage.free += 1
    assert bench.radio.keep(BLOCK) and bench.radio.no_room == ""


def test_on_a_small_disk_what_was_delivered_makes_room(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is far shorter than what has it rewritten otherwise, and the disk has room for one block and the marks."""

    class Usage:
        total = 1 << 30

        @property
        def free(self) -> int:
            return MARKS_ROOM_BYTES + 5000 - (bench.state / LAYERS_FILE).stat().st_size

    monkeypatch.setattr("mission.live.onboard_radio.shutil.disk_usage", lambda path: Usage())
    assert bench.radio.keep(BLOCK)
    assert not bench.radio.keep(_next_block_of(3018)) and bench.radio.no_room
    assert (bench.state / LAYERS_FILE).stat().st_size > 3000  # what waits is not touched
    assert bench.radio.computer is not None
    bench.radio.computer.store.mark_delivered([valued.layer.address for valued in BLOCK])
    assert bench.radio.make_room(MARKS_ROOM_BYTES + 5000) is not None, "more than there can be"
    assert (bench.state / LAYERS_FILE).stat().st_size > 3000
    free_bytes = bench.radio.make_room(MARKS_ROOM_BYTES + 3500)  # for raw tiles
    assert free_bytes is not None and free_bytes >= MARKS_ROOM_BYTES + 3500
    assert bench.radio.keep(_next_block_of(3018)) and bench.radio.no_room == ""
    bench.start()
    assert bench.radio.computer is not None
    assert {layer.address.scene for layer in bench.radio.computer.store.backlog()} == {4}
    assert bench.radio.computer.store.delivered == {valued.layer.address for valued in BLOCK}


def test_what_was_kept_is_there_after_a_crash_at_any_instant(bench: Bench) -> None:
    assert bench.radio.keep(BLOCK)
    bench.turns(3000)
    sent_before = len(bench.port.sent)
    bench.start()  # nothing was closed
    bench.turns(3000)
    computer = bench.radio.computer
    assert computer is not None and len(computer.store.backlog()) == 3
    assert len(bench.port.sent) > sent_before, "in contact from its first moment"


def test_the_digest_follows_what_is_delivered_also_over_a_restart(bench: Bench) -> None:
    addresses = tuple(one.layer.address for one in BLOCK)
    assert bench.radio.keep(BLOCK)
    computer = bench.radio.computer
    assert computer is not None
    for address in addresses[:2]:
        computer.store.mark_delivered([address])
        bench.radio._take_action(LayersDelivered(addresses=(address,)), AOS_MS)
    assert bench.radio.delivered_digest == layer_digest(addresses[:2])
    bench.start()
    assert bench.radio.delivered_digest == layer_digest(addresses[:2])


def test_a_clock_that_went_back_builds_the_core_again(bench: Bench) -> None:
    assert bench.radio.keep(BLOCK)
    bench.turns(2000)
    computer = bench.radio.computer
    bench.clock.step_ms = -3_600_000
    bench.radio.check_clock()
    assert bench.radio.computer is not computer and bench.radio.computer is not None
    assert (bench.radio.clock_steps, bench.radio.clock_restarts) == (1, 1)
    assert '"clock stepped"' in bench.log.getvalue() and "-3600000" in bench.log.getvalue()
    sent_before = len(bench.port.sent)
    bench.turns(3000)
    assert len(bench.port.sent) > sent_before, "the contact of an hour ago is used"
    bench.clock.step_ms = 50_000
    before = bench.radio.computer
    bench.radio.check_clock()
    assert bench.radio.computer is before and bench.radio.clock_steps == 2


def test_a_journal_that_cannot_be_opened_at_the_start_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / LAYERS_FILE).mkdir()
    bench = Bench(tmp_path)
    assert bench.radio.driver is None and LAYERS_FILE in bench.radio.problem
    assert not bench.radio.keep(BLOCK)
    (tmp_path / LAYERS_FILE).rmdir()
    bench.turns(2500)
    assert bench.radio.keep(BLOCK) and bench.radio.problem == ""


def test_terms_are_asked_for_after_events_and_now_and_then(bench: Bench) -> None:
    terms = bench.radio.new_coding_terms()
    assert terms is not None and (terms.price, terms.requests, terms.at_ms) == (0.0, (), bench.clock.time_ms)
    assert terms.room_bytes > 2 * MARKS_ROOM_BYTES
    assert bench.radio.new_coding_terms() is None
    assert bench.radio.keep(BLOCK)
    assert bench.radio.new_coding_terms() is None, "not so soon"
    bench.now_s += 1.0
    more = bench.radio.new_coding_terms()
    assert more is not None and more.room_bytes > terms.room_bytes + sum(one.layer.size_bytes for one in BLOCK)
    bench.now_s += LONGEST_S - 0.1
    assert bench.radio.new_coding_terms() is None
    bench.now_s += 0.2
    assert bench.radio.new_coding_terms() is not None
    bench.turns(2000)
    assert bench.radio.contact is not None and bench.radio.new_coding_terms() is not None, "a contact has begun"


def test_a_backlog_that_fills_the_contacts_has_a_price(bench: Bench) -> None:
    large = [
        replace(
            one, layer=replace(one.layer, size_bytes=2_000_000, address=replace(one.layer.address, product=product))
        )
        for product in (1, 2, 3, 4)
        for one in BLOCK[:1]
    ]
    computer = bench.radio.computer
    assert computer is not None
    computer._order.add([one.layer for one in large])  # as if they had been captured: 8 MB for two contacts of 1.7 MB
    terms = bench.radio.new_coding_terms()
    assert terms is not None and terms.price == pytest.approx(5.0 / 2_000_000, rel=0.01)


def test_what_the_ground_acknowledges_is_kept_as_a_reference(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.radio.keep(BLOCK)
    computer = bench.radio.computer
    assert computer is not None
    deliver = [one.layer.address for one in BLOCK]
    computer.store.mark_delivered(deliver[:1])
    assert (bench.references.scenes, bench.references.problem) == (1, "") and bench.references.used_bytes > 1000

    class Usage:
        total, free = 1 << 30, LEFT_FREE_BYTES + 999

    with monkeypatch.context() as patch:
        patch.setattr("mission.live.reference_keeper.shutil.disk_usage", lambda path: Usage)
        computer.store.mark_delivered(deliver[1:2])
    assert (bench.references.passed_over, bench.references.problem, computer.store.delivery_problem) == (1, "", "")
    (bench.state / "references" / "00000003" / "0001.layers.unfinished").mkdir()
    computer.store.mark_delivered(deliver[2:])
    assert "reference" in bench.references.problem and computer.store.delivered == set(deliver), "no mark is lost"
    bench.start()
    assert bench.references.scenes == 1 and bench.radio.computer is not None
    assert bench.radio.computer.store.delivered == set(deliver)


def test_references_that_the_disk_refuses_cost_no_delivery_and_close_no_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "references").write_text("a file where the folder should be")
    bench = Bench(tmp_path)
    assert bench.radio.keep(BLOCK) and bench.radio.computer is not None
    bench.radio.computer.store.mark_delivered([BLOCK[0].layer.address])
    assert bench.radio.computer.store.delivered == {BLOCK[0].layer.address}
    assert "reference" in bench.references.problem
    (tmp_path / "references").unlink()
    bench.radio.computer.store.mark_delivered([BLOCK[1].layer.address])
    assert bench.references.problem == "" and bench.references.scenes == 1

    def refuse(files: Any, scene: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("onboard.reference_files.ReferenceFiles.remove", refuse)
        with pytest.raises(StoreError, match="Input/output error"):
            bench.references.forget(3)
        assert "Input/output error" in bench.references.problem
    bench.references.forget(3)
    assert (bench.references.problem, bench.references.scenes) == ("", 0)


def test_a_recorded_core_that_keeps_references_replays(bench: Bench) -> None:
    bench.recorder = EventRecorder(bench.state / "onboard.log")
    bench.start()
    assert bench.radio.keep(BLOCK)
    for _ in range(20):
        bench.turns(250)
        bench.now_s += LONGEST_S
        assert bench.radio.new_coding_terms() is not None
    bench.recorder.close()
    outcome = replay(bench.state / "onboard.log")
    assert outcome.agrees and outcome.events > 10, outcome
