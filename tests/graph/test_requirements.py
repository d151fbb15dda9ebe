"""Which protocols can serve which methods, and what is said where they cannot."""

import pytest
import yaml
from support import ROOT

from semiseg.base.errors import UserError
from semiseg.graph.plan import Plan
from semiseg.graph.requirements import split_does_not_fit, why_not
from semiseg.params.config import BatchSize, Training
from semiseg.params.reading import parse_params


def training(patch=(64, 128, 128), labelled=4, unlabelled=4):
    batch = BatchSize(labelled=labelled, unlabelled=unlabelled)
    return Training.model_construct(patch=patch, batch=batch, validation=None)


@pytest.mark.parametrize("patch", [(64, 128, 128), (32, 64, 64), (64, 64, 64), (96, 96, 96)])
def test_crops_that_magicnet_can_cut(patch):
    assert why_not("magicnet", {}, training(patch)) is None


@pytest.mark.parametrize("patch", [(16, 32, 32), (112, 112, 80), (64, 96, 96), (64, 32, 128), (96, 160, 160)])
def test_crops_that_magicnet_cannot_cut(patch):
    """No whole cubes; 64 not divisible by 3; one cube on the second axis; 96 not divisible by 5."""
    sides = " x ".join(map(str, patch))
    assert f"crops of {sides} cannot be cut so" in why_not("magicnet", {}, training(patch))


def test_the_rows_own_cube_size_counts():
    assert "cubes of 64 voxels" in why_not("magicnet", {"cube_size": 64}, training((96, 96, 96)))
    assert why_not("magicnet", {"cube_size": 64}, training((128, 128, 128))) is None


def test_halves_must_be_equal_where_crops_are_paired():
    assert why_not("guidednet", {}, training(unlabelled=2)) == (
        "guidednet pairs labelled with unlabelled crops, but the protocol takes 4 and 2 in a step"
    )
    assert why_not("cps", {}, training(unlabelled=2)) is None


CONTENT = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def test_a_crop_too_small_for_the_network_is_refused_with_one_that_fits():
    content = {**CONTENT, "protocols": {**CONTENT["protocols"], "demo": dict(CONTENT["protocols"]["demo"])}}
    content["protocols"]["demo"]["training"] = {**CONTENT["protocols"]["demo"]["training"], "patch": [16, 16, 16]}
    with pytest.raises(UserError) as refused:
        Plan(parse_params(content))
    assert str(refused.value) == (
        "protocols.demo.training.patch: 16 x 16 x 16 voxels are too few for unet3d, whose deepest map has 1/16 of each"
        " side and needs 2 voxels or more: take 16 x 16 x 32, say"
    )
    content["protocols"]["demo"]["training"]["patch"] = [20, 32, 5]
    with pytest.raises(UserError, match=r"multiples of 16, found 20 x 32 x 5: take 16 x 32 x 16, say$"):
        Plan(parse_params(content))


def test_a_split_without_cases_that_the_rows_need_is_refused():
    content = {**CONTENT, "splits": {**CONTENT["splits"], "phantom_three": {}}}
    for part, reason in {"val": "no validation cases", "unlabelled": "no unlabelled cases"}.items():
        draw = {**CONTENT["splits"]["phantom_three"]["demo"]["draw"], part: 0}
        content["splits"]["phantom_three"]["demo"] = {"draw": draw}
        with pytest.raises(UserError, match=f"table demo, row .*: split demo does not serve, since it has {reason}"):
            Plan(parse_params(content)).served("demo")
    counts = {"labelled": 2, "unlabelled": 0, "val": 1, "test": 1}
    assert split_does_not_fit(counts, training(), labelled_only=True) is None
