"""What a step costs, where it is not measured or not yet run. docs/energy.md says how the figures were found."""

from dataclasses import dataclass
from enum import StrEnum

from onboard.errors import EnergyError


class EnergyStep(StrEnum):
    """What energy is spent on."""

    INGEST = "ingest"
    SCREEN = "screen"
    STORE = "store"
    DETECT = "detect"
    ENCODE = "encode"
    TRANSMIT = "transmit"
    IDLE = "idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyPrices:
    """Price list: joules per million scene pixels, all bands together."""

    ingest_j_per_mpix: float
    """Reading and decoding."""
    screen_j_per_mpix: float
    """Screening."""
    detect_j_per_mpix: float
    """The detector; the halo's pixels are inside the price."""
    encode_j_per_mpix: float
    """Progressive image coding, when it is done, the reading of the raw tile included."""
    store_j_per_mpix: float = 0.0
    """Keeping a tile raw: its coding cost forecast, the fast lossless codec, the raw store."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not getattr(self, name) >= 0:
                raise EnergyError(f"price {name} is {getattr(self, name)}; give 0 or more")

    def survey_j(self, megapixels: float) -> float:
        """Joules of a tile in the survey without the detector: read, screened, kept raw."""
        return sum(self.step_j(step, megapixels) for step in (EnergyStep.INGEST, EnergyStep.SCREEN, EnergyStep.STORE))

    def step_j(self, step: EnergyStep, megapixels: float) -> float:
        """Joules for a step over so many million scene pixels; only for steps that are paid by the pixel."""
        match step:
            case EnergyStep.INGEST:
                return self.ingest_j_per_mpix * megapixels
            case EnergyStep.SCREEN:
                return self.screen_j_per_mpix * megapixels
            case EnergyStep.STORE:
                return self.store_j_per_mpix * megapixels
            case EnergyStep.DETECT:
                return self.detect_j_per_mpix * megapixels
            case EnergyStep.ENCODE:
                return self.encode_j_per_mpix * megapixels
            case EnergyStep.TRANSMIT | EnergyStep.IDLE:
                raise EnergyError(f"step {step.value!r} is not paid by the pixel; it costs watts times time")
