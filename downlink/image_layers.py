"""An image as layers, on the receiving side: steps that arrived, put together again.

The payload of step 0 is a header (`downlink.image_header`) followed by the packets of the first quality layer; every
later payload is the packets of one more quality layer. `downlink.image_encoding` makes them.
"""

import binascii
from dataclasses import dataclass, field

import numpy as np

from downlink.band_transform import BandTransform
from downlink.errors import LayerError
from downlink.image_header import distortion, unpack_header
from downlink.jpeg2000 import decode_layers
from downlink.scene import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """A window rebuilt from the steps that arrived."""

    window: Window
    """Where it lies in the scene."""
    pixels: np.ndarray
    """(bands, height, width), uint8 or uint16."""
    valid: np.ndarray
    """(height, width) bool: False where the scene had no data."""
    mse: float
    """Stated mean squared error in DN squared; 0 when lossless."""
    lossless: bool
    """True when every step arrived and the pixels match the checksum made on board."""


@dataclass(slots=True, kw_only=True)
class ImageAssembly:
    """The steps of one image as they arrive, in any order."""

    nodata: float | None
    """The scene's nodata value."""
    payloads: dict[int, bytes] = field(default_factory=dict)
    """Step to payload."""

    def add(self, step: int, payload: bytes) -> None:
        """Keep a step; one that is already there is not replaced."""
        self.payloads.setdefault(step, payload)

    @property
    def usable_steps(self) -> int:
        """Steps that can be decoded: those without a gap from step 0."""
        count = 0
        while count in self.payloads:
            count += 1
        return count

    def decode(self) -> DecodedImage | None:
        """Rebuild the image from its usable steps, or None when step 0 is not there.

        Raises LayerError or CodestreamError when the payloads contradict each other: checked bytes that do not decode
        mean that two ends do not speak the same version.
        """
        steps = self.usable_steps
        if steps == 0:
            return None
        header, packets = unpack_header(self.payloads[0])
        if steps > header.shape.qualities:
            raise LayerError(f"{steps} steps for an image of {header.shape.qualities} at {header.window}")
        components = decode_layers(header.shape, [packets, *(self.payloads[step] for step in range(1, steps))])
        pixels = bands_of(components, header.transform, header.pixel_bits)
        valid = np.ones(pixels.shape[1:], bool) if header.valid is None else header.valid
        if header.filled and not valid.all():
            if self.nodata is None:
                raise LayerError(f"image at {header.window} has pixels without data, but its scene has no nodata value")
            pixels[:, ~valid] = self.nodata
        complete = steps == header.shape.qualities
        if complete and pixel_check(pixels) != header.pixel_check:
            raise LayerError(f"image at {header.window} is complete, but its pixels do not match their checksum")
        mse = 0.0 if complete else distortion(header.distortion_codes[steps - 1])
        return DecodedImage(window=header.window, pixels=pixels, valid=valid, mse=mse, lossless=complete)


def pixel_check(pixels: np.ndarray) -> int:
    """CRC-32 of the samples as little-endian bytes in (bands, height, width) order."""
    return binascii.crc32(np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)).tobytes())


def bands_of(components: np.ndarray, transform: BandTransform | None, pixel_bits: int) -> np.ndarray:
    """The pixels that decoded components stand for."""
    dtype = np.dtype(np.uint8 if pixel_bits == 8 else np.uint16)
    return components.astype(dtype, copy=False) if transform is None else transform.inverse(components, dtype)
