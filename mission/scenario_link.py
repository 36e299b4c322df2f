"""Scenario sections of the link: its faults, its frames, its timers."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from mission.channel import GilbertElliott
from mission.errors import ChannelError
from mission.scenario_section import NonNegativeFloat, PositiveInt, Probability, Section

Loss = Annotated[float, Field(ge=0, lt=1)]


class BurstSection(Section):
    """`[channel.burst]`: a Gilbert-Elliott channel that steps once per frame between a good and a bad state."""

    p_good_to_bad: Probability | None = None
    """Chance per frame to fall into the bad state. Absent: whatever makes the mean loss equal `frame_loss`."""
    p_bad_to_good: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Chance per frame to recover; its inverse is the mean length of a burst in frames."""
    loss_good: Loss = 0.0
    """Chance to lose a frame in the good state."""
    loss_bad: Probability = 1.0
    """Chance to lose a frame in the bad state."""

    def model(self, frame_loss: float | None) -> GilbertElliott:
        """The burst model, with `frame_loss` as mean where it is given. Raises ChannelError where no model has that mean."""
        if frame_loss is None:
            if self.p_good_to_bad is None:
                raise ChannelError("give frame_loss, or p_good_to_bad of the burst")
            return GilbertElliott(
                p_good_to_bad=self.p_good_to_bad,
                p_bad_to_good=self.p_bad_to_good,
                loss_good=self.loss_good,
                loss_bad=self.loss_bad,
            )
        return GilbertElliott.with_mean(
            frame_loss, p_bad_to_good=self.p_bad_to_good, loss_good=self.loss_good, loss_bad=self.loss_bad
        )


class ChannelSection(Section):
    """`[channel]`: what the link does to transfer frames. A contact may say its own frame_loss and burst."""

    frame_loss: Loss | None = None
    """Mean share of downlink frames lost. Together with `burst` it sets how often bursts begin."""
    burst: BurstSection | None = None
    """Shape of the bursts. Absent: frames are lost independently."""
    bit_error_rate: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Chance of each bit to arrive flipped, after the radio's own error correction."""
    duplicate: Probability = 0.0
    """Chance that a frame arrives twice (ground networks repeat)."""
    reorder: Probability = 0.0
    """Chance that a frame is held back and overtaken."""
    reorder_window_ms: PositiveInt = 20
    """Longest time by which a reordered or repeated frame is late, milliseconds."""
    uplink_loss: Loss = 0.0
    """Share of uplink frames lost, independently. Bit errors, duplicates and reordering are the same in both directions."""

    @model_validator(mode="after")
    def _one_mean(self) -> Self:
        if self.burst is not None:
            if (self.frame_loss is None) == (self.burst.p_good_to_bad is None):
                raise ValueError(
                    "with [channel.burst] give exactly one of frame_loss (the mean) and burst.p_good_to_bad (the mean follows)"
                )
            try:
                self.burst.model(self.frame_loss)
            except ChannelError as error:
                raise ValueError(str(error)) from error
        return self


class LinkSection(Section):
    """`[link]`: transfer frames and the timers of file delivery."""

    frame_bytes: Annotated[int, Field(ge=64, le=2048)] = 1115
    """Length of a transfer frame on the link, bytes (1115 is five interleaved RS(255,223) codewords without their parity)."""
    spacecraft_id: Annotated[int, Field(ge=0, le=1023)] = 0x2A5
    """Spacecraft identifier in every frame, 10 bits."""
    ack_timer_s: Annotated[float, Field(gt=0)] = 1.0
    """Wait for an acknowledgement before repeating, seconds of link time."""
    nak_timer_s: Annotated[float, Field(gt=0)] = 0.5
    """Wait for missing segments before asking again, seconds of link time."""
    alert_repeat_s: NonNegativeFloat = 0.5
    """Wait before an unacknowledged alert is sent again, seconds of link time."""
