"""Connected components of pseudo labels."""

import torch
from torch import Tensor

from semiseg.base.components import largest_components


@torch.no_grad()
def largest_component(labels: Tensor, neighbours: int = 26) -> Tensor:
    """Labels ``[b z y x]`` with the largest component of each class and volume alone; the rest becomes background (0).

    neighbours: voxels that touch one, 6, 18 or 26. The components are found on the CPU. Source:
    DeepMed-Lab-ECNU/BCP: code/LA_BCP_train.py LargestCC_pancreas.
    """
    volumes = labels.cpu().numpy()
    kept = [torch.from_numpy(largest_components(volume, neighbours)) for volume in volumes]
    return torch.stack(kept).to(labels.device)
