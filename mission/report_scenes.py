"""One section per scene: before and after under a slider, details at full resolution, the quality and the tile map."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Final

from mission.report_maps import box_overlay, detail_windows, outcome_mark, outcome_name, tile_map
from mission.report_markup import Markup, element, join
from mission.report_model import SceneFigures
from mission.report_pictures import (
    QUALITY_COLOURS,
    QUALITY_STEPS_DB,
    PicturePair,
    QualityPicture,
    longest_for,
    picture_pair,
    quality_picture,
)
from mission.report_rows import RunReport, SceneView
from mission.report_units import decibel, percent, plural, utc, whole

LONGEST_PX: Final = 1200
DETAIL_PX: Final = 144
"""Edge of a detail, scene pixels."""
MAP_PX: Final = 420
_BOX_KINDS: Final = (
    ("delivered", "detection on the ground"),
    ("lost", "detection that stayed on board"),
    ("truth", "truth"),
)


def scene_section(run: RunReport, view: SceneView, limit_bytes: int) -> Markup:
    """The section of one scene, its pictures within about `limit_bytes` in all."""
    overview = picture_pair(
        view, longest_px=longest_for(limit_bytes, most_px=LONGEST_PX), limit_bytes=limit_bytes * 3 // 10
    )
    shape = overview.window.height, overview.window.width
    most = 4 if limit_bytes > 600_000 else 2
    details = [
        picture_pair(
            view, window=window, longest_px=DETAIL_PX, limit_bytes=limit_bytes // 24, scene_limits=overview.limits
        )
        for window in detail_windows(run, view, shape=shape, edge_px=DETAIL_PX, most=most)
    ]
    quality = quality_picture(view, longest_px=MAP_PX)
    figures = _figures(run, view)
    return element(
        "section",
        element("h2", view.name),
        element("p", _facts(run, view), class_="note"),
        [element("p", f"Note: {note}.") for note in figures.notes] if figures else None,
        _swipe(run, view, overview),
        _legend(run, view),
        element("div", (_detail(run, view, pair) for pair in details), class_="details") if details else None,
        element("div", _quality_map(quality), _tile_map(view, shape), class_="maps"),
        class_="scene",
        aria_label=f"Scene {view.name}",
    )


def _facts(run: RunReport, view: SceneView) -> str:
    figures = _figures(run, view)
    facts = [] if view.captured_ms is None else [f"captured {utc(view.captured_ms)}"]
    if figures is not None:
        facts.append(
            f"{whole(figures.width)} \u00d7 {whole(figures.height)} px, {plural(figures.bands, 'band')} {figures.dtype}"
        )
        if view.gsd_m is not None:
            facts.append(f"{view.gsd_m:.3g} m per pixel")
        if figures.valid_fraction is not None:
            facts.append(f"{percent(figures.valid_fraction)} of the pixels arrived")
        if figures.lossless or figures.psnr_db is not None:
            facts.append(f"PSNR {decibel(figures.psnr_db, lossless=figures.lossless)}")
    return " · ".join(facts)


def _figures(run: RunReport, view: SceneView) -> SceneFigures | None:
    """Scenes stand in one order everywhere; their names may repeat."""
    pairs = zip(run.scenes, run.report.scenes, strict=False)
    return next((figures for other, figures in pairs if other.scene == view.scene), None)


def _swipe(run: RunReport, view: SceneView, pair: PicturePair) -> Markup:
    ratio = pair.width_px / pair.height_px
    style = (
        f"aspect-ratio:{pair.width_px}/{pair.height_px};max-width:min(100%, {ratio * 86:.1f}vh, {pair.width_px * 2}px)"
    )
    slider = element(
        "input", type="range", min=0, max=100, value=50, step=0.5,
        aria_label=f"Slide between the original and the rebuilt {view.name}",
    )  # fmt: skip
    return element(
        "figure",
        element(
            "div",
            element("img", src=pair.before_uri, alt=f"{view.name} as it was captured"),
            _after(pair, f"{view.name} as the ground rebuilt it"),
            box_overlay(run, view, pair.window, pair.width_px),
            element("span", "original", class_="tag left"),
            element("span", "rebuilt", class_="tag right"),
            element("div", class_="handle"),
            slider,
            class_="swipe",
            style=style,
        ),
        element(
            "figcaption",
            "Left of the line the original, right of it what the ground rebuilt; drag the line. Hatched: pixels that "
            "never arrived. Both sides share one stretch, computed on the original. The pictures in this page are "
            "themselves compressed for display; every figure is computed on the data.",
        ),
    )


def _after(pair: PicturePair, alt: str) -> Markup:
    if pair.after_uri is None:
        return element("div", "nothing arrived", class_="after hatched empty")
    return element("div", element("img", src=pair.after_uri, alt=alt), class_="after hatched")


def _detail(run: RunReport, view: SceneView, pair: PicturePair) -> Markup:
    window = pair.window
    place = f"column {window.col}, row {window.row}, {window.width} \u00d7 {window.height} px"
    style = f"aspect-ratio:{window.width}/{window.height}"
    overlay = box_overlay(run, view, window, MAP_PX // 2)
    before = element("img", src=pair.before_uri, alt=f"Detail at {place}, original")
    if pair.after_uri is None:
        after = element("div", overlay, class_="still hatched", style=style)
    else:
        rebuilt = element("img", src=pair.after_uri, alt=f"Detail at {place}, rebuilt")
        after = element("div", rebuilt, overlay, class_="still hatched", style=style)
    both = element("div", element("div", before, overlay, class_="still", style=style), after, class_="pair")
    return element("figure", both, element("figcaption", f"Original and rebuilt, {place}"))


def _legend(run: RunReport, view: SceneView) -> Markup:
    counts = Counter(
        "lost" if row.received_ms is None else "delivered" for row in run.detections if row.scene == view.scene
    )
    counts["truth"] = sum(row.scene == view.scene for row in run.truth)
    items = []
    for kind, name in _BOX_KINDS:
        if counts[kind] == 0 and kind == "truth":
            continue
        line = element("svg", _sample(kind), width=26, height=16, viewBox="0 0 26 16", aria_hidden="true")
        box = element("input", type="checkbox", checked=True, data_hides=kind)
        items.append(element("li", element("label", box, line, f"{name} ({whole(counts[kind])})")))
    return element("ul", items, class_="legend")


def _sample(kind: str) -> Markup:
    backdrop = element("rect", width=26, height=16, rx=3, fill="#3c4656")
    corners = "5,4 21,4 21,12 5,12"
    lines = [element("polygon", class_="casing", points=corners), element("polygon", class_="line", points=corners)]
    return join([backdrop, element("g", lines, class_=f"box {kind}-sample {kind}")])


def _quality_map(quality: QualityPicture | None) -> Markup | None:
    if quality is None:
        return None
    names = [f"under {QUALITY_STEPS_DB[0]:.0f} dB"]
    names += [f"{low:.0f}\u2013{high:.0f} dB" for low, high in pairwise(QUALITY_STEPS_DB)]
    names += [f"over {QUALITY_STEPS_DB[-1]:.0f} dB", "lossless"]
    rows = [
        _key(element("rect", width=16, height=16, rx=3, fill="#{:02x}{:02x}{:02x}".format(*colour)), name, part)
        for colour, name, part in zip(QUALITY_COLOURS, names, quality.shares, strict=True)
        if part > 0
    ]
    missing = max(0.0, 1 - sum(quality.shares))
    if missing > 1e-6:
        rows.append(
            element("li", element("span", class_="hatched", style=_HATCH_KEY), f"never arrived {percent(missing)}")
        )
    style = f"aspect-ratio:{quality.width_px}/{quality.height_px}"
    picture = element("img", src=quality.uri, alt="Map of the quality of every rebuilt pixel")
    return element(
        "figure",
        element("h4", "Quality of each pixel"),
        element("div", picture, class_="map hatched", style=style),
        element("ul", rows, class_="legend"),
    )


_HATCH_KEY: Final = "width:16px;height:16px;border-radius:3px;flex:none"


def _tile_map(view: SceneView, shape: tuple[int, int]) -> Markup:
    counts = Counter(view.tile_outcomes)
    rows = []
    for outcome, count in counts.most_common():
        mark = element("text", outcome_mark(outcome), class_="tile-mark", x=8, y=8, style="font-size:11px")
        rows.append(
            _key(
                join([element("rect", class_=f"tile {outcome}", width=16, height=16), mark]),
                outcome_name(outcome),
                count,
            )
        )
    grid = element("div", tile_map(view, shape), class_="map", style=f"aspect-ratio:{shape[1]}/{shape[0]}")
    return element("figure", element("h4", "What became of each tile"), grid, element("ul", rows, class_="legend"))


def _key(symbol: Markup, name: str, amount: float) -> Markup:
    swatch = element("svg", symbol, width=16, height=16, viewBox="0 0 16 16", aria_hidden="true")
    return element("li", swatch, f"{name} {percent(amount) if isinstance(amount, float) else whole(amount)}")
