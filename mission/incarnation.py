"""What one end of the link was started from: everything needed to build the same core again, but for secret keys."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from downlink.contact import Contact
from downlink.contact_plan import PlannerSettings
from downlink.frame_security import SecurityAssociation
from downlink.journal import Journal, MemoryJournal
from downlink.link_profile import LinkProfile
from downlink.record import Record, encode_record, scan_records
from mission.errors import ReplayError
from mission.link_setup import EndJournals, LinkKeys
from mission.scenario_security import simulated_association

FINGERPRINT_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReference:
    """One key, named but not told."""

    spi: int
    """Security parameter index."""
    fingerprint: bytes
    """8 bytes of a hash of the key: enough to tell a wrong key file, too little to find a random key by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incarnation:
    """One core from its start to its end: a reboot begins the next one."""

    end: Literal["onboard", "ground"]
    """Which end of the link."""
    profile: LinkProfile
    """Sizes and timers of the link."""
    now_ms: int = 0
    """When it started."""
    capacity_bytes: int = 0
    """Room of the store; on board alone."""
    expected_contacts: tuple[Contact, ...] = ()
    """Planned over until the ground uploads others; on board alone."""
    planning: PlannerSettings | None = None
    """How to plan; on board alone."""
    keeps_references: bool = False
    """Whether delivered layers are read once more, to be kept as references; on board alone."""
    snapshot: bytes | None = None
    """Unfinished files as they were saved last; on the ground alone."""
    key_seed: int | None = None
    """Seed of the simulated key; None where the keys are in a file."""
    keys: tuple[KeyReference, ...] = ()
    """In the order of use. Filled in by the recorder."""
    reboot_lockout_ms: int = 0
    """How long the satellite may refuse the ground after a reboot. Filled in by the recorder."""
    layers: bytes = b""
    """Records in the journal of layers, one after the other. Filled in by the recorder."""
    commands: bytes = b""
    """Records in the journal of the uplink. Filled in by the recorder."""
    lost_bytes: tuple[int, int] = (0, 0)
    """What was no record in these two. Filled in by the recorder."""


def reference(association: SecurityAssociation) -> KeyReference:
    """The name of a key."""
    digest = hashlib.sha256(b"uplink key " + association.key).digest()
    return KeyReference(spi=association.spi, fingerprint=digest[:FINGERPRINT_BYTES])


def keys_of(incarnation: Incarnation, associations: Sequence[SecurityAssociation]) -> LinkKeys:
    """The keys that the incarnation names: made from its seed, or found among `associations`. Raises ReplayError."""
    at_hand = associations
    if incarnation.key_seed is not None:
        at_hand = (simulated_association(incarnation.key_seed),)
    by_reference = {reference(association): association for association in at_hand}
    missing = [key.spi for key in incarnation.keys if key not in by_reference]
    if missing:
        raise ReplayError(
            f"the log was recorded with keys {missing}, which are not at hand: name their file with --keys FILE"
        )
    return LinkKeys(
        associations=tuple(by_reference[key] for key in incarnation.keys),
        reboot_lockout_ms=incarnation.reboot_lockout_ms,
    )


def journal_bytes(journal: Journal) -> bytes:
    """All whole records of a journal. Raises JournalError where it cannot be read."""
    return b"".join(encode_record(record) for record in journal.records())


def journals_of(incarnation: Incarnation) -> EndJournals:
    """Fresh journals with what it started from."""
    return EndJournals(layers=_filled(incarnation.layers), commands=_filled(incarnation.commands))


def _filled(data: bytes) -> MemoryJournal:
    journal = MemoryJournal()
    records: Iterable[Record] = scan_records(data, final=True).records
    journal.append(records)
    return journal
