"""UniMatch V2: complementary channels, CutMix of certain labels, and the whole loss by numpy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.facts import facts
from torch import Tensor

from semiseg.learning.build import build_method
from semiseg.method import Batch, TrainingTime, total
from semiseg.methods.unimatch_v2 import UniMatchV2, complementary_dropout
from semiseg.params.config import Network, Training

SHAPE = (16, 16, 32)
NOW = TrainingTime(3, 100, 0, 10, 0.0)


def build(**hyper: object) -> UniMatchV2:
    torch.manual_seed(0)
    training = Training.model_construct(supervised="half_ce_dice_all")
    method = build_method(
        "unimatch_v2", hyper, Network(name="unet3d", filters=2), training, facts([900.0, 50.0, 10.0], SHAPE)
    )
    assert isinstance(method, UniMatchV2)
    return method.eval()  # without dropout


def draw() -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(4, 1, *SHAPE, generator=generator)
    return Batch(images[:2], torch.randint(3, (2, *SHAPE), generator=generator), images[2:])


def cross_entropy(logits: Tensor, labels: np.ndarray, mask: np.ndarray) -> float:
    """Sum of -ln p of the labels over the mask, divided by all voxels."""
    values = logits.detach().double().numpy()
    largest = values.max(1, keepdims=True)
    logarithms = values - largest - np.log(np.exp(values - largest).sum(1, keepdims=True))
    return float((-np.take_along_axis(logarithms, labels[:, None], 1)[:, 0] * mask).mean())


def test_views_keep_complementary_channels_and_some_crops_keep_all() -> None:
    torch.manual_seed(0)
    maps = [torch.ones(8, channels, 2, 2, 2) for channels in (40, 80)]
    for dropped in complementary_dropout(maps, whole_share=0.5):
        first, second = dropped[:4, :, 0, 0, 0], dropped[4:, :, 0, 0, 0]
        assert torch.equal(first + second, torch.full_like(first, 2.0))
        whole = (first == 1).all(1)
        assert whole.sum() == 2 and not (first[~whole] == 1).any()
        assert 0.25 < (first[~whole] == 0).float().mean() < 0.75
        assert (dropped.flatten(2).std(2) == 0).all(), "a channel is dropped as a whole"


def test_a_mixed_crop_has_the_labels_of_its_voxels() -> None:
    labels = torch.stack([torch.zeros(SHAPE), torch.full(SHAPE, -1.0)]).long()
    images = labels.unsqueeze(1).float()
    mixed, mixed_labels = build(mix_probability=1.0).mixed(images, labels)
    assert torch.equal(mixed[:, 0], mixed_labels.float()) and not torch.equal(mixed_labels, labels)
    same, same_labels = build(mix_probability=0.0).mixed(images, labels)
    assert torch.equal(same, images) and torch.equal(same_labels, labels)


def test_loss_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain views without mixing and dropout: both strong terms are the masked CE with the teacher's labels."""
    monkeypatch.setattr("semiseg.methods.unimatch_v2.strong", lambda images: images)
    method, batch = build(mix_probability=0.0, whole_share=1.0, weight=0.4, cutoff=0.5), draw()
    logits = method.teacher(batch.unlabelled).detach()
    probability = logits.softmax(1).max(1).values.numpy()
    mask = probability >= 0.5
    assert 0 < mask.mean() < 1
    terms = method.losses(batch, NOW)
    expected = cross_entropy(method.network(batch.unlabelled), logits.argmax(1).numpy(), mask)
    assert terms["first"].item() == pytest.approx(expected, rel=1e-5) == terms["second"].item()
    supervised = method.context.supervised(method.network(batch.images), batch.labels).item()
    assert total(terms, method.weights(NOW)).item() == pytest.approx(0.6 * supervised + 0.4 * expected, rel=1e-5)


def test_refined_labels_are_targets_of_the_strong_views() -> None:
    plain, refined = build(cutoff=0.0), build(cutoff=0.0)
    refined.context = replace(refined.context, refine=lambda labels, scores: (scores.argmax(1) + 1) % 3)
    found = []
    for method in (plain, refined):
        torch.manual_seed(1)
        found.append(method.losses(draw(), NOW))
    assert {name for name in found[0] if not torch.equal(found[0][name], found[1][name])} == {"first", "second"}
