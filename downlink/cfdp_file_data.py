"""The FileData PDU (727.0-B-5, 5.3), the one sent most: written and recognised without taking its header apart.

All FileData PDUs of a transaction begin with the same bytes but for their length and their offset:

    first byte | data field length, 2 | lengths of fields, source, sequence number, destination | offset | file bytes (| CRC)

so both ends work these out once per transaction. A PDU that `split` does not know goes to `cfdp_decoding.decode_pdu`.
"""

import binascii
import struct
from functools import lru_cache

from downlink.cfdp_header import Direction, PduHeader
from downlink.errors import CfdpPduError


class FileDataFormat:
    """FileData PDUs, without segment metadata, of one transaction."""

    __slots__ = ("_crc_bytes", "_first", "_layout", "_start_bytes", "identity_bytes", "overhead_bytes")

    def __init__(self, header: PduHeader) -> None:
        start = header.encode(Direction.TOWARDS_RECEIVER, 0, file_data=True)
        self._first, self._start_bytes = start[0], len(start)
        self.identity_bytes = start[3:]
        """what `identity_bytes` finds in its PDUs"""
        self._layout = _layout(len(self.identity_bytes), header.large_file)
        self._crc_bytes = header.crc_bytes
        self.overhead_bytes = self._layout.size + self._crc_bytes
        """what a PDU has beside its file bytes"""

    def encode(self, offset: int, data: bytes) -> bytes:
        """The PDU of `data` at `offset`. Raises CfdpPduError when either is too large for its field."""
        data_field_bytes = self.overhead_bytes - self._start_bytes + len(data)
        try:
            pdu = self._layout.pack(self._first, data_field_bytes, self.identity_bytes, offset) + data
        except struct.error:
            raise CfdpPduError(
                f"segment of {len(data)} bytes at offset {offset} does not fit a PDU; send shorter segments, or set large_file"
            ) from None
        return pdu + binascii.crc_hqx(pdu, 0xFFFF).to_bytes(2) if self._crc_bytes else pdu

    def split(self, pdu: bytes) -> tuple[int, bytes] | None:
        """Offset and file bytes of `pdu`; None where it is not an intact FileData PDU of this transaction without segment metadata."""
        if len(pdu) < self.overhead_bytes:
            return None
        first, data_field_bytes, identity, offset = self._layout.unpack_from(pdu)
        if first != self._first or identity != self.identity_bytes or data_field_bytes + self._start_bytes != len(pdu):
            return None
        if not self._crc_bytes:
            return offset, pdu[self._layout.size :]
        return None if binascii.crc_hqx(pdu, 0xFFFF) else (offset, pdu[self._layout.size : -self._crc_bytes])


def identity_bytes(pdu: bytes) -> bytes:
    """The part of a PDU's header that names its transaction, with the lengths of its fields; of other bytes, any bytes."""
    return pdu[3 : _IDENTITY_ENDS[pdu[3]]] if len(pdu) > 3 else b""


_IDENTITY_ENDS = tuple(4 + 2 * ((lengths >> 4 & 7) + 1) + (lengths & 7) + 1 for lengths in range(256))
"""Where source id, sequence number and destination id end, by the byte of the header that tells their lengths."""


@lru_cache(maxsize=64)
def _layout(shared_bytes: int, large_file: bool) -> struct.Struct:
    return struct.Struct(f">BH{shared_bytes}s{'Q' if large_file else 'I'}")
