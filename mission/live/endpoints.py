"""What a service answers over HTTP: health, status, metrics, and pages of its own (edge: HTTP).

Small and bounded: so many connections at once, so long for a request to arrive, one request a connection. A client that
sends its request drop by drop makes room when others wait. Pages and files share all connections but two, so that slow
downloads never keep anybody from asking after the service's health. Answers are made in threads: a handler reads what
others replaced whole, and changes nothing.
"""

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copyfileobj
from typing import Any
from urllib.parse import unquote, urlsplit

from mission.errors import ServiceError

CONNECTIONS_LIMIT = 8
PAGES_LIMIT = 6
"""Connections that may be sent anything but `WATCHED_PATHS` at the same time."""
WATCHED_PATHS = frozenset({"/healthz", "/status", "/metrics"})
"""What others watch the service by: short answers, for which room is always kept."""
REQUEST_S = 5.0
"""Within which the request must have arrived."""
ANSWER_S = 300.0
"""Within which a client must have taken its answer."""
WATCHED_ANSWER_S = 10.0
"""The same for `WATCHED_PATHS`."""
SILENCE_S = 10.0
"""For which a client may take nothing of its answer."""
ROOM_S = 0.5
"""For which a newcomer waits for room before the slowest request is cut off; who asks for a page waits half as long for its turn."""
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' data:; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer."""

    status: int = 200
    """HTTP status."""
    content_type: str = TEXT
    """Media type, with charset where it is text."""
    body: bytes | Path
    """What is sent; a file is sent from the disk, piece by piece."""


Handler = Callable[[str], Response]
"""From the decoded path of a request to its answer. Called in a thread."""


def not_found(path: str) -> Response:
    """404."""
    return Response(status=404, body=f"{path}: there is no such page\n".encode())


class Endpoints:
    """Pages at an address. Bound on construction, answered from `start` to `close`."""

    def __init__(self, address: str, *, on_error: Callable[[BaseException], None]) -> None:
        """`on_error` is told what a handler raised, in its thread. Raises ServiceError where the address cannot be had."""
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65_535:
            raise ServiceError(
                f"http = {address!r} is not an address; give HOST:PORT, such as 127.0.0.1:9101, or 'none'"
            )
        self._pages: dict[str, Handler] = {}
        try:
            self._server = _BoundedServer((host.strip("[]"), int(port)), self._answer, on_error)
        except OSError as error:
            raise ServiceError(
                f"HTTP cannot be answered at {address} ({error.strerror or error}); choose another address with --http, "
                "port 0 for any free one, or 'none'"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="endpoints", daemon=True)

    @property
    def address(self) -> str:
        """HOST:PORT where they are answered."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def serve(self, path: str, handler: Handler) -> None:
        """Answers `path`; one that ends in `/` stands for everything below it, too, except `/` itself. The longest fitting one answers."""
        self._pages = self._pages | {path: handler}

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stops answering and gives the address back."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def _answer(self, target: str) -> Response:
        path = unquote(urlsplit(target).path)
        if "\0" in path or "\\" in path or ".." in path.split("/"):
            return not_found(path)
        pages = self._pages
        exact = pages.get(path)
        if exact is not None:
            return exact(path)
        above = [page for page in pages if page.endswith("/") and page != "/" and path.startswith(page)]
        return pages[max(above, key=len)](path) if above else not_found(path)


@dataclass(slots=True, kw_only=True)
class _Connection:
    """One client."""

    since_s: float = field(default_factory=time.monotonic)
    """When it came, monotonic."""
    limit_s: float = field(default_factory=lambda: REQUEST_S)
    """So long after it came it is cut off."""
    asking: bool = True
    """Whether its request is still arriving."""


class _BoundedServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        address: tuple[str, int],
        answer: Callable[[str], Response],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.answer = answer
        self._on_error = on_error
        self._room = threading.BoundedSemaphore(CONNECTIONS_LIMIT)
        self._page_room = threading.BoundedSemaphore(PAGES_LIMIT)
        self._connections: dict[socket.socket, _Connection] = {}
        self._connections_lock = threading.Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Request)

    def server_bind(self) -> None:
        """As a plain TCP server does: HTTP's own looks its name up, which hangs where no name server answers."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for the client, where there is room, or can be made."""
        if not self._room.acquire(timeout=ROOM_S) and not (self._cut_slowest() and self._room.acquire(timeout=ROOM_S)):
            self.shutdown_request(request)
            return
        with self._connections_lock:
            self._connections[request] = _Connection()
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._forget(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The client's thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._forget(request)

    def service_actions(self) -> None:
        """Cuts off whoever takes too long to ask, or to take the answer."""
        now_s = time.monotonic()
        self._cut(lambda connection: now_s - connection.since_s > connection.limit_s)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing on standard error: what a handler raises is told where it is caught, the rest is a client that left."""

    @contextmanager
    def turn(self, request: socket.socket, target: str) -> Iterator[bool]:
        """The client's request is complete: whether it may be answered. While it is, it counts as a page where it asks for one."""
        watched = target.partition("?")[0] in WATCHED_PATHS
        with self._connections_lock:
            self._connections[request].asking = False
            self._connections[request].limit_s = WATCHED_ANSWER_S if watched else ANSWER_S
        admitted = watched or self._page_room.acquire(timeout=ROOM_S / 2)
        try:
            yield admitted
        finally:
            if admitted and not watched:
                self._page_room.release()

    def failed(self, error: BaseException) -> None:
        """A handler raised that."""
        self._on_error(error)

    def _forget(self, request: socket.socket) -> None:
        with self._connections_lock:
            self._connections.pop(request, None)
        self._room.release()

    def _cut_slowest(self) -> bool:
        with self._connections_lock:
            asking = [connection.since_s for connection in self._connections.values() if connection.asking]
        return bool(asking) and self._cut(lambda connection: connection.asking and connection.since_s <= min(asking))

    def _cut(self, which: Callable[[_Connection], bool]) -> bool:
        cut = False
        with self._connections_lock:
            for request, connection in self._connections.items():
                if which(connection):
                    cut = True
                    _hang_up(request)
        return cut


def _hang_up(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:  # the client was quicker
        return


class _Request(BaseHTTPRequestHandler):
    server: _BoundedServer
    server_version = "tianshu"
    sys_version = ""
    timeout = SILENCE_S
    error_content_type = TEXT
    error_message_format = "%(code)d %(message)s\n"

    def do_GET(self) -> None:
        self._respond(with_body=True)

    def do_HEAD(self) -> None:
        self._respond(with_body=False)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not logged."""

    def _respond(self, *, with_body: bool) -> None:
        with self.server.turn(self.connection, self.path) as admitted:
            if admitted:
                self._answer(with_body=with_body)
            else:
                self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "too many pages are being sent; ask again")

    def _answer(self, *, with_body: bool) -> None:
        try:
            response = self.server.answer(self.path)
        except Exception as error:
            self.server.failed(error)
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
            raise
        body = response.body
        if isinstance(body, bytes):
            self._send_head(response, len(body))
            if with_body:
                self.wfile.write(body)
            return
        try:
            file = body.open("rb")
        except OSError:  # replaced or removed since the handler looked
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file:
            size_bytes = file.seek(0, 2)
            file.seek(0)
            self._send_head(response, size_bytes)
            if with_body:
                copyfileobj(file, self.wfile)

    def _send_head(self, response: Response, size_bytes: int) -> None:
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(size_bytes))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
