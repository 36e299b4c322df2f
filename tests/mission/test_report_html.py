"""report.html: complete in itself, well formed, safe against hostile names, and it says what was lost."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mission.report_axes import NARROW_PX, WIDE_PX, nice_ticks, time_ticks
from mission.report_html import render_html, write_html
from mission.report_markup import Markup, element, number
from mission.report_model import CodingFigures, LedgerFigures, QualityFigures, RawTileAccount, Report
from mission.report_rows import GIVEN_UP, WAITING, RunReport

CODING = CodingFigures(
    tiles=RawTileAccount(kept=9, coded=4, waiting=3, discarded=1, damaged=1),
    raw_store_bytes=RawTileAccount(kept=9_100, coded=4_000, waiting=3_050, discarded=1_030, damaged=1_020),
    tiles_gated=2,
    encode_j=12.5,
    encode_j_saved=7.25,
    blocks={"alone": 1, "difference": 2, "unchanged": 1},
    reference_saved_bytes=1_234,
)
MakeRun = Callable[..., RunReport]
HOSTILE = "</script><script>alert('x')</script>\"'&<img src=//evil.example/x onerror=alert(1)>\x00\x1b]]>"
VOID = {"img", "input", "br", "meta", "hr", "col"}


class Page(HTMLParser):
    """Elements with their attributes, and the visible text; fails on a tag closed out of order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def visible(self) -> str:
        return " ".join(" ".join(self.text).replace("\u00a0", " ").replace("\u202f", " ").split())


def drawings(page: str) -> list[ElementTree.Element]:
    """Every inline SVG, parsed as XML."""
    return [ElementTree.fromstring(text) for text in re.findall(r"<svg\b.*?</svg>", page, re.DOTALL)]


def test_the_page_refers_to_nothing_outside_itself(make_run: MakeRun) -> None:
    page = render_html(make_run())
    assert "http://" not in page and "https://" not in page and "@import" not in page
    assert re.search(r"""(?:src|href|action|srcset|poster)\s*=\s*["']?(?!["']?data:)""", page) is None
    assert re.search(r"url\((?!#)", page) is None
    elements = Page(page).elements
    policies = [attributes["content"] for _, attributes in elements if "http-equiv" in attributes]
    assert len(policies) == 1 and (policies[0] or "").startswith("default-src 'none'; img-src data:;")
    images = [attributes for tag, attributes in elements if tag == "img"]
    assert images and all((image["src"] or "").startswith("data:image/") and image["alt"] for image in images)


def test_hostile_names_stay_text(make_run: MakeRun) -> None:
    calm, hostile = Page(render_html(make_run())), Page(render_html(make_run(name=HOSTILE, title=HOSTILE)))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in calm.elements]
    assert not any(name.startswith("on") for _, attributes in hostile.elements for name in attributes)
    assert "alert('x')" in hostile.visible()
    assert "\x00" not in render_html(make_run(name=HOSTILE))


@pytest.mark.parametrize("name", ["harbour", HOSTILE, "港口 🚢"])
def test_every_drawing_is_well_formed_and_named(make_run: MakeRun, name: str) -> None:
    found = drawings(render_html(make_run(name=name)))
    figures = [one for one in found if "figure" in (one.get("class") or "")]
    assert len(figures) == 2 * 5
    assert {one.get("width") for one in figures} == {str(WIDE_PX), str(NARROW_PX)}
    assert all(one.get("aria-label") or one.get("aria-hidden") for one in found)


def test_every_coordinate_lies_inside_its_figure(make_run: MakeRun) -> None:
    for figure in drawings(render_html(make_run())):
        if "figure" not in (figure.get("class") or ""):
            continue
        _, _, width, height = map(float, (figure.get("viewBox") or "").split())
        for line in figure.iter("polyline"):
            for x, y in (map(float, pair.split(",")) for pair in (line.get("points") or "").split()):
                assert 0 <= x <= width and 0 <= y <= height


def test_a_saving_stands_beside_its_price(make_run: MakeRun) -> None:
    text = Page(render_html(make_run())).visible()
    headline = text[: text.index("Logarithmic scale")]
    for figure in (
        "93.8 %",
        "87.4 %",
        "56.7 %",
        "lossless",
        "87.5 % of their pixels",
        "36.2 dB",
        "75.0 %",
        "66.7 %",
        "0.250",
    ):
        assert figure in headline
    assert "precision 0.500, F1 0.333" in headline


def test_without_truth_recall_is_said_to_be_unknown(make_run: MakeRun, make_report: Callable[..., Report]) -> None:
    report = make_report()
    unjudged = report.detections.model_copy(
        update=dict.fromkeys(("truth", "true_positive", "precision", "recall", "f1"))
    )
    run = make_run(report=make_report(detections=unjudged), truth=())
    assert "unknown: no truth was given" in Page(render_html(run)).visible()


def test_boxes_differ_by_kind_and_tiles_tell_their_reasons(make_run: MakeRun) -> None:
    page = render_html(make_run())
    overlay = next(one for one in drawings(page) if one.get("class") == "boxes")
    kinds = {group.get("class"): len(group) // 2 for group in overlay}
    assert kinds == {"box truth": 2, "box delivered": 2, "box lost": 1}
    tiles = next(one for one in drawings(page) if one.get("class") == "tiles")
    tips = [tip.text or "" for tip in tiles.iter("title")]
    assert len(tips) == 6 and "cloud, cloud fraction 0.81" in tips[2] and "skipped for power" in tips[5]


def test_tiles_that_wait_uncoded_are_a_state_of_their_own(
    make_run: MakeRun, make_report: Callable[..., Report]
) -> None:
    states = ("kept", WAITING, "cloud", GIVEN_UP, WAITING, "power")
    run = make_run(report=make_report(coding=CODING))
    run = replace(run, scenes=(replace(run.scenes[0], tile_outcomes=states),))
    page = render_html(run)
    tiles = next(one for one in drawings(page) if one.get("class") == "tiles")
    classes = [cell.get("class") for cell in tiles.iter("rect")]
    assert classes == [f"tile {state}" for state in states]
    assert [mark.text for mark in tiles.iter("text")] == ["r", "c", "g", "r", "p"]
    text = Page(page).visible()
    assert "kept raw, not coded" in text and "kept raw, given up" in text
    assert "kept 9 tiles raw; 4 of them became layers" in text
    assert "2 tiles of open sea needed no search" in text
    assert "unchanged since an earlier scene" in text and "1.23 kB" in text


def test_the_order_of_sending_and_the_ledger_are_listed(make_run: MakeRun) -> None:
    text = Page(render_html(make_run())).visible()
    for words in ("chip 1, step 0", "block of tile 2, step 2", "alert batch, step 0", "never", "✓ balanced"):
        assert words in text
    assert "does not balance" not in text


def test_an_unbalanced_ledger_is_announced_on_the_first_screen(
    make_run: MakeRun, make_report: Callable[..., Report]
) -> None:
    ledger = LedgerFigures(captured=6, delivered=4, queued=0, evicted=0, discarded=1)
    text = Page(render_html(make_run(report=make_report(ledger=ledger)))).visible()
    assert text.index("The ledger does not balance") < text.index("Logarithmic scale")
    assert "✗ does not balance" in text


def test_a_run_that_sent_nothing_has_a_page_too(make_run: MakeRun, make_report: Callable[..., Report]) -> None:
    quality = QualityFigures(roi_psnr_db=None, scene_psnr_db=None, valid_fraction=0.0)
    report = make_report(contacts=(), quality=quality, software=None)
    full = make_run()
    view = full.scenes[0].__class__(
        scene=1, name="dark", original_path=full.scenes[0].original_path, rebuilt_path=None, tile_px=32,
        tile_outcomes=("nodata",) * 6,
    )  # fmt: skip
    run = make_run(
        report=report, scenes=(view,), sent=(), detections=(), truth=(), energy=(), fifo_curve=(),
        battery_capacity_j=None,
    )  # fmt: skip
    page = render_html(run)
    assert "Nothing was sent." in Page(page).visible() and "nothing arrived" in page
    assert drawings(page)


def test_the_same_run_gives_the_same_page(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    write_html(run, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_html(run)
    assert not list(tmp_path.glob("*.partial"))


def test_text_is_escaped_and_markup_is_not() -> None:
    inner = element("b", "a < b & 'c'")
    assert element("p", inner, " & ", None, [Markup("<i>x</i>")], data_key='"', hidden=True, title=None) == (
        '<p data-key="&quot;" hidden="hidden"><b>a &lt; b &amp; &#x27;c&#x27;</b> &amp; <i>x</i></p>'
    )
    with pytest.raises(ValueError, match="nan"):
        number(float("nan"))


def test_ticks_are_round_and_inside() -> None:
    assert nice_ticks(0, 1_000_000, 5) == (0, 200_000, 400_000, 600_000, 800_000, 1_000_000)
    assert nice_ticks(0.12, 0.47, 4) == pytest.approx((0.2, 0.3, 0.4))
    assert time_ticks(5400, 6) == (0, 900, 1800, 2700, 3600, 4500, 5400)
