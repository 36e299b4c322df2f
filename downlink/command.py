"""Commands: what the ground tells the satellite to do, one in each packet of `Apid.COMMAND`.

    version 1 | kind 1 | number 6 | after 6 | body of the kind

Numbers rise. A command is executed once, and only when the one it comes `after` has been: so the satellite executes in the order in
which the ground issued, whatever the link loses, and one number tells the ground what has been executed
(`downlink.command_report`). A link report has the number 0: it is neither acknowledged nor repeated, the next one replaces it.

The frames that carry commands are authenticated (`downlink.frame_security`); what is decoded here comes from a holder of the
key. Decoding is strict all the same: any byte out of place refuses the whole command.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from downlink.contact import Contact
from downlink.errors import CommandError, ContactError, ScheduleError
from downlink.requests import LayerRequest

VERSION: Final = 1
MAX_COMMAND_BYTES: Final = 1024
MAX_NUMBER: Final = (1 << 48) - 1
MAX_STATION_BYTES: Final = 24
MAX_LINK_COUNT: Final = (1 << 32) - 1

_NUMBER_BYTES: Final = 6
_HEADER_BYTES: Final = 2 + 2 * _NUMBER_BYTES
_REQUEST: Final = struct.Struct(">IHHBdQ")
_SPAN: Final = struct.Struct(">QQB")
_CONTACT: Final = struct.Struct(">IQIIIHdB")
_LINK: Final = struct.Struct(">IIII")
_FORGET: Final = struct.Struct(">BI")


class CommandKind(IntEnum):
    """What a command's body is."""

    REQUEST_LAYERS = 1
    CANCEL_REQUEST = 2
    DROP_SCENE = 3
    UPLOAD_CONTACTS = 4
    REPORT_LINK = 5
    FORGET_REFERENCES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLayers:
    """Rank these layers higher, until a moment."""

    request: LayerRequest
    """Which ones, by how much and until when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequest:
    """Forget a request before its time."""

    request_number: int
    """Number of the command that made it; nothing happens where no such request is open."""

    def __post_init__(self) -> None:
        _check(0 < self.request_number <= MAX_NUMBER, f"request number {self.request_number}; use 1..2**48 - 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class DropScene:
    """Give up every layer of a scene that waits and is not on its way."""

    scene: int
    """Scene number, 32 bits."""

    def __post_init__(self) -> None:
        _check(0 <= self.scene <= 0xFFFF_FFFF, f"scene {self.scene} does not fit 32 bits")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadContacts:
    """The contacts of a span of time, in place of whatever was known of that span."""

    from_ms: int
    """Beginning of the span, Unix milliseconds."""
    until_ms: int
    """End of the span, not included."""
    contacts: tuple[Contact, ...]
    """Contacts with AOS in the span, in order of AOS, each `condensed`."""

    def __post_init__(self) -> None:
        _check(
            0 <= self.from_ms < self.until_ms < 1 << 63,
            f"contacts from {self.from_ms} ms until {self.until_ms} ms: give a span",
        )
        before_ms = self.from_ms - 1
        for contact in self.contacts:
            name = f"contact {contact.contact_id} at {contact.aos_ms} ms"
            _check(not contact.rates, f"{name} has a profile of rates; upload condensed(contact)")
            _check(
                before_ms < contact.aos_ms < self.until_ms,
                f"{name} is out of order, or not in {self.from_ms}..{self.until_ms} ms",
            )
            before_ms = contact.aos_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLink:
    """What the ground's receiver has measured since AOS."""

    contact_id: int
    """Of the contact that goes on."""
    frames_heard: int
    """Intact downlink frames of this spacecraft, late ones and duplicates included; up to 2**32 - 1."""
    frames_lost: int
    """Frames that the counts of the virtual channels show missing; up to 2**32 - 1."""
    bursts: int
    """Runs of lost frames: at least 1 where any are lost, at most as many as those; up to 2**32 - 1."""

    def __post_init__(self) -> None:
        for what in (self.contact_id, self.frames_heard, self.frames_lost):
            _check(0 <= what <= MAX_LINK_COUNT, f"{what} in a link report does not fit 32 bits")
        _check(
            min(1, self.frames_lost) <= self.bursts <= self.frames_lost,
            f"{self.frames_lost} frames lost in {self.bursts} runs; losses come in runs of at least one",
        )

    @property
    def frame_loss(self) -> float | None:
        """Share of frames lost, None before there is any."""
        frames = self.frames_heard + self.frames_lost
        return self.frames_lost / frames if frames else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetReferences:
    """The ground no longer holds what it has acknowledged of a scene, or of any: nothing is to be predicted from it any more.

    What is acknowledged after that counts again.
    """

    scene: int | None
    """Scene number, 32 bits; None: every scene."""

    def __post_init__(self) -> None:
        _check(self.scene is None or 0 <= self.scene <= 0xFFFF_FFFF, f"scene {self.scene} does not fit 32 bits")


Order = RequestLayers | CancelRequest | DropScene | UploadContacts | ReportLink | ForgetReferences


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One order with its number."""

    number: int
    """48 bits, rising from command to command; 0 for a link report alone."""
    after: int
    """Number of the command that must have been executed before this one; 0: none."""
    order: Order
    """What is to be done."""

    def __post_init__(self) -> None:
        unnumbered = isinstance(self.order, ReportLink)
        _check(
            (self.number == 0) == unnumbered and 0 <= self.number <= MAX_NUMBER,
            f"{type(self.order).__name__} with number {self.number}: link reports have 0, others 1..2**48 - 1",
        )
        _check(0 <= self.after < max(1, self.number), f"command {self.number} cannot wait for command {self.after}")


def condensed(contact: Contact) -> Contact:
    """The contact with its profile of rates put into one mean rate and one mean loss; both carry nearly as many bytes."""
    capacity_bytes = contact.capacity_bytes
    if not contact.rates or not capacity_bytes:
        return replace(contact, rates=())
    mean_bps = max(1, round(capacity_bytes * 8000 / contact.duration_ms))
    # A contact that is expected to bring nothing at all cannot be said: a loss of 1 is no contact.
    frame_loss = min(1 - contact.expected_bytes / capacity_bytes, 0.999)
    return replace(contact, rates=(), downlink_bps=mean_bps, frame_loss=frame_loss)


def encode_command(command: Command) -> bytes:
    """The data of its packet. Raises CommandError where it does not fit."""
    kind, body = _encode_order(command.order)
    data = (
        bytes([VERSION, kind])
        + command.number.to_bytes(_NUMBER_BYTES, "big")
        + command.after.to_bytes(_NUMBER_BYTES, "big")
        + body
    )
    if len(data) > MAX_COMMAND_BYTES:
        raise CommandError(f"command of {len(data)} bytes; at most {MAX_COMMAND_BYTES}: split it")
    return data


def decode_command(data: bytes) -> Command:
    """The command in a packet. Raises CommandError for anything else."""
    if not _HEADER_BYTES <= len(data) <= MAX_COMMAND_BYTES or data[0] != VERSION:
        raise CommandError(f"{len(data)} bytes starting {data[:2].hex()} are no command of version {VERSION}")
    decode = _DECODERS.get(data[1])
    if decode is None:
        raise CommandError(f"command of kind {data[1]} is not known here")
    try:
        return Command(
            number=int.from_bytes(data[2 : 2 + _NUMBER_BYTES], "big"),
            after=int.from_bytes(data[2 + _NUMBER_BYTES : _HEADER_BYTES], "big"),
            order=decode(data[_HEADER_BYTES:]),
        )
    except (struct.error, UnicodeDecodeError, ScheduleError, ContactError) as error:
        raise CommandError(f"{CommandKind(data[1]).name} of {len(data)} bytes: {error}") from error


def _encode_order(order: Order) -> tuple[CommandKind, bytes]:
    match order:
        case RequestLayers(request=request):
            body = _REQUEST.pack(
                request.scene,
                request.first_product,
                request.last_product,
                request.last_step,
                request.factor,
                request.until_ms,
            )
            return CommandKind.REQUEST_LAYERS, body
        case CancelRequest():
            return CommandKind.CANCEL_REQUEST, order.request_number.to_bytes(_NUMBER_BYTES, "big")
        case DropScene():
            return CommandKind.DROP_SCENE, order.scene.to_bytes(4, "big")
        case UploadContacts():
            if len(order.contacts) > 0xFF:
                raise CommandError(f"{len(order.contacts)} contacts do not fit one command: split the span")
            body = _SPAN.pack(order.from_ms, order.until_ms, len(order.contacts))
            return CommandKind.UPLOAD_CONTACTS, body + b"".join(map(_encode_contact, order.contacts))
        case ReportLink():
            body = _LINK.pack(order.contact_id, order.frames_heard, order.frames_lost, order.bursts)
            return CommandKind.REPORT_LINK, body
        case ForgetReferences(scene=scene):
            return CommandKind.FORGET_REFERENCES, _FORGET.pack(scene is None, scene or 0)


def _encode_contact(contact: Contact) -> bytes:
    station = contact.station.encode()
    if len(station) > MAX_STATION_BYTES:
        raise CommandError(f"station {contact.station!r} has {len(station)} bytes; at most {MAX_STATION_BYTES}")
    try:
        fields = _CONTACT.pack(
            contact.contact_id,
            contact.aos_ms,
            contact.duration_ms,
            contact.downlink_bps,
            contact.uplink_bps,
            contact.one_way_delay_ms,
            contact.frame_loss,
            len(station),
        )
    except struct.error as error:
        raise CommandError(f"contact {contact.contact_id} does not fit a command: {error}") from error
    return fields + station


def _decode_request(body: bytes) -> RequestLayers:
    scene, first_product, last_product, last_step, factor, until_ms = _REQUEST.unpack(body)
    request = LayerRequest(
        scene=scene,
        first_product=first_product,
        last_product=last_product,
        last_step=last_step,
        factor=factor,
        until_ms=until_ms,
    )
    return RequestLayers(request=request)


def _decode_cancel(body: bytes) -> CancelRequest:
    _check(len(body) == _NUMBER_BYTES, f"a request number has {_NUMBER_BYTES} bytes, not {len(body)}")
    return CancelRequest(request_number=int.from_bytes(body, "big"))


def _decode_drop(body: bytes) -> DropScene:
    _check(len(body) == 4, f"a scene number has 4 bytes, not {len(body)}")
    return DropScene(scene=int.from_bytes(body, "big"))


def _decode_contacts(body: bytes) -> UploadContacts:
    from_ms, until_ms, count = _SPAN.unpack_from(body)
    contacts: list[Contact] = []
    at = _SPAN.size
    for _ in range(count):
        contact_id, aos_ms, duration_ms, downlink_bps, uplink_bps, delay_ms, frame_loss, name_bytes = (
            _CONTACT.unpack_from(body, at)
        )
        at += _CONTACT.size
        station = body[at : at + name_bytes]
        at += name_bytes
        _check(name_bytes <= MAX_STATION_BYTES, f"name of a station of {name_bytes} bytes")
        contact = Contact(
            contact_id=contact_id,
            station=station.decode(),
            aos_ms=aos_ms,
            los_ms=aos_ms + duration_ms,
            downlink_bps=downlink_bps,
            uplink_bps=uplink_bps,
            one_way_delay_ms=delay_ms,
            frame_loss=frame_loss,
        )
        contacts.append(contact)
    _check(at == len(body), f"{count} contacts end at byte {at} of {len(body)}")
    return UploadContacts(from_ms=from_ms, until_ms=until_ms, contacts=tuple(contacts))


def _decode_link(body: bytes) -> ReportLink:
    contact_id, heard, lost, bursts = _LINK.unpack(body)
    return ReportLink(contact_id=contact_id, frames_heard=heard, frames_lost=lost, bursts=bursts)


def _decode_forget(body: bytes) -> ForgetReferences:
    every, scene = _FORGET.unpack(body)
    _check(
        every in (0, 1) and not (every and scene),
        f"{every} for every scene and scene {scene}: 0 and a scene, or 1 and 0",
    )
    return ForgetReferences(scene=None if every else scene)


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise CommandError(otherwise)


_DECODERS: Final[dict[int, Callable[[bytes], Order]]] = {
    CommandKind.REQUEST_LAYERS: _decode_request,
    CommandKind.CANCEL_REQUEST: _decode_cancel,
    CommandKind.DROP_SCENE: _decode_drop,
    CommandKind.UPLOAD_CONTACTS: _decode_contacts,
    CommandKind.REPORT_LINK: _decode_link,
    CommandKind.FORGET_REFERENCES: _decode_forget,
}
