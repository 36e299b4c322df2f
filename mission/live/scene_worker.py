"""The worker process: one child that works scenes through, so that the radio's process stays small and on time (edge: processes).

The child is started anew (`spawn`), with a lower priority, and imports what reads and codes pixels; this module does not. It ends when
its parent is gone, however that went.
"""

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from mission.live.worker_messages import TEXT_LIMIT_CHARS, FromWorker, ToWorker, WorkerFailed
from mission.scenario import Scenario

NICENESS = 10
"""The radio goes first."""
MESSAGES_PER_TURN = 32
"""Read from the pipe at most, before the radio has its turn again."""
END_LIMIT_S = 2.0
EXIT_FAILED = 70
EXIT_ORPHANED = 71


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """What the child is told at its start."""

    scenario: Scenario
    """Sensor, detector, policy, power."""
    power: Path
    """Root of the power readings."""
    handover: Path
    """The file through which layers leave."""
    raw: Path
    """Folder of raw tiles; the worker's alone."""
    references: Path
    """Folder of what the ground has acknowledged; read here, written by the main process."""
    raw_capacity_bytes: int
    """What raw tiles may take."""
    reference_capacity_bytes: int
    """What references may take."""


class SceneWorker:
    """The parent's hold on one child."""

    def __init__(self, setup: WorkerSetup, *, on_close: Callable[[int], None] = lambda fd: None) -> None:
        """Starts it; `on_close` is told of `fileno()` before it is closed. Raises OSError where no process can be had."""
        self._on_close = on_close
        self._how = ""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe(duplex=True)
        self._process = context.Process(
            target=run_worker, args=(setup, theirs), name="tianshu scene worker", daemon=True
        )
        try:
            self._process.start()
        except OSError:
            self._pipe.close()
            raise
        finally:
            theirs.close()
        self.has_ended = False
        """Nothing more will come from it."""

    def fileno(self) -> int:
        """Readable when it has said something, or has ended."""
        return self._pipe.fileno()

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid or 0

    def tell(self, message: ToWorker) -> None:
        """Say something. A child that has ended does not hear it; `has_ended` tells of it."""
        try:
            self._pipe.send(message)
        except OSError:
            self.has_ended = True

    def heard(self) -> list[FromWorker]:
        """What it has said since, not more than `MESSAGES_PER_TURN`."""
        messages: list[FromWorker] = []
        try:
            while len(messages) < MESSAGES_PER_TURN and self._pipe.poll():
                messages.append(self._pipe.recv())
        except (EOFError, OSError):
            self.has_ended = True
        return messages

    def end(self) -> str:
        """Have it end, at once; returns how it ended. Nothing of it is left."""
        if self._how:
            return self._how
        self._process.terminate()
        self._process.join(END_LIMIT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        return self._close()

    def buried(self) -> str:
        """How it ended, once `has_ended`."""
        if not self._how:
            self._process.join(END_LIMIT_S)
        return self.end() if self._how or self._process.is_alive() else self._close()

    def _close(self) -> str:
        self.has_ended = True
        code = self._process.exitcode or 0
        self._how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self._on_close(self._pipe.fileno())
        self._pipe.close()
        self._process.close()
        return self._how


def run_worker(setup: WorkerSetup, pipe: Connection) -> None:
    """The child's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal's Ctrl-C; the parent says when to end
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(NICENESS)
    _end_with_parent()
    try:
        from mission.live.scene_work import SceneWork

        SceneWork(setup, WorkerPipe(pipe)).run()
    except (EOFError, ConnectionError):
        os._exit(EXIT_ORPHANED)
    except Exception as error:
        lines = "".join(traceback.format_exception(error))
        pipe.send(WorkerFailed(error=f"{type(error).__name__}: {error}"[:TEXT_LIMIT_CHARS], traceback=lines[-4000:]))
        raise SystemExit(EXIT_FAILED) from error


class WorkerPipe:
    """The child's end of the pipe."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.say: Callable[[FromWorker], None] = pipe.send
        """Tell the parent. Raises OSError when it is gone."""

    def heard_within(self, seconds: float | None) -> ToWorker | None:
        """The next message; None where none comes in that time. Raises EOFError when the parent is gone."""
        if not self._pipe.poll(seconds):
            return None
        message: ToWorker = self._pipe.recv()
        return message


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(EXIT_ORPHANED)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
