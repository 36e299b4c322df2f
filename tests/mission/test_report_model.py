"""report.json: its keys, and what it refuses to say."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mission.report_model import (
    ByteFigures,
    DetectionFigures,
    EnergyFigures,
    LatencyFigures,
    LedgerAccount,
    LedgerFigures,
    QualityFigures,
    RawTileAccount,
    Report,
    SavedFigures,
    ThroughputFigures,
)

PROMISED_KEYS = {
    "": {"schema", "seed", "scenes", "bytes", "saved", "detections", "quality", "latency_s", "energy_j", "throughput",
         "ledger"},
    "bytes": {"raw", "lossless", "lossy_equal_quality", "crops_only", "downlinked", "overhead"},
    "saved": {"vs_raw", "vs_lossless", "vs_lossy_equal_quality"},
    "detections": {"onboard", "delivered", "truth", "true_positive", "precision", "recall", "f1"},
    "quality": {"roi_psnr_db", "scene_psnr_db", "valid_fraction"},
    "latency_s": {"first_alert", "alerts_p50", "alerts_p90"},
    "energy_j": {"budget", "spent", "by_step"},
    "throughput": {"mpix_per_s", "wall_s"},
    "ledger": {"captured", "delivered", "queued", "evicted", "discarded", "reasons", "balanced"},
}  # fmt: skip
"""What users of report.json are promised; more may be added."""

MakeReport = Callable[..., Report]


def as_json(report: Report) -> dict[str, Any]:
    loaded = json.loads(report.to_json())
    assert isinstance(loaded, dict)
    return loaded


def test_every_promised_key_is_there(make_report: MakeReport) -> None:
    report = as_json(make_report())
    for part, keys in PROMISED_KEYS.items():
        assert keys <= set(report[part] if part else report)
    assert {"name", "bands", "height", "width", "dtype"} <= set(report["scenes"][0])
    assert report["schema"] == 1 and "schema_version" not in report


def test_golden_figures(make_report: MakeReport) -> None:
    report = as_json(make_report())
    assert report["bytes"]["downlinked"] == 3030
    assert report["saved"]["vs_raw"] == pytest.approx(1 - 3030 / 49152)
    assert report["quality"] == {
        "roi_valid_fraction": 0.875, "roi_psnr_db": None, "scene_psnr_db": 36.2, "valid_fraction": 0.75, "roi_lossless": True,
        "scene_lossless": False,
    }  # fmt: skip
    assert report["ledger"]["raw_bytes"]["balanced"] is True
    assert [contact["station"] for contact in report["contacts"]] == ["Kiruna", "Svalbard", "Punta Arenas"]


def test_what_is_written_is_read_back(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report()
    report.write(tmp_path / "report.json")
    assert Report.model_validate_json((tmp_path / "report.json").read_text()) == report
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.parametrize("not_finite", [math.nan, math.inf, -math.inf])
def test_no_figure_may_be_nan_or_infinite(make_report: MakeReport, not_finite: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        QualityFigures(roi_psnr_db=not_finite, scene_psnr_db=None, valid_fraction=1.0)
    with pytest.raises(ValidationError, match="finite"):
        ThroughputFigures(mpix_per_s=not_finite, wall_s=1.0)
    with pytest.raises(ValidationError, match="finite"):
        EnergyFigures(budget=1.0, spent=0.0, by_step={"detect": not_finite})
    text = make_report().to_json().replace('"wall_s": 0.004', f'"wall_s": {json.dumps(not_finite)}')
    with pytest.raises(ValidationError, match="finite"):
        Report.model_validate_json(text)


def test_an_unknown_key_is_refused(make_report: MakeReport) -> None:
    report = as_json(make_report())
    report["bytes"]["saved_by_magic"] = 1
    with pytest.raises(ValidationError, match="saved_by_magic"):
        Report.model_validate(report)


def test_a_saving_that_its_bytes_do_not_bear_out_is_refused(make_report: MakeReport) -> None:
    flattering = SavedFigures(vs_raw=0.99, vs_lossless=0.873, vs_lossy_equal_quality=0.567)
    with pytest.raises(ValidationError, match=r"saved.vs_raw is 0.99"):
        make_report(saved=flattering)


def test_a_baseline_not_measured_has_no_saving(make_report: MakeReport) -> None:
    sizes = ByteFigures(raw=49_152, lossless=None, lossy_equal_quality=0, crops_only=None, downlinked=3_030, overhead=0)
    report = make_report(bytes=sizes)
    assert report.saved.vs_lossless is None and report.saved.vs_lossy_equal_quality is None
    with pytest.raises(ValidationError, match="vs_lossless"):
        make_report(bytes=sizes, saved=report.saved.model_copy(update={"vs_lossless": 0.5}))


@given(raw=st.integers(1, 10**15), downlinked=st.integers(0, 10**15))
def test_savings_follow_from_bytes_even_when_more_was_sent(raw: int, downlinked: int) -> None:
    sizes = ByteFigures(
        raw=raw, lossless=raw, lossy_equal_quality=None, crops_only=0, downlinked=downlinked, overhead=0
    )
    saved = SavedFigures.of(sizes)
    assert saved.vs_raw is not None and (saved.vs_raw < 0) == (downlinked > raw)
    assert downlinked == pytest.approx(raw * (1 - saved.vs_raw), rel=1e-6, abs=1e-6 * raw)


@given(parts=st.lists(st.integers(0, 10**12), min_size=4, max_size=4), slip=st.sampled_from([-1, 0, 1]))
def test_the_balance_of_the_ledger_is_recomputed(parts: list[int], slip: int) -> None:
    captured = max(0, sum(parts) + slip)
    entries = dict(zip(("delivered", "queued", "evicted", "discarded"), parts, strict=True), captured=captured)
    account = LedgerAccount.model_validate(entries)
    assert account.balanced is (captured == sum(parts))
    assert LedgerAccount.model_validate({**entries, "balanced": account.balanced}) == account
    with pytest.raises(ValidationError, match="balanced says"):
        LedgerAccount.model_validate({**entries, "balanced": not account.balanced})


def test_a_ledger_balances_only_if_all_its_accounts_do() -> None:
    short = LedgerAccount(captured=9, delivered=5, queued=1, evicted=1, discarded=1)
    ledger = LedgerFigures(captured=4, delivered=4, queued=0, evicted=0, discarded=0, layer_bytes=short)
    assert ledger.adds_up and not ledger.balanced
    with pytest.raises(ValidationError, match="balanced says True"):
        LedgerFigures.model_validate_json(ledger.model_dump_json().replace('"balanced":false}', '"balanced":true}'))


@pytest.mark.parametrize(
    ("model", "figures", "complaint"),
    [
        (DetectionFigures, {"onboard": 3, "delivered": 4}, "4 detections delivered but only 3"),
        (DetectionFigures, {"onboard": 3, "delivered": 3, "recall": 0.5}, "need truth"),
        (DetectionFigures, {"onboard": 9, "delivered": 9, "truth": 2, "true_positive": 3}, "exceeds truth 2"),
        (QualityFigures, {"roi_psnr_db": 80.0, "roi_lossless": True, "scene_psnr_db": None, "valid_fraction": 1},
         "roi is lossless"),
        (QualityFigures, {"roi_psnr_db": None, "scene_psnr_db": None, "valid_fraction": 1.01}, "less than or equal to 1"),
        (EnergyFigures, {"budget": 5, "spent": 3, "by_step": {"detect": 1, "screen": 1}}, "add up to 2 J"),
        (LatencyFigures, {"first_alert": -1, "alerts_p50": None, "alerts_p90": None}, "greater than or equal to 0"),
        (ByteFigures, {"raw": 1, "lossless": 1, "lossy_equal_quality": 1, "crops_only": 1, "downlinked": 5,
                       "overhead": 6}, "overhead 6 B exceeds downlinked 5 B"),
        (ByteFigures, {"raw": 1.5, "lossless": 1, "lossy_equal_quality": 1, "crops_only": 1, "downlinked": 5,
                       "overhead": 0}, "integer"),
    ],
)  # fmt: skip
def test_figures_that_contradict_each_other_are_refused(model: Any, figures: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        model(**figures)


def test_the_contacts_carry_what_was_downlinked(make_report: MakeReport) -> None:
    contacts = make_report().contacts
    with pytest.raises(ValidationError, match=r"contacts sent 2020 B, bytes\.downlinked says 3030 B"):
        make_report(contacts=contacts[:2])


def test_the_books_of_raw_tiles_must_add_up() -> None:
    account = RawTileAccount(kept=7, coded=2, waiting=3, discarded=1, damaged=1)
    assert RawTileAccount.model_validate_json(account.model_dump_json()) == account
    with pytest.raises(ValidationError, match=r"8 kept raw, but 2 coded . 3 waiting . 1 discarded . 1 damaged are 7"):
        RawTileAccount(kept=8, coded=2, waiting=3, discarded=1, damaged=1)
