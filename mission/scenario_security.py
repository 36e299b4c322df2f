"""Scenario section of the uplink's keys."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from downlink.frame_security import SecurityAssociation
from mission.key_file import read_key_file
from mission.scenario_section import Section
from mission.streams import Streams

SIMULATED_SPI = 1


class SecuritySection(Section):
    """`[security]`: what uplink frames are authenticated with."""

    uplink_key_file: Path | None = Field(default=None, strict=False)
    """Lines of a key index (1 to 65534) and 64 hexadecimal digits; the first key protects, all of them are accepted. Counted from
    the scenario's folder. Absent: a key made from the seed, which protects nothing and is for simulation alone."""
    key_file_may_be_shared: bool = False
    """Accept a key file that others than its owner may read, as container platforms mount secrets."""
    reboot_lockout_s: Annotated[float, Field(gt=0, le=600)] = 5.0
    """After a reboot the satellite refuses uplink frames protected at most this long after the last it accepted, seconds. Also the
    shortest time between two writes that guard against replay."""

    @property
    def reboot_lockout_ms(self) -> int:
        return round(self.reboot_lockout_s * 1000)

    def associations(self, *, seed: int, folder: Path) -> tuple[SecurityAssociation, ...]:
        """The keys, the one to protect with first. Raises KeyFileError."""
        if self.uplink_key_file is None:
            return (simulated_association(seed),)
        return read_key_file(folder / self.uplink_key_file, may_be_shared=self.key_file_may_be_shared)


def simulated_association(seed: int) -> SecurityAssociation:
    """The key of a simulated mission: the same seed gives the same key, so it is no secret."""
    return SecurityAssociation(spi=SIMULATED_SPI, key=Streams(seed).generator("uplink key").bytes(32))
