"""The draw of the discard audit: by chance alone, within its budget, the same again, never twice."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.audit_sample import DiscardKind, decode_audit
from downlink.image_layers import ImageAssembly
from downlink.products import AUDIT_PRODUCT, Rung
from downlink.scene import TileOutcome, Window
from onboard.detection import Detection
from onboard.discard_audit import drawn_counts, drawn_units, limited_shares, plan_audit
from onboard.governor import Effort
from onboard.policy import AuditRules, load_policy
from onboard.processed_scene import TileReport
from onboard.raw_store import RawStore
from onboard.tiles import tile_grid
from tests.onboard.survey_samples import summary_of
from tests.onboard.test_pipeline import Allowing, BrightPixelDetector, frame_of, paint_ship, sea
from tests.onboard.test_scene_survey import BANDS, Survey, quiet_sea

CLOUD, BLANK, POWER, BELOW = DiscardKind.CLOUD, DiscardKind.BLANK, DiscardKind.POWER, DiscardKind.BELOW_THRESHOLD
RULES = AuditRules(share=0.5, shares={"below_threshold": 1.0}, cell_px=16, unit_bytes=128, most_units=12, seed=0x1234)
KINDS = st.dictionaries(
    st.sampled_from(DiscardKind), st.tuples(st.integers(1, 5000), st.floats(0, 1)), min_size=1, max_size=7
)


def with_audit(survey, rules=RULES):
    survey.survey.policy = survey.survey.policy.model_copy(update={"audit": rules})
    return survey


def audit_of(survey):
    (layer,) = (one for batch in survey.batches for one in batch if one.layer.address.product == AUDIT_PRODUCT)
    manifest, image = decode_audit(layer.payload)
    return layer, manifest, image


# ---- the draw


@given(KINDS, st.integers(1, 64))
def test_shares_are_the_policys_or_fall_so_that_no_more_than_the_limit_is_expected(kinds, most):
    shares, populations = ({kind: pair[place] for kind, pair in kinds.items()} for place in (1, 0))
    limited = limited_shares(shares, populations, most=most)
    expected = {kind: limited[kind] * populations[kind] for kind in kinds}
    assert sum(expected.values()) <= most * (1 + 1e-9)
    assert all(0 <= limited[kind] <= shares[kind] * (1 + 1e-12) for kind in kinds)
    wanted = {kind: shares[kind] * populations[kind] for kind in kinds}
    if sum(wanted.values()) <= most:
        assert expected == pytest.approx(wanted)
    else:
        cut = max(expected.values())
        assert all(expected[kind] == pytest.approx(min(wanted[kind], cut)) for kind in kinds)


@given(KINDS, st.integers(1, 64), st.floats(0, 1, exclude_max=True))
def test_counts_are_the_expected_ones_rounded_either_way_and_within_the_limit(kinds, most, chance):
    populations = {kind: pair[0] for kind, pair in kinds.items()}
    shares = limited_shares({kind: pair[1] for kind, pair in kinds.items()}, populations, most=most)
    counts = drawn_counts(shares, populations, chance=chance)
    assert sum(counts.values()) <= most
    for kind in kinds:
        expected = shares[kind] * populations[kind]
        assert max(0, int(expected - 1e-6)) <= counts[kind] <= min(populations[kind], int(expected + 1e-6) + 1)


def test_on_average_the_counts_are_exactly_the_expected_ones():
    shares, populations = {CLOUD: 0.013, BLANK: 0.3, BELOW: 0.07}, {CLOUD: 100, BLANK: 4, BELOW: 31}
    chances = (np.arange(5000) + 0.5) / 5000
    counts = [drawn_counts(shares, populations, chance=float(chance)) for chance in chances]
    for kind, share in shares.items():
        assert np.mean([one[kind] for one in counts]) == pytest.approx(share * populations[kind], abs=1e-3)


@given(st.integers(0, 400), st.data(), st.integers(0, (1 << 64) - 1), st.integers(0, 0xFFFF_FFFF))
def test_a_draw_is_of_different_units_and_the_same_again(population, data, seed, scene):
    count = data.draw(st.integers(0, population))
    drawn = drawn_units(population, count, seed=seed, scene=scene, kind=CLOUD)
    assert list(drawn) == sorted(set(drawn)) and len(drawn) == count
    assert all(0 <= unit < population for unit in drawn)
    assert drawn == drawn_units(population, count, seed=seed, scene=scene, kind=CLOUD)


def test_every_unit_is_drawn_as_often_as_every_other():
    times = Counter(
        unit for scene in range(4000) for unit in drawn_units(50, 3, seed=7, scene=scene, kind=DiscardKind.SEA_GATE)
    )
    expected = 4000 * 3 / 50
    chi_squared = sum((times[unit] - expected) ** 2 / expected for unit in range(50))
    assert chi_squared < 85, "49 degrees of freedom: above 85.4 once in 1000"


def test_seed_scene_and_kind_all_change_the_draw():
    draws = {
        drawn_units(10_000, 8, seed=seed, scene=scene, kind=kind)
        for seed in (0, 1)
        for scene in (0, 1)
        for kind in (CLOUD, BLANK)
    }
    assert len(draws) == 8


# ---- what is counted


def report(index, outcome):
    tile = tile_grid(24, 160, tile_px=40)[index]
    return TileReport(tile=tile, outcome=outcome, reason="as a test has it")


def candidate(confidence, x=20.0, y=12.0):
    corners = ((x - 4, y - 1), (x + 4, y - 1), (x + 4, y + 1), (x - 4, y + 1))
    return Detection(class_id=0, confidence=confidence, corners_px=corners)


def test_what_counts_as_thrown_away():
    outcomes = (TileOutcome.CLOUD, TileOutcome.POWER, TileOutcome.SCREENED, TileOutcome.NODATA)
    reports = [report(index, outcome) for index, outcome in enumerate(outcomes)]
    manifest = plan_audit(reports, [candidate(0.2), candidate(0.05)], summary=summary_of(3, tiles=4), rules=RULES)
    # 24 x 40 px in cells of 16: 2 x 3.
    assert {stratum.kind: stratum.population for stratum in manifest.strata} == {CLOUD: 6, POWER: 12, BELOW: 1}


def test_tiles_behind_a_gate_and_parts_that_the_gates_left_out_are_counted_apart():
    reports = [
        replace(report(0, TileOutcome.KEPT), gate="sea"),
        replace(report(1, TileOutcome.KEPT), gate="land"),
        replace(report(2, TileOutcome.KEPT), searched=(Window(row=0, col=80, height=24, width=17),)),
        replace(report(3, TileOutcome.KEPT), searched=(Window(row=-4, col=110, height=99, width=99),)),
    ]
    rules = RULES.model_copy(update={"share": 1.0, "most_units": 64})
    manifest = plan_audit(reports, [], summary=summary_of(3, tiles=4), rules=rules)
    counted = {stratum.kind: stratum.population for stratum in manifest.strata}
    assert counted == {DiscardKind.SEA_GATE: 6, DiscardKind.LAND_GATE: 6, DiscardKind.GATED_PART: 2}
    parts = [(unit.row, unit.col) for kind, unit in manifest.units if kind is DiscardKind.GATED_PART]
    assert parts == [(0, 112), (16, 112)], "the cells that share no pixel with what was searched"


def test_tiles_that_no_detector_can_search_are_no_discards():
    summary = summary_of(3, tiles=4).model_copy(update={"model": None})
    manifest = plan_audit([report(0, TileOutcome.SCREENED)], [], summary=summary, rules=RULES)
    assert manifest.strata == ()


def test_a_policy_without_audit_plans_none():
    assert (
        plan_audit([report(0, TileOutcome.CLOUD)], [candidate(0.2)], summary=summary_of(3, tiles=4), rules=AuditRules())
        is None
    )


def test_all_cells_lie_in_their_tile_and_a_candidate_in_the_middle_of_its_cell():
    rules = RULES.model_copy(update={"share": 1.0, "most_units": 64})
    candidates = [candidate(0.2, 20, 12), candidate(0.2, 158, 2)]
    manifest = plan_audit([report(2, TileOutcome.CLOUD)], candidates, summary=summary_of(3, tiles=4), rules=rules)
    cells = [(unit.row, unit.col) for kind, unit in manifest.units if kind is CLOUD]
    assert cells == [(row, col) for row in (0, 16) for col in (80, 96, 112)]
    assert [(unit.row, unit.col) for kind, unit in manifest.units if kind is BELOW] == [(4, 12), (0, 144)]


# ---- in a survey


def power_starved(*, seed=7, draw=0x1234):
    """A scene of six tiles of which the last three are not looked at."""
    pixels = sea(200, 300, seed=seed)
    paint_ship(pixels, 30, 40)
    energy = Allowing(Effort.DETECT, Effort.DETECT, Effort.DETECT, Effort.SKIP)
    survey = with_audit(Survey(energy=energy), RULES.model_copy(update={"seed": draw}))
    survey.of(frame_of(pixels))
    return pixels, survey


def test_the_picture_shows_the_cells_roughly_and_the_budget_is_kept():
    pixels, survey = power_starved()
    layer, manifest, image = audit_of(survey)
    decoded = ImageAssembly(nodata=None, payloads={0: image}).decode()
    assert decoded.pixels.shape == (4, 16 * len(manifest.units), 16) and 11 <= len(manifest.units) <= 12
    assert len(image) <= 128 * len(manifest.units) + 64
    assert layer.layer.rung is Rung.AUDIT and layer.layer.size_bytes == len(layer.payload) + 18
    assert layer.layer.value == pytest.approx(RULES.value * (1 + len(manifest.units)))
    for place, (_, unit) in enumerate(manifest.units):
        rows, columns = slice(unit.row, min(unit.row + 16, 200)), slice(unit.col, min(unit.col + 16, 300))
        assert rows.start >= 128, "only the lower tiles were not looked at"
        original = pixels[:, rows, columns].astype(float)
        shown = decoded.pixels[:, place * 16 : place * 16 + original.shape[1], : original.shape[2]]
        assert abs(shown.mean() - original.mean()) < 25 and np.abs(shown - original).mean() < 110


def test_the_same_scene_gives_the_same_bytes_and_another_seed_another_draw():
    first, again = (audit_of(power_starved()[1])[0].payload for _ in range(2))
    assert first == again
    assert audit_of(power_starved(seed=8)[1])[1] == audit_of(power_starved()[1])[1], "pixels have no say in the draw"
    assert audit_of(power_starved(draw=1)[1])[1].units != audit_of(power_starved()[1])[1].units


class UncertainDetector(BrightPixelDetector):
    """Sees a ship surely, and something beside it that it is less sure of."""

    def __init__(self):
        super().__init__()
        self.model = SimpleNamespace(bands=("B02",), classes=("ship",), label="unsure@1", threshold=0.5)

    def detect(self, pixels, band_names):
        sure = super().detect(pixels, band_names)
        beside = (one.shifted(0, 30) for one in sure)
        unsure = [
            Detection(class_id=0, confidence=0.3, corners_px=one.corners_px)
            for one in beside
            if 8 <= one.center_px[1] < pixels.shape[1] - 8
        ]
        return [*sure, *unsure]


def test_candidates_below_the_threshold_are_told_to_the_audit_alone():
    pixels = sea(200, 300)
    for x, y in ((30, 40), (200, 60)):
        paint_ship(pixels, x, y)
    survey = with_audit(Survey(detector=UncertainDetector()))
    scene = survey.of(frame_of(pixels))
    assert [round(one.confidence, 2) for one in scene.detections] == [0.75, 0.75] and len(scene.chips) == 2
    assert sum(tile.detections for tile in scene.tiles) == 2
    _, manifest, _ = audit_of(survey)
    (stratum,) = manifest.strata
    assert (stratum.kind, stratum.population, len(stratum.units)) == (BELOW, 2, 2)
    centres = sorted(unit.candidate.corners_px[0][0] + 6.5 for unit in stratum.units)
    assert centres == pytest.approx([30.5, 200.5], abs=0.1)


def test_without_an_audit_of_candidates_the_detector_decides_what_is_reported():
    pixels = sea(128, 128)
    paint_ship(pixels, 30, 40)
    survey = with_audit(Survey(detector=UncertainDetector()), RULES.model_copy(update={"shares": {}}))
    assert len(survey.of(frame_of(pixels)).detections) == 2


def test_nothing_is_audited_twice_after_a_restart():
    raw = RawStore(None, capacity_bytes=1 << 40)
    pixels = sea(200, 300)
    paint_ship(pixels, 30, 40)
    first = with_audit(Survey(raw, detector=UncertainDetector()))
    first.of(frame_of(pixels))
    again = with_audit(Survey(raw, detector=UncertainDetector()))
    again.of(frame_of(pixels))
    assert again.detector.shown == [], "what is sealed is not searched again"
    assert audit_of(again)[0] == audit_of(first)[0]
    kept = with_audit(Survey(raw, kept=frozenset({AUDIT_PRODUCT})))
    kept.of(frame_of(pixels))
    assert AUDIT_PRODUCT not in {product for batch in kept.products for product in batch}


def test_a_cell_that_cannot_be_read_is_invalid_and_the_others_come():
    pixels = sea(128, 256)
    energy = Allowing(Effort.SKIP)
    rules = RULES.model_copy(update={"share": 1.0, "most_units": 64, "cell_px": 64})
    survey = with_audit(Survey(energy=energy), rules)
    survey.of(frame_of(pixels, damaged=Window(row=70, col=130, height=2, width=2)))
    _, manifest, image = audit_of(survey)
    valid = ImageAssembly(nodata=None, payloads={0: image}).decode().valid.reshape(-1, 64, 64).all(axis=(1, 2))
    unreadable = [(unit.row, unit.col) for (_, unit), there in zip(manifest.units, valid, strict=True) if not there]
    assert len(manifest.units) == 8 and unreadable == [(64, 128)]


def test_open_sea_behind_the_gate_is_drawn_from():
    survey = with_audit(Survey(), RULES)
    scene = survey.of(frame_of(quiet_sea(), band_names=BANDS))
    assert [tile.gate for tile in scene.tiles] == ["sea", "sea"] and survey.detector.shown == []
    _, manifest, _ = audit_of(survey)
    assert [(stratum.kind, stratum.population) for stratum in manifest.strata] == [(DiscardKind.SEA_GATE, 128)]
    assert len(manifest.units) == 12


def test_what_a_whole_search_has_seen_is_no_discard():
    survey = with_audit(Survey(), RULES)
    scene = survey.of(frame_of(sea(128, 256)))
    assert all(tile.searched for tile in scene.tiles) and audit_of(survey)[1].strata == ()


def test_the_shipped_policy_audits_every_kind():
    rules = load_policy().audit
    assert all(rules.share_of(kind) > 0 for kind in DiscardKind)
    assert rules.searched_from == rules.lowest_confidence
    assert AuditRules().searched_from is None


def test_an_unknown_kind_is_refused_by_the_policy():
    with pytest.raises(ValueError, match="shares"):
        AuditRules.model_validate({"shares": {"fog": 0.1}})
