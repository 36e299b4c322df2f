"""The governor in real time: how much effort the power system allows now, or how long to wait.

Four rules, each from a reading of the power system (`onboard.eps_reading`); what a reading does not say limits nothing:

* **Power.** Image processing may use what the limit leaves: `cap - idle - radio`, the radio only while it is on. Joules gather at
  that rate in a bucket of limited depth; a tile begins when its price is there, and what it really took is taken out. Over any
  time, what is spent is at most what was available, plus the depth, plus the overrun of the last step. At 0 W or less nothing begins
  and nothing is kept for later.
* **Charge.** Below the reserve nothing is searched, below the floor nothing is done.
* **Heat.** Within a margin of the critical temperature nothing is done.
* **Blindness.** What was said once and is said no more stays in force; after a while nothing is searched until it is said again.

Charge and heat let go a little beyond where they took hold, so that a value on the edge does not flap. Nothing here reads a clock:
time is an argument, monotonic milliseconds.
"""

from dataclasses import dataclass, replace

from onboard.eps_reading import EpsReading
from onboard.errors import EnergyError
from onboard.governor import Decision, Effort

SHORTEST_WAIT_MS = 10
LIMITING = ("charge_fraction", "cap_w", "temperature_c", "critical_c")
"""The words of a reading that limit work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimits:
    """What image processing must leave alone."""

    idle_w: float
    """What the bus draws always, watts; inside the power limit."""
    radio_w: float
    """What the transmitter draws while it is on, watts; inside the power limit."""
    reserve_fraction: float
    """Share of the charge below which nothing is searched."""
    floor_fraction: float
    """Share of the charge below which nothing is done; not above the reserve."""
    burst_j: float = 4.0
    """Depth of the bucket, joules; a dearer tile makes it deeper for itself."""
    heat_margin_c: float = 5.0
    """Work stops this far below the critical temperature, degrees."""
    charge_band: float = 0.02
    """Charge must rise this far above a limit before it lets go, share of the charge."""
    heat_band_c: float = 3.0
    """Temperature must fall this far below where work stopped before it goes on, degrees."""
    look_again_ms: int = 500
    """Longest wait before the power system is asked again."""
    blind_after_ms: int = 30_000
    """How long old readings are as good as new."""

    def __post_init__(self) -> None:
        if not 0 <= self.floor_fraction <= self.reserve_fraction <= 1:
            raise EnergyError(
                f"a floor of {self.floor_fraction} and a reserve of {self.reserve_fraction} cannot be; "
                "give 0 <= floor <= reserve <= 1"
            )
        amounts = (self.idle_w, self.radio_w, self.burst_j, self.heat_margin_c, self.charge_band, self.heat_band_c)
        if not all(amount >= 0 for amount in amounts):
            raise EnergyError(f"powers, depths and margins must be 0 or more; got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """No work now."""

    for_ms: int
    """Ask again after so long."""
    reason: str
    """The numbers behind it, for the record."""


class PowerBudget:
    """What may be spent, followed over time."""

    def __init__(self, limits: BudgetLimits, *, now_ms: int) -> None:
        self.limits = limits
        self.reading = EpsReading()
        """The last word of the power system, older words where the last one was silent."""
        self._now_ms = now_ms
        self._silent_since_ms: int | None = None
        self._available_w: float | None = None
        self._bucket_j = 0.0
        self._depth_j = limits.burst_j
        self._charge_allows = Effort.DETECT
        self._too_hot = False
        self._missing: tuple[str, ...] = ()

    @property
    def available_w(self) -> float | None:
        """What the limit leaves to image processing, watts, not below 0; None where there is no limit."""
        return None if self._available_w is None else max(0.0, self._available_w)

    def observe(self, reading: EpsReading | None, *, radio_on: bool, now_ms: int) -> None:
        """Take a reading, None where none could be had.

        The time since the last one counts with the lower of both powers.
        """
        known = EpsReading() if reading is None else reading
        self._missing = tuple(
            name for name in LIMITING if getattr(known, name) is None and getattr(self.reading, name) is not None
        )
        if reading is not None and not self._missing:
            self._silent_since_ms = None
        elif self._silent_since_ms is None:
            self._silent_since_ms = now_ms
        self.reading = replace(known, **{name: getattr(self.reading, name) for name in self._missing})
        available_w = self._available(radio_on)
        self._pass_time(now_ms, available_w)
        self._available_w = available_w
        self._judge_charge()
        self._judge_heat()

    def decide(self, *, screen_only_j: float, detect_j: float, now_ms: int) -> Decision | Wait:
        """The effort that a tile may take now, given the price of each, or how long to wait."""
        self._pass_time(now_ms, self._available_w)
        if self._too_hot:
            return self._wait(f"{self._heat()}; work goes on below {self._cool_c():.1f} degC")
        effort = self._charge_allows
        if effort is Effort.SKIP:
            return self._wait(f"charge {self._charge()} is below the floor of {self.limits.floor_fraction:.0%}")
        reasons = [f"charge {self._charge()}"]
        if effort is Effort.SCREEN_ONLY:
            reasons = [f"charge {self._charge()} is below the reserve of {self.limits.reserve_fraction:.0%}"]
        blind_ms = 0 if self._silent_since_ms is None else now_ms - self._silent_since_ms
        if blind_ms > self.limits.blind_after_ms:
            effort = min(effort, Effort.SCREEN_ONLY)
            what = ", ".join(self._missing) or "anything"
            reasons.append(f"the power system has not said {what} for {blind_ms / 1000:.0f} s")
        price_j = detect_j if effort is Effort.DETECT else screen_only_j
        if (wait := self._unpaid(price_j)) is not None:
            return wait
        reasons.append(f"{effort.name} costs about {price_j:.2f} J")
        if self._available_w is not None:
            reasons.append(f"{self._bucket_j:.2f} J saved at {self._available_w:.2f} W")
        return Decision(effort=effort, reason="; ".join(reasons))

    def debt(self, *, now_ms: int) -> Wait | None:
        """How long to wait before any further step where more was spent than was there; None where nothing is owed."""
        self._pass_time(now_ms, self._available_w)
        return self._unpaid(0.0) if self._bucket_j < 0 else None

    def spend(self, energy_j: float) -> None:
        """Take out what a step really took, joules; the bucket may go below zero."""
        if not energy_j >= 0:
            raise EnergyError(f"a step cannot cost {energy_j} J; give 0 or more")
        if self._available_w is not None:
            self._bucket_j -= energy_j

    def _available(self, radio_on: bool) -> float | None:
        if self.reading.cap_w is None:
            return None
        return self.reading.cap_w - self.limits.idle_w - (self.limits.radio_w if radio_on else 0.0)

    def _pass_time(self, now_ms: int, available_w: float | None) -> None:
        """Fill the bucket up to now. Where there was or is no limit, it starts empty."""
        elapsed_ms = max(0, now_ms - self._now_ms)
        self._now_ms = max(self._now_ms, now_ms)
        if self._available_w is None or available_w is None:
            self._bucket_j = 0.0
            return
        power_w = min(self._available_w, available_w)
        self._bucket_j = min(self._depth_j, self._bucket_j + max(0.0, power_w) * elapsed_ms / 1000)
        if power_w <= 0:
            self._bucket_j = min(0.0, self._bucket_j)

    def _unpaid(self, price_j: float) -> Wait | None:
        """How long until the bucket holds a price; None where it does."""
        if self._available_w is None:
            return None
        self._depth_j = max(self.limits.burst_j, price_j)
        if self._available_w <= 0:
            return self._wait(f"the limit of {self.reading.cap_w:.2f} W leaves {self._available_w:.2f} W to work with")
        missing_j = price_j - self._bucket_j
        if missing_j <= 0:
            return None
        missing_ms = 1000 * missing_j / self._available_w
        return self._wait(
            f"{missing_j:.2f} J of {price_j:.2f} J are still to be saved at {self._available_w:.2f} W", missing_ms
        )

    def _wait(self, reason: str, missing_ms: float = float("inf")) -> Wait:
        longest = self.limits.look_again_ms
        for_ms = longest if missing_ms >= longest else max(SHORTEST_WAIT_MS, int(missing_ms) + 1)
        return Wait(for_ms=for_ms, reason=reason)

    def _judge_charge(self) -> None:
        """The highest effort that the charge allows; one that was taken away comes back a band above its limit."""
        charge, limits = self.reading.charge_fraction, self.limits
        if charge is None:
            self._charge_allows = Effort.DETECT
            return
        thresholds = {Effort.DETECT: limits.reserve_fraction, Effort.SCREEN_ONLY: limits.floor_fraction}
        # A full battery is above every limit, however near to full the limit stands.
        self._charge_allows = next(
            (
                effort
                for effort, limit in thresholds.items()
                if charge >= (limit if effort <= self._charge_allows else min(1.0, limit + limits.charge_band))
            ),
            Effort.SKIP,
        )

    def _judge_heat(self) -> None:
        now_c, critical_c = self.reading.temperature_c, self.reading.critical_c
        if now_c is None or critical_c is None:
            self._too_hot = False
        else:
            self._too_hot = now_c >= self._stop_c() or (self._too_hot and now_c >= self._cool_c())

    def _stop_c(self) -> float:
        return (self.reading.critical_c or 0.0) - self.limits.heat_margin_c

    def _cool_c(self) -> float:
        return self._stop_c() - self.limits.heat_band_c

    def _heat(self) -> str:
        return f"{self.reading.temperature_c:.1f} degC is too near the critical {self.reading.critical_c:.1f} degC"

    def _charge(self) -> str:
        charge = self.reading.charge_fraction
        return "unknown" if charge is None else f"{charge:.1%}"
