"""U2PL beyond its golden cases: the supervised epoch, the teacher's clock, negatives, memories, options."""

import pytest
import torch
from support.facts import facts
from support.plain_network import plain_context
from torch import Tensor

from semiseg.blocks import ema
from semiseg.blocks.memory import MemoryBank
from semiseg.learning.build import build_method
from semiseg.method import Batch, TrainingTime, total
from semiseg.methods.parts import u2pl_contrast
from semiseg.methods.parts.u2pl_teacher import TeacherOutput
from semiseg.methods.u2pl import U2PL
from semiseg.params.config import Network, Training

CLASSES = 5
SUPERVISED, BEGUN = TrainingTime(3, 100, 0, 25, 0.0), TrainingTime(4, 100, 1, 25, 1.0)
LATER = TrainingTime(8, 100, 2, 25, 1.0)
RULES = u2pl_contrast.Rules(0.3, 1.0, 3, 20, 4, 2, 0.5, 4096, "official", "official")


def build(network: str = "vnet", filters: int = 2, **hyper: object) -> U2PL:
    torch.manual_seed(0)
    training = Training.model_construct(supervised="half_ce_dice_all")
    method = build_method("u2pl", hyper, Network(name=network, filters=filters), training, facts([1.0] * CLASSES))
    assert isinstance(method, U2PL)
    return method


def draw(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(4, 1, 16, 32, 16, generator=generator)
    return Batch(images[:2], torch.randint(CLASSES, (2, 16, 32, 16), generator=generator), images[2:])


def train_step(method: U2PL, time: TrainingTime, seed: int = 0) -> dict[str, Tensor]:
    terms = method.losses(draw(seed), time)
    total(terms, method.weights(time)).backward()
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    method.zero_grad()
    method.after_step(time)
    return {name: term.detach() for name, term in terms.items()}


def weights_of(method: U2PL, *parts: str) -> list[Tensor]:
    return [each.clone() for part in parts for each in method.get_submodule(part).parameters()]


def test_the_teacher_is_the_student_throughout_the_supervised_epoch() -> None:
    method = build()
    first = weights_of(method, "student")
    terms = train_step(method, SUPERVISED)
    assert terms["pseudo"] == 0 and terms["contrast"] == 0
    student, teacher = method.student.state_dict(), method.teacher.state_dict()
    assert all(torch.equal(teacher[name], value) for name, value in student.items()), "running statistics included"
    assert not torch.equal(first[0], teacher["encoder.0.0.0.weight"])


def test_through_the_first_epoch_with_unlabelled_crops_the_teacher_is_the_student() -> None:
    """The official code copies before each step of this epoch, and the optimiser then moves both at once."""
    method = build()
    with torch.no_grad():
        method.teacher.head.weight.zero_()
    for seed in range(2):
        train_step(method, BEGUN, seed)
        pairs = (("teacher", "student"), ("teacher_projection", "projection"))
        assert all(all(map(torch.equal, *(weights_of(method, part) for part in pair))) for pair in pairs)


def test_afterwards_the_average_counts_from_the_end_of_the_supervised_epoch() -> None:
    method = build()
    for time in (SUPERVISED, BEGUN, BEGUN):
        train_step(method, time)
    for step in range(2, 5):
        before = weights_of(method, "teacher", "teacher_projection")
        train_step(method, LATER, seed=step)
        alpha = ema.warm_alpha(step, 0.99)
        after, student = (
            weights_of(method, *parts) for parts in (("teacher", "teacher_projection"), ("student", "projection"))
        )
        for old, new, fast in zip(before, after, student, strict=True):
            torch.testing.assert_close(new, alpha * old + (1 - alpha) * fast)


def test_without_a_supervised_epoch_the_teacher_begins_as_the_student() -> None:
    method = build(supervised_epochs=0)
    assert all(map(torch.equal, weights_of(method, "teacher"), weights_of(method, "student")))
    assert method.losses(draw(), SUPERVISED)["pseudo"] > 0


@pytest.mark.parametrize("network", ["unet3d", "vnet"])
def test_the_contrast_comes_alive(network: str) -> None:
    method = build(network, filters=8)
    train_step(method, SUPERVISED)
    assert train_step(method, BEGUN)["contrast"] > 0
    assert any(len(method.bank.queue(number)) for number in range(CLASSES))


def test_where_both_passes_agree_only_the_paper_s_rule_gives_negatives() -> None:
    """A network without dropout on unmixed crops predicts the same twice."""
    sizes = {}
    for rule in ("official", "paper"):
        slopes, offsets = (0.1, 0.3, -0.2, 0.2, -0.1), (0.0, 0.1, 0.2, 0.0, 0.1)
        method = U2PL(plain_context(slopes, offsets), negatives=rule, mix_probability=0.0, supervised_epochs=0)
        batch = draw()
        first = method.losses(batch, SUPERVISED)["contrast"]
        sizes[rule] = sum(len(method.bank.queue(number)) for number in range(CLASSES))
        assert (first == 0) == (rule == "official")
    assert sizes["official"] == 0 < sizes["paper"]


def output(labels: list[int], probabilities: list[list[float]], labelled: int = 0) -> TeacherOutput:
    """One voxel per item, all of low and of high entropy."""
    mask = torch.ones(len(labels), 1, 1, 1, dtype=torch.bool)
    scores = torch.tensor(probabilities).view(len(labels), -1, 1, 1, 1)
    return TeacherOutput(torch.tensor(labels).view(-1, 1, 1, 1), scores, mask, mask, labelled)


def found(number: int, given: TeacherOutput, **changes: object) -> list[bool]:
    return u2pl_contrast.keys(number, given, RULES._replace(**changes)).flatten().tolist()  # type: ignore[arg-type]


def test_ranks_of_negatives() -> None:
    order = [0.4, 0.3, 0.15, 0.1, 0.05]
    given = output([0, 4, 3], [order] * 3)
    assert [found(number, given, negatives="paper") for number in range(5)] == [[False] * 3] * 3 + [[True] * 3] * 2
    assert found(3, given) == [False, False, True] and found(4, given) == [False, True, False]
    assert not any(found(4, given, high_rank=4)) and found(3, given, high_rank=4) == [False, False, True]
    known = output([0, 4, 3], [order] * 3, labelled=3)
    assert found(0, known, negatives="paper") == [False, True, True], "likely, but not its label"
    assert found(3, known, negatives="paper") == [False] * 3
    assert not any(any(found(number, known)) for number in range(5)), "official: no labelled voxel is a negative"


def test_the_released_one_hot_maps_stand_at_the_first_item_of_each_half() -> None:
    given = output([0, 1, 2, 2, 0], [[0.4, 0.3, 0.3]] * 5, labelled=2)
    members = [given.voxels_of(number).flatten().nonzero().flatten().tolist() for number in range(3)]
    assert members == [[0, 4], [1], [2, 3]]
    released = given._replace(one_hot="released")
    members = [released.voxels_of(number).flatten().nonzero().flatten().tolist() for number in range(3)]
    assert members == [[0, 2], [0], [2]]
    alone = output([1, 2], [[0.4, 0.3, 0.3]] * 2, labelled=1)
    same = alone._replace(one_hot="released")
    assert all(torch.equal(alone.voxels_of(number), same.voxels_of(number)) for number in range(3)), "one item a half"


def test_the_projection_decays_while_there_is_no_contrast() -> None:
    """The official term is 0 times the vectors, so weight decay and momentum act on the projection."""
    method = build()
    method.losses(draw(), SUPERVISED)["contrast"].backward()
    gradients = [each.grad for each in method.projection.parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


def test_three_classes_have_negatives_too() -> None:
    assert found(2, output([2, 2], [[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]])) == [True, False]


def contrast(rules: u2pl_contrast.Rules, bank: MemoryBank, labels: list[int]) -> Tensor:
    vectors = torch.eye(4, requires_grad=True)
    given = output(labels, [[0.9 if c == label else 0.05 for c in range(3)] for label in labels])
    return u2pl_contrast.contrast(lambda places: vectors[places], lambda places: vectors[places], given, bank, rules)


def test_a_class_uses_its_own_memory_only_with_the_fixed_index() -> None:
    """Classes 0 and 2 are present: the official loop looks at positions 0 and 1 and never at the anchors of class 2."""
    bank = MemoryBank([9, 9, 9], 4)
    bank.push(2, torch.eye(4)[3:])
    assert contrast(RULES, bank, [0, 0, 2]) == 0
    expected = torch.tensor([1 / 0.5, 0.0, 0.0]).logsumexp(0) - 1 / 0.5  # a prototype at cosine 1, two keys at 0
    torch.testing.assert_close(contrast(RULES._replace(class_index="fixed"), bank, [0, 0, 2]), expected / 2)


def test_fewer_than_two_classes_give_nothing_but_fill_the_memory() -> None:
    bank = MemoryBank([9, 9, 9], 4)
    given = output([2, 2], [[0.5, 0.4, 0.1]] * 2)
    vectors = torch.eye(4)
    loss = u2pl_contrast.contrast(lambda places: vectors[places], lambda places: vectors[places], given, bank, RULES)
    assert loss == 0 and torch.equal(bank.queue(2), vectors[:2])


def test_large_prototypes_are_means_of_different_voxels_from_everywhere() -> None:
    all_places = torch.arange(1000)
    places: list[Tensor] = []

    def teacher(chosen: Tensor) -> Tensor:
        places.append(chosen)
        return chosen.unsqueeze(1).float()

    assert u2pl_contrast.prototype(teacher, all_places, 1000) == 499.5
    assert abs(float(u2pl_contrast.prototype(teacher, all_places, 30)) - 499.5) < 40
    assert len(places[1].unique()) == 30 and int(places[1].max()) < 1000


def test_equally_uncertain_voxels_add_nothing_and_break_nothing() -> None:
    method = U2PL(plain_context((0.0,) * CLASSES, (0.0,) * CLASSES), supervised_epochs=0)
    terms = method.losses(draw(), SUPERVISED)
    assert terms["pseudo"] == 0 and all(term.isfinite() for term in terms.values())
