"""File checksums of CFDP, by their number in the SANA registry of checksum identifiers."""

import binascii
from enum import IntEnum

import numpy as np

from downlink.errors import CfdpTransactionError

_CRC32C_REVERSED_POLYNOMIAL = 0x82F63B78


class ChecksumType(IntEnum):
    """The checksums that both ends can compute. Type 1 (CRC-32 of Proximity-1) is not among them."""

    MODULAR = 0
    CRC_32C = 2
    CRC_32 = 3
    NULL = 15


def file_checksum(checksum_type: int, data: bytes) -> int:
    """The 32-bit checksum of a whole file. Raises CfdpTransactionError for a type that is not a ChecksumType."""
    if checksum_type == ChecksumType.MODULAR:
        return _modular(data)
    if checksum_type == ChecksumType.CRC_32:
        return binascii.crc32(data)
    if checksum_type == ChecksumType.CRC_32C:
        return _crc32c(data)
    if checksum_type == ChecksumType.NULL:
        return 0
    known = ", ".join(f"{kind.value} ({kind.name})" for kind in ChecksumType)
    raise CfdpTransactionError(f"checksum type {checksum_type} is not supported; use one of {known}")


def _modular(data: bytes) -> int:
    """Sum of the 4-byte words of the file, the last one padded with zeros, modulo 2**32 (727.0-B-5, 4.2.2)."""
    words = np.frombuffer(data + bytes(-len(data) % 4), dtype=">u4")
    return int(words.sum(dtype=np.uint64)) & 0xFFFFFFFF


def _crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli). The file is cut into equal lanes whose CRCs advance together, and are then joined.

    A CRC is linear: the CRC of A followed by B is that of A, moved on by as many zero bytes as B has, plus that of B.
    """
    table = _crc32c_table()
    lane_bytes = max(1, int(len(data) ** 0.5))
    lanes = len(data) // lane_bytes
    columns = np.frombuffer(data, dtype=np.uint8, count=lanes * lane_bytes).reshape(lanes, lane_bytes)
    registers = np.zeros(lanes, dtype=np.uint32)
    for column in columns.T:
        registers = table[(registers ^ column) & 0xFF] ^ (registers >> 8)
    move_on = _zero_bytes_operator(table, lane_bytes)
    crc = 0xFFFFFFFF
    for lane in registers.tolist():
        moved = 0
        for byte in range(4):
            moved ^= move_on[byte][crc >> 8 * byte & 0xFF]
        crc = moved ^ lane
    for value in data[lanes * lane_bytes :]:
        crc = int(table[(crc ^ value) & 0xFF]) ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _crc32c_table() -> np.ndarray:
    """What each byte value does to the register, shape (256,), uint32."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(_CRC32C_REVERSED_POLYNOMIAL), table >> 1)
    return table


def _zero_bytes_operator(table: np.ndarray, zero_bytes: int) -> list[list[int]]:
    """What `zero_bytes` zero bytes do to a register: for each of its 4 bytes, the outcome of each of the 256 values."""
    values = np.arange(256, dtype=np.uint32)
    registers = np.stack([values << np.uint32(8 * byte) for byte in range(4)])
    for _ in range(zero_bytes):
        registers = table[registers & 0xFF] ^ (registers >> 8)
    outcome: list[list[int]] = registers.tolist()
    return outcome
