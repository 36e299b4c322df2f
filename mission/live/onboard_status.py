"""What the onboard service tells of itself: the answer to /status, and the housekeeping that goes down."""

from pydantic import BaseModel, ConfigDict

from downlink.contact import Contact
from downlink.housekeeping import Housekeeping
from mission.live.coding_line import CodingLine
from mission.live.reference_keeper import ReferenceKeeper
from mission.live.service_status import ServiceStatus
from onboard.store import LayerAccount


class StatusPart(BaseModel):
    """A part of the status."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ContactStatus(StatusPart):
    """A contact."""

    id: int
    station: str
    aos_ms: int
    """Acquisition of signal, Unix ms."""
    los_ms: int
    """Loss of signal, Unix ms."""

    @classmethod
    def of(cls, contact: Contact | None) -> "ContactStatus | None":
        """The same for a contact, None for none."""
        if contact is None:
            return None
        return cls(id=contact.contact_id, station=contact.station, aos_ms=contact.aos_ms, los_ms=contact.los_ms)


class LedgerStatus(StatusPart):
    """Where every layer ever captured is now."""

    captured_layers: int = 0
    captured_bytes: int = 0
    delivered_layers: int = 0
    """Acknowledged by the ground."""
    delivered_bytes: int = 0
    queued_layers: int = 0
    queued_bytes: int = 0
    evicted_layers: int = 0
    """Given up to make room."""
    evicted_bytes: int = 0
    balanced: bool = True
    """Whether captured = delivered + queued + evicted, in bytes counted independently."""

    @classmethod
    def of(cls, account: LayerAccount) -> "LedgerStatus":
        """The ledger of a store."""
        return cls(
            captured_layers=account.delivered_layers + account.queued_layers + account.evicted_layers,
            captured_bytes=account.captured_bytes,
            delivered_layers=account.delivered_layers,
            delivered_bytes=account.delivered_bytes,
            queued_layers=account.queued_layers,
            queued_bytes=account.queued_bytes,
            evicted_layers=account.evicted_layers,
            evicted_bytes=account.evicted_bytes,
            balanced=account.balanced,
        )


class ScenesStatus(StatusPart):
    """The spool, and what became of its files since the first start."""

    waiting: int
    in_work: int
    """Number of the scene that the worker has; 0 without one."""
    done: int
    """Surveyed: summary, alerts and chips are stored, what is to be coded waits raw, the file is cleared away."""
    rejected: int


class CodingStatus(StatusPart):
    """Images that wait raw, and what became of them."""

    waiting_tiles: int
    """In the raw store, uncoded."""
    raw_bytes: int
    """What the raw store takes."""
    raw_capacity_bytes: int
    """What it may take; 0 before the worker has said it."""
    coded_images: int
    """Since the service started."""
    coded_bytes: int
    """Of their layers."""
    discarded_tiles: int
    """Gone uncoded for want of room, since the state folder was new."""
    discarded_bytes: int
    damaged_tiles: int
    """Could not be read back, since the state folder was new."""
    given_up_tiles: int
    """Gone uncoded because the worker died over them, their scene was rejected or not wanted, since the state folder was new."""
    price: float
    """Points per byte that an image must promise to be coded now."""
    requests: int
    """Of the ground, that raise what images are worth."""
    scene: int
    """Of the image that is being coded; 0 without one."""
    product: int
    """Its number; 0 without one."""

    @classmethod
    def of(cls, line: CodingLine) -> "CodingStatus":
        """As the worker last said it."""
        report, terms = line.report, line.terms
        scene, product = line.image or (0, 0)
        return cls(
            waiting_tiles=report.tiles,
            raw_bytes=report.size_bytes,
            raw_capacity_bytes=report.capacity_bytes,
            coded_images=line.coded_images,
            coded_bytes=line.coded_bytes,
            discarded_tiles=report.discarded_tiles,
            discarded_bytes=report.discarded_bytes,
            damaged_tiles=report.damaged_tiles,
            given_up_tiles=report.given_up_tiles,
            price=0.0 if terms is None else terms.price,
            requests=0 if terms is None else len(terms.requests),
            scene=scene,
            product=product,
        )


class ReferencesStatus(StatusPart):
    """What new images are predicted from."""

    scenes: int
    """Of which anything is held."""
    bytes: int
    """Of their files."""
    capacity_bytes: int
    passed_over: int
    """Acknowledged layers that were not taken for want of room on the disk, since the service started."""
    predicted_images: int
    """Coded from a reference, since the service started."""
    problem: str
    """What the disk refuses; empty where it does not."""

    @classmethod
    def of(cls, keeper: ReferenceKeeper, line: CodingLine) -> "ReferencesStatus":
        """As they stand."""
        return cls(
            scenes=keeper.scenes,
            bytes=keeper.used_bytes,
            capacity_bytes=keeper.capacity_bytes,
            passed_over=keeper.passed_over,
            predicted_images=line.predicted_images,
            problem=keeper.problem,
        )


class EffortStatus(StatusPart):
    """What tiles were allowed since the worker started."""

    detect: int
    screen_only: int
    skip: int
    """Tiles for which there was no power. The live worker waits instead: 0."""
    waiting_for_power: bool
    reason: str
    """Why it waits, or what the last decision rested on."""


class EnergyStatus(StatusPart):
    """What the power system says; None for what it does not."""

    charge_fraction: float | None
    cap_w: float | None
    compute_w: float
    """Mean power of image processing over the last 10 s, watts."""
    temperature_c: float | None
    source: str
    """Which devices spoke, and which meter counts joules."""
    problem: str
    """Why the power system cannot be read; empty where it can."""


class LinkStatus(StatusPart):
    """The frame port, and frames since the process started."""

    open: bool = True
    """Whether frames can leave: there is a device, a connection, an address of the peer."""
    problem: str = ""
    """Why not; empty where they can."""
    sent_frames: int = 0
    sent_bytes: int = 0
    heard_frames: int = 0
    refused_frames: int = 0
    """Heard, and not believed."""
    unsent_frames: int = 0
    """That the port could not send."""
    strangers: int = 0
    """Datagrams of others than the peer."""
    late_ms: float = 0.0
    """How late the radio had its turn at worst, in the last minute or two."""


class ClockStatus(StatusPart):
    """What was done to the wall clock since the process started."""

    now_ms: int
    steps: int
    restarts: int
    """Steps back that the core was built again for."""


class WorkerStatus(StatusPart):
    """The child process."""

    pid: int
    """0 while there is none."""
    starts: int
    tiles: int
    """Worked through since the service started."""


class OnboardStatus(ServiceStatus):
    """Everything."""

    contact: ContactStatus | None
    next_contact: ContactStatus | None
    ledger: LedgerStatus
    delivered_digest: str
    """`downlink.layer_digest` of the delivered layers, hexadecimal."""
    scenes: ScenesStatus
    coding: CodingStatus
    references: ReferencesStatus
    open_files: int
    """File deliveries that the ground has not acknowledged."""
    effort: EffortStatus
    energy: EnergyStatus
    link: LinkStatus
    clock: ClockStatus
    worker: WorkerStatus
    core_restarts: int
    """How often the core was built again from its journals since the process started."""
    recording: str | None = None
    """The event log, or why it ended; None where none was asked for."""


def housekeeping_of(status: OnboardStatus, *, at_ms: int, uptime_s: int, boot: int, disk_full: bool) -> Housekeeping:
    """The same for the downlink."""
    ledger, energy = status.ledger, status.energy
    return Housekeeping(
        at_ms=at_ms,
        boot=boot,
        uptime_s=uptime_s,
        charge_permille=None if energy.charge_fraction is None else round(1000 * energy.charge_fraction),
        cap_mw=None if energy.cap_w is None else round(1000 * energy.cap_w),
        compute_mw=round(1000 * energy.compute_w),
        temperature_decicelsius=None if energy.temperature_c is None else round(10 * energy.temperature_c),
        captured_layers=ledger.captured_layers,
        captured_bytes=ledger.captured_bytes,
        delivered_layers=ledger.delivered_layers,
        delivered_bytes=ledger.delivered_bytes,
        queued_layers=ledger.queued_layers,
        queued_bytes=ledger.queued_bytes,
        evicted_layers=ledger.evicted_layers,
        evicted_bytes=ledger.evicted_bytes,
        delivered_digest=bytes.fromhex(status.delivered_digest),
        scenes_waiting=status.scenes.waiting,
        scenes_done=status.scenes.done,
        scenes_rejected=status.scenes.rejected,
        open_files=status.open_files,
        refused_frames=status.link.refused_frames,
        computing=status.scenes.in_work > 0 or status.coding.scene > 0,
        waiting_for_power=status.effort.waiting_for_power,
        disk_full=disk_full,
    )
