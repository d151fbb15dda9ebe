"""Base of both stages of BCP: one trained network, the student, and its names in the official checkpoints.

Source: DeepMed-Lab-ECNU/BCP: code/networks/net_factory.py, code/pancreas/Vnet.py.
"""

from collections.abc import Mapping

from semiseg.method import Method
from semiseg.network import Backbone, in_two, within

PANCREAS = {"block_nine.conv": "branchs.0.0.conv", "out_conv": "branchs.0.1"}  # names of vnet -> those of code/pancreas


class BCPStudent(Method):
    """The student predicts. The official class for LA has the heads of SS-Net as well, which it does not use."""

    networks: Mapping[str, str] = {"student": "default"}
    inference_networks = ("student",)
    official_unused = ("projection_head.", "prediction_head.", "contrastive_class_selector_")
    student: Backbone

    def official_modules(self) -> list[dict[str, str]]:
        """The names in checkpoints for LA, for the pancreas, and of a plain vnet."""
        plain = {
            ours: official.removeprefix("encoder.").removeprefix("decoder.")
            for ours, official in self.student.official_modules().items()
        }
        pancreas = dict(plain)
        for name, official in PANCREAS.items():
            pancreas = {ours: theirs.replace(name, official) for ours, theirs in pancreas.items()}
        return [within("student", names) for names in (in_two(plain, "encoder", "decoder"), pancreas, plain)]
