"""The lossless part of the coding benchmark: bytes and speed of every codec on the same scenes, in one thread."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from benchmarks.coding_ours import block_windows, decode_steps, encode_windows, rebuilt
from benchmarks.coding_port import Absent, Codec, Pixels
from benchmarks.coding_scenes import TILE_PX, CodingScene
from benchmarks.coding_search import Search
from downlink.record import OVERHEAD_BYTES
from downlink.scene import encode_summary
from onboard.policy import Policy
from onboard.valuation import settled_mse

OURS, ALL = "ours", "all"
SPEED_PERCENT = 1.0
SPEED_TOLERANCE = 0.2
SPEED_EVERY = 3
"""Lossy codecs are timed on every third scene: some take a minute for one."""
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class LosslessRow:
    """One codec over all scenes of a collection."""

    codec: str
    collection: str
    bytes: int
    """Of all scenes together."""
    bits_per_sample: float
    """Per pixel and band."""
    bits_per_pixel: float
    """Of all bands together."""
    raw_ratio: float
    """Raw bytes over coded bytes."""
    mpix_per_s: float
    """Million samples (pixels times bands) coded per CPU second, the best of the rounds."""
    decode_mpix_per_s: float
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedRow:
    """One codec over all scenes, million samples per CPU second."""

    codec: str
    mpix_per_s: float
    decode_mpix_per_s: float
    percent_of_raw: float
    """What its files measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One scene through one codec."""

    size_bytes: int
    encode_s: float
    """CPU seconds, best of the rounds."""
    decode_s: float


def lossless_rows(
    scenes: Sequence[CodingScene], codecs: Sequence[Codec | Absent], policy: Policy, *, rounds: int
) -> list[LosslessRow]:
    """Ours and every codec over all scenes, then by collection. Raises ValueError where pixels do not come back exactly."""
    ours_note = f"blocks of {TILE_PX} px, {len(policy.blocks.quality_percent)} steps, records and summary"
    timed = {OURS: ([_time_ours(scene, policy, rounds) for scene in scenes], ours_note)}
    for codec in codecs:
        if isinstance(codec, Codec):
            timed[codec.name] = ([_time_codec(codec, scene.pixels, rounds) for scene in scenes], codec.note)
    rows = [_row(name, ALL, scenes, times, note) for name, (times, note) in timed.items()]
    collections = dict.fromkeys(scene.collection for scene in scenes)
    for collection in collections if len(collections) > 1 else ():
        places = [place for place, scene in enumerate(scenes) if scene.collection == collection]
        chosen = [scenes[place] for place in places]
        rows += [
            _row(name, collection, chosen, [times[place] for place in places], note)
            for name, (times, note) in timed.items()
        ]
    return rows


def speed_rows(
    scenes: Sequence[CodingScene], codecs: Sequence[Codec], policy: Policy, *, rounds: int
) -> list[SpeedRow]:
    """Lossy codecs at about `SPEED_PERCENT` of the raw bytes; ours codes every layer and measures distortion as on board.

    On the first of every `SPEED_EVERY` scenes.
    """
    scenes = scenes[::SPEED_EVERY]
    samples = sum(scene.pixels.size for scene in scenes)
    times = {OURS: [_time_ours(scene, policy, rounds) for scene in scenes]}
    for codec in codecs:
        times[codec.name] = [_time_lossy(codec, scene.pixels, rounds) for scene in scenes]
    return [
        SpeedRow(
            codec=name,
            mpix_per_s=samples / 1e6 / max(sum(one.encode_s for one in some), 1e-9),
            decode_mpix_per_s=samples / 1e6 / max(sum(one.decode_s for one in some), 1e-9),
            percent_of_raw=100 * sum(one.size_bytes for one in some) / sum(scene.pixels.nbytes for scene in scenes),
        )
        for name, some in times.items()
    ]


def _time_lossy(codec: Codec, pixels: Pixels, rounds: int) -> Timed:
    if codec.knob is None:
        raise ValueError(f"{codec.name} is lossless: it has no setting to search")
    search = Search(measure=lambda knob: math.log(len(codec.encode(pixels, knob))), knob=codec.knob)
    found = search.bracket(math.log(pixels.nbytes * SPEED_PERCENT / 100), SPEED_TOLERANCE)
    knob = found.above if found.above is not None else codec.knob.high
    encode_s, data = best_cpu_s(lambda: codec.encode(pixels, knob), rounds)
    decode_s, _ = best_cpu_s(lambda: codec.decode(data), rounds)
    return Timed(size_bytes=len(data), encode_s=encode_s, decode_s=decode_s)


def _row(name: str, collection: str, scenes: Sequence[CodingScene], timed: Sequence[Timed], note: str) -> LosslessRow:
    samples = sum(scene.pixels.size for scene in scenes)
    size_bytes = sum(one.size_bytes for one in timed)
    return LosslessRow(
        codec=name,
        collection=collection,
        bytes=size_bytes,
        bits_per_sample=8 * size_bytes / samples,
        bits_per_pixel=8 * size_bytes / sum(scene.valid.size for scene in scenes),
        raw_ratio=sum(scene.pixels.nbytes for scene in scenes) / size_bytes,
        mpix_per_s=samples / 1e6 / max(sum(one.encode_s for one in timed), 1e-9),
        decode_mpix_per_s=samples / 1e6 / max(sum(one.decode_s for one in timed), 1e-9),
        note=note,
    )


def _time_codec(codec: Codec, pixels: Pixels, rounds: int) -> Timed:
    encode_s, data = best_cpu_s(lambda: codec.encode(pixels, 0.0), rounds)
    decode_s, decoded = best_cpu_s(lambda: codec.decode(data), rounds)
    if not np.array_equal(decoded, pixels):
        raise ValueError(f"{codec.name} did not give back pixels of shape {pixels.shape} exactly")
    return Timed(size_bytes=len(data), encode_s=encode_s, decode_s=decode_s)


def _time_ours(scene: CodingScene, policy: Policy, rounds: int) -> Timed:
    windows, nodata, settled = block_windows(scene), scene.frame.nodata, settled_mse(policy, scene.peak_dn)
    encode_s, images = best_cpu_s(
        lambda: encode_windows(
            scene.pixels, scene.valid, windows, interest=policy.blocks, nodata=nodata, settled_mse=settled
        ),
        rounds,
    )

    def decode() -> Pixels:
        decoded = [image for one in images if (image := decode_steps(one.payloads, nodata)) is not None]
        return rebuilt(scene.summary, decoded)

    decode_s, pixels = best_cpu_s(decode, rounds)
    if not np.array_equal(pixels, scene.pixels):
        raise ValueError(f"our layers did not give back scene {scene.name} exactly")
    size_bytes = sum(OVERHEAD_BYTES + len(payload) for image in images for payload in image.payloads)
    size_bytes += OVERHEAD_BYTES + len(encode_summary(scene.summary))
    return Timed(size_bytes=size_bytes, encode_s=encode_s, decode_s=decode_s)


def best_cpu_s(work: Callable[[], Result], rounds: int) -> tuple[float, Result]:
    """CPU seconds of the fastest of some rounds, all threads counted, and the result of the last."""
    times = []
    for _ in range(rounds):
        started_s = time.process_time()
        result = work()
        times.append(time.process_time() - started_s)
    return min(times), result
