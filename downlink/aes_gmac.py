"""AES-256-GMAC: 16 bytes that only a holder of the key can compute over a message (edge: cryptography).

GMAC is AES-GCM (NIST SP 800-38D) over additional data alone, nothing encrypted; an algorithm that CCSDS 352.0-B names for
authentication. The same nonce must never be used twice under one key: two tags with one nonce give the key's hash subkey away.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16


class AesGmac:
    """One key of 32 bytes, checked by whoever hands it in."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def tag(self, nonce: bytes, message: bytes) -> bytes:
        """16 bytes over `message`; `nonce` has 12 bytes and is used for this message alone."""
        return self._cipher.encrypt(nonce, b"", message)

    def agrees(self, nonce: bytes, message: bytes, tag: bytes) -> bool:
        """Whether `tag` is the tag of `message`, compared in constant time."""
        try:
            self._cipher.decrypt(nonce, tag, message)
        except InvalidTag:
            return False
        return True
