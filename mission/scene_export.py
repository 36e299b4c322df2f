"""Scenes of a ground folder as files of ordinary formats: what `tianshu export` does (edge: files)."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from downlink.errors import LayerError
from downlink.journal import FileJournal
from downlink.products import FIRST_BLOCK, FIRST_CHIP, LayerAddress
from downlink.scene import SceneSummary
from ground.atomic_file import replace_file
from ground.cog import write_cog
from ground.journal_snapshot import JournalSnapshot
from ground.jp2_export import StoredCodestream, stored_codestream, write_jp2
from ground.quality import QualityStatistics
from ground.reconstruction import decoded_on_demand, fill_value, rebuild_windows
from ground.scene_layers import SceneLayers
from ground.scene_references import SceneReferences
from ground.store import LayerStore
from ground.waiting_images import WaitingImages
from mission.errors import RunError
from mission.run_folder import GROUND_JOURNALS

Format = Literal["jp2", "cog", "j2k"]
SUFFIXES: Final[dict[Format, str]] = {"jp2": ".jp2", "cog": ".tif", "j2k": ".j2k"}
EXPORT_FOLDER: Final = "export"
LAYER_JOURNALS: Final = (GROUND_JOURNALS[0], Path("layers.journal"))
"""Where a run has its layers on the ground, and where a ground service has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What to export."""

    folder: Path
    """Of a run, or the state folder of a ground service."""
    scene: int
    """Its number."""
    format: Format
    product: int | None = None
    """With j2k: the block or chip, by its product number."""
    to: Path | None = None
    """Where to write; None: into the folder `export` in `folder`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written, in words."""

    path: Path
    """The file."""
    notes: tuple[str, ...]
    """What a reader of the file must know, a line each."""


def export_scene(request: ExportRequest) -> Exported:
    """Write one scene, or one image of it. Never writes to the journal, so the ground may be at work.

    Raises RunError for a folder, scene, block or chip that is not there, and the errors of the rooms.
    """
    journal_file = layer_journal_file(request.folder)
    with closing(FileJournal(JournalSnapshot(journal_file))) as journal:
        store = LayerStore(journal)
        if request.scene not in store.scenes:
            held = ", ".join(map(str, store.scenes[:20])) or "none"
            raise RunError(f"{journal_file} holds nothing of scene {request.scene}; scenes held: {held}")
        if request.format == "j2k":
            return _export_codestream(request, SceneLayers.of(store, request.scene))
        return _export_pixels(request, store)


def layer_journal_file(folder: Path) -> Path:
    """The journal of what is on the ground, in the folder of a run or of a ground service. Raises RunError."""
    for name in LAYER_JOURNALS:
        if (folder / name).is_file():
            return folder / name
    wanted = " or ".join(str(name) for name in LAYER_JOURNALS)
    raise RunError(f"{folder} has no {wanted}: name the folder of a run, or the state folder of a ground service")


def _export_pixels(request: ExportRequest, store: LayerStore) -> Exported:
    layers, waiting = SceneLayers.of(store, request.scene), WaitingImages()
    summary = layers.summary()
    if summary is None:
        raise RunError(
            f"the summary of scene {request.scene} has not arrived: its images cannot be placed; export one with j2k"
        )
    images = layers.images(summary, SceneReferences(store).predict)
    windows = rebuild_windows(summary, decoded_on_demand(images, waiting))
    path = _path(request, f"scene-{request.scene}")
    if request.format == "cog":
        statistics, notes = write_cog(path, summary, windows), ["mask and quality inside"]
    else:
        exported = write_jp2(path, summary, windows)
        statistics, notes = exported.statistics, _masked_in_words(summary, exported.mask)
    if len(waiting):
        notes.append(f"{len(waiting)} images wait for a reference that the ground does not hold: left out")
    return Exported(path=path, notes=(_arrived_in_words(statistics), *notes))


def _export_codestream(request: ExportRequest, layers: SceneLayers) -> Exported:
    if request.product is None:
        raise RunError("j2k is the codestream of one image: name it with --block or --chip")
    payloads: list[bytes] = []
    while (step := LayerAddress(scene=request.scene, product=request.product, step=len(payloads))) in layers.payloads:
        payloads.append(layers.payloads[step])
    if not payloads:
        there = ", ".join(product_in_words(product) for product in _images_held(layers)[:20]) or "no image"
        raise RunError(
            f"the first step of {product_in_words(request.product)} of scene {request.scene} has not arrived; held: {there}"
        )
    name = product_in_words(request.product)
    try:
        stored = stored_codestream(payloads)
    except LayerError as error:
        raise RunError(f"{name} of scene {request.scene} has no codestream yet: {error}") from error
    path = _path(request, f"scene-{request.scene}-{name.replace(' ', '-')}")
    replace_file(path, stored.data)
    return Exported(path=path, notes=_codestream_in_words(stored))


def product_in_words(product: int) -> str:
    """ "block 3" or "chip 0", as the options count them."""
    return f"chip {product - FIRST_CHIP}" if product >= FIRST_CHIP else f"block {product - FIRST_BLOCK}"


def _images_held(layers: SceneLayers) -> list[int]:
    return sorted({one.product for one in layers.payloads if (one.is_block or one.is_chip) and one.step == 0})


def _path(request: ExportRequest, name: str) -> Path:
    return request.to or request.folder / EXPORT_FOLDER / f"{name}{SUFFIXES[request.format]}"


def _arrived_in_words(statistics: QualityStatistics) -> str:
    return (
        f"{100 * statistics.arrived_fraction:.1f} % of the pixels arrived, {100 * statistics.byte_exact_fraction:.1f} % "
        "are as on board to the last bit"
    )


def _masked_in_words(summary: SceneSummary, mask: Path | None) -> list[str]:
    if mask is None:
        return ["every pixel is valid"]
    return [f"masked pixels hold {fill_value(summary)}; which they are says {mask.name}"]


def _codestream_in_words(stored: StoredCodestream) -> tuple[str, ...]:
    header, shape = stored.header, stored.header.shape
    window = header.window
    sign = "signed" if shape.signed else "unsigned"
    notes = [
        f"rows {window.row} to {window.row_stop - 1}, columns {window.col} to {window.col_stop - 1} of the scene",
        f"{stored.steps} of {header.steps} steps, {shape.components} components of {shape.bits} bits, {sign}",
    ]
    if header.transform is not None:
        notes.append("the bands were transformed: the components are not the bands; export jp2 or cog for pixels")
    if header.reference is not None:
        notes.append("predicted from an earlier scene: the components are differences; export jp2 or cog for pixels")
    if stored.holds_pixels:
        notes.append("the components are the bands as they are")
    if header.valid is not None:
        notes.append("some pixels have no data: the mask is not in the codestream")
    return tuple(notes)
