"""Transfer frames in a stream of bytes: attached sync markers and the pseudo-randomizer (sans-I/O).

Source: CCSDS 131.0-B-5, TM Synchronization and Channel Coding, section 9 (frame synchronization) and section 10
(pseudo-randomizer, the 8-cell generator). There is no channel code around the frame: what carries the stream, or the modem
behind it, has its own.

The stream is one of bytes, as from a UART or a socket: bytes may be damaged, missing or too many, but their borders stand.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from downlink.transfer_frame import check_frame_bytes

ATTACHED_SYNC_MARKER: Final = bytes.fromhex("1ACFFC1D")
MARKER_BYTES: Final = len(ATTACHED_SYNC_MARKER)
MAX_MARKER_ERRORS: Final = 2
"""Bits of a marker that may be wrong: random bytes look like such a marker once in 8 million places."""
RANDOMIZER_PERIOD_BITS: Final = 255

_ONES: Final[NDArray[np.uint8]] = np.array([value.bit_count() for value in range(256)], np.uint8)


@lru_cache(maxsize=8)
def randomizer_sequence(size_bytes: int) -> bytes:
    """The first bytes of the sequence of h(x) = x^8 + x^7 + x^5 + x^3 + 1, all cells one at its start."""
    bits = [1] * 8
    for at in range(RANDOMIZER_PERIOD_BITS - 8):
        bits.append(bits[at] ^ bits[at + 3] ^ bits[at + 5] ^ bits[at + 7])
    repeats = -(-size_bytes * 8 // RANDOMIZER_PERIOD_BITS)
    return np.packbits(np.array(bits * repeats, np.uint8))[:size_bytes].tobytes()


def randomized(frame: bytes) -> bytes:
    """The frame with the sequence added bit by bit; done twice it is the frame again."""
    sequence = int.from_bytes(randomizer_sequence(len(frame)), "big")
    return (int.from_bytes(frame, "big") ^ sequence).to_bytes(len(frame), "big")


def marked_frame(frame: bytes, *, randomize: bool = True) -> bytes:
    """A transfer frame as it goes into the stream: the marker, then the frame; the marker is never randomized."""
    return ATTACHED_SYNC_MARKER + (randomized(frame) if randomize else frame)


class FrameSynchronizer:
    """Finds frames of one length in a stream. Memory is bounded: less than three frames, beside what one `feed` brings.

    A frame is given as soon as its last byte is there, intact or not: its own check tells. Where the next marker is missing, because
    it is damaged or bytes were dropped or inserted, it is looked for from the beginning of the frame before on, so that a
    slip costs no more than the frame in which it happened. Where the marker after that one stands in its place, only a marker
    was damaged, and the frame behind it is given too.
    """

    def __init__(
        self, frame_bytes: int, *, max_marker_errors: int = MAX_MARKER_ERRORS, derandomize: bool = True
    ) -> None:
        check_frame_bytes(frame_bytes)
        self.frame_bytes = frame_bytes
        self.skipped_bytes = 0
        """Bytes that belonged to no frame."""
        self.lost_locks = 0
        """Markers that did not stand where they were due."""
        self._unit_bytes = MARKER_BYTES + frame_bytes
        self._max_marker_errors = max_marker_errors
        self._derandomize = derandomize
        self._buffer = bytearray()
        self._due = 0
        """Where in the buffer the next marker stands, or stood when it was missed."""
        self._scanned = 0
        """Without lock: no marker begins before this place of the buffer."""
        self._given = 0
        """A frame found by looking back ends no earlier: no byte is given in more than two frames, whatever the stream holds."""
        self._locked = False

    @property
    def held_bytes(self) -> int:
        """Bytes of the stream that are kept."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that these bytes complete, in order."""
        self._buffer += data
        frames: list[bytes] = []
        while self._step(frames):
            pass
        self._forget()
        return frames

    def _step(self, frames: list[bytes]) -> bool:
        """Takes what is certain by now; False where more bytes are needed."""
        if not self._locked:
            return self._search(frames)
        if len(self._buffer) < self._due + MARKER_BYTES:
            return False
        if self._errors_at(self._due) > self._max_marker_errors:
            self._locked = False
            self.lost_locks += 1
            # Not before the frame given last: its own marker has been taken.
            self._scanned = max(self._given, self._due - self.frame_bytes)
            return True
        if len(self._buffer) < self._due + self._unit_bytes:
            return False
        frames.append(self._frame_at(self._due))
        self._due += self._unit_bytes
        return True

    def _search(self, frames: list[bytes]) -> bool:
        found = self._first_marker(self._scanned)
        if found is None:
            self._scanned = max(self._scanned, len(self._buffer) - MARKER_BYTES + 1)
            return False
        if found == self._due + self._unit_bytes:
            frames.append(self._frame_at(self._due))
        else:
            self.skipped_bytes += max(0, found - self._due)
        if found < self._due:
            self._given = self._due
        self._due, self._locked = found, True
        return True

    def _first_marker(self, begin: int) -> int | None:
        """The first place from `begin` on where a marker stands, up to the permitted errors."""
        window = np.frombuffer(bytes(self._buffer[begin:]), np.uint8)
        if len(window) < MARKER_BYTES:
            return None
        places = len(window) - MARKER_BYTES + 1
        errors = np.zeros(places, np.uint8)
        for index, value in enumerate(ATTACHED_SYNC_MARKER):
            errors += _ONES[window[index : index + places] ^ value]
        fitting = np.flatnonzero(errors <= self._max_marker_errors)
        return begin + int(fitting[0]) if len(fitting) else None

    def _errors_at(self, place: int) -> int:
        marker = int.from_bytes(self._buffer[place : place + MARKER_BYTES], "big")
        return (marker ^ int.from_bytes(ATTACHED_SYNC_MARKER, "big")).bit_count()

    def _frame_at(self, place: int) -> bytes:
        frame = bytes(self._buffer[place + MARKER_BYTES : place + self._unit_bytes])
        return randomized(frame) if self._derandomize else frame

    def _forget(self) -> None:
        """Drops what is no longer needed: all before the last frame given, or before the place up to which was searched."""
        if not self._locked and self._scanned > self._due + self._unit_bytes:
            # The marker after the missed one is not in its place either: nothing says where a frame was.
            self.skipped_bytes += self._scanned - self._due
            self._due = self._scanned
        spent = max(0, self._due - self.frame_bytes)
        if spent:
            del self._buffer[:spent]
            self._due -= spent
            self._scanned = max(0, self._scanned - spent)
            self._given = max(0, self._given - spent)
