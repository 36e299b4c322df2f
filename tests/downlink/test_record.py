"""Records come back whole from any noise around them; a journal keeps what it promised."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.errors import JournalError, LayerError, RecordError
from downlink.journal import FileJournal, Journal, MemoryJournal
from downlink.products import LayerAddress
from downlink.record import OVERHEAD_BYTES, Record, RecordKind, encode_record, scan_records

ADDRESSES = st.builds(
    LayerAddress, scene=st.integers(0, 0xFFFF_FFFF), product=st.integers(0, 0xFFFF), step=st.integers(0, 255)
)
RECORDS = st.builds(Record, kind=st.sampled_from(RecordKind), address=ADDRESSES, payload=st.binary(max_size=80))


def record(step: int, payload: bytes = b"\x01\x02\x03") -> Record:
    return Record(
        kind=RecordKind.LAYER, address=LayerAddress(scene=0x12345678, product=0x9ABC, step=step), payload=payload
    )


def test_golden_bytes() -> None:
    assert encode_record(record(0xDE)).hex() == "eb7101123456789abcde0000000301020379440a65"
    assert len(encode_record(record(1))) == record(1).size_bytes == OVERHEAD_BYTES + 3


@given(st.lists(RECORDS, max_size=8))
def test_round_trip(records: list[Record]) -> None:
    scan = scan_records(b"".join(map(encode_record, records)))
    assert list(scan.records) == records
    assert scan.skipped_bytes == 0


@given(st.lists(RECORDS, min_size=1, max_size=4), st.binary(max_size=40), st.data())
def test_a_flipped_bit_costs_one_record_at_most(records: list[Record], noise: bytes, data: st.DataObject) -> None:
    encoded = bytearray(noise.replace(b"\xeb", b"") + b"".join(map(encode_record, records)) + encode_record(record(9)))
    bit = data.draw(st.integers(0, 8 * len(encoded) - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    found = scan_records(bytes(encoded)).records
    intact = [*records, record(9)]
    assert all(one in intact for one in found)
    if len(found) < len(intact) - 1:  # a damaged length may announce more bytes than there are: they are awaited
        longer = scan_records(bytes(encoded) + bytes(70_000_000)).records
        assert len(longer) >= len(intact) - 1


@given(st.binary(max_size=400))
def test_noise_never_raises_and_is_accounted(noise: bytes) -> None:
    scan = scan_records(noise)
    assert 0 <= scan.consumed <= len(noise)
    assert scan.skipped_bytes + sum(one.size_bytes for one in scan.records) == scan.consumed


@given(st.lists(RECORDS, max_size=5), st.data())
def test_a_stream_in_pieces_gives_the_same(records: list[Record], data: st.DataObject) -> None:
    stream = b"".join(map(encode_record, records))
    cut = data.draw(st.integers(0, len(stream)))
    first = scan_records(stream[:cut])
    rest = scan_records(stream[:cut][first.consumed :] + stream[cut:])
    assert list(first.records + rest.records) == records


@pytest.mark.parametrize("claimed_bytes", [4000, 300_000])
@pytest.mark.parametrize("final", [False, True])
def test_noise_full_of_headers_costs_little_and_hides_no_short_record(claimed_bytes: int, final: bool) -> None:
    header = encode_record(record(7))[:10] + claimed_bytes.to_bytes(4, "big")
    sound = encode_record(record(8, bytes(range(1, 200)) * 20))
    noise = header * 40_000
    start_s = time.process_time()
    scan = scan_records(noise + sound + bytes(claimed_bytes), final=final)
    assert time.process_time() - start_s < 3, "noise costs the square of its length"
    assert scan.offsets == (len(noise),)


def test_addresses_outside_their_bits_are_refused() -> None:
    with pytest.raises(LayerError, match="65536"):
        LayerAddress(scene=1, product=65536, step=0)


def test_a_payload_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downlink.record.PAYLOAD_LIMIT_BYTES", 2)
    with pytest.raises(RecordError, match="3 bytes, the limit is 2"):
        encode_record(record(0))


@pytest.fixture(params=["memory", "file"])
def make_journal(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Journal]:
    memory = MemoryJournal()
    return (lambda: memory) if request.param == "memory" else (lambda: FileJournal(tmp_path / "a" / "journal"))


class TestJournalContract:
    """Memory and file alike."""

    def test_what_was_appended_is_there_when_opened_again(self, make_journal: Callable[[], Journal]) -> None:
        make_journal().append([record(0), record(1)])
        again = make_journal()
        again.append([record(2)])
        assert list(make_journal().records()) == [record(0), record(1), record(2)]
        assert make_journal().size_bytes == 3 * record(0).size_bytes

    def test_replace_leaves_only_the_new(self, make_journal: Callable[[], Journal]) -> None:
        journal = make_journal()
        journal.append([record(0), record(1)])
        journal.replace([record(7, b"")])
        journal.append([record(8)])
        assert list(make_journal().records()) == [record(7, b""), record(8)]

    def test_an_empty_append_changes_nothing(self, make_journal: Callable[[], Journal]) -> None:
        journal = make_journal()
        journal.append([])
        assert list(journal.records()) == [] and journal.size_bytes == 0


def test_every_torn_tail_is_cut_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with FileJournal(path) as journal:
        journal.append([record(0), record(1)])
    whole = path.read_bytes()
    second = len(whole) // 2
    for cut in range(second, len(whole)):
        path.write_bytes(whole[:cut])
        with FileJournal(path) as journal:
            assert list(journal.records()) == [record(0)]
            journal.append([record(5)])
            assert list(journal.records()) == [record(0), record(5)]


def test_damage_in_the_middle_is_counted_and_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(encode_record(record(0)) + b"garbage" + encode_record(record(1)))
    with FileJournal(path) as journal:
        assert list(journal.records()) == [record(0), record(1)]
        assert journal.damaged_bytes == 7


def test_a_full_disk_is_a_clear_error_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FileJournal(tmp_path / "journal") as journal:
        journal.append([record(0)])

        def no_space(handle: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("downlink.journal_file.os.fsync", no_space)
        with pytest.raises(JournalError, match=r"No space left.*free some space"):
            journal.append([record(1)])
        monkeypatch.undo()
        journal.append([record(2)])
        assert list(journal.records()) == [record(0), record(2)]
    with FileJournal(tmp_path / "journal") as journal:
        assert list(journal.records()) == [record(0), record(2)]


def test_a_folder_that_cannot_be_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot open journal"):
        FileJournal(tmp_path / "file" / "journal")
