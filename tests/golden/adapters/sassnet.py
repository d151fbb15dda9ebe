"""SASSNet."""

from typing import Any

import torch
from adapters.backbones import count, shape
from adapters.dan import Verdict, discriminator, discriminator_loss, moment
from stage import Speaker, batch
from support.facts import facts
from torch import Tensor, nn

from semiseg.blocks.distance import signed_distance
from semiseg.learning.build import build_method
from semiseg.method import Method, Terms, total
from semiseg.networks.heads.discriminator import Discriminator
from semiseg.params.config import Network

Inputs = dict[str, Any]
LOOP = "code/train_gan_sdfloss.py:training loop"
FILE = "code/networks/discriminator.py:FC3DDiscriminator"
SDF = "code/utils/util.py:compute_sdf"


def two_heads(name: str, logits: Tensor, head: nn.Module, **hyper: Any) -> Method:
    """The method for one organ, its heads replaced."""
    method = build_method(name, hyper, Network(name="vnet", filters=1), None, facts([1.0, 1.0]))
    method.network, method.distance_head = Speaker(logits), head
    return method


def terms(i: Inputs, p: Inputs, **hyper: Any) -> tuple[Method, Terms]:
    """The supervised terms, unweighted, and their method."""
    distances = i["tanh"]
    method = two_heads("sassnet", i.get("logits", torch.zeros_like(distances)), Speaker(distances), **hyper)
    return method, method.supervised_terms(batch(i["labels"][: p["labeled_bs"]], len(distances)))[0]


def supervised(i: Inputs, p: Inputs) -> Tensor:
    method, values = terms(i, p, beta=p["beta"])
    return total(values, method.weights(moment({"iter_num": 0, "consistency_rampup": 1.0})))


def objective(i: Inputs, p: Inputs) -> Tensor:
    method = two_heads("sassnet", i["logits"], Speaker(i["tanh"]), beta=p["beta"], weight=p["consistency"])
    method.discriminator = Verdict(i["disc_logits_unlabelled"])
    labels = i["labels"][: p["labeled_bs"]]
    return total(method.losses(batch(labels, len(i["tanh"])), moment(p)), method.weights(moment(p)))


def of_sassnet(i: Inputs, p: Inputs) -> Tensor:
    silence = torch.zeros(len(p["targets"]), 1, 1, 1, 1)
    return discriminator_loss(two_heads("sassnet", silence, Speaker(silence)), i, p)


def distances(i: Inputs, p: Inputs) -> Tensor:
    return signed_distance(i["mask"], 2)[:, 0]


def row(i: Inputs, p: Inputs) -> Tensor:
    return distances(i, p)[tuple(slice(None) if at == ":" else at for at in p["index"])]


def output(i: Inputs, p: Inputs) -> Any:
    maps = torch.zeros(p["map_shape"])
    return shape(Discriminator(maps.shape[1])(maps, torch.zeros_like(maps[:, :1])))


ADAPTERS = {
    f"{SDF}#sdf_random": distances,
    f"{SDF}#sdf_block_centre_row": row,
    f"{LOOP}#sdf_mse": lambda i, p: terms(i, p)[1]["distance"],
    f"{LOOP}#supervised": supervised,
    f"{LOOP}#seg_total": objective,
    f"{LOOP}#disc_loss": of_sassnet,
    f"{FILE}#disc_params": lambda i, p: count(discriminator(p)),
    f"{FILE}#disc_output_shape": output,
}
