"""Backlogs made to be hard to plan, and the best that any plan of divisible layers reaches, as HiGHS finds it."""

import random
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from benchmarks.scheduler_traces import START_MS
from downlink.contact import Contact
from downlink.products import FIRST_BLOCK, Layer, LayerAddress, Rung

HOUR_MS = 3_600_000
HALF_LIVES_S = (1800.0, 3600.0, 21_600.0, 86_400.0)
KINDS = (
    "random", "equal densities", "huge layers", "steep half-lives", "own half-life each", "tiny first contact",
    "deadlines before contacts", "deep chains, low first steps", "mixed laws in a product", "contacts of ten layers",
)  # fmt: skip


def instance(kind: str, *, products: int, contacts: int, share: float, seed: int) -> tuple[list[Layer], list[Contact]]:
    """A backlog and contacts that carry `share` of it together, one an hour."""
    chance = random.Random(f"{kind} {seed}")
    layers = _backlog(kind, products, chance)
    if kind == "equal densities":
        layers = [
            replace(one, value=float(one.size_bytes), half_life_s=86_400.0, captured_ms=START_MS) for one in layers
        ]
    total_bytes = sum(one.size_bytes for one in layers)
    room = int(total_bytes * (share / 10 if kind == "contacts of ten layers" else share) / contacts)
    windows = [
        _contact(n, max(50, room // 1000) if kind == "tiny first contact" and n == 0 else room) for n in range(contacts)
    ]
    if kind == "deadlines before contacts":
        deadlines_ms = {one.address.product: chance.choice(windows).aos_ms - chance.randint(0, 1000) for one in layers}
        layers = [
            replace(one, deadline_ms=deadlines_ms[one.address.product]) if one.address.product % 2 else one
            for one in layers
        ]
    if kind == "huge layers":
        layers = [
            replace(one, size_bytes=one.size_bytes + room // 8, value=one.value * chance.uniform(5, 50))
            if one.address.product % 50 == 0
            else one
            for one in layers
        ]
    return layers, windows


def _backlog(kind: str, products: int, chance: random.Random) -> list[Layer]:
    deep = kind.startswith("deep")
    layers = []
    for number in range(products // 6 if deep else products):
        half_life_s = chance.choice(HALF_LIVES_S)
        if kind == "own half-life each":
            half_life_s = chance.uniform(600, 200_000)
        captured_ms = START_MS - chance.randrange(12 * HOUR_MS)
        for step in range(chance.randint(20, 60) if deep else chance.randint(1, 6)):
            size_bytes = chance.randint(200, 20_000)
            value = size_bytes * chance.lognormvariate(0, 1.5) / (1 if deep else step + 1)
            if deep and step < 3:
                value = 0.001
            if kind == "mixed laws in a product":
                half_life_s = chance.choice(HALF_LIVES_S)
            layers.append(
                Layer(
                    address=LayerAddress(scene=number >> 12, product=FIRST_BLOCK + (number & 0xFFF), step=step),
                    rung=Rung.REFINEMENT, size_bytes=size_bytes, value=value,
                    half_life_s=half_life_s / (30 if kind == "steep half-lives" else 1), captured_ms=captured_ms,
                )
            )  # fmt: skip
    return layers


def _contact(number: int, room_bytes: int) -> Contact:
    aos_ms = START_MS + (number + 1) * HOUR_MS
    return Contact(
        contact_id=number, station="Svalbard", aos_ms=aos_ms, los_ms=aos_ms + 480_000,
        downlink_bps=max(1, -(-room_bytes * 8 // 480)), uplink_bps=0, one_way_delay_ms=5, frame_loss=0.0,
    )  # fmt: skip


def highs_installed() -> bool:
    """Whether the solver is there."""
    return find_spec("highspy") is not None


def linear_bound(layers: Sequence[Layer], contacts: Sequence[Contact]) -> float:
    """The LP relaxation from its definition, whatever laws the steps follow.

    Variables are the shares y[i, c] of step i sent by the end of contact c: rising in c, and never above those of the step
    before. The difference of y between two contacts pays the value of the layer in the middle of the later one.
    """
    import highspy

    ordered = sorted(layers, key=lambda one: one.address)
    middles = [(contact.aos_ms + contact.los_ms) // 2 for contact in contacts]
    worth = np.array([[one.value_at(moment_ms) for moment_ms in middles] for one in ordered])
    gain = worth.copy()
    gain[:, :-1] -= worth[:, 1:]
    rows, columns, entries, height = _constraints(ordered, len(contacts))
    limits = np.concatenate([np.zeros(height - len(contacts)), [contact.expected_bytes for contact in contacts]])
    by_column = np.argsort(columns, kind="stable")
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = gain.size, height
    model.col_cost_, model.col_lower_, model.col_upper_ = -gain.ravel(), np.zeros(gain.size), np.ones(gain.size)
    model.row_lower_, model.row_upper_ = np.full(height, -highspy.kHighsInf), limits
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.searchsorted(columns[by_column], np.arange(gain.size + 1))
    model.a_matrix_.index_, model.a_matrix_.value_ = rows[by_column], entries[by_column]
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    solver.passModel(model)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"HiGHS ended with {solver.getModelStatus()}")
    return float(-solver.getInfo().objective_function_value)


Numbers = NDArray[np.int64]


def _constraints(ordered: Sequence[Layer], contacts: int) -> tuple[Numbers, Numbers, NDArray[np.float64], int]:
    """Rows, columns and entries of the constraint matrix, and its number of rows; the capacities come last."""
    count = len(ordered)
    variable = np.arange(count * contacts).reshape(count, contacts)
    follows = [
        n
        for n in range(1, count)
        if (ordered[n].address.scene, ordered[n].address.product)
        == (ordered[n - 1].address.scene, ordered[n - 1].address.product)
    ]
    rising = np.stack([variable[:, :-1].ravel(), variable[:, 1:].ravel()])
    needed = np.stack([variable[follows].ravel(), variable[np.array(follows, np.int64) - 1].ravel()])
    pairs = np.concatenate([rising, needed], axis=1)
    height = pairs.shape[1]
    sizes = np.array([float(one.size_bytes) for one in ordered])
    held_rows = height + np.tile(np.arange(contacts), count)
    earlier_rows = height + np.tile(np.arange(1, contacts), count)
    rows = np.concatenate([np.arange(height), np.arange(height), held_rows, earlier_rows])
    columns = np.concatenate([pairs[0], pairs[1], variable.ravel(), variable[:, :-1].ravel()])
    entries = np.concatenate(
        [np.ones(height), -np.ones(height), np.repeat(sizes, contacts), -np.repeat(sizes, contacts - 1)]
    )
    return rows, columns, entries, height + contacts
