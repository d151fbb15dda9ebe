"""SKCDF beyond its golden and step cases: numbers of crops, masks on the loss, what predicts, unsuitable settings."""

import pytest
import torch
from support.facts import facts

from semiseg.base.errors import UserError
from semiseg.learning.build import Facts, build_method
from semiseg.learning.loop import network_weights
from semiseg.method import Batch, TrainingTime
from semiseg.methods.parts.skcdf_attention import ChannelAttention, product_variance
from semiseg.methods.parts.skcdf_balance import dice_ce, keep_chance, kept, masked_dice_ce
from semiseg.methods.skcdf import SKCDF
from semiseg.params.config import Network

SIDES = (32, 32, 32)
NOW = TrainingTime(5, 10, 5, 10, 1.0)


def build(patch: tuple[int, int, int] = SIDES, voxels: list[list[float]] | None = None, **hyper: object) -> SKCDF:
    run = facts([900.0, 50.0, 10.0], patch) if voxels is None else Facts(voxels, 1, patch, patch)
    torch.manual_seed(0)
    method = build_method("skcdf", hyper, Network(name="vnet", filters=1), None, run)
    assert isinstance(method, SKCDF)
    return method


def test_the_closed_form_is_the_variance_of_the_product() -> None:
    queries, keys = torch.randn(2, 3, 10, 4) + 50, torch.randn(2, 3, 7, 4) - 30  # means far above the deviations
    whole = (queries.double() @ keys.double().mT).var((-2, -1), correction=0, keepdim=True)
    torch.testing.assert_close(product_variance(queries, keys).double(), whole, rtol=1e-4, atol=0)


def test_one_labelled_crop_attends_to_three_others_as_if_their_channels_were_of_one_crop() -> None:
    torch.manual_seed(0)
    attention, tokens = ChannelAttention(3, 2, 0.0, local=True), torch.randn(4, 2, 8, 3, requires_grad=True)
    found = attention(tokens, 1)
    queries = (tokens[0, 1] @ attention.q.weight.T).T
    keys, values = (
        torch.cat([(crop[1] @ layer.weight.T).T for crop in tokens[1:]]) for layer in (attention.k, attention.v)
    )
    matrix = queries @ keys.T
    normal = (matrix - matrix.mean()) / (matrix.var(correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(found[0, 1], (normal.softmax(1) @ values).T @ attention.out.weight.T)
    (gradient,) = torch.autograd.grad(found.square().sum(), tokens)
    assert gradient[0].abs().sum() > 0
    assert gradient[1:].abs().sum() == 0, "no gradient reaches unlabelled crops"


def test_a_batch_may_have_any_number_of_crops() -> None:
    method = build()
    images, labels = torch.randn(4, 1, *SIDES), torch.randint(3, (1, *SIDES))
    terms = method.losses(Batch(images[:1], labels, images[1:]), NOW)
    assert all(term.isfinite() for term in terms.values())


def test_a_voxel_is_kept_with_the_chance_of_its_class() -> None:
    torch.manual_seed(0)
    labels = torch.arange(3).repeat_interleave(40000).view(1, 3, 200, 200)
    shares = kept(labels, keep_chance(torch.tensor([0.1, 0.5, 1.0]), 0.5)).double().mean((0, 2, 3))
    torch.testing.assert_close(shares, torch.tensor([0.55, 0.75, 1.0]).double(), rtol=0, atol=0.01)


def test_a_mask_on_the_loss_leaves_out_what_is_outside_of_it() -> None:
    logits, labels = torch.randn(2, 3, 2, 4, 4), torch.randint(3, (2, 2, 4, 4))
    mask = torch.zeros(2, 2, 4, 4, dtype=torch.bool)
    mask[:, :1] = True  # half of the voxels
    inside = logits[:, :, :1], labels[:, :1]
    entropy = torch.nn.functional.cross_entropy(*inside)
    torch.testing.assert_close(masked_dice_ce(logits, labels, mask, "loss"), dice_ce(*inside) - entropy / 2)
    torch.testing.assert_close(masked_dice_ce(logits, labels, ~mask | mask, "loss"), dice_ce(logits, labels))


@pytest.mark.parametrize("decoder", ["unlabelled", "labelled"])
def test_the_named_decoder_predicts_and_nothing_else_is_kept(decoder: str) -> None:
    method = build((16, 16, 32), skcm=False, infer_decoder=decoder).eval()
    branch, image = getattr(method, decoder), torch.randn(1, 1, 16, 16, 32)
    with torch.no_grad():
        main = branch.logits(method.predictor.network.encode(image))[0]
        torch.testing.assert_close(method.predict(image, method.inference_networks), main.softmax(1))
    saved = {name.removeprefix("predictor.") for name in network_weights(method, ("predictor",))}
    assert saved == {f"network.{name}" for name in method.predictor.network.state_dict()}


def test_one_decoder_serves_both_where_the_flow_is_not_decoupled() -> None:
    method = build(flow="baseline", skcm=False)
    before = {name: weight.clone() for name, weight in method.named_parameters()}
    images, labels = torch.randn(4, 1, *SIDES), torch.randint(3, (2, *SIDES))
    method.losses(Batch(images[:2], labels, images[2:]), NOW)
    assert method.labelled is method.unlabelled
    assert all(torch.equal(weight, before[name]) for name, weight in method.named_parameters()), "no transfer"


def test_the_ratios_are_those_of_the_first_four_cases_by_name() -> None:
    """The list of a split need not be sorted."""
    index = {"cases": {name: {"voxels": [40.0, 10.0]} for name in "abcd"} | {"e": {"voxels": [0.0, 1000.0]}}}
    run = Facts.of(index, {"labelled": ["e", "b", "a", "d", "c"], "unlabelled": ["f"]}, SIDES, SIDES)
    for cases, ratio in ((4, [0.25, 1.0]), (5, [1.0, 160 / 1040])):
        method = build(voxels=[list(row) for row in run.labelled_voxels], counted_cases=cases)
        torch.testing.assert_close(method.ratio, torch.tensor(ratio).double())


@pytest.mark.parametrize(
    ("sentence", "patch", "hyper"),
    [
        ("halves each side of the deepest map, which has 2 x 3 x 2 positions here", (32, 48, 32), {}),
        ("the labelled decoder takes features in which crops attend to others", SIDES, {"infer_decoder": "labelled"}),
        ("SKCDF.heads must be 1 or more; found 0", SIDES, {"heads": 0}),
        ("SKCDF.counted_cases must be 1 or more; found 0", SIDES, {"counted_cases": 0}),
        ("transfer_order must be one of .*; found 'H_u'", SIDES, {"transfer_order": "H_u"}),
    ],
)
def test_what_cannot_be_built_is_refused(sentence: str, patch: tuple[int, int, int], hyper: dict[str, object]) -> None:
    with pytest.raises(UserError, match=sentence):
        build(patch, **hyper)


def test_a_class_that_no_counted_case_has_is_refused_where_it_matters() -> None:
    voxels = [[10.0, 0.0, 5.0, 0.0]] * 4 + [[10.0, 5.0, 5.0, 5.0]]
    with pytest.raises(UserError, match="the first 4 labelled cases, which have no voxel of class 1, 3"):
        build(voxels=voxels)
    assert build(voxels=voxels, absh=False) is not None
    assert build(voxels=voxels, counted_cases=5) is not None


def test_a_window_of_another_size_is_refused() -> None:
    method = build().eval()
    with pytest.raises(UserError, match=r"map of 2 x 2 x 2; found 2 x 2 x 4: make inference\.window equal"):
        method.predict(torch.randn(1, 1, 32, 32, 64), method.inference_networks)
