"""MagicNet beyond its golden cases: both orders, unsuitable crops, the class count, the network of the paper."""

import pytest
import torch
from support.plain_network import PlainNetwork, plain_context
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.method import Batch, TrainingTime
from semiseg.methods.magicnet import MagicNet, dice_loss, supervised_loss
from semiseg.methods.parts import magicnet_cubes
from semiseg.methods.parts.magicnet_cubes import blend, frequencies
from semiseg.network import build
from semiseg.networks.heads.location import LocationHead

SLOPES, OFFSETS = (-1.0, 0.3, 1.0), (0.0, 0.2, -0.1)
SIDES = (32, 64, 64)


def at(iteration: int) -> TrainingTime:
    return TrainingTime(iteration, 20000, 0, 1, 1.0)


def plain(**hyper: object) -> MagicNet:
    return MagicNet(plain_context(SLOPES, OFFSETS), **hyper)


def draw(sides: tuple[int, int, int] = SIDES) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(3, 1, *sides, generator=generator)
    return Batch(images[:2], torch.randint(3, (2, *sides), generator=generator), images[2:])


def numbered(counts: tuple[int, int, int], side: int) -> Tensor:
    """A volume ``[1 1 z y x]`` in which every voxel has a number of its own."""
    sides = [count * side for count in counts]
    return torch.arange(float(torch.tensor(sides).prod())).view(1, 1, *sides)


def test_listed_cubes_are_in_raster_order_and_aligned_recovery_undoes_the_cut() -> None:
    volume = numbered((2, 3, 4), 2)
    cubes = magicnet_cubes.split(volume, 2)
    for number, (i, j, k) in enumerate(torch.cartesian_prod(*map(torch.arange, (2, 3, 4))).tolist()):
        box = volume[0, 0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, 2 * k : 2 * k + 2]
        assert torch.equal(cubes[0, number, 0], box)
    assert torch.equal(magicnet_cubes.merge(cubes, (2, 3, 4), "aligned"), volume)


def test_official_recovery_and_positions_count_the_first_axis_innermost() -> None:
    counts, volume = (2, 3, 4), numbered((2, 3, 4), 2)
    cubes = magicnet_cubes.split(volume, 2)
    merged, places = magicnet_cubes.merge(cubes, counts, "official"), magicnet_cubes.positions(counts)
    for number, (i, j, k) in enumerate(torch.cartesian_prod(*map(torch.arange, counts)).tolist()):
        entry = i + 2 * j + 2 * 3 * k
        assert places[number] == entry
        box = merged[0, 0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, 2 * k : 2 * k + 2]
        assert torch.equal(box, cubes[0, entry, 0])


def test_cells_are_exchanged_in_place_and_brought_back() -> None:
    items = torch.arange(3.0).view(3, 1, 1, 1, 1).expand(3, 2, 2, 4, 4) * 1000 + numbered((1, 2, 2), 2)[:, :, :2]
    sources = magicnet_cubes.partition(torch.rand(3, 2, 2, 2))  # cells of 1 x 2 x 2 voxels
    mixed = magicnet_cubes.exchange(items, sources)
    assert torch.equal(mixed % 1000, items % 1000), "a cell moved"
    origin = (mixed // 1000)[:, 0].long()
    expected = sources.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(origin, expected)
    assert torch.equal(origin.sort(0).values[:, 0, 0, 0], torch.arange(3)), "not a permutation of the batch"
    assert torch.equal(magicnet_cubes.exchange(mixed, sources.argsort(0)), items)


@pytest.mark.parametrize("sides", [(64, 128, 128), (96, 96, 96), (32, 64, 64), (64, 64, 96)])
def test_suitable_crops(sides: tuple[int, int, int]) -> None:
    magicnet_cubes.check(sides, 32)


@pytest.mark.parametrize("sides", [(48, 64, 64), (64, 32, 64), (64, 96, 96), (96, 160, 160), (16, 16, 16)])
def test_crops_that_cannot_be_cut_are_refused_by_the_loss(sides: tuple[int, int, int]) -> None:
    # no whole cubes; a single cube on the second axis; three or five on it that do not divide the first side; too small
    image = torch.zeros(1, 1, *sides)
    with pytest.raises(UserError, match=r"training\.patch .* cannot be cut into cubes of 32 voxels: make every side"):
        plain().losses(Batch(image, image[:, 0].long(), image), at(0))


def test_more_cubes_than_the_head_tells_apart_are_refused_with_the_number_to_set() -> None:
    with pytest.raises(UserError, match=r"has 4 cubes, .* distinguishes 3: set the method's parameter positions to 4"):
        plain(positions=3).losses(draw(), at(0))


@pytest.mark.parametrize("side", [16, 40])
def test_cubes_that_the_backbone_cannot_take_are_refused(side: int) -> None:
    with pytest.raises(UserError, match=f"multiple of 16 and at least 32; found {side}"):
        plain(cube_size=side)


def test_a_smaller_grid_trains_the_first_outputs_only() -> None:
    head, maps = LocationHead(1, 32, 16, positions=9), torch.randn(4, 1, 2, 2, 2)
    small = LocationHead(1, 32, 16, positions=4)
    small.load_state_dict(
        {name: value[:4] if name.startswith("layers.4") else value for name, value in head.state_dict().items()}
    )
    torch.testing.assert_close(head(maps), small(maps))
    head(maps).square().sum().backward()
    assert head.layers[4].weight.grad[:4].abs().min() > 0 and not head.layers[4].weight.grad[4:].any()


@pytest.mark.parametrize("order", magicnet_cubes.ORDERS)
def test_a_step_puts_cells_and_aligned_cubes_back_where_they_were(order: str) -> None:
    """The plain network says at a voxel what it says of the whole crop, so every recovered output is known."""
    method, batch = plain(cube_order=order), draw((64, 64, 64))
    terms = method.losses(batch, at(0))
    own, other = method.student(batch.images), method.student(batch.unlabelled)
    swapped = own.view(2, 3, 2, 32, 2, 32, 2, 32).transpose(2, 6).reshape(own.shape)  # cubes, not the voxels in them
    within = own if order == "aligned" else swapped
    expected = supervised_loss(own, own, within, batch.labels)
    torch.testing.assert_close(terms["supervised"], expected)
    torch.testing.assert_close(terms["consistency"], dice_loss(other, other.argmax(1)), atol=0.05, rtol=0)
    assert (order == "aligned") == bool(torch.isclose(expected, supervised_loss(own, own, own, batch.labels)))


def test_blending_follows_the_teachers_class_and_starts_after_its_iteration() -> None:
    method, image = plain(), torch.zeros(1, 1, 32, 32, 32)
    method.teacher = PlainNetwork((0.0, 0.0, 0.0), (5.0, 0.0, 0.0))
    method.student = PlainNetwork((0.0, 0.0, 0.0), (0.0, 0.0, 90.0))
    maps = [method.student.encode(image)]

    def labels(iteration: int, counts: list[float]) -> set[int]:
        method.counts = torch.tensor(counts)
        return set(method._pseudo_labels(image, maps, (1, 1, 1), at(iteration)).flatten().tolist())

    assert labels(100, [8.0, 4.0, 0.0]) == {0}
    assert labels(101, [8.0, 4.0, 0.0]) == {2}, "the teacher's class is the most frequent: the cubes speak"
    assert labels(101, [0.0, 4.0, 0.0]) == {0}, "the teacher's class was never seen: the teacher speaks"
    assert labels(101, [0.0, 0.0, 0.0]) == {0}, "nothing was counted: the teacher speaks"
    assert method.stored.tolist() == [3 * 32**3, 0, 32**3]


def test_the_count_of_classes_is_replaced_every_so_often() -> None:
    method, seen = plain(refresh=20), []
    for iteration in range(42):
        method.stored = method.stored + 1
        method.after_step(at(iteration))
        seen.append(method.counts[0].item())
    assert seen == [1.0] * 20 + [20.0] * 22


def test_weights_are_those_of_the_code() -> None:
    halfway = TrainingTime(0, 20000, 0, 1, ramp=0.5)
    assert plain().weights(halfway) == {"location": 0.1, "consistency": 0.05}


def test_frequencies_by_hand() -> None:
    assert frequencies(torch.tensor([4.0, 16.0, 0.0]), 2.0).tolist() == [0.5, 1.0, 0.0]
    assert frequencies(torch.zeros(3), 1.0).tolist() == [0.0, 0.0, 0.0]
    half = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1, 1).half()
    assert blend(half, half.flip(1), torch.tensor([0.25, 1.0])).flatten().tolist() == [1.5, 0.5]


def test_the_network_of_the_paper_has_no_dropout_and_does_not_couple_items() -> None:
    torch.manual_seed(0)
    network, images = build("vnet_magic", 1, 3, "default", filters=2).train(), torch.randn(2, 1, 32, 32, 48)
    together = network(images)
    torch.testing.assert_close(network(images), together)
    torch.testing.assert_close(network(images[:1]), together[:1], atol=1e-3, rtol=0)
    torch.testing.assert_close(network.head(network.features(images)[-1]), together)
    assert not any(isinstance(module, nn.BatchNorm3d) for module in network.modules())
    assert not any(module.p for module in network.modules() if isinstance(module, nn.Dropout3d))
