"""Layers on their way from the worker to the product store: a file that is whole or not there (edge: files).

The worker writes what belongs together (all layers of a block, of a chip; a summary with its alerts) into the file before the
store gets it. An append that a crash has cut in half is completed from it at the next start: with the same bytes, so that
no product is ever made of two codings.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from downlink.products import LayerAddress
from downlink.record import Record, RecordKind, encode_record, scan_records
from mission.live.state_folder import replace_small_file
from onboard.errors import StoreError
from onboard.store import layer_records, valued_layers
from onboard.valuation import ValuedLayer

HANDOVER_FILE = "handover"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What the worker hands over at once."""

    scene: int
    """Of all these layers."""
    layers: tuple[ValuedLayer, ...]
    """To be stored together."""
    efforts: str = ""
    """With the summary: what each tile was allowed, one digit of `onboard.governor.Effort` each; empty before."""


def write_handover(path: Path, *, scene: int, layers: Sequence[ValuedLayer], efforts: str) -> None:
    """Put a handover in place of the one before, durably. Raises OSError, and then the one before is still there."""
    head = json.dumps({"layers": len(layers), "efforts": efforts}).encode()
    records = [Record(kind=RecordKind.NOTE, address=LayerAddress(scene=scene, product=0, step=0), payload=head)]
    for valued in layers:
        records.extend(layer_records(valued))
    replace_small_file(path, b"".join(encode_record(record) for record in records))


def read_handover(path: Path) -> Handover | None:
    """The handover that lies there; None where there is none, or where it is damaged. Raises OSError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    records = scan_records(data, final=True).records
    if not records:
        return None
    try:
        head = json.loads(records[0].payload)
        layers = valued_layers(records[1:])
        whole = len(layers) == head["layers"]
        return Handover(scene=records[0].address.scene, layers=layers, efforts=str(head["efforts"])) if whole else None
    except (ValueError, KeyError, TypeError, StoreError):
        return None
