"""Checkpoints of the official codes: random weights under the official names predict as the official network does."""

import json

import pytest
import torch
from support import ROOT
from support.facts import facts
from support.official_networks import METHODS, official

from semiseg.base.errors import UserError
from semiseg.learning import weights
from semiseg.learning.brought_weights import Brought, bring
from semiseg.learning.build import build_method
from semiseg.learning.loop import network_weights
from semiseg.params.config import Network

SIDES = (16, 16, 16)


def build(name, classes=2, network="vnet", filters=2):
    torch.manual_seed(8)
    return build_method(name, {}, Network(name=network, filters=filters), None, facts([4.0] * classes, SIDES)).eval()


def saved(networks, folder):
    """The files that the official scripts write, as a user names them: some bare, some wrapped."""
    files = []
    for name, network in networks.items():
        state = network.state_dict()
        content = {"net": state, "epoch": 3} if name else {f"module.{key}": tensor for key, tensor in state.items()}
        path = folder / f"{name or 'only'}.pth"
        torch.save(content, path)
        files.append(Brought(path, name))
    return files


def brought(networks, folder):
    """The tensors of these networks after `semiseg import-weights`."""
    bring(saved(networks, folder), {}, folder / "brought.safetensors")
    return weights.load(folder / "brought.safetensors")[0]


@pytest.mark.parametrize("name", METHODS)
@torch.no_grad()
def test_the_official_prediction(name, tmp_path):
    networks, method, image = official(name), build(name), torch.randn(2, 1, *SIDES)
    given = method.from_official(brought(networks, tmp_path))
    method.start_from(given)
    expected = torch.stack([network(image) for network in networks.values()]).mean(0)
    found = method.predict(image, method.inference_networks)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert float(expected[:, 1].std()) > 1e-3, "a constant would be nothing to compare"
    own = method.state_dict()
    assert all(torch.equal(own[ours], tensor) for ours, tensor in given.items())


@pytest.mark.parametrize("name", METHODS)
def test_the_official_names_are_those_of_the_step_cases(name):
    """The networks of this test have every parameter of a case that the official script for LA made."""
    cases = json.loads((ROOT / f"tests/steps/cases/{name}.json").read_text(encoding="utf-8"))["cases"]
    case = next(one for one in cases if one["setting"].get("line", "la").lower() == "la")
    known = {key for network in official(name).values() for key, _ in network.named_parameters()}
    for network in case["networks"].values():
        assert {key for key, _ in network["parameters"]} <= known


def test_bcp_takes_its_checkpoints_for_the_pancreas_and_those_without_heads(tmp_path):
    """There the last block and the head have other names, and normalisation has no weights."""
    plain = official("ua_mt")[""].state_dict()
    plain = {key: tensor for key, tensor in plain.items() if not is_norm(key)}
    names = {"block_nine.conv.": "branchs.0.0.conv.", "out_conv.": "branchs.0.1."}
    pancreas = {}
    for key, tensor in plain.items():
        for bare, official_name in names.items():
            key = key.replace(bare, official_name)
        pancreas[key] = tensor
    method = build("bcp", network="vnet_magic")
    for form in (pancreas, plain):
        found = method.from_official(form)
        assert torch.equal(found["student.head.weight"], plain["out_conv.weight"])
        assert len(found) == len(plain)


def is_norm(key):
    """Whether a tensor of a V-Net belongs to a batch norm, which is each second layer of weights."""
    *_, layer, _ = key.split(".")
    return layer.isdigit() and int(layer) % 3 == 1


def test_the_weights_of_a_run_here_are_taken_as_they_are():
    first, second = build("mc_net_plus"), build("mc_net_plus")
    given = network_weights(first, first.inference_networks)
    assert second.from_official(given).keys() == given.keys()


def test_old_files_without_counts_of_batches_are_taken(tmp_path):
    tensors = brought(official("ua_mt"), tmp_path)
    old = {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
    assert len(old) < len(tensors)
    build("ua_mt").start_from(build("ua_mt").from_official(old))


WRONG = {
    "another architecture": (
        lambda: brought_from("dtc"),
        "ua_mt",
        r"^it holds out_conv2\.bias, out_conv2\.weight, which UAMT has no place for$",
    ),
    "a part of it": (
        lambda: {"block_one.conv.0.weight": torch.zeros(2, 1, 3, 3, 3)},
        "ua_mt",
        r"^it lacks block_eight\.conv\.0\.bias, .* and \d+ more, which UAMT predicts with$",
    ),
    "another number of filters": (
        lambda: official("ua_mt", filters=1)[""].state_dict(),
        "ua_mt",
        r"weight has shape \(\d+, .*\), and UAMT needs \(",
    ),
    "one of two networks": (lambda: brought_from("ua_mt"), "mcf", r"^it holds block_.*, which MCF has no place for$"),
}


def size(network):
    return sum(each.numel() for each in network.parameters())


def brought_from(name):
    return official(name)[""].state_dict()


@pytest.mark.parametrize("what", WRONG)
def test_weights_that_do_not_fit_are_one_sentence(what):
    tensors, name, sentence = WRONG[what]
    method = build(name)
    with pytest.raises(UserError, match=sentence):
        method.start_from(method.from_official(tensors()))


def test_weights_for_other_classes_are_one_sentence():
    method = build("ua_mt", classes=3)
    with pytest.raises(UserError, match=r"student\.head\..* has shape \(2.*\), and UAMT needs \(3"):
        method.start_from(method.from_official(official("ua_mt")[""].state_dict()))


def test_the_networks_here_are_as_large_as_the_published_ones():
    counts = {name: size(official(name, 16)[""]) for name in ("ss_net", "caml")}
    assert counts == {"ss_net": 9457318, "caml": 20128836}
