"""Express records: summaries and alerts as single space packets, repeated until the ground says it has them.

Down, a packet of `Apid.EXPRESS` carries one record (`downlink.record`). Up, a packet of `Apid.EXPRESS_RECEIPT` carries
a version byte, 1, and the 7-byte addresses of records that the ground has made durable. Both may be lost or repeated.
"""

from collections.abc import Sequence
from typing import Final

from downlink.errors import RecordError
from downlink.products import ADDRESS, LayerAddress, unpack_addresses

VERSION: Final = 1
ADDRESSES_PER_RECEIPT: Final = 30
"""So that a receipt fits one uplink frame."""


def encode_receipts(addresses: Sequence[LayerAddress]) -> list[bytes]:
    """Payloads of as many receipt packets as the addresses need."""
    return [
        bytes([VERSION]) + b"".join(address.pack() for address in addresses[start : start + ADDRESSES_PER_RECEIPT])
        for start in range(0, len(addresses), ADDRESSES_PER_RECEIPT)
    ]


def decode_receipt(payload: bytes) -> tuple[LayerAddress, ...]:
    """Addresses in one receipt. Raises RecordError for anything else."""
    body = payload[1:]
    if payload[:1] != bytes([VERSION]) or not body or len(body) % ADDRESS.size:
        raise RecordError(
            f"express receipt of {len(payload)} bytes starting {payload[:1].hex()} is not version {VERSION}"
        )
    return unpack_addresses(body)
