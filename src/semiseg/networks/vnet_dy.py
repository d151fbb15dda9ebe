"""V-Net with dynamic convolutions, the full network of ASE-Net.

Source: SUST-reynole/ASE-Net: code/networks/vnet_dy.py VNet_dy. Its test script loads this network, while its training
script builds a plain vnet.
"""

from collections.abc import Iterable
from typing import ClassVar

from torch import nn

from semiseg.network import Upsampling
from semiseg.networks import vnet
from semiseg.networks.heads.dybac import DyBAC


class VNetDy(vnet.VNet):
    """The sizes of vnet; ``DyBAC`` in place of each convolution 3x3x3 but the first of the network.

    keep: number of the unit of each block, from 0, whose convolution stays; None: none.
    """

    batch_norm = True
    keep: ClassVar[int | None] = None

    def __init__(self, channels: int, classes: int, filters: int = 16) -> None:
        super().__init__(channels, classes, filters)
        self._make_dynamic(list(self.encoder)[1:])

    def build_decoder(self, up: Upsampling | None) -> nn.Module:
        """A decoder as vnet builds it, with dynamic convolutions in its blocks."""
        decoder = super().build_decoder(up)
        self._make_dynamic(decoder.blocks)  # type: ignore[arg-type]
        return decoder

    def _make_dynamic(self, blocks: Iterable[nn.Module]) -> None:
        for block in blocks:
            for number, unit in enumerate(block):  # type: ignore[arg-type, var-annotated]
                if number != self.keep:
                    unit[0] = DyBAC(unit[0].in_channels, unit[0].out_channels)

    def official_modules(self) -> dict[str, str]:
        """None: the names within its blocks were not seen."""
        return {}
