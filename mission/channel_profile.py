"""The file that describes a relayed channel (TOML): what each direction does, and the passes, counted from the relay's start.

seed = 7
windows_s = [[0.0, 420.0], [5700.0, 6150.0]]   # contact; absent: always
blackouts_s = [[100.0, 101.5]]

[down]                                          # air to ground
rate_bps = 10_000_000
delay_ms = 25
frame_loss = 0.02

[down.burst]
p_bad_to_good = 0.25

[[down.rates]]                                  # from then on
from_s = 60.0
rate_bps = 20_000_000
frame_loss = 0.001

[up]                                            # ground to air
rate_bps = 64_000
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from mission.channel import ChannelRate, ChannelSettings, GilbertElliott, Span
from mission.errors import RelayError, ScenarioProblem
from mission.scenario_link import BurstSection
from mission.scenario_problems import problems_of
from mission.scenario_section import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Probability, Section

SpanSeconds = Annotated[tuple[NonNegativeFloat, NonNegativeFloat], Field(strict=False)]
Spans = Annotated[tuple[SpanSeconds, ...], Field(strict=False)]


class RateSection(Section):
    """One of `[[down.rates]]` or `[[up.rates]]`: rate and loss from a moment on."""

    from_s: NonNegativeFloat
    """When it begins, seconds after the start."""
    rate_bps: PositiveInt
    """Bits per second; the bytes of a datagram count, without UDP and IP headers."""
    frame_loss: Probability = 0.0
    """Mean share of datagrams lost."""
    bit_error_rate: Annotated[float, Field(ge=0, le=0.5)] | None = None
    """Chance of each bit to arrive flipped; absent: that of the direction."""


class DirectionSection(Section):
    """`[down]` or `[up]`: one direction of the channel."""

    rate_bps: PositiveInt = 100_000_000
    """Bits per second; the bytes of a datagram count, without UDP and IP headers."""
    delay_ms: NonNegativeInt = 0
    """From the last bit sent to the arrival, milliseconds."""
    jitter_ms: NonNegativeInt = 0
    """Longest extra delay of every datagram, milliseconds; order is kept."""
    frame_loss: Probability = 0.0
    """Mean share of datagrams lost."""
    burst: BurstSection | None = None
    """Shape of the bursts. Absent: independent losses."""
    bit_error_rate: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Chance of each bit to arrive flipped."""
    duplicate: Probability = 0.0
    """Chance that a datagram arrives twice."""
    reorder: Probability = 0.0
    """Chance that a datagram is held back and overtaken."""
    reorder_window_ms: PositiveInt = 20
    """Longest time by which a held back or repeated datagram is late, milliseconds."""
    rates: Annotated[tuple[RateSection, ...], Field(strict=False)] = ()
    """Rate and loss along the pass, in order; before the first one `rate_bps` and `frame_loss` hold."""

    def settings(self, windows: tuple[Span, ...], blackouts: tuple[Span, ...]) -> ChannelSettings:
        """The direction as the emulator takes it. Raises ChannelError where the numbers do not go together."""
        loss = GilbertElliott.independent(self.frame_loss)
        return ChannelSettings(
            rate_bps=self.rate_bps,
            delay_ms=self.delay_ms,
            jitter_ms=self.jitter_ms,
            loss=loss if self.burst is None else self.burst.model(self._mean_with_burst()),
            bit_error_rate=self.bit_error_rate,
            duplicate=self.duplicate,
            reorder=self.reorder,
            reorder_window_ms=self.reorder_window_ms,
            rates=tuple(_channel_rate(step) for step in self.rates),
            blackouts=blackouts,
            windows=windows,
        )

    def _mean_with_burst(self) -> float | None:
        stated = self.burst is not None and self.burst.p_good_to_bad is not None
        return None if stated and self.frame_loss == 0 else self.frame_loss


class ChannelProfile(Section):
    """A channel in both directions, and when it exists."""

    seed: NonNegativeInt = 0
    """Of all chance."""
    duration_s: PositiveFloat | None = None
    """How long the relay runs, seconds. Absent: until it is told to stop."""
    from_first_datagram: bool = False
    """Whether windows, blackouts and rates count from the first datagram instead of the relay's start."""
    queue_ms: PositiveInt = 1000
    """A datagram that would wait longer for its turn is dropped, milliseconds."""
    windows_s: Spans = ()
    """Contacts (AOS, LOS), seconds; outside nothing leaves. Empty: always contact."""
    blackouts_s: Spans = ()
    """Spans in which everything sent is lost, seconds."""
    down: DirectionSection = DirectionSection()
    """From the air side to the ground side."""
    up: DirectionSection = DirectionSection()
    """From the ground side to the air side."""

    def channels(self) -> tuple[ChannelSettings, ChannelSettings]:
        """Down and up. Raises ChannelError where the numbers do not go together."""
        windows, blackouts = _spans_ms(self.windows_s), _spans_ms(self.blackouts_s)
        return self.down.settings(windows, blackouts), self.up.settings(windows, blackouts)


def load_profile(file: Path | None, changes: dict[str, Any]) -> ChannelProfile:
    """Reads a profile; `changes` has the form of the file and goes before it, section by section.

    Raises RelayError: the file is absent, not TOML, or says something unknown or impossible.
    """
    name = "of the command line" if file is None else str(file)
    data: dict[str, Any] = {}
    if file is not None:
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise RelayError(f"channel profile {name} cannot be read ({error.strerror}); give a TOML file") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RelayError(f"channel profile {name} is not valid TOML: {error}") from error
    try:
        return ChannelProfile.model_validate(_merged(data, changes))
    except ValidationError as error:
        raise RelayError(_listed(name, problems_of(error, ChannelProfile))) from error


def _merged(data: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(data)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _listed(name: str, problems: tuple[ScenarioProblem, ...]) -> str:
    return f"channel profile {name} cannot be used:" + "".join(f"\n  {problem}" for problem in problems)


def _channel_rate(step: RateSection) -> ChannelRate:
    return ChannelRate(
        from_ms=round(step.from_s * 1000),
        rate_bps=step.rate_bps,
        frame_loss=step.frame_loss,
        robust_rate_bps=step.rate_bps,
        robust_frame_loss=step.frame_loss,
        bit_error_rate=step.bit_error_rate,
    )


def _spans_ms(spans_s: Spans) -> tuple[Span, ...]:
    return tuple((round(start_s * 1000), round(end_s * 1000)) for start_s, end_s in spans_s)
