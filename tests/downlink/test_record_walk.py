"""A walk through a file finds what a scan of all its bytes finds, in pieces of any length, damage included."""

import resource
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.journal import FileJournal
from downlink.products import LayerAddress
from downlink.record import Record, RecordKind, encode_record, scan_records
from downlink.record_walk import RecordWalk


def record(number: int, payload: bytes) -> Record:
    return Record(kind=RecordKind.LAYER, address=LayerAddress(scene=number, product=2, step=1), payload=payload)


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    payloads = draw(st.lists(st.binary(max_size=60) | st.just(b"\xeb\x71" * 9), max_size=8))
    data = bytearray(b"".join(encode_record(record(n, payload)) for n, payload in enumerate(payloads)))
    for _ in range(draw(st.integers(0, 3))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] ^= draw(st.integers(1, 255))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data[at:at] = draw(
            st.sampled_from([b"\xeb", b"\xeb\x71", b"noise", b"\xeb\x71\x01" + bytes(7) + b"\x00\x00\x01\x00"])
        )
    return bytes(data[: draw(st.integers(0, len(data)))])


@settings(max_examples=300, deadline=None)
@given(data=damaged_files(), piece_bytes=st.integers(1, 300))
def test_the_same_as_a_scan_of_all_bytes(data: bytes, piece_bytes: int) -> None:
    walk = RecordWalk(lambda start, size: data[start : start + size], len(data), piece_bytes=piece_bytes)
    found = list(walk)
    scan = scan_records(data, final=True)
    assert found == list(zip(scan.offsets, scan.records, strict=True))
    tail_bytes = 0 if walk.tail_start is None else len(data) - walk.tail_start
    assert walk.skipped_bytes + tail_bytes == scan.skipped_bytes
    cut = scan_records(data)
    has_tail = cut.consumed < len(data) and not scan_records(data, cut.consumed + 1, final=True).records
    assert walk.tail_start == (cut.consumed if has_tail else None)


def test_a_long_journal_opens_and_is_read_with_memory_for_a_piece(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with path.open("wb") as file:
        for number in range(64):
            file.write(encode_record(record(number, bytes([number]) * 1_500_000)))
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with FileJournal(path) as journal:
        numbers = [(found.address.scene, found.payload[0]) for found in journal.records()]
    assert numbers == [(number, number) for number in range(64)]
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert grown_kib < 48 * 1024, "of 92 MiB"
