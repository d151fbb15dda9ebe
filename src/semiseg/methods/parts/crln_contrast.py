"""Collaborative positive supervision of crln: voxels that are not certain are pulled to a positive of their class.

Follows Yaan-Wang/CRLN: VnetLA/module_list.py compute_cps_loss, which comes from ReCo (Liu et al., ICLR 2022).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.blocks.info_nce import Groups, by_class, info_nce, ranks
from semiseg.blocks.voxels import gather


def voxel_sets(ids: Tensor, probabilities: Tensor, threshold: float) -> tuple[Groups, Groups]:
    """Valid voxels of each class, and the anchors among them: those whose class has less than ``threshold``.

    ids: ``[n z y x]``, K for a voxel that is not valid; probabilities: ``[n k z y x]``.
    """
    classes = probabilities.shape[1]
    own = probabilities.gather(1, ids.clamp(max=classes - 1).unsqueeze(1)).squeeze(1)
    return by_class(ids, classes), by_class(torch.where(own < threshold, ids, classes), classes)


def contrast(
    representation: Tensor,
    ids: Tensor,
    probabilities: Tensor,
    positives: Callable[[Tensor], Tensor],
    *,
    threshold: float,
    temperature: float,
    anchors: int,
    negatives: int,
) -> Tensor:
    """Mean over the classes that are present of InfoNCE between random anchors, their positive, and other classes.

    representation: ``[n r z y x]``; ids, probabilities, threshold: as ``voxel_sets`` takes them. positives: function of
    the mean representation of each class ``[k r]`` that gives the positives ``[k r]``. Gradients reach the anchors
    alone. A class is drawn for every negative, by the softmax of the similarity of the means over the temperature, then
    one of its voxels. A class without anchors adds 0; with a single class the result is 0.
    """
    classes = probabilities.shape[1]
    valid, hard = voxel_sets(ids, probabilities, threshold)
    chosen, others = (torch.rand(classes, count, device=ids.device) for count in (anchors, anchors * negatives))
    sizes, lonely = valid.sizes.tolist(), hard.sizes.tolist()  # the CPU waits for the GPU once
    present = [number for number in range(classes) if sizes[number]]
    vectors = representation.detach().float()
    means = vectors.new_zeros(classes, vectors.shape[1])
    for number in present:
        start = int(valid.starts[number])
        means[number] = gather(vectors, valid.places[start : start + sizes[number]]).mean(0)
    targets, near = positives(means), F.normalize(means, dim=1)
    loss = representation.new_zeros((), dtype=torch.float32)
    if len(present) < 2:
        return loss
    rows = hard.inside(chosen)
    for number in present:
        if not lonely[number]:
            continue
        similar = torch.full((classes,), -torch.inf, device=ids.device)
        rest = [other for other in present if other != number]
        similar[rest] = near[rest] @ near[number] / temperature
        drawn = torch.multinomial(similar.softmax(0), anchors * negatives, replacement=True)
        places = valid.places[valid.starts[drawn] + ranks(others[number], valid.sizes[drawn])]
        far = gather(vectors, places).view(anchors, negatives, -1)
        loss = loss + info_nce(gather(representation, rows[number]), targets[number], far, temperature)
    return loss / len(present)
