"""Names become addresses without anybody waiting for them."""

import socket
import threading
import time

import pytest

from mission.live import address_resolver
from mission.live.address_resolver import AddressResolver

PATIENCE_S = 5.0


def until_known(resolver: AddressResolver, expected: tuple[tuple[str, int], ...]) -> bool:
    until = time.monotonic() + PATIENCE_S
    while resolver.addresses != expected and time.monotonic() < until:
        threading.Event().wait(0.001)
    return resolver.addresses == expected


def test_digits_need_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("asked"))
    assert AddressResolver("192.0.2.17", 7001).addresses == (("192.0.2.17", 7001),)


def test_a_name_server_that_hangs_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def slow(host: str, port: int, *_: object) -> list[tuple[object, ...]]:
        answer.wait(PATIENCE_S)
        return [(2, 1, 6, "", ("192.0.2.1", port)), (2, 1, 6, "", ("192.0.2.2", port))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolver = AddressResolver("ground", 7002)
    assert resolver.addresses == ()
    answer.set()
    assert until_known(resolver, (("192.0.2.1", 7002), ("192.0.2.2", 7002)))
    resolver.close()


def test_a_name_is_asked_again_and_what_was_known_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[object] = [OSError("not yet"), "192.0.2.1", OSError("down"), UnicodeError("odd"), "192.0.2.9"]
    known: list[AddressResolver] = []
    seen: list[tuple[tuple[str, int], ...]] = []

    def answering(host: str, port: int, *_: object) -> list[tuple[object, ...]]:
        seen.extend(resolver.addresses for resolver in known)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return [(2, 1, 6, "", (answer, port))]

    monkeypatch.setattr(socket, "getaddrinfo", answering)
    monkeypatch.setattr(address_resolver, "FIRST_RETRY_S", 0.0)
    monkeypatch.setattr(address_resolver, "AGAIN_S", 0.0)
    resolver = AddressResolver("channel", 7000)
    known.append(resolver)
    assert until_known(resolver, (("192.0.2.9", 7000),))
    resolver.close()
    assert set(seen) <= {(), (("192.0.2.1", 7000),), (("192.0.2.9", 7000),)}
