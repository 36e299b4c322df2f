"""An image as layers, on the receiving side: steps that arrived, put together again.

The payload of step 0 is a header (`downlink.image_header`) followed by the packets of the first quality layer; every
later payload is the packets of one more quality layer. Where the header names a reference, step 0 is the header alone: its pixels are
the prediction, and the quality layers of later steps are those of the difference to it. `downlink.image_encoding` makes them.
"""

import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from downlink.band_transform import BandTransform
from downlink.errors import LayerError, MissingReferenceError
from downlink.image_header import ImageHeader, distortion, unpack_header
from downlink.jpeg2000 import decode_layers
from downlink.prediction import Reference
from downlink.scene import Window

Predict = Callable[[Reference, Window], np.ndarray]
"""The prediction of a window from its reference: (bands, height, width) in the type of the pixels. Raises MissingReferenceError."""


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

    @property
    def reference(self) -> Reference | None:
        """What the image is predicted from; None where it stands alone, or step 0 is not there. Raises LayerError."""
        if 0 not in self.payloads:
            return None
        return _reference_of(unpack_header(self.payloads[0])[0])

    def decode(self, predict: Predict | None = None, *, steps: int | None = None) -> DecodedImage | None:
        """Rebuild the image from its usable steps, or from the first `steps` of them; None when step 0 is not there.

        `predict` is asked where the image is predicted. Raises MissingReferenceError where it is needed and None, or says so;
        LayerError or CodestreamError when the payloads contradict each other: checked bytes that do not decode mean that two ends do
        not speak the same version, or that the reference is not the one that was named.
        """
        count = self.usable_steps if steps is None else min(steps, self.usable_steps)
        if count < 1:
            return None
        header, packets = unpack_header(self.payloads[0])
        if count > header.steps:
            raise LayerError(f"{count} steps for an image of {header.steps} at {header.window}")
        later = [self.payloads[step] for step in range(1, count)]
        reference = _reference_of(header)
        if reference is None:
            pixels = _rebuilt(header, [packets, *later])
        elif packets:
            raise LayerError(f"image at {header.window} names a reference, but {len(packets)} bytes follow its header")
        else:
            predicted = _predicted(reference, header, predict)
            pixels = _rebuilt(header, later, predicted) if later else predicted.copy()
        return self._finished(pixels, header, count)

    def _finished(self, pixels: np.ndarray, header: ImageHeader, count: int) -> DecodedImage:
        """Pixels without data set again, and the whole image compared with its checksum."""
        valid = np.ones(pixels.shape[1:], bool) if header.valid is None else header.valid
        if header.filled and not valid.all():
            if self.nodata is None:
                raise LayerError(f"image at {header.window} has pixels without data, but its scene has no nodata value")
            pixels[:, ~valid] = self.nodata
        complete = count == header.steps
        if complete and pixel_check(pixels) != header.pixel_check:
            raise LayerError(f"image at {header.window} is complete, but its pixels do not match their checksum")
        mse = 0.0 if complete else distortion(header.distortion_codes[count - 1])
        return DecodedImage(window=header.window, pixels=pixels, valid=valid, mse=mse, lossless=complete)


def pixel_check(pixels: np.ndarray) -> int:
    """CRC-32 of the samples as little-endian bytes in (bands, height, width) order."""
    return binascii.crc32(np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<")).data)


def pixel_type(pixel_bits: int) -> np.dtype:
    """Of pixels of 8 or 16 bits."""
    return np.dtype(np.uint8 if pixel_bits == 8 else np.uint16)


def rebuilt_pixels(
    components: np.ndarray, *, transform: BandTransform | None, pixel_bits: int, predicted: np.ndarray | None = None
) -> np.ndarray:
    """The pixels that decoded components stand for, added to the prediction where there is one, clipped to their type.

    `components` and `predicted` may be some rows of the image, the same ones.
    """
    dtype = pixel_type(pixel_bits)
    if transform is None and predicted is None:
        return components.astype(dtype, copy=False)
    samples = components if transform is None else transform.inverse(components)
    if predicted is not None:
        samples = samples + predicted if samples.dtype.itemsize > 2 else np.add(samples, predicted, dtype=np.int32)
    pixels: np.ndarray = np.clip(samples, 0, np.iinfo(dtype).max).astype(dtype)
    return pixels


def _rebuilt(header: ImageHeader, layers: Sequence[bytes], predicted: np.ndarray | None = None) -> np.ndarray:
    return rebuilt_pixels(
        decode_layers(header.shape, layers),
        transform=header.transform,
        pixel_bits=header.pixel_bits,
        predicted=predicted,
    )


def _reference_of(header: ImageHeader) -> Reference | None:
    return None if header.reference is None else Reference.unpack(header.reference, bands=header.shape.components)


def _predicted(reference: Reference, header: ImageHeader, predict: Predict | None) -> np.ndarray:
    """The prediction of the header's window. Raises MissingReferenceError, and LayerError for pixels that do not fit it."""
    if predict is None:
        block = reference.blocks[0]
        raise MissingReferenceError(
            f"image at {header.window} is predicted from scene {reference.scene}, product {block.product}: "
            "decode it with a way to that reference",
            scene=reference.scene,
            product=block.product,
            steps=block.steps,
        )
    pixels = predict(reference, header.window)
    expected = (header.shape.components, header.window.height, header.window.width)
    if pixels.shape != expected or pixels.dtype != pixel_type(header.pixel_bits):
        raise LayerError(
            f"image at {header.window} is {expected} of {header.pixel_bits} bits, its prediction is {pixels.shape} {pixels.dtype}"
        )
    return pixels
