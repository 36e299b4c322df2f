"""Predictions on the ground: from the blocks of earlier scenes that are held, each checked to be the one that was meant."""

from collections import OrderedDict
from typing import Final, Protocol

import numpy as np

from downlink.errors import JournalError, LayerError
from downlink.prediction import Reference
from downlink.products import SUMMARY_PRODUCT, LayerAddress
from downlink.reference_chain import ReferenceChain
from downlink.scene import Window, decode_summary

CACHE_BYTES: Final = 192 * 1024 * 1024
"""Decoded blocks in memory: a hundred of 512 x 512 pixels in four bands of 16 bits are 200 MiB."""
SUMMARIES_REMEMBERED: Final = 256


class HeldLayers(Protocol):
    """What the ground holds; `ground.store.LayerStore` does."""

    def holds(self, address: LayerAddress) -> bool:
        """Whether a layer is held."""

    def payload(self, address: LayerAddress) -> bytes:
        """The bytes of a held layer. Raises JournalError where they cannot be read."""


class SceneReferences:
    """Gives `ImageAssembly.decode` its predictions (`predict` is a `downlink.image_layers.Predict`)."""

    def __init__(self, store: HeldLayers, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._chain = ReferenceChain(_StoreSource(store), cache_bytes=cache_bytes)

    def predict(self, reference: Reference, window: Window) -> np.ndarray:
        """The prediction of a window, (bands, height, width).

        Raises MissingReferenceError where a named block is not held, holds fewer steps, or has other pixels than those on board.
        """
        return self._chain.predict(reference, window)


class _StoreSource:
    """A store as the chain looks layers up; what is held stays as it is."""

    def __init__(self, store: HeldLayers) -> None:
        self._store = store
        self._nodata: OrderedDict[int, float | None] = OrderedDict()

    def nodata(self, scene: int) -> float | None:
        if scene not in self._nodata:
            payload = self.payload(LayerAddress(scene=scene, product=SUMMARY_PRODUCT, step=0))
            if payload is None:
                raise LookupError(f"no summary of scene {scene}")
            try:
                self._nodata[scene] = decode_summary(payload).nodata
            except LayerError as error:
                raise LookupError(f"summary of scene {scene}: {error}") from error
            if len(self._nodata) > SUMMARIES_REMEMBERED:
                self._nodata.popitem(last=False)
        return self._nodata[scene]

    def payload(self, address: LayerAddress) -> bytes | None:
        if not self._store.holds(address):
            return None
        try:
            return self._store.payload(address)
        except JournalError:
            return None  # it has rotted: no more there than one that never came

    def version(self, scene: int, product: int) -> None:
        return None
