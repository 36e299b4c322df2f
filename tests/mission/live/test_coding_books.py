"""The books of coding: images over which the worker died, and raw tiles that went uncoded; over restarts, rewriting and full disks."""

import pytest

from downlink.errors import JournalError
from downlink.journal import MemoryJournal
from downlink.products import LayerAddress
from downlink.record import Record, RecordKind
from mission.errors import ServiceError
from mission.live import coding_journal, tile_losses
from mission.live.coding_journal import CodingJournal
from mission.live.tile_losses import Loss, LossCount, TileLosses


def note(text: bytes) -> Record:
    return Record(kind=RecordKind.NOTE, address=LayerAddress(scene=0, product=0, step=0), payload=text)


def test_deaths_and_what_is_given_up_outlive_restarts_and_rewriting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding_journal, "COMPACT_ABOVE_BYTES", 600)
    journal = MemoryJournal()
    books = CodingJournal(journal)
    for turn in range(40):
        books.note_death(7, turn, f"killed by signal {turn}")
        books.note_death(9, 1, "x" * 600)
        books.note_coded(7, turn)
        books.note_coded(9, 1)
        books.note_coded(9, 2)  # nothing was said of it
    books.note_death(7, 3, "killed by SIGSEGV")
    books.note_death(7, 3, "killed by SIGKILL")
    books.give_up(8, None, "the ground does not want the scene")
    books.give_up(8, 5, "died 3 times")
    books.note_given_up(8, 5)
    again = CodingJournal(journal)
    for one in (books, again):
        assert one.deaths(7, 3) == ("killed by SIGSEGV", "killed by SIGKILL") and one.dangerous == ((7, 3),)
        assert one.giving_up == ((8, None),)
    assert journal.size_bytes < 3000


@pytest.mark.parametrize("text", [b"no JSON", b"[1]", b'{"scene": 1, "product": 2, "what": 3}', b'{"scene": "1"}'])
def test_a_note_that_nobody_can_read_is_refused(text: bytes) -> None:
    journal = MemoryJournal()
    journal.append([note(text)])
    with pytest.raises(ServiceError, match="coding journal"):
        CodingJournal(journal)


def test_losses_are_counted_once_over_restarts_and_rewriting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_losses, "COMPACT_ABOVE_BYTES", 600)
    journal = MemoryJournal()
    losses = TileLosses(journal)
    for scene in range(1, 31):
        losses.note(Loss.DISCARDED, scene, [(2, 100), (3, 10)])
        losses.note(Loss.DISCARDED, scene, [(3, 10), (4, 1)])  # the survey of a scene may be repeated
    losses.note(Loss.DAMAGED, 30, [(5, 7)])
    again = TileLosses(journal)
    again.note(Loss.GIVEN_UP, 30, [(5, 7), (6, 70)])
    again = TileLosses(journal)
    assert again.count(Loss.DISCARDED) == LossCount(tiles=90, size_bytes=3330)
    assert again.count(Loss.DAMAGED) == LossCount(tiles=1, size_bytes=7)
    assert again.count(Loss.GIVEN_UP) == LossCount(tiles=1, size_bytes=70)
    assert {(30, tile) for tile in (2, 3, 4, 5, 6)} <= again.tiles and (1, 2) not in again.tiles


def test_a_loss_that_the_disk_refuses_to_note_is_noted_with_the_next() -> None:
    class FullDisk(MemoryJournal):
        full = True

        def append(self, records):  # type: ignore[no-untyped-def]
            if self.full:
                raise JournalError("No space left on device")
            return super().append(records)

    journal = FullDisk()
    losses = TileLosses(journal)
    losses.note(Loss.DISCARDED, 1, [(2, 100)])
    assert losses.count(Loss.DISCARDED).tiles == 1 and not list(journal.records())
    journal.full = False
    losses.note(Loss.DISCARDED, 1, [(3, 10)])
    assert TileLosses(journal).count(Loss.DISCARDED) == LossCount(tiles=2, size_bytes=110)
