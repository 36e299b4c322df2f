"""What the ground service tells of itself: the answer to /status, and all that its page shows."""

from dataclasses import asdict

from downlink.housekeeping import Housekeeping
from ground.station import GroundStation
from mission.live.agreement import Agreement
from mission.live.frame_port import FramePort
from mission.live.link_driver import LinkDriver, PassCounts
from mission.live.onboard_status import ClockStatus, ContactStatus, StatusPart
from mission.live.scene_board import BoardScene
from mission.live.service_status import ServiceStatus


class HeldStatus(StatusPart):
    """What is on the ground, durably."""

    held_layers: int = 0
    held_bytes: int = 0
    """As they travel: with the 18 bytes of each record."""


class SceneStatus(StatusPart):
    """A scene of which a layer has arrived."""

    scene: int
    """Its number, rising with captures."""
    name: str | None
    """As the satellite calls it; None before it is published."""
    layers: int
    """Held."""
    bytes: int
    """Of those, as they travel."""
    published_layers: int
    """Those that the published scene was made from."""
    published_ms: int | None
    """When, Unix ms; None where it is not published."""
    folder: str | None
    """Its folder in the catalogue."""
    captured_ms: int | None
    """When the camera took it, by the clock on board."""
    width: int | None
    """Columns."""
    height: int | None
    """Rows."""
    detections: int
    """Published."""
    arrived_fraction: float
    """Share of its pixels of which anything has arrived."""
    byte_exact_fraction: float
    """Share of its pixels that are the camera's to the last bit."""
    psnr_db: float | None
    """Estimated; half of the arrived pixels are better. None: infinite, or unknown."""
    waiting_images: int = 0
    """Images that are not shown, because what they are predicted from is missing."""
    has_summary: bool
    """Without its summary a scene cannot be published."""
    problem: str
    """Why it could not be published."""

    @classmethod
    def of(cls, board: BoardScene) -> "SceneStatus":
        """A line of the board."""
        done = board.publication
        return cls(
            scene=board.scene,
            name=None if done is None else done.name,
            layers=board.layers,
            bytes=board.layer_bytes,
            published_layers=0 if done is None else done.layers,
            published_ms=None if done is None else done.published_ms,
            folder=None if done is None else done.folder,
            captured_ms=None if done is None else done.captured_ms,
            width=None if done is None else done.width,
            height=None if done is None else done.height,
            detections=0 if done is None else done.detections,
            arrived_fraction=0.0 if done is None else done.arrived_fraction,
            byte_exact_fraction=0.0 if done is None else done.byte_exact_fraction,
            psnr_db=None if done is None else done.psnr_db,
            waiting_images=0 if done is None else done.waiting_images,
            has_summary=board.has_summary,
            problem=board.problem,
        )


class GroundLinkStatus(StatusPart):
    """The frame port, and frames since the process started, or since the core was built for what the core counts."""

    open: bool = True
    """Whether frames can leave: there is a device, a connection, an address of the peer."""
    problem: str = ""
    """Why not; empty where they can."""
    heard_frames: int = 0
    heard_bytes: int = 0
    sent_frames: int = 0
    sent_bytes: int = 0
    in_order: int = 0
    """Intact, the next in its channel."""
    after_gap: int = 0
    """Intact, frames before it are missing."""
    late: int = 0
    """Intact, counted as missing before."""
    duplicate: int = 0
    """Heard before."""
    restarted: int = 0
    """The first after the satellite's counts began anew."""
    idle: int = 0
    """With nothing in it."""
    corrupt: int = 0
    """Truncated, oversized, or with a wrong check value."""
    foreign: int = 0
    """Of another spacecraft or channel."""
    frames_lost: int = 0
    """That the counts of the channels show missing."""
    unsent_frames: int = 0
    """That the port could not send."""
    unheard_frames: int = 0
    """That came while there was no core."""
    strangers: int = 0
    """Datagrams of others than the peer."""
    refused_packets: int = 0
    """Of authentic-looking frames, that say nothing this station knows."""


class OrdersStatus(StatusPart):
    """Orders to the satellite."""

    outstanding: int = 0
    """Given, and not reported executed."""
    last_executed: int = 0
    """Number of the last that the satellite has reported."""
    given: int = 0
    """Taken from the folder since the process started."""
    refused: int = 0
    """Files of the folder that could not be used, since the process started."""


class PassStatus(StatusPart):
    """A contact as this end saw it."""

    id: int
    station: str
    aos_ms: int
    los_ms: int
    heard_frames: int
    heard_bytes: int
    sent_frames: int
    lost_frames: int
    arrived_layers: int
    """New on the ground."""


class PublisherStatus(StatusPart):
    """The child process."""

    pid: int
    """0 while there is none."""
    starts: int
    busy: bool


class GroundStatus(ServiceStatus):
    """Everything."""

    mission: str
    """Name in the scenario."""
    contact: ContactStatus | None
    next_contact: ContactStatus | None
    coming: tuple[ContactStatus, ...]
    """Contacts after those."""
    ledger: HeldStatus
    held_digest: str
    """`downlink.layer_digest` of the held layers, hexadecimal."""
    scenes: tuple[SceneStatus, ...]
    """The newest first; older ones are in the catalogue alone."""
    scenes_total: int
    """Of which anything has arrived."""
    link: GroundLinkStatus
    open_files: int
    """File deliveries under way."""
    unanswered_files: int = 0
    """Files that are whole here, while the satellite has not acknowledged that it knows."""
    orders: OrdersStatus
    onboard: dict[str, object] | None
    """What the satellite last said of itself."""
    housekeeping_received_ms: int | None
    """When."""
    agreement: Agreement
    passes: tuple[PassStatus, ...]
    """The latest, oldest first, the one that goes on among them."""
    core_restarts: int
    """How often the core was built again from its journals since the process started."""
    clock: ClockStatus
    publisher: PublisherStatus
    problems: tuple[str, ...] = ()
    """What does not work at present, though the service does."""
    recording: str | None = None
    """The event log, or why it ended; None where none was asked for."""


def onboard_of(report: Housekeeping | None) -> dict[str, object] | None:
    """Housekeeping as JSON can say it."""
    if report is None:
        return None
    return asdict(report) | {"delivered_digest": report.delivered_digest.hex()}


def link_of(driver: LinkDriver | None, station: GroundStation | None, port: FramePort) -> GroundLinkStatus:
    """The link's state and counters."""
    counts: dict[str, int] = {}
    if station is not None:
        counts = {verdict.value: count for verdict, count in station.verdicts.items()}
        counts |= {"refused_packets": station.refused_packets, "frames_lost": station.frames_lost}
    if driver is not None:
        counts |= {
            "heard_frames": driver.heard_frames,
            "heard_bytes": driver.heard_bytes,
            "sent_frames": driver.sent_frames,
            "sent_bytes": driver.sent_bytes,
            "unsent_frames": driver.refused_frames,
            "unheard_frames": driver.unheard_frames,
        }
    problem = port.problem
    return GroundLinkStatus(**counts, open=not problem, problem=problem, strangers=port.counts.strangers)


def pass_of(counts: PassCounts, *, lost_frames: int, arrived_layers: int) -> PassStatus:
    """One contact."""
    contact = counts.contact
    return PassStatus(
        id=contact.contact_id,
        station=contact.station,
        aos_ms=contact.aos_ms,
        los_ms=contact.los_ms,
        heard_frames=counts.heard_frames,
        heard_bytes=counts.heard_bytes,
        sent_frames=counts.sent_frames,
        lost_frames=lost_frames,
        arrived_layers=arrived_layers,
    )
