"""Times of capture as files write them."""

import pytest

from onboard.capture_time import captured_ms_from_tags

NOON_MS = 1_642_416_223_000


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"TIFFTAG_DATETIME": "2022:01:17 10:43:43"}, NOON_MS),
        ({"ACQUISITIONDATETIME": "2022-01-17T10:43:43Z"}, NOON_MS),
        ({"DATETIME": "2022-01-17T12:43:43.5+02:00"}, NOON_MS + 500),
        ({"DATE": "2022-01-17"}, 1_642_377_600_000),
        ({"DATE": "20220117"}, 1_642_377_600_000),
        ({"TIFFTAG_DATETIME": "2024:09:30 01:02:03", "ACQUISITION_DATETIME": "2022-01-17 10:43:43"}, NOON_MS),
        ({"ACQUISITION_DATETIME": "yesterday", "TIFFTAG_DATETIME": "2022:01:17 10:43:43"}, NOON_MS),
        ({"TIFFTAG_DATETIME": "0000:00:00 00:00:00"}, None),
        ({"DATE": "1969-12-30"}, None),
        ({"YEAR": "1985"}, None),
        ({}, None),
    ],
)
def test_the_best_readable_tag_counts(tags: dict[str, str], expected: int | None) -> None:
    assert captured_ms_from_tags(tags) == expected
