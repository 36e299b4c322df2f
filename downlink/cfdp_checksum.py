"""File checksums of CFDP, by their number in the SANA registry of checksum identifiers."""

import binascii
from enum import IntEnum
from functools import lru_cache

import numpy as np

from downlink.errors import CfdpTransactionError
from downlink.file_ports import FileSink, ReadableFile

_CRC32C_REVERSED_POLYNOMIAL = 0x82F63B78
_READ_BYTES = 1 << 20


class ChecksumType(IntEnum):
    """The checksums that both ends can compute. Type 1 (CRC-32 of Proximity-1) is not among them."""

    MODULAR = 0
    CRC_32C = 2
    CRC_32 = 3
    NULL = 15


def file_checksum(checksum_type: int, data: bytes | bytearray) -> int:
    """The 32-bit checksum of a whole file. Raises CfdpTransactionError for a type that is not a ChecksumType."""
    running = RunningChecksum(checksum_type)
    running.update(data)
    return running.value


def stored_checksum(checksum_type: int, file: ReadableFile | FileSink, size_bytes: int) -> int | None:
    """The checksum of the first `size_bytes` of a file, read piece by piece; None when it turns out to be shorter."""
    running = RunningChecksum(checksum_type)
    for start in range(0, size_bytes, _READ_BYTES):
        end = min(start + _READ_BYTES, size_bytes)
        piece = file.read(start, end)
        if len(piece) != end - start:
            return None
        running.update(piece)
    return running.value


class RunningChecksum:
    """The checksum of a file that is given piece by piece, from its beginning.

    Raises CfdpTransactionError for a type that is not a ChecksumType.
    """

    def __init__(self, checksum_type: int) -> None:
        if checksum_type not in _KNOWN_TYPES:
            known = ", ".join(f"{kind.value} ({kind.name})" for kind in ChecksumType)
            raise CfdpTransactionError(f"checksum type {checksum_type} is not supported; use one of {known}")
        self.value = 0
        self._type = checksum_type
        self._taken_bytes = 0

    def update(self, data: bytes | bytearray) -> None:
        """Takes the bytes that follow those taken before."""
        if self._type == ChecksumType.MODULAR:
            self.value = (self.value + _sum_of_words(data, self._taken_bytes % 4)) & 0xFFFFFFFF
        elif self._type == ChecksumType.CRC_32:
            self.value = binascii.crc32(data, self.value)
        elif self._type == ChecksumType.CRC_32C:
            self.value = _crc32c(data, self.value)
        self._taken_bytes += len(data)


_KNOWN_TYPES = frozenset(ChecksumType)


def _sum_of_words(data: bytes | bytearray, bytes_before: int) -> int:
    """Sum of the 4-byte words of a file, of which `bytes_before` bytes of the first word came before (727.0-B-5, 4.2.2).

    The last word is padded with zeros.
    """
    head_bytes = min(-bytes_before % 4, len(data))
    head = int.from_bytes(data[:head_bytes]) << 8 * (4 - bytes_before - head_bytes) if head_bytes else 0
    words, tail_bytes = divmod(len(data) - head_bytes, 4)
    body = int(np.frombuffer(data, dtype=">u4", count=words, offset=head_bytes).sum(dtype=np.uint64)) if words else 0
    tail = int.from_bytes(data[len(data) - tail_bytes :]) << 8 * (4 - tail_bytes) if tail_bytes else 0
    return head + body + tail


def _crc32c(data: bytes | bytearray, value: int) -> int:
    """CRC-32C (Castagnoli) of data that follow bytes with the CRC `value`.

    The data are cut into equal lanes whose CRCs advance together, and are then joined. A CRC is linear: the CRC of A followed by B
    is that of A, moved on by as many zero bytes as B has, plus that of B.
    """
    pairs = _crc32c_tables()[1]
    lane_bytes = max(2, int(len(data) ** 0.5) & ~1)
    lanes = len(data) // lane_bytes
    columns = np.frombuffer(data, dtype="<u2", count=lanes * lane_bytes // 2).reshape(lanes, lane_bytes // 2)
    registers = np.zeros(lanes, dtype=np.uint32)
    for column in np.ascontiguousarray(columns.T):
        registers = pairs.take((registers ^ column) & 0xFFFF) ^ (registers >> 16)
    move_on = _zero_bytes_operator(lane_bytes)
    crc = value ^ 0xFFFFFFFF
    for lane in registers.tolist():
        moved = 0
        for byte in range(4):
            moved ^= move_on[byte][crc >> 8 * byte & 0xFF]
        crc = moved ^ lane
    table = _crc32c_tables()[0]
    for byte_value in data[lanes * lane_bytes :]:
        crc = int(table[(crc ^ byte_value) & 0xFF]) ^ crc >> 8
    return crc ^ 0xFFFFFFFF


@lru_cache(maxsize=1)
def _crc32c_tables() -> tuple[np.ndarray, np.ndarray]:
    """What each value of the lowest byte, and of the lowest two, does to the register; shapes (256,) and (65536,), uint32."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(_CRC32C_REVERSED_POLYNOMIAL), table >> 1)
    pairs = np.arange(65536, dtype=np.uint32)
    for _ in range(2):
        pairs = table[pairs & 0xFF] ^ (pairs >> 8)
    return table, pairs


@lru_cache(maxsize=16)
def _zero_bytes_operator(zero_bytes: int) -> list[list[int]]:
    """What `zero_bytes` zero bytes do to a register: for each of its 4 bytes, the outcome of each of the 256 values."""
    table = _crc32c_tables()[0]
    values = np.arange(256, dtype=np.uint32)
    registers = np.stack([values << np.uint32(8 * byte) for byte in range(4)])
    for _ in range(zero_bytes):
        registers = table[registers & 0xFF] ^ (registers >> 8)
    outcome: list[list[int]] = registers.tolist()
    return outcome
