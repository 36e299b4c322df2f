"""The raw store: a sealed scene survives whatever happens, an unsealed one leaves nothing, and no refusal of the disk loses any."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from onboard.errors import RawStoreFullError, StoreError
from onboard.raw_files import DiskRawFiles, MemoryRawFiles, RawFiles
from onboard.raw_store import RawStore

NOTE = b'{"scene": 7, "windows": [[0, 0, 512, 512]]}'


def tile_bytes(tile: int, size: int = 40) -> bytes:
    return bytes((tile * 37 + index * 11) % 256 for index in range(size + tile))


class CrashingFiles(MemoryRawFiles):
    """A disk in memory that forgets, at a crash, any part of what was not made sure of, and can refuse an operation.

    What happened to names since the last `sync_names` of a folder is kept as a list of states, oldest first; a crash may bring
    any of them back (a directory's changes reach a disk in order). A write that is cut leaves a torn file.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps_left = -1
        """Operations that change something until the crash; negative: none comes."""
        self.refusals: list[bool] = []
        """Whether each coming operation that changes something is refused."""
        self.operations = 0
        self._durable: dict[str, list[dict[str, bytes]]] = {}

    def after_crash(self, rng: random.Random) -> MemoryRawFiles:
        survived = MemoryRawFiles()
        for folder, states in self._durable.items():
            survived.make_folder(folder)
            for name, data in rng.choice([*states, self._folders.get(folder, {})]).items():
                survived.write(folder, name, data)
        return survived

    def _step(self, folder: str, torn: tuple[str, bytes] | None = None) -> None:
        self.operations += 1
        if self.steps_left == 0:
            if torn is not None and folder in self._folders:
                self._folders[folder][torn[0]] = torn[1]
                self._remember(folder)
            raise PowerLostError
        self.steps_left -= 1
        if self.refusals and self.refusals.pop(0):
            if torn is not None:
                self._folders[folder][torn[0]] = torn[1]
            raise OSError(28, "No space left on device")

    def _remember(self, folder: str) -> None:
        self._durable.setdefault(folder, [{}]).append(dict(self._folders.get(folder, {})))

    def make_folder(self, folder: str) -> None:
        self._step(folder)
        super().make_folder(folder)
        self._durable.setdefault(folder, [{}])

    def write(self, folder: str, name: str, data: bytes) -> None:
        self._step(folder, torn=(name, data[: len(data) // 2]))
        super().write(folder, name, data)
        self._remember(folder)

    def rename(self, folder: str, old: str, new: str) -> None:
        self._step(folder)
        super().rename(folder, old, new)
        self._remember(folder)

    def remove(self, folder: str, name: str) -> None:
        self._step(folder)
        super().remove(folder, name)
        self._remember(folder)

    def remove_folder(self, folder: str) -> None:
        self._step(folder)
        super().remove_folder(folder)
        self._remember(folder)

    def sync_names(self, folder: str) -> None:
        self._step(folder)
        self._durable[folder] = [dict(self._folders[folder])]


class PowerLostError(Exception):
    """The test's own end of the process."""


@pytest.fixture(params=["disk", "memory"])
def reopened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], RawStore]:
    files: RawFiles = DiskRawFiles(tmp_path / "raw") if request.param == "disk" else MemoryRawFiles()
    return lambda: RawStore(None, capacity_bytes=1000, files=files)


def filled(store: RawStore, scene: int = 7, tiles: tuple[int, ...] = (3, 1, 2)) -> RawStore:
    for tile in tiles:
        store.put(scene, tile, tile_bytes(tile))
    store.seal(scene, NOTE)
    return store


def test_a_sealed_scene_is_there_when_the_store_opens_again(reopened: Callable[[], RawStore]) -> None:
    filled(reopened())
    store = reopened()
    assert store.scenes == (7,)
    assert store.tiles(7) == (1, 2, 3)
    assert store.note(7) == NOTE
    assert [store.get(7, tile) for tile in (1, 2, 3)] == [tile_bytes(tile) for tile in (1, 2, 3)]
    assert [store.size_bytes(7, tile) for tile in (1, 2, 3)] == [41, 42, 43]
    assert store.used_bytes == 41 + 42 + 43 + len(NOTE)
    assert store.losses == ()


def test_a_scene_without_a_seal_is_not(reopened: Callable[[], RawStore]) -> None:
    store = filled(reopened())
    store.put(8, 5, b"half a scene")
    assert store.scenes == (7,)
    assert store.tiles(8) == (5,)
    assert store.get(8, 5) == b"half a scene"
    again = reopened()
    assert again.scenes == (7,)
    assert again.tiles(8) == ()
    assert again.losses == ()
    filled(again, scene=8, tiles=(5,))
    assert reopened().scenes == (7, 8)


def test_dropped_tiles_are_gone_and_the_scene_goes_with_its_last(reopened: Callable[[], RawStore]) -> None:
    store = filled(reopened())
    store.drop(7, [2, 99])
    assert store.tiles(7) == (1, 3)
    assert store.used_bytes == 41 + 43 + len(NOTE)
    store = reopened()
    assert store.tiles(7) == (1, 3)
    assert store.losses == ()
    with pytest.raises(StoreError, match="no tile 2"):
        store.get(7, 2)
    store.drop(7, (1, 3))
    assert store.scenes == ()
    assert store.used_bytes == 0
    with pytest.raises(StoreError, match="not in the raw store"):
        store.note(7)
    store.drop(7, (1,))
    assert reopened().scenes == ()
    filled(reopened(), tiles=(9,))
    assert reopened().tiles(7) == (9,)


def test_tiles_of_a_scene_in_work_are_replaced_and_dropped(reopened: Callable[[], RawStore]) -> None:
    store = reopened()
    store.put(7, 1, b"first")
    store.put(7, 1, b"second attempt")
    store.put(7, 2, b"worth least")
    store.drop(7, [2])
    assert store.used_bytes == len(b"second attempt")
    store.seal(7, NOTE)
    assert reopened().tiles(7) == (1,)
    assert reopened().get(7, 1) == b"second attempt"


def test_a_scene_of_which_nothing_is_kept_is_not_there(reopened: Callable[[], RawStore]) -> None:
    store = reopened()
    store.put(7, 1, b"dropped before the seal")
    store.drop(7, [1])
    store.seal(7, NOTE)
    store.seal(8, NOTE)
    assert store.scenes == reopened().scenes == ()
    assert store.used_bytes == 0


def test_a_sealed_scene_takes_nothing_more(reopened: Callable[[], RawStore]) -> None:
    store = filled(reopened())
    with pytest.raises(StoreError, match="sealed"):
        store.put(7, 4, b"late")
    with pytest.raises(StoreError, match="sealed already"):
        store.seal(7, b"another note")
    assert reopened().note(7) == NOTE


def test_beyond_its_capacity_it_says_by_how_much_and_keeps_what_it_has(reopened: Callable[[], RawStore]) -> None:
    store = filled(reopened())
    store.put(8, 1, bytes(500))
    free = 1000 - store.used_bytes
    with pytest.raises(RawStoreFullError) as refused:
        store.put(8, 2, bytes(free + 1))
    assert (refused.value.needed_bytes, refused.value.free_bytes) == (free + 1, free)
    store.put(8, 2, bytes(free))
    with pytest.raises(RawStoreFullError):
        store.seal(8, NOTE)
    store.drop(8, [2])
    store.seal(8, NOTE)
    assert reopened().tiles(7) == (1, 2, 3)
    assert reopened().tiles(8) == (1,)


def test_a_smaller_capacity_loses_nothing(tmp_path: Path) -> None:
    filled(RawStore(tmp_path, capacity_bytes=1000))
    store = RawStore(tmp_path, capacity_bytes=10)
    assert store.tiles(7) == (1, 2, 3)
    assert store.used_bytes > store.capacity_bytes == 10
    with pytest.raises(RawStoreFullError, match="0 of 10"):
        store.put(8, 1, b"x")


def test_every_crash_leaves_whole_scenes_or_none() -> None:
    """The power goes at every operation in turn, and the disk keeps any of what was not made sure of."""

    def work(store: RawStore, done: list[str]) -> None:
        filled(store)
        done.append("sealed 7")
        store.put(8, 4, tile_bytes(4))
        store.drop(7, (1,))
        done.append("dropped 1")
        store.seal(8, b"another note")
        done.append("sealed 8")
        store.drop(7, (2, 3))
        done.append("dropped 7")

    rehearsal = CrashingFiles()
    work(RawStore(None, capacity_bytes=10_000, files=rehearsal), [])
    outcomes = set()
    for instant in range(rehearsal.operations):
        for seed in range(6):
            files, done = CrashingFiles(), []
            files.steps_left = instant
            with pytest.raises(PowerLostError):
                work(RawStore(None, capacity_bytes=10_000, files=files), done)
            store = RawStore(None, capacity_bytes=10_000, files=files.after_crash(random.Random(seed)))
            assert store.losses == ()
            for scene in store.scenes:
                assert store.note(scene) == (NOTE if scene == 7 else b"another note")
                assert all(store.get(scene, tile) == tile_bytes(tile) for tile in store.tiles(scene))
            if "dropped 7" not in done and "sealed 8" not in done and "sealed 7" in done:
                assert {2, 3} <= set(store.tiles(7))
            if "dropped 1" in done:
                assert 1 not in store.tiles(7)
            elif 7 in store.scenes and "sealed 7" not in done:
                assert store.tiles(7) == (1, 2, 3)
            if "sealed 8" in done:
                assert store.tiles(8) == (4,)
            filled(store, scene=9)
            outcomes.add((store.scenes, store.tiles(7)))
    assert len(outcomes) > 5


@pytest.mark.parametrize("refused", range(14))
def test_a_disk_that_refuses_any_operation_loses_nothing_stored(refused: int) -> None:
    files = CrashingFiles()
    store = RawStore(None, capacity_bytes=10_000, files=files)
    filled(store)
    files.refusals = [False] * refused + [True]
    refusals = 0
    steps: list[Callable[[], None]] = [
        lambda: store.put(8, 1, tile_bytes(1)),
        lambda: store.put(8, 2, tile_bytes(2)),
        lambda: store.seal(8, b"another note"),
        lambda: store.drop(7, (1,)),
        lambda: store.drop(7, (2, 3)),
    ]
    for step in steps:
        for _ in range(2):
            try:
                step()
                break
            except StoreError as error:
                assert "No space left" in str(error)
                refusals += 1
        assert all(store.get(7, tile) == tile_bytes(tile) for tile in store.tiles(7))
    assert refusals == 1
    again = RawStore(None, capacity_bytes=10_000, files=files.after_crash(random.Random(refused)))
    assert again.scenes == store.scenes == (8,)
    assert again.note(8) == b"another note"
    assert [again.get(8, tile) for tile in (1, 2)] == [tile_bytes(1), tile_bytes(2)]
    assert again.used_bytes == store.used_bytes == 41 + 42 + len(b"another note")


def test_what_rots_is_named_and_goes(tmp_path: Path) -> None:
    store = filled(RawStore(tmp_path, capacity_bytes=10_000))
    filled(store, scene=8)
    (tmp_path / "0000000007" / "000002.raw").write_bytes(b"cut")
    seal = tmp_path / "0000000008" / "seal"
    damaged = bytearray(seal.read_bytes())
    damaged[20] ^= 4
    seal.write_bytes(damaged)
    with pytest.raises(StoreError, match="3 of 42 bytes"):
        store.get(7, 2)
    store = RawStore(tmp_path, capacity_bytes=10_000)
    assert store.tiles(7) == (1, 3)
    assert store.scenes == (7,)
    assert len(store.losses) == 2
    assert "tile 2 has 3 of 42 bytes" in store.losses[0]
    assert "scene 8: its seal is damaged, 3 tiles" in store.losses[1]
    assert RawStore(tmp_path, capacity_bytes=10_000).losses == store.losses[:0]


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "README").write_text("of somebody else", encoding="utf-8")
    filled(RawStore(tmp_path, capacity_bytes=10_000)).drop(7, (1, 2, 3))
    RawStore(tmp_path, capacity_bytes=10_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README", "lost+found"]


def test_a_place_that_cannot_be_one_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(StoreError, match="does not open"):
        RawStore(tmp_path / "file" / "raw", capacity_bytes=10)
