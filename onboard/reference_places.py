"""Where a window of one scene lies in another, by their georeferences (pure)."""

from typing import Final

from downlink.scene import AffineSix, Georeference, SceneSummary, Window

SAME_GRID_PX: Final = 1 / 16
"""Two pixel grids are the same in size and orientation where no corner of a window lies further from where its centre says."""
MOST_PX: Final = 1 << 24
"""Further apart than this no two scenes overlap."""


def shift_between(new: Georeference, earlier: Georeference, window: Window) -> tuple[float, float] | None:
    """(rows, columns) from a pixel of the new scene to the same place in the earlier one, fractions among them.

    It is that of the window's centre. None where the two have no coordinate reference system, or another one, or pixels of another
    size or orientation: the shift of a corner differs by more than `SAME_GRID_PX`.
    """
    if new.crs_wkt is None or new.crs_wkt != earlier.crs_wkt:
        return None
    inverse = _inverse(earlier.transform)
    if inverse is None:
        return None
    shifts = [_shift(new.transform, inverse, row, col) for row, col in _points(window)]
    (row, col), *corners = shifts
    if not all(abs(r - row) <= SAME_GRID_PX and abs(c - col) <= SAME_GRID_PX for r, c in corners):
        return None
    return (row, col) if max(abs(row), abs(col)) <= MOST_PX else None


def lies_under(older: SceneSummary, newer: SceneSummary, *, least_share: float) -> bool:
    """Whether a newer scene of the same kind covers so much of an older one."""
    if (older.band_names, older.dtype) != (newer.band_names, newer.dtype):
        return False
    whole = Window(row=0, col=0, height=older.height, width=older.width)
    shift = shift_between(older.georeference, newer.georeference, whole)
    if shift is None:
        return False
    moved = whole.shifted(round(shift[0]), round(shift[1]))
    shared = moved.intersection(Window(row=0, col=0, height=newer.height, width=newer.width))
    return shared is not None and shared.height * shared.width >= least_share * whole.height * whole.width


def _points(window: Window) -> list[tuple[float, float]]:
    """(row, column) of the centre, then of the corners."""
    rows, cols = (window.row, window.row_stop), (window.col, window.col_stop)
    return [(sum(rows) / 2, sum(cols) / 2), *((float(row), float(col)) for row in rows for col in cols)]


def _shift(transform: AffineSix, inverse: AffineSix, row: float, col: float) -> tuple[float, float]:
    x, y = _applied(transform, col, row)
    there_col, there_row = _applied(inverse, x, y)
    return there_row - row, there_col - col


def _applied(transform: AffineSix, u: float, v: float) -> tuple[float, float]:
    a, b, c, d, e, f = transform
    return a * u + b * v + c, d * u + e * v + f


def _inverse(transform: AffineSix) -> AffineSix | None:
    a, b, c, d, e, f = transform
    determinant = a * e - b * d
    if determinant == 0:
        return None
    a, b, d, e = e / determinant, -b / determinant, -d / determinant, a / determinant
    return a, b, -(a * c + b * f), d, e, -(d * c + e * f)
