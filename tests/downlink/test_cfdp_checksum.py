"""File checksums against independent implementations."""

import fastcrc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.cfdp_checksum import ChecksumType, RunningChecksum, file_checksum, stored_checksum
from downlink.errors import CfdpTransactionError
from downlink.file_ports import FileInMemory

CHECK_INPUT = b"123456789"


def test_published_check_values():
    assert file_checksum(ChecksumType.CRC_32, CHECK_INPUT) == 0xCBF43926
    assert file_checksum(ChecksumType.CRC_32C, CHECK_INPUT) == 0xE3069283
    # 31323334 + 35363738 + 39000000 (727.0-B-5, 4.2.2)
    assert file_checksum(ChecksumType.MODULAR, CHECK_INPUT) == 0x9F686A6C
    assert file_checksum(ChecksumType.NULL, CHECK_INPUT) == 0


@given(st.binary(max_size=2000))
def test_agree_with_other_implementations(data):
    words = [int.from_bytes(data[start : start + 4].ljust(4, b"\0")) for start in range(0, len(data), 4)]
    assert file_checksum(ChecksumType.MODULAR, data) == sum(words) % 2**32
    assert file_checksum(ChecksumType.CRC_32, data) == fastcrc.crc32.iso_hdlc(data)
    assert file_checksum(ChecksumType.CRC_32C, data) == fastcrc.crc32.iscsi(data)


@given(st.sampled_from(ChecksumType), st.lists(st.binary(max_size=40), max_size=12))
def test_a_file_in_pieces_has_the_checksum_of_the_whole(kind, pieces):
    running = RunningChecksum(kind)
    for piece in pieces:
        running.update(piece)
    assert running.value == file_checksum(kind, b"".join(pieces))


@pytest.mark.parametrize("kind", ChecksumType)
def test_a_stored_file_is_read_in_pieces(kind):
    content = bytes(range(1, 252)) * 9000  # Longer than two reads.
    assert stored_checksum(kind, FileInMemory(content), len(content)) == file_checksum(kind, content)
    assert stored_checksum(kind, FileInMemory(content), 70_001) == file_checksum(kind, content[:70_001])
    assert stored_checksum(kind, FileInMemory(content), len(content) + 1) is None


def test_modular_sum_does_not_overflow():
    assert file_checksum(ChecksumType.MODULAR, b"\xff" * (4 << 20)) == (0xFFFFFFFF << 20) % 2**32


@pytest.mark.parametrize("checksum_type", [1, 4, 14])
def test_unsupported_types_are_refused(checksum_type):
    with pytest.raises(CfdpTransactionError, match=rf"checksum type {checksum_type} is not supported"):
        file_checksum(checksum_type, b"data")
