"""What every method must do. A new file in semiseg/methods is tested here without writing a test."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest
import torch
from support.facts import facts
from torch import nn

import semiseg.methods
from semiseg import catalogue
from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.data.geometry import Geometry
from semiseg.data.store import PreparedCase, write_case
from semiseg.learning.batches import Sampler, StoredCase, derived_maps
from semiseg.learning.build import build_method
from semiseg.learning.loop import Trainer, start
from semiseg.learning.order import Order
from semiseg.learning.schedule import TrainingSchedule
from semiseg.learning.state import State
from semiseg.method import Batch, Hyper, Method, Terms, TrainingTime, hyperparameters, method_class, total
from semiseg.params.augmentation import Augmentation
from semiseg.params.config import BatchSize, Inference, Network, Optimiser, Training

CLASSES = 3
FIRST = TrainingTime(iteration=0, iterations=10000, epoch=0, epochs=100, ramp=0.0)
LATE = TrainingTime(iteration=9998, iterations=10000, epoch=99, epochs=100, ramp=1.0)
TRIES = 8  # seeds
CROPS = Augmentation(second="half_start")  # which methods of one crop leave alone
EFFECTIVE = {"plbopt": {"mining": "hard"}}  # the easiest triplets of random features have no gradient


def networks(name: str) -> tuple[str, ...]:
    """Networks of a protocol that serve the method: first one whose normalisation does not couple rows."""
    requires = method_class(name).requires
    own = {"several_scales": ("unet3d_ds",), "sam": ("sam",)}
    return next((found for kind, found in own.items() if kind in requires), ("unet3d", "vnet"))


def build(name: str, network: str | None = None, filters: int = 2, **hyper: object) -> Method:
    network = network or networks(name)[-1]
    training = Training.model_construct(supervised="half_ce_dice_all")
    return build_method(
        name, hyper, Network(name=network, filters=filters), training, facts([9000.0, 500.0, 100.0], sides(name))
    )


METHODS = [name for name in catalogue.entries("methods") if not is_control(name)]
SEMI = [name for name in METHODS if not method_class(name).labelled_only]


def sides(name: str) -> tuple[int, int, int]:
    """A crop that serves the method: several cubes of 32 voxels or a deepest map of even sides where it wants these."""
    requires = catalogue.requirements(name)
    if "cubes" in requires:
        return 32, 64, 64
    return (32, 32, 32) if "even_bottleneck" in requires else (16, 16, 32)


def confident(name: str, network: str, seed: int = 0) -> Method:
    """A method with confident predictions, so that no rule on certainty makes a term 0.

    Large weights make each pass confident; without dropout of whole channels repeated passes of a network agree.
    """
    torch.manual_seed(seed)
    method = build(name, network, **EFFECTIVE.get(name, {}))
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
    has_maps = method_class(name).derive is not Method.derive
    maps = derived_maps(build(name).derive, images[2:]) if has_maps else {}
    origin = torch.tensor([[0, 0, 0, 0], [1, 2, 3, 4]])
    second, shifts = torch.randn(4, 1, *sides(name), generator=generator), torch.tensor([[0, 1, 2]] * 4)
    return Batch(images[:2], labels, images[2:], origin, origin, maps, second, shifts)


def step(state: State, batch: Batch) -> None:
    """One step of the training loop, at the end of a training."""
    trainer = Trainer.__new__(Trainer)
    trainer.state, trainer.schedule = state, AlwaysLate()
    trainer.step(batch)


class AlwaysLate(TrainingSchedule):
    """A schedule whose time is the end of the training for every iteration."""

    def __init__(self) -> None:
        pass

    def time(self, iteration: int) -> TrainingTime:
        return LATE

    def learning_rate(self, iteration: int) -> float:
        return 1e-3

    def begins_update(self, iteration: int) -> bool:
        return True

    def ends_update(self, iteration: int) -> bool:
        return True


def begin(method: Method) -> State:
    inference = Inference(window=(16, 16, 16), stride=(16, 16, 16))
    rule = Optimiser(lr=1e-3, momentum=0.9, weight_decay=1e-4)
    return start(method, inference, rule, torch.device("cpu"))


def parts_where(method: Method, holds: Callable[[str, nn.Parameter], bool]) -> set[str]:
    """Parts of a method with such a weight: an adversary, wherever it lies, or else a child."""
    adversaries = method.adversaries()
    return {
        next((each for each in adversaries if name.startswith(f"{each}.")), name.split(".")[0])
        for name, weight in method.named_parameters(remove_duplicate=False)
        if holds(name, weight)
    }


def trained_parts(method: Method) -> set[str]:
    """Parts of a method with trained parameters: networks, heads, adversaries."""
    return parts_where(method, lambda _, weight: weight.requires_grad)


def reached_by(method: Method, term: str, value: torch.Tensor) -> set[str]:
    """The parts that this term's gradient changes; the term must be a finite scalar."""
    assert value.ndim == 0 and value.isfinite(), term
    if not value.requires_grad:
        return set()
    method.zero_grad()
    value.backward(retain_graph=True)
    return parts_where(method, lambda _, weight: weight.grad is not None and bool(weight.grad.abs().sum() > 0))


def step_that_moves(state: State, batch: Batch) -> None:
    """A step, which must move every network, adversaries included."""
    method, adversaries = state.method, set(state.method.adversaries())
    trained = set(method.networks) | (trained_parts(method) & set(method.inference_networks)) | adversaries
    before = {key: value.clone() for key, value in method.named_parameters(remove_duplicate=False)}
    step(state, batch)
    moved = parts_where(method, lambda name, weight: not torch.equal(before[name], weight))
    assert moved >= trained


@pytest.mark.parametrize("name", METHODS)
def test_every_term_trains_something(name: str) -> None:
    """With one seed a term may find no voxel that suits its rule; a term that is 0 with all seeds is wrong."""
    for seed in range(TRIES):
        method = confident(name, networks(name)[0], seed)
        parts, adversaries = trained_parts(method), set(method.adversaries())
        step_that_moves(begin(method), draw(name))
        batch = draw(name, seed=1)
        for adversary in adversaries:
            method.get_submodule(adversary).requires_grad_(True)
        hits = {term: reached_by(method, term, value) for term, value in method.losses(batch, LATE).items()}
        useless = [term for term, hit in hits.items() if not hit - adversaries and term not in method.logged_only]
        if not useless:
            break
    assert not useless, f"{name}: these terms train no network: {useless}"
    assert set.union(*hits.values()) - adversaries == parts - adversaries
    if adversaries:
        reached = [reached_by(method, *term) for term in method.adversary_losses(batch, LATE).items()]
        assert all(reached)
        assert set.union(*reached) == adversaries, f"{name}: an adversary's loss must train the adversaries alone"


@dataclass(frozen=True)
class Computed:
    """A method, a batch of stored crops, and its terms at the first and at a late step; tests may only read them."""

    name: str
    method: Method
    batch: Batch
    first: Terms
    late: Terms


@pytest.fixture(scope="module", params=METHODS)
def computed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Computed]:
    """Terms of each method on a 3D U-Net, whose normalisation does not couple the rows of a batch.

    The stored labels of the unlabelled case are class 255 of 3: any use would raise an index error or change a loss.
    """
    name, folder = request.param, tmp_path_factory.mktemp("cases")
    rng, cases, shape = np.random.default_rng(0), [], tuple(side + 4 for side in sides(request.param))
    for number, poisoned in enumerate((False, True)):
        label = np.full(shape, 255) if poisoned else rng.integers(0, CLASSES, shape)
        geometry = Geometry(shape, (1.0, 1.0, 1.0), np.eye(4), "zyx", shape, np.eye(4))
        image = rng.standard_normal(shape).astype(np.float32)
        write_case(folder / f"{number}.h5", PreparedCase(image, label.astype(np.uint8), geometry))
        cases.append(StoredCase(folder / f"{number}.h5", shape))
    order = Order("endless", 1, 1, BatchSize(labelled=2, unlabelled=2), "unlabelled")
    method = confident(name, networks(name)[0])
    sampler = Sampler(cases[:1], cases[1:], order, sides(name), CROPS, seed=0, derive=method.derive)
    batch = sampler[0].to(torch.device("cpu"))
    batch.unlabelled.requires_grad_()
    first = {term: value.detach() for term, value in method.losses(batch, FIRST).items()}
    yield Computed(name, method, batch, first, method.losses(batch, LATE))


def test_terms_are_the_same_from_the_first_step_to_the_last(computed: Computed) -> None:
    assert list(computed.first) == list(computed.late)


def test_weights_name_only_terms_that_exist(computed: Computed) -> None:
    assert set(computed.method.weights(LATE)) <= set(computed.late)


def test_labels_of_unlabelled_cases_are_never_read(computed: Computed) -> None:
    assert int(computed.batch.labels.max()) < CLASSES
    assert all(term.isfinite() for terms in (computed.first, computed.late) for term in terms.values())


def test_unlabelled_crops_matter(computed: Computed) -> None:
    loss = total(computed.late, computed.method.weights(LATE))
    (gradient,) = torch.autograd.grad(loss, computed.batch.unlabelled, allow_unused=True)
    used = gradient is not None and bool(gradient.abs().sum() > 0)
    assert used is not computed.method.labelled_only


def test_inference_networks_exist_and_give_probabilities(computed: Computed) -> None:
    method = computed.method
    assert method.inference_networks and set(method.inference_networks) <= dict(method.named_modules()).keys()
    method.eval()
    with torch.no_grad():
        scores = method.predict(computed.batch.images, method.inference_networks)
    method.train()
    assert scores.shape == (2, CLASSES, *sides(computed.name))
    torch.testing.assert_close(scores.sum(1), torch.ones(2, *sides(computed.name)))


def test_a_batch_has_no_place_for_labels_of_unlabelled_crops() -> None:
    origins = ["labelled_origin", "unlabelled_origin"]
    assert [field.name for field in fields(Batch)] == [
        "images",
        "labels",
        "unlabelled",
        *origins,
        "maps",
        "second",
        "shifts",
    ]


@pytest.mark.parametrize("name", METHODS)
def test_two_steps_saved_and_one_more_equal_three(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    whole, batches = begin(build(name)), [draw(name, seed=number) for number in range(3)]
    step_that_moves(whole, batches[0])
    step(whole, batches[1])
    whole.save(tmp_path / "state.safetensors", "fingerprint")
    step(whole, batches[2])
    torch.manual_seed(4)
    resumed = begin(build(name))
    resumed.resume(tmp_path / "state.safetensors", "fingerprint")
    step(resumed, batches[2])
    ours, theirs = resumed.method.state_dict(), whole.method.state_dict()
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []


@pytest.mark.parametrize("name", METHODS)
def test_every_default_has_a_meaning_and_a_source(name: str) -> None:
    for parameter, hyper in hyperparameters(method_class(name)).items():
        assert isinstance(hyper, Hyper)
        assert len(hyper.meaning) > 10 and len(hyper.source) >= 5, parameter
        assert not hyper.choices or hyper.default in hyper.choices, parameter


@pytest.mark.parametrize("name", catalogue.entries("methods"))
def test_the_file_begins_with_a_description(name: str) -> None:
    text = (Path(semiseg.methods.__path__[0]) / f"{name}.py").read_text(encoding="utf-8")
    assert text.startswith('"""')


@pytest.mark.parametrize("name", METHODS)
def test_unknown_parameters_are_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UserError, match="no parameter 'wieght'; it has: ") as caught:
        build(name, wieght=1.0)
    known = hyperparameters(method_class(name))
    assert all(parameter in str(caught.value) for parameter in known)


def test_a_value_outside_the_choices_is_refused() -> None:
    with pytest.raises(UserError, match="predict_with must be one of student, teacher; found 'both'"):
        build("mt", predict_with="both")
