"""Modulations and code rates of the radio: what each carries, from which signal on, and how its errors fall (pure).

The set is that of DVB-S2 as CCSDS 131.3-B takes it over for space links: LDPC codes of 64,800 bits with an outer BCH code
under QPSK to 32APSK. Transfer frames, each behind a 32-bit sync marker, run as one stream through the data fields of the
baseband frames (131.3-B, section 3), so a transfer frame is lost when any codeword that it touches is lost.

The thresholds are those of ETSI EN 302 307-1, table 13: the Es/N0 of quasi-error-free reception (packet error rate 1e-7) in
white Gaussian noise with 50 decoder iterations and perfect synchronisation. The bits per symbol of that table follow from the block
lengths of its table 5a.

Codeword error rates are a model: Q((Es/N0 - m) / s) in decibels. The slope s is that of the normal approximation to the
best code of the same length (Polyanskiy, Poor, Verdu, "Channel coding rate in the finite blocklength regime", IEEE Trans.
Information Theory 56, 2010, equations 223 and 293), widened by DECODER_WIDENING because an LDPC decoder falls less
steeply; m is set so that the rate is 1e-7 at the threshold. The model stays within 0.1 dB of the published Monte Carlo
curves of the AFF3CT DVB-S2 receiver (github.com/aff3ct/dvbs2, refs/BB), which cover codeword error rates from 0.6 to 1e-3
at codewords of 16,200 bits; an error floor is not modelled.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from downlink.errors import RadioError

CODEWORD_BITS: Final = 64800
"""A normal FECFRAME."""
HEADER_SYMBOLS: Final = 90
"""Physical layer header of a codeword."""
SLOT_SYMBOLS: Final = 90
"""A codeword is sent in slots of so many symbols."""
PILOT_SYMBOLS: Final = 36
"""Unmodulated symbols after every 16 slots, where pilots are used."""
BASEBAND_HEADER_BITS: Final = 80
SYNC_MARKER_BYTES: Final = 4
"""Before every transfer frame (CCSDS 131.0-B, 9.3)."""
THRESHOLD_ERROR_RATE: Final = 1e-7
"""Codeword error rate at the threshold."""
DECODER_WIDENING: Final = 1.6
"""Slope of the ideal code over that of the decoder, in decibels: 1.35 to 1.76 over the five published curves, 1.56 on average."""

INFORMATION_BITS: Final = {
    "1/4": 16008,
    "1/3": 21408,
    "2/5": 25728,
    "1/2": 32208,
    "3/5": 38688,
    "2/3": 43040,
    "3/4": 48408,
    "4/5": 51648,
    "5/6": 53840,
    "8/9": 57472,
    "9/10": 58192,
}
"""Bits into the outer code of a codeword, per code rate (EN 302 307-1, table 5a)."""

_NORMAL = NormalDist()
_THRESHOLD_DEVIATIONS: Final = -_NORMAL.inv_cdf(THRESHOLD_ERROR_RATE)
_BITS_PER_NEPER: Final = 1 / math.log(2)
_NEPERS_PER_DB: Final = math.log(10) / 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ModCod:
    """One modulation with one code rate."""

    name: str
    """As in the standard: `QPSK 1/4`."""
    bits_per_symbol: int
    """Coded bits in a symbol of the modulation: 2 to 5."""
    information_bits: int
    """Bits into the outer code of a codeword."""
    threshold_db: float
    """Es/N0 of quasi-error-free reception, dB."""

    @property
    def data_field_bits(self) -> int:
        """Bits of the stream of transfer frames in a codeword."""
        return self.information_bits - BASEBAND_HEADER_BITS

    def codeword_symbols(self, *, pilots: bool = False) -> int:
        """Channel symbols of a codeword, header and pilots included."""
        slots = CODEWORD_BITS // self.bits_per_symbol // SLOT_SYMBOLS
        return HEADER_SYMBOLS + slots * SLOT_SYMBOLS + (((slots - 1) // 16) * PILOT_SYMBOLS if pilots else 0)

    def efficiency(self, *, pilots: bool = False) -> float:
        """Bits of the stream of transfer frames per channel symbol."""
        return self.data_field_bits / self.codeword_symbols(pilots=pilots)

    def frame_rate_bps(self, symbol_rate_hz: float, frame_bytes: int, *, pilots: bool = False) -> int:
        """Bits of transfer frames per second, without their sync markers."""
        share = frame_bytes / (frame_bytes + SYNC_MARKER_BYTES)
        return int(symbol_rate_hz * self.efficiency(pilots=pilots) * share)


def _modulation(name: str, bits_per_symbol: int, thresholds_db: dict[str, float]) -> tuple[ModCod, ...]:
    return tuple(
        ModCod(
            name=f"{name} {rate}",
            bits_per_symbol=bits_per_symbol,
            information_bits=INFORMATION_BITS[rate],
            threshold_db=threshold_db,
        )
        for rate, threshold_db in thresholds_db.items()
    )


QPSK_THRESHOLDS_DB = {
    "1/4": -2.35, "1/3": -1.24, "2/5": -0.30, "1/2": 1.00, "3/5": 2.23, "2/3": 3.10,
    "3/4": 4.03, "4/5": 4.68, "5/6": 5.18, "8/9": 6.20, "9/10": 6.42,
}  # fmt: skip
PSK8_THRESHOLDS_DB = {"3/5": 5.50, "2/3": 6.62, "3/4": 7.91, "5/6": 9.35, "8/9": 10.69, "9/10": 10.98}
APSK16_THRESHOLDS_DB = {"2/3": 8.97, "3/4": 10.21, "4/5": 11.03, "5/6": 11.61, "8/9": 12.89, "9/10": 13.13}
APSK32_THRESHOLDS_DB = {"3/4": 12.73, "4/5": 13.64, "5/6": 14.28, "8/9": 15.69, "9/10": 16.05}

DVB_S2: Final[tuple[ModCod, ...]] = (
    *_modulation("QPSK", 2, QPSK_THRESHOLDS_DB),
    *_modulation("8PSK", 3, PSK8_THRESHOLDS_DB),
    *_modulation("16APSK", 4, APSK16_THRESHOLDS_DB),
    *_modulation("32APSK", 5, APSK32_THRESHOLDS_DB),
)
"""All 28, in the order of the standard."""
MOST_ROBUST: Final = DVB_S2[0]


def modcod_named(name: str) -> ModCod:
    """The one of that name. Raises RadioError where there is none."""
    for modcod in DVB_S2:
        if modcod.name == name:
            return modcod
    known = ", ".join(modcod.name for modcod in DVB_S2)
    raise RadioError(f"there is no modulation and code rate {name!r}; known are {known}")


def strongest_carrier(es_n0_db: float, candidates: Sequence[ModCod] = DVB_S2) -> ModCod | None:
    """The one that carries most bits per symbol among those whose threshold is reached; None where no threshold is."""
    reached = [modcod for modcod in candidates if modcod.threshold_db <= es_n0_db]
    return max(reached, key=lambda modcod: (modcod.efficiency(), -modcod.threshold_db), default=None)


def more_robust(modcod: ModCod, gain_db: float) -> ModCod:
    """The one that carries most with a threshold at least `gain_db` lower; the most robust of all where none has."""
    return strongest_carrier(modcod.threshold_db - gain_db) or MOST_ROBUST


def codeword_error_rate(modcod: ModCod, es_n0_db: float, *, fade_sigma_db: float = 0.0) -> float:
    """Chance that a codeword is lost, 0 to 1 (the model of this module's docstring).

    `fade_sigma_db` is the standard deviation of a Gaussian fade in dB that is drawn anew for every codeword: it widens the slope.
    """
    width_db = waterfall_width_db(modcod)
    middle_db = modcod.threshold_db - _THRESHOLD_DEVIATIONS * width_db
    return _NORMAL.cdf((middle_db - es_n0_db) / math.hypot(width_db, fade_sigma_db))


def frame_error_rate(modcod: ModCod, es_n0_db: float, frame_bytes: int, *, fade_sigma_db: float = 0.0) -> float:
    """Chance that a transfer frame is lost: that any of the codewords is that it touches.

    A frame of b bits with its marker lies across 1 + (b - 1) / K codewords of K data bits on average over where it begins.
    """
    if frame_bytes < 1:
        raise RadioError(f"a transfer frame of {frame_bytes} bytes; give at least 1")
    lost = codeword_error_rate(modcod, es_n0_db, fade_sigma_db=fade_sigma_db)
    if lost >= 1.0:
        return 1.0
    touched = 1 + (8 * (frame_bytes + SYNC_MARKER_BYTES) - 1) / modcod.data_field_bits
    return -math.expm1(touched * math.log1p(-lost))


def waterfall_width_db(modcod: ModCod, *, codeword_bits: int = CODEWORD_BITS) -> float:
    """Standard deviation of the waterfall in dB: sqrt(V / n) / (dC / dEs/N0) at the threshold, times DECODER_WIDENING.

    C = log2(1 + S) and V = S (S + 2) / (S + 1)^2 log2(e)^2 of the complex Gaussian channel, n symbols in a codeword.
    """
    signal = 10 ** (modcod.threshold_db / 10)
    symbols = codeword_bits / modcod.bits_per_symbol
    dispersion = signal * (signal + 2) / (signal + 1) ** 2 * _BITS_PER_NEPER**2
    capacity_per_db = signal / (1 + signal) * _BITS_PER_NEPER * _NEPERS_PER_DB
    return DECODER_WIDENING * math.sqrt(dispersion / symbols) / capacity_per_db
