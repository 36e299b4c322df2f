"""The discard audit on the ground: who judges a unit, what a verdict file may say, what `tianshu audit` prints."""

import json
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio

from downlink.alerts import AlertDetection
from downlink.audit_sample import AuditManifest, AuditStratum, AuditUnit, DiscardKind, encode_audit
from downlink.image_encoding import encode_image
from downlink.journal import FileJournal
from downlink.products import AUDIT_PRODUCT, SUMMARY_PRODUCT, LayerAddress
from downlink.record import Record, RecordKind
from downlink.scene import Georeference, SceneSummary, TileOutcome, Window, encode_summary
from ground.discard_audit import Judge, Verdict
from ground.store import LayerStore
from mission.audit_figures import KnownScene, judged_audit, unjudged_audit, with_verdicts
from mission.audit_judges import Reported, audits_of, judged_by_detector, judged_by_truth
from mission.audit_verdicts import VERDICTS_FILE, read_verdicts, write_verdicts
from mission.cli import main
from mission.errors import RunError, VerdictError
from mission.report_audit import audit_section, notes_of
from mission.truth import Truth
from onboard.detection import Detection
from onboard.errors import DetectorInputError

CELL_PX, TILE_PX = 32, 128
CLOUD, SEA, BELOW = DiscardKind.CLOUD, DiscardKind.SEA_GATE, DiscardKind.BELOW_THRESHOLD
OBJECT_DN = 9000


def box(x, y, length=12.0, width=4.0):
    left, top = x - length / 2, y - width / 2
    return ((left, top), (left + length, top), (left + length, top + width), (left, top + width))


def alert(x, y, confidence=0.2):
    return AlertDetection(class_id=0, confidence=confidence, corners_px=box(x, y))


UNITS = {
    CLOUD: (AuditUnit(row=0, col=0), AuditUnit(row=32, col=96)),
    SEA: (AuditUnit(row=128, col=0), AuditUnit(row=160, col=64)),
    BELOW: (
        AuditUnit(row=44, col=144, candidate=alert(160, 60)),
        AuditUnit(row=84, col=184, candidate=alert(200, 100)),
    ),
}
MANIFEST = AuditManifest(
    cell_px=CELL_PX,
    strata=tuple(
        AuditStratum(kind=kind, population=population, share=len(units) / population, units=units)
        for (kind, units), population in zip(UNITS.items(), (32, 16, 8), strict=True)
    ),
)


def summary_of(scene, **fields):
    known = {
        "scene": scene, "name": f"scene {scene}", "captured_ms": 1, "acquired_ms": None, "height": 256, "width": 256, "dtype": "uint16",
        "band_names": ("B04", "B03", "B08"), "nodata": None, "georeference": Georeference(crs_wkt=None, transform=(1, 0, 0, 0, -1, 0)),
        "peak_dn": 10_000, "tile_px": TILE_PX, "tile_outcomes": (TileOutcome.CLOUD,) * 4, "gsd_m": None, "footprint_lonlat": None,
        "model": "m@1", "classes": ("ship",), "policy": "p",
    }  # fmt: skip
    return SceneSummary(**known | fields)


def pixels_with(*points):
    pixels = np.full((3, 256, 256), 400, np.uint16) + np.arange(256, dtype=np.uint16) % 5
    for x, y in points:
        pixels[:, y, x] = OBJECT_DN
    return pixels


def layer(scene, product, payload):
    return Record(kind=RecordKind.LAYER, address=LayerAddress(scene=scene, product=product, step=0), payload=payload)


def records_of(scene, pixels, manifest=MANIFEST, **fields):
    cells = [pixels[:, unit.row : unit.row + CELL_PX, unit.col : unit.col + CELL_PX] for _, unit in manifest.units]
    column = np.concatenate(cells, axis=1)
    window = Window(row=0, col=0, height=column.shape[1], width=CELL_PX)
    image = encode_image(
        column, window, valid=np.ones(column.shape[1:], bool), quality_percent=(30, 100), levels=2, nodata=None
    )
    return [
        layer(scene, SUMMARY_PRODUCT, encode_summary(summary_of(scene, **fields))),
        layer(scene, AUDIT_PRODUCT, encode_audit(manifest, image.payloads[0])),
    ]


@pytest.fixture
def folder(tmp_path):
    """A ground service that holds two scenes with their audit, and a third without."""
    with closing(FileJournal(tmp_path / "layers.journal")) as journal:
        store = LayerStore(journal)
        store.add(records_of(1, pixels_with((10, 20), (70, 170))))
        store.add(records_of(2, pixels_with()))
        store.add([layer(3, SUMMARY_PRODUCT, encode_summary(summary_of(3)))])
    return tmp_path


@pytest.fixture
def store(folder):
    with closing(FileJournal(folder / "layers.journal")) as journal:
        yield LayerStore(journal)


class BrightDetector:
    """Names every bright pixel."""

    def __init__(self, bands=("B08",), side=150):
        self.model = SimpleNamespace(bands=bands, classes=("ship",), label="bright@1", input_px=side)
        self.sides = []

    def detect(self, pixels, band_names):
        if not set(self.model.bands) <= set(band_names):
            raise DetectorInputError("bands", present=band_names, needed=self.model.bands)
        self.sides.append(pixels.shape[1:])
        return [
            Detection(class_id=0, confidence=0.3, corners_px=box(x + 0.5, y + 0.5))
            for y, x in zip(*np.nonzero(pixels[2] > 4000), strict=True)
        ]


def truth_of(*centres):
    return Truth(
        corners_px=np.array([box(*one) for one in centres]).reshape(-1, 4, 2), class_names=("ship",) * len(centres)
    )


NOTHING = Reported.of([])

# ---- judges


def test_truth_finds_what_was_not_reported_in_cells_and_candidates(store):
    audit = audits_of(store)[0]
    truth = truth_of((10, 20), (14, 28), (31.9, 5), (32.1, 5), (160, 60), (80, 180))
    verdicts = judged_by_truth(audit, truth, Reported.of([alert(80, 180, 0.9)]))
    assert [verdicts[1, unit].objects for unit in range(6)] == [3, 0, 0, 0, 1, 0]
    assert {one.judge for one in verdicts.values()} == {Judge.TRUTH}


def test_the_detector_of_the_ground_looks_at_the_cells_and_leaves_candidates_to_people(store):
    audit = audits_of(store)[0]
    detector = BrightDetector()
    verdicts = judged_by_detector(audit, detector, [], dn_offset=0)
    assert {name: one.objects for name, one in verdicts.items()} == {(1, 0): 1, (1, 1): 0, (1, 2): 0, (1, 3): 1}
    assert all(max(side) <= 150 for side in detector.sides) and len(detector.sides) == 1
    reported = judged_by_detector(audit, detector, [alert(10, 20)], dn_offset=0)
    assert reported[1, 0].objects == 0, "what is reported is not missed"


def test_a_sheet_is_no_larger_than_the_network_takes(store):
    audit = audits_of(store)[0]
    small = BrightDetector(side=70)
    assert judged_by_detector(audit, small, [], dn_offset=0) == judged_by_detector(
        audit, BrightDetector(), [], dn_offset=0
    )
    assert small.sides == [(64, 64)] * 4


def test_a_detector_that_cannot_read_the_bands_judges_nothing(store):
    assert judged_by_detector(audits_of(store)[0], BrightDetector(bands=("B11",)), [], dn_offset=0) == {}


def test_the_truth_of_a_scene_goes_before_the_detector_and_figures_follow(store):
    known = {
        1: KnownScene(detections=(), truth=None),
        2: KnownScene(detections=(), truth=truth_of((10, 20), (200, 100))),
    }
    figures = judged_audit(store, known, BrightDetector(), dn_offset=0).figures
    assert figures.judged_by == {"detector": 4, "truth": 6} and figures.awaiting == 2
    assert (figures.scenes, figures.scenes_without) == (2, 1)
    cloud, sea, below = (figures.by_kind[name] for name in ("cloud", "sea_gate", "below_threshold"))
    assert (cloud.population, cloud.drawn, cloud.judged, cloud.missed) == (64, 4, 4, 2)
    assert (sea.judged, sea.missed, below.judged, below.missed) == (4, 1, 2, 1)
    # Half of the cells of 64 under cloud and a quarter of the 32 behind the gate.
    assert figures.cells.rate == pytest.approx((0.5 * 64 + 0.25 * 32) / 96)
    assert figures.cells.objects == pytest.approx(40)


# ---- verdicts


def test_verdicts_are_read_back_and_a_persons_go_first(folder, store):
    judged = unjudged_audit(store)
    assert judged.figures.awaiting == 12 and judged.figures.cells.rate is None
    said = {(1, 0): Verdict(objects=2, judge=Judge.DETECTOR), (2, 5): Verdict(objects=0, judge=Judge.TRUTH)}
    path = folder / "said.json"
    write_verdicts(path, judged.audits, said)
    drawn = frozenset((scene, unit) for scene in (1, 2) for unit in range(6))
    assert read_verdicts(path, drawn) == said
    sheet = json.loads(path.read_text())
    assert len(sheet["units"]) == 12 and sheet["units"][1] == {
        "scene": 1, "unit": 1, "objects": None, "judge": None, "kind": "cloud", "row": 32, "col": 96
    }  # fmt: skip
    (folder / "person.csv").write_text("scene,unit,objects,remark\n1,0,0,a roof\n1,1,,\n2,3,1,\n")
    person = read_verdicts(folder / "person.csv", drawn)
    assert person == {(1, 0): Verdict(objects=0, judge=Judge.PERSON), (2, 3): Verdict(objects=1, judge=Judge.PERSON)}
    assert with_verdicts(with_verdicts(judged, said), person).verdicts[1, 0].objects == 0


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("v.json", "{", "cannot be used"),
        ("v.json", '{"schema": 2, "units": []}', "schema"),
        ("v.json", '{"schema": 1, "units": [{"scene": 1, "unit": 0, "objects": -1}]}', "units.0.objects"),
        ("v.json", '{"schema": 1, "units": [{"scene": 9, "unit": 0}]}', "entry 1: unit 0 of scene 9 was never drawn"),
        ("v.csv", "scene,unit\n1,0\n", "no column objects"),
        ("v.csv", "scene,unit,objects\n1,0,1\n1,0,2\n", "line 3: a second verdict"),
        ("v.csv", "scene,unit,objects\n1,zero,1\n", "line 2: unit"),
        ("v.csv", "scene,unit,objects\n1,77,1\n", "line 2: unit 77 of scene 1 was never drawn"),
    ],
)
def test_a_verdict_file_that_cannot_be_used_is_refused_with_its_place(tmp_path, name, text, told):
    (tmp_path / name).write_text(text)
    with pytest.raises(VerdictError, match=told):
        read_verdicts(tmp_path / name, frozenset({(1, 0), (1, 1)}))


def test_a_verdict_file_that_is_not_there(tmp_path):
    with pytest.raises(VerdictError, match="cannot read verdicts"):
        read_verdicts(tmp_path / "none.json", frozenset())


# ---- the command


def test_the_command_reads_the_folder_and_the_verdicts(folder, capsys):
    assert main(["audit", str(folder), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["awaiting"] == 12 and figures["by_kind"]["cloud"]["rate"] is None
    rows = [f"{scene},{unit},{int((scene, unit) == (1, 0))}" for scene in (1, 2) for unit in range(6)]
    (folder / "said.csv").write_text("\n".join(["scene,unit,objects", *rows]))
    assert main(["audit", str(folder), "--verdicts", str(folder / "said.csv"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["judged_by"] == {"person": 12} and figures["awaiting"] == 0
    assert figures["by_kind"]["cloud"]["rate"] == 0.25 and figures["by_kind"]["sea_gate"]["at_most"] == pytest.approx(
        0.527, abs=1e-3
    )


def test_a_review_folder_holds_a_picture_of_every_unit_and_the_sheet(folder, capsys):
    assert main(["audit", str(folder), "--review", str(folder / "review")]) == 0
    assert "12 units awaiting review" in capsys.readouterr().out
    pictures = sorted((folder / "review").glob("*.png"))
    assert len(pictures) == 12 and pictures[0].name == "scene-1-unit-0-cloud.png"
    with rasterio.open(pictures[0]) as shown:
        picture = shown.read()
    assert picture.shape == (3, 4 * CELL_PX, 4 * CELL_PX)
    y, x = np.unravel_index(picture.sum(axis=0, dtype=int).argmax(), picture.shape[1:])
    assert abs(x / 4 - 10.5) < 1 and abs(y / 4 - 20.5) < 1, "the object is where it was"
    assert (folder / "review" / VERDICTS_FILE).is_file()


def test_a_folder_without_an_audit_says_so(tmp_path, capsys):
    with pytest.raises(RunError, match="name the folder of a run"):
        __import__("mission.audit_review", fromlist=["read_audit"]).read_audit(tmp_path, None)
    with closing(FileJournal(tmp_path / "layers.journal")):
        pass
    assert main(["audit", str(tmp_path)]) == 1
    assert "no discard audit has come down" in capsys.readouterr().out


# ---- the page


def test_the_notes_say_what_the_figures_rest_on(store):
    known = {scene: KnownScene(detections=(), truth=truth_of()) for scene in (1, 2)}
    judged = judged_audit(store, known, BrightDetector(), dn_offset=0)
    notes = " ".join(notes_of(judged.figures))
    assert "Set aside as cloud: none missed of 4 units, so fewer than 52.7" in notes
    assert "12 by the truth of the scene" in notes and "The audit of 1 scene has not come down" in notes
    assert "awaiting" not in notes


def test_a_run_without_an_audit_has_no_section():
    assert audit_section(SimpleNamespace(report=SimpleNamespace(audit=None), audited=())) is None
