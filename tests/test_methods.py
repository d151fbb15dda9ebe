"""What every method must do. A new file in semiseg/methods is tested here without writing a test."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

import semiseg.methods
from semiseg import catalogue
from semiseg.config import Augmentation, BatchSize, Inference, Network, Optimiser, Training
from semiseg.errors import UserError
from semiseg.geometry import Geometry
from semiseg.method import Batch, Hyper, Method, Progress, hyperparameters, method_class, total
from semiseg.store import PreparedCase, write_case
from semiseg.training.loop import build_method, start
from semiseg.training.sampling import Sampler, StoredCase
from semiseg.training.state import State

CLASSES = 3
LATE = Progress(iteration=99, iterations=100, epoch=9, epochs=10, ramp=1.0)
SIDES = {"vnet": 16, "unet3d": 32}  # the smallest crop that each backbone can normalise


def has_networks(name: str) -> bool:
    return bool(method_class(name).networks)


TRAINED = [name for name in catalogue.entries("methods") if has_networks(name)]
SEMI = [name for name in TRAINED if not method_class(name).labelled_only]


def build(name: str, network: str = "vnet", **hyper: object) -> Method:
    training = Training.model_construct(supervised="half_ce_dice_all")
    return build_method(name, hyper, Network(name=network, filters=2), training, [9000.0, 500.0, 100.0])


def confident(name: str, network: str) -> Method:
    """A method whose networks are sure of what they say, so that no rule on certainty silences a term."""
    torch.manual_seed(0)
    method = build(name, network)
    with torch.no_grad():
        for role in (*method.networks, *method.teachers):
            method.get_submodule(role).head.weight.mul_(20)
    return method


def draw(network: str = "vnet", seed: int = 0) -> Batch:
    generator, side = torch.Generator().manual_seed(seed), SIDES[network]
    images = torch.randn(4, 1, side, side, side, generator=generator)
    labels = torch.randint(CLASSES, (2, side, side, side), generator=generator)
    return Batch(images[:2], labels, images[2:])


def step(state: State, batch: Batch, progress: Progress = LATE) -> None:
    loss = total(state.method.losses(batch, progress), state.method.weights(progress))
    state.optimiser.zero_grad()
    loss.backward()
    state.optimiser.step()
    state.method.after_step(progress)


def begin(method: Method) -> State:
    inference = Inference(window=(16, 16, 16), stride=(16, 16, 16))
    rule = Optimiser(lr=1e-3, momentum=0.9, weight_decay=1e-4)
    return start(method, inference, rule, torch.device("cpu"), amp=False)


@pytest.mark.parametrize("network", sorted(SIDES))
@pytest.mark.parametrize("name", TRAINED)
def test_every_term_reaches_a_trained_network_and_every_network_is_reached(name: str, network: str) -> None:
    method = confident(name, network)
    step(begin(method), draw(network))
    reached = set()
    for term, value in method.losses(draw(network, seed=1), LATE).items():
        assert value.ndim == 0 and value.isfinite(), term
        assert value.requires_grad, f"{name}: the term {term} trains nothing"
        method.zero_grad()
        value.backward(retain_graph=True)
        hit = {
            role
            for role in method.networks
            for weight in method.get_submodule(role).parameters()
            if weight.grad is not None and weight.grad.abs().sum() > 0
        }
        assert hit, f"{name}: the term {term} has no gradient in any trained network"
        reached |= hit
    assert reached == set(method.networks)
    for teacher in method.teachers:
        assert all(weight.grad is None for weight in method.get_submodule(teacher).parameters())


@pytest.mark.parametrize("name", SEMI)
def test_unlabelled_crops_matter(name: str) -> None:
    method, batch = confident(name, "unet3d"), draw("unet3d")  # its normalisation does not couple the rows of a batch
    batch.unlabelled.requires_grad_()
    total(method.losses(batch, LATE), method.weights(LATE)).backward()
    assert batch.unlabelled.grad is not None and batch.unlabelled.grad.abs().sum() > 0


@pytest.mark.parametrize("name", TRAINED)
def test_weights_name_only_terms_that_exist(name: str) -> None:
    method = confident(name, "vnet")
    assert set(method.weights(LATE)) <= set(method.losses(draw(), LATE))


def test_a_batch_has_no_place_for_labels_of_unlabelled_crops() -> None:
    assert [field.name for field in fields(Batch)] == ["images", "labels", "unlabelled"]


@pytest.mark.parametrize("name", TRAINED)
def test_labels_of_unlabelled_cases_are_never_read(name: str, tmp_path: Path) -> None:
    """Their stored labels are class 255 of 3: any use would raise an index error or change a loss."""
    rng, cases = np.random.default_rng(0), []
    for number, poisoned in enumerate((False, True)):
        label = np.full((20, 20, 20), 255) if poisoned else rng.integers(0, CLASSES, (20, 20, 20))
        eye = np.eye(4)
        geometry = Geometry((20, 20, 20), (1.0, 1.0, 1.0), eye, "zyx", (20, 20, 20), eye)
        image = rng.standard_normal((20, 20, 20)).astype(np.float32)
        write_case(tmp_path / f"{number}.h5", PreparedCase(image, label.astype(np.uint8), geometry))
        cases.append(StoredCase(tmp_path / f"{number}.h5", (20, 20, 20)))
    size = BatchSize(labelled=2, unlabelled=2)
    batch = Sampler(cases[:1], cases[1:], size, (16, 16, 16), Augmentation(), seed=0)[0]
    assert int(batch.labels.max()) < CLASSES
    method = confident(name, "vnet")
    assert all(term.isfinite() for term in method.losses(batch, LATE).values())


@pytest.mark.parametrize("name", TRAINED)
def test_two_steps_saved_and_two_more_equal_four(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    whole, batches = begin(build(name)), [draw(seed=number) for number in range(4)]
    for batch in batches[:2]:
        step(whole, batch)
    whole.save(tmp_path / "state.safetensors", "fingerprint")
    for batch in batches[2:]:
        step(whole, batch)
    torch.manual_seed(4)
    resumed = begin(build(name))
    resumed.resume(tmp_path / "state.safetensors", "fingerprint")
    for batch in batches[2:]:
        step(resumed, batch)
    ours, theirs = resumed.method.state_dict(), whole.method.state_dict()
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []


@pytest.mark.parametrize("name", TRAINED)
def test_predictors_are_networks_and_give_probabilities(name: str) -> None:
    method = build(name).eval()
    assert method.predictors and set(method.predictors) <= {*method.networks, *method.teachers}
    scores = method.predict(draw().images, method.predictors)
    assert scores.shape == (2, CLASSES, 16, 16, 16)
    torch.testing.assert_close(scores.sum(1), torch.ones(2, 16, 16, 16))


@pytest.mark.parametrize("name", catalogue.entries("methods"))
def test_every_default_has_a_meaning_and_a_source(name: str) -> None:
    for parameter, hyper in hyperparameters(method_class(name)).items():
        assert isinstance(hyper, Hyper)
        assert len(hyper.meaning) > 10 and len(hyper.source) >= 5, parameter
        assert not hyper.choices or hyper.default in hyper.choices, parameter


@pytest.mark.parametrize("name", catalogue.entries("methods"))
def test_the_file_is_short_and_says_what_it_is(name: str) -> None:
    text = (Path(semiseg.methods.__path__[0]) / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    assert text.startswith('"""')


@pytest.mark.parametrize("name", catalogue.entries("methods"))
def test_unknown_parameters_are_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UserError, match="no parameter 'wieght'; it has: ") as caught:
        build(name, wieght=1.0)
    known = hyperparameters(method_class(name))
    assert all(parameter in str(caught.value) for parameter in known)


def test_a_value_outside_the_choices_is_refused() -> None:
    with pytest.raises(UserError, match="predict_with must be one of student, teacher; found 'both'"):
        build("mt", predict_with="both")


def test_controls_are_best_and_worst_possible() -> None:
    truth = torch.randint(CLASSES, (1, 4, 5, 6), generator=torch.Generator().manual_seed(0))
    image = torch.zeros(1, 1, 4, 5, 6)
    perfect, empty = build("control_perfect"), build("control_empty")
    assert perfect.oracle and not empty.oracle
    assert torch.equal(perfect.predict(image, (), truth).argmax(1), truth)
    assert not empty.predict(image, ()).argmax(1).any()
    assert empty.predict(image, ()).shape == (1, CLASSES, 4, 5, 6)
    assert not list(perfect.parameters()) + list(empty.parameters())
