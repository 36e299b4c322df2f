"""Scenes on their way into the catalogue: gives the publisher one after the other, and starts another publisher when one ends."""

import time
from collections.abc import Callable

from ground.store import LayerStore
from mission.live.publication import LayersFound, LayersWanted, Publication, Unpublished
from mission.live.publisher import Publisher
from mission.live.scene_board import SceneBoard
from mission.live.structured_log import StructuredLog

FIRST_START_AGAIN_S = 1.0
START_AGAIN_LIMIT_S = 60.0
"""A publisher that ends is followed by another after the one, doubled up to the other while none finishes a scene."""
PATIENCE_S = 900.0
"""A publisher that works so long on one scene hangs."""


class PublisherLine:
    """The board's scenes and the child that publishes them."""

    def __init__(
        self,
        board: SceneBoard,
        log: StructuredLog,
        *,
        start: Callable[[], Publisher],
        on_published: Callable[[Publication], None] = lambda publication: None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`start` starts a child; it may raise OSError. `on_published` is told of each scene that has been published."""
        self.board = board
        self.starts = 0
        """Children started."""
        self.publisher: Publisher | None = None
        self.problem = ""
        """Why there is no child; empty while there is one."""
        self._log = log
        self._start = start
        self._on_published = on_published
        self._wanted: LayersWanted | None = None
        self._monotonic_s = monotonic_s
        self._again_at_s = 0.0
        self._again_s = FIRST_START_AGAIN_S
        self._scene: int | None = None
        self._given_s = 0.0

    @property
    def pid(self) -> int:
        """Number of the child's process, 0 while there is none."""
        return 0 if self.publisher is None else self.publisher.pid

    @property
    def busy(self) -> bool:
        """Whether a scene is being published."""
        return self._scene is not None

    def turn(self, store: LayerStore | None, now_ms: int) -> None:
        """Hear what the child says, bury it where it has ended, give it the next scene. Without a store nothing new is given."""
        self.hear(now_ms)
        if store is not None:
            self._answer(store)
        if self.publisher is not None and self._scene is not None and self._monotonic_s() - self._given_s > PATIENCE_S:
            self._lost(self.publisher.end(), now_ms)
        if store is None or self._scene is not None:
            return
        order = self.board.next_order(store, now_ms)
        if order is None or (self.publisher is None and not self._has_started()):
            return
        if self.publisher is not None:
            self._scene, self._given_s = order.scene, self._monotonic_s()
            self.publisher.give(order)

    def hear(self, now_ms: int) -> None:
        """Hear what the child says; to be called when it has said something, too."""
        if self.publisher is None:
            return
        told = self.publisher.heard()
        if isinstance(told, LayersWanted):
            self._wanted = told
        elif told is not None:
            self._scene, self._again_s = None, FIRST_START_AGAIN_S
            self.board.take(told, now_ms)
            self._tell(told)
        if self.publisher.has_ended:
            self._lost(self.publisher.buried(), now_ms)

    def _answer(self, store: LayerStore) -> None:
        """Tell the child what is held of a scene that it asked for; it waits, and its order with it."""
        if self._wanted is None or self.publisher is None:
            return
        addresses = store.layers_of(self._wanted.scene)
        self.publisher.answer(LayersFound(positions=tuple((one, store.position(one)) for one in addresses)))
        self._wanted = None

    def end(self) -> None:
        """End the child; a scene half published is published again after the next start."""
        if self.publisher is not None:
            self.publisher.end()
            self.publisher = None

    def _has_started(self) -> bool:
        if self._monotonic_s() < self._again_at_s:
            return False
        try:
            self.publisher = self._start()
        except OSError as error:
            self.problem = f"no publisher can be started: {error.strerror}"
            self._wait_longer()
            return False
        self.starts += 1
        self.problem = ""
        return True

    def _lost(self, how: str, now_ms: int) -> None:
        """The child has ended."""
        self._log.warning("publisher ended", how=how, scene=self._scene)
        if self._scene is not None:
            problem = f"the publisher was {how}" if how.startswith("killed") else f"the publisher {how}"
            self.board.take(Unpublished(scene=self._scene, problem=problem), now_ms)
        self.publisher, self._scene, self._wanted = None, None, None
        self._wait_longer()

    def _wait_longer(self) -> None:
        self._again_at_s = self._monotonic_s() + self._again_s
        self._again_s = min(2 * self._again_s, START_AGAIN_LIMIT_S)

    def _tell(self, told: Publication | Unpublished) -> None:
        if isinstance(told, Unpublished):
            self._log.warning("scene not published", scene=told.scene, problem=told.problem)
            return
        self._log.info(
            "scene published",
            scene=told.scene,
            name=told.name,
            layers=told.layers,
            detections=told.detections,
            arrived_fraction=round(told.arrived_fraction, 4),
            byte_exact_fraction=round(told.byte_exact_fraction, 4),
        )
        if told.waiting_images:
            scenes = [scene for scene, _ in told.missing]
            self._log.warning(
                "images wait for their reference", scene=told.scene, images=told.waiting_images, of=scenes
            )
        self._on_published(told)
