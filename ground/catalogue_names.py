"""What the files of the catalogue are called, for whoever reads it without making it."""

from typing import Final

GROUND_FOLDER: Final = "ground"
CATALOG_FILE: Final = "catalog.json"
COG_FILE: Final = "scene.tif"
DETECTIONS_FILE: Final = "detections.geojson"
BROWSE_FILE: Final = "browse.png"
ITEM_FILE: Final = "item.json"
