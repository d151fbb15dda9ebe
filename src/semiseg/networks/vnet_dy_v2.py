"""V-Net with dynamic convolutions whose blocks keep their second convolution.

Source: SUST-reynole/ASE-Net: code/networks/vnet_dy_v2.py VNet_dy.
"""

from semiseg.networks import vnet_dy


class VNetDyV2(vnet_dy.VNetDy):
    """vnet_dy, but the second unit of each block has an ordinary convolution."""

    batch_norm = True
    keep = 1
