"""Methods that predict with an averaged network which is not run in training, and the views that they train on."""

import pytest
import torch
from support.facts import facts

from semiseg.blocks.perturbations import strong
from semiseg.learning.build import build_method
from semiseg.method import Method, TrainingTime
from semiseg.params.config import Network, Training

LATE = TrainingTime(99, 100, 9, 10, 1.0)


def build(name: str) -> Method:
    training = Training.model_construct(supervised="half_ce_dice_all")
    return build_method(name, {}, Network(name="vnet", filters=2), training, facts([100.0, 10.0]))


@pytest.mark.parametrize("name", ["bacon", "ccl"])
def test_the_average_starts_as_a_copy_moves_by_a_thousandth_and_takes_over_the_statistics(name: str) -> None:
    method = build(name)
    network, teacher = method.get_submodule("network"), method.get_submodule("teacher")
    assert method.inference_networks == ("teacher",)
    start = {key: value.clone() for key, value in network.state_dict().items()}
    assert all(torch.equal(value, start[key]) for key, value in teacher.state_dict().items())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 1
    network(torch.randn(2, 1, 16, 16, 16))  # changes the statistics of its batch norms
    method.after_step(LATE)
    for key, parameter in teacher.named_parameters():
        torch.testing.assert_close(parameter, start[key] + 0.001)
    statistics = dict(network.named_buffers())
    assert not torch.equal(statistics["encoder.0.0.1.running_mean"], start["encoder.0.0.1.running_mean"])
    assert all(torch.equal(value, statistics[key]) for key, value in teacher.named_buffers())


def test_a_strong_view_scales_each_item_and_adds_bounded_noise_in_place() -> None:
    torch.manual_seed(0)
    images = torch.linspace(-100, 100, 2 * 4096).view(2, 1, 16, 16, 16).roll(1, 0)
    view = strong(images)
    scales = [(view[item] * images[item]).sum() / images[item].square().sum() for item in range(2)]
    assert all(0.9 <= scale <= 1.1 for scale in scales) and abs(scales[0] - scales[1]) > 1e-3
    for item in range(2):
        rest = view[item] - scales[item] * images[item]
        assert rest.abs().max() < 0.21 and 0.08 < rest.std() < 0.11
