import numpy as np
import pytest

from onboard.training.calibrate import (
    compare_calibrations,
    fit_isotonic,
    fit_platt,
    leave_fold_out,
    operating_point,
)
from onboard.training.crossval import FOLDS, HeldOutPort, read_held_out, write_held_out
from onboard.training.evaluate import held_out_table, table_json, table_lines
from onboard.training.matching import JudgedDetection, calibration_error


def overconfident(count, seed, *, slope=0.5, intercept=-0.7):
    """Detections whose chance of being a hit is the sigmoid of slope * logit(score) + intercept."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.02, 0.98, count)
    chance = 1 / (1 + np.exp(-(slope * np.log(scores / (1 - scores)) + intercept)))
    hits = rng.random(count) < chance
    return tuple(JudgedDetection(score=float(s), hit=bool(h)) for s, h in zip(scores, hits, strict=True))


def ports(count=5, detections=300):
    return [
        HeldOutPort(port=f"port{index}", fold=index % 3, ships=120, judged=overconfident(detections, index))
        for index in range(count)
    ]


def test_platt_finds_the_slope_and_intercept_that_made_the_verdicts():
    fitted = fit_platt(overconfident(20_000, 1))
    assert (fitted.slope, fitted.intercept) == pytest.approx((0.5, -0.7), abs=0.06)


def test_platt_agrees_with_a_general_optimizer():
    optimize = pytest.importorskip("scipy.optimize")
    judged = overconfident(300, 2)
    logits = np.array([np.log(item.score / (1 - item.score)) for item in judged])
    hits = np.array([item.hit for item in judged])

    def loss(weights):
        value = weights[0] * logits + weights[1]
        return np.logaddexp(0, value).sum() - value[hits].sum() + 5e-4 * ((weights - (1, 0)) ** 2).sum()

    best = optimize.minimize(loss, (1.0, 0.0), tol=1e-10).x
    fitted = fit_platt(judged)
    assert (fitted.slope, fitted.intercept) == pytest.approx(tuple(best), abs=1e-3)


def test_platt_survives_verdicts_that_are_all_alike():
    all_hits = fit_platt([JudgedDetection(score=0.6, hit=True)] * 5)
    assert np.isfinite(all_hits.intercept) and all_hits.confidence_of(np.array([0.6]))[0] > 0.9


def test_isotonic_pools_what_is_out_of_order():
    verdicts = [(0.1, False), (0.2, True), (0.3, False), (0.6, True), (0.9, True)]
    step = fit_isotonic([JudgedDetection(score=s, hit=h) for s, h in verdicts])
    assert step(np.array([0.05, 0.1, 0.2, 0.35, 0.6, 1.0])) == pytest.approx([0, 0, 0.5, 0.5, 1, 1])


def test_calibration_brings_confidence_nearer_to_the_truth_on_folds_left_out():
    errors = compare_calibrations(ports())
    assert errors["platt"] < errors["raw"] / 2
    assert errors["isotonic"] < errors["raw"] / 2


def test_a_fold_does_not_teach_its_own_threshold():
    held_out = ports()
    _, thresholds = leave_fold_out(held_out)
    assert thresholds[1] == operating_point([port for port in held_out if port.fold != 1]).threshold
    calibrated, _ = leave_fold_out(held_out)
    assert {port.port for port in calibrated} == {port.port for port in held_out}
    assert calibration_error([item for port in calibrated for item in port.judged]) < 0.1


def test_verdicts_survive_the_file(tmp_path):
    held_out = ports(detections=7)
    for fold in range(3):
        write_held_out([port for port in held_out if port.fold == fold], tmp_path / f"held_out_{fold}.json")
    read = sorted(read_held_out(tmp_path), key=lambda port: port.port)
    assert [(p.port, p.fold, p.ships) for p in read] == [(p.port, p.fold, p.ships) for p in held_out]
    assert [[j.hit for j in p.judged] for p in read] == [[j.hit for j in p.judged] for p in held_out]
    assert read[0].judged[0].score == pytest.approx(held_out[0].judged[0].score, abs=1e-5)


def test_no_verdicts_is_an_error_with_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match="crossval"):
        read_held_out(tmp_path)


def test_the_table_pools_what_its_rows_say():
    table = held_out_table(ports())
    rows = [score for name, score in table.items() if name != "pooled"]
    for field in ("ships", "found", "hits"):
        assert getattr(table["pooled"], field) == sum(getattr(row, field) for row in rows)
    assert len(table_lines(table)) == 7
    assert '"pooled"' in table_json(table)


def test_every_port_is_tested_once():
    tested = [port for fold in FOLDS for port in fold]
    assert len(FOLDS) == 5 and len(tested) == len(set(tested)) == 10
