"""The spool gives the oldest scene file, clears files away, and keeps no more than it should."""

import os
from pathlib import Path

import pytest

from mission.live.last_entries import KEPT_LIMIT
from mission.live.spool import REASON_SUFFIX, Spool, SpoolFile


def put(folder: Path, name: str, *, mtime_ns: int, content: bytes = b"x") -> Path:
    path = folder / name
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def first_of(spool: Spool) -> SpoolFile:
    first = spool.look().first
    assert first is not None
    return first


def test_the_oldest_first_and_of_the_same_age_by_name(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert spool.look().first is None
    put(tmp_path, "b.tif", mtime_ns=2000)
    put(tmp_path, "c.TIF", mtime_ns=1000)
    put(tmp_path, "a.jp2", mtime_ns=2000)
    put(tmp_path, ".unfinished.tif", mtime_ns=1)
    put(tmp_path, "c.tif.aux.xml", mtime_ns=1)
    names = []
    while (first := spool.look().first) is not None:
        names.append(first.name)
        spool.move_done(first)
    assert names == ["c.TIF", "a.jp2", "b.tif"]
    assert sorted(os.listdir(tmp_path)) == [".unfinished.tif", "c.tif.aux.xml"]


def test_done_files_are_kept_where_told_so_and_only_the_last(tmp_path: Path) -> None:
    spool = Spool(tmp_path, keep_done=True)
    for number in range(KEPT_LIMIT + 7):
        put(tmp_path, f"{number:04}.tif", mtime_ns=10**9 * number)
        spool.move_done(first_of(spool))
    kept = sorted(os.listdir(tmp_path / "done"))
    assert kept == [f"{number:04}.tif" for number in range(7, KEPT_LIMIT + 7)]


def test_a_rejected_file_lies_beside_its_reason(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for _ in range(3):
        put(tmp_path, "same.tif", mtime_ns=5)
        spool.move_rejected(first_of(spool), "no raster")
    found = sorted(os.listdir(tmp_path / "rejected"))
    names = ("same.2.tif", "same.3.tif", "same.tif")
    assert found == sorted([*names, *(name + REASON_SUFFIX for name in names)])
    assert (tmp_path / "rejected" / ("same.3.tif" + REASON_SUFFIX)).read_text() == "no raster\n"


def test_another_file_of_the_same_name_is_left_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    put(tmp_path, "scene.tif", mtime_ns=5, content=b"old")
    old = first_of(spool)
    put(tmp_path, "scene.tif", mtime_ns=6, content=b"newer")
    assert not spool.still_holds(old)
    spool.move_done(old)
    assert spool.move_rejected(old, "no raster") == ""
    assert (tmp_path / "scene.tif").read_bytes() == b"newer"
    assert spool.still_holds(first_of(spool))


@pytest.mark.parametrize(
    ("name", "objection"),
    [
        ("a\nb.tif", "cannot be printed"),
        (os.fsdecode(b"caf\xe9.tif"), "cannot be printed"),
        ("n" * 240 + ".tif", "at most 200"),
        ("good name (1) ü.tif", ""),
        ("-rf.tif", ""),
    ],
)
def test_names(tmp_path: Path, name: str, objection: str) -> None:
    spool = Spool(tmp_path)
    put(tmp_path, name, mtime_ns=5)
    found = spool.objection_to(first_of(spool))
    assert objection in found and bool(found) == bool(objection)
    if found:
        moved = spool.move_rejected(first_of(spool), found)
        assert (tmp_path / "rejected" / moved).exists()
        assert spool.look().first is None


def test_what_is_no_file_is_cleared_away_without_opening_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "folder.tif" / "inside.txt").write_text("kept")
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "nowhere.tif").symlink_to(tmp_path / "absent")
    for _ in range(3):
        first = first_of(spool)
        reason = spool.objection_to(first)
        assert reason
        spool.move_rejected(first, reason)
    assert spool.look().first is None
    assert (tmp_path / "rejected" / "folder.tif" / "inside.txt").read_text() == "kept"
    assert (tmp_path / "nowhere.tif").is_symlink() is False


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Wherever they lead: outside the spool, or to a scene of the spool, which would be worked through twice."""
    spool = Spool(tmp_path / "spool")
    spool.folder.mkdir()
    outside = put(tmp_path, "outside.tif", mtime_ns=5)
    put(spool.folder, "good.tif", mtime_ns=2**62)
    (spool.folder / "a.tif").symlink_to(outside)
    (spool.folder / "b.tif").symlink_to("good.tif")
    for name in ("a.tif", "b.tif"):
        first = first_of(spool)
        assert first.name == name
        reason = spool.objection_to(first)
        assert "this is a link" in reason
        assert spool.move_rejected(first, reason) == name
    assert outside.exists() and first_of(spool).name == "good.tif" and spool.objection_to(first_of(spool)) == ""


def test_a_file_without_permission_is_objected_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    put(tmp_path, "closed.tif", mtime_ns=5).chmod(0)
    if os.geteuid() == 0:  # root may read everything: ask for the answer that another user gets
        monkeypatch.setattr("mission.live.spool.os.access", lambda path, mode: False)
    assert "no permission" in spool.objection_to(first_of(spool))


def test_a_spool_that_is_gone_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        Spool(tmp_path / "absent").look()
