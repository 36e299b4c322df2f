"""Other ways of searching a scene with the same weights: SAHI, ultralytics tile by tile, and the bare engine on prepared tiles.

All are given pixels that are read and prepared already, as their users have to; ours starts from the file.
"""

import importlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detect_ours import SETTINGS, TILE_PX, fitted, network_file, warm_detector
from benchmarks.detect_runs import SearchRun, measured
from benchmarks.detect_scenes import picture_of
from onboard.detection import Corner, Detection
from onboard.detector import DetectorModel, TileDetector, read_model, verified_files
from onboard.detector_openvino import OpenVinoEngine
from onboard.engine_names import EngineName
from onboard.ingest import open_scene
from onboard.network_input import network_input
from onboard.seam_merge import away_from_edges, merge_seams
from onboard.sensor_frame import SensorFrame
from onboard.tiles import TileWindow, tile_grid
from onboard.torchvision_stand_in import install_torchvision_stand_in, keep_ultralytics_offline

SLICE_PX, OVERLAP = 512, 0.2
"""SAHI's slices where its user names none that fit the scene, and its overlap."""


def run_sahi_defaults(scene: Path, folder: Path) -> SearchRun:
    """SAHI's `get_sliced_prediction` on the checkpoint, all but the size of a slice left as it is."""
    _prepare_ultralytics()
    from sahi import AutoDetectionModel

    model = read_model(folder)
    weights = verified_files(folder, model, "ultralytics")[0]
    network = AutoDetectionModel.from_pretrained(
        model_type="ultralytics", model_path=str(weights), confidence_threshold=_min_score(model), device="cpu"
    )
    return _run_sahi(scene, model, network, "PyTorch as ultralytics sets it up", input_px=640)


def run_sahi_engine(scene: Path, folder: Path, *, threads: int, engine: EngineName | None = None) -> SearchRun:
    """SAHI's slicing and merging around our exported network, every slice on all threads."""
    _prepare_ultralytics()
    model = read_model(folder)
    opened = OpenVinoEngine(network_file(folder, engine), threads=threads, streams=1)
    return _run_sahi(scene, model, _sahi_model(model, opened), "slices as they are, not enlarged", input_px=SLICE_PX)


def run_ultralytics(scene: Path, folder: Path, *, exported: bool) -> SearchRun:
    """`YOLO.predict` on our tiles, the seams merged as ours are."""
    _prepare_ultralytics()
    ultralytics: Any = importlib.import_module("ultralytics")  # by name: what it exports differs between its versions

    model = read_model(folder)
    picture = picture_of(scene, model)
    with _openvino_folder(folder, model) as exported_folder:
        weights = exported_folder if exported else verified_files(folder, model, "ultralytics")[0]
        network = ultralytics.YOLO(str(weights), task="obb")

        def predict(window: np.ndarray) -> list[Detection]:
            # It takes pictures for blue, green, red.
            result = network.predict(
                np.ascontiguousarray(window[..., ::-1]), imgsz=window.shape[0], conf=_min_score(model), iou=0.7,
                max_det=1000, device="cpu", verbose=False, save=False,
            )[0].obb  # fmt: skip
            corners, scores = result.xyxyxyxy.double().numpy(), result.conf.double().numpy()
            return [
                Detection(class_id=0, confidence=float(score), corners_px=_corners(box))
                for box, score in zip(corners, scores, strict=True)
            ]

        return _tile_by_tile(picture, predict, model)


def run_bare(scene: Path, folder: Path, *, threads: int, engine: EngineName | None = None) -> SearchRun:
    """Our tiles, prepared and in memory, through the engine: nothing but the network. What float32 finds is what all are held against."""
    model = read_model(folder)
    path = network_file(folder, engine)
    with open_scene(scene) as frame:
        grid = tile_grid(frame.height, frame.width, tile_px=TILE_PX, halo_px=SETTINGS.halo_px)
        images = [
            network_input(
                frame.read_around(tile.core, tile.padded), frame.band_names, model.bands, kind=model.dn_to_input
            )
            for tile in grid
        ]
    images = [np.ascontiguousarray(fitted(image, model)[None]) for image in images]
    run, queue = SearchRun(note="prepared tiles, no decoding"), _queue(path, threads, images[0].shape)
    for image in images[:2]:
        queue.start_async([image])
    queue.wait_all()
    with measured(run):
        for image in images:
            queue.start_async([image], share_inputs=True)
        queue.wait_all()
    run.tiles, run.network_px = len(images), sum(image.shape[2] * image.shape[3] for image in images)
    detector = warm_detector(folder, threads=threads, engine=engine)
    with open_scene(scene) as frame:
        found = [_found_in(detector, frame, tile) for tile in grid]
    run.found = _centres(merge_seams([one for here in found for one in here]), (frame.height, frame.width))
    return run


def _prepare_ultralytics() -> None:
    keep_ultralytics_offline()
    install_torchvision_stand_in()


def _min_score(model: DetectorModel) -> float:
    return model.calibration.score_of(model.threshold)


def _run_sahi(scene: Path, model: DetectorModel, network: Any, note: str, *, input_px: int) -> SearchRun:
    from sahi.predict import get_prediction, get_sliced_prediction
    from sahi.slicing import get_slice_bboxes

    picture, run = picture_of(scene, model), SearchRun(note=note)
    get_prediction(picture[:SLICE_PX, :SLICE_PX], network)
    with measured(run):
        result = get_sliced_prediction(
            picture, network, slice_height=SLICE_PX, slice_width=SLICE_PX, verbose=0,
            overlap_height_ratio=OVERLAP, overlap_width_ratio=OVERLAP,
        )  # fmt: skip
    slices = get_slice_bboxes(
        image_height=picture.shape[0], image_width=picture.shape[1], slice_height=SLICE_PX, slice_width=SLICE_PX,
        auto_slice_resolution=False, overlap_height_ratio=OVERLAP, overlap_width_ratio=OVERLAP,
    )  # fmt: skip
    run.tiles = len(slices)
    run.network_px = run.tiles * input_px**2
    for one in result.object_prediction_list:
        left, top, right, bottom = one.bbox.to_xyxy()
        run.found.append(((left + right) / 2, (top + bottom) / 2, float(one.score.value)))
    return run


def _sahi_model(model: DetectorModel, engine: OpenVinoEngine) -> Any:
    """SAHI's port around our engine."""
    from sahi.models.base import DetectionModel
    from sahi.prediction import ObjectPrediction

    from onboard.rotated_boxes import corners_of

    class EngineModel(DetectionModel):  # type: ignore[misc,unused-ignore]
        def load_model(self) -> None:
            self.model = engine

        def perform_inference(self, image: np.ndarray) -> None:
            prepared = image.transpose(2, 0, 1).astype(np.float32) / 255
            height, width = prepared.shape[1:]
            multiple = model.input_multiple_px or model.input_px
            if max(height, width) > max(SLICE_PX, model.input_px):
                # The whole scene at once, which SAHI asks for after the slices, is made smaller by its own models.
                self._original_predictions = [np.empty((0, 6))]
                return
            below, beside = -height % multiple, -width % multiple
            filled = np.pad(prepared, ((0, 0), (0, below), (0, beside)), mode="edge")
            self._original_predictions = [engine.candidates(filled, self.confidence_threshold)]

        def _create_object_prediction_list_from_original_predictions(
            self, shift_amount_list: Any = None, full_shape_list: Any = None
        ) -> None:
            # One image at a time: SAHI gives its shift and shape bare, or as a list of one.
            shift, shape = (np.reshape(one, (-1, 2))[0].tolist() for one in (shift_amount_list, full_shape_list))
            boxes = self._original_predictions[0]
            made = []
            for corners, score in zip(corners_of(boxes[:, :5]), boxes[:, 5], strict=True):
                low, high = np.maximum(corners.min(axis=0), 0), corners.max(axis=0)
                made.append(
                    ObjectPrediction(
                        bbox=[*low.tolist(), *high.tolist()],
                        category_id=0,
                        category_name="ship",
                        score=float(score),
                        segmentation=[np.maximum(corners, 0).reshape(-1).tolist()],
                        shift_amount=shift,
                        full_shape=shape,
                    )
                )
            self._object_prediction_list_per_image = [made]

    return EngineModel(
        model_path="", confidence_threshold=_min_score(model), device="cpu", category_mapping={"0": "ship"}
    )


def _tile_by_tile(
    picture: np.ndarray, predict: Callable[[np.ndarray], list[Detection]], model: DetectorModel
) -> SearchRun:
    halo = SETTINGS.halo_px
    side = TILE_PX + 2 * halo
    height, width = picture.shape[:2]
    padded = np.pad(picture, ((halo, halo + TILE_PX), (halo, halo + TILE_PX), (0, 0)), mode="edge")
    predict(padded[:side, :side])
    run, found = SearchRun(), []
    with measured(run):
        for tile in tile_grid(height, width, tile_px=TILE_PX, halo_px=halo):
            top, left = tile.core.row, tile.core.col
            here = predict(padded[top : top + side, left : left + side])
            kept = away_from_edges(here, size_px=(side, side), margin_px=SETTINGS.edge_px)
            found += [one.shifted(tile.padded.col, tile.padded.row) for one in kept]
            run.tiles += 1
        merged = merge_seams(found)
    run.network_px = run.tiles * side**2
    run.found = _centres(merged, (height, width))
    return run


def _corners(box: np.ndarray) -> tuple[Corner, Corner, Corner, Corner]:
    first, second, third, fourth = ((float(x), float(y)) for x, y in box)
    return first, second, third, fourth


@contextmanager
def _openvino_folder(folder: Path, model: DetectorModel) -> Iterator[Path]:
    """The exported network as ultralytics names its folder and describes it."""
    with tempfile.TemporaryDirectory() as temporary:
        exported = Path(temporary) / "ship_openvino_model"
        exported.mkdir()
        for path in verified_files(folder, model, "openvino"):
            (exported / path.name).write_bytes(path.read_bytes())
        side = model.input_px
        described = {
            "task": "obb", "stride": 32, "batch": 1, "imgsz": [side, side], "channels": 3, "end2end": False,
            "names": dict(enumerate(model.classes)), "args": {"dynamic": model.input_multiple_px is not None},
            "dynamic": model.input_multiple_px is not None,
        }  # fmt: skip
        (exported / "metadata.yaml").write_text(json.dumps(described), encoding="utf-8")
        yield exported


def _queue(path: Path, threads: int, shape: tuple[int, ...]) -> Any:
    import openvino

    core = openvino.Core()
    network = core.read_model(path)
    if network.input(0).partial_shape.is_dynamic:
        network.reshape(list(shape))
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    return openvino.AsyncInferQueue(core.compile_model(network, "CPU", settings), threads + 1)


def _found_in(detector: TileDetector, frame: SensorFrame, tile: TileWindow) -> list[Detection]:
    """What a tile holds, in scene pixels."""
    pixels = frame.read_around(tile.core, tile.padded)
    found = detector.detect(pixels, frame.band_names)
    kept = away_from_edges(found, size_px=pixels.shape[1:], margin_px=SETTINGS.edge_px)
    return [one.shifted(tile.padded.col, tile.padded.row) for one in kept]


def _centres(found: list[Detection], size_px: tuple[int, int]) -> list[tuple[float, float, float]]:
    return [
        (*one.center_px, one.confidence)
        for one in found
        if 0 <= one.center_px[0] < size_px[1] and 0 <= one.center_px[1] < size_px[0]
    ]
