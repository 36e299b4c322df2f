"""The note beside raw tiles: what is written is read back; anything else is one clear error."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.errors import StoreError, SurveyNoteError
from onboard.survey_note import decode_note
from tests.onboard.survey_samples import note_of

GOLDEN_START = (
    b'{"version":1,"summary":{"scene":305419896,"name":"scene 305419896","captured_ms":1750000000123,"acquired_ms":null,'
    b'"height":24,"width":80,"dtype":"uint16","band_names":["B03","B08"]'
)
GOLDEN_END = (
    b'"detections":[{"class_id":0,"confidence":0.875,"corners_px":[[1.5,2.0],[9.5,2.0],[9.5,6.25],[1.5,6.25]]}],'
    b'"tiles":[{"reason":"kept: tile 0","outcome":"kept","cloud_fraction":0.125,"detections":0,"gate":null,'
    b'"forecast":{"size_bytes":[60,700],"mse":[311.5,0.0],"points":0.5}},'
    b'{"reason":"kept: tile 1","outcome":"kept","cloud_fraction":0.125,"detections":0,"gate":null,'
    b'"forecast":{"size_bytes":[60,700],"mse":[311.5,0.0],"points":0.5}}],'
    b'"notes":["a note of the file"],"dn_offset":1000,"drawn":null}'
)


def test_golden_note():
    data = note_of(0x12345678, tiles=2).encode()
    assert data.startswith(GOLDEN_START)
    assert data.endswith(GOLDEN_END)


def test_what_is_written_is_read_back():
    note = note_of(5, tiles=3)
    assert decode_note(note.encode(), scene=5) == note


def changed(**keys):
    return json.dumps(json.loads(note_of(5, tiles=2).encode()) | keys).encode()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "Invalid JSON"),
        (note_of(5, tiles=2).encode()[:-1], "Invalid JSON"),
        (changed(version=2), "version"),
        (changed(more=1), "more"),
        (changed(tiles=[]), "0 tiles for a grid of 2"),
        (changed(dn_offset=-1), "dn_offset"),
        (changed(detections=[{"class_id": 0, "confidence": 1.5, "corners_px": [[0, 0]] * 4}]), "confidence"),
    ],
)
def test_any_other_note_is_refused_with_what_is_wrong(data, told):
    with pytest.raises(SurveyNoteError, match=told) as caught:
        decode_note(data, scene=5)
    assert "scene 5" in str(caught.value) and caught.value.scene == 5
    assert isinstance(caught.value, StoreError)


def test_the_note_of_another_scene_is_refused():
    with pytest.raises(SurveyNoteError, match="speaks of scene 6"):
        decode_note(note_of(6, tiles=1).encode(), scene=5)


@settings(max_examples=60)
@given(st.integers(0, 400), st.integers(1, 255))
def test_a_changed_byte_gives_a_note_or_that_error(place, mask):
    data = bytearray(note_of(5, tiles=2).encode())
    data[place % len(data)] ^= mask
    with suppress(SurveyNoteError):
        assert decode_note(bytes(data), scene=5).summary.scene == 5
