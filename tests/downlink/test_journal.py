"""Journals: one contract for all, then what only a file can suffer: torn tails, damage, a full disk."""

import errno
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.errors import JournalError, RecordError
from downlink.journal import FileJournal, MemoryJournal
from downlink.products import LayerAddress
from downlink.record import MARKER, Record, RecordKind, encode_record, scan_records
from mission.dice import Dice
from mission.simulated_disk import SimulatedDisk
from mission.streams import Streams


def record(number, payload=b"\x12\x34\x56\x78", kind=RecordKind.LAYER):
    return Record(kind=kind, address=LayerAddress(scene=0x01020304, product=number, step=7), payload=payload)


@pytest.fixture(params=["memory", "file", "simulated disk"])
def journal(request, tmp_path):
    if request.param != "file":
        yield (
            MemoryJournal()
            if request.param == "memory"
            else FileJournal(SimulatedDisk("pretend", Dice(Streams(1).generator("disk"))))
        )
        return
    with FileJournal(tmp_path / "deep" / "folder" / "a.journal") as opened:
        yield opened


def test_records_come_back_in_order(journal):
    journal.append([record(1), record(2, b"")])
    journal.append(iter([record(3, MARKER * 40)]))
    assert list(journal.records()) == [record(1), record(2, b""), record(3, MARKER * 40)]
    assert journal.size_bytes == sum(each.size_bytes for each in journal.records())


def test_replacing_puts_the_new_records_in_place_of_all_and_appends_go_on(journal):
    journal.append([record(1), record(2)])
    journal.replace(each for each in (record(2), record(9)))
    journal.append([record(5)])
    assert list(journal.records()) == [record(2), record(9), record(5)]
    assert journal.size_bytes == sum(each.size_bytes for each in journal.records())


def test_appending_nothing_changes_nothing(journal):
    journal.append([record(1)])
    journal.append([])
    assert list(journal.records()) == [record(1)]


def test_of_records_of_which_one_cannot_be_made_none_is_kept(journal):
    def failing():
        yield record(2)
        raise RecordError("no such layer")

    journal.append([record(1)])
    with pytest.raises(RecordError):
        journal.append(failing())
    assert list(journal.records()) == [record(1)]
    assert journal.size_bytes == record(1).size_bytes


def test_a_reader_is_not_disturbed_by_what_is_written_meanwhile(journal):
    journal.append([record(1), record(2)])
    reading = journal.records()
    assert next(reading) == record(1)
    journal.append([record(3)])
    assert list(reading) == [record(2)]


def test_each_record_is_read_again_at_its_position(journal):
    some, more = [record(1), record(2, b""), record(3, MARKER * 9)], [record(4, b"\x9a" * 300)]
    positions = journal.append(some) + journal.append(iter(more))
    assert [journal.read(position) for position in positions] == some + more
    assert list(journal.entries()) == list(zip(positions, some + more, strict=True))
    moved = journal.replace(more + some[:1])
    assert [journal.read(position) for position in moved] == more + some[:1]
    assert journal.append([]) == ()
    with pytest.raises(JournalError, match=r"no .*record at"):
        journal.read(10_000)


# ---- files


def opened(path):
    with FileJournal(path) as journal:
        return list(journal.records()), journal.damaged_bytes


def test_a_file_is_its_records_one_after_the_other(tmp_path):
    path = tmp_path / "a.journal"
    with FileJournal(path) as journal:
        journal.append([record(0x0506, b"\xfe\xdc")])
    assert path.read_bytes().hex(" ", 2) == "eb71 0101 0203 0405 0607 0000 0002 fedc " + (
        encode_record(record(0x0506, b"\xfe\xdc"))[-4:].hex(" ", 2)
    )


@settings(max_examples=40)
@given(
    st.lists(st.binary(max_size=40), min_size=1, max_size=4),
    st.integers(0, 400),
)
def test_a_torn_tail_costs_only_the_torn_record_and_appends_go_on(tmp_path_factory, payloads, cut):
    path = tmp_path_factory.mktemp("torn") / "a.journal"
    records = [record(number, payload) for number, payload in enumerate(payloads)]
    whole = b"".join(encode_record(each) for each in records)
    path.write_bytes(whole[: min(cut, len(whole))])
    kept, size = [], 0
    for each in records:
        size += each.size_bytes
        if size <= cut:
            kept.append(each)
    with FileJournal(path) as journal:
        assert list(journal.records()) == kept
        assert journal.size_bytes == sum(each.size_bytes for each in kept)
        assert journal.damaged_bytes == 0
        journal.append([record(99)])
    assert opened(path) == ([*kept, record(99)], 0)


@given(st.integers(0, 20), st.integers(1, 255))
def test_damage_hides_nothing_that_lies_behind_it(tmp_path_factory, position, flip):
    # The first 21 bytes are header and payload of the first record: its length, too, which then may reach past the end.
    path = tmp_path_factory.mktemp("damage") / "a.journal"
    data = bytearray(b"".join(encode_record(record(number, b"\x12\x34\x56\x78\x9a\xbc\xde")) for number in range(3)))
    data[position] ^= flip
    path.write_bytes(data)
    kept, damaged_bytes = opened(path)
    assert [each.address.product for each in kept] == [1, 2]
    assert damaged_bytes == record(0, bytes(7)).size_bytes
    assert path.read_bytes() == data


def test_damage_and_a_torn_tail_together(tmp_path):
    path = tmp_path / "a.journal"
    data = bytearray(b"".join(encode_record(record(number)) for number in range(3)))
    data[10] = 0x03  # a length of 48 MB
    path.write_bytes(data[:-2])
    with FileJournal(path) as journal:
        assert [each.address.product for each in journal.records()] == [1]
        journal.append([record(8)])
    kept, _ = opened(path)
    assert [each.address.product for each in kept] == [1, 8]


def test_a_file_that_is_no_journal_is_not_eaten(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes(b"shopping: bread, milk" + MARKER[:1])
    with FileJournal(path) as journal:
        assert list(journal.records()) == []
        journal.append([record(1)])
    assert path.read_bytes().startswith(b"shopping: bread, milk")
    assert opened(path)[0] == [record(1)]


def test_a_disk_full_in_the_middle_of_a_write_keeps_what_was_there(tmp_path, monkeypatch):
    journal = FileJournal(path := tmp_path / "a.journal")
    journal.append([record(1)])
    before = path.read_bytes()
    limited = journal._file._file = _LimitedFile(journal._file._file, room_bytes=5)
    with pytest.raises(JournalError, match=r"cannot append .*No space left.*22 bytes are safe"):
        journal.append([record(2, bytes(range(100)))])
    assert path.read_bytes() == before
    limited.room_bytes = 1000
    journal.append([record(3)])
    journal.close()
    assert opened(path) == ([record(1), record(3)], 0)


def test_a_disk_full_that_cannot_even_be_cut_leaves_a_tail_for_the_next_start(tmp_path):
    journal = FileJournal(path := tmp_path / "a.journal")
    journal.append([record(1)])
    journal._file._file = _LimitedFile(journal._file._file, room_bytes=20, can_truncate=False)
    with pytest.raises(JournalError, match="cannot append"):
        journal.append([record(2)])
    assert path.stat().st_size == record(1).size_bytes + 20
    assert list(journal.records()) == [record(1)]
    journal.close()
    assert opened(path) == ([record(1)], 0)


def test_bytes_that_cannot_be_synchronised_are_not_promised(tmp_path, monkeypatch):
    journal = FileJournal(path := tmp_path / "a.journal")
    journal.append([record(1)])
    monkeypatch.setattr(os, "fsync", _no_space)
    with pytest.raises(JournalError, match="No space left"):
        journal.append([record(2)])
    with pytest.raises(JournalError, match="old one is unchanged"):
        journal.replace([record(3)])
    monkeypatch.undo()
    assert list(journal.records()) == [record(1)]
    journal.append([record(4)])
    journal.close()
    assert opened(path)[0] == [record(1), record(4)]
    assert [path.name for path in tmp_path.iterdir()] == ["a.journal"]


def test_a_journal_rewritten_in_a_folder_that_cannot_be_synchronised_is_read_and_not_added_to_until_it_can(
    tmp_path, monkeypatch
):
    """A crash may bring the old file back: what was appended to the new one would be gone."""
    journal = FileJournal(path := tmp_path / "a.journal")
    journal.append([record(1, bytes(range(50))), record(2)])
    monkeypatch.setattr("downlink.journal_file._sync_directory", _no_space)
    kept = [record(2), record(9, b"\xfe"), record(5, bytes(range(30)))]
    positions = journal.replace(kept)
    assert [journal.read(position) for position in positions] == kept
    for _ in range(2):
        with pytest.raises(JournalError, match="was rewritten, and its folder is not on the disk yet: No space"):
            journal.append([record(3)])
    kept = kept[1:]
    assert [journal.read(position) for position in journal.replace(kept)] == kept
    monkeypatch.undo()
    assert journal.read(*journal.append([record(4)])) == record(4)
    journal.close()
    assert opened_without_folder(path) == [*kept, record(4)]


def opened_without_folder(path):
    return list(scan_records(path.read_bytes()).records)


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "a.journal").mkdir()
    with pytest.raises(JournalError, match=r"cannot open journal .*a\.journal: Is a directory"):
        FileJournal(tmp_path / "a.journal")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalError, match="cannot open journal"):
        FileJournal(tmp_path / "file" / "a.journal")


# ---- the scan that journals rest on


@given(st.lists(st.binary(max_size=30), max_size=4))
def test_a_final_scan_consumes_everything_and_finds_every_record_between_noise(noises):
    data, records = b"", []
    for number, noise in enumerate(noises):
        data += MARKER + noise + encode_record(record(number, noise))
        records.append(record(number, noise))
    scan = scan_records(data + MARKER, final=True)
    assert list(scan.records) == records
    assert scan.consumed == len(data) + 2
    assert scan.skipped_bytes == scan.consumed - sum(each.size_bytes for each in records)


def _no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _LimitedFile:
    """A file on a disk with little room: what fits is written before it fails."""

    def __init__(self, file, *, room_bytes, can_truncate=True):
        self._file, self.room_bytes, self._can_truncate = file, room_bytes, can_truncate

    def write(self, data):
        if not self.room_bytes:
            _no_space()
        written = self._file.write(bytes(data[: self.room_bytes]))
        self.room_bytes -= written
        return written

    def truncate(self, size):
        if not self._can_truncate:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self._file.truncate(size)

    def __getattr__(self, name):
        return getattr(self._file, name)
