"""The publisher: a child process that makes scenes out of layers, so that the radio's process stays small and on time (edge: processes).

The child is started anew (`spawn`), with a lower priority, and imports what decodes pixels and writes rasters; this module does not. It
ends when its parent is gone, and whatever ends it, the parent goes on and starts another.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path

from mission.live.publication import LayersFound, LayersWanted, Publication, PublicationOrder, Unpublished

NICENESS = 10
"""The radio goes first."""
END_LIMIT_S = 2.0
EXIT_ORPHANED = 71


class Publisher:
    """The parent's hold on one child."""

    def __init__(self, journal: Path, directory: Path, *, on_close: Callable[[int], None] = lambda fd: None) -> None:
        """`journal` holds the layers, scenes go to `directory`/ground; `on_close` is told of `fileno()` before it is closed.

        Raises OSError where no process can be had.
        """
        self.busy = False
        """An order is being worked on."""
        self.has_ended = False
        """Nothing more will come from it."""
        self._on_close = on_close
        self._how = ""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe(duplex=True)
        self._process = context.Process(
            target=run_publisher, args=(journal, directory, theirs), name="tianshu publisher", daemon=True
        )
        try:
            self._process.start()
        except OSError:
            self._pipe.close()
            raise
        finally:
            theirs.close()

    def fileno(self) -> int:
        """Readable when it has said something, or has ended."""
        return self._pipe.fileno()

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid or 0

    def give(self, order: PublicationOrder) -> None:
        """The next scene; one at a time. A child that does not listen blocks a thread of its own, not the radio."""
        self.busy = True
        threading.Thread(target=self._send, args=(order,), name="order to publisher", daemon=True).start()

    def answer(self, found: LayersFound) -> None:
        """What it wanted to know."""
        threading.Thread(target=self._send, args=(found,), name="answer to publisher", daemon=True).start()

    def heard(self) -> Publication | Unpublished | LayersWanted | None:
        """What became of the order, or what it needs to know for it; None while it says nothing."""
        try:
            if not self._pipe.poll():
                return None
            told: Publication | Unpublished | LayersWanted = self._pipe.recv()
        except (EOFError, OSError):
            self.has_ended = True
            return None
        if not isinstance(told, LayersWanted):
            self.busy = False
        return told

    def end(self) -> str:
        """Have it end, at once; returns how it ended. Nothing of it is left."""
        if not self._how:
            self._process.terminate()
            self._process.join(END_LIMIT_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._close()
        return self._how

    def buried(self) -> str:
        """How it ended, once `has_ended`."""
        if not self._how:
            self._process.join(END_LIMIT_S)
            if self._process.is_alive():
                return self.end()
            self._close()
        return self._how

    def _send(self, told: PublicationOrder | LayersFound) -> None:
        with suppress(OSError):  # a child that has ended is found by its closed pipe
            self._pipe.send(told)

    def _close(self) -> None:
        self.has_ended = True
        code = self._process.exitcode or 0
        self._how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self._on_close(self._pipe.fileno())
        self._pipe.close()
        self._process.close()


def run_publisher(journal: Path, directory: Path, pipe: Connection) -> None:
    """The child's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal's Ctrl-C; the parent says when to end
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(NICENESS)
    _end_with_parent()
    from mission.live.scene_publication import publish_scene

    def look_up(scene: int) -> LayersFound:
        pipe.send(LayersWanted(scene=scene))
        found: LayersFound = pipe.recv()
        return found

    with suppress(EOFError, ConnectionError):
        while True:
            pipe.send(publish_scene(journal, directory, pipe.recv(), look_up))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(EXIT_ORPHANED)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
