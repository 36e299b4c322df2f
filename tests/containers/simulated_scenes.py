"""What the simulation makes of the same scenes: flown in virtual time over a clean link, published, read back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.io import MemoryFile

from mission.flight import Flight
from mission.outcome import publish_scenes
from mission.pipeline_setup import ingest_settings, open_detector
from mission.scenario import load_scenario
from onboard.ingest import open_scene
from onboard.policy import load_policy

CLEAN_LINK = """
[mission]
start = 2026-03-01T00:00:00Z

[detector]
threads = 1

[power]
battery_capacity_wh = 500.0
initial_charge_fraction = 0.9

[contacts]
source = "list"

[[contact]]
aos_s = 100.0
duration_s = 600.0
downlink_bps = 10_000_000
uplink_bps = 1_000_000
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPixels:
    """A published scene as its COG holds it."""

    bands: np.ndarray
    """(count, height, width): the scene's bands, then the quality band."""
    mask: np.ndarray
    """(height, width), 255 where a pixel is valid."""

    @classmethod
    def of(cls, cog: bytes) -> "PublishedPixels":
        """Of a whole file. Raises RasterioIOError where it is no raster."""
        with MemoryFile(cog) as file, file.open() as dataset:
            return cls(bands=dataset.read(), mask=dataset.dataset_mask())

    def differences(self, other: "PublishedPixels") -> int:
        """Samples that are not the same; all of them where the shapes differ."""
        if self.bands.shape != other.bands.shape:
            return self.bands.size
        return int((self.bands != other.bands).sum() + (self.mask != other.mask).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedScene:
    """What one scene became."""

    published: PublishedPixels
    """By the simulated ground, from layers that are all delivered."""


def simulate_scenes(scenes: Mapping[str, Path], folder: Path) -> dict[str, SimulatedScene]:
    """Each scene, by name, flown in virtual time with the cores that the containers run; writes into `folder`."""
    file = folder / "clean_link.toml"
    file.write_text(CLEAN_LINK, encoding="utf-8")
    scenario = load_scenario(file)
    policy = load_policy(scenario.policy.file)
    detector = open_detector(scenario, searched_from=policy.audit.searched_from)
    simulated = {}
    for name, path in scenes.items():
        with open_scene(path, ingest_settings(scenario)) as frame:
            record = Flight(scenario=scenario, policy=policy, detector=detector, seed=0).fly([frame])
        if len(record.layer_store) != len(record.captured):
            raise AssertionError(f"{name}: {len(record.layer_store)} of {len(record.captured)} layers came down")
        if record.coding.waiting.tiles:
            raise AssertionError(f"{name}: {record.coding.waiting.tiles} tiles were not coded")
        (scene,) = publish_scenes(record, folder / name).values()
        simulated[name] = SimulatedScene(published=PublishedPixels.of(scene.cog.read_bytes()))
    return simulated
