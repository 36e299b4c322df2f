"""Scene numbers are given once, and what is said of a capture is still known after a restart at any instant."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.errors import JournalError
from downlink.journal import FileJournal, MemoryJournal
from downlink.products import LayerAddress
from downlink.record import Record, RecordKind
from mission.errors import ServiceError
from mission.live.capture_journal import COMPACT_ABOVE_BYTES, CaptureJournal
from mission.live.spool import SpoolFile

FILE = SpoolFile(name="pass_000123.tif", mtime_ns=1_770_000_000_123_456_789, size_bytes=2_109_876)


def state_of(captures: CaptureJournal) -> tuple[Any, ...]:
    return captures.current, captures.last_scene, captures.done, captures.rejected


def test_a_capture_from_its_number_to_its_end() -> None:
    journal = MemoryJournal()
    captures = CaptureJournal(journal)
    capture = captures.begin(FILE)
    assert (capture.scene, capture.captured_ms) == (1, 1_770_000_000_123)
    captures.note_death("killed by SIGKILL")
    captures.note_efforts("2212")
    again = CaptureJournal(journal)
    assert again.current is not None and again.current.file == FILE
    assert (again.current.deaths, again.current.efforts, again.current.outcome) == (("killed by SIGKILL",), "2212", "")
    again.end("done")
    again.leave()
    assert state_of(CaptureJournal(journal)) == (None, 1, 1, 0)


def test_numbers_stay_above_those_of_the_layers_that_are_stored() -> None:
    captures = CaptureJournal(MemoryJournal())
    assert captures.begin(FILE, above=41).scene == 42
    captures.end("rejected", "no raster")
    captures.leave()
    assert captures.begin(FILE, above=7).scene == 43


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.sampled_from(["death", "efforts", "done", "rejected", "leave"]), max_size=40),
    compact_at=st.integers(0, 300),
)
def test_a_restart_after_any_step_finds_the_same(steps: list[str], compact_at: int) -> None:
    journal = MemoryJournal()
    captures = CaptureJournal(journal)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mission.live.capture_journal.COMPACT_ABOVE_BYTES", compact_at)
        for step in steps:
            if captures.current is None:
                captures.begin(FILE)
            now = captures.current
            assert now is not None
            match step:
                case "death":
                    captures.note_death("exit code 70")
                case "efforts":
                    captures.note_efforts("21")
                case "done" | "rejected" if not now.outcome:
                    captures.end("done" if step == "done" else "rejected", "why")
                case "leave":
                    captures.leave()
            assert state_of(CaptureJournal(journal)) == state_of(captures)


def test_the_journal_stays_short(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "captures") as journal:
        captures = CaptureJournal(journal)
        for _ in range(12):
            captures.begin(FILE)
            captures.note_efforts("2" * 16_000)
            captures.end("done")
            captures.leave()
        assert journal.size_bytes < COMPACT_ABOVE_BYTES + 20_000
        assert state_of(CaptureJournal(journal)) == (None, 12, 12, 0)


def test_what_the_disk_refuses_has_not_happened() -> None:
    class FullDisk(MemoryJournal):
        full = False

        def append(self, records: Any) -> tuple[int, ...]:
            if self.full:
                raise JournalError("no space left on device")
            return super().append(records)

    journal = FullDisk()
    captures = CaptureJournal(journal)
    captures.begin(FILE)
    journal.full = True
    before = state_of(captures)
    for step in (lambda: captures.note_death("x"), lambda: captures.end("done"), captures.leave):
        with pytest.raises(JournalError):
            step()
        assert state_of(captures) == before
    journal.full = False
    captures.end("done")
    assert captures.done == 1


@pytest.mark.parametrize("payload", [b"\xff{", b'{"scene": "one"}', b"[]", b'{"scene": 1, "name": "a.tif"}'])
def test_notes_that_nobody_wrote_are_refused(payload: bytes) -> None:
    journal = MemoryJournal()
    captures = CaptureJournal(journal)
    captures.begin(FILE)
    journal.append([Record(kind=RecordKind.NOTE, address=LayerAddress(scene=0, product=0, step=0), payload=payload)])
    with pytest.raises(ServiceError, match="capture journal"):
        CaptureJournal(journal)


def test_a_name_that_is_no_text_comes_back() -> None:
    journal = MemoryJournal()
    odd = SpoolFile(name="caf\udce9 \n.tif", mtime_ns=-5, size_bytes=0)
    assert CaptureJournal(journal).begin(odd).captured_ms == 0
    current = CaptureJournal(journal).current
    assert current is not None and current.file == odd
