"""Supervised baseline: labelled crops alone (rows "V-Net", "3D U-Net", "Sup only", "Fully").

Every crop of the batch is a labelled one, as in yulequan/UA-MT: code/train_LA.py and xmed-lab/DHC: code/train_fully.py.
No script of the row "Sup only" is published with kimjisoo12/GuidedNet; it is taken as the same algorithm.
"""

from torch import nn

from semiseg.method import Batch, Method, Terms, TrainingTime


class SupOnly(Method):
    """L = L_sup(f(x), y)."""

    networks = {"network": "default"}
    inference_networks = ("network",)
    labelled_only = True
    network: nn.Module

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """The protocol's supervised loss."""
        return {"supervised": self.context.supervised(self.network(batch.images), batch.labels)}
