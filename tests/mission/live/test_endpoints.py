"""Endpoints: what is answered, to how many, and to whom not."""

import http.client
import os
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from mission.errors import ServiceError
from mission.live import endpoints as endpoints_module
from mission.live.endpoints import CONNECTIONS_LIMIT, PAGES_LIMIT, Endpoints, Response

PATIENCE_S = 10


@contextmanager
def answering(pages=None, **limits):
    """Endpoints with pages at a free port, and the errors of their handlers."""
    errors = []
    with pytest.MonkeyPatch.context() as patched:
        for name, value in limits.items():
            patched.setattr(endpoints_module, name, value)
        served = Endpoints("127.0.0.1:0", on_error=errors.append)
        for path, handler in (pages or {"/healthz": lambda path: Response(body=b"well\n")}).items():
            served.serve(path, handler)
        served.start()
        try:
            yield served, errors
        finally:
            served.close()


def ask(served, path, method="GET"):
    host, _, port = served.address.rpartition(":")
    client = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
    try:
        client.putrequest(method, path, skip_accept_encoding=True)
        client.endheaders()
        answer = client.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        client.close()


def ask_or_none(served, path):
    """The status, None where the client is sent away."""
    try:
        return ask(served, path)[0]
    except (ConnectionError, http.client.HTTPException):
        return None


def connected(served):
    host, _, port = served.address.rpartition(":")
    client = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
    return client


def says(text):
    return lambda path: Response(body=f"{text} {path}".encode())


def test_an_answer_has_its_length_and_forbids_what_it_can():
    with answering({"/status": lambda path: Response(status=202, content_type="application/json", body=b"{}")}) as (
        served,
        _,
    ):
        status, headers, body = ask(served, "/status?since=3#top")
    assert (status, body) == (202, b"{}")
    assert (headers["Content-Type"], headers["Content-Length"]) == ("application/json", "2")
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "Python" not in headers["Server"]


def test_head_has_everything_but_the_body():
    with answering() as (served, _):
        get, head = ask(served, "/healthz"), ask(served, "/healthz", "HEAD")
    assert head[0] == get[0] == 200 and head[2] == b"" and get[2] == b"well\n"
    assert head[1]["Content-Length"] == get[1]["Content-Length"] == "5"


def test_the_longest_page_that_fits_answers():
    pages = {"/": says("page"), "/files/": says("files"), "/files/deep/": says("deep"), "/files/one": says("one")}
    with answering(pages) as (served, _):
        assert ask(served, "/")[2] == b"page /"
        assert ask(served, "/files/a%20b.tif")[2] == b"files /files/a b.tif"
        assert ask(served, "/files/deep/x")[2] == b"deep /files/deep/x"
        assert ask(served, "/files/one")[2] == b"one /files/one"
        assert ask(served, "/files")[0] == 404


@pytest.mark.parametrize(
    "path",
    ["/nowhere", "/files/../secret", "/files/%2e%2e/secret", "/files/..%2fsecret", "/files/%5c..%5c", "/files/a%00b"],
)
def test_unknown_and_climbing_paths_are_not_found(path):
    with answering({"/files/": says("files")}) as (served, errors):
        status, _, body = ask(served, path)
    assert status == 404 and b"no such page" in body and not errors


def test_other_methods_are_refused():
    with answering() as (served, _):
        assert ask(served, "/healthz", "POST")[0] == 501
        assert ask(served, "/healthz", "DELETE")[0] == 501


def test_a_file_is_sent_from_the_disk(tmp_path):
    file = tmp_path / "scene.tif"
    file.write_bytes(os.urandom(3_000_001))
    pages = {"/scene": lambda path: Response(content_type="image/tiff", body=file)}
    with answering(pages) as (served, errors):
        status, headers, body = ask(served, "/scene")
        assert (status, headers["Content-Length"], body) == (200, "3000001", file.read_bytes())
        file.unlink()
        assert ask(served, "/scene")[0] == 404
    assert not errors


def test_a_handler_that_raises_is_told_and_answers_500():
    def broken(path):
        raise ZeroDivisionError("in the page")

    with answering({"/": broken, "/healthz": says("well")}) as (served, errors):
        assert ask(served, "/")[0] == 500
        assert ask(served, "/healthz")[0] == 200
    assert [str(error) for error in errors] == ["in the page"]


def test_clients_that_never_finish_asking_do_not_block_others():
    with answering(REQUEST_S=3600.0, ROOM_S=0.05) as (served, _):
        slow = [connected(served) for _ in range(2 * CONNECTIONS_LIMIT)]
        for client in slow:
            client.sendall(b"GET /heal")
        for _ in range(3):
            assert ask(served, "/healthz")[0] == 200
        for client in slow:
            client.close()


def test_a_request_that_takes_too_long_is_cut_off():
    with answering(REQUEST_S=0.1) as (served, _):
        client = connected(served)
        client.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        began = time.monotonic()
        assert client.recv(1000) == b""
        assert time.monotonic() - began < PATIENCE_S
        client.close()


@contextmanager
def large_page_and_watched(tmp_path, **limits):
    """A file that fits in no buffer, and what a service is watched by."""
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(64 << 20)
    pages = {"/large": lambda path: Response(body=large), "/page": says("page")}
    pages |= {path: says("well") for path in ("/healthz", "/status", "/metrics")}
    with answering(pages, **limits) as (served, errors):
        yield served, errors


def test_slow_downloads_leave_room_for_those_who_watch_the_service(tmp_path):
    """As many clients as there are connections ask for the file and read nothing; then they leave, and there is room again."""
    with large_page_and_watched(tmp_path, ROOM_S=0.2) as (served, errors):
        readers = [connected(served) for _ in range(CONNECTIONS_LIMIT)]
        for client in readers:
            client.sendall(b"GET /large HTTP/1.0\r\n\r\n")
        answers = [client.recv(12) for client in readers]
        assert sorted(answers) == [b"HTTP/1.0 200"] * PAGES_LIMIT + [b"HTTP/1.0 503"] * (
            CONNECTIONS_LIMIT - PAGES_LIMIT
        )
        for path in ("/healthz", "/status?since=3", "/metrics", "/healthz"):
            assert ask(served, path)[0] == 200
        status, _, body = ask(served, "/page")
        assert status == 503 and b"ask again" in body
        for client in readers:
            client.close()
        began = time.monotonic()
        while ask(served, "/page")[0] != 200:
            assert time.monotonic() - began < PATIENCE_S
    assert not errors


def test_room_for_those_who_watch_is_bounded_and_comes_back():
    """Whoever asks for health and takes no answer is cut off sooner than a download."""
    long = {"/healthz": lambda path: Response(body=bytes(64 << 20)), "/status": says("well")}
    with answering(long, ROOM_S=0.05, WATCHED_ANSWER_S=0.2) as (served, errors):
        readers = [connected(served) for _ in range(CONNECTIONS_LIMIT)]
        for client in readers:
            client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        began = time.monotonic()
        while ask_or_none(served, "/status") != 200:
            assert time.monotonic() - began < PATIENCE_S
        for client in readers:
            client.close()
    assert not errors


def test_an_answer_that_is_not_taken_is_cut_off(tmp_path):
    with large_page_and_watched(tmp_path, ROOM_S=0.3, ANSWER_S=0.2) as (served, errors):
        readers = [connected(served) for _ in range(CONNECTIONS_LIMIT)]
        for client in readers:
            client.sendall(b"GET /large HTTP/1.0\r\n\r\n")
        # None of them reads; cutting them off makes room.
        began = time.monotonic()
        while ask_or_none(served, "/page") != 200:
            assert time.monotonic() - began < PATIENCE_S
        for client in readers:
            client.close()
    assert not errors


def test_a_thread_that_cannot_be_started_costs_its_client_alone():
    with answering() as (served, _):
        with pytest.MonkeyPatch.context() as patched:

            def refuse(self):
                raise RuntimeError("can't start new thread")

            patched.setattr(threading.Thread, "start", refuse)
            for _ in range(2 * CONNECTIONS_LIMIT):
                with pytest.raises((ConnectionError, http.client.HTTPException)):
                    ask(served, "/healthz")
        assert ask(served, "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nX: " + b"b" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: 1\r\n" % number for number in range(200)) + b"\r\n", b"431"),
        (b"nonsense\r\n\r\n", b"400"),
    ],
)
def test_requests_that_are_too_large_or_none_are_refused(request_text, status):
    with answering() as (served, errors):
        client = connected(served)
        client.sendall(request_text)
        assert status in client.recv(200)
        client.close()
        assert ask(served, "/healthz")[0] == 200
    assert not errors


def test_an_address_in_use_is_refused():
    with answering() as (served, _), pytest.raises(ServiceError, match=f"at {served.address} .*in use.*--http"):
        Endpoints(served.address, on_error=pytest.fail)


@pytest.mark.parametrize("address", ["9101", "127.0.0.1:port", "127.0.0.1:70000", ""])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ServiceError, match="HOST:PORT"):
        Endpoints(address, on_error=pytest.fail)
