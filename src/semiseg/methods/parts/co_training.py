"""Base of the methods in which two networks supervise each other (Cross Pseudo Supervision and what builds on it).

Both networks receive the same crops. Each is trained with the true labels of the labelled crops, and with the hard
labels that the other network gives to all crops. A method overrides the steps that it does its own way; where these
keep something of the step before, ``observe`` is the place to change it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from semiseg.blocks.class_counts import class_counts
from semiseg.blocks.losses import ce_dice_organs, cross_entropy
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime


@dataclass(frozen=True)
class View:
    """What one of the two networks gives for the crops of a step, labelled rows first.

    network: ``"a"`` or ``"b"``. labelled: number of labelled rows. logits: ``[b k z y x]``. scores: ``[b k z y x]``
    without gradient, whose arg-max ``predicted`` ``[b z y x]`` is the network's pseudo label. target: the pseudo labels
    that the other network is trained with; they differ from ``predicted`` where another method refines them.
    further: outputs of further heads, in the order of the method's own ``outputs``.
    """

    network: str
    labelled: int
    logits: Tensor
    scores: Tensor
    predicted: Tensor
    target: Tensor
    further: tuple[Tensor, ...] = ()


class CoTraining(Method):
    """L = L_sup(A) + L_sup(B) + w r(t) [L_cross(A, target of B) + L_cross(B, target of A)]."""

    networks: Mapping[str, str] = {"a": "kaiming", "b": "xavier"}
    inference_networks = ("a", "b")
    a: nn.Module
    b: nn.Module

    weight = Hyper(0.1, "weight w of the cross terms, times the protocol's ramp", "xmed-lab/DHC: README, -w")

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Both supervised losses, then both cross terms; ``observe`` comes before them."""
        images = batch.everything
        a, b = (self.view(name, images, len(batch.images), time) for name in ("a", "b"))
        self.observe(a, b, batch.labels, time)
        return self.terms(a, b, batch.labels)

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight w r(t) for both cross terms."""
        return dict.fromkeys(("cross_a", "cross_b"), self.weight * time.ramp)

    def view(self, network: str, images: Tensor, labelled: int, time: TrainingTime) -> View:
        """The view of one network on images ``[b c z y x]``, of which the first ``labelled`` rows have labels."""
        logits, *further = self.outputs(network, images, time)
        scores = self.scores(network, logits, *further).detach()
        predicted = scores.argmax(1)
        return View(network, labelled, logits, scores, predicted, self.context.refine(predicted, scores), (*further,))

    def outputs(self, network: str, images: Tensor, time: TrainingTime) -> tuple[Tensor, ...]:
        """Outputs of a network: the logits that are trained and predict, then those of further heads, if any."""
        return (self.get_submodule(network)(images),)

    def scores(self, network: str, logits: Tensor, *further: Tensor) -> Tensor:
        """Scores ``[b k z y x]`` whose arg-max is the network's pseudo label: its logits."""
        return logits

    def observe(self, a: View, b: View, labels: Tensor, time: TrainingTime) -> None:
        """Change what the method keeps between steps, before the losses of this one; here nothing is kept."""

    def terms(self, a: View, b: View, labels: Tensor) -> Terms:
        """The loss terms of two views and the labels ``[b z y x]`` of their labelled rows."""
        return {
            "supervised_a": self.supervised(a, labels),
            "supervised_b": self.supervised(b, labels),
            "cross_a": self.cross(a, b),
            "cross_b": self.cross(b, a),
        }

    def supervised(self, own: View, labels: Tensor) -> Tensor:
        """L_sup of a network: the protocol's supervised loss."""
        return self.context.supervised(own.logits[: own.labelled], labels)

    def cross(self, own: View, other: View) -> Tensor:
        """L_cross of a network, with the pseudo labels of the other one: CE over all voxels of all rows."""
        return cross_entropy(own.logits, other.target)


class WeightedCoTraining(CoTraining):
    """Co-training in which class weights multiply both terms of a network.

    L_sup is CE + Dice of the organs with these weights, whatever the protocol's supervised loss is, and L_cross is the
    weighted CE (xmed-lab/DHC: code/utils/loss.py DC_and_CE_loss, RobustCrossEntropyLoss).
    """

    def weights_of(self, network: str) -> Tensor:
        """Class weights ``[k]`` of a network in this step."""
        raise NotImplementedError

    def supervised(self, own: View, labels: Tensor) -> Tensor:
        """L_sup of a network with its class weights."""
        return ce_dice_organs(own.logits[: own.labelled], labels, self.weights_of(own.network))

    def cross(self, own: View, other: View) -> Tensor:
        """Weighted CE of a network; the weight of a voxel is that of its pseudo label, among the network's own."""
        return cross_entropy(own.logits, other.target, self.weights_of(own.network))


class CountedCoTraining(WeightedCoTraining):
    """Co-training with class weights that follow the number of voxels that a network predicts as each class.

    w <- m w + (1 - m) raw(n) in every step, before the losses, where n are the counts of ``counted``. Both networks
    start with the weights ``start`` of the labelled volumes.
    """

    weights_a: Tensor
    weights_b: Tensor

    weight = Hyper(
        0.1,
        "weight w of the cross terms, times the protocol's ramp",
        "xmed-lab/DHC: train_crest.py and train_simis.py -w",
    )
    momentum = Hyper(
        0.99, "fraction m of the class weights that a step keeps", "xmed-lab/DHC: code/train_crest.py, train_simis.py"
    )

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        start = self.start(context.labelled_voxels.sum(0)).float()
        self.register_buffer("weights_a", start.clone())
        self.register_buffer("weights_b", start.clone())

    def raw(self, counts: Tensor) -> Tensor:
        """Class weights ``[k]`` that follow from voxel counts ``[k]``, without their past."""
        raise NotImplementedError

    def start(self, counts: Tensor) -> Tensor:
        """First class weights ``[k]``, of voxel counts ``[k]`` of the labelled volumes."""
        return self.raw(counts)

    def counted(self, view: View) -> Tensor:
        """Predictions that are counted, ``[n z y x]``: those of the unlabelled rows."""
        return view.predicted[view.labelled :]

    def weights_of(self, network: str) -> Tensor:
        """Class weights ``[k]`` of a network in this step."""
        return self.weights_a if network == "a" else self.weights_b

    def observe(self, a: View, b: View, labels: Tensor, time: TrainingTime) -> None:
        """Update the weights of each network by its own predictions."""
        self.weights_a, self.weights_b = (self.updated(view.network, self.counted(view)) for view in (a, b))

    def updated(self, network: str, predicted: Tensor) -> Tensor:
        """Class weights ``[k]`` of a network after one more step of predictions ``[n z y x]``."""
        counts = class_counts(predicted, self.context.classes).sum(0)
        return self.momentum * self.weights_of(network) + (1 - self.momentum) * self.raw(counts)
