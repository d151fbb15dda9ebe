"""GuidedNet beyond its golden cases: blocks, switches, layers, half precision, corner cases."""

import pytest
import torch
from support.facts import facts
from torch import Tensor

from semiseg.blocks.class_counts import BLOCK_VALUES, class_counts, prototypes
from semiseg.blocks.class_weights import knowledge_weights
from semiseg.blocks.losses import cross_entropy
from semiseg.learning.build import build_method
from semiseg.method import Batch, Method, TrainingTime
from semiseg.methods.parts import guidednet_similarity
from semiseg.params.config import Network, Training

NOW = TrainingTime(9000, 20000, 0, 1, 0.5)


def build(classes: int = 3, **hyper: object) -> Method:
    training = Training.model_construct(supervised="half_ce_dice_all")
    voxels = [10.0 ** (4 - k) for k in range(classes)]
    return build_method("guidednet", hyper, Network(name="unet3d", filters=2), training, facts(voxels))


def draw(labelled: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 1, 32, 32, 32, generator=generator)
    labels = torch.randint(3, (1, 32, 32, 32), generator=generator)
    return Batch(images[:labelled], labels[:labelled], images[labelled:])


def leaves() -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Labels of 2 crops with 4 of 5 classes, one missing in the first; features and logits of 4 crops, 2 networks."""
    generator = torch.Generator().manual_seed(7)
    labels = torch.randint(4, (2, 3, 5, 7), generator=generator)
    labels[0][labels[0] == 2] = 1
    features = [torch.randn(4, 6, 3, 5, 7, generator=generator).relu().requires_grad_() for _ in range(2)]
    logits = [torch.randn(4, 5, 3, 5, 7, generator=generator).mul(3).requires_grad_() for _ in range(2)]
    return labels, features, logits


def gradients(labels: Tensor, features: list[Tensor], logits: list[Tensor], rule) -> tuple[list[Tensor], list[Tensor]]:
    counts = class_counts(labels, 5)
    centres = [prototypes(feature[:2], labels, counts) for feature in features]
    pairs = list(zip(features, logits, strict=True))
    terms = [part.sum() for part in rule(labels, (counts > 0).float(), pairs, centres)]
    slopes = [
        slope
        for term in terms
        for slope in torch.autograd.grad(term, features + logits, retain_graph=True, allow_unused=True)
    ]
    like = [tensor for _ in terms for tensor in features + logits]
    filled = [torch.zeros_like(of) if slope is None else slope for slope, of in zip(slopes, like, strict=True)]
    return terms, filled


@pytest.mark.parametrize("voxels_per_block", [1, 8, 1000])
def test_values_and_gradients_equal_the_reference(voxels_per_block, monkeypatch) -> None:
    inputs = leaves()
    expected = gradients(*inputs, guidednet_similarity.reference_similarity_losses)
    monkeypatch.setitem(BLOCK_VALUES, "cpu", voxels_per_block * 2 * 4 * 5)
    obtained = gradients(*inputs, guidednet_similarity.similarity_losses)
    for ours, theirs in zip(obtained[0] + obtained[1], expected[0] + expected[1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


def test_prototypes_by_hand() -> None:
    features = torch.tensor([[1.0, 3.0, 10.0], [0.0, 4.0, 20.0]]).view(1, 2, 1, 1, 3)
    labels = torch.tensor([0, 0, 2]).view(1, 1, 1, 3)
    centres = prototypes(features, labels, class_counts(labels, 3))
    torch.testing.assert_close(centres[0], torch.tensor([[2.0, 2.0], [0.0, 0.0], [10.0, 20.0]]), rtol=1e-5, atol=1e-5)


def test_switches_take_terms_out() -> None:
    supervised = {"supervised_a", "supervised_b"}
    assert set(build(cgmm=False).losses(draw(), NOW)) == supervised | {"cross"}
    row = build(loss_max=False, loss_cons=False).losses(draw(), NOW)  # Table 4, {gt, self}
    assert set(row) == supervised | {"gt", "self", "rectify", "cross"}


def test_the_released_rectification_has_the_value_and_no_gradient() -> None:
    """In float16 no gradient survives at the published crop; ``paper`` is eq. 13."""
    values = {}
    for form in ("released", "paper"):
        torch.manual_seed(0)
        method = build(rectify=form)
        for module in method.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        term = method.losses(draw(), NOW)["rectify"]
        assert term.requires_grad is (form == "paper")
        assert method.logged_only == ({"rectify"} if form == "released" else set())
        values[form] = term.detach()
    torch.testing.assert_close(values["released"], values["paper"])


def test_class_weights_change_only_with_kt_weights() -> None:
    for switch in (True, False):
        method = build(kt_weights=switch)
        before = method.class_weights.clone()
        method.losses(draw(), NOW)
        assert torch.equal(method.class_weights, before) is not switch


@pytest.mark.parametrize("layer", [1, 2, 3, 4])
def test_every_decoder_layer_can_guide(layer: int) -> None:
    method = build(cgmm_layer=layer)
    method.losses(draw(), NOW)["gt"].backward()
    weight = method.a.decoder.blocks[layer - 1][0][0].weight
    assert weight.grad is not None and weight.grad.abs().sum() > 0


def test_half_precision_inputs_are_computed_in_float32() -> None:
    labels, *exact = leaves()
    rounded = [[tensor.detach().bfloat16().requires_grad_() for tensor in tensors] for tensors in exact]
    exact = [[tensor.detach().float().requires_grad_() for tensor in tensors] for tensors in rounded]
    with torch.autocast("cpu", torch.bfloat16):
        terms, slopes = gradients(labels, *rounded, guidednet_similarity.similarity_losses)
    expected = gradients(labels, *exact, guidednet_similarity.reference_similarity_losses)
    torch.testing.assert_close(terms, expected[0])  # same dtype too: float32
    torch.testing.assert_close([slope.float() for slope in slopes], expected[1], rtol=2e-2, atol=1e-5)


def test_only_background_pseudo_labels_give_zero_not_nan() -> None:
    logits = torch.randn(1, 3, 2, 2, 2, requires_grad=True)
    loss = cross_entropy(logits, torch.zeros(1, 2, 2, 2, dtype=torch.int64), torch.tensor([0.0, 1.0, 2.0]))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_equal_counts_weigh_all_classes_alike() -> None:
    assert knowledge_weights(torch.full((4,), 7.0)).tolist() == [1, 1, 1, 1]
