"""Writes drawn chips to disk, to look at what the network will see, or to train with other tools.

Training itself draws its chips as it goes, from the same sampler with the same seed.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from onboard.training.chip_sampler import ChipSampler, boxes_of_corners


def write_chips(sampler: ChipSampler, count: int, out_dir: Path) -> None:
    """`chips.npz` (images, boxes, chip_index, see `ChipBatch`) and `chips.png`, a sheet with the boxes drawn."""
    out_dir.mkdir(parents=True, exist_ok=True)
    drawn = [sampler.chip() for _ in range(count)]
    np.savez_compressed(
        out_dir / "chips.npz",
        images=np.stack([image for image, _, _ in drawn]).astype(np.float16),
        boxes=boxes_of_corners(np.concatenate([corners for _, corners, _ in drawn])),
        chip_index=np.concatenate([np.full(len(corners), i) for i, (_, corners, _) in enumerate(drawn)]),
    )
    cv2.imwrite(str(out_dir / "chips.png"), contact_sheet([(image, corners) for image, corners, _ in drawn]))


def contact_sheet(drawn: list[tuple[np.ndarray, np.ndarray]], *, columns: int = 6, zoom: int = 2) -> np.ndarray:
    """(network input, corners) pairs as one 8-bit picture, boxes in yellow; near infrared is blue, as OpenCV orders bands."""
    pictures = []
    for image, corners in drawn:
        bright = np.clip(image.transpose(1, 2, 0) * 2.2 * 255, 0, 255).astype(np.uint8)
        picture = cv2.resize(bright, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)
        for box in corners:
            cv2.polylines(picture, [np.round(box * zoom).astype(np.int32)], True, (0, 255, 255), 1)
        pictures.append(picture)
    blank = np.zeros_like(pictures[0])
    pictures += [blank] * (-len(pictures) % columns)
    return np.vstack([np.hstack(pictures[i : i + columns]) for i in range(0, len(pictures), columns)])
