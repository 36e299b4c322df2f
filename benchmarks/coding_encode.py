"""`python -m benchmarks.coding_encode --data DIR`: what coding an image into layers costs, part by part, beside OpenJPEG alone.

Every tile of 512 px in the scenes of a folder is coded as the policy codes blocks. Time is the processor's, one thread; a sample is one
band of one pixel. The parts are run again one by one, so that their sum need not be the whole. Figures of one run belong together: other
work on the machine slows all of them alike.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.coding_port import Pixels
from benchmarks.coding_scenes import CodingScene, scenes_of
from downlink.band_transform import fit_band_transform
from downlink.image_distortion import Distortion, DistortionMeter
from downlink.image_encoding import encode_image
from downlink.image_header import unpack_header
from downlink.image_layers import pixel_check, rebuilt_pixels
from downlink.jpeg2000 import codestream_shape, decode_layers, encode_layers, one_thread, tight_shape
from downlink.scene import Window
from mission.baselines import encode_jpeg2000
from onboard.policy import ImageInterest, load_policy
from onboard.tiles import tile_grid

TILE_PX = 512
Result = TypeVar("Result")


@dataclass(slots=True, kw_only=True)
class EncodingCost:
    """Sums over all tiles. Seconds are of the processor."""

    tiles: int = 0
    samples: int = 0
    raw_bytes: int = 0
    encode_image_s: float = 0.0
    """All of it, with the distortion of every step measured."""
    settled_s: float = 0.0
    """The same where steps behind the best useful quality of the policy are not measured."""
    fit_s: float = 0.0
    forward_s: float = 0.0
    openjpeg_encode_s: float = 0.0
    """The quality layers of the components."""
    openjpeg_decodes_s: float = 0.0
    """One of each step but the last."""
    distortion_s: float = 0.0
    """Inverse transform and squared error of the sampled rows, all steps."""
    check_s: float = 0.0
    openjpeg_alone_s: float = 0.0
    """The pixels as they are, one layer, no transform, default code-blocks: single-shot lossless."""
    layered_bytes: int = 0
    """All payloads of a tile."""
    header_bytes: int = 0
    single_shot_bytes: int = 0
    """One lossless JPEG 2000 codestream of each tile."""
    single_shot_transformed_bytes: int = 0
    """The same of the components, with the coefficients of the transform."""

    def clocked(self, part: str, run: Callable[[], Result]) -> Result:
        """What `run` returns; its time is added to a part."""
        start_s = time.process_time()
        result = run()
        setattr(self, part, getattr(self, part) + time.process_time() - start_s)
        return result


def measure(scenes: list[CodingScene], interest: ImageInterest, *, best_psnr_db: float) -> EncodingCost:
    """Code every whole tile of the scenes."""
    cost = EncodingCost()
    with one_thread():
        for scene in scenes:
            settled_mse = scene.peak_dn**2 / 10 ** (best_psnr_db / 10)
            for window, pixels, valid in _tiles(scene):
                _measure_tile(cost, scene, interest, settled_mse=settled_mse, window=window, pixels=pixels, valid=valid)
    return cost


def _tiles(scene: CodingScene) -> Iterator[tuple[Window, Pixels, np.ndarray]]:
    for tile in tile_grid(scene.frame.height, scene.frame.width, tile_px=TILE_PX, halo_px=0):
        window = tile.core
        if window.height == window.width == TILE_PX:
            rows, cols = window.slices
            yield window, np.ascontiguousarray(scene.pixels[:, rows, cols]), scene.valid[rows, cols].copy()


def _measure_tile(
    cost: EncodingCost,
    scene: CodingScene,
    interest: ImageInterest,
    *,
    settled_mse: float,
    window: Window,
    pixels: Pixels,
    valid: np.ndarray,
) -> None:
    def code(settled_mse: float) -> tuple[bytes, ...]:
        return encode_image(
            pixels,
            window,
            valid=valid,
            quality_percent=interest.quality_percent,
            levels=interest.levels,
            nodata=scene.frame.nodata,
            settled_mse=settled_mse,
        ).payloads

    payloads = cost.clocked("encode_image_s", lambda: code(0.0))
    cost.clocked("settled_s", lambda: code(settled_mse))
    _, packets = unpack_header(payloads[0])
    cost.tiles += 1
    cost.samples += pixels.size
    cost.raw_bytes += pixels.nbytes
    cost.layered_bytes += sum(map(len, payloads))
    cost.header_bytes += len(payloads[0]) - len(packets)
    _measure_parts(cost, pixels, valid, interest)


def _measure_parts(cost: EncodingCost, pixels: Pixels, valid: np.ndarray, interest: ImageInterest) -> None:
    percents = interest.quality_percent
    transform = cost.clocked("fit_s", lambda: fit_band_transform(pixels, valid))
    components = pixels if transform is None else cost.clocked("forward_s", partial(transform.forward, pixels))
    plain = codestream_shape(pixels, levels=interest.levels, qualities=len(percents))
    shape = tight_shape(components, plain)
    share = plain.bits / shape.bits
    scaled = [percent if percent == 100 else percent * share for percent in percents]
    layers = cost.clocked("openjpeg_encode_s", lambda: encode_layers(components, shape, scaled))
    meter = DistortionMeter(pixels, valid, None)
    for count in range(1, len(layers)):
        decoded = cost.clocked("openjpeg_decodes_s", partial(decode_layers, shape, layers[:count]))
        rows = partial(rebuilt_pixels, decoded[:, meter.rows], transform=transform, pixel_bits=plain.bits)
        cost.clocked("distortion_s", partial(_distortion, meter, rows))
    cost.clocked("check_s", lambda: pixel_check(pixels))
    single = cost.clocked(
        "openjpeg_alone_s", lambda: encode_jpeg2000(pixels, reversible=True, quality_percent=(100.0,))
    )
    cost.single_shot_bytes += len(single)
    once = encode_layers(components, replace(shape, qualities=1), (100.0,))
    cost.single_shot_transformed_bytes += len(once[0]) + (0 if transform is None else len(transform.pack()))


def _distortion(meter: DistortionMeter, rebuilt: Callable[[], Pixels]) -> Distortion:
    return meter.distortion(rebuilt())


def report(cost: EncodingCost) -> dict[str, float]:
    """The sums, and the speeds and ratios that follow from them."""

    def speed(seconds: float) -> float:
        return cost.samples / 1e6 / seconds

    return asdict(cost) | {
        "encode_image_msample_per_s": speed(cost.encode_image_s),
        "settled_msample_per_s": speed(cost.settled_s),
        "openjpeg_encode_msample_per_s": speed(cost.openjpeg_encode_s),
        "openjpeg_alone_msample_per_s": speed(cost.openjpeg_alone_s),
        "encode_image_per_openjpeg_alone": cost.encode_image_s / cost.openjpeg_alone_s,
        "settled_per_openjpeg_alone": cost.settled_s / cost.openjpeg_alone_s,
        "layered_per_single_shot": cost.layered_bytes / cost.single_shot_bytes,
        "layered_per_single_shot_transformed": cost.layered_bytes / cost.single_shot_transformed_bytes,
    }


def text(figures: dict[str, float]) -> str:
    """One line per figure."""
    return "\n".join(f"{name:40s} {value:14,.3f}" for name, value in figures.items())


def main() -> int:
    """Exit code 2 where there is no image in the folder."""
    parser = argparse.ArgumentParser(description="What coding an image into layers costs, part by part.")
    parser.add_argument("--data", type=Path, required=True, help="folder with images/, or a folder of such folders")
    parser.add_argument("--policy", type=Path, help="policy file whose blocks are coded")
    parser.add_argument("--limit", type=int, default=None, help="scenes of each collection")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    policy = load_policy(arguments.policy)
    scenes = scenes_of(arguments.data, policy, limit=arguments.limit)
    cost = measure(scenes, policy.blocks, best_psnr_db=policy.useful_psnr_db[1])
    if not cost.tiles:
        sys.stderr.write(f"no image of {TILE_PX} px or more in {arguments.data}\n")
        return 2
    figures = report(cost)
    sys.stdout.write((json.dumps(figures) if arguments.json else text(figures)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
