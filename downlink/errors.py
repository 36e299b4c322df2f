"""What can go wrong in the treaty between the two ends.

DownlinkError
├── CodestreamError      an image codestream that cannot be taken apart, joined or decoded
├── RecordError          a record that cannot be written as asked
├── JournalError         a durable store that cannot be opened, written or rewritten
├── LayerError           layers that contradict each other or their scene
│   └── MissingReferenceError an image is a difference to another that is not there, or not whole
├── ContactError         a contact described with impossible numbers
├── RadioError           a radio described with impossible numbers, or a modulation that does not exist
├── ScheduleError        a plan asked for with impossible inputs
└── LinkError            a link protocol asked for something that its format cannot carry
    ├── SpacePacketError     a space packet outside 133.0-B-2, or bytes that are not one
    ├── TransferFrameError   a transfer frame outside 732.0-B-4
    ├── FrameSecurityError   a key, or a frame to be protected, outside 355.0-B-2
    ├── CommandError         bytes that are not a command or a command report, or fields that do not fit one
    ├── HousekeepingError    bytes that are not housekeeping, or fields that do not fit it
    ├── CfdpPduError         bytes that are not a file delivery PDU, or fields that do not fit one
    ├── CfdpTransactionError a file transaction that cannot be started, found or cancelled
    ├── CfdpSnapshotError    a saved state of a file delivery entity that cannot be read back
    ├── ErasureCodeError     an object that the erasure code cannot carry, or symbols that are not of one object
    ├── ErasurePacketError   bytes that are not one symbol packet, or fields that do not fit one
    ├── ErasureSnapshotError a saved state of an erasure sender that cannot be read back
    └── ProtectionError      a loss or a protection described with impossible numbers
"""


class DownlinkError(Exception):
    """Root of every error raised in `downlink`."""


class CodestreamError(DownlinkError):
    """A JPEG 2000 codestream is damaged, or not of the form that layers are cut from."""


class RecordError(DownlinkError):
    """A record does not fit its format."""


class JournalError(DownlinkError):
    """A durable store cannot do as asked; what it held before is intact."""


class LayerError(DownlinkError):
    """Image layers do not belong together, or do not fit the scene they name."""


class MissingReferenceError(LayerError):
    """An image was predicted from another one that is not there, holds fewer steps than named, or has other pixels."""

    def __init__(self, message: str, *, scene: int, product: int, steps: int) -> None:
        super().__init__(message)
        self.scene = scene
        """Of the block that is needed."""
        self.product = product
        """Number of that block."""
        self.steps = steps
        """How many of its steps are needed, from the first."""


class ContactError(DownlinkError):
    """A contact is described with impossible numbers."""


class RadioError(DownlinkError):
    """A radio is described with impossible numbers, or by a modulation that does not exist."""


class ScheduleError(DownlinkError):
    """A schedule was asked for with inputs that cannot be met."""


class LinkError(DownlinkError):
    """Root of the errors of the link protocols. What is heard on the link never raises one out of a receiver."""


class SpacePacketError(LinkError):
    """A space packet cannot be written as asked, or the bytes are not one space packet."""


class TransferFrameError(LinkError):
    """A transfer frame, or its assembler, was asked for with fields outside the format."""


class FrameSecurityError(LinkError):
    """A key cannot be used, or a frame cannot be protected."""


class CommandError(LinkError):
    """Bytes are not a command or a command report, or the fields of one do not fit its format."""


class HousekeepingError(LinkError):
    """Bytes are not housekeeping of our satellite, or a field does not fit its format."""


class CfdpPduError(LinkError):
    """Bytes are not a CFDP PDU, or the fields of a PDU do not fit its format."""


class CfdpTransactionError(LinkError):
    """A CFDP transaction cannot be started, found or cancelled as asked."""


class CfdpSnapshotError(LinkError):
    """The saved state of a CFDP entity is damaged, or of another kind or version."""


class ErasureCodeError(LinkError):
    """An object does not fit the erasure code, or its symbols contradict each other."""


class ErasurePacketError(LinkError):
    """Bytes are not a packet with one symbol, or the fields of one do not fit its format."""


class ErasureSnapshotError(LinkError):
    """The saved state of an erasure sender is damaged, or of another kind or version."""


class ProtectionError(LinkError):
    """A loss, or a protection against it, is described with impossible numbers."""
