"""Bytes per pass with coding that follows the elevation, against every fixed modulation and code rate.

    python -m benchmarks.link_budget [--hours 24] [--json]

Orbit, stations and radio of the scenario `adaptive`, with all symbols given to the camera. Expected bytes: what arrives after
the losses of the radio. A fixed choice keeps no margin: its losses below its threshold are counted as they come, those of
adaptive coding as well. `best fixed` is the one choice that carries most over all contacts together, `best per pass` is
chosen anew for every contact.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from downlink.contact import Contact
from downlink.modcod import DVB_S2
from mission.contacts import contacts_from_orbit
from mission.scenario import Scenario, load_scenario

SCENARIO = "adaptive"
EIRP_STEPS_DB = (-3.0, 0.0, 3.0, 6.0)
"""The comparison is repeated with a weaker and with stronger transmitters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassBytes:
    """One contact."""

    station: str
    duration_s: float
    weakest_db: float
    """Es/N0 at the weaker end."""
    strongest_db: float
    """Es/N0 at the highest elevation."""
    adaptive_bytes: int
    best_fixed_bytes: int
    """With the best choice for all contacts together."""
    best_per_pass_bytes: int
    """With the best choice for this contact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingGain:
    """All contacts of a mission with one transmitter."""

    eirp_dbw: float
    contacts: int
    best_fixed: str
    """The fixed choice that carries most."""
    adaptive_bytes: int
    best_fixed_bytes: int
    best_per_pass_bytes: int
    passes: tuple[PassBytes, ...]

    @property
    def over_best_fixed(self) -> float:
        """Bytes with adaptive coding over bytes with the best fixed choice."""
        return self.adaptive_bytes / self.best_fixed_bytes

    @property
    def over_best_per_pass(self) -> float:
        """Bytes with adaptive coding over bytes with the best fixed choice for each contact."""
        return self.adaptive_bytes / self.best_per_pass_bytes


def coding_gain(*, hours: float, eirp_step_db: float = 0.0) -> CodingGain:
    """Adaptive against fixed coding over the contacts of the first hours."""
    adaptive = _contacts(hours=hours, eirp_step_db=eirp_step_db)
    fixed = {
        modcod.name: [
            one.expected_bytes
            for one in _contacts(hours=hours, eirp_step_db=eirp_step_db, adaptive=False, modcod=modcod.name)
        ]
        for modcod in DVB_S2
    }
    best = max(fixed, key=lambda name: sum(fixed[name]))
    best_per_pass = [max(row) for row in zip(*fixed.values(), strict=True)]
    passes = tuple(
        _pass_bytes(contact, in_all, alone)
        for contact, in_all, alone in zip(adaptive, fixed[best], best_per_pass, strict=True)
    )
    return CodingGain(
        eirp_dbw=_scenario(hours=hours, eirp_step_db=eirp_step_db).radio.eirp_dbw,  # type: ignore[union-attr]
        contacts=len(passes),
        best_fixed=best,
        adaptive_bytes=sum(one.adaptive_bytes for one in passes),
        best_fixed_bytes=sum(fixed[best]),
        best_per_pass_bytes=sum(best_per_pass),
        passes=passes,
    )


def _pass_bytes(contact: Contact, best_fixed_bytes: int, best_per_pass_bytes: int) -> PassBytes:
    levels_db = [step.es_n0_db for step in contact.rates if step.es_n0_db is not None]
    return PassBytes(
        station=contact.station,
        duration_s=contact.duration_ms / 1000,
        weakest_db=min(levels_db),
        strongest_db=max(levels_db),
        adaptive_bytes=contact.expected_bytes,
        best_fixed_bytes=best_fixed_bytes,
        best_per_pass_bytes=best_per_pass_bytes,
    )


def _contacts(*, hours: float, eirp_step_db: float, **changes: object) -> list[Contact]:
    scenario = _scenario(hours=hours, eirp_step_db=eirp_step_db, **changes)
    return [planned.contact for planned in contacts_from_orbit(scenario)]


def _scenario(*, hours: float, eirp_step_db: float, **changes: object) -> Scenario:
    scenario = load_scenario(SCENARIO)
    if scenario.radio is None:
        raise RuntimeError(f"scenario {SCENARIO} has no [radio]")
    radio = scenario.radio.model_copy(
        update={"share": 1.0, "eirp_dbw": scenario.radio.eirp_dbw + eirp_step_db, **changes}
    )
    return scenario.model_copy(
        update={
            "radio": radio,
            "contacts": scenario.contacts.model_copy(update={"horizon_h": hours}),
            "channel": scenario.channel.model_copy(update={"frame_loss": 0.0, "burst": None}),
        }
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0, help="how far ahead contacts are taken")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args(arguments)
    gains = [coding_gain(hours=options.hours, eirp_step_db=step) for step in EIRP_STEPS_DB]
    if options.json:
        rows = [
            asdict(gain) | {"over_best_fixed": gain.over_best_fixed, "over_best_per_pass": gain.over_best_per_pass}
            for gain in gains
        ]
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return 0
    _print_tables(gains)
    return 0


def _print_tables(gains: Sequence[CodingGain]) -> None:
    console = Console(width=120)
    table = Table(title="Expected megabytes over all contacts, EIRP in dBW")
    for heading in ("EIRP", "contacts", "adaptive", "best fixed", "which", "gain", "best per pass", "gain over it"):
        table.add_column(heading, justify="right", no_wrap=True)
    for gain in gains:
        table.add_row(
            f"{gain.eirp_dbw:g}",
            str(gain.contacts),
            f"{gain.adaptive_bytes / 1e6:,.0f}",
            f"{gain.best_fixed_bytes / 1e6:,.0f}",
            gain.best_fixed,
            f"{gain.over_best_fixed - 1:+.0%}",
            f"{gain.best_per_pass_bytes / 1e6:,.0f}",
            f"{gain.over_best_per_pass - 1:+.0%}",
        )
    console.print(table)
    chosen = gains[EIRP_STEPS_DB.index(0.0)]
    passes = Table(title=f"Each contact at {chosen.eirp_dbw:g} dBW, megabytes")
    for heading in ("station", "s", "Es/N0 dB", "adaptive", "best fixed", "best per pass"):
        passes.add_column(heading, justify="left" if heading == "station" else "right")
    for one in chosen.passes:
        passes.add_row(
            one.station,
            f"{one.duration_s:.0f}",
            f"{one.weakest_db:.1f} to {one.strongest_db:.1f}",
            f"{one.adaptive_bytes / 1e6:,.0f}",
            f"{one.best_fixed_bytes / 1e6:,.0f}",
            f"{one.best_per_pass_bytes / 1e6:,.0f}",
        )
    console.print(passes)


if __name__ == "__main__":
    sys.exit(main())
