"""What the weather does to a link, beside what the scenario says: numbers that go before the scenario's, and may change any time.

They come from options and the environment, and from a TOML file that is read again whenever it changes:

    loss = 0.3
    bit_errors = 1e-6
    blackout = false
"""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, ValidationError

from mission.channel import ChannelRate, ChannelSettings
from mission.errors import ServiceError
from mission.live.service_settings import OptionSource
from mission.scenario_problems import problems_of
from mission.scenario_section import NonNegativeInt, PositiveInt, Probability, Section

ALWAYS_MS: Final = 1 << 62
OPTION_KINDS: Final = {"rate": int, "delay": int, "jitter": int, "loss": float, "bit_errors": float}
"""The numbers that are options, too."""


class Weather(Section):
    """Numbers of both directions; what is absent is as the scenario says."""

    rate: PositiveInt | None = None
    """Bits per second. The ends keep to the scenario's: a lower one fills the queue."""
    delay: NonNegativeInt | None = None
    """From the last bit sent to the arrival, milliseconds."""
    jitter: NonNegativeInt | None = None
    """Longest extra delay of every datagram, milliseconds; order is kept."""
    loss: Probability | None = None
    """Mean share of datagrams lost; bursts are as long as the scenario's."""
    bit_errors: Annotated[float, Field(ge=0, le=0.5)] | None = None
    """Chance of each bit to arrive flipped."""
    blackout: bool | None = None
    """Whether everything that is sent is lost."""

    def over(self, settings: ChannelSettings) -> ChannelSettings:
        """A direction of the scenario in this weather."""
        changed = settings if self.rate is None else replace(settings, rate_bps=self.rate)
        changed = replace(changed, rates=tuple(self._step(step) for step in settings.rates))
        if self.delay is not None:
            changed = replace(changed, delay_ms=self.delay)
        if self.jitter is not None:
            changed = replace(changed, jitter_ms=self.jitter)
        if self.loss is not None:
            changed = replace(changed, loss=settings.loss.scaled_to(self.loss))
        if self.bit_errors is not None:
            changed = replace(changed, bit_error_rate=self.bit_errors)
        return replace(changed, blackouts=((0, ALWAYS_MS),)) if self.blackout else changed

    def before(self, other: "Weather") -> "Weather":
        """This one, and the other's numbers where this one says nothing."""
        return other.model_copy(update=self.model_dump(exclude_none=True))

    def _step(self, step: ChannelRate) -> ChannelRate:
        changed = step
        if self.rate is not None:
            changed = replace(changed, rate_bps=self.rate, robust_rate_bps=self.rate)
        if self.loss is not None:
            changed = replace(changed, frame_loss=self.loss, robust_frame_loss=self.loss)
        return changed if self.bit_errors is None else replace(changed, bit_error_rate=self.bit_errors)


def told_weather(source: OptionSource) -> Weather:
    """That of the options. Raises ServiceError."""
    told = {name: source.of(name, kind) for name, kind in OPTION_KINDS.items()}
    try:
        return Weather.model_validate(told)
    except ValidationError as error:
        raise ServiceError(f"the weather of the options cannot be used:{_listed(error)}") from error


class WeatherFile:
    """A weather file that may come, change and go at any time."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._text: str | None = None

    def read(self) -> Weather | None:
        """The weather where the file has changed since it was read last (without file: none of its own), None where it has not.

        Raises ServiceError where it cannot be used; the same text is then not read again.
        """
        problem: Exception | None = None
        try:
            text = self.file.read_text(encoding="utf-8")
        except FileNotFoundError:
            text = ""
        except (OSError, UnicodeDecodeError) as error:
            text, problem = str(error), error
        if text == self._text:
            return None
        self._text = text
        if problem is not None:
            raise ServiceError(f"weather file {self.file} cannot be read ({text}); give a TOML file") from problem
        try:
            return Weather.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ServiceError(f"weather file {self.file} is not valid TOML: {error}") from error
        except ValidationError as error:
            raise ServiceError(f"weather file {self.file} cannot be used:{_listed(error)}") from error


def _listed(error: ValidationError) -> str:
    return "".join(f"\n  {problem}" for problem in problems_of(error, Weather))
