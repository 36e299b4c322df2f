"""A contact: the time in which one station hears the satellite, and what the link carries meanwhile.

The field says *pass*, a keyword in Python. AOS is acquisition of signal, LOS loss of signal; both as the satellite counts
them. The contact is half open: a bit may leave at `aos_ms`, none leaves at `los_ms`.
"""

from dataclasses import dataclass

from downlink.errors import ContactError


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
    """Expected share of downlink transfer frames that are lost, 0 to 1 (excluded): what a planner reckons with."""

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

    @property
    def duration_ms(self) -> int:
        """Time from AOS to LOS."""
        return self.los_ms - self.aos_ms

    @property
    def capacity_bytes(self) -> int:
        """Bytes that the downlink can carry from AOS to LOS, lost ones included, rounded down."""
        return self.downlink_bps * self.duration_ms // 8000

    @property
    def expected_bytes(self) -> int:
        """Bytes of transfer frames that are expected to arrive."""
        return int(self.capacity_bytes * (1 - self.frame_loss))
