"""`[reference]` of a policy: when a block is predicted from an earlier one (pydantic)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Factor = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]


class ReferenceSettings(BaseModel):
    """Thresholds of the choice between coding alone, the difference, and nothing new."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    search_px: Annotated[float, Field(ge=0, le=4, allow_inf_nan=False)] = 3.0
    """How far the images may lie from where their georeferences say, along each axis."""
    least_overlap: Share = 0.5
    """Share of a block's valid pixels that the reference must show."""
    clearly_better: Factor = 0.5
    """Expected bytes of the difference over those alone below which coding alone is not tried."""
    clearly_worse: Factor = 1.005
    """Expected ratio, at any quality, above which the difference is not tried."""
    worst_ratio: Factor = 1.01
    """Bytes of the difference over those alone, at equal quality: above this nowhere on the ladder, its lossless end included. A
    percent is what measuring on a sample of rows and between steps cannot tell apart."""
    least_saving: Share = 0.02
    """Share of the bytes that the difference must save over the ladder: what leans on another image may be lost with it."""
    unchanged_sigmas: Factor = 1.25
    """A block is unchanged where it differs from its prediction by at most so many times the noise of the two."""
    changed_sigmas: Factor = 4.0
    """A pixel has changed where it differs by more than so many times the block's usual difference."""
