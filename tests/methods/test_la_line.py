"""What the cases of the official codes do not show of the methods of the LA tables; numbers by hand."""

import pytest
import torch
from support.facts import facts

from semiseg.learning.build import build_method
from semiseg.method import Batch, TrainingTime
from semiseg.methods.mlrpl import taught
from semiseg.methods.parts import sdc_ssl_shape
from semiseg.methods.parts.cac4ssl_contrast import anchors, contrast
from semiseg.params.config import Network

SIDES = (16, 16, 16)


def build(name, classes=2, **hyper):
    torch.manual_seed(0)
    method = build_method(name, hyper, Network(name="vnet", filters=1), None, facts([4.0] * classes, SIDES))
    return method.train()


def batch(rows=2):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2 * rows, 1, *SIDES, generator=generator)
    return Batch(images[:rows], torch.randint(2, (rows, *SIDES), generator=generator), images[rows:])


def moment(iteration, iterations=100, epoch=0, epochs=10):
    return TrainingTime(iteration, iterations, epoch, epochs, ramp=1.0)


def test_a_step_without_a_voxel_to_teach_is_zero():
    scores, target = torch.zeros(1, 2, 2, 2, 2), torch.zeros(1, 2, 2, 2, dtype=torch.long)
    nothing, weight = torch.zeros(1, 2, 2, 2, dtype=torch.bool), torch.ones(1, 2, 2, 2)
    assert taught(scores, target, nothing, weight) == 0


def test_anchors_are_the_disagreeing_voxels_with_the_smallest_scores():
    disagree = torch.tensor([[[[True, False, True, True]]], [[[False] * 4]]])
    scores = torch.tensor([0.5, 0.1, 0.2, 0.9]).expand(2, 1, 1, 4)
    places, valid = anchors(disagree, scores, 2)
    assert places[0].tolist() == [2, 0] and valid.tolist() == [[True, True], [False, False]]
    vectors = torch.randn(2, 3, 1, 1, 4)
    both, first = (contrast(vectors[:n], vectors[:n], places[:n], valid[:n], 0.07) for n in (2, 1))
    assert both == pytest.approx(float(first) / 2), "a crop in which the decoders agree adds 0"


def test_the_pseudo_distance_of_masks_counts_voxels_that_are_exactly_one():
    mask = torch.tensor([0.0, 0.9999999, 1.0, 1.0, 1.0]).view(1, 1, 1, 1, 5)
    assert sdc_ssl_shape.pseudo_distance(mask).flatten().tolist() == pytest.approx([1, 0.5, 0, -2 / 3, -1])


@pytest.mark.parametrize(("bd_sign", "shape_grad"), [(-1, False), (1, False), (-1, True)])
def test_switches_of_sdc_ssl(bd_sign, shape_grad):
    method = build("sdc_ssl", bd_sign=bd_sign, shape_grad=shape_grad)
    mask, found = torch.full((1, 1, 1, 1, 5), 0.5), torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0]).view(1, 1, 1, 1, 5)
    edge = 0.5 * (1 + 0.5 + 0 - 2 / 3 - 1) / 5
    assert float(method.consistency(mask, found)) == pytest.approx(0.25 + bd_sign * 0.1 * edge)
    terms = method.losses(batch(), moment(0))
    assert ("shape_of_networks" in terms) is shape_grad
    if shape_grad:
        terms["shape_of_networks"].backward()
        assert method.seg.head.weight.grad is not None
        assert method.weights(moment(0))["shape_of_networks"] == 2


def test_the_rate_of_the_autoencoder_falls_with_the_epochs_and_not_with_that_of_the_networks():
    """Ten steps an epoch; the code counts one epoch more."""
    method = build("sdc_ssl")
    factors = [method.adversary_rates(moment(10 * epoch, epoch=epoch), 0.1) for epoch in (5, 7)]
    assert factors == [{"autoencoder": 1.0}, {"autoencoder": pytest.approx(1 - (7 - 5) / 6)}]


def test_sticky_noise_is_kept_from_view_to_view():
    method, images = build("rcps", sticky_noise=True), batch(1).images
    assert method.noise.shape == (1, 1, *SIDES) and method.noise.eq(0).all()
    torch.manual_seed(3)
    first = method.views(images, images)
    kept = method.noise.clone()
    assert len(first) == 4 and kept.ne(0).any()
    assert "noise" in method.state_dict(), "a resumed run needs it"
    assert build("rcps").noise.numel() == 0
