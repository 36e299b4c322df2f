"""Named streams of random numbers, all from one seed.

Every actor that needs chance asks for its own stream by name. A stream depends on the seed and the name alone: what other
streams draw, and in which order they are asked for, changes nothing. That keeps a mission repeatable while its parts change.

The generator is PCG64, whose raw output numpy guarantees (NEP 19); the name enters as the spawn key of a `SeedSequence`.
"""

import hashlib

import numpy as np

SPAWN_KEY_WORDS = 4


class Streams:
    """The random streams of one mission."""

    def __init__(self, seed: int) -> None:
        if seed < 0:
            raise ValueError(f"seed {seed} is negative; give a whole number from 0 up")
        self.seed = seed

    def sequence(self, name: str) -> np.random.SeedSequence:
        """The seed sequence of the stream called `name`: 128 bits of the name's SHA-256 as spawn key."""
        digest = hashlib.sha256(name.encode()).digest()
        words = tuple(int.from_bytes(digest[4 * k : 4 * k + 4], "big") for k in range(SPAWN_KEY_WORDS))
        return np.random.SeedSequence(entropy=self.seed, spawn_key=words)

    def generator(self, name: str) -> np.random.Generator:
        """A fresh generator at the start of the stream called `name`; the same name starts the same stream again."""
        return np.random.Generator(np.random.PCG64(self.sequence(name)))
