"""Base of the methods that follow FixMatch: one trained network, and its moving average predicts."""

from collections.abc import Mapping
from typing import Literal

from torch import nn

from semiseg.method import Method
from semiseg.network import Backbone


class AveragedNetwork(Method):
    """``network`` is trained. ``teacher`` starts as its copy, and predicts.

    A method of this kind updates the teacher in ``after_step`` with ``ema.update_with_buffers``, because the teacher
    never runs in training mode and therefore has no running statistics of its own. Where it gives pseudo labels as
    well, it does so in evaluation mode.
    """

    networks: Mapping[str, str] = {"network": "default"}
    teachers: Mapping[str, str] = {"teacher": "network"}
    teacher_start: Literal["random", "copy"] = "copy"
    inference_networks = ("teacher",)
    network: Backbone
    teacher: nn.Module
