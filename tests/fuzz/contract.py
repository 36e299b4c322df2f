"""What a fuzz target may and may not do."""

import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Value = TypeVar("Value")


class ContractBroken(Exception):
    """A decoder or a machine did what its documentation rules out."""


def require(holds: bool, otherwise: str) -> None:
    """Raises ContractBroken unless it holds. Unlike `assert` it is there under `python -O`, too."""
    if not holds:
        raise ContractBroken(otherwise)


def value_or_refusal(
    refusals: type[Exception] | tuple[type[Exception], ...],
    function: Callable[..., Value],
    /,
    *arguments: object,
    **named: object,
) -> Value | None:
    """What the function returns, None where it raises one of the errors that it documents. Any other error comes out."""
    try:
        return function(*arguments, **named)
    except refusals:
        return None


def with_crc16(body: bytes) -> bytes:
    """The body and the CRC-16 that frames and PDUs end in."""
    return body + binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "big")


def with_crc32(body: bytes) -> bytes:
    """The body and the CRC-32 that records end in."""
    return body + binascii.crc32(body).to_bytes(4, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing to fuzz."""

    run: Callable[[bytes], None]
    """Takes any bytes; returns, or raises what must not happen."""
    seeds: Callable[[], list[bytes]]
    """Inputs that lead deep inside: valid encodings, golden bytes."""
    longest: int = 4096
    """Length to which the fuzzer lets inputs grow, bytes."""
    share: int = 1
    """Its part of the time of a run: machines have more states than decoders."""
    kept_bytes: int = 6000
    """Bytes of inputs kept in the repository: the shortest that are worth it. Every run of the tests replays them."""
