"""Which block size: bytes at equal PSNR of the whole scene, what records and headers take of them, and the speed of coding.

A larger block has fewer edges, headers and records; a smaller one can be sent, valued and lost in finer pieces, and takes less
memory. On the first of every `SCENES_APART` scenes, in a ladder of even steps; speed and overhead are those of the policy's own ladder.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.coding_equal_psnr import Contender, JudgedContender
from benchmarks.coding_lossless_table import best_cpu_s
from benchmarks.coding_ours import EVEN_LADDER_PERCENT, block_windows, blocks_of, encode_windows, with_ladder
from benchmarks.coding_scenes import CodingScene
from downlink.image_header import unpack_header
from downlink.record import OVERHEAD_BYTES
from onboard.policy import Policy
from onboard.valuation import settled_mse

BLOCK_PX = (128, 256, 512, 1024)
BLOCKS_DB = (35.0, 40.0, 45.0)
SCENES_APART = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSize:
    """One scene in blocks of one size."""

    scene: str
    tile_px: int
    samples: int
    bytes_at: dict[str, int]
    """By decibels; only what the ladder can be set to."""
    lossless_bytes: int
    overhead_bytes: int
    """Headers of images and records, of all steps of the policy's ladder."""
    first_step_bytes: int
    """All first steps with their records: the least that shows the whole scene."""
    encode_s: float
    """CPU seconds, distortion measured as on board."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRow:
    """One block size over all scenes."""

    tile_px: int
    bytes_at: dict[str, int]
    """On the scenes that all sizes have a figure for."""
    lossless_bytes: int
    overhead_bytes: int
    first_step_bytes: int
    mpix_per_s: float
    """Million samples coded per CPU second."""


def block_sizes(scene: CodingScene, policy: Policy) -> list[BlockSize]:
    """One scene in every block size."""
    return [_block_size(scene, policy, tile_px) for tile_px in BLOCK_PX]


def _block_size(scene: CodingScene, policy: Policy, tile_px: int) -> BlockSize:
    layered = blocks_of(scene, with_ladder(policy.blocks, EVEN_LADDER_PERCENT), tile_px=tile_px)
    contender = Contender(name=f"{tile_px} px", knob=layered.knob, code=layered.code)
    found = JudgedContender(contender=contender, scene=scene).sizes("scene", BLOCKS_DB)
    windows, nodata, settled = block_windows(scene, tile_px), scene.frame.nodata, settled_mse(policy, scene.peak_dn)
    encode_s, images = best_cpu_s(
        lambda: encode_windows(
            scene.pixels, scene.valid, windows, interest=policy.blocks, nodata=nodata, settled_mse=settled
        ),
        2,
    )
    headers = [len(image.payloads[0]) - len(unpack_header(image.payloads[0])[1]) for image in images]
    records = sum(len(image.payloads) for image in images) * OVERHEAD_BYTES
    return BlockSize(
        scene=scene.name,
        tile_px=tile_px,
        samples=scene.pixels.size,
        bytes_at={f"{one.target_db:g}": one.bytes for one in found if one.bytes is not None},
        lossless_bytes=records + sum(len(payload) for image in images for payload in image.payloads),
        overhead_bytes=sum(headers) + records,
        first_step_bytes=sum(len(image.payloads[0]) + OVERHEAD_BYTES for image in images),
        encode_s=encode_s,
    )


def block_rows(sizes: Sequence[BlockSize]) -> list[BlockRow]:
    """By block size, smallest first."""
    common = {
        name: {
            scene
            for scene in {one.scene for one in sizes}
            if all(name in one.bytes_at for one in sizes if one.scene == scene)
        }
        for name in (f"{target_db:g}" for target_db in BLOCKS_DB)
    }
    rows = []
    for tile_px in sorted({one.tile_px for one in sizes}):
        some = [one for one in sizes if one.tile_px == tile_px]
        rows.append(
            BlockRow(
                tile_px=tile_px,
                bytes_at={
                    name: sum(one.bytes_at[name] for one in some if one.scene in scenes)
                    for name, scenes in common.items()
                    if scenes
                },
                lossless_bytes=sum(one.lossless_bytes for one in some),
                overhead_bytes=sum(one.overhead_bytes for one in some),
                first_step_bytes=sum(one.first_step_bytes for one in some),
                mpix_per_s=sum(one.samples for one in some) / 1e6 / max(sum(one.encode_s for one in some), 1e-9),
            )
        )
    return rows
