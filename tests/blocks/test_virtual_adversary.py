"""The virtual adversary beyond the golden cases of SS-Net: what it looks for, and what it leaves alone."""

import torch
from torch import Tensor, nn

from semiseg.blocks.losses import dice_linear_pooled
from semiseg.blocks.modes import frozen_statistics
from semiseg.blocks.virtual_adversary import virtual_adversarial_loss


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.Conv3d(4, 3, 1))


def loss(model: nn.Module, images: Tensor, rounds: int, magnitude: float = 1.0) -> Tensor:
    uniform = torch.rand(images.shape, generator=torch.Generator().manual_seed(1))
    sizes = {"magnitude": magnitude, "probe": 1.0, "rounds": rounds}
    return virtual_adversarial_loss(model, images, uniform, dice_linear_pooled, **sizes)


def test_the_direction_that_it_finds_changes_the_prediction_far_more_than_a_random_one() -> None:
    model = network()
    images = torch.randn(2, 1, 4, 6, 5)
    unchanged = loss(model, images, 0, magnitude=0.0)
    random, found, refined = (loss(model, images, rounds) - unchanged for rounds in (0, 1, 2))
    assert found > 3 * random.abs() and refined > 3 * random.abs()


def test_running_statistics_know_the_plain_images_alone() -> None:
    model, plain, images = network(), network(), torch.randn(2, 1, 4, 6, 5)
    loss(model, images, 2).backward()
    plain(images)
    assert all(map(torch.equal, model.buffers(), plain.buffers()))
    assert all(weight.grad is not None for weight in model.parameters())


def test_under_autocast_the_direction_is_found_in_float32() -> None:
    model, seen = network(), []
    model[-1].register_forward_hook(lambda module, given, result: seen.append(result.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        loss(model, torch.randn(2, 1, 4, 6, 5), 1).backward()
    assert seen == [torch.bfloat16, torch.float32, torch.bfloat16]


def test_frozen_statistics_are_those_of_the_batch_and_untracked_norms_stay_untracked() -> None:
    tracked, untracked = nn.BatchNorm3d(1), nn.BatchNorm3d(1, track_running_stats=False)
    model = nn.Sequential(tracked, untracked)
    with frozen_statistics(model):
        assert abs(model(5 + torch.randn(1, 1, 2, 3, 4)).mean().item()) < 1e-5
    assert tracked.track_running_stats and not untracked.track_running_stats
    assert tracked.num_batches_tracked == 0 and tracked.running_mean == 0
