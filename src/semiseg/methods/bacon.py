"""BaCon: balanced feature-level contrastive learning (Feng et al., AAAI 2024, arXiv 2403.12986), carried to voxels.

FixMatch trains one classifier, class-balanced sampling trains a second one, and a contrast pulls features to the centre
of their class. Follows fqhank/AAAI24-BaCon-CISSL: semilearn/imb_algorithms/bacon/bacon.py, where the contrast has ONE
mean over negatives per class. The balanced classifier is the backbone's own head, because it predicts; ``classifier``
is the FixMatch one.
Departures from the code: class frequencies are moving averages, not counts of all voxels so far. Class frequencies and
memory require a probability above the cutoff, where the code compares raw logits (``count_by``). A class without a
centre adds 0, not NaN. The contrast begins after a fraction ``contrast_from`` of a training of any length.
Ours (unverified), because the official task is image classification: a sample is a voxel, and its feature is the last
decoder map after dropout. Strong views are those of ``perturbations.strong``. The centres are means of a ring of
confident voxels, where the code keeps one slot per image. A few voxels per class are sampled for the contrast. L_sup is
the protocol's (CE and Dice).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from semiseg.blocks import ema, voxels
from semiseg.blocks.class_counts import class_counts
from semiseg.blocks.losses import confident_labels, masked_cross_entropy
from semiseg.blocks.memory import ClassMemory
from semiseg.blocks.perturbations import strong
from semiseg.method import Batch, Context, Hyper, Terms, TrainingTime
from semiseg.methods.parts import bacon_contrast
from semiseg.methods.parts.averaged_network import AveragedNetwork

CODE = "fqhank/AAAI24-BaCon-CISSL: semilearn/imb_algorithms/bacon/bacon.py"
OURS = "ours: carried from images to voxels"


class BaCon(AveragedNetwork):
    """L = L_sup + L_fixmatch + w_b L_balanced + w_c L_contrast.

    The contrast is 0 as long as no sampled voxel reaches ``contrast_cutoff``. L_balanced is a mean over all voxels
    although the sampling drops most background voxels, so it is far smaller than a cross-entropy. This is the code's
    rule.
    """

    rare: Tensor
    frequency: Tensor

    balanced_weight = Hyper(1.0, "weight w_b of the balanced classifier", f"{CODE} abc_loss_ratio")
    contrast_weight = Hyper(1.0, "weight w_c of the contrast", f"{CODE} train_step")
    contrast_from = Hyper(0.5, "fraction of the training after which the contrast begins", f"{CODE}: it > 150000")
    cutoff = Hyper(0.95, "least probability of a pseudo label", f"{CODE} abc_p_cutoff")
    contrast_cutoff = Hyper(0.98, "least probability of anchors and of vectors in the memory", CODE)
    count_by = Hyper(
        "probability",
        "what class frequencies and memory compare with the cutoff",
        f"ours: probability; {CODE}: logit",
        ("probability", "logit"),
    )
    dimension = Hyper(16, "channels of a projection", f"{CODE} Projection_dim")
    samples = Hyper(256, "voxels per class from labelled and from unlabelled crops", OURS)
    memory = Hyper(4096, "vectors that the memory keeps of each class", OURS)
    momentum = Hyper(0.99, "fraction of the class frequencies that a step keeps", OURS)
    ema_decay = Hyper(0.999, "weight of the averaged network's own past", "fqhank/AAAI24-BaCon-CISSL: ema_m")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        width, classes = self.network.widths[0], context.classes
        self.classifier = nn.Conv3d(width, classes, 1)
        self.projection = nn.Linear(width, self.dimension)
        self.centres = ClassMemory(classes, self.memory, self.dimension)
        self.register_buffer("rare", bacon_contrast.rarity(context.labelled_voxels.sum(0).float()))
        self.register_buffer("frequency", torch.ones(classes))

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised and FixMatch terms of ``classifier``, balanced term of the head, contrast (first half: 0)."""
        labels, labelled, unlabelled = batch.labels, len(batch.images), len(batch.unlabelled)
        images = torch.cat([batch.images, batch.unlabelled, strong(batch.unlabelled)])
        feature = self.network.features(images)[-1]
        parts = [labelled, unlabelled, unlabelled]
        known, weak, strong_view = self.classifier(feature).split(parts)
        logits = self.network.head(feature)
        balanced, balanced_weak, balanced_strong = logits.split(parts)
        uniform = (torch.rand_like(batch.images[:, 0]), torch.rand_like(batch.unlabelled[:, 0]))
        rule = bacon_contrast.SamplingRule(self.rare, time.epoch / time.epochs, self.cutoff)
        rows = labelled + unlabelled
        return {
            "supervised": self.context.supervised(known, labels),
            "fixmatch": masked_cross_entropy(strong_view, *confident_labels(weak, self.cutoff)),
            "balanced": bacon_contrast.balanced_loss(balanced, labels, balanced_weak, balanced_strong, rule, uniform),
            "contrast": self._contrast(feature[:rows], logits[:rows].detach(), labels, time),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """Constant weights w_b and w_c."""
        return {"balanced": self.balanced_weight, "contrast": self.contrast_weight}

    def after_step(self, time: TrainingTime) -> None:
        """Update the averaged network, which predicts."""
        ema.update_with_buffers(self.teacher, self.network, self.ema_decay)

    def _contrast(self, feature: Tensor, logits: Tensor, labels: Tensor, time: TrainingTime) -> Tensor:
        """Contrast of sampled voxels with the memory's centres; the memory takes them in from the first step on.

        feature and logits: labelled rows, then weak views of the unlabelled rows.
        """
        classes, active = self.context.classes, time.iteration > self.contrast_from * time.iterations
        weak = logits[len(labels) :].float()
        score, guess = (weak.softmax(1) if self.count_by == "probability" else weak).max(1)
        ids = torch.cat([labels, guess])
        counted = torch.cat([torch.ones_like(labels, dtype=torch.bool), score >= self.cutoff])
        counts = class_counts(torch.where(counted, ids, classes), classes + 1).sum(0)[:classes]
        self.frequency = self.frequency.lerp(counts, 1 - self.momentum)
        places, valid = voxels.draw(torch.cat([labels, guess + classes]), 2 * classes, self.samples)
        places, valid = places.flatten(), valid.flatten()  # labelled voxels by class, then unlabelled ones by class
        half = classes * self.samples
        with torch.set_grad_enabled(active):
            vectors = self.projection(voxels.gather(feature, places))
        scores, known = voxels.gather(logits, places), ids.flatten()[places[:half]]
        samples = bacon_contrast.as_samples(vectors, known, scores[:half], scores[half:], self.contrast_cutoff, valid)
        loss = torch.zeros((), device=feature.device)
        if active:
            temperature = bacon_contrast.temperatures(self.frequency, time.iteration, time.iterations)
            loss = bacon_contrast.contrast(samples, self.centres.means(), self.centres.filled > 0, temperature)
        kept = samples.valid & samples.confident & counted.flatten()[places]
        self.centres.push(vectors, samples.classes, kept)
        return loss
