"""An image as layers, on the making side: coded on board, step by step, with what each step leaves wrong.

Bands that look alike are decorrelated first (`downlink.band_transform`), reversibly, where that promises to save bits. With a
prediction the first step is the prediction, which costs its header alone, and what is coded is the difference to it.

The validity mask travels exactly. Where all invalid pixels hold the scene's nodata value they are filled with the mean of
their band before coding, so that their edge costs no bits, and set again after decoding. Pixels that a mask or an alpha
band calls invalid have values of their own, which are coded as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from downlink.band_transform import fit_band_transform
from downlink.codestream import CodestreamShape
from downlink.errors import CodestreamError, LayerError
from downlink.image_distortion import NO_DISTORTION, Distortion, DistortionMeter, never_rising
from downlink.image_header import ImageHeader, distortion_code, pack_header
from downlink.image_layers import pixel_check, rebuilt_pixels
from downlink.jpeg2000 import codestream_shape, decode_layers, encode_layers, one_thread, tight_shape
from downlink.prediction import Predicted
from downlink.scene import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProduct:
    """One coded window of a scene."""

    window: Window
    """Where it lies in the scene."""
    payloads: tuple[bytes, ...]
    """One per step."""
    mse: tuple[float, ...]
    """Mean squared error over valid pixels and all bands once this step has arrived, in DN squared, never rising; the last is 0."""
    weighted_mse: tuple[float, ...]
    """The same with pixels weighted by what they matter; equal to `mse` without weights."""


def encode_image(
    pixels: np.ndarray,
    window: Window,
    *,
    valid: np.ndarray,
    quality_percent: Sequence[float],
    levels: int,
    nodata: float | None,
    weights: np.ndarray | None = None,
    predicted: Predicted | None = None,
    unchanged: bool = False,
    settled_mse: float = 0.0,
) -> ImageProduct:
    """Code the pixels (bands, height, width) of a window into one payload per entry of `quality_percent`, or into the exact one alone
    where so few pixels of noise cannot be coded in more.

    `valid` is (height, width) bool and travels exactly. With `predicted` there is one payload more, the first, which is the prediction;
    `unchanged` leaves out all between it and the exact pixels. Distortion is measured by decoding each step, on a regular sample of rows
    (`downlink.image_distortion`), on the pixels as the ground has them; `weights` (height, width), 0 or more, say what each pixel
    matters in `weighted_mse`. Steps behind one that leaves no more than `settled_mse` in both are not decoded: they are stated to leave
    as much, which is more than they do.

    Raises CodestreamError for arrays that cannot be coded, LayerError for a window, mask, weights or prediction that do not fit.
    """
    _require_fit(pixels, window, valid, weights, predicted)
    if unchanged and predicted is None:
        raise LayerError(f"image at {window} cannot be called unchanged: it has no prediction")
    percents = (100.0,) if unchanged else quality_percent
    filled = nodata is not None and bool((pixels[:, ~valid] == nodata).all())
    samples = _samples(pixels, valid if filled else None, predicted)
    transform = fit_band_transform(samples, valid)
    components = samples if transform is None else transform.forward(samples)
    with one_thread():
        shape, layers = _coded(components, codestream_shape(pixels, levels=levels, qualities=len(percents)), percents)
    header = ImageHeader(
        window=window,
        shape=shape,
        pixel_bits=8 * pixels.dtype.itemsize,
        transform=transform,
        distortion_codes=b"",
        pixel_check=pixel_check(pixels),
        valid=None if valid.all() else valid,
        filled=filled,
        reference=None if predicted is None else predicted.reference.pack(),
    )
    comparison = _Comparison(
        header=header,
        predicted=None if predicted is None else predicted.pixels,
        sampled=DistortionMeter(pixels, valid, weights),
        whole=DistortionMeter(pixels, valid, weights, all_rows=True),
    )
    with one_thread():
        measured = comparison.steps(layers, settled_mse)
    first = pack_header(replace(header, distortion_codes=bytes(distortion_code(step.mse) for step in measured)))
    return ImageProduct(
        window=window,
        payloads=(first + layers[0], *layers[1:]) if predicted is None else (first, *layers),
        mse=tuple(step.mse for step in measured),
        weighted_mse=tuple(step.weighted_mse for step in measured),
    )


def _coded(
    components: np.ndarray, plain: CodestreamShape, percents: Sequence[float]
) -> tuple[CodestreamShape, tuple[bytes, ...]]:
    """The shape under which components are coded, and their layers."""
    shape = tight_shape(components, plain)
    try:
        return shape, encode_layers(components, shape, _of_component_bits(percents, plain.bits / shape.bits))
    except CodestreamError:
        if components.size > FEW_SAMPLES:
            raise
    shape = replace(shape, levels=0, qualities=1)
    return shape, encode_layers(components, shape, (100.0,))


MOST_LOSSY_PERCENT: Final = 99.9
"""Of the bytes of the components, that a step before the exact one is asked for at most."""
FEW_SAMPLES: Final = 1 << 14
"""More than those of the largest images that OpenJPEG was found unable to code in several layers: 13 bands of 16 x 16 px."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """What is rebuilt from steps, compared with the image."""

    header: ImageHeader
    """Says how components become pixels."""
    predicted: np.ndarray | None
    """What the first step shows."""
    sampled: DistortionMeter
    """Looks at a sample of rows."""
    whole: DistortionMeter
    """Looks at all, where nothing is wrong in the sample."""

    def steps(self, layers: Sequence[bytes], settled_mse: float) -> list[Distortion]:
        """What each step leaves wrong; nothing is left by the last."""
        steps, predicted = [], self.predicted
        if predicted is not None:
            steps.append(self._distortion(lambda rows: predicted[:, rows]))
        for count in range(1, len(layers)):
            if steps and 0 < max(steps[-1].mse, steps[-1].weighted_mse) <= settled_mse:
                steps.append(steps[-1])
            else:
                components = decode_layers(self.header.shape, layers[:count])
                steps.append(self._distortion(partial(self._rebuilt, components)))
        return never_rising([*steps, NO_DISTORTION])

    def _distortion(self, rebuilt: Callable[[slice], np.ndarray]) -> Distortion:
        step = self.sampled.distortion(rebuilt(self.sampled.rows))
        return step if step.mse and step.weighted_mse else self.whole.distortion(rebuilt(self.whole.rows))

    def _rebuilt(self, components: np.ndarray, rows: slice) -> np.ndarray:
        predicted = None if self.predicted is None else self.predicted[:, rows]
        return rebuilt_pixels(
            components[:, rows],
            transform=self.header.transform,
            pixel_bits=self.header.pixel_bits,
            predicted=predicted,
        )


def _require_fit(
    pixels: np.ndarray,
    window: Window,
    valid: np.ndarray,
    weights: np.ndarray | None,
    predicted: Predicted | None,
) -> None:
    if pixels.shape[1:] != (window.height, window.width) or valid.shape != pixels.shape[1:]:
        raise LayerError(
            f"pixels of shape {pixels.shape} with a mask of shape {valid.shape} do not fill a window of "
            f"{window.height} x {window.width}"
        )
    if weights is not None and (weights.shape != valid.shape or not np.isfinite(weights).all() or weights.min() < 0):
        raise LayerError(
            f"weights of shape {weights.shape} for pixels of shape {pixels.shape}: give one of 0 or more each"
        )
    if predicted is not None and (predicted.pixels.shape, predicted.pixels.dtype) != (pixels.shape, pixels.dtype):
        raise LayerError(
            f"prediction of shape {predicted.pixels.shape} {predicted.pixels.dtype} for pixels of shape {pixels.shape} {pixels.dtype}"
        )


def _samples(pixels: np.ndarray, filled_where_not: np.ndarray | None, predicted: Predicted | None) -> np.ndarray:
    """What is coded: the pixels or their difference to the prediction, the mean of the band where a mask given is False."""
    samples = pixels if predicted is None else np.subtract(pixels, predicted.pixels, dtype=np.int32)
    if filled_where_not is None or filled_where_not.all():
        return samples
    filled = samples.copy()
    filled[:, ~filled_where_not] = np.rint(_band_means(samples, filled_where_not)).astype(samples.dtype)[:, None]
    return filled


def _band_means(samples: np.ndarray, valid: np.ndarray) -> np.ndarray:
    return samples[:, valid].mean(axis=1) if valid.any() else np.zeros(samples.shape[0])


def _of_component_bits(quality_percent: Sequence[float], share: float) -> list[float]:
    """Percentages of the raw pixels as percentages of components of other bits, rising and below 100 but for the last, which stands for
    lossless: OpenJPEG makes one layer of all from the first 100 on, and pixels often have fewer bits than their type."""
    steps_behind = range(len(quality_percent) - 1, 0, -1)
    lossy = (
        min(percent * share, MOST_LOSSY_PERCENT - behind / 1000)
        for percent, behind in zip(quality_percent, steps_behind, strict=False)
    )
    return [*lossy, quality_percent[-1]]
