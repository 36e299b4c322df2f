"""One small number for a set of layers: both ends compare what they hold without listing it.

The digest of a set is the exclusive or of an 8-byte BLAKE2b (RFC 7693) of each packed address: the order of layers plays no
part, and a layer is added or taken away by the same step. Two different sets share a digest with a chance of 2^-64; it
finds errors, and is no proof against somebody who chooses the addresses.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from downlink.products import LayerAddress

DIGEST_BYTES: Final = 8
NO_LAYERS: Final = bytes(DIGEST_BYTES)
"""The digest of the empty set."""


def layer_digest(addresses: Iterable[LayerAddress]) -> bytes:
    """8 bytes for a set of layers; `addresses` names each of them once."""
    digest = NO_LAYERS
    for address in addresses:
        digest = toggle(digest, address)
    return digest


def toggle(digest: bytes, address: LayerAddress) -> bytes:
    """The digest with a layer added that was not in the set, or taken away that was."""
    one = hashlib.blake2b(address.pack(), digest_size=DIGEST_BYTES).digest()
    return (int.from_bytes(digest, "big") ^ int.from_bytes(one, "big")).to_bytes(DIGEST_BYTES, "big")
