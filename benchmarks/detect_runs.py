"""What one way of searching a scene is measured by, and the machine it is measured on."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from onboard.energy_prices import EnergyStep
from onboard.errors import MeterError
from onboard.meter import Meter, PowercapMeter

NEAR_PX = 4.0
"""Two detections are of one object when their centres lie so near."""


@dataclass(slots=True, kw_only=True)
class SearchRun:
    """One way of searching one scene, once, in a process of its own."""

    wall_s: float = 0.0
    """From the first byte read, or from prepared pixels where the way takes them, to merged detections."""
    cpu_s: float = 0.0
    """Of all threads."""
    energy_j: float | None = None
    """None where the machine has no counter that can be read."""
    network_px: int = 0
    """Pixels that the network saw, overlaps and halos included."""
    peak_bytes: int = 0
    """Resident memory of the process at its largest, the libraries included."""
    tiles: int = 0
    """Images given to the network."""
    found: list[tuple[float, float, float]] = field(default_factory=list)
    """Column, row, confidence of each detection."""
    note: str = ""
    """What a reader should know."""
    steps_s_per_mpix: dict[str, float] = field(default_factory=dict)
    """CPU seconds per million scene pixels, by step, where steps were told apart."""


@contextmanager
def measured(run: SearchRun) -> Iterator[None]:
    """Fill in what the body of the `with` takes."""
    meter = power_counter()
    finish = meter.begin(EnergyStep.DETECT, 0.0) if meter else None
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    run.wall_s, run.cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    run.energy_j = finish() if finish else None
    run.peak_bytes = _peak_bytes()


def _peak_bytes() -> int:
    """Of this process alone: `ru_maxrss` begins with what its parent held when it was started."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def power_counter() -> Meter | None:
    """The kernel's energy counters, None where there are none to read."""
    try:
        return PowercapMeter()
    except MeterError:
        return None


def recall(found: list[tuple[float, float, float]], wanted: list[tuple[float, float, float]]) -> float | None:
    """Share of `wanted` that have a detection at their place."""
    if not wanted:
        return None
    places = np.array([(x, y) for x, y, _ in found]).reshape(-1, 2)
    near = [
        bool(len(places)) and float(np.hypot(places[:, 0] - x, places[:, 1] - y).min()) < NEAR_PX for x, y, _ in wanted
    ]
    return float(np.mean(near))


def network_flop_per_px(path: Path) -> float:
    """Operations of the network per pixel of its input: twice the multiplications of its convolutions and matrix products.

    Counted in the graph of an OpenVINO IR for an image of 640 x 640.
    """
    import openvino

    model = openvino.Core().read_model(path)
    model.reshape([1, *(int(str(side)) for side in model.inputs[0].partial_shape[1:2]), 640, 640])
    return float(sum(_operations(node) for node in model.get_ops())) / 640**2


def _operations(node: Any) -> float:
    kind = node.get_type_name()
    if kind not in ("Convolution", "GroupConvolution", "MatMul"):
        return 0.0
    outputs = float(np.prod(list(node.output(0).get_shape())))
    if kind == "MatMul":
        return 2 * outputs * float(list(node.input(0).get_shape())[-1])
    weights = list(node.input(1).get_shape())
    return 2 * outputs * float(np.prod(weights[1:] if kind == "Convolution" else weights[2:]))


def _levels(low: float, high: float) -> list[np.ndarray]:
    """The range of a FakeQuantize, in and out."""
    return [np.array(bound, np.float32) for bound in (low, high, low, high)]


def ceiling_gflops(precision: str, *, threads: int) -> dict[str, float]:
    """Billion operations per second, of wall and of CPU time, of a large plain convolution: the engine's best on this machine."""
    import openvino
    import openvino.opset13 as ops

    side, channels = 96, 256
    image = ops.parameter([1, channels, side, side], np.float32)
    weights = np.random.default_rng(0).standard_normal((channels, channels, 3, 3)).astype(np.float32)
    layer: Any = image
    kernel: Any = weights
    if precision == "int8":  # what the engine makes integers of
        spread = float(np.abs(weights).max())
        kernel = ops.fake_quantize(ops.constant(weights), *_levels(-spread, spread * 127 / 128), 256)
    for _ in range(2):
        if precision == "int8":
            layer = ops.fake_quantize(layer, *_levels(0.0, 1.0), 256)
        layer = ops.relu(ops.convolution(layer, kernel, [1, 1], [1, 1], [1, 1], [1, 1]))
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }
    compiled = openvino.Core().compile_model(openvino.Model([layer], [image]), "CPU", settings)
    queue = openvino.AsyncInferQueue(compiled, threads)
    pixels = np.ones((1, channels, side, side), np.float32)
    operations = 2 * 2.0 * channels * channels * 9 * side * side
    best = {"per_s": 0.0, "per_cpu_s": 0.0}
    for _ in range(4):
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(threads):
            queue.start_async([pixels])
        queue.wait_all()
        spent = {"per_s": time.perf_counter() - start, "per_cpu_s": time.process_time() - cpu}
        best = {name: max(best[name], threads * operations / seconds / 1e9) for name, seconds in spent.items()}
    return best
