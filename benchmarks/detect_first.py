"""The first detections of a fresh process, on the exported network: python -m benchmarks.detect_first SCENE MODEL_FOLDER.

Reads the middle tile of the scene, searches it, prints what was found and which libraries of the training side are loaded: none may be.
"""

import json
import sys
from pathlib import Path

from onboard.detector import load_detector
from onboard.ingest import open_scene
from onboard.tiles import tile_grid

HEAVY = ("torch", "torchvision", "ultralytics", "cv2", "sahi")


def main() -> None:
    """Search one tile."""
    scene, folder = map(Path, sys.argv[1:3])
    detector = load_detector(folder)
    with open_scene(scene) as frame:
        grid = tile_grid(frame.height, frame.width, tile_px=512, halo_px=32)
        tile = grid[len(grid) // 2]
        found = detector.detect(frame.read_around(tile.core, tile.padded), frame.band_names)
    loaded = [name for name in HEAVY if name in sys.modules]
    sys.stdout.write(json.dumps({"detections": len(found), "loaded": loaded}) + "\n")


if __name__ == "__main__":
    main()
