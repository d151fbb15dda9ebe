"""BaCon: balanced feature-level contrastive learning (Feng et al., AAAI 2024, arXiv 2403.12986), carried to voxels.

FixMatch on one classifier, a second classifier trained on class-balanced draws, and features pulled to class centres.
Follows fqhank/AAAI24-BaCon-CISSL: semilearn/imb_algorithms/bacon/bacon.py, whose negative term is ONE mean per class.
The balanced classifier is the backbone's own head here, because it predicts; the other one is ``classifier``.
Departures from the code: "voxels so far" for the class frequencies are a moving average; they and the memory ask for a
probability above the cutoff where the code compares raw logits (``count_by``); a class without centre adds 0, not NaN;
the second half of training begins at ``contrast_from`` of any length.
Ours (unverified), as the official task is image classification: a sample is a voxel, its feature the last decoder map
after dropout; views are those of ``perturbations.strong``; the centres come from a ring of confident voxels instead of
one slot per image; a few voxels per class are drawn for the contrast; L_sup is the protocol's (CE and Dice).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from semiseg.blocks import ema, voxels
from semiseg.blocks.class_counts import class_counts
from semiseg.blocks.losses import confident, masked_cross_entropy
from semiseg.blocks.memory import ClassMemory
from semiseg.blocks.perturbations import strong
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts import bacon_contrast as balanced
from semiseg.network import Backbone

CODE = "fqhank/AAAI24-BaCon-CISSL: semilearn/imb_algorithms/bacon/bacon.py"
OURS = "ours: carried from images to voxels"


class BaCon(Method):
    """L = L_sup + L_fixmatch + w_b L_balanced + w_c L_contrast.

    The contrast is 0 as long as no drawn voxel reaches ``contrast_cutoff``. L_balanced is a mean over all voxels though
    hardly any of the background are drawn, so it is far smaller than a cross-entropy (the code's rule, kept).
    """

    networks = {"network": "default"}
    teachers = {"teacher": "network"}
    inference_networks = ("teacher",)
    network: Backbone
    teacher: nn.Module
    rare: Tensor
    frequency: Tensor

    balanced_weight = Hyper(1.0, "weight w_b of the balanced classifier", f"{CODE} abc_loss_ratio")
    contrast_weight = Hyper(1.0, "weight w_c of the contrast", f"{CODE} train_step")
    contrast_from = Hyper(0.5, "share of training without contrast", f"{CODE}: 150000 of 300000 iterations")
    cutoff = Hyper(0.95, "least probability of a pseudo label", f"{CODE} abc_p_cutoff")
    contrast_cutoff = Hyper(0.98, "least probability of anchors and of vectors in the memory", CODE)
    count_by = Hyper(
        "probability",
        "what the cutoff is compared with in class frequencies and memory",
        f"ours: probability; {CODE}: logit",
        ("probability", "logit"),
    )
    dimension = Hyper(16, "channels of a projection", f"{CODE} Projection_dim")
    samples = Hyper(256, "voxels per class from labelled and from unlabelled crops", OURS)
    memory = Hyper(4096, "vectors that the memory keeps of each class", OURS)
    momentum = Hyper(0.99, "share of the class frequencies that a step keeps", OURS)
    ema_decay = Hyper(0.999, "share that the averaged network keeps", "fqhank/AAAI24-BaCon-CISSL: ema_m")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        width, classes = self.network.widths[0], context.classes
        self.teacher.load_state_dict(self.network.state_dict())
        self.classifier = nn.Conv3d(width, classes, 1)
        self.projection = nn.Linear(width, self.dimension)
        self.centres = ClassMemory(classes, self.memory, self.dimension)
        self.register_buffer("rare", balanced.rarity(context.labelled_voxels.float()))
        self.register_buffer("frequency", torch.ones(classes))

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised and FixMatch terms of ``classifier``, balanced term of the head, contrast (first half: 0)."""
        labels, count, rows = batch.labels, len(batch.images), len(batch.everything)
        feature = self.network.features(torch.cat([batch.everything, strong(batch.unlabelled)]))[-1]
        labelled, weak, hard = self.classifier(feature).tensor_split([count, rows])
        logits = self.network.head(feature)
        own, own_weak, own_hard = logits.tensor_split([count, rows])
        draws = (torch.rand_like(batch.images[:, 0]), torch.rand_like(batch.unlabelled[:, 0]))
        chances = balanced.Chances(self.rare, time.epoch / time.epochs, self.cutoff)
        return {
            "supervised": self.context.supervised(labelled, labels),
            "fixmatch": masked_cross_entropy(hard, *confident(weak, self.cutoff)),
            "balanced": balanced.balanced_loss(own, labels, own_weak, own_hard, chances, draws),
            "contrast": self._contrast(feature[:rows], logits[:rows].detach(), labels, time),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """Constant weights w_b and w_c."""
        return {"balanced": self.balanced_weight, "contrast": self.contrast_weight}

    def after_step(self, time: TrainingTime) -> None:
        """Average the network that predicts."""
        ema.follow(self.teacher, self.network, self.ema_decay)

    def _contrast(self, feature: Tensor, logits: Tensor, labels: Tensor, time: TrainingTime) -> Tensor:
        """Drawn voxels of labelled and weak rows against the memory, which takes them in from the first step on."""
        classes, active = self.context.classes, time.iteration >= self.contrast_from * time.iterations
        weak = logits[len(labels) :].float()
        score, guess = (weak.softmax(1) if self.count_by == "probability" else weak).max(1)
        known, ids = torch.ones_like(labels, dtype=torch.bool), torch.cat([labels, guess])
        counted = torch.cat([known, score >= self.cutoff])
        counts = class_counts(torch.where(counted, ids, classes), classes + 1).sum(0)[:classes]
        self.frequency = self.frequency.lerp(counts, 1 - self.momentum)
        places, valid = voxels.draw(torch.cat([labels, guess + classes]), 2 * classes, self.samples)
        places, half = places.flatten(), classes * self.samples  # labelled voxels by class, then unlabelled ones
        with torch.set_grad_enabled(active):
            vectors = self.projection(voxels.gather(feature, places))
        scores, given = voxels.gather(logits, places), ids.flatten()[places[:half]]
        seen = balanced.samples(vectors, given, scores[:half], scores[half:], self.contrast_cutoff, valid.flatten())
        loss = torch.zeros((), device=feature.device)
        if active:
            heat = balanced.temperatures(self.frequency, time.iteration, time.iterations)
            loss = balanced.contrast(seen, self.centres.means(), self.centres.filled > 0, heat)
        self.centres.push(vectors, seen.classes, seen.valid & seen.sure & counted.flatten()[places])
        return loss
