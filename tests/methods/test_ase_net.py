"""ASE-Net: one noise a step, the two defects of the script, and the form with one logit."""

import torch
from steps.stage import backbone, make
from torch import Tensor

from semiseg.method import Batch, Method, TrainingTime

NOW = TrainingTime(iteration=7, iterations=10, epoch=2, epochs=4, ramp=1.0)


def build(classes: int = 2, **hyper: object) -> Method:
    torch.manual_seed(0)
    return make("ase_net", classes, backbone("vnet", 2), "half_ce_dice_fg", **hyper)


def batch(classes: int = 2) -> Batch:
    images = torch.randn(2, 1, 32, 32, 16)
    return Batch(images[:1], torch.randint(classes, (1, 32, 32, 16)), images[1:])


def test_both_parts_of_a_step_have_the_same_noise_and_the_next_step_has_new_one() -> None:
    method, crops, seen = build(), batch(), list[Tensor]()
    method.get_submodule("student").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    method.get_submodule("teacher").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    method.adversary_losses(crops, NOW)
    method.losses(crops, NOW)
    method.losses(Batch(crops.images, crops.labels, crops.unlabelled.clone()), NOW)
    noisy = [each for each in seen if len(each) == 1 and not torch.equal(each, crops.unlabelled)]
    assert [torch.equal(each, noisy[0]) for each in noisy] == [True, True, True, False, False]


def test_the_defects_of_the_script_have_no_gradient() -> None:
    released, mended = ({**build(as_released=flag).losses(batch(), NOW)} for flag in (True, False))
    assert not released["dice"].requires_grad and released["consistency"].detach() == 0
    assert mended["dice"].requires_grad and mended["consistency"].detach() > 0
    assert build(as_released=True).logged_only == {"dice", "consistency"}


def test_two_classes_have_one_logit_and_more_classes_one_each() -> None:
    for classes, channels in ((2, 1), (4, 4)):
        method = build(classes)
        assert method.get_submodule("student").head.out_channels == channels  # type: ignore[union-attr]
        assert method.get_submodule("first").of_map.in_channels == classes - 1  # type: ignore[union-attr]
        with torch.no_grad():
            scores = method.predict(batch().images, method.inference_networks)
        assert scores.shape[1] == classes
        torch.testing.assert_close(scores.sum(1), torch.ones(1, 32, 32, 16))


def test_the_teacher_may_predict() -> None:
    assert build(predict_with="teacher").inference_networks == ("teacher",)
