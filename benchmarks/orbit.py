"""Contacts of the standard scenario against published figures, and the speed of finding them: python -m benchmarks.orbit

Every tenth of 111 Earth-observation satellites over 16 stations, 15 degree mask, 24 hours from 2025-02-28T00:00Z. The reference
figures were measured with skyfield (see the README beside the elements).
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from mission.eclipse import sunlight_intervals
from mission.intervals import gaps, union
from mission.orbit import Station, satellite_from_tle
from mission.visibility import visibility_windows

DATA = Path(os.environ.get("TIANSHU_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
START_MS = 1740700800000
DAY_MS = 86400000


def main() -> None:
    folder = DATA / "orbits"
    if not folder.exists():
        sys.exit(f"no elements in {folder}: set TIANSHU_DATA to the folder that holds orbits/planet_tles.txt")
    lines = (folder / "planet_tles.txt").read_text().splitlines()
    satellites = [satellite_from_tle(*lines[at + 1 : at + 3]) for at in range(0, len(lines), 3)]
    stations = [
        Station(
            name=one["name"], latitude_deg=one["location"][0], longitude_deg=one["location"][1], min_elevation_deg=15
        )
        for one in json.loads((folder / "planet_stations.json").read_text())
    ]
    counts, minutes, seconds, waits, worst = [], [], [], [], []
    for satellite in satellites[::10]:
        windows = visibility_windows(satellite, stations, start_ms=START_MS, end_ms=START_MS + DAY_MS)
        covered = union([(window.aos_ms, window.los_ms) for window in windows])
        counts.append(len(windows))
        minutes.append(sum(end - start for start, end in covered) / 60000)
        seconds += [(window.los_ms - window.aos_ms) / 1000 for window in windows]
        own_waits = [(end - start) / 60000 for start, end in gaps(covered)]
        waits += own_waits
        worst.append(max(own_waits))
    print(f"{'figure':34}{'here':>12}{'skyfield':>14}")
    print(f"{'contacts a day':34}{np.mean(counts):12.1f}{42.6:14.1f}")
    print(f"{'minutes a day in contact':34}{np.mean(minutes):12.1f}{141:14}")
    print(f"{'seconds a contact':34}{np.mean(seconds):12.1f}{268:14}")
    print(f"{'mean gap, minutes':34}{np.mean(waits):12.1f}{47:14}")
    print(f"{'worst gap, minutes':34}{f'{min(worst):.0f}-{max(worst):.0f}':>12}{'109-154':>14}")
    start_s = time.process_time()
    found = visibility_windows(satellites[0], stations[:10], start_ms=START_MS, end_ms=START_MS + 7 * DAY_MS)
    print(f"1 satellite x 10 stations x 7 days: {len(found)} windows in {time.process_time() - start_s:.3f} CPU s")
    start_s = time.process_time()
    lit = sunlight_intervals(satellites[0], START_MS, START_MS + 7 * DAY_MS)
    print(f"1 satellite, sunlight of 7 days: {len(lit)} intervals in {time.process_time() - start_s:.3f} CPU s")


if __name__ == "__main__":
    main()
