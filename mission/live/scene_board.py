"""Which scenes the ground has, how far each is published, and which one is to be published next.

What must be known after a restart (when an alert arrived, what a scene was last published from) is kept as notes in a journal of
its own. It is no promise to the satellite: where the disk is full the notes wait in memory, and what a crash loses of them costs a
publication done twice and arrival times that are those of the next publication.

A note is a record of kind NOTE with JSON: `{"arrived_ms": ...}` at the address of an alert batch, `{"published": {...}}` at that of
a summary.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Final

from downlink.errors import JournalError
from downlink.journal import Journal
from downlink.products import ALERTS_PRODUCT, SUMMARY_PRODUCT, LayerAddress
from downlink.record import Record, RecordKind
from ground.store import LayerStore
from mission.live.publication import Publication, PublicationOrder, Unpublished

SHORTEST_REST_MS: Final = 5000
"""A scene is published again after this at the earliest."""
REST_PER_WORK: Final = 3
"""And after so many times as long as the last publication took: at most a quarter of a processor goes into it."""
FIRST_RETRY_MS: Final = 10_000
LONGEST_RETRY_MS: Final = 600_000
"""What cannot be published is tried again after 10 s, then after twice as long each time up to this."""
COMPACT_ABOVE_BYTES: Final = 1024 * 1024


@dataclass(slots=True, kw_only=True)
class BoardScene:
    """A scene of which the ground has a layer."""

    scene: int
    """Its number."""
    layers: int = 0
    """Held now."""
    layer_bytes: int = 0
    """Of those."""
    has_summary: bool = False
    """Without its summary a scene cannot be published."""
    publication: Publication | None = None
    """How it was last published."""
    problem: str = ""
    """Why it could not be published."""
    failures: int = 0
    """Times in a row that it could not be."""
    due_ms: int = 0
    """Not published before this."""
    alerts_received_ms: dict[LayerAddress, int] = field(default_factory=dict)
    """When its alert batches arrived."""


class SceneBoard:
    """All scenes of one ground."""

    def __init__(self, journal: Journal) -> None:
        """Take up the notes of before; one that cannot be read is passed over."""
        self.scenes: dict[int, BoardScene] = {}
        self.problem = ""
        """Why notes are not kept at present."""
        self._journal = journal
        self._unkept: list[Record] = []
        self._ordered_ms = 0
        for record in journal.records():
            self._replay(record)
        if journal.size_bytes > COMPACT_ABOVE_BYTES:
            self._compact()

    def adopt(self, store: LayerStore) -> None:
        """The core has started: these are the layers that are held."""
        for scene in store.scenes:
            board = self._scene(scene)
            board.layers = board.layer_bytes = 0
            self._count(store, store.layers_of(scene))

    def forget_unpublished(self, is_there: Callable[[str], bool]) -> None:
        """Scenes whose folder has left the catalogue are to be published again."""
        for board in self.scenes.values():
            if board.publication is not None and not is_there(board.publication.folder):
                board.publication = None

    def arrived(self, store: LayerStore, addresses: Iterable[LayerAddress], now_ms: int) -> None:
        """These have arrived."""
        fresh = tuple(addresses)
        self._count(store, fresh)
        notes = []
        for address in fresh:
            if address.product == ALERTS_PRODUCT:
                self._scene(address.scene).alerts_received_ms[address] = now_ms
                notes.append(_note(address, {"arrived_ms": now_ms}))
        self._keep(notes)

    def next_order(self, store: LayerStore, now_ms: int) -> PublicationOrder | None:
        """What to publish now: of the scenes that are due the one that has waited longest."""
        due = [one for one in self.scenes.values() if self._is_dirty(one) and one.due_ms <= now_ms]
        if not due:
            return None
        chosen = min(due, key=lambda one: (one.due_ms, one.scene))
        self._ordered_ms = now_ms
        return PublicationOrder(
            scene=chosen.scene,
            positions=tuple(store.position(address) for address in store.layers_of(chosen.scene)),
            alerts_received_ms=dict(chosen.alerts_received_ms),
            now_ms=now_ms,
        )

    def take(self, told: Publication | Unpublished, now_ms: int) -> None:
        """What became of the order."""
        board = self._scene(told.scene)
        if isinstance(told, Unpublished):
            board.problem = told.problem
            board.failures += 1
            board.due_ms = now_ms + min(FIRST_RETRY_MS << min(board.failures - 1, 10), LONGEST_RETRY_MS)
            return
        board.publication, board.problem, board.failures = told, "", 0
        board.due_ms = now_ms + max(SHORTEST_REST_MS, REST_PER_WORK * (now_ms - self._ordered_ms))
        self._keep([_published_note(told)])

    def clock_stepped(self, step_ms: int) -> None:
        """The wall clock was set, forward where above 0: rests last as long as they would have."""
        self._ordered_ms += step_ms
        for board in self.scenes.values():
            board.due_ms += step_ms

    def newest_first(self, limit: int) -> tuple[BoardScene, ...]:
        """So many scenes, the highest numbers first: numbers rise with captures."""
        return tuple(self.scenes[number] for number in sorted(self.scenes, reverse=True)[:limit])

    def _is_dirty(self, board: BoardScene) -> bool:
        """Whether layers have come that it is not published with, its own or those of a scene that it waited for."""
        if not board.has_summary:
            return False
        published = board.publication
        if published is None or board.layers != published.layers:
            return True
        return any(scene in self.scenes and self.scenes[scene].layers > layers for scene, layers in published.missing)

    def _scene(self, scene: int) -> BoardScene:
        return self.scenes.setdefault(scene, BoardScene(scene=scene))

    def _count(self, store: LayerStore, addresses: Iterable[LayerAddress]) -> None:
        for address in addresses:
            board = self._scene(address.scene)
            board.layers += 1
            board.layer_bytes += store.layer_bytes(address)
            board.has_summary |= address.product == SUMMARY_PRODUCT and address.step == 0

    # ---- notes

    def _keep(self, notes: Iterable[Record]) -> None:
        self._unkept.extend(notes)
        if not self._unkept:
            return
        try:
            self._journal.append(self._unkept)
        except JournalError as error:
            self.problem = str(error)
        else:
            self._unkept.clear()
            self.problem = ""

    def _compact(self) -> None:
        try:
            self._journal.replace(self._live())
        except JournalError as error:
            self.problem = str(error)

    def _live(self) -> Iterator[Record]:
        for board in self.scenes.values():
            for address, arrived_ms in board.alerts_received_ms.items():
                yield _note(address, {"arrived_ms": arrived_ms})
            if board.publication is not None:
                yield _published_note(board.publication)

    def _replay(self, record: Record) -> None:
        board = self._scene(record.address.scene)
        try:
            match json.loads(record.payload):
                case {"arrived_ms": int(arrived_ms)}:
                    board.alerts_received_ms[record.address] = arrived_ms
                case {"published": dict(fields)}:
                    missing = tuple((scene, layers) for scene, layers in fields.pop("missing", ()))
                    board.publication = Publication(**fields, missing=missing)
        except (ValueError, TypeError):
            return


def _published_note(published: Publication) -> Record:
    address = LayerAddress(scene=published.scene, product=SUMMARY_PRODUCT, step=0)
    return _note(address, {"published": asdict(published)})


def _note(address: LayerAddress, note: dict[str, object]) -> Record:
    return Record(kind=RecordKind.NOTE, address=address, payload=json.dumps(note).encode())
