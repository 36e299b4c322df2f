"""Scenario sections of the live services: addresses and folders, one table a service.

Whatever is absent here comes from the command line or the environment; both go before what stands here. Relative folders count from
where the service is started, not from the scenario's folder: a shipped scenario lies inside the package.
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mission.scenario_section import NonNegativeInt, PositiveFloat, PositiveInt, Section

NO_HTTP = "none"
Folder = Annotated[Path, Field(strict=False)]
Text = Annotated[str, Field(min_length=1)]


class ServiceSection(Section):
    """What every `[services.<name>]` may say."""

    service: ClassVar[str] = ""
    """The service's name."""
    default_http: ClassVar[str] = "127.0.0.1:9101"
    """Where it answers where nobody says anything."""

    state: Folder | None = None
    """Folder of everything that outlives the process. Absent: `<service>-state` where it is started."""
    http: Text | None = None
    """Where health, status and metrics are answered, HOST:PORT; `none`: nowhere. Absent: a port of its own on 127.0.0.1."""
    log_level: Literal["debug", "info", "warning", "error"] | None = None
    """The least important line that is logged. Absent: info."""


class OnboardServiceSection(ServiceSection):
    """`[services.onboard]`: the flight computer."""

    service: ClassVar[str] = "onboard"

    link: Text | None = None
    """Address of its radio's frames, such as `udp://0.0.0.0:7001?peer=channel:7000`."""
    spool: Folder | None = None
    """Folder into which the sensor puts scene files."""
    power: Folder | None = None
    """Root of the power readings, laid out as the kernel's /sys."""
    load: Folder | None = None
    """File into which it writes the power it computes with."""
    keep_done: bool | None = None
    """Whether scene files stay in the spool's `done` folder after their survey. Absent: they do not."""
    raw_capacity: PositiveInt | None = None
    """Bytes of raw tiles kept until they are coded. Absent: `store.raw_capacity_bytes`."""
    reference_capacity: NonNegativeInt | None = None
    """Bytes of acknowledged layers kept to predict from. Absent: `reference.capacity_bytes` of the policy."""
    record: bool | None = None
    """Whether every event and decision is written into `STATE/record`. Absent: they are not."""
    skew: Folder | None = None
    """File of milliseconds by which its clock is wrong on purpose, for tests. Absent: it is right."""


class ChannelServiceSection(ServiceSection):
    """`[services.channel]`: the emulated link."""

    service: ClassVar[str] = "channel"
    default_http: ClassVar[str] = "127.0.0.1:9102"

    air: Text | None = None
    """Where the air side sends to, HOST:PORT. Absent: any free port of 127.0.0.1."""
    ground: Text | None = None
    """Where the ground side sends to, HOST:PORT. Absent: any free port of 127.0.0.1."""
    air_peer: Text | None = None
    """The air side's own address; a name is looked up again every 30 s. Absent: the first that sends."""
    ground_peer: Text | None = None
    """The ground side's own address; a name is looked up again every 30 s. Absent: the first that sends."""
    queue: PositiveInt | None = None
    """A datagram that would wait longer for its turn is dropped, milliseconds. Absent: 1000."""
    weather: Folder | None = None
    """TOML file of numbers that go before the scenario's, read again whenever it changes. Absent: there is none."""


class GroundServiceSection(ServiceSection):
    """`[services.ground]`: the receiver, its catalogue and its page."""

    service: ClassVar[str] = "ground"
    default_http: ClassVar[str] = "127.0.0.1:8080"

    link: Text | None = None
    """Address of its antenna's frames, such as `udp://0.0.0.0:7002?peer=channel:7003`."""
    record: Folder | None = None
    """Event log that is written. Absent: none."""
    skew: Folder | None = None
    """File of milliseconds by which its clock is wrong on purpose, for tests. Absent: it is right."""


class EpsServiceSection(ServiceSection):
    """`[services.eps]`: the simulated power system."""

    service: ClassVar[str] = "eps"
    default_http: ClassVar[str] = "127.0.0.1:9103"

    power: Folder | None = None
    """Root under which it writes its readings, laid out as the kernel's /sys."""
    load: Folder | None = None
    """File in which the flight computer says what power it computes with."""
    control: Folder | None = None
    """File of faults that is read again every turn."""


class SensorServiceSection(ServiceSection):
    """`[services.sensor]`: the simulated camera."""

    service: ClassVar[str] = "sensor"
    default_http: ClassVar[str] = "127.0.0.1:9104"

    spool: Folder | None = None
    """Folder into which it puts scene files."""
    scenes: Annotated[tuple[Folder, ...], Field(strict=False)] | None = None
    """The scene files, taken in turn."""
    interval: PositiveFloat | None = None
    """Seconds from one capture to the next."""
    count: NonNegativeInt | None = None
    """How many captures; 0: no end."""
    max_waiting: PositiveInt | None = None
    """With so many files in the spool the camera waits."""


class ServicesSection(Section):
    """`[services]`: one table for each live service."""

    onboard: OnboardServiceSection = OnboardServiceSection()
    """The flight computer."""
    channel: ChannelServiceSection = ChannelServiceSection()
    """The emulated link."""
    ground: GroundServiceSection = GroundServiceSection()
    """The receiver."""
    eps: EpsServiceSection = EpsServiceSection()
    """The simulated power system."""
    sensor: SensorServiceSection = SensorServiceSection()
    """The simulated camera."""
