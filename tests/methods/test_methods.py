"""What every method must do. A new file in semiseg/methods is tested here without writing a test."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import semiseg.methods
from semiseg import catalogue
from semiseg.base.errors import UserError
from semiseg.data.geometry import Geometry
from semiseg.data.store import PreparedCase, write_case
from semiseg.learning.batches import Sampler, StoredCase
from semiseg.learning.build import build_method
from semiseg.learning.loop import Trainer, start
from semiseg.learning.schedule import TrainingSchedule
from semiseg.learning.state import State
from semiseg.method import Batch, Hyper, Method, TrainingTime, hyperparameters, method_class, total
from semiseg.params.config import Augmentation, BatchSize, Inference, Network, Optimiser, Training

CLASSES = 3
FIRST = TrainingTime(iteration=0, iterations=10000, epoch=0, epochs=100, ramp=0.0)
LATE = TrainingTime(iteration=9998, iterations=10000, epoch=99, epochs=100, ramp=1.0)
NETWORKS = ("unet3d", "vnet")
TRIES = 8  # seeds


def build(name: str, network: str = "vnet", **hyper: object) -> Method:
    training = Training.model_construct(supervised="half_ce_dice_all")
    return build_method(name, hyper, Network(name=network, filters=4), training, [9000.0, 500.0, 100.0])


TRAINED = [name for name in catalogue.entries("methods") if build(name, "unet3d").trained]
SEMI = [name for name in TRAINED if not method_class(name).labelled_only]


def sides(name: str) -> tuple[int, int, int]:
    """A crop that serves the method: several cubes of 32 voxels where it wants cubes, else one."""
    return (32, 64, 64) if method_class(name).cubes else (32, 32, 32)


def confident(name: str, network: str, seed: int = 0) -> Method:
    """A method whose heads are sure of what they say, so that no rule on certainty silences a term.

    Large weights make each pass sure; without dropout of whole channels repeated passes of a network agree.
    """
    torch.manual_seed(seed)
    method = build(name, network)
    with torch.no_grad():
        for module in method.modules():
            if isinstance(module, nn.Dropout3d):
                module.p = 0.0
            if isinstance(module, nn.Conv3d) and (module.kernel_size, module.out_channels) == ((1, 1, 1), CLASSES):
                module.weight.mul_(100)
    return method


def draw(name: str, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(4, 1, *sides(name), generator=generator)
    labels = torch.randint(CLASSES, (2, *sides(name)), generator=generator)
    return Batch(images[:2], labels, images[2:])


def step(state: State, batch: Batch) -> None:
    """One step of the training loop, at the end of a training."""
    trainer = Trainer.__new__(Trainer)
    trainer.state, trainer.schedule = state, LateTimetable()
    trainer._step(batch)


class LateTimetable(TrainingSchedule):
    """Says that training is about to end, whatever the iteration."""

    def __init__(self) -> None:
        pass

    def time(self, iteration: int) -> TrainingTime:
        return LATE

    def learning_rate(self, iteration: int) -> float:
        return 1e-3


def begin(method: Method) -> State:
    inference = Inference(window=(16, 16, 16), stride=(16, 16, 16))
    rule = Optimiser(lr=1e-3, momentum=0.9, weight_decay=1e-4)
    return start(method, inference, rule, torch.device("cpu"), amp=False)


def trained_parts(method: Method) -> set[str]:
    """Children of a method with something to learn: networks, heads, adversaries."""
    return {name for name, child in method.named_children() if any(each.requires_grad for each in child.parameters())}


def reached_by(method: Method, term: str, value: torch.Tensor) -> set[str]:
    """The children that this term's gradient changes; the term must be a finite scalar."""
    assert value.ndim == 0 and value.isfinite(), term
    if not value.requires_grad:
        return set()
    method.zero_grad()
    value.backward(retain_graph=True)
    return {
        name
        for name, child in method.named_children()
        if any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in child.parameters())
    }


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", TRAINED)
def test_every_term_teaches_something_and_everything_is_taught(name: str, network: str) -> None:
    """With one seed a term may find no voxel that suits its rule; one that is silent with all of them is wrong."""
    for seed in range(TRIES):
        method = confident(name, network, seed)
        parts, state, adversaries = trained_parts(method), begin(method), set(method.adversaries())
        step(state, draw(name))
        batch = draw(name, seed=1)
        for opponent in adversaries:
            method.get_submodule(opponent).requires_grad_(True)
        hits = {term: reached_by(method, term, value) for term, value in method.losses(batch, LATE).items()}
        silent = [term for term, hit in hits.items() if not hit - adversaries]
        if not silent:
            break
    assert not silent, f"{name}: these terms train no network: {silent}"
    assert set.union(*hits.values()) - adversaries == parts - adversaries
    if adversaries:
        theirs = [reached_by(method, *term) for term in method.adversary_losses(batch, LATE).items()]
        assert all(theirs)
        assert set.union(*theirs) == adversaries, f"{name}: an opponent's loss must train the adversaries alone"


@pytest.mark.parametrize("name", TRAINED)
def test_a_step_moves_networks_and_opponents_and_lets_opponents_rest_in_the_networks_loss(name: str) -> None:
    method = confident(name, "unet3d")
    before = {key: value.clone() for key, value in method.named_parameters()}
    step(begin(method), draw(name))
    for part in (*method.networks, *method.adversaries()):
        moved = [key for key, value in method.named_parameters() if key.startswith(part + ".")]
        assert any(not torch.equal(before[key], method.get_parameter(key)) for key in moved), part


@pytest.mark.parametrize("name", TRAINED)
def test_terms_are_the_same_from_the_first_step_to_the_last(name: str) -> None:
    method = confident(name, "vnet")
    assert list(method.losses(draw(name), FIRST)) == list(method.losses(draw(name), LATE))


@pytest.mark.parametrize("name", SEMI)
def test_unlabelled_crops_matter(name: str) -> None:
    method, batch = confident(name, "unet3d"), draw(name)  # its normalisation does not couple the rows of a batch
    batch.unlabelled.requires_grad_()
    total(method.losses(batch, LATE), method.weights(LATE)).backward()
    assert batch.unlabelled.grad is not None and batch.unlabelled.grad.abs().sum() > 0


@pytest.mark.parametrize("name", TRAINED)
def test_weights_name_only_terms_that_exist(name: str) -> None:
    method = confident(name, "vnet")
    assert set(method.weights(LATE)) <= set(method.losses(draw(name), LATE))


def test_a_batch_has_no_place_for_labels_of_unlabelled_crops() -> None:
    assert [field.name for field in fields(Batch)] == ["images", "labels", "unlabelled"]


@pytest.mark.parametrize("name", TRAINED)
def test_labels_of_unlabelled_cases_are_never_read(name: str, tmp_path: Path) -> None:
    """Their stored labels are class 255 of 3: any use would raise an index error or change a loss."""
    rng, cases = np.random.default_rng(0), []
    for number, poisoned in enumerate((False, True)):
        shape = tuple(side + 4 for side in sides(name))
        label = np.full(shape, 255) if poisoned else rng.integers(0, CLASSES, shape)
        eye = np.eye(4)
        geometry = Geometry(shape, (1.0, 1.0, 1.0), eye, "zyx", shape, eye)
        image = rng.standard_normal(shape).astype(np.float32)
        write_case(tmp_path / f"{number}.h5", PreparedCase(image, label.astype(np.uint8), geometry))
        cases.append(StoredCase(tmp_path / f"{number}.h5", shape))
    size = BatchSize(labelled=2, unlabelled=2)
    batch = Sampler(cases[:1], cases[1:], size, sides(name), Augmentation(), seed=0)[0]
    assert int(batch.labels.max()) < CLASSES
    method = confident(name, "vnet")
    assert all(term.isfinite() for term in method.losses(batch, LATE).values())


@pytest.mark.parametrize("name", TRAINED)
def test_two_steps_saved_and_two_more_equal_four(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    whole, batches = begin(build(name)), [draw(name, seed=number) for number in range(4)]
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
    assert method.inference_networks and set(method.inference_networks) <= {part for part, _ in method.named_children()}
    scores = method.predict(draw(name).images, method.inference_networks)
    assert scores.shape == (2, CLASSES, *sides(name))
    torch.testing.assert_close(scores.sum(1), torch.ones(2, *sides(name)))


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
