"""AES-256-GMAC against published vectors and against GHASH written out."""

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from downlink.aes_gmac import AesGmac

# Key, nonce, message, tag. First: McGrew and Viega, test case 13. Second: NIST CAVP, gcmEncryptExtIV256 without plaintext.
# Third: IEEE 802.1AE, annex C, 54-byte packet under integrity protection.
PUBLISHED = [
    ("00" * 32, "00" * 12, "", "530f8afbc74536b9a963b4f1c4cb738b"),
    (
        "78dc4e0aaf52d935c3c01eea57428f00ca1fd475f5da86a49c8dd73d68c8e223",
        "d79cf22d504cc793c3fb6c8a",
        "b96baa8c1c75a671bfb2d08d06be5f36",
        "3e5d486aa2e30b22e040b85723a06e76",
    ),
    (
        "e3c08a8f06c6e3ad95a70557b23f75483ce33021a9c72b7025666204c69c0b72",
        "12153524c0895e81b2c28465",
        "d609b1f056637a0d46df998d88e5222ab2c2846512153524c0895e8108000f101112131415161718191a1b1c1d1e1f20"
        "2122232425262728292a2b2c2d2e2f30313233340001",
        "2f0bc5af409e06d609ea8b7d0fa5ea50",
    ),
]


def gmac_written_out(key, nonce, message):
    """SP 800-38D, 6.4 and 7.1, with the block cipher alone from the library."""

    def block(data):
        encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        return encryptor.update(data) + encryptor.finalize()

    def product(x, y):
        z = 0
        for bit in range(127, -1, -1):
            z ^= y if x >> bit & 1 else 0
            y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
        return z

    hash_key = int.from_bytes(block(bytes(16)), "big")
    padded = message + bytes(-len(message) % 16) + (8 * len(message)).to_bytes(8, "big") + bytes(8)
    state = 0
    for at in range(0, len(padded), 16):
        state = product(state ^ int.from_bytes(padded[at : at + 16], "big"), hash_key)
    return (state ^ int.from_bytes(block(nonce + b"\x00\x00\x00\x01"), "big")).to_bytes(16, "big")


@pytest.mark.parametrize(("key", "nonce", "message", "tag"), PUBLISHED)
def test_published_vectors(key, nonce, message, tag):
    gmac = AesGmac(bytes.fromhex(key))
    assert gmac.tag(bytes.fromhex(nonce), bytes.fromhex(message)).hex() == tag
    assert gmac.agrees(bytes.fromhex(nonce), bytes.fromhex(message), bytes.fromhex(tag))
    assert gmac_written_out(bytes.fromhex(key), bytes.fromhex(nonce), bytes.fromhex(message)).hex() == tag


@given(
    key=st.binary(min_size=32, max_size=32),
    nonce=st.binary(min_size=12, max_size=12),
    message=st.binary(max_size=70),
    flip=st.integers(0, 127),
)
def test_agrees_with_ghash_written_out_and_with_no_other_tag(key, nonce, message, flip):
    gmac = AesGmac(key)
    tag = gmac.tag(nonce, message)
    assert tag == gmac_written_out(key, nonce, message)
    wrong = bytearray(tag)
    wrong[flip // 8] ^= 1 << flip % 8
    assert gmac.agrees(nonce, message, tag) and not gmac.agrees(nonce, message, bytes(wrong))
    assert not gmac.agrees(nonce, message + b"\x00", tag)
