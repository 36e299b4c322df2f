"""A lossy link in virtual time: frames in, arrivals out. Chance is an argument, so one seed gives one history.

A frame waits for the transmitter, takes its bits' time at the link's rate, travels, and then may be lost (bursts after Gilbert and
Elliott), damaged bit by bit, repeated, or held back so that others overtake it. Time is counted exactly in integers: no rounding
gathers over a long pass.

Source of the burst model: E. O. Elliott, "Estimates of error rates for codes on burst-noise channels", Bell System Technical
Journal 42 (1963); the state steps once per frame, before the frame is sent.
"""

from dataclasses import dataclass

import numpy as np

from mission.errors import ChannelError

DRAWS_PER_FRAME = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class GilbertElliott:
    """Two states, each with its own chance to lose a frame."""

    p_good_to_bad: float
    """Chance per frame to fall from the good state into the bad one."""
    p_bad_to_good: float
    """Chance per frame to recover, above 0; 1 / p_bad_to_good is the mean burst in frames."""
    loss_good: float
    """Chance to lose a frame in the good state."""
    loss_bad: float
    """Chance to lose a frame in the bad state."""

    def __post_init__(self) -> None:
        chances = (self.p_good_to_bad, self.p_bad_to_good, self.loss_good, self.loss_bad)
        if not all(0 <= chance <= 1 for chance in chances) or self.p_bad_to_good == 0:
            raise ChannelError(
                f"p_good_to_bad {self.p_good_to_bad}, p_bad_to_good {self.p_bad_to_good}, loss_good {self.loss_good}, "
                f"loss_bad {self.loss_bad}: all must be in 0..1 and p_bad_to_good above 0"
            )

    @classmethod
    def independent(cls, frame_loss: float) -> "GilbertElliott":
        """No bursts: every frame is lost with the same chance."""
        return cls(p_good_to_bad=0.0, p_bad_to_good=1.0, loss_good=frame_loss, loss_bad=frame_loss)

    @classmethod
    def with_mean(
        cls, frame_loss: float, *, p_bad_to_good: float, loss_good: float, loss_bad: float
    ) -> "GilbertElliott":
        """The model whose mean loss is `frame_loss`; raises ChannelError where none exists."""
        if not loss_good <= frame_loss < loss_bad:
            raise ChannelError(
                f"mean frame loss {frame_loss} must lie from loss_good {loss_good} up to below loss_bad {loss_bad}"
            )
        bad_share = (frame_loss - loss_good) / (loss_bad - loss_good)
        p_good_to_bad = p_bad_to_good * bad_share / (1 - bad_share)
        if p_good_to_bad > 1:
            raise ChannelError(
                f"mean frame loss {frame_loss} cannot be reached with p_bad_to_good {p_bad_to_good}; lower p_bad_to_good"
            )
        return cls(p_good_to_bad=p_good_to_bad, p_bad_to_good=p_bad_to_good, loss_good=loss_good, loss_bad=loss_bad)

    @property
    def bad_share(self) -> float:
        """Share of frames sent in the bad state, in the long run."""
        return self.p_good_to_bad / (self.p_good_to_bad + self.p_bad_to_good)

    @property
    def mean_loss(self) -> float:
        """Share of frames lost, in the long run."""
        return self.loss_good + self.bad_share * (self.loss_bad - self.loss_good)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """One direction of a link."""

    rate_bps: int
    """Bits per second, at least 1."""
    delay_ms: int
    """From the last bit sent to the arrival, milliseconds."""
    loss: GilbertElliott = GilbertElliott(p_good_to_bad=0.0, p_bad_to_good=1.0, loss_good=0.0, loss_bad=0.0)
    """How frames are lost."""
    bit_error_rate: float = 0.0
    """Chance of each bit to arrive flipped, 0 to 0.5."""
    duplicate: float = 0.0
    """Chance that a frame arrives twice."""
    reorder: float = 0.0
    """Chance that a frame is held back."""
    reorder_window_ms: int = 1
    """Longest extra delay of held back and repeated frames, milliseconds, at least 1."""

    def __post_init__(self) -> None:
        if self.rate_bps < 1 or self.delay_ms < 0 or self.reorder_window_ms < 1:
            raise ChannelError(
                f"rate {self.rate_bps} bit/s, delay {self.delay_ms} ms, reorder window {self.reorder_window_ms} ms: "
                "rate and window are at least 1, the delay at least 0"
            )
        if not (0 <= self.bit_error_rate <= 0.5 and 0 <= self.duplicate <= 1 and 0 <= self.reorder <= 1):
            raise ChannelError(
                f"bit error rate {self.bit_error_rate} (0..0.5), duplicate {self.duplicate} and reorder {self.reorder} (0..1) "
                "must be chances"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A frame as it comes out."""

    at_ms: int
    """When its last bit is there."""
    frame: bytes
    """What came: the frame sent, or that frame with flipped bits."""


@dataclass(slots=True, kw_only=True)
class ChannelCounts:
    """What a channel did so far. arrived = sent - lost + duplicated."""

    sent: int = 0
    """Frames given to the channel."""
    sent_bytes: int = 0
    """Their bytes."""
    lost: int = 0
    """Frames that never arrive."""
    corrupted: int = 0
    """Frames that arrive with flipped bits."""
    bits_flipped: int = 0
    """Bits flipped in those frames."""
    duplicated: int = 0
    """Frames that arrive twice."""
    reordered: int = 0
    """Frames that were held back."""
    arrived: int = 0
    """Arrivals, repetitions included."""


class Channel:
    """One direction of a link during one contact."""

    def __init__(self, settings: ChannelSettings, rng: np.random.Generator) -> None:
        self.settings = settings
        self.counts = ChannelCounts()
        self._rng = rng
        self._bad = bool(rng.random() < settings.loss.bad_share)
        self._busy_until = 0
        """When the transmitter falls idle, in milliseconds times `rate_bps`: bits need no rounding in this unit."""

    @property
    def busy_until_ms(self) -> int:
        """Time from which a frame given to the channel waits less than a millisecond."""
        return self._busy_until // self.settings.rate_bps

    def departure_ms(self, size_bytes: int, now_ms: int) -> int:
        """When the last bit of a frame of this size, given now, would leave: compare with LOS before sending."""
        return -(-self._busy_after(size_bytes, now_ms) // self.settings.rate_bps)

    def transmit(self, frame: bytes, now_ms: int) -> list[Arrival]:
        """Sends a frame; gives its arrivals in order of time: none where it is lost, two where it is repeated."""
        self._busy_until = self._busy_after(len(frame), now_ms)
        self.counts.sent += 1
        self.counts.sent_bytes += len(frame)
        step, fate, repeat, hold, hold_time, repeat_time = self._rng.random(DRAWS_PER_FRAME).tolist()
        received = self._damaged(frame)  # drawn for lost frames too, so that a loss does not move later draws
        loss = self.settings.loss
        self._bad = step >= loss.p_bad_to_good if self._bad else step < loss.p_good_to_bad
        if fate < (loss.loss_bad if self._bad else loss.loss_good):
            self.counts.lost += 1
            return []
        if received != frame:
            self.counts.corrupted += 1
            self.counts.bits_flipped += (int.from_bytes(received, "big") ^ int.from_bytes(frame, "big")).bit_count()
        at_ms = -(-self._busy_until // self.settings.rate_bps) + self.settings.delay_ms
        if hold < self.settings.reorder:
            self.counts.reordered += 1
            at_ms += self._lateness_ms(hold_time)
        arrivals = [Arrival(at_ms=at_ms, frame=received)]
        if repeat < self.settings.duplicate:
            self.counts.duplicated += 1
            arrivals.append(Arrival(at_ms=at_ms + self._lateness_ms(repeat_time), frame=received))
        self.counts.arrived += len(arrivals)
        return arrivals

    def _busy_after(self, size_bytes: int, now_ms: int) -> int:
        return max(self._busy_until, now_ms * self.settings.rate_bps) + size_bytes * 8 * 1000

    def _lateness_ms(self, draw: float) -> int:
        return 1 + int(draw * self.settings.reorder_window_ms)

    def _damaged(self, frame: bytes) -> bytes:
        bits = len(frame) * 8
        if self.settings.bit_error_rate == 0 or bits == 0:
            return frame
        flips = int(self._rng.binomial(bits, self.settings.bit_error_rate))
        if flips == 0:
            return frame
        damaged = bytearray(frame)
        for position in self._rng.choice(bits, size=flips, replace=False).tolist():
            damaged[position >> 3] ^= 0x80 >> (position & 7)
        return bytes(damaged)
