"""What a byte of the coming contacts is worth: the value per byte at which the backlog fills them (pure).

Whoever can still choose what to make (which image to code next) need not make what is worth less: it would not be sent.
Groups of layers are taken in order of value per byte until the contacts are full; the group in which they end sets the price.
No plan is made: which contact carries what does not matter here, and the table's columns are enough.
"""

from collections.abc import Sequence

import numpy as np

from downlink.contact_groups import Windows, groups_at
from downlink.layer_table import LayerTable
from downlink.requests import LayerRequest


def backlog_price(
    table: LayerTable, windows: Windows, *, now_ms: int, requests: Sequence[LayerRequest], contacts_ahead: int
) -> float:
    """Points per byte at `now_ms`, requests included, of the group in which the next `contacts_ahead` contacts are full.

    0 where the whole backlog fits into them, and where no contact is known. Adding to the backlog never lowers it.
    """
    room_bytes = int(windows.room_bytes[:contacts_ahead].sum())
    if not len(windows) or int(table.size_bytes.sum()) <= room_bytes:
        return 0.0
    groups = groups_at(table, windows, requests, now_ms)
    density = groups.density * groups.boost
    order = np.argsort(-density, kind="stable")
    full = int(np.searchsorted(np.cumsum(groups.size_bytes[order]), room_bytes, side="right"))
    return float(density[order[full]])
