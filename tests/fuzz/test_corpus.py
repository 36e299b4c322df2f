"""Every input that the fuzzer has found worth keeping, again in every run of the tests; then more inputs like them, and long ones."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import CORPUS, TARGETS, kept_inputs

LONGEST_BYTES = 64 * 1024
ENOUGH_S = 1.0
"""CPU time that no input of 64 KiB may take."""
EXAMPLES = 12
SLOW = {"cfdp_flood": 3, "both_ends": 4}
"""Targets of which one input takes milliseconds, and with how many examples each is tried."""


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir() if folder.is_dir()} == set(TARGETS)
    assert not [name for name in TARGETS if not kept_inputs(name)]


@pytest.mark.parametrize("name", TARGETS)
def test_kept_inputs_and_seeds_keep_the_contract(name: str) -> None:
    for data in [*(path.read_bytes() for path in kept_inputs(name)), *TARGETS[name].seeds()]:
        TARGETS[name].run(data)


@st.composite
def inputs_like(draw: st.DrawFn, known: list[bytes]) -> bytes:
    """A known input, or the front of one before the back of another, with a few bytes replaced."""
    first, second = draw(st.sampled_from(known)), draw(st.sampled_from(known))
    data = bytearray(first[: draw(st.integers(0, len(first)))] + second[draw(st.integers(0, len(second))) :])
    for at in draw(st.lists(st.integers(0, max(0, len(data) - 1)), max_size=4)):
        data[at : at + 1] = draw(st.binary(min_size=1, max_size=3))
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_like_the_known_ones_keep_the_contract(name: str) -> None:
    known = [b"", *TARGETS[name].seeds(), *(path.read_bytes() for path in kept_inputs(name))]

    @settings(max_examples=SLOW.get(name, EXAMPLES), suppress_health_check=list(HealthCheck), database=None)
    @given(inputs_like(known) | st.binary(max_size=300))
    def keeps_the_contract(data: bytes) -> None:
        TARGETS[name].run(data)

    keeps_the_contract()


@pytest.mark.parametrize("name", TARGETS)
def test_long_inputs_are_quick(name: str) -> None:
    longest = max(TARGETS[name].seeds(), key=len)
    for piece in (longest, b"\xff", b"\xeb\x71\x01\x00\x00\x00\x01\x00\x05\x00\x00\x00\x7f\xff", bytes(range(256))):
        data = (piece * (LONGEST_BYTES // len(piece) + 1))[:LONGEST_BYTES]
        start_s = time.process_time()
        TARGETS[name].run(data)
        assert time.process_time() - start_s < ENOUGH_S, f"64 KiB of {piece[:16].hex()}... take too long"
