"""The first screen of the report: what was saved and, beside it, what that cost."""

from __future__ import annotations

from mission.report_axes import both_widths
from mission.report_figures import size_figure
from mission.report_markup import Markup, element, join
from mission.report_model import Report
from mission.report_units import ABSENT, decibel, duration, energy, percent, plural, share, size, whole

Line = tuple[str, str, str]
"""(figure, what it says, the numbers behind it)"""


def headline_section(report: Report) -> Markup:
    """Savings and their price side by side, a strip of facts, and the sizes on one axis."""
    sizes = element(
        "figure",
        both_widths(lambda width_px: size_figure(report.bytes, width_px)),
        element(
            "figcaption",
            "Logarithmic scale. Downlinked counts every byte on the link: layers, headers, alerts and retransmissions. "
            f"Overhead is {size(report.bytes.overhead)} of it.",
        ),
    )
    panels = element(
        "div",
        _panel("What was saved", "saved", saved_lines(report)),
        _panel("What it cost", "price", price_lines(report)),
        class_="balance",
    )
    return element("section", panels, _facts(report), _alarm(report), sizes, id="headline", aria_label="Headline")


def saved_lines(report: Report) -> list[Line]:
    """The saving against each baseline with the sizes compared."""
    sizes, saved = report.bytes, report.saved
    codec = f"lossless ({sizes.lossless_codec})" if sizes.lossless_codec else "lossless"
    rows = [
        (saved.vs_raw, "less than the raw pixels", sizes.raw),
        (saved.vs_lossless, f"less than {codec}", sizes.lossless),
        (saved.vs_lossy_equal_quality, "less than JPEG 2000 at equal quality", sizes.lossy_equal_quality),
    ]
    lines: list[Line] = []
    for saving, text, baseline in rows:
        compared = f"{size(sizes.downlinked)} instead of {size(baseline)}"
        if saving is None:
            lines.append((percent(None), text, "not measured"))
        elif saving < 0:
            lines.append((percent(-saving), text.replace("less than", "more than"), compared))
        else:
            lines.append((percent(saving), text, compared))
    return lines


def price_lines(report: Report) -> list[Line]:
    """What is missing or worse on the ground: quality, pixels, detections."""
    quality, found = report.quality, report.detections
    roi = decibel(quality.roi_psnr_db, lossless=quality.roi_lossless)
    scene = decibel(quality.scene_psnr_db, lossless=quality.scene_lossless)
    lines = [
        (roi, "in the regions of interest", f"PSNR against the original{_arrived(quality.roi_valid_fraction)}"),
        (scene, "over all pixels that arrived", "PSNR against the original"),
        (percent(quality.valid_fraction), "of the pixels arrived", "the rest is masked, never invented"),
    ]
    if found.onboard:
        counts = f"{whole(found.delivered)} of {whole(found.onboard)}"
        lines.append((percent(found.delivered / found.onboard), "of the detections made on board arrived", counts))
    if found.truth is None:
        lines.append((ABSENT, "recall", "unknown: no truth was given"))
    else:
        counts = f"{whole(found.true_positive)} of {plural(found.truth, 'true object')}"
        scores = f"precision {share(found.precision)}, F1 {share(found.f1)}"
        lines.append((share(found.recall), "recall on the ground", f"{counts}; {scores}"))
    return lines


def _arrived(part: float | None) -> str:
    return "" if part is None else f"; {percent(part)} of their pixels arrived"


def _panel(title: str, kind: str, lines: list[Line]) -> Markup:
    rows = [
        element(
            "div",
            element("dt", text, element("small", numbers)),
            element("dd", figure, class_="worse" if text.startswith("more") else None),
        )
        for figure, text, numbers in lines
    ]
    return element("div", element("h2", title), element("dl", rows, class_="figures"), class_=f"panel {kind}")


def _facts(report: Report) -> Markup:
    pixels = sum(scene.height * scene.width for scene in report.scenes)
    spent = report.energy_j.spent
    facts = [
        (plural(len(report.scenes), "scene"), f"{pixels / 1e6:.2f} Mpix"),
        (plural(len(report.contacts), "contact"), f"{size(report.bytes.downlinked)} down"),
        (duration(report.latency_s.first_alert), "to the first alert"),
        (duration(report.latency_s.alerts_p90), "until 90 % of the alerts"),
        (energy(spent), f"spent of {energy(report.energy_j.budget)}"),
        (f"{report.throughput.mpix_per_s:.2f} Mpix/s", f"{duration(report.throughput.wall_s)} on this machine"),
    ]
    items = [element("li", element("b", figure), text) for figure, text in facts]
    return element("ul", items, class_="facts")


def _alarm(report: Report) -> Markup | None:
    if report.ledger.balanced:
        return None
    text = "The ledger does not balance: some of what was captured is not accounted for. See the ledger below."
    return join([element("p", element("strong", text), class_="alarm", role="alert")])
