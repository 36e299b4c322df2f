"""The frame of every live service: an event loop, signals, endpoints, status, metrics, log (edge: asyncio, signals, clock).

Callbacks run one after the other in the thread that called `run`. What one of them raises ends the service, with the
traceback in the log and exit code 70: another process starts it again, and it goes on from its journals.
"""

import asyncio
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from mission.live.endpoints import JSON, Endpoints, Handler, Response
from mission.live.service_metrics import METRICS_TYPE, ServiceMetrics
from mission.live.service_settings import OptionSource, ServiceSettings
from mission.live.state_folder import STATUS_FILE, StateFolder, replace_small_file
from mission.live.structured_log import StructuredLog

EXIT_STOPPED = 0
EXIT_INTERNAL = 70
"""EX_SOFTWARE of sysexits.h."""
STOP_LIMIT_S = 10.0
"""Within which the stop callbacks must be done."""
STATUS_LIFE_S = 10.0
"""After which a status that was not shown anew says that the service hangs."""

_NUMBERS = re.compile(r"[0-9]+")
"""A reason in which only these change is logged once."""

Callback = Callable[[], object]


class Service:
    """A process that runs until it is told to stop."""

    def __init__(self, name: str, settings: ServiceSettings, log: StructuredLog) -> None:
        """Takes the state folder and the HTTP address. Raises ServiceError where one of them cannot be had."""
        self.name = name
        self.settings = settings
        self.log = log
        self.metrics = ServiceMetrics(name)
        self.started_ms = time.time_ns() // 1_000_000
        self.state = StateFolder(settings.state, service=name)
        self.boot, problem = self.state.count_boot()
        if problem:
            log.warning("boot not counted", boot=self.boot, problem=problem)
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(self._failed)
        self._stop_callbacks: list[Callback] = []
        self._watched: set[int] = set()
        self._exit_code = EXIT_STOPPED
        self._stopping = False
        self._shown: _Shown = _Shown(document={}, healthy=False, reason="starting")
        self._status_unwritten = False
        self._healthy_gauge = self.metrics.gauge("healthy", "1 while the service does its work.", self._health_number)
        self.endpoints: Endpoints | None = None
        if settings.http is not None:
            try:
                self.endpoints = self._endpoints(settings.http)
            except BaseException:
                self.state.close()
                self.loop.close()
                raise

    def on_readable(self, fd: int, callback: Callback) -> None:
        """Calls it whenever `fd` has something to read."""
        self._watched.add(fd)
        self.loop.add_reader(fd, self._unless_stopping, callback)

    def forget(self, fd: int) -> None:
        """No more calls for `fd`; before it is closed."""
        self._watched.discard(fd)
        self.loop.remove_reader(fd)

    def every(self, interval_s: float, callback: Callback) -> None:
        """Calls it at once, then at every multiple of the interval; turns that were missed are left out."""
        self.loop.call_soon(self._repeat, interval_s, callback, self.loop.time())

    def after(self, delay_s: float, callback: Callback) -> asyncio.TimerHandle:
        """Calls it once, that much later; `cancel()` of what comes back prevents it."""
        return self.loop.call_later(delay_s, self._unless_stopping, callback)

    def serve(self, path: str, handler: Handler) -> None:
        """Answers an HTTP path (`Endpoints.serve`); the handler is called in another thread. Nothing where there is no HTTP."""
        if self.endpoints is not None:
            self.endpoints.serve(path, handler)

    def show(self, status: BaseModel, *, healthy: bool = True, reason: str = "") -> None:
        """Makes this the status: of /status, /healthz and the state folder's status.json, all at once each.

        The fields of `ServiceStatus` are filled in. Show one at least every few seconds: an old one is unhealthy.
        """
        document = status.model_dump(mode="json")
        document |= {"service": self.name, "healthy": healthy, "reason": reason}
        document |= {"started_ms": self.started_ms, "boot": self.boot, "pid": os.getpid()}
        document["at_ms"] = document.get("at_ms") or time.time_ns() // 1_000_000
        if not healthy and (self._shown.healthy or _NUMBERS.sub("", self._shown.reason) != _NUMBERS.sub("", reason)):
            self.log.warning("unhealthy", reason=reason)
        elif healthy and not self._shown.healthy and self._shown.document:
            self.log.info("healthy again")
        self._shown = _Shown(document=document, healthy=healthy, reason=reason)
        self._write_status()

    def on_stop(self, callback: Callback) -> None:
        """Calls it when the service stops, in the order in which they were given."""
        self._stop_callbacks.append(callback)

    def stop(self, exit_code: int = EXIT_STOPPED) -> None:
        """Ends `run`. The first exit code that is not 0 stands. May be called from any thread."""
        self._exit_code = self._exit_code or exit_code
        self._stopping = True
        self.loop.call_soon_threadsafe(self.loop.stop)

    def run(self) -> int:
        """Runs until SIGTERM, SIGINT or `stop`; then the stop callbacks. Returns the exit code."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self.loop.add_signal_handler(number, self._signalled, number)
        if self.endpoints is not None:
            self.endpoints.start()
        http = None if self.endpoints is None else self.endpoints.address
        self.log.info("service started", boot=self.boot, pid=os.getpid(), http=http, state=self.state.path)
        try:
            self.loop.run_forever()
            self._wind_up()
        finally:
            if self.endpoints is not None:
                self.endpoints.close()
            self.state.close()
            self.loop.close()
        self.log.info("service stopped", exit_code=self._exit_code)
        return self._exit_code

    def _repeat(self, interval_s: float, callback: Callback, due_s: float) -> None:
        if self._stopping:
            return
        callback()
        late_s = self.loop.time() - due_s
        next_s = due_s + interval_s * (1 + max(0, int(late_s / interval_s)))
        self.loop.call_at(next_s, self._repeat, interval_s, callback, next_s)

    def _unless_stopping(self, callback: Callback) -> None:
        if not self._stopping:
            callback()

    def _signalled(self, number: int) -> None:
        self.log.info("told to stop", signal=signal.Signals(number).name)
        self.stop()

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What the loop does with an exception that nobody caught."""
        error = context.get("exception")
        if error is None:
            self.log.warning("event loop complains", message=context.get("message", ""))
            return
        self.log.error("internal error", error=error)
        self.stop(EXIT_INTERNAL)

    def _wind_up(self) -> None:
        """The stop callbacks, after which no other is called; whoever takes too long is left behind."""
        self._stopping = True
        watchdog = threading.Timer(STOP_LIMIT_S, self._abandon)
        watchdog.daemon = True
        watchdog.start()
        for fd in tuple(self._watched):
            self.forget(fd)
        for callback in self._stop_callbacks:
            self.loop.call_soon(callback)
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()
        watchdog.cancel()

    def _abandon(self) -> None:
        self.log.error("stopping took too long", limit_s=STOP_LIMIT_S)
        os._exit(EXIT_INTERNAL)

    def _endpoints(self, address: str) -> Endpoints:
        endpoints = Endpoints(address, on_error=lambda error: self.log.error("HTTP handler failed", error=error))
        endpoints.serve("/healthz", lambda path: self._health())
        endpoints.serve("/status", lambda path: self._shown.response(200))
        endpoints.serve("/metrics", lambda path: Response(content_type=METRICS_TYPE, body=self.metrics.text()))
        return endpoints

    def _health(self) -> Response:
        healthy, reason = self._shown.health()
        document = {"service": self.name, "healthy": healthy, "reason": reason}
        return Response(status=200 if healthy else 503, content_type=JSON, body=_json(document))

    def _health_number(self) -> float:
        return float(self._shown.health()[0])

    def _write_status(self) -> None:
        try:
            replace_small_file(self.state.path / STATUS_FILE, _json(self._shown.document), durable=False)
        except OSError as error:  # a full disk must not end the service
            if not self._status_unwritten:
                self.log.warning("status not written", file=self.state.path / STATUS_FILE, problem=str(error))
            self._status_unwritten = True
        else:
            self._status_unwritten = False


def open_service(source: OptionSource) -> Service:
    """The service that the options describe, named after their section. Raises ServiceError."""
    settings = source.settings()
    return Service(source.service, settings, StructuredLog(source.service, level=settings.log_level))


class _Shown:
    """A status as it was shown, replaced whole: other threads read it."""

    def __init__(self, *, document: dict[str, Any], healthy: bool, reason: str) -> None:
        self.document = document
        self.healthy = healthy
        self.reason = reason
        self._at_s = time.monotonic()

    def health(self) -> tuple[bool, str]:
        """Whether the service is well now, and why not."""
        age_s = time.monotonic() - self._at_s
        if self.healthy and age_s > STATUS_LIFE_S:
            return False, f"no status for {age_s:.0f} s: the service hangs"
        return self.healthy, self.reason

    def response(self, status: int) -> Response:
        """The whole status."""
        return Response(status=status, content_type=JSON, body=_json(self.document))


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"
