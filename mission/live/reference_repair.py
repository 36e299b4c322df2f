"""When the ground has lost what it acknowledged: which references the satellite is told to forget (no clock, no file).

Two things show a loss. An image is predicted from a block that is not here: then from that scene nothing more is to be predicted. Or the
satellite, in its authentic housekeeping, counts more layers delivered than are held: then nobody knows which are gone, and it is to
forget all. Images that were coded before the order was followed stay as they are: they cannot be shown, unless the layers come back.

The downlink is open: a forged image may name any scene. It costs an order, and the satellite some bytes.
"""

from collections.abc import Sequence
from typing import Final

from downlink.command import ForgetReferences, Order
from downlink.housekeeping import Housekeeping
from mission.live.agreement import Agreement, agreement
from mission.live.publication import Publication

SCENES_LIMIT: Final = 8
"""Where more scenes than this are to be forgotten at once, all are."""
OUTSTANDING_LIMIT: Final = 32
"""Orders beyond this many wait: the others belong to people."""


class ReferenceRepair:
    """What has been lost, and what the satellite has been told of it since this process started."""

    def __init__(self) -> None:
        self._wanted: dict[int, int] = {}
        self._all_wanted = False
        # Of a scene to be forgotten: the newest scene that may have been coded before the satellite was told.
        self._told: dict[int, int] = {}
        self._told_all = -1
        self._worst_deficit = -1
        self._last_scene = 0

    def take_publication(self, publication: Publication) -> None:
        """A scene was published; it may lack references."""
        for scene, _ in publication.missing:
            if publication.scene > max(self._told.get(scene, -1), self._told_all):
                self._wanted[scene] = publication.scene

    def take_housekeeping(self, report: Housekeeping, *, held_layers: int, held_digest: bytes) -> None:
        """What the satellite last said, beside what is held now. A loss is answered once; a greater one again."""
        if agreement(report, held_layers=held_layers, held_digest=held_digest) is not Agreement.DISAGREE:
            return
        deficit = report.delivered_layers - held_layers
        if deficit > self._worst_deficit:
            self._worst_deficit = deficit
            self._all_wanted = True

    def due(self, outstanding: Sequence[Order], *, last_scene: int) -> tuple[ForgetReferences, ...]:
        """Orders to give now; `outstanding` are those that the satellite has not reported executed, `last_scene` is the newest known."""
        self._last_scene = last_scene
        wanted = [ForgetReferences(scene=scene) for scene in sorted(self._wanted)]
        if self._all_wanted or len(wanted) > SCENES_LIMIT:
            wanted = [ForgetReferences(scene=None)]
        under_way = [order for order in outstanding if isinstance(order, ForgetReferences)]
        for order in under_way:
            self.given(order)
        if ForgetReferences(scene=None) in under_way:
            return ()
        fresh = [order for order in wanted if order not in under_way]
        return tuple(fresh[: max(0, OUTSTANDING_LIMIT - len(outstanding))])

    def given(self, order: ForgetReferences) -> None:
        """The order is durable: the satellite is told before it codes anything that is newer than what is known now."""
        if order.scene is None:
            self._told_all = self._last_scene
            self._all_wanted = False
            self._wanted.clear()
        else:
            self._told[order.scene] = self._last_scene
            self._wanted.pop(order.scene, None)
