"""PLBOpt: its equations with numbers by hand, whole steps by numpy, and what becomes of the method that it wraps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from semiseg import catalogue
from semiseg.base.errors import UserError
from semiseg.blocks.losses import cross_entropy
from semiseg.learning.batches import derived_maps
from semiseg.method import Batch, Context, Method, TrainingTime, method_class, total
from semiseg.methods.parts.plbopt_base import Base
from semiseg.methods.parts.plbopt_superpixels import entropies, refined, superpixels
from semiseg.methods.parts.plbopt_triplets import (
    Bank,
    Vectors,
    confidence_levels,
    mutual_correction,
    on_border,
    triplet_loss,
)
from semiseg.methods.plbopt import ALGORITHMS, BASES
from semiseg.network import build as build_network

Array = NDArray[Any]
CLASSES, SHAPE, DEEP = 4, (2, 6, 6), (16, 16, 32)
NOW = TrainingTime(iteration=7, iterations=10, epoch=2, epochs=4, ramp=0.5)
OFF = {"refine": False, "triplet": False, "correction": False}
HERE = [name for name in BASES if name in catalogue.entries("methods")]


class Small(nn.Module):
    """A network of two pointwise layers, which takes crops of any size: logits = head(tanh(body(image)))."""

    widths = (3,)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body, self.head = nn.Conv3d(1, 3, 1), nn.Conv3d(3, channels, 1)
        with torch.no_grad():
            self.head.weight.mul_(4)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(image).tanh())
        return logits


def small(rule: str, channels: int) -> nn.Module:
    return Small(channels)


def deep(rule: str, channels: int) -> nn.Module:
    """A network that serves every base."""
    return build_network("unet3d_ds", 1, channels, rule, filters=2)


def build(
    name: str = "plbopt",
    network: Callable[[str, int], nn.Module] = small,
    wrapped: dict[str, Any] | None = None,
    **hyper: Any,
) -> Any:
    torch.manual_seed(0)
    context = Context(
        classes=CLASSES,
        network=network,
        supervised=cross_entropy,
        labelled_voxels=torch.tensor([[900.0, 50.0, 40.0, 20.0]], dtype=torch.float64),
        unlabelled_cases=8,
        patch=SHAPE if network is small else DEEP,
        window=SHAPE if network is small else DEEP,
        wrapped=wrapped or {},
    )
    return method_class(name)(context, **hyper)


def draw(method: Method, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = 2 * torch.randn(4, 1, *method.context.patch, generator=generator)
    labels = torch.randint(CLASSES, (2, *method.context.patch), generator=generator)
    return Batch(images[:2], labels, images[2:], maps=derived_maps(method.derive, images[2:]))


def test_entropy_of_the_mean_probabilities_of_regions() -> None:
    probabilities = torch.tensor([[0.5, 0.5], [0.9, 0.1], [1.0, 0.0], [0.0, 1.0]])
    found = entropies(probabilities, torch.tensor([0, 1, 3, 3]), 4)
    torch.testing.assert_close(found, torch.tensor([0.693147, 0.325083, 0.0, 0.693147]))


def test_an_uncertain_organ_contracts_and_an_uncertain_rest_takes_the_organ() -> None:
    """Three superpixels of four voxels: label 1 uncertain, the rest uncertain, and neither above the limit."""
    labels = torch.tensor([[1, 1, 0, 2], [1, 1, 1, 0], [2, 0, 0, 2]]).view(1, 1, 3, 4)
    even, sure, likely = [0.4, 0.3, 0.3], [0.96, 0.02, 0.02], [0.8, 0.15, 0.05]
    rows = [[even, even, sure, sure], [sure, sure, sure, even], [likely, sure, sure, likely]]
    probabilities = torch.tensor(rows).view(1, 1, 3, 4, 3).permute(0, 4, 1, 2, 3)
    ids = torch.arange(3).view(1, 1, 3, 1).expand(1, 1, 3, 4)
    by_hand = torch.tensor([[0, 0, 0, 2], [1, 1, 1, 1], [2, 0, 0, 2]]).view_as(labels)
    assert torch.equal(refined(labels, probabilities, ids, 0.7), by_hand)
    assert torch.equal(refined(labels, probabilities, ids, 2.0), labels)


def test_a_superpixel_without_an_organ_or_of_one_label_stays() -> None:
    labels = torch.tensor([[0, 0], [2, 2]]).view(1, 1, 2, 2)
    ids = torch.tensor([[0, 0], [1, 1]]).view(1, 1, 2, 2)
    assert torch.equal(refined(labels, torch.full((1, 3, 1, 2, 2), 1 / 3), ids, 0.0), labels)


def test_triplet_loss_by_hand() -> None:
    a, p, n = (torch.tensor(values) for values in ((1.0, 0.0), (0.8, 0.6), (0.0, 1.0)))
    found = [triplet_loss(a, p, n, 0.5), triplet_loss(a, p, n, 2.0), triplet_loss(a, p, torch.tensor((0.6, 0.8)), 0.5)]
    torch.testing.assert_close(torch.stack(found), torch.tensor([0.0, 0.4, 0.1]))


def test_one_confident_network_corrects_the_other() -> None:
    """C = (0, 1, 1, 0) of the sheet; 0.8 itself is not confident."""

    def of(*confidence: float) -> Tensor:
        values = torch.tensor(confidence).view(1, 1, 1, 1, -1)
        return torch.cat([values, 1 - values], 1).requires_grad_()

    a, b = of(0.9, 0.9, 0.7, 0.7), of(0.95, 0.6, 0.85, 0.5)
    loss = mutual_correction(a, b, 0.8, "unsure", "disputed")
    loss.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loss, torch.tensor((2 * 0.3**2 + 2 * 0.15**2) / 2))
    assert a.grad is not None and b.grad is not None
    assert a.grad[0, 0].flatten().ne(0).tolist() == [False, False, True, False]
    assert b.grad[0, 0].flatten().ne(0).tolist() == [False, True, False, False]
    torch.testing.assert_close(mutual_correction(a, b, 0.8, "both", "crops"), torch.tensor(2 * 0.3**2 + 2 * 0.15**2))
    assert mutual_correction(of(0.8), of(0.5), 0.8, "unsure", "disputed") == 0


def test_a_bank_keeps_the_newest_and_gives_those_of_earlier_steps() -> None:
    bank = Bank(1, 3, 1)

    def push(*values: float) -> list[float]:
        new = torch.tensor(values).view(1, -1, 1)
        old = bank.push(Vectors(new, torch.zeros(1, len(values)), torch.ones(1, len(values), dtype=torch.bool)))
        return sorted(old.values[old.valid].flatten().tolist())

    assert push(1.0, 2.0) == []
    assert push(3.0, 4.0) == [2.0], "1 is the oldest"
    assert push(5.0) == [3.0, 4.0]
    assert sorted(bank.memory.vectors[0, :, 0].tolist()) == [3.0, 4.0, 5.0]
    assert push(6.0, 7.0, 8.0, 9.0) == []


def test_borders_and_levels_by_hand() -> None:
    labels = torch.zeros(1, 1, 4, 5, dtype=torch.long)
    labels[0, 0, :, 2:] = 1
    assert on_border(labels).nonzero()[:, 3].unique().tolist() == [1, 2]
    confidence = torch.tensor([0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99]).view(1, 1, 1, 7)
    organs = torch.tensor([1, 1, 1, 1, 1, 1, 0]).view(1, 1, 1, 7)
    assert confidence_levels(confidence, organs, 3).flatten().tolist() == [0, 0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_superpixels_are_numbered_slice_by_slice(algorithm: str) -> None:
    rng = np.random.default_rng(0)
    image = np.kron(rng.standard_normal((2, 4, 4)), np.ones((1, 8, 8))).astype(np.float32)
    image[1] = 0
    found = superpixels(image, algorithm, 64)
    first, second = np.unique(found[0]), np.unique(found[1])
    assert np.array_equal(np.concatenate([first, second]), np.arange(found.max() + 1)), "no gap, no slice shares one"
    assert len(first) > 1 and np.array_equal(superpixels(image * 70 - 9, algorithm, 64), found), (
        "range has no influence"
    )


# A step by numpy, from the sheet: the base is CPS.


def forward(weights: list[Array], images: Array) -> tuple[Array, Array]:
    """Features ``[n 3]`` and probabilities ``[n k]`` of all voxels of some crops."""
    body, offset, head, bias = weights
    features = np.tanh(images.reshape(-1, 1) * body.reshape(1, 3) + offset)
    raised = np.exp(features @ head.reshape(CLASSES, 3).T + bias)
    return features, raised / raised.sum(1, keepdims=True)


def entropy(probabilities: Array) -> float:
    mean = probabilities.mean(0)
    return float(-(mean * np.log(mean)).sum())


def refined_by_numpy(labels: Array, probabilities: Array, ids: Array, limit: float) -> Array:
    new = labels.copy()
    for one in np.unique(ids):
        inside = ids == one
        counts = np.bincount(labels[inside], minlength=CLASSES)
        organ = counts[1:].argmax() + 1
        own, rest = inside & (labels == organ), inside & (labels != organ)
        if not own.any() or not rest.any():
            continue
        inner, outer = entropy(probabilities[own]), entropy(probabilities[rest])
        if inner > limit and inner > outer:
            new[own] = np.bincount(labels[rest]).argmax()
        elif outer > limit and outer > inner:
            new[inside] = organ
    return new


def borders_by_numpy(labels: Array) -> Array:
    padded = np.pad(labels.reshape(-1, *SHAPE), ((0, 0), (1, 1), (1, 1), (1, 1)), constant_values=-1)
    middle, found = padded[:, 1:-1, 1:-1, 1:-1], np.zeros((len(padded), *SHAPE), bool)
    for axis in (1, 2, 3):
        for step in (-1, 1):
            beside = np.roll(padded, step, axis)[:, 1:-1, 1:-1, 1:-1]
            found |= (beside != middle) & (beside != -1)
    return found.ravel()


def domains_by_numpy(labels: Array, probabilities: Array) -> Array:
    confidence = probabilities.max(1)
    organs = np.sort(confidence[labels > 0])
    limits = [organs[len(organs) * part // 3] for part in (1, 2)]
    return labels * 10 + np.sum([confidence >= limit for limit in limits], 0)


class Reference:
    """Losses of steps. ``kept``: border and interior vectors of earlier steps, as (domain, vector)."""

    def __init__(self, hyper: dict[str, float]) -> None:
        self.hyper, self.kept = hyper, {True: [], False: []}

    def loss(self, now: list[list[Array]], fixed: list[list[Array]], batch: Batch) -> dict[str, float]:
        """now: weights of A and of B; fixed: those of what has no gradient."""
        known, others = batch.images.double().numpy(), batch.unlabelled.double().numpy()
        truth, ids = batch.labels.numpy().ravel(), batch.maps["superpixels"].numpy()
        ids = (ids + np.array([0, 1000]).reshape(2, 1, 1, 1)).ravel()
        probabilities = [forward(weights, others)[1] for weights in fixed]
        labels = [refined_by_numpy(p.argmax(1), p, ids, self.hyper["entropy_tau"]) for p in probabilities]
        terms = {"supervised_a": 0.0, "supervised_b": 0.0, "cross": 0.0}
        for number, name in enumerate("ab"):
            labelled, unlabelled = (forward(now[number], images)[1] for images in (known, others))
            terms[f"supervised_{name}"] = -np.log(labelled[np.arange(len(truth)), truth]).mean()
            targets = np.concatenate([forward(fixed[1 - number], known)[1].argmax(1), labels[1 - number]])
            own = np.concatenate([labelled, unlabelled])
            terms["cross"] += -np.log(own[np.arange(len(targets)), targets]).mean()
        terms["triplet"] = self.triplets(now, fixed, others, labels, probabilities)
        sure = [p.max(1) > self.hyper["conf_tau"] for p in probabilities]
        apart = np.zeros(len(sure[0]))
        for unsure in (0, 1):
            mask = sure[1 - unsure] & ~sure[unsure]
            apart += mask * ((forward(now[unsure], others)[1] - probabilities[1 - unsure]) ** 2).sum(1)
        terms["correction"] = apart.sum() / max((sure[0] ^ sure[1]).sum(), 1)
        return terms

    def triplets(
        self, now: list[list[Array]], fixed: list[list[Array]], others: Array, labels: list[Array], p: list[Array]
    ) -> float:
        def unit(weights: list[Array]) -> Array:
            features = forward(weights, others)[0]
            return features / np.linalg.norm(features, axis=1, keepdims=True)

        domains = [domains_by_numpy(*one) for one in zip(labels, p, strict=True)]
        borders = [borders_by_numpy(one) for one in labels]
        values = [unit(weights) for weights in fixed]
        self.new = {
            kind: [
                (int(domains[n][v]), values[n][v], (n, v))
                for n in (0, 1)
                for v in np.flatnonzero((labels[n] > 0) & (borders[n] == kind))
            ]
            for kind in (True, False)
        }
        found = 0.0
        for number in (0, 1):
            live, sums = unit(now[number]), {level: [0.0] for level in range(3)}
            for domain, anchor, where in [one for one in self.new[True] if one[2][0] == number]:
                near = [v for d, v, at in self.kept[True] + self.new[True] if d == domain and at != where]
                far = [v for d, v, _ in self.kept[False] + self.new[False] if d == domain]
                if near and far:
                    positive, negative = max(near, key=lambda v: v @ anchor), min(far, key=lambda v: v @ anchor)
                    own = live[where[1]]
                    value = ((own - positive) ** 2).sum() - ((own - negative) ** 2).sum() + self.hyper["alpha"]
                    sums[domain % 10].append(max(0.0, value))
            found += sum(sum(values) / max(len(values) - 1, 1) for values in sums.values())
        return found

    def remember(self) -> None:
        for kind, new in self.new.items():
            self.kept[kind] += [(domain, vector, None) for domain, vector, _ in new]


def test_two_whole_steps_by_numpy() -> None:
    """Losses, and the change of every weight, which follows from differences of the losses by numpy."""
    hyper = {"entropy_tau": 0.3, "conf_tau": 0.6, "alpha": 1.5}
    method = build(base="cps", voxels_per_superpixel=8, capacity=1000, drawn=130, wrapped={"weight": 0.7}, **hyper)
    networks = [method.get_submodule(name) for name in method.inference_networks]
    weights = {"supervised_a": 1.0, "supervised_b": 1.0, "cross": 0.7 * 0.5}
    weights |= dict.fromkeys(("triplet", "correction"), 0.1 * np.exp(-5 * 0.5**2))
    reference, optimiser = Reference(hyper), torch.optim.SGD(method.parameters(), 0.1)
    for number in (0, 1):
        batch = draw(method, number)
        before = [[each.detach().double().numpy().copy() for each in network.parameters()] for network in networks]
        by_numpy = reference.loss(before, before, batch)
        terms = method.losses(batch, NOW)
        assert {name: float(term.detach()) for name, term in terms.items()} == pytest.approx(by_numpy, rel=1e-5)
        assert by_numpy["triplet"] > 0 and by_numpy["correction"] > 0
        optimiser.zero_grad()
        total(terms, method.weights(NOW)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

        def at(moved: list[list[Array]], batch: Batch = batch, fixed: list[list[Array]] = before) -> float:
            return sum(weights[name] * term for name, term in reference.loss(moved, fixed, batch).items())

        for one, network in enumerate(networks):
            for place, parameter in enumerate(network.parameters()):
                change = (parameter.detach().double().numpy() - before[one][place]).ravel()
                by_hand = [slope(at, before, one, place, entry) for entry in range(0, len(change), 5)]
                np.testing.assert_allclose(change[::5], -0.1 * np.array(by_hand), rtol=1e-3, atol=1e-6)
        reference.remember()


def slope(
    at: Callable[[list[list[Array]]], float], weights: list[list[Array]], one: int, place: int, entry: int
) -> float:
    """Derivative of a loss by one weight."""
    values = []
    for shift in (1e-6, -1e-6):
        moved = [[each.copy() for each in network] for network in weights]
        moved[one][place].ravel()[entry] += shift
        values.append(at(moved))
    return (values[0] - values[1]) / 2e-6


@pytest.mark.parametrize("base", HERE)
def test_all_off_is_the_base_and_refinement_moves_its_targets(base: str) -> None:
    """The base has the hyperparameters that are given for it: with a threshold of 0 every pseudo label counts."""
    given = {"threshold": 0.0} if "threshold" in catalogue.hyperparameters(base) else {}
    plain = build(base, deep, **given)
    off, on = (build(network=deep, wrapped=given, base=base, **{**OFF, "refine": refine}) for refine in (False, True))
    batch, found = draw(on), []
    for method in (plain, off, on):
        torch.manual_seed(1)
        found.append({name: term.detach() for name, term in method.losses(batch, NOW).items()})
    assert off.derive is None and off.rate_lag == plain.rate_lag
    if not off.wrapped.is_twice:
        assert found[0] == found[1] and plain.weights(NOW) == off.weights(NOW)
    moved = {name for name in found[1] if found[1][name] != found[2][name]}
    assert moved and moved <= set(off.weights(NOW)) and all(name.startswith("cross") for name in moved)


def test_a_base_that_passes_a_network_twice_is_refused() -> None:
    method = build(base="cps")
    network = method.get_submodule("wrapped.0.a")
    plain = network.forward
    network.forward = lambda image: plain(image[:2]).repeat(2, 1, 1, 1, 1)
    with pytest.raises(UserError, match="passes all crops of a step through each network once, together"):
        method.losses(draw(method), NOW)


def test_a_base_with_one_network_is_trained_twice_with_a_cross_term() -> None:
    """MT stands for URPC: what counts is the number of networks that predict."""
    method = build()
    twice = Base(lambda: method_class("mt")(method.context))
    terms, a, b = twice.losses(draw(method), NOW)
    assert twice.networks == ("0.student", "1.student") and twice.is_twice
    assert set(terms) == {"supervised_a", "consistency_a", "supervised_b", "consistency_b"}
    assert twice.weights(NOW) == {"consistency_a": 0.05, "consistency_b": 0.05}
    assert not torch.equal(a.logits, b.logits) and twice.rate_lag == 1
    start = {name: each.clone() for name, each in twice.state_dict().items() if "teacher" in name}
    twice.after_step(NOW)
    assert all(not torch.equal(each, twice.state_dict()[name]) for name, each in start.items())


def test_noise_on_a_scan_is_that_of_its_case_and_stays_in_its_range() -> None:
    image = np.linspace(-2, 6, 4096, dtype=np.float32).reshape(16, 16, 16)

    def of(noise: str, seed: int) -> Array:
        found: Array = build(noise=noise).presented(image, np.random.default_rng(seed))
        return found

    assert of("none", 0) is image
    weak, strong = of("weak", 0), of("strong", 0)
    factor = np.random.default_rng(0).uniform(0.6, 1.4)
    np.testing.assert_allclose(weak, (2 + factor * (image - 2)).clip(-2, 6), rtol=1e-4, atol=1e-5)
    inside = (image > 0) & (image < 4)
    assert (strong - image)[inside].std() == pytest.approx(0.8, rel=0.05)
    assert strong.min() == -2 and strong.max() == 6 and strong.dtype == np.float32
    assert np.array_equal(strong, of("strong", 0)) and not np.array_equal(strong, of("strong", 1))
