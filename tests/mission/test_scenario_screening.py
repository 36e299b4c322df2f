"""`[screening]` of a scenario reaches the screen of the pipeline."""

import numpy as np
import pytest

from downlink.scene import TileOutcome
from mission.errors import ScenarioError
from mission.pipeline_setup import pipeline_settings
from mission.scenario import load_scenario
from onboard.screening import screen


def test_what_may_be_snow_is_kept_where_the_scenario_says_so(tmp_path):
    path = tmp_path / "ice.toml"
    snow = np.random.default_rng(4).normal(8500, 200, (3, 64, 64)).astype(np.uint16)
    outcomes = []
    for text in ("", "[screening]\nkeep_what_may_be_snow = true\n", "[screening]\nmax_cloud_fraction = 1.0\n"):
        path.write_text(text)
        settings = pipeline_settings(load_scenario(path), "uint16").screening
        outcomes.append(screen(snow, np.ones((64, 64), bool), ("B02", "B03", "B04"), settings).outcome)
    assert outcomes == [TileOutcome.CLOUD, TileOutcome.KEPT, TileOutcome.KEPT]


def test_a_share_above_one_is_refused(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text("[screening]\nmax_cloud_fraction = 70\n")
    with pytest.raises(ScenarioError, match="max_cloud_fraction"):
        load_scenario(path)
