"""The pixels that the coding benchmark runs on: whole scenes in memory, with the objects known in them where labels are there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.coding_port import Pixels
from benchmarks.low_signal_scene import ArraySource
from downlink.errors import DownlinkError
from downlink.scene import SceneSummary, TileOutcome, Window
from ground.comparison import region_mask
from mission.pipeline_setup import PEAK_DN
from mission.truth import Truth, read_truth
from onboard.chips import cut_chips
from onboard.detection import Detection
from onboard.errors import OnboardError
from onboard.ingest import IngestSettings, open_scene
from onboard.policy import Policy
from onboard.sensor_frame import Mask, SensorFrame
from onboard.tiles import tile_grid

COLLECTIONS = ("s2_ships", "multitemporal", "clouds", "georef_samples")
"""Folders that a data folder without `images/` is searched for."""
NOT_IMAGES = ("mask", "scl", "ndvi", "corrupt", "nodata", "gcp")
"""Parts of the names of files that hold classes, flags or deliberate damage."""
TILE_PX = 512
"""Edge of a block."""
SMALLEST_SIDE_PX = 96
LARGEST_SAMPLES = 40_000_000
SPARSE_PX, SPARSE_STRIDE_PX = 640, 64
"""Edge of a cut of mostly sea, and the grid that its corner lies on."""
SPARSE_OBJECTS = 4
"""Most objects in such a cut."""
WATER_NIR = 0.06
"""Reflectance in near infrared below which a pixel is taken for water."""
RASTERS = (".tif", ".tiff", ".jp2")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingScene:
    """One scene."""

    collection: str
    """The folder it came from, with the folder inside that where there is one."""
    path: Path
    frame: SensorFrame
    """Over the pixels in memory."""
    pixels: Pixels
    valid: Mask
    truth: Truth | None
    """None where there are no labels."""
    regions: tuple[Window, ...]
    """Windows around the labelled objects, as the pipeline draws its chips."""

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def peak_dn(self) -> int:
        return PEAK_DN[self.frame.dtype]

    @property
    def sample_bits(self) -> int:
        """Bits that the largest valid sample needs: the depth that is really there."""
        return int(self.pixels.max(where=self.valid, initial=0)).bit_length()

    @property
    def region_mask(self) -> Mask:
        return region_mask(self.valid.shape, self.regions) & self.valid

    @property
    def summary(self) -> SceneSummary:
        """What the ground must know to place an image in the scene."""
        frame = self.frame
        return SceneSummary(
            scene=1,
            name=frame.name,
            captured_ms=0,
            acquired_ms=frame.captured_ms,
            height=frame.height,
            width=frame.width,
            dtype=frame.dtype,
            band_names=frame.band_names,
            nodata=frame.nodata,
            georeference=frame.georeference,
            peak_dn=self.peak_dn,
            tile_px=TILE_PX,
            tile_outcomes=(TileOutcome.SCREENED,) * len(tile_grid(frame.height, frame.width, tile_px=TILE_PX)),
            gsd_m=frame.gsd_m,
            footprint_lonlat=frame.footprint_lonlat,
            model=None,
            classes=(),
            policy="",
        )


def scenes_of(
    data: Path,
    policy: Policy,
    *,
    limit: int | None = None,
    crop_px: int | None = None,
    collections: Sequence[str] = COLLECTIONS,
    sparse: bool = False,
) -> list[CodingScene]:
    """Scenes of a folder with `images/` and perhaps `labels_obb/`, or of the collections in a folder of folders.

    `limit` takes so many of each collection, `crop_px` their upper left corner, `sparse` of each labelled scene the cut that has most
    water and some objects, but few. Files that the pipeline itself refuses
    (signed or floating samples, damage) are left out.
    """
    scenes = []
    for folder in [data] if (data / "images").is_dir() else [data / name for name in collections]:
        opened = (_opened(path, folder, policy, crop_px, sparse) for path in _images(folder))
        found = [scene for scene in opened if scene is not None]
        scenes += found[:limit]
    return scenes


def _images(folder: Path) -> Iterator[Path]:
    root = folder / "images" if (folder / "images").is_dir() else folder
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in RASTERS and not any(part in path.name.lower() for part in NOT_IMAGES):
            yield path


def _opened(path: Path, folder: Path, policy: Policy, crop_px: int | None, sparse: bool) -> CodingScene | None:
    labels = folder / "labels_obb" / f"{path.stem}.txt"
    try:
        with open_scene(path, IngestSettings(allow_no_crs=True)) as frame:
            if min(frame.height, frame.width) < SMALLEST_SIDE_PX:
                return None
            if frame.height * frame.width * len(frame.band_names) > LARGEST_SAMPLES:
                return None
            truth = read_truth(labels, frame, ("ship",)) if labels.is_file() else None
            height, width = min(frame.height, crop_px or frame.height), min(frame.width, crop_px or frame.width)
            cut: Window | None = Window(row=0, col=0, height=height, width=width)
            if sparse:
                cut = None if truth is None else _sparse_cut(frame, truth)
            if cut is None:
                return None
            pixels, valid = frame.read(cut), frame.valid(cut)
    except (OnboardError, DownlinkError):
        return None
    height, width = cut.height, cut.width
    if truth is not None:
        truth = _inside(truth, cut)
    return CodingScene(
        collection=_collection(path, folder),
        path=path,
        frame=replace(frame, source=ArraySource(pixels), height=height, width=width),
        pixels=np.ascontiguousarray(pixels),
        valid=valid,
        truth=truth,
        regions=_regions(truth, policy, height, width),
    )


def _collection(path: Path, folder: Path) -> str:
    inner = path.relative_to(folder).parts[:-1]
    return "/".join([folder.name, *(part for part in inner[:1] if part != "images")])


def _inside(truth: Truth, cut: Window) -> Truth:
    """The objects whose centre lies in the part of the scene that was read, in its pixels."""
    kept = _centres_inside(truth, cut)
    names = tuple(name for name, keep in zip(truth.class_names, kept, strict=True) if keep)
    return Truth(corners_px=truth.corners_px[kept] - (cut.col, cut.row), class_names=names)


def _centres_inside(truth: Truth, cut: Window) -> np.ndarray:
    centres = truth.corners_px.mean(axis=1) - (cut.col, cut.row)
    kept: np.ndarray = ((centres >= 0) & (centres < (cut.width, cut.height))).all(axis=1)
    return kept


def _sparse_cut(frame: SensorFrame, truth: Truth) -> Window | None:
    """The cut of a 16-bit scene with most water that has some objects, but few; None where none is half water and has them."""
    if "B08" not in frame.band_names or frame.dtype != "uint16":
        return None
    side_rows, side_cols = min(SPARSE_PX, frame.height), min(SPARSE_PX, frame.width)
    pixels = frame.read(Window(row=0, col=0, height=frame.height, width=frame.width))
    water = pixels[frame.band_names.index("B08")] < WATER_NIR * PEAK_DN["uint16"]
    cuts = [
        Window(row=row, col=col, height=side_rows, width=side_cols)
        for row in range(0, frame.height - side_rows + 1, SPARSE_STRIDE_PX)
        for col in range(0, frame.width - side_cols + 1, SPARSE_STRIDE_PX)
    ]
    few = [
        cut
        for cut in cuts
        if 1 <= _centres_inside(truth, cut).sum() <= SPARSE_OBJECTS and water[cut.slices].mean() >= 0.5
    ]
    return max(few, key=lambda cut: int(water[cut.slices].sum()), default=None)


def _regions(truth: Truth | None, policy: Policy, height: int, width: int) -> tuple[Window, ...]:
    if truth is None:
        return ()
    objects = []
    for corners in truth.corners_px:
        first, second, third, fourth = ((float(x), float(y)) for x, y in corners)
        objects.append(Detection(class_id=0, confidence=1.0, corners_px=(first, second, third, fourth)))
    chips = cut_chips(
        objects, height=height, width=width, margin_px=policy.chips.margin_px, largest_px=policy.chips.largest_px
    )
    return tuple(chip.window for chip in chips)
