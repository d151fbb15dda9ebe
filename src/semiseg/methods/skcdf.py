"""Semantic knowledge complementarity based decoupling framework (Zhang et al., CVPR 2025).

One encoder sees all crops. The labelled decoder learns from labels and gives pseudo labels, from features in which
labelled and unlabelled crops have attended to each other. The unlabelled decoder learns from these alone, and absorbs
the labelled one by an average of weights before each step. Each decoder has an auxiliary head, which is trained on
voxels of balanced classes and absorbed by the main head in the same way. The main head of the unlabelled decoder
predicts; nothing else is kept.
Follows yinguanchun/SKCDF: SKCDF/code/train_skcdf.py: pseudo labels come from the network in training mode, without a
threshold; DC has no factor 1/2; class ratios count four cases. Its weight w r(t) and its rate lag one epoch, which is
a matter of the protocol, and the mask's e/E does not. The supervised loss is the method's own, not the protocol's.
Departures from the code: masked losses are float32. A class that no counted case has is refused, where its voxels would
end the training. With background as the rarest class the ratios are right.
Ours (unverified): ``flow: baseline``, ``mask_mode: loss`` and all transfer orders but the default, which have no code,
and other networks than the V-Net. The orders ``D H_l H_u`` and ``H_l H_u D`` are the same computation, up to rounding.
"""

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts.skcdf_attention import SemanticComplementarity
from semiseg.methods.parts.skcdf_balance import class_ratio, dice_ce, keep_chance, kept, masked_dice_ce
from semiseg.methods.parts.skcdf_decoders import Branch, Predictor, transfer
from semiseg.network import Backbone, initialise

CODE = "yinguanchun/SKCDF: SKCDF/code/train_skcdf.py"
MODEL = "yinguanchun/SKCDF: SKCDF/code/models/SKCDF.py"


class SKCDF(Method):
    """L = DC(P, Y) + DC(m P_a, m Y) + w r(t) [DC(P_u, Y') + DC(m_u P_ua, m_u Y'_a)].

    P, P_a: logits of the labelled decoder's main and auxiliary head; P_u, P_ua: those of the unlabelled decoder; Y',
    Y'_a: pseudo labels of P, P_a; m, m_u: random masks, 1 with chance r of a voxel's class, or 1 - e/E (1 - r).
    """

    inference_networks = ("predictor",)
    requires = ("further_decoders", "even_bottleneck:skcm", "window_is_patch:skcm")
    ratio: Tensor

    weight = Hyper(10.0, "weight w of both pseudo-label terms, times the protocol's ramp", f"{CODE} --cps_w")
    ema = Hyper(0.99, "fraction of its weights that a decoder or head keeps in a transfer", f"{CODE} ema_w")
    flow = Hyper(
        "decoupled",
        "whether labels and pseudo labels train two decoders, or one without transfers of weights",
        f"{CODE}; CVPR 2025, Table 3 for baseline",
        ("decoupled", "baseline"),
    )
    decoder_ema = Hyper(True, "whether weights are transferred at all", f"{CODE}; CVPR 2025, Table 4")
    skcm = Hyper(True, "whether there is attention between crops", f"{MODEL}; CVPR 2025, Table 3")
    absh = Hyper(True, "whether decoders have auxiliary heads", f"{MODEL}; CVPR 2025, Table 3")
    transfer_order = Hyper(
        "H_l D H_u",
        "transfers before a step: D to the unlabelled decoder, H_l and H_u (with absh) to a main head",
        f"{CODE}; CVPR 2025, Table 5 for the others",
        ("H_l D H_u", "D", "H_l D", "D H_l H_u", "H_l H_u D"),
    )
    infer_decoder = Hyper(
        "unlabelled", "the decoder that predicts", f"{CODE}; CVPR 2025, Table 4", ("unlabelled", "labelled")
    )
    mask_mode = Hyper(
        "logits", "what the masks multiply", f"{CODE}; CVPR 2025, Eq. 17 and 19 for loss", ("logits", "loss")
    )
    counted_cases = Hyper(4, "labelled cases whose voxels give the ratios r, the first by name", f"{CODE} num_sample")
    heads = Hyper(2, "heads of the attention", f"{MODEL} num_heads")
    attention_dropout = Hyper(0.1, "dropout of attention matrices and outputs", f"{MODEL} attention_dropout_rate")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        if self.skcm and self.infer_decoder == "labelled":
            raise UserError(
                "SKCDF.infer_decoder: the labelled decoder takes features in which crops attend to others, and a window"
                " has no others: set skcm to false, or infer_decoder to unlabelled"
            )
        network, attention = cast(Backbone, context.network("default", context.classes)), None
        if self.skcm:
            z, y, x = (side // network.divisor for side in context.patch)
            attention = SemanticComplementarity(network.widths[-1], (z, y, x), self.heads, self.attention_dropout)
        self.predictor = Predictor(network, attention)
        self.auxiliary = self.new_head(network) if self.absh else None
        self.labelled = self.unlabelled = own = Branch(network.decoder, network.head, self.auxiliary)
        if self.flow == "decoupled":
            auxiliary = self.new_head(network) if self.absh else None
            other = Branch(network.new_decoder(), self.new_head(network), auxiliary)
            self.other = other.registered()
            self.labelled, self.unlabelled = (own, other) if self.infer_decoder == "labelled" else (other, own)
        initialise(self, "xavier")
        if self.absh:
            self.register_buffer("ratio", class_ratio(context.labelled_voxels, self.counted_cases))

    def new_head(self, network: Backbone) -> nn.Module:
        """A head as the network's own: one convolution 1x1x1."""
        return nn.Conv3d(network.widths[0], self.context.classes, 1)

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Transfers of weights, then both supervised terms, then both pseudo-label terms."""
        if self.decoder_ema and self.flow == "decoupled":
            transfer(self.transfer_order, self.labelled, self.unlabelled, self.ema)
        count = len(batch.images)
        labelled = self.labelled.logits(self.predictor.maps(batch.everything, count))
        unlabelled = self.unlabelled.logits(self.predictor.maps(batch.unlabelled))
        truth, pseudo = [batch.labels] * 2, [logits[count:].argmax(1) for logits in labelled]
        return {
            **self.terms("supervised", [logits[:count] for logits in labelled], truth, progress=1),
            **self.terms("pseudo", unlabelled, pseudo, progress=time.epoch / time.epochs),
        }

    def terms(self, name: str, logits: list[Tensor], labels: list[Tensor], progress: float) -> Terms:
        """DC of the main head, and of the auxiliary one with its mask; logits and labels of each head.

        progress: 0 where every voxel is kept, 1 where voxels are kept with the ratio of their class.
        """
        terms = {name: dice_ce(logits[0], labels[0])}
        if self.absh:
            mask = kept(labels[1], keep_chance(self.ratio, progress))
            terms[f"{name}_balanced"] = masked_dice_ce(logits[1], labels[1], mask, self.mask_mode)
        return terms

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight w r(t) of the pseudo-label terms."""
        return dict.fromkeys(("pseudo", "pseudo_balanced") if self.absh else ("pseudo",), self.weight * time.ramp)
