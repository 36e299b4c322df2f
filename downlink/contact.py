"""A contact: the time in which one station hears the satellite, and what the link carries meanwhile.

The field says *pass*, a keyword in Python. AOS is acquisition of signal, LOS loss of signal; both as the satellite counts
them. The contact is half open: a bit may leave at `aos_ms`, none leaves at `los_ms`.

Where coding and modulation follow the elevation the rate changes along the contact: `rates` has a step for every change
(`downlink.adaptive_coding` makes them).
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from downlink.errors import ContactError


@dataclass(frozen=True, slots=True, kw_only=True)
class RateStep:
    """What the downlink carries from one time of a contact until its next step, validated at birth (raises ContactError)."""

    from_ms: int
    """When the step begins, Unix ms UTC."""
    downlink_bps: int
    """Rate towards the ground in bits per second, transfer frames included; at least 1."""
    frame_loss: float
    """Expected share of transfer frames that are lost, 0 to 1."""
    modcod: str = ""
    """Modulation and code rate, as `downlink.modcod` names them; empty where nothing is known of the radio."""
    es_n0_db: float | None = None
    """Expected ratio of symbol energy to noise density, dB; None where nothing is known of the radio."""
    robust_bps: int | None = None
    """Rate of frames that are sent with stronger coding (alerts), at most `downlink_bps`; None: there is none."""
    robust_frame_loss: float | None = None
    """Expected loss of those frames, at most `frame_loss`; None with `robust_bps`."""

    def __post_init__(self) -> None:
        if self.downlink_bps < 1 or not 0 <= self.frame_loss <= 1:
            raise ContactError(
                f"rate step at {self.from_ms} ms: {self.downlink_bps} bit/s with frame loss {self.frame_loss}; "
                "give at least 1 bit/s and a loss in 0..1"
            )
        if (self.robust_bps is None) != (self.robust_frame_loss is None):
            raise ContactError(f"rate step at {self.from_ms} ms: give robust_bps and robust_frame_loss together")
        if self.robust_bps is None or self.robust_frame_loss is None:
            return
        if not (1 <= self.robust_bps <= self.downlink_bps and 0 <= self.robust_frame_loss <= self.frame_loss):
            raise ContactError(
                f"rate step at {self.from_ms} ms: robust frames at {self.robust_bps} bit/s with loss "
                f"{self.robust_frame_loss} are neither slower nor safer than others at {self.downlink_bps} bit/s with "
                f"{self.frame_loss}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One window over one station, validated at birth (raises ContactError)."""

    contact_id: int
    """Number of the contact in its mission, from 0 in order of AOS."""
    station: str
    """Name of the ground station."""
    aos_ms: int
    """Acquisition of signal, Unix ms UTC."""
    los_ms: int
    """Loss of signal, Unix ms UTC; after `aos_ms`."""
    downlink_bps: int
    """Rate towards the ground in bits per second, transfer frames included; at least 1."""
    uplink_bps: int
    """Rate towards the satellite in bits per second; 0 where the station only listens."""
    one_way_delay_ms: int
    """Time from the sender's last bit to the receiver, milliseconds."""
    frame_loss: float
    """Expected share of downlink transfer frames that are lost, 0 to 1 (excluded): what a planner reckons with.
    With `rates` it is not looked at: every step has its own."""
    rates: tuple[RateStep, ...] = ()
    """How the rate changes from AOS on, in order of time, the first step at or before AOS. Empty: `downlink_bps` and
    `frame_loss` hold throughout."""

    def __post_init__(self) -> None:
        if self.contact_id < 0:
            raise ContactError(f"contact_id {self.contact_id} is negative; count contacts from 0")
        name = f"contact {self.contact_id} over {self.station or 'a station without a name'}"
        if not self.station:
            raise ContactError(f"{name}: give the station a name")
        if self.los_ms <= self.aos_ms:
            raise ContactError(f"{name}: LOS {self.los_ms} ms is not after AOS {self.aos_ms} ms")
        if self.downlink_bps < 1 or self.uplink_bps < 0:
            raise ContactError(
                f"{name}: downlink {self.downlink_bps} bit/s and uplink {self.uplink_bps} bit/s; "
                "a downlink carries at least 1 bit/s, an uplink 0 or more"
            )
        if self.one_way_delay_ms < 0:
            raise ContactError(f"{name}: one-way delay {self.one_way_delay_ms} ms is negative")
        if not 0 <= self.frame_loss < 1:
            raise ContactError(f"{name}: frame loss {self.frame_loss} is not in 0..1 (1 excluded)")
        if self.rates and self.rates[0].from_ms > self.aos_ms:
            raise ContactError(
                f"{name}: its rates begin at {self.rates[0].from_ms} ms, after AOS {self.aos_ms} ms; begin them at AOS"
            )
        for former, latter in pairwise(self.rates):
            if latter.from_ms <= former.from_ms:
                raise ContactError(f"{name}: rate step at {latter.from_ms} ms does not come after {former.from_ms} ms")

    @property
    def duration_ms(self) -> int:
        """Time from AOS to LOS."""
        return self.los_ms - self.aos_ms

    @property
    def capacity_bytes(self) -> int:
        """Bytes that the downlink can carry from AOS to LOS, lost ones included, rounded down."""
        if not self.rates:
            return self.downlink_bps * self.duration_ms // 8000
        return sum(step.downlink_bps * duration_ms for step, duration_ms in self.spans()) // 8000

    @property
    def expected_bytes(self) -> int:
        """Bytes of transfer frames that are expected to arrive."""
        if not self.rates:
            return int(self.capacity_bytes * (1 - self.frame_loss))
        spans = self.spans()
        return int(sum(step.downlink_bps * duration_ms * (1 - step.frame_loss) for step, duration_ms in spans) / 8000)

    def rate_bps_at(self, now_ms: int) -> int:
        """Rate towards the ground at a time; before the first step that of the first, whatever LOS is."""
        return self.rates[self._index_at(now_ms)].downlink_bps if self.rates else self.downlink_bps

    def frame_loss_at(self, now_ms: int) -> float:
        """Expected loss at a time, as `rate_bps_at`."""
        return self.rates[self._index_at(now_ms)].frame_loss if self.rates else self.frame_loss

    def spans(self) -> Iterator[tuple[RateStep, int]]:
        """Every step that falls into the contact, with the milliseconds for which it holds; nothing without `rates`."""
        ends_ms = [step.from_ms for step in self.rates[1:]] + [self.los_ms]
        for step, end_ms in zip(self.rates, ends_ms, strict=False):
            duration_ms = min(end_ms, self.los_ms) - max(step.from_ms, self.aos_ms)
            if duration_ms > 0:
                yield step, duration_ms

    def _index_at(self, now_ms: int) -> int:
        return max(0, bisect_right(self.rates, now_ms, key=lambda step: step.from_ms) - 1)
