"""Sections of the ground's page as markup: when there is contact, whether both ends agree, how the satellite is (pure).

Calm and honest: every figure of the satellite says how old it is, and what nobody knows is called unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mission.live.agreement import Agreement
from mission.live.ground_status import GroundStatus
from mission.live.pass_sections import pass_table, passes_section
from mission.live.scene_sections import DrawnDetection, scenes_section
from mission.live.status_times import ago, clock, countdown
from mission.report_markup import Markup, element, join
from mission.report_units import ABSENT, duration, percent, plural, significant, size, whole

VERDICTS: Final = {
    Agreement.AGREE: "Both ends agree",
    Agreement.ON_THE_WAY: "Acknowledgements on the way",
    Agreement.DISAGREE: "The ends disagree",
    Agreement.UNKNOWN: "Not known yet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageView:
    """Everything the page shows."""

    status: GroundStatus
    """Of the service."""
    trouble: str
    """Why it is not well; empty where it is."""
    pictured: Mapping[int, Sequence[DrawnDetection]]
    """By scene: what is drawn over its picture; scenes without an entry have no picture here."""


def page_body(view: PageView) -> Markup:
    """What stands inside <body>. Elements with `data-part` are replaced one by one as news comes."""
    status = view.status
    return join(
        [
            _header(status),
            _alarms(view),
            element(
                "main",
                element("div", passes_section(status), _agreement(status), _satellite(status), class_="row"),
                scenes_section(status, view.pictured),
                element("div", pass_table(status), _link(status), class_="pair"),
            ),
            _footer(status),
        ]
    )


def _header(status: GroundStatus) -> Markup:
    contact, coming = status.contact, status.next_contact
    if contact is not None:
        pill = [element("b", "In contact"), f" {contact.station}, ", countdown(contact.los_ms, status.at_ms), " left"]
    elif coming is not None:
        pill = [element("b", "No contact"), " next in ", countdown(coming.aos_ms, status.at_ms)]
    else:
        pill = [element("b", "No contact"), " none is planned"]
    return element(
        "header",
        element("div", element("p", "Tianshu 天数 · ground station", class_="mark"), element("h1", status.mission)),
        element("p", pill, class_="pill on" if contact is not None else "pill"),
        data_part="header",
        data_now=status.at_ms,
    )


def _alarms(view: PageView) -> Markup:
    problems = [view.trouble] if view.trouble else []
    alarms = [
        element("p", element("b", "Trouble: "), text, class_="alarm") for text in [*problems, *view.status.problems]
    ]
    gone = element(
        "p",
        "This page has no answer from the ground service. What it shows is old.",
        class_="alarm",
        id="gone",
        hidden=True,
    )
    return element("div", gone, element("div", alarms, data_part="alarms"), class_="alarms")


# ---- agreement


def _agreement(status: GroundStatus) -> Markup:
    onboard = status.onboard
    rows = [
        element(
            "tr",
            element("th", "Held on the ground"),
            element("td", whole(status.ledger.held_layers), class_="number"),
            element("td", size(status.ledger.held_bytes), class_="number"),
            element("td", element("code", status.held_digest[:8])),
        )
    ]
    if onboard is not None:
        for name, key in (
            ("Delivered, says the satellite", "delivered"),
            ("Still waiting on board", "queued"),
            ("Given up on board", "evicted"),
        ):
            digest = element("code", str(onboard["delivered_digest"])[:8]) if key == "delivered" else None
            rows.append(
                element(
                    "tr",
                    element("th", name),
                    element("td", whole(_number(onboard, f"{key}_layers")), class_="number"),
                    element("td", size(_number(onboard, f"{key}_bytes")), class_="number"),
                    element("td", digest),
                )
            )
    return element(
        "section",
        element("h2", "Ledgers"),
        element("p", VERDICTS[status.agreement], class_=f"verdict {status.agreement.name.lower()}"),
        element("p", _verdict_in_words(status), class_="note"),
        element("table", element("tbody", rows), class_="ledger"),
        _age_note(status),
        class_="panel",
        data_part="ledgers",
    )


def _age_note(status: GroundStatus) -> Markup | None:
    if status.housekeeping_received_ms is None:
        return None
    since = _since(status.housekeeping_received_ms, status.at_ms)
    return element("p", "The satellite's figures were heard ", since, ".", class_="note age")


def _verdict_in_words(status: GroundStatus) -> str:
    onboard, held = status.onboard, status.ledger.held_layers
    if onboard is None:
        return "The satellite has not said what it counts as delivered. It does in contact, every ten seconds at most."
    delivered = _number(onboard, "delivered_layers") or 0
    match status.agreement:
        case Agreement.AGREE:
            return "Layer by layer, the ground holds exactly what the satellite counts as delivered."
        case Agreement.ON_THE_WAY:
            more = f"The ground holds {plural(held - delivered, 'layer')} more than the satellite counted as delivered when it last spoke."
            given_up = (
                " Some may have been given up on board after they were sent."
                if _number(onboard, "evicted_layers")
                else ""
            )
            return more + given_up
        case _ if held == delivered:
            return f"Both count {plural(held, 'layer')}, but not the same ones."
        case _:
            return (
                f"The satellite counts {plural(delivered - held, 'layer')} as delivered that the ground does not hold."
            )


# ---- the satellite


def _satellite(status: GroundStatus) -> Markup:
    onboard = status.onboard
    if onboard is None:
        words = "It has not said how it is. Housekeeping comes down in contact; none was heard."
        return element(
            "section",
            element("h2", "Satellite"),
            element("p", words, class_="note"),
            class_="panel",
            data_part="satellite",
        )
    charge = _number(onboard, "charge_permille")
    cap, compute = _number(onboard, "cap_mw"), _number(onboard, "compute_mw")
    temperature = _number(onboard, "temperature_decicelsius")
    battery = element(
        "div",
        element(
            "i",
            style=f"width:{min(100, (charge or 0) / 10):.1f}%",
            class_="low" if charge is not None and charge < 200 else None,
        ),
        class_="gauge",
    )
    facts = [
        _fact("Battery", ABSENT if charge is None else percent(charge / 1000), battery if charge is not None else None),
        _fact("Power limit", _watts(cap)),
        _fact("Computing", _watts(compute)),
        _fact(
            "Temperature", ABSENT if temperature is None else f"{temperature / 10:.1f}\u00a0°C".replace("-", "\u2212")
        ),
        _fact("Scenes waiting", whole(_number(onboard, "scenes_waiting"))),
        _fact(
            "Done, rejected", f"{whole(_number(onboard, 'scenes_done'))}, {whole(_number(onboard, 'scenes_rejected'))}"
        ),
    ]
    received_ms = status.housekeeping_received_ms or 0
    up = duration(_number(onboard, "uptime_s"))
    age = [
        f"Heard {clock(received_ms)}, ",
        _since(received_ms, status.at_ms),
        f". Start {_number(onboard, 'boot')}, up for {up}.",
    ]
    return element(
        "section",
        element("h2", "Satellite"),
        element("p", _state_in_words(onboard), class_="state"),
        element("ul", facts, class_="facts"),
        element("p", age, class_="note age"),
        class_="panel",
        data_part="satellite",
    )


def _state_in_words(onboard: Mapping[str, object]) -> str:
    if onboard["disk_full"]:
        return "Its disk is full."
    if onboard["waiting_for_power"]:
        return "Waits for power or cooling."
    return "Works on a scene." if onboard["computing"] else "Has nothing to work on."


def _fact(name: str, text: str, *more: Markup | None) -> Markup:
    return element("li", element("span", name), element("b", text), *more)


def _watts(milliwatts: int | None) -> str:
    return ABSENT if milliwatts is None else f"{significant(milliwatts / 1000)}\u00a0W"


def _since(at_ms: int, now_ms: int) -> Markup:
    return element("span", ago(at_ms, now_ms), data_since=at_ms)


def _number(values: Mapping[str, object], key: str) -> int | None:
    value = values[key]
    return value if isinstance(value, int) else None


# ---- link


def _link(status: GroundStatus) -> Markup:
    link, orders = status.link, status.orders
    facts = [
        _fact("Frames heard", whole(link.heard_frames)),
        _fact("Lost on the way", whole(link.frames_lost)),
        _fact("Damaged", whole(link.corrupt)),
        _fact("Foreign", whole(link.foreign)),
        _fact("Late or twice", whole(link.late + link.duplicate)),
        _fact("Frames sent", whole(link.sent_frames)),
        _fact("Files under way", whole(status.open_files)),
        _fact("Orders waiting", whole(orders.outstanding)),
        _fact("Core restarts", whole(status.core_restarts)),
    ]
    return element(
        "section",
        element("h2", "Link"),
        element("ul", facts, class_="facts"),
        element(
            "p",
            f"Counted since this service started ({clock(status.started_ms)})."
            if status.started_ms
            else "Counted since this service started.",
            class_="note",
        ),
        class_="panel",
        data_part="link",
    )


def _footer(status: GroundStatus) -> Markup:
    links = (
        ("/catalogue/catalog.json", "STAC catalogue"),
        ("/status", "status as JSON"),
        ("/metrics", "metrics"),
        ("/healthz", "health"),
    )
    return element(
        "footer",
        element("p", f"As of {clock(status.at_ms, with_day=True)}.", data_part="as-of"),
        element("p", join([element("a", name, href=href), " "] for href, name in links)),
    )
