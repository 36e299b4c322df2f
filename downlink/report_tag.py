"""The tag of what the satellite reports of itself: nobody without an uplink key can put words in its mouth."""

import hmac
from collections.abc import Iterable
from typing import Final

from downlink.frame_security import SecurityAssociation

TAG_BYTES: Final = 8


def report_tag(purpose: bytes, body: bytes, association: SecurityAssociation) -> bytes:
    """First 8 bytes of HMAC-SHA-256 (RFC 2104) over `body`; its key is HMAC-SHA-256 of `purpose` under the uplink key."""
    key = hmac.digest(association.key, purpose, "sha256")
    return hmac.digest(key, body, "sha256")[:TAG_BYTES]


def is_tagged(purpose: bytes, data: bytes, associations: Iterable[SecurityAssociation]) -> bool:
    """Whether `data` ends in the tag of all before it under any of the keys."""
    body, tag = data[:-TAG_BYTES], data[-TAG_BYTES:]
    return any(hmac.compare_digest(tag, report_tag(purpose, body, association)) for association in associations)
