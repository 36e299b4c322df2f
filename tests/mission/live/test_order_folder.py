"""Orders as files: what they come to, and where the files go."""

import json
import os

import pytest

from downlink.command import CancelRequest, DropScene, ForgetReferences, RequestLayers
from downlink.products import ALERTS_PRODUCT, FIRST_CHIP
from downlink.requests import LayerRequest
from mission.live.last_entries import KEPT_LIMIT
from mission.live.order_folder import FILES_PER_LOOK, HALF_WRITTEN_MS, LARGEST_FILE_BYTES, OrderFolder

NOW_MS = 1_750_000_000_123


@pytest.fixture
def folder(tmp_path):
    return OrderFolder(tmp_path)


def put(folder, name, content):
    path = folder.path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    old_s = NOW_MS / 1000 - 2 * HALF_WRITTEN_MS / 1000
    os.utime(path, (old_s, old_s))
    return path


def test_every_kind_of_order(folder):
    put(
        folder,
        "1.json",
        {"kind": "request_layers", "scene": 3, "products": "chips", "last_step": 2, "factor": 50, "for_s": 10},
    )
    put(folder, "2.json", {"kind": "drop_scene", "scene": 2})
    put(folder, "3.json", {"kind": "cancel_request", "number": 77})
    put(folder, "4.json", {"kind": "forget_references", "scene": 5})
    put(folder, "5.json", {"kind": "forget_references", "scene": "all"})
    request = LayerRequest(
        scene=3, first_product=FIRST_CHIP, last_product=ALERTS_PRODUCT - 1, last_step=2, factor=50.0, until_ms=NOW_MS + 10_000
    )  # fmt: skip
    orders = [found.order for found in folder.look(NOW_MS)]
    forgets = [ForgetReferences(scene=5), ForgetReferences(scene=None)]
    assert orders == [RequestLayers(request=request), DropScene(scene=2), CancelRequest(request_number=77), *forgets]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "Invalid JSON"),
        ("[]", "file: "),
        ({"kind": "self_destruct", "scene": 1}, "self_destruct"),
        ({"kind": "drop_scene"}, "scene: Field required"),
        ({"kind": "drop_scene", "scene": 0}, "greater than or equal to 1"),
        ({"kind": "drop_scene", "scene": "2"}, "valid integer"),
        ({"kind": "drop_scene", "scene": "all"}, "valid integer"),
        ({"kind": "forget_references"}, "scene: Field required"),
        ({"kind": "forget_references", "scene": "none"}, "'all'"),
        ({"kind": "drop_scene", "scene": 2, "also": 3}, "also"),
        ({"kind": "request_layers", "scene": 1, "factor": 1e9}, "factor"),
        ('{"kind": "request_layers", "scene": 1, "for_s": NaN}', "for_s"),
        ("x" * (LARGEST_FILE_BYTES + 1), "at most 65536"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(folder, content, problem):
    path = put(folder, "order.json", content)
    (found,) = folder.look(NOW_MS)
    assert found.order is None and problem in found.problem
    folder.refused(found, found.problem)
    assert not path.exists()
    assert problem in (folder.path / "refused" / "order.json.reason").read_text(encoding="utf-8")
    assert (folder.path / "refused" / "order.json").exists()
    assert list(folder.look(NOW_MS)) == []


def test_a_file_that_is_not_whole_yet_is_left_alone_until_it_is(folder):
    path = put(folder, "half.json", '{"kind": "drop_sc')
    os.utime(path, (NOW_MS / 1000 - 1, NOW_MS / 1000 - 1))
    put(folder, ".hidden.json", {"kind": "drop_scene", "scene": 5})
    put(folder, "notes.txt", "not an order")
    assert list(folder.look(NOW_MS)) == []
    assert len(list(folder.look(NOW_MS + HALF_WRITTEN_MS))) == 1
    path.write_text('{"kind": "drop_scene", "scene": 4}', encoding="utf-8")
    assert [found.order for found in folder.look(NOW_MS)] == [DropScene(scene=4)]


def test_links_and_folders_are_no_orders(folder, tmp_path):
    (tmp_path / "secret.json").write_text('{"kind": "drop_scene", "scene": 4}', encoding="utf-8")
    (folder.path / "a.json").symlink_to(tmp_path / "secret.json")
    (folder.path / "b.json").mkdir()
    assert [found.problem for found in folder.look(NOW_MS)] == ["it is not a file"] * 2


def test_an_order_of_a_name_used_before_does_not_replace_the_file_of_that_one(folder):
    for scene in (1, 2, 3):
        put(folder, "drop.json", {"kind": "drop_scene", "scene": scene})
        (found,) = folder.look(NOW_MS)
        folder.done(found)
    done = {path.name: json.loads(path.read_bytes())["scene"] for path in (folder.path / "done").iterdir()}
    assert done == {"drop.json": 1, "drop-2.json": 2, "drop-3.json": 3}


def test_a_full_folder_is_taken_a_few_at_a_time_in_order(folder):
    for number in range(FILES_PER_LOOK + 5):
        put(folder, f"{number:03d}.json", {"kind": "drop_scene", "scene": number + 1})
    assert [found.order.scene for found in folder.look(NOW_MS)] == list(range(1, FILES_PER_LOOK + 1))


@pytest.mark.parametrize("place", ["done", "refused"])
def test_the_last_hundred_files_are_kept(folder, place):
    """Those that were put there last, however old they say they are; reasons go with their orders."""
    for number in range(KEPT_LIMIT + 3):
        content = {"kind": "drop_scene", "scene": number + 1} if place == "done" else "{"
        path = put(folder, f"{number:03d}.json", content)
        os.utime(path, (1000.0 - number, 1000.0 - number))
        (found,) = folder.look(NOW_MS)
        if place == "done":
            folder.done(found)
        else:
            folder.refused(found, found.problem)
    left = {path.name for path in (folder.path / place).iterdir()}
    names = {f"{number:03d}.json" for number in range(3, KEPT_LIMIT + 3)}
    assert left == (names if place == "done" else names | {f"{name}.reason" for name in names})


def test_an_order_whose_file_cannot_be_moved_is_given_once(folder):
    put(folder, "again.json", {"kind": "drop_scene", "scene": 9})
    (folder.path / "done").rmdir()
    (found,) = folder.look(NOW_MS)
    with pytest.raises(OSError):
        folder.done(found)
    for _ in range(3):
        with pytest.raises(OSError):
            list(folder.look(NOW_MS))
    (folder.path / "done").mkdir()
    assert list(folder.look(NOW_MS)) == []
    assert (folder.path / "done" / "again.json").is_file()
    put(folder, "again.json", {"kind": "drop_scene", "scene": 10})
    (found,) = folder.look(NOW_MS)
    assert found.order == DropScene(scene=10)
