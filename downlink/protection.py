"""How strongly to protect what: one more symbol of an object is one more thing to rank by value per byte.

An object of K source symbols is worth its value once enough symbols have arrived. With N sent, their number is
beta-binomial (the loss is uncertain, see `downlink.frame_loss`), so the chance to decode is a sum over the number of
symbols it takes. That chance rises slowly, steeply and slowly again with N; the corners of its upper concave hull are
the only N worth stopping at, and the steps between them, ranked over all objects by value gained per byte, are what a
link of any capacity should carry: valuable objects are protected strongly, worthless ones not at all (unequal error
protection as in Mohr, Riskin and Ladner, IEEE JSAC 18 (2000), with the hull of Sinha and Zoltners 1979).
"""

import heapq
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from downlink.errors import ProtectionError
from downlink.frame_loss import LossBelief

Key = TypeVar("Key", bound=Hashable)

DECODED_AT: Final = (1 - 1 / 220, 1 / 220 - 1 / 50_000, 1 / 50_000)
"""Share of cases in which RaptorQ decodes from exactly K, K + 1 and K + 2 symbols, measured over K from 2 to 200."""
DECODED_AT_ONCE: Final = (1.0,)
"""The same for an object of one symbol: every symbol is enough."""
SURE: Final = 1 - 1e-6
"""Beyond this chance nothing is added."""
CURVE_SYMBOLS_PER_NEEDED: Final = 4
"""No curve goes beyond this many times the symbols that the mean loss calls for."""
NEGLIGIBLE: Final = 1e-7
OBJECT_SYMBOLS: Final = (1, 2, 4, 8, 16, 32, 64)
"""Source symbols of objects made of small layers."""

Chances = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentSymbols:
    """Symbols of an object sent so far, and how many of them may have arrived."""

    symbols: int = 0
    """How many were sent."""
    mean_heard: float = 0.0
    """Expected number of them that arrived."""
    variance_heard: float = 0.0
    """Variance of that number."""

    def more(self, symbols: int, belief: LossBelief) -> "SentSymbols":
        """With `symbols` more, sent in a pass of which `belief` is held."""
        heard = 1 - belief.mean
        spread = heard * belief.mean * (1 + (symbols - 1) / (1 + belief.weight_frames))
        return SentSymbols(
            symbols=self.symbols + symbols,
            mean_heard=self.mean_heard + symbols * heard,
            variance_heard=self.variance_heard + symbols * spread,
        )


NOTHING_SENT: Final = SentSymbols()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectionStep:
    """Symbols of an object that are worth sending only together."""

    symbols: int
    """How many more to send."""
    gain: float
    """What they add to the chance to decode."""


@lru_cache(maxsize=512)
def decode_chances(source_symbols: int, belief: LossBelief, sent: SentSymbols = NOTHING_SENT) -> Chances:
    """Chance that an object is decoded after 0, 1, 2, ... more symbols, until it is all but sure. Read-only.

    Beta-negative-binomial sums: at which symbol sent does the m-th arrive. `sent` counts what earlier passes may have brought.
    """
    if source_symbols < 1:
        raise ProtectionError(f"an object of {source_symbols} source symbols; it has at least 1")
    decoded_at = DECODED_AT if source_symbols > 1 else DECODED_AT_ONCE
    longest = math.ceil(CURVE_SYMBOLS_PER_NEEDED * (source_symbols + len(decoded_at)) / (1 - belief.mean)) + 32
    held = _held_chances(sent, source_symbols + len(decoded_at) - 1)
    chances = np.zeros(longest + 1)
    for more, share in enumerate(decoded_at):
        threshold = source_symbols + more
        for already in np.flatnonzero(held[:threshold] > NEGLIGIBLE):
            chances += share * held[already] * _arrival_chances(threshold - int(already), belief, longest)
        chances += share * held[threshold:].sum()
    if not sent.symbols:
        chances += (1 - decoded_at[0]) * _nothing_but_source_chances(source_symbols, belief, longest)
    chances = np.maximum.accumulate(np.minimum(chances, 1.0))
    enough = int(np.searchsorted(chances, SURE))
    chances = chances[: enough + 1].copy()
    chances.flags.writeable = False
    return chances


@lru_cache(maxsize=512)
def protection_steps(
    source_symbols: int, belief: LossBelief, sent: SentSymbols = NOTHING_SENT
) -> tuple[ProtectionStep, ...]:
    """The steps of the concave hull of `decode_chances`, of falling gain per symbol."""
    chances = decode_chances(source_symbols, belief, sent)
    corners = [0]
    for symbols in range(1, len(chances)):
        while len(corners) > 1 and _slope(chances, corners[-2], corners[-1]) <= _slope(chances, corners[-1], symbols):
            corners.pop()
        corners.append(symbols)
    return tuple(
        ProtectionStep(symbols=after - before, gain=float(chances[after] - chances[before]))
        for before, after in pairwise(corners)
        if chances[after] > chances[before]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """An object that asks for protection."""

    source_symbols: int
    """K, at least 1."""
    packet_bytes: int
    """What one symbol costs on the link."""
    value: float
    """What the object is worth on the ground."""
    sent: SentSymbols = NOTHING_SENT
    """What has been sent of it before."""


class ProtectionQueue(Generic[Key]):
    """The steps of all objects, those that gain most value per byte first; ties go to the object that came first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, Key, Demand, tuple[ProtectionStep, ...]]] = []
        self._entries = 0

    def add(self, key: Key, demand: Demand, belief: LossBelief) -> None:
        """Queue an object under `key`; what it gains is reckoned with `belief`."""
        steps = protection_steps(demand.source_symbols, belief, demand.sent)
        self._push(0, self._entries, key, demand, steps)
        self._entries += 1

    def take(self, room_bytes: float = math.inf) -> tuple[Key, int] | None:
        """The best step that fits the room, as key and symbols, or None. What does not fit stays for a later call."""
        passed = []
        taken = None
        while self._heap and taken is None:
            entry = heapq.heappop(self._heap)
            _, order, at, key, demand, steps = entry
            if steps[at].symbols * demand.packet_bytes <= room_bytes:
                taken = key, steps[at].symbols
                self._push(at + 1, order, key, demand, steps)
            else:
                passed.append(entry)
        for entry in passed:
            heapq.heappush(self._heap, entry)
        return taken

    def _push(self, at: int, order: int, key: Key, demand: Demand, steps: tuple[ProtectionStep, ...]) -> None:
        if at < len(steps) and demand.value > 0:
            density = demand.value * steps[at].gain / (steps[at].symbols * demand.packet_bytes)
            heapq.heappush(self._heap, (-density, order, at, key, demand, steps))


def choose_symbols(demands: Sequence[Demand], belief: LossBelief, *, capacity_bytes: int) -> tuple[int, ...]:
    """How many symbols of each object to send in a pass of this capacity, for the largest expected value.

    Greedy over hull steps: what is lost to the optimum is less than one step at the end of the pass.
    """
    queue: ProtectionQueue[int] = ProtectionQueue()
    for number, demand in enumerate(demands):
        queue.add(number, demand, belief)
    chosen = [0] * len(demands)
    left_bytes = capacity_bytes
    while (step := queue.take(left_bytes)) is not None:
        number, symbols = step
        chosen[number] += symbols
        left_bytes -= symbols * demands[number].packet_bytes
    return tuple(chosen)


def symbols_at_price(demand: Demand, belief: LossBelief, *, price_per_byte: float) -> int:
    """Symbols worth sending where a byte on the link is worth `price_per_byte`."""
    symbols = 0
    for step in protection_steps(demand.source_symbols, belief, demand.sent):
        if demand.value * step.gain < price_per_byte * step.symbols * demand.packet_bytes:
            break
        symbols += step.symbols
    return symbols


@lru_cache(maxsize=4096)
def decoded_chance(source_symbols: int, sent: SentSymbols) -> float:
    """Chance that an object is decoded from what has been sent of it."""
    decoded_at = DECODED_AT if source_symbols > 1 else DECODED_AT_ONCE
    held = _held_chances(sent, source_symbols + len(decoded_at) - 1)
    chance = sum(share * held[source_symbols + more :].sum() for more, share in enumerate(decoded_at))
    return min(1.0, float(chance))


@lru_cache(maxsize=512)
def best_object_symbols(value_ratio: float, belief: LossBelief) -> int:
    """How many source symbols of small layers to code together, where they are worth `value_ratio` times their price.

    Long objects protect cheaply, for the law of large numbers; short ones lose less when they fail. The best of
    OBJECT_SYMBOLS is the one whose surplus per source symbol, at the best number of symbols sent, is largest.
    """

    def surplus(source_symbols: int) -> float:
        chances = decode_chances(source_symbols, belief)
        return float(np.max(value_ratio * source_symbols * chances - np.arange(len(chances)))) / source_symbols

    return max(OBJECT_SYMBOLS, key=lambda source_symbols: (surplus(source_symbols), -source_symbols))


def uniform_symbols(source_symbols: int, frame_loss: float) -> int:
    """The rule of thumb that treats all alike: K / (1 - p) and 4 % more."""
    return math.ceil(1.04 * source_symbols / (1 - frame_loss))


def _slope(chances: Chances, before: int, after: int) -> float:
    return float(chances[after] - chances[before]) / (after - before)


def _log_beta(first: float, second: float) -> float:
    return math.lgamma(first) + math.lgamma(second) - math.lgamma(first + second)


def _arrival_chances(needed: int, belief: LossBelief, longest: int) -> Chances:
    """Chance that `needed` symbols have arrived after 0 to `longest` sent, by the ratio of successive terms."""
    chances = np.zeros(longest + 1)
    if needed > longest:
        return chances
    heard, lost = belief.heard_weight, belief.lost_weight
    sent = np.arange(needed, longest, dtype=np.float64)
    ratios = sent / (sent - needed + 1) * (lost + sent - needed) / (heard + lost + sent)
    first = _log_beta(heard + needed, lost) - _log_beta(heard, lost)
    chances[needed:] = np.cumsum(np.exp(first + np.concatenate(([0.0], np.cumsum(np.log(ratios))))))
    return chances


def _nothing_but_source_chances(source_symbols: int, belief: LossBelief, longest: int) -> Chances:
    """Chance that all source symbols have arrived and no other: those decode in every case."""
    chances = np.zeros(longest + 1)
    heard, lost = belief.heard_weight, belief.lost_weight
    repair = np.arange(0, longest - source_symbols, dtype=np.float64)
    ratios = (lost + repair) / (heard + lost + source_symbols + repair)
    first = _log_beta(heard + source_symbols, lost) - _log_beta(heard, lost)
    chances[source_symbols:] = np.exp(first + np.concatenate(([0.0], np.cumsum(np.log(ratios)))))
    return chances


def _held_chances(sent: SentSymbols, most: int) -> Chances:
    """Chance that 0, 1, ... of the symbols sent have arrived; `most` or more are one case.

    A beta-binomial with the mean and the variance of `sent`.
    """
    chances = np.zeros(most + 1)
    if sent.symbols == 0:
        chances[0] = 1.0
        return chances
    symbols = sent.symbols
    share = min(max(sent.mean_heard / symbols, NEGLIGIBLE), 1 - NEGLIGIBLE)
    pairwise = sent.variance_heard / (symbols * share * (1 - share)) - 1
    weight = 1 / min(max(pairwise / max(1, symbols - 1), 1e-6), 0.999) - 1
    heard, lost = weight * share, weight * (1 - share)
    arrived = np.arange(0, symbols, dtype=np.float64)
    ratios = (symbols - arrived) / (arrived + 1) * (heard + arrived) / (lost + symbols - arrived - 1)
    first = _log_beta(heard, lost + symbols) - _log_beta(heard, lost)
    every = np.exp(first + np.concatenate(([0.0], np.cumsum(np.log(ratios)))))
    kept = min(most, symbols + 1)
    chances[:kept] = every[:kept]
    chances[most] += every[kept:].sum()
    return chances
