"""V-Net of the MagicNet paper: vnet with instance norm without affine parameters, and no dropout.

Source: DeepMed-Lab-ECNU/MagicNet: code/networks/magicnet.py VNet_Magic (16 filters).
"""

from torch import nn

from semiseg.network import in_two
from semiseg.networks import vnet


class VNetMagic(vnet.VNet):
    """The sizes of vnet without the weights of its normalisation; torch's default initialisation."""

    batch_norm = False
    norm = nn.InstanceNorm3d
    drop = 0.0

    def official_modules(self) -> dict[str, str]:
        """The names of vnet below ``encoder`` and ``decoder``, where the official code has two modules."""
        return in_two(super().official_modules(), "encoder", "decoder")
