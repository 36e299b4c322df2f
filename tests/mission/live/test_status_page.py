"""The ground's page: what it says, that no name breaks it, and that its catalogue shows nothing else."""

import json
import os
import re
from xml.etree import ElementTree

import pytest

from downlink.housekeeping import Housekeeping
from ground.catalogue_names import GROUND_FOLDER
from mission.live.agreement import Agreement
from mission.live.ground_status import (
    GroundLinkStatus,
    GroundStatus,
    HeldStatus,
    OrdersStatus,
    PassStatus,
    PublisherStatus,
    SceneStatus,
    onboard_of,
)
from mission.live.onboard_status import ClockStatus, ContactStatus
from mission.live.scene_sections import ROWS_LISTED
from mission.live.status_page import PICTURES_SHOWN, StatusPage, read_detections

NOW_MS = 1_767_225_600_000  # 2026-01-01 00:00:00 UTC
HOUSEKEEPING = Housekeeping(
    at_ms=NOW_MS - 4_000, boot=3, uptime_s=75, charge_permille=742, cap_mw=15_000, compute_mw=6_400,
    temperature_decicelsius=-55, captured_layers=60, captured_bytes=9_000, delivered_layers=41, delivered_bytes=5_000,
    queued_layers=19, queued_bytes=4_000, delivered_digest=bytes(range(8)), scenes_waiting=2, scenes_done=5, scenes_rejected=1,
)  # fmt: skip
CONTACT = ContactStatus(id=9, station="Svalbard & <Co>", aos_ms=NOW_MS - 10_000, los_ms=NOW_MS + 24_000)
COMING = ContactStatus(id=10, station="Inuvik", aos_ms=NOW_MS + 90_000, los_ms=NOW_MS + 130_000)


def scene(number=1, **fields):
    known = {
        "scene": number, "name": "harbour", "layers": 58, "bytes": 123_456, "published_layers": 50, "published_ms": NOW_MS - 5,
        "folder": "harbour", "captured_ms": NOW_MS - 60_000, "width": 512, "height": 256, "detections": 2,
        "arrived_fraction": 0.75, "byte_exact_fraction": 0.25, "psnr_db": 41.26, "has_summary": True, "problem": "",
    }  # fmt: skip
    return SceneStatus(**(known | fields))


def status(**fields):
    known = {
        "at_ms": NOW_MS, "mission": "harbour live", "contact": None, "next_contact": COMING, "coming": (COMING,),
        "ledger": HeldStatus(held_layers=58, held_bytes=7_000), "held_digest": "0011223344556677", "scenes": (),
        "scenes_total": len(fields.get("scenes", ())), "link": GroundLinkStatus(heard_frames=340, frames_lost=12), "open_files": 1,
        "orders": OrdersStatus(), "onboard": None, "housekeeping_received_ms": None, "agreement": Agreement.UNKNOWN, "passes": (),
        "core_restarts": 0, "clock": ClockStatus(now_ms=NOW_MS, steps=0, restarts=0),
        "publisher": PublisherStatus(pid=0, starts=0, busy=False),
    }  # fmt: skip
    return GroundStatus(**(known | fields))


def html(tmp_path, shown, trouble=""):
    page = StatusPage(tmp_path)
    page.show(shown, trouble=trouble)
    answer = page.page("/")
    assert (answer.status, answer.content_type) == (200, "text/html; charset=utf-8")
    return answer.body.decode()


def text(page):
    """What a reader sees: the body must be well formed."""
    body = page[page.index("<body>") : page.index("<script>")] + "</body>"
    return " ".join(
        " ".join(ElementTree.fromstring(body).itertext()).replace("\u00a0", " ").replace("\u202f", ",").split()
    )


def test_before_the_first_status_there_is_none(tmp_path):
    answer = StatusPage(tmp_path).page("/")
    assert answer.status == 503 and b"starting" in answer.body


def test_nothing_has_happened_yet_and_the_page_says_so(tmp_path):
    seen = text(html(tmp_path, status()))
    assert "No contact next in 1 min 30 s" in seen
    assert "Not known yet" in seen and "has not said what it counts as delivered" in seen
    assert "It has not said how it is." in seen
    assert "Nothing has arrived yet." in seen
    assert "None since this service started." in seen
    assert "none is planned" in text(html(tmp_path, status(next_contact=None, coming=())))


def test_a_pass_goes_on(tmp_path):
    passes = (
        PassStatus(id=8, station="Svalbard", aos_ms=NOW_MS - 600_000, los_ms=NOW_MS - 500_000, heard_frames=1200, heard_bytes=1,
                   sent_frames=3, lost_frames=17, arrived_layers=40),
        PassStatus(id=9, station="Svalbard", aos_ms=CONTACT.aos_ms, los_ms=CONTACT.los_ms, heard_frames=1, heard_bytes=1,
                   sent_frames=3, lost_frames=0, arrived_layers=0),
    )  # fmt: skip
    seen = text(html(tmp_path, status(contact=CONTACT, passes=passes)))
    assert "In contact Svalbard & <Co>, 24 s left" in seen
    assert "Last 8 min 20 s ago: 40 new layers, 1,200 frames heard, 17 lost" in seen
    assert "Now 0 new layers, 1 frame heard" in seen


@pytest.mark.parametrize(
    ("verdict", "held", "words"),
    [
        (Agreement.AGREE, 41, "Both ends agree Layer by layer"),
        (Agreement.ON_THE_WAY, 58, "the ground holds 17 layers more"),
        (Agreement.DISAGREE, 40, "counts 1 layer as delivered that the ground does not hold"),
        (Agreement.DISAGREE, 41, "Both count 41 layers, but not the same ones."),
    ],
)
def test_the_satellite_and_the_verdict(tmp_path, verdict, held, words):
    told = {
        "onboard": onboard_of(HOUSEKEEPING), "housekeeping_received_ms": NOW_MS - 14_000, "agreement": verdict,
        "ledger": HeldStatus(held_layers=held, held_bytes=5_000),
    }  # fmt: skip
    seen = text(html(tmp_path, status(**told)))
    assert words.lower() in seen.lower()
    assert "Battery 74.2 %" in seen and "\u22125.5 °C" in seen
    assert "14 s ago" in seen and "up for 1 min 15 s" in seen


def test_what_the_satellite_does_not_know_is_not_shown_as_a_number(tmp_path):
    blind = Housekeeping(at_ms=(1 << 48) - 1, boot=1, uptime_s=0, waiting_for_power=True)
    seen = text(html(tmp_path, status(onboard=onboard_of(blind), housekeeping_received_ms=NOW_MS)))
    assert "Waits for power or cooling." in seen
    assert all(
        f"{name}\u2013" in seen.replace(" \u2013", "\u2013") for name in ("Battery", "Power limit", "Temperature")
    )


def test_names_from_the_link_break_neither_page_nor_paths(tmp_path):
    evil = '"><script>alert(1)</script>\x00\u202e&amp;'
    page = html(
        tmp_path,
        status(scenes=(scene(name=evil, folder='a"b<c', problem=evil), scene(2, folder=None, name=None, problem=evil))),
    )
    assert "<script>alert" not in page and page.count("<script>") == 1
    assert "alert(1)" in text(page)
    assert "/catalogue/a&quot;b&lt;c/browse.png" in page


def test_a_time_that_no_calendar_knows_is_shown_as_it_is(tmp_path):
    assert f"Captured {1 << 62} ms" in text(html(tmp_path, status(scenes=(scene(captured_ms=1 << 62),))))


def test_pictures_are_bounded_and_the_rest_is_counted(tmp_path):
    scenes = tuple(scene(number, name=f"s{number}", folder=f"s{number}") for number in range(100, 50, -1))
    page = html(tmp_path, status(scenes=scenes, scenes_total=400))
    assert page.count("<img ") == PICTURES_SHOWN
    assert page.count('/browse.png">s') == ROWS_LISTED
    assert f"{400 - PICTURES_SHOWN - ROWS_LISTED} further scenes in the catalogue." in text(page)
    assert len(page) < 100_000


def test_a_new_publication_has_a_picture_of_another_address(tmp_path):
    before, after = (html(tmp_path, status(scenes=(scene(published_ms=at_ms),))) for at_ms in (NOW_MS, NOW_MS + 1))
    pictures = [re.search(r'src="(/catalogue/[^"]+)"', page)[1] for page in (before, after)]
    assert pictures == [f"/catalogue/harbour/browse.png?v={NOW_MS}", f"/catalogue/harbour/browse.png?v={NOW_MS + 1}"]


def test_trouble_is_on_top(tmp_path):
    page = html(
        tmp_path,
        status(problems=("orders cannot be taken",)),
        trouble="cannot append 30 bytes: No space left on device",
    )
    assert "Trouble: cannot append 30 bytes: No space left on device" in text(page)
    assert text(page).index("orders cannot be taken") < text(page).index("Passes")


def publish(tmp_path, features, folder="harbour"):
    place = tmp_path / GROUND_FOLDER / folder
    place.mkdir(parents=True, exist_ok=True)
    (place / "detections.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    (place / "browse.png").write_bytes(b"\x89PNG")
    (place / "item.json").write_text("{}")
    (place / ".scene.tif.unfinished").mkdir()
    (tmp_path / GROUND_FOLDER / "catalog.json").write_text('{"links": []}')
    return place


def feature(confidence, centre=(-5.0614, 45.2371)):
    properties = {
        "class": "ship <b>", "confidence": confidence, "corners_px": [[1, 2], [3, 2], [3, 4], [1, 4]],
        "centre": centre, "length_m": None if centre is None else 271.04,
    }  # fmt: skip
    return {"type": "Feature", "properties": properties}


def test_detections_are_drawn_over_the_picture_and_the_most_certain_are_listed(tmp_path):
    publish(tmp_path, [feature(0.4, centre=None), feature(0.9)])
    page = html(tmp_path, status(scenes=(scene(),)))
    assert page.count('<polygon points="1,2 3,2 3,4 1,4">') == 2
    assert 'viewBox="0 0 512 256"' in page and "ship <b>" not in page
    seen = text(page)
    assert "ship <b> 90.0 % 271 m 45.2371° N 5.0614° W ship <b> 40.0 % \u2013 \u2013" in seen


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"features": [{}]}', '{"features": [{"properties": {"class": 1}}]}', "[" * 100_000]
)
def test_detections_that_cannot_be_read_are_none(tmp_path, content):
    (tmp_path / "detections.geojson").write_text(content)
    assert read_detections(tmp_path / "detections.geojson") == ()
    assert read_detections(tmp_path / "gone.geojson") == ()


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/catalogue/", "application/json"),
        ("/catalogue/catalog.json", "application/json"),
        ("/catalogue/harbour/browse.png", "image/png"),
        ("/catalogue/harbour/detections.geojson", "application/geo+json"),
    ],
)
def test_the_catalogue_is_served(tmp_path, path, media_type):
    place = publish(tmp_path, [])
    answer = StatusPage(tmp_path).file(path)
    assert (answer.status, answer.content_type) == (200, media_type)
    assert answer.body.is_file() and place.parent in answer.body.parents
    assert StatusPage(tmp_path).has_scene("harbour") and not StatusPage(tmp_path).has_scene("town")


@pytest.mark.parametrize(
    "path",
    [
        "/catalogue/../layers.journal", "/catalogue/harbour/../../secret.json", "/catalogue//etc/passwd", "/catalogue/harbour",
        "/catalogue/harbour/", "/catalogue/harbour/.scene.tif.unfinished", "/catalogue/./catalog.json", "/catalogue/harbour/gone.png",
        "/catalogue/link.json", "/catalogue/outside/secret.json", "/catalogue/harbour/a/b.json", "/catalogue/\0.json",
        "/catalogue/harbour/folder.json", "/catalogue/" + "x" * 5000 + ".json",
    ],
)  # fmt: skip
def test_nothing_else_is_served(tmp_path, path):
    place = publish(tmp_path, [])
    (tmp_path / "secret.json").write_text("secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.json").write_text("secret")
    os.symlink(tmp_path / "secret.json", place.parent / "link.json")
    os.symlink(tmp_path / "elsewhere", place.parent / "outside")
    (place / "folder.json").mkdir()
    assert StatusPage(tmp_path).file(path).status == 404
