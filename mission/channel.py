"""A lossy link in virtual time: frames in, arrivals out. Chance is an argument, so one seed gives one history.

A frame waits for the transmitter, takes its bits' time at the link's rate, travels, and then may be lost (bursts after Gilbert and
Elliott, blackouts), damaged bit by bit, delayed by jitter, repeated, or held back so that others overtake it. Rate and losses may
change along the pass: what holds when a frame begins holds until its last bit, as with a modulation chosen per frame. Time is counted
exactly in integers: no rounding gathers over a long pass.

Source of the burst model: E. O. Elliott, "Estimates of error rates for codes on burst-noise channels", Bell System Technical
Journal 42 (1963); the state steps once per frame, before the frame is sent.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mission.errors import ChannelError

DRAWS_PER_FRAME = 6
"""One more where there is jitter."""
FRAMES_PER_BLOCK = 64
"""Frames whose draws are made at once where no bit errors draw in between: same numbers, in less time."""

Span = tuple[int, int]
"""From (included) and until (excluded), milliseconds."""


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

    def scaled_to(self, frame_loss: float) -> "GilbertElliott":
        """Bursts of the same length and depth, more or less often, so that the mean is `frame_loss` (0..1).

        Where no such model exists, below `loss_good` or near and above `loss_bad`, losses are independent.
        """
        try:
            return GilbertElliott.with_mean(
                frame_loss, p_bad_to_good=self.p_bad_to_good, loss_good=self.loss_good, loss_bad=self.loss_bad
            )
        except ChannelError:
            return GilbertElliott.independent(frame_loss)

    @property
    def bad_share(self) -> float:
        """Share of frames sent in the bad state, in the long run."""
        return self.p_good_to_bad / (self.p_good_to_bad + self.p_bad_to_good)

    @property
    def mean_loss(self) -> float:
        """Share of frames lost, in the long run."""
        return self.loss_good + self.bad_share * (self.loss_bad - self.loss_good)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRate:
    """What holds from a moment of the pass on, until the next one."""

    from_ms: int
    """When it begins, on the clock of `transmit`."""
    rate_bps: int
    """Bits per second, at least 1."""
    frame_loss: float
    """Mean share of frames lost, 0..1; bursts are as in the settings, more or less often."""
    robust_rate_bps: int
    """Bits per second of frames sent as robust, at least 1."""
    robust_frame_loss: float
    """Mean share of those lost, 0..1."""
    bit_error_rate: float | None = None
    """Chance of each bit to arrive flipped, 0 to 0.5; None: that of the settings."""

    def __post_init__(self) -> None:
        if self.rate_bps < 1 or self.robust_rate_bps < 1:
            raise ChannelError(
                f"rate {self.rate_bps} bit/s, robust rate {self.robust_rate_bps} bit/s from {self.from_ms} ms: must be at least 1; "
                "leave silence to blackouts"
            )
        if not (
            0 <= self.frame_loss <= 1 and 0 <= self.robust_frame_loss <= 1 and 0 <= (self.bit_error_rate or 0) <= 0.5
        ):
            raise ChannelError(
                f"frame loss {self.frame_loss}, robust frame loss {self.robust_frame_loss} (0..1), bit error rate "
                f"{self.bit_error_rate} (0..0.5) from {self.from_ms} ms must be chances"
            )


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
    jitter_ms: int = 0
    """Longest extra delay of every frame, drawn evenly from 0 up, milliseconds. Order is kept: a frame waits for those before it."""
    rates: tuple[ChannelRate, ...] = ()
    """Rate and loss along the pass, in order; before the first one, and without any, `rate_bps` and `loss` hold for all frames."""
    blackouts: tuple[Span, ...] = ()
    """Frames that are being sent in one of these spans are lost; the sender does not notice. In order, disjoint."""
    windows: tuple[Span, ...] = ()
    """The contacts (AOS, LOS), in order, disjoint: a frame that does not fit whole into one never leaves. Empty: always contact."""

    def __post_init__(self) -> None:
        if self.rate_bps < 1 or self.delay_ms < 0 or self.reorder_window_ms < 1 or self.jitter_ms < 0:
            raise ChannelError(
                f"rate {self.rate_bps} bit/s, delay {self.delay_ms} ms, reorder window {self.reorder_window_ms} ms, "
                f"jitter {self.jitter_ms} ms: rate and window are at least 1, delay and jitter at least 0"
            )
        starts = [step.from_ms for step in self.rates]
        if starts != sorted(set(starts)):
            raise ChannelError(f"rates begin at {starts} ms: give them in order of time, each moment once")
        _check_spans("blackouts", self.blackouts)
        _check_spans("windows", self.windows)
        if not (0 <= self.bit_error_rate <= 0.5 and 0 <= self.duplicate <= 1 and 0 <= self.reorder <= 1):
            raise ChannelError(
                f"bit error rate {self.bit_error_rate} (0..0.5), duplicate {self.duplicate} and reorder {self.reorder} (0..1) "
                "must be chances"
            )


def _check_spans(name: str, spans: Sequence[Span]) -> None:
    edges = [edge for span in spans for edge in span]
    if any(start >= end for start, end in spans) or edges != sorted(edges):
        raise ChannelError(
            f"{name} {list(spans)} ms: each begins before it ends, and they follow one another without overlap"
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
    blacked_out: int = 0
    """Those of them that met a blackout."""
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
    unsent: int = 0
    """Frames given without contact, or too late before its end: not among `sent`, they never left."""


@dataclass(frozen=True, slots=True)
class _Carriage:
    """How one frame is carried."""

    ticks_per_byte: int
    loss: GilbertElliott
    bit_error_rate: float


class Channel:
    """One direction of a link during one contact, or during several (`windows`)."""

    def __init__(self, settings: ChannelSettings, rng: np.random.Generator) -> None:
        self.settings = settings
        self.counts = ChannelCounts()
        self._rng = rng
        self._bad = bool(rng.random() < settings.loss.bad_share)
        self._drawn: list[list[float]] = []
        """Draws of the coming frames, last first."""
        rates_bps = {settings.rate_bps}.union(*((step.rate_bps, step.robust_rate_bps) for step in settings.rates))
        self._ticks_per_ms = math.lcm(*rates_bps)
        """At this many ticks in a millisecond, a byte at any of the rates takes a whole number of them."""
        self._busy_until = 0
        """When the transmitter falls idle, in ticks."""
        self._latest_ms = 0
        """Arrival of the latest frame that kept its place."""
        self._starts_ms = [step.from_ms for step in settings.rates]
        first = self._carriage(settings.rate_bps, settings.loss, None)
        self._ordinary = [first, *(self._step_carriage(step, robust=False) for step in settings.rates)]
        self._robust = [first, *(self._step_carriage(step, robust=True) for step in settings.rates)]
        self._has_bit_errors = any(each.bit_error_rate > 0 for each in self._ordinary)

    @property
    def busy_until_ms(self) -> int:
        """Time from which a frame given to the channel waits less than a millisecond."""
        return self._busy_until // self._ticks_per_ms

    def departure_ms(self, size_bytes: int, now_ms: int, robust: bool = False) -> int:
        """When the last bit of a frame of this size, given now, would leave: compare with LOS before sending."""
        start = self._start(now_ms)
        return -(-(start + size_bytes * self._carriage_at(start, robust).ticks_per_byte) // self._ticks_per_ms)

    def transmit(self, frame: bytes, now_ms: int, robust: bool = False) -> list[Arrival]:
        """Sends a frame; gives its arrivals in order of time: none where it is lost, two where it is repeated.

        `robust` takes the second rate and the second loss of `rates`.
        """
        start = self._start(now_ms)
        carriage = self._carriage_at(start, robust)
        end = start + len(frame) * carriage.ticks_per_byte
        if self.settings.windows and not self._in_contact(start, end):
            self.counts.unsent += 1
            return []
        self._busy_until = end
        self.counts.sent += 1
        self.counts.sent_bytes += len(frame)
        step, fate, repeat, hold, hold_time, repeat_time, *jitter = self._next_draws()
        received = self._damaged(frame, carriage)  # drawn for lost frames too, so that a loss does not move later draws
        lost = self._is_lost(carriage.loss, step, fate)
        if self._is_blacked_out(start, end) or lost:
            self.counts.lost += 1
            return []
        if received != frame:
            self.counts.corrupted += 1
            self.counts.bits_flipped += (int.from_bytes(received, "big") ^ int.from_bytes(frame, "big")).bit_count()
        at_ms = -(-end // self._ticks_per_ms) + self.settings.delay_ms
        if jitter:
            at_ms = self._latest_ms = max(self._latest_ms, at_ms + int(jitter[0] * (self.settings.jitter_ms + 1)))
        if hold < self.settings.reorder:
            self.counts.reordered += 1
            at_ms += self._lateness_ms(hold_time)
        arrivals = [Arrival(at_ms=at_ms, frame=received)]
        if repeat < self.settings.duplicate:
            self.counts.duplicated += 1
            arrivals.append(Arrival(at_ms=at_ms + self._lateness_ms(repeat_time), frame=received))
        self.counts.arrived += len(arrivals)
        return arrivals

    # ---- the pass

    def _carriage(self, rate_bps: int, loss: GilbertElliott, bit_error_rate: float | None) -> _Carriage:
        flips = self.settings.bit_error_rate if bit_error_rate is None else bit_error_rate
        return _Carriage(8000 * (self._ticks_per_ms // rate_bps), loss, flips)

    def _step_carriage(self, step: ChannelRate, *, robust: bool) -> _Carriage:
        mean = step.robust_frame_loss if robust else step.frame_loss
        rate_bps = step.robust_rate_bps if robust else step.rate_bps
        return self._carriage(rate_bps, self.settings.loss.scaled_to(mean), step.bit_error_rate)

    def _carriage_at(self, start: int, robust: bool) -> _Carriage:
        steps = self._robust if robust else self._ordinary
        return steps[bisect_right(self._starts_ms, start // self._ticks_per_ms)] if self._starts_ms else steps[0]

    def _start(self, now_ms: int) -> int:
        return max(self._busy_until, now_ms * self._ticks_per_ms)

    def _in_contact(self, start: int, end: int) -> bool:
        ticks = self._ticks_per_ms
        return any(aos_ms * ticks <= start and end <= los_ms * ticks for aos_ms, los_ms in self.settings.windows)

    # ---- faults

    def _next_draws(self) -> list[float]:
        if not self._drawn:
            frames = FRAMES_PER_BLOCK if not self._has_bit_errors else 1
            per_frame = DRAWS_PER_FRAME + (self.settings.jitter_ms > 0)
            self._drawn = self._rng.random((frames, per_frame)).tolist()[::-1]
        return self._drawn.pop()

    def _is_lost(self, loss: GilbertElliott, step: float, fate: float) -> bool:
        self._bad = step >= loss.p_bad_to_good if self._bad else step < loss.p_good_to_bad
        return fate < (loss.loss_bad if self._bad else loss.loss_good)

    def _is_blacked_out(self, start: int, end: int) -> bool:
        ticks = self._ticks_per_ms
        met = any(start < until_ms * ticks and end > from_ms * ticks for from_ms, until_ms in self.settings.blackouts)
        self.counts.blacked_out += met
        return met

    def _lateness_ms(self, draw: float) -> int:
        return 1 + int(draw * self.settings.reorder_window_ms)

    def _damaged(self, frame: bytes, carriage: _Carriage) -> bytes:
        bits = len(frame) * 8
        if carriage.bit_error_rate == 0 or bits == 0:
            return frame
        flips = int(self._rng.binomial(bits, carriage.bit_error_rate))
        if flips == 0:
            return frame
        damaged = bytearray(frame)
        for position in self._rng.choice(bits, size=flips, replace=False).tolist():
            damaged[position >> 3] ^= 0x80 >> (position & 7)
        return bytes(damaged)
