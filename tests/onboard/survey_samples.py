"""Notes of scenes that nobody took, for tests."""

from downlink.scene import Georeference, SceneSummary, TileOutcome
from onboard.survey_note import NotedDetection, NotedForecast, NotedTile, SurveyNote

CAPTURED_MS = 1_750_000_000_123


def summary_of(scene, *, tiles):
    return SceneSummary(
        scene=scene,
        name=f"scene {scene}",
        captured_ms=CAPTURED_MS,
        height=24,
        width=40 * tiles,
        dtype="uint16",
        band_names=("B03", "B08"),
        nodata=None,
        georeference=Georeference(crs_wkt=None, transform=(10, 0, 5e5, 0, -10, 5e6)),
        peak_dn=10_000,
        tile_px=40,
        tile_outcomes=(TileOutcome.KEPT,) * tiles,
        gsd_m=10.0,
        footprint_lonlat=None,
        model="bright@0x1234",
        classes=("ship",),
        policy="maritime",
    )


def note_of(scene, *, tiles):
    """The note of a scene of one row of tiles of 24 x 40 px, all of them kept."""
    forecast = NotedForecast(size_bytes=(60, 700), mse=(311.5, 0.0), points=0.5)
    corners = ((1.5, 2.0), (9.5, 2.0), (9.5, 6.25), (1.5, 6.25))
    return SurveyNote(
        summary=summary_of(scene, tiles=tiles),
        detections=(NotedDetection(class_id=0, confidence=0.875, corners_px=corners),),
        tiles=tuple(
            NotedTile(reason=f"kept: tile {n}", outcome=TileOutcome.KEPT, cloud_fraction=0.125, forecast=forecast)
            for n in range(tiles)
        ),
        notes=("a note of the file",),
        dn_offset=1000,
    )
