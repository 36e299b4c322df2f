"""CPU seconds per million scene pixels of each onboard step, and the joules they stand for: python -m benchmarks.energy_prices

Runs ingest, screening with the sea gate, keeping raw, detection and block coding, tile by tile as survey and coder do, over whole
scenes: the sample scenes, or those of --scenes. Every tile is searched and coded, whatever the gate or a contact would say. Prints what
`[power.prices]` should hold on this machine. CPU time, not wall time, so other work on the machine disturbs it little (a shared core's
caches still do).
"""

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from downlink.image_encoding import encode_image
from onboard.coding_forecast import forecast
from onboard.detector import Detector, load_detector
from onboard.ingest import IngestSettings, open_scene
from onboard.land_gate import LandGate
from onboard.policy import ImageInterest, load_policy
from onboard.raw_codec import decode_raw, encode_raw
from onboard.raw_store import RawStore
from onboard.screening import ScreeningSettings, screen
from onboard.sea_gate import SeaGate, may_hold_objects
from onboard.search_windows import begin_search, plan_search, windows_for
from onboard.tiles import tile_grid

ROOT = Path(__file__).resolve().parents[1]
HALO_PX = 32
EDGE_PX = 24
MOST_BYTES = 1 << 40


class CpuStopwatch:
    """CPU seconds of this process, by step."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = defaultdict(float)
        self._last_s = time.process_time()

    def lap(self, step: str) -> None:
        """Books the CPU time since the last lap under a step."""
        now_s = time.process_time()
        self.spent_s[step] += now_s - self._last_s
        self._last_s = now_s


def work_through(path: Path, watch: CpuStopwatch, detector: Detector | None, blocks: ImageInterest) -> float:
    """All steps over all tiles of one scene; gives its megapixels."""
    watch.lap("outside")
    with open_scene(path, IngestSettings()) as frame, TemporaryDirectory() as folder:
        store = RawStore(Path(folder), capacity_bytes=MOST_BYTES)
        watch.lap("ingest")
        for tile in tile_grid(frame.height, frame.width, halo_px=HALO_PX):
            padded = frame.read(tile.core, HALO_PX)
            valid = frame.valid(tile.core)
            watch.lap("ingest")
            core = np.ascontiguousarray(
                padded[:, HALO_PX : HALO_PX + tile.core.height, HALO_PX : HALO_PX + tile.core.width]
            )
            screen(core, valid, frame.band_names, ScreeningSettings())
            may_hold_objects(core, valid, frame.band_names, SeaGate())
            watch.lap("screen")
            data = encode_raw(core, valid)
            forecast(core, valid, blocks.quality_percent)
            store.put(1, tile.index, data)
            watch.lap("store")
            if detector is not None:
                search_whole(detector, padded, valid, frame.band_names)
                watch.lap("detect")
            raw, raw_valid = decode_raw(store.get(1, tile.index))
            encode_image(
                raw,
                tile.core,
                valid=raw_valid,
                quality_percent=blocks.quality_percent,
                levels=blocks.levels,
                nodata=frame.nodata,
            )
            store.drop(1, [tile.index])
            watch.lap("encode")
        return frame.height * frame.width / 1e6


def search_whole(detector: Detector, padded: np.ndarray, valid: np.ndarray, band_names: tuple[str, ...]) -> None:
    """Search all of a tile as the survey does where no gate leaves anything out: in windows of the sizes that it knows."""
    plan = plan_search(
        padded, valid, band_names, halo_px=HALO_PX, sea_gate=SeaGate(enabled=False), land_gate=LandGate(enabled=False)
    )
    size_px = (padded.shape[1], padded.shape[2])
    windows = windows_for(detector, plan, size_px, halo_px=HALO_PX)
    begin_search(detector, padded, band_names, windows, slack_px=HALO_PX - EDGE_PX)()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, nargs="*", default=sorted((ROOT / "sample_data").glob("*.tif")))
    parser.add_argument("--model", type=Path, help="model folder; without it the detector is left out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--core-w", type=float, default=4.0, help="watts of one busy core")
    arguments = parser.parse_args()
    if not arguments.scenes:
        sys.exit("no scene: give --scenes FILE.tif")
    detector = load_detector(arguments.model, threads=arguments.threads) if arguments.model else None
    blocks = load_policy().blocks
    work_through(arguments.scenes[0], CpuStopwatch(), detector, blocks)  # warms caches and lazy imports
    watch = CpuStopwatch()
    mpix = sum(work_through(path, watch, detector, blocks) for path in arguments.scenes)
    print(
        f"{len(arguments.scenes)} scenes, {mpix:.2f} Mpix, {arguments.threads} thread(s), {arguments.core_w} W per busy core"
    )
    print(f"{'step':10}{'CPU s/Mpix':>12}{'J/Mpix':>10}")
    for step in ("ingest", "screen", "store", "detect", "encode"):
        if step in watch.spent_s:
            seconds = watch.spent_s[step] / mpix
            print(f"{step:10}{seconds:12.4f}{seconds * arguments.core_w:10.3f}")


if __name__ == "__main__":
    main()
