"""Sides of crops and windows: the planner refuses without torch what torch itself cannot compute."""

import pytest
import torch
from support import params_yaml

from semiseg import catalogue
from semiseg.base.errors import UserError
from semiseg.graph.sides import crops_do_not_fit
from semiseg.network import build
from semiseg.params.config import Protocol

CONTENT = params_yaml.content()


def protocol(network, patch, window, crops=1):
    content = dict(CONTENT["protocols"]["demo"])
    content["network"] = {"name": network, "filters": 2}
    content["training"] = {**content["training"], "patch": patch, "batch": {"labelled": crops, "unlabelled": 2}}
    content["inference"] = {"window": window, "stride": [1, 1, 1]}
    return Protocol.model_validate(content)


def runs(network, sides, crops, *, training):
    """Whether torch itself passes crops of these sides through the network."""
    net = build(network, 1, 2, "default", filters=2).train(training)
    try:
        with torch.no_grad():
            net(torch.zeros(crops, 1, *sides))
    except (ValueError, UserError):
        return False
    return True


OF_CROPS = [name for name in catalogue.entries("networks") if name != "sam"]  # whose methods resize slices of crops


@pytest.mark.parametrize("network", OF_CROPS)
@pytest.mark.parametrize("sides", [(16, 16, 16), (16, 16, 32), (32, 16, 16), (16, 24, 16), (8, 16, 16)])
@pytest.mark.parametrize("crops", [1, 2])
def test_crops_and_windows_are_refused_exactly_where_torch_fails(network, sides, crops):
    good = (32, 32, 32)
    assert (crops_do_not_fit(protocol(network, sides, good, crops)) is None) == runs(
        network, sides, crops, training=True
    )
    assert (crops_do_not_fit(protocol(network, good, sides)) is None) == runs(network, sides, 1, training=False)
