"""A frame port over a stream of bytes that may break at any time and is made again: the common part of TCP and serial ports."""

import os
import selectors
from typing import Final, Protocol

from downlink.sync_marker import FrameSynchronizer, marked_frame
from mission.live.frame_port import FRAMES_PER_RECEIVE, PortCounts, PortSettings

FIRST_RETRY_S: Final = 0.5
"""A stream that broke, or could not be had, is tried again after this, then after twice as long each time."""
LONGEST_RETRY_S: Final = 8.0
READ_BYTES: Final = 65_536
READS_PER_RECEIVE: Final = 16


class StreamSource(Protocol):
    """Where streams come from. What goes wrong is no news: there is no stream yet."""

    @property
    def problem(self) -> str:
        """Why there is no stream: what went wrong last. Asked only while there is none."""

    def begin(self, selector: selectors.BaseSelector, counts: PortCounts) -> None:
        """Called once; what should wake the port is registered at the selector."""

    def poll(self, *, connected: bool) -> int | None:
        """A stream that is open now, as a file descriptor that never blocks; it takes the place of the one before."""

    def broke(self) -> None:
        """The stream given last is no more."""

    def close(self) -> None:
        """Gives back what is held, but for streams that were given."""


class Retry:
    """When to try again: after a short wait first, then after longer ones."""

    def __init__(self, settings: PortSettings) -> None:
        self._now_s = settings.monotonic_s
        self._wait_s = FIRST_RETRY_S
        self._due_s = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time."""
        return self._now_s() >= self._due_s

    def failed(self) -> None:
        """It did not work, or has stopped to work."""
        self._due_s = self._now_s() + self._wait_s
        self._wait_s = min(LONGEST_RETRY_S, 2 * self._wait_s)

    def succeeded(self) -> None:
        """It works."""
        self._wait_s = FIRST_RETRY_S


class StreamFramePort:
    """Frames with sync markers over the streams of a source."""

    def __init__(self, settings: PortSettings, source: StreamSource, *, randomize: bool) -> None:
        self.counts = PortCounts()
        self._settings = settings
        self._source = source
        self._randomize = randomize
        self._selector = selectors.DefaultSelector()
        self._stream: int | None = None
        self._unsent = b""
        self._skipped_before = 0
        self._synchronizer = self._new_synchronizer()
        source.begin(self._selector, self.counts)
        self._keep_open()

    @property
    def is_open(self) -> bool:
        """Whether there is a stream."""
        return self._stream is not None

    @property
    def problem(self) -> str:
        """Why there is no stream; empty where there is one."""
        return "" if self.is_open else self._source.problem

    def fileno(self) -> int:
        """The selector, which is readable when one of its members is ready."""
        return self._selector.fileno()

    def send(self, frame: bytes) -> bool:
        """Into the stream. A frame that was taken in part is finished later, before any other."""
        self._settings.check_out(frame)
        if self._stream is None:
            self._keep_open()
        self._write()
        if self._stream is None or self._unsent:
            self.counts.refused += 1
            return False
        whole = self._unsent = marked_frame(frame, randomize=self._randomize)
        self._write()
        if self._stream is None or self._unsent is whole:  # broken, or not a byte was taken
            self._unsent = b""
            self.counts.refused += 1
            return False
        self._watch()
        self.counts.sent += 1
        return True

    def receive(self) -> list[bytes]:
        """Reads what waits; opens and finishes what is due."""
        self._keep_open()
        frames: list[bytes] = []
        for _ in range(READS_PER_RECEIVE):
            data = self._read()
            if not data:
                break
            frames.extend(self._synchronizer.feed(data))
            if len(frames) >= FRAMES_PER_RECEIVE:
                break
        self.counts.received += len(frames)
        self.counts.skipped_bytes = self._skipped_before + self._synchronizer.skipped_bytes
        if self._unsent:
            self._write()
            self._watch()
        return frames

    def close(self) -> None:
        """Ends the stream and the source."""
        self._drop_stream()
        self._source.close()
        self._selector.close()

    # ---- the stream

    def _keep_open(self) -> None:
        stream = self._source.poll(connected=self._stream is not None)
        if stream is None:
            return
        self._drop_stream()
        self._stream = stream
        self._selector.register(stream, selectors.EVENT_READ)
        self.counts.opened += 1

    def _drop_stream(self) -> None:
        if self._stream is None:
            return
        self._selector.unregister(self._stream)
        os.close(self._stream)
        self._stream = None
        self._unsent = b""
        self._skipped_before += self._synchronizer.skipped_bytes
        self._synchronizer = self._new_synchronizer()

    def _broke(self) -> None:
        self._drop_stream()
        self._source.broke()

    def _read(self) -> bytes:
        if self._stream is None:
            return b""
        try:
            data = os.read(self._stream, READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError:  # reset by the peer, or the device is gone
            data = b""
        if not data:
            self._broke()
        return data

    def _write(self) -> None:
        """As much of what is unsent as the stream takes."""
        if self._stream is None or not self._unsent:
            return
        try:
            written = os.write(self._stream, self._unsent)
        except BlockingIOError:
            return
        except OSError:  # as above
            self._broke()
            return
        if written:
            self._unsent = self._unsent[written:]

    def _watch(self) -> None:
        """Wake up when the stream takes more, where something is left."""
        if self._stream is not None:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
            if self._selector.get_key(self._stream).events != events:
                self._selector.modify(self._stream, events)

    def _new_synchronizer(self) -> FrameSynchronizer:
        return FrameSynchronizer(self._settings.frame_bytes_in, derandomize=self._randomize)
