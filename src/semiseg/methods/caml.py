"""CAML: correlation-aware mutual learning (Gao et al., MICCAI 2023).

A vanilla network and an auxiliary one, in which the volumes of a batch attend to each other, teach each other by
sharpened probabilities. Their unlabelled voxels must also be alike to the same vectors of a memory, which holds
labelled voxels that both networks classify correctly. The vanilla network predicts.
Follows Herschel555/CAML: code/train_caml.py: no gradient is stopped between the networks, and the supervised loss is
the Dice alone, the method's own. The length of its ramp (40, 20 and 15 units for 4, 8 and 16 labelled cases), the
constant rate, and a ramp that is read after the step is counted are matters of the protocol. The published runs have
seed 3407, and their last weights are the published ones.
Departure: a step in which fewer than two unlabelled voxels have the same class in both networks has no correlation.
Ours (unverified): the Dice of more than one organ is the mean over the organs.
"""

from collections.abc import Mapping
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.blocks.modes import evaluation_mode
from semiseg.blocks.mutual_consistency import distances, sharpened_each
from semiseg.blocks.organ_dice import dice_linear_each
from semiseg.method import Batch, Context, Hyper, Method, Net, Terms, TrainingTime
from semiseg.methods.parts import caml_checkpoint, caml_memory
from semiseg.methods.parts.ss_net_contrast import head
from semiseg.network import Backbone
from semiseg.networks.vnet_attention import VNetAttention

CODE = "Herschel555/CAML: code/train_caml.py"
DIMENSION = 32  # of the vectors, which the option embedding_dim of the script does not change


class CAML(Method):
    """L = lambda L_dice + r(t) (w_c L_con + w_o L_corr).

    L_dice is the sum of both networks' Dice, L_con = mean((p - sharpen(q))^2) + mean((q - sharpen(p))^2) of their
    probabilities p and q, and L_corr the cross-entropy of the correlations with the memory, the auxiliary network's as
    the target.
    """

    networks: Mapping[str, str | Net] = {"vanilla": "default", "auxiliary": Net("default", VNetAttention)}
    inference_networks = ("vanilla",)
    large_state: Mapping[str, Literal["device", "cpu"]] = {"memory.features": "cpu", "memory.classes": "cpu"}
    vanilla: Backbone
    auxiliary: Backbone

    weight = Hyper(1.0, "weight w_c of the consistency, times the protocol's ramp", f"{CODE} --consistency")
    correlation_weight = Hyper(0.05, "weight w_o of the correlation, times the ramp", f"{CODE} --consistency_o")
    supervised_weight = Hyper(0.5, "weight lambda of the supervised term", f"{CODE} --lamda")
    temperature = Hyper(0.1, "temperature of the sharpening and of the correlations", f"{CODE} --temperature")
    memory_size = Hyper(256, "vectors of each class that a step draws from the memory", f"{CODE} --memory_num")
    filtered = Hyper(12800, "most probable voxels of each class that are correlated", f"{CODE} --num_filtered")
    memory_layout = Hyper(
        "official",
        "how the auxiliary network's maps are read for the memory: as the script does, or voxel by voxel",
        f"{CODE}: official; fixed: its other uses of these maps",
        ("official", "fixed"),
    )

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        if min(self.memory_size, self.filtered) < 1:
            raise UserError(
                f"CAML.memory_size and CAML.filtered must be 1 or more; found {self.memory_size} and {self.filtered}"
            )
        for name, network in (("vanilla", self.vanilla), ("auxiliary", self.auxiliary)):
            self.add_module(f"projection_{name}", head(network.widths[0], DIMENSION))
            self.add_module(f"prediction_{name}", head(DIMENSION, DIMENSION))
        voxels = prod(context.patch)
        self.memory = caml_memory.FeatureMemory(context.labelled_cases, voxels, DIMENSION, self.memory_size)

    def official_modules(self) -> list[dict[str, str]]:
        """The names of the source: both networks and their heads."""
        return [caml_checkpoint.official_parts(self.vanilla, self.auxiliary)]

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Dice of the labelled rows, consistency of all rows, and correlation of the unlabelled ones."""
        images, count = batch.everything, len(batch.images)
        features = [network.features(images)[-1] for network in (self.vanilla, self.auxiliary)]
        heads = (self.vanilla.head, self.auxiliary.head)
        probabilities = [own(feature).float().softmax(1) for own, feature in zip(heads, features, strict=True)]
        targets = [sharpened_each(each, self.temperature) for each in probabilities]
        predicted = [each.argmax(1) for each in probabilities]
        correct = (predicted[0][:count] == batch.labels) & (predicted[1][:count] == batch.labels)
        self._remember(batch, [feature[:count] for feature in features], correct)
        agreed = torch.where(predicted[0] == predicted[1], predicted[0], -1)[count:].flatten()
        certainty = probabilities[0][count:].detach().amax(1).flatten()
        return {
            "supervised": torch.stack([dice_linear_each(each[:count], batch.labels) for each in probabilities]).sum(),
            "consistency": torch.stack(distances(probabilities, targets)).sum(),
            "correlation": self._correlation([feature[count:] for feature in features], certainty, agreed),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """lambda, and the ramped weights w_c r(t) and w_o r(t)."""
        ramped = {"consistency": self.weight * time.ramp, "correlation": self.correlation_weight * time.ramp}
        return {"supervised": self.supervised_weight, **ramped}

    @torch.no_grad()
    def stored(self, vanilla: Tensor, auxiliary: Tensor, correct: Tensor) -> Tensor:
        """Vectors ``[n d]`` that the memory gets for the correct voxels ``[b z y x]`` of maps ``[b c z y x]``."""
        layout = caml_memory.official_layout if self.memory_layout == "official" else caml_memory.vectors
        rows = caml_memory.vectors(vanilla)[correct.flatten(1)], layout(auxiliary)[correct.flatten(1)]
        projections = [self.get_submodule(f"projection_{name}") for name in ("vanilla", "auxiliary")]
        with evaluation_mode(projections[0]), evaluation_mode(projections[1]):
            vectors: Tensor = projections[0](rows[0]).float() + projections[1](rows[1]).float()
        return vectors / 2

    def _remember(self, batch: Batch, features: list[Tensor], correct: Tensor) -> None:
        for row, slot in enumerate(batch.labelled_origin[:, 0].tolist()):
            one = slice(row, row + 1)
            vectors = self.stored(features[0][one], features[1][one], correct[one])
            self.memory.store(slot, vectors, batch.labels[row].flatten(), correct[row].flatten())

    def _correlation(self, features: list[Tensor], certainty: Tensor, agreed: Tensor) -> Tensor:
        memory, chosen = self.memory.sample(self.context.classes), agreed >= 0
        if int(chosen.sum()) < 2:  # the batch norm of the heads needs two
            return features[0].new_zeros((), dtype=torch.float32)
        best = caml_memory.most_probable(certainty[chosen], agreed[chosen], self.context.classes, self.filtered)
        found = []
        for name, feature in zip(("vanilla", "auxiliary"), features, strict=True):
            projection, prediction = (self.get_submodule(f"{part}_{name}") for part in ("projection", "prediction"))
            embedded = prediction(projection(caml_memory.vectors(feature).flatten(0, 1)[chosen])).float()
            found.append(caml_memory.correlations(embedded[best], memory, self.temperature))
        return caml_memory.correlation_loss(*found).to(features[0].device)
