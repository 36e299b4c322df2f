"""Key files: lines of a key index and 64 hexadecimal digits, readable by their owner alone (edge: files).

    # made with: openssl rand -hex 32
    8 5f0c...   the key that frames are protected with
    7 91aa...   the key before it, still accepted

What follows `#` is a comment. A key file's errors never show any part of a key.
"""

import stat
from pathlib import Path
from string import hexdigits
from typing import Final

from downlink.errors import FrameSecurityError
from downlink.frame_security import SecurityAssociation
from mission.errors import KeyFileError

KEYS_LIMIT: Final = 4
SPI_DIGITS: Final = 5
KEY_DIGITS: Final = 64
FILE_LIMIT_BYTES: Final = 65_536


def read_key_file(path: Path, *, may_be_shared: bool = False) -> tuple[SecurityAssociation, ...]:
    """The keys in the order of the file. Raises KeyFileError where the file or a key in it cannot be used.

    Unless it `may_be_shared`, a file that its group or others may read or write is refused.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(f"key file {path} is not a file", path)
        if status.st_size > FILE_LIMIT_BYTES:
            raise KeyFileError(f"key file {path} has {status.st_size} bytes: that is no key file", path)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise KeyFileError(
            f"key file {path} cannot be read ({reason}); make a key with: openssl rand -hex 32", path
        ) from error
    shared = stat.S_IMODE(status.st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
    if shared and not may_be_shared:
        raise KeyFileError(
            f"key file {path} has mode {stat.S_IMODE(status.st_mode):04o}: others than its owner may use it; "
            "chmod 600 it and change the keys, or say key_file_may_be_shared = true",
            path,
        )
    return _keys(text, path)


def _keys(text: str, path: Path) -> tuple[SecurityAssociation, ...]:
    keys: dict[int, SecurityAssociation] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        association = _key(words, number, path)
        if association.spi in keys:
            raise KeyFileError(f"key file {path}, line {number}: index {association.spi} comes twice", path, number)
        if any(association.key == other.key for other in keys.values()):
            raise KeyFileError(f"key file {path}, line {number}: this key has another index already", path, number)
        keys[association.spi] = association
    if not 1 <= len(keys) <= KEYS_LIMIT:
        raise KeyFileError(f"key file {path} has {len(keys)} keys; give 1 to {KEYS_LIMIT}", path)
    return tuple(keys.values())


def _key(words: list[str], number: int, path: Path) -> SecurityAssociation:
    place = f"key file {path}, line {number}"
    if len(words) != 2:
        raise KeyFileError(f"{place}: {len(words)} words; give an index and {KEY_DIGITS} digits", path, number)
    if not (words[0].isascii() and words[0].isdecimal() and len(words[0]) <= SPI_DIGITS):
        raise KeyFileError(f"{place}: the index is no number of up to {SPI_DIGITS} digits", path, number)
    if len(words[1]) != KEY_DIGITS:
        raise KeyFileError(f"{place}: the key has {len(words[1])} digits, not {KEY_DIGITS}", path, number)
    if not set(words[1]) <= set(hexdigits):
        raise KeyFileError(f"{place}: the key has digits that are not hexadecimal", path, number)
    try:
        return SecurityAssociation(spi=int(words[0]), key=bytes.fromhex(words[1]))
    except FrameSecurityError as error:
        raise KeyFileError(f"{place}: {error}", path, number) from error
