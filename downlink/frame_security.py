"""Authentication of uplink transfer frames after CCSDS 355.0-B-2 (Space Data Link Security): who sent it, that nothing was changed.

    primary header of the AOS frame, 6 bytes, as downlink.transfer_frame writes it
    security parameter index 2 | sequence number 8                                           security header, 10 bytes
    transfer frame data field: first header pointer 2, packet zone (readable: nothing is encrypted)
    AES-256-GMAC over all the above                                                         security trailer, 16 bytes
    CRC-16 over all the above                                                                 error control field, 2

The nonce is the security parameter index (2 bytes), the spacecraft id (2) and the sequence number (8): the deterministic construction
of NIST SP 800-38D, 8.2.1. Only the sequence number travels as initialization vector, the receiver knows the rest. The frame stands
under the tag from its first byte on, so it can be moved to no other spacecraft, virtual channel, count or key.

Both ends work on *open* frames, which are 26 bytes shorter: an ordinary `FrameAssembler` fills them and an ordinary
`FrameReader` reads them.
"""

import binascii
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from downlink.aes_gmac import KEY_BYTES, TAG_BYTES, AesGmac
from downlink.errors import FrameSecurityError
from downlink.transfer_frame import check_frame_bytes, frame_is_intact

PRIMARY_HEADER_BYTES: Final = 6
ERROR_CONTROL_BYTES: Final = 2
SECURITY_HEADER: Final = struct.Struct(">HQ")
SECURITY_BYTES: Final = SECURITY_HEADER.size + TAG_BYTES
"""What a secured frame has more than the open frame inside it: 26."""
NUMBERS_PER_MS: Final = 256
"""Sequence numbers run with the clock: from one millisecond to the next by this many."""
MAX_NUMBER: Final = (1 << 64) - 1
MAX_SPI: Final = 0xFFFE
"""355.0-B-2 reserves the indices 0 and 65535."""

_NONCE: Final = struct.Struct(">HHQ")
_ERROR_CONTROL: Final = struct.Struct(">H")
_AOS_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityAssociation:
    """One key and the index that frames name it by."""

    spi: int
    """Security parameter index, 1..65534. An index is never given to a second key."""
    key: bytes = field(repr=False)
    """32 bytes of AES-256; one sender alone protects frames with it."""

    def __post_init__(self) -> None:
        if not 1 <= self.spi <= MAX_SPI:
            raise FrameSecurityError(f"security parameter index {self.spi}; use 1..{MAX_SPI}")
        if len(self.key) != KEY_BYTES:
            raise FrameSecurityError(f"key {self.spi} has {len(self.key)} bytes; AES-256 takes {KEY_BYTES}")


class FrameRefusal(StrEnum):
    """Why a frame is not read."""

    DAMAGED = "damaged"
    """truncated, oversized, or the error control field disagrees"""
    FOREIGN = "foreign"
    """intact, but of another format, spacecraft or virtual channel"""
    UNKNOWN_KEY = "unknown_key"
    """the security parameter index is none of ours"""
    FORGED = "forged"
    """the tag disagrees: made or changed by somebody without the key"""
    REPLAYED = "replayed"
    """authentic, but its number has been used, or is too old to tell"""
    UNSAVED = "unsaved"
    """authentic, but what protects against its replay cannot be made durable"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticFrame:
    """A frame from a holder of the key. Whether it comes for the first time is for a `ReplayWindow` to say."""

    spi: int
    """key that it was protected with"""
    number: int
    """its sequence number under that key"""
    open_frame: bytes
    """the AOS transfer frame without security header and trailer, 26 bytes shorter"""


class FrameProtector:
    """The sending side of one key.

    Sequence numbers rise strictly and follow the clock: the next is the larger of the last plus one and 256 times the milliseconds
    of Unix time. As long as fewer than 256 frames are protected in a millisecond, every number used before a time t lies below
    256 (t + 1); a protector that starts at t without knowing anything begins there. So a restarted sender needs no
    memory, only a clock that is not set back by more than it was away; where that cannot be had, keep `next_number`.

    A first number ahead of the clock stays ahead of it: numbers run on from there at the same pace. A receiver that has
    started again, and refuses all numbers of the next few seconds, hears the sender after these seconds, not only when the
    clock has come to where it was.
    """

    def __init__(self, association: SecurityAssociation, *, first_number: int = 0) -> None:
        """`first_number`: the least number to use, for a sender that has kept `next_number` across its restart."""
        self.spi = association.spi
        self._gmac = AesGmac(association.key)
        self._next_number = first_number
        self._ahead: int | None = None
        """How far the numbers run before the clock; None before the first frame."""

    @property
    def next_number(self) -> int:
        """The least number that the next frame may get."""
        return self._next_number

    def number_at(self, now_ms: int) -> int:
        """The number that `protect` would use at this time."""
        if self._ahead is None:
            return max(self._next_number, (now_ms + 1) * NUMBERS_PER_MS)
        return max(self._next_number, now_ms * NUMBERS_PER_MS + self._ahead)

    def protect(self, open_frame: bytes, now_ms: int) -> bytes:
        """The secured frame, 26 bytes longer. Raises FrameSecurityError once the numbers are used up."""
        check_frame_bytes(len(open_frame))
        number = self.number_at(now_ms)
        if not 0 < number <= MAX_NUMBER:
            raise FrameSecurityError(f"sequence number {number} at {now_ms} ms does not fit 64 bits; change the key")
        if self._ahead is None:
            self._ahead = max(0, number - (now_ms + 1) * NUMBERS_PER_MS)
        self._next_number = number + 1
        header = open_frame[:PRIMARY_HEADER_BYTES]
        message = (
            header + SECURITY_HEADER.pack(self.spi, number) + open_frame[PRIMARY_HEADER_BYTES:-ERROR_CONTROL_BYTES]
        )
        return _with_error_control(message + self._gmac.tag(_nonce(self.spi, header, number), message))


class FrameVerifier:
    """The receiving side of one spacecraft: several keys may be good at once, so that one can follow the other."""

    def __init__(
        self,
        associations: Sequence[SecurityAssociation],
        *,
        spacecraft_id: int,
        frame_bytes: int,
        vc_ids: Collection[int],
    ) -> None:
        """`frame_bytes` is the length of a secured frame. Raises FrameSecurityError without a key, or with an index twice."""
        check_frame_bytes(frame_bytes - SECURITY_BYTES)
        self._keys = {association.spi: AesGmac(association.key) for association in associations}
        if not associations or len(self._keys) != len(associations):
            indices = [association.spi for association in associations]
            raise FrameSecurityError(f"security parameter indices {indices}: give at least one key, each its own index")
        self.frame_bytes = frame_bytes
        self.spacecraft_id = spacecraft_id
        self.vc_ids = frozenset(vc_ids)

    @property
    def spis(self) -> frozenset[int]:
        """Indices of the keys that are good."""
        return frozenset(self._keys)

    def verify(self, frame: bytes) -> AuthenticFrame | FrameRefusal:
        """The frame inside, or why it is refused. Never raises, whatever was heard."""
        if len(frame) != self.frame_bytes or not frame_is_intact(frame):
            return FrameRefusal.DAMAGED
        header = frame[:PRIMARY_HEADER_BYTES]
        vc_id = header[1] & 0x3F
        if header[0] >> 6 != _AOS_VERSION or vc_id not in self.vc_ids or _spacecraft_id(header) != self.spacecraft_id:
            return FrameRefusal.FOREIGN
        spi, number = SECURITY_HEADER.unpack_from(frame, PRIMARY_HEADER_BYTES)
        gmac = self._keys.get(spi)
        if gmac is None:
            return FrameRefusal.UNKNOWN_KEY
        message_end = len(frame) - ERROR_CONTROL_BYTES - TAG_BYTES
        message, tag = frame[:message_end], frame[message_end:-ERROR_CONTROL_BYTES]
        if not gmac.agrees(_nonce(spi, header, number), message, tag):
            return FrameRefusal.FORGED
        data_field = message[PRIMARY_HEADER_BYTES + SECURITY_HEADER.size :]
        return AuthenticFrame(spi=spi, number=number, open_frame=_with_error_control(header + data_field))


def _spacecraft_id(header: bytes) -> int:
    """10 bits: the low 8 beside the version, the high 2 in the signalling field."""
    return (header[5] >> 4 & 3) << 8 | (header[0] & 0x3F) << 2 | header[1] >> 6


def _nonce(spi: int, header: bytes, number: int) -> bytes:
    return _NONCE.pack(spi, _spacecraft_id(header), number)


def _with_error_control(body: bytes) -> bytes:
    return body + _ERROR_CONTROL.pack(binascii.crc_hqx(body, 0xFFFF))
