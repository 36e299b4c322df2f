"""The saved state of a CFDP entity as bytes: a small header, a JSON record, and file bytes behind it."""

import binascii
import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from downlink.errors import CfdpSnapshotError, LinkError

_HEADER = struct.Struct(">4sBII")
_VERSION = 2


def pack_snapshot(kind: bytes, record: dict[str, Any], blob: bytes = b"") -> bytes:
    """A snapshot of the 4-byte `kind`: the JSON-ready `record`, and `blob` behind it."""
    text = json.dumps(record, separators=(",", ":"), sort_keys=True).encode()
    return _HEADER.pack(kind, _VERSION, len(text), binascii.crc32(blob, binascii.crc32(text))) + text + blob


def unpack_snapshot(kind: bytes, snapshot: bytes) -> tuple[dict[str, Any], bytes]:
    """Record and blob of a snapshot. Raises CfdpSnapshotError when it is cut, changed, or of another kind or version."""
    if len(snapshot) < _HEADER.size:
        raise CfdpSnapshotError(f"snapshot of {len(snapshot)} bytes is cut short; start from an older one")
    found_kind, version, text_bytes, check = _HEADER.unpack_from(snapshot)
    if found_kind != kind or version != _VERSION:
        raise CfdpSnapshotError(f"snapshot is {found_kind!r} version {version}, not {kind!r} version {_VERSION}")
    body = snapshot[_HEADER.size :]
    if binascii.crc32(body) != check or len(body) < text_bytes:
        raise CfdpSnapshotError("snapshot fails its CRC-32: it is cut or changed; start from an older one")
    record: dict[str, Any] = json.loads(body[:text_bytes])
    return record, body[text_bytes:]


@contextmanager
def reading_snapshot() -> Iterator[None]:
    """A snapshot whose CRC agrees and whose content does not: written by another release, or by nobody here. As CfdpSnapshotError."""
    try:
        yield
    except CfdpSnapshotError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, LinkError) as error:
        raise CfdpSnapshotError(
            f"snapshot holds something else than a state ({type(error).__name__}: {error}); start from an older one"
        ) from error
