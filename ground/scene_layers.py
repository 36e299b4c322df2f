"""What the layers of one scene come to: its summary, its alerts, the images that can be shown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from downlink.alerts import AlertDetection, decode_alerts
from downlink.audit_sample import decode_audit
from downlink.image_header import unpack_header
from downlink.image_layers import ImageAssembly, Predict
from downlink.products import ALERTS_PRODUCT, AUDIT_PRODUCT, SUMMARY_PRODUCT, LayerAddress
from downlink.record import OVERHEAD_BYTES
from downlink.scene import SceneSummary, decode_summary
from ground.discard_audit import SceneAudit
from ground.reconstruction import UndecodedImage
from ground.store import LayerStore


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneLayers:
    """The layers of a scene that are on the ground."""

    scene: int
    """Number of the scene."""
    payloads: Mapping[LayerAddress, bytes]
    """Their bytes; of this scene alone."""

    @classmethod
    def of(cls, store: LayerStore, scene: int) -> Self:
        """What a store holds of a scene, read into memory. Raises JournalError."""
        return cls(scene=scene, payloads={address: store.payload(address) for address in store.layers_of(scene)})

    def summary(self) -> SceneSummary | None:
        """What the satellite says of the scene; None where that has not arrived. Raises LayerError for one that cannot be read."""
        payload = self.payloads.get(LayerAddress(scene=self.scene, product=SUMMARY_PRODUCT, step=0))
        return None if payload is None else decode_summary(payload)

    def alerts(self) -> tuple[tuple[LayerAddress, tuple[AlertDetection, ...]], ...]:
        """Alert batches with their addresses, in order of address. Raises LayerError."""
        return tuple(
            (one, decode_alerts(self.payloads[one])) for one in self._sorted() if one.product == ALERTS_PRODUCT
        )

    def audit(self, summary: SceneSummary) -> SceneAudit | None:
        """What came of the discard audit of the scene; None where that has not arrived. Raises LayerError and CodestreamError."""
        payload = self.payloads.get(LayerAddress(scene=self.scene, product=AUDIT_PRODUCT, step=0))
        if payload is None:
            return None
        manifest, image = decode_audit(payload)
        picture = ImageAssembly(nodata=summary.nodata, payloads={0: image}).decode() if image else None
        return SceneAudit(summary=summary, manifest=manifest, picture=picture, size_bytes=OVERHEAD_BYTES + len(payload))

    def images(self, summary: SceneSummary, predict: Predict | None = None) -> tuple[UndecodedImage, ...]:
        """Blocks and chips that can be shown, in order of product. Raises LayerError for a header that cannot be read.

        `predict` is asked for those that are predicted from others (`ground.scene_references`); without it they are missing theirs.
        """
        assemblies: dict[int, ImageAssembly] = {}
        for address in self._sorted():
            if address.is_block or address.is_chip:
                assembly = assemblies.setdefault(address.product, ImageAssembly(nodata=summary.nodata))
                assembly.add(address.step, self.payloads[address])
        return tuple(
            _undecoded(product, assembly, predict) for product, assembly in assemblies.items() if assembly.usable_steps
        )

    def _sorted(self) -> Iterable[LayerAddress]:
        return sorted(self.payloads)


def _undecoded(product: int, assembly: ImageAssembly, predict: Predict | None) -> UndecodedImage:
    header, _ = unpack_header(assembly.payloads[0])
    return UndecodedImage(window=header.window, decode=lambda: assembly.decode(predict), product=product)
