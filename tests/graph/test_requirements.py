"""Which protocols can serve which methods, and what is said where they cannot."""

import pytest
from support import params_yaml
from support.new_plug_ins import added

from semiseg.base.errors import UserError
from semiseg.graph import requirements
from semiseg.graph.plan import Plan
from semiseg.graph.requirements import Pairing, split_does_not_fit
from semiseg.graph.specs import Specs
from semiseg.learning.estimate import Step
from semiseg.params.augmentation import Augmentation
from semiseg.params.config import BatchSize, Inference, Network, Training
from semiseg.params.reading import parse_params


def training(patch=(64, 128, 128), labelled=4, unlabelled=4):
    batch = BatchSize(labelled=labelled, unlabelled=unlabelled)
    return Training.model_construct(patch=patch, batch=batch, validation=None, augmentation=Augmentation())


def why_not(method, hyper, training, network="vnet", window=(64, 128, 128), wrapped=None, **facts):
    inference = Inference(window=window, stride=window)
    facts = {"classes": 2, **facts}
    pair = Pairing(
        *(method, hyper, facts.pop("classes"), Network(name=network, filters=2), training, inference, wrapped), **facts
    )
    return requirements.why_not(pair)


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


ONE_SCALE = """
from semiseg.network import Backbone

class OneScale(Backbone):
    def outputs_of(self, image):
        return (image,)
"""


@pytest.mark.parametrize(
    ("requirement", "good", "bad", "reason"),
    [
        (
            "several_scales",
            {"network": "unet3d_ds"},
            {"network": "vnet"},
            "outputs at several scales, but vnet has ",
        ),
        ("further_decoders", {"network": "vnet_magic"}, {"network": "plain"}, "further decoders, but plain builds "),
        ("even_bottleneck", {}, {"patch": (64, 128, 112)}, "sides of crops must be multiples of 32; found 64 x "),
        ("even_bottleneck", {}, {"window": (48, 128, 128)}, "sides of windows must be multiples of 32; found 48"),
        ("window_is_patch", {}, {"window": (64, 128, 64)}, "trains on 64 x 128 x 128 voxels and predicts windows"),
    ],
)
def test_what_a_protocol_lacks_is_the_reason(requirement, good, bad, reason, tmp_path):
    """The requirement stands in a base class."""
    base = 'class Base(Method):\n    requires = ("' + requirement + '",)\n'
    method = "from semiseg.methods.parts.asks import Base\n\nclass New(Base):\n    pass\n"
    files = {"methods/parts/asks.py": f"from semiseg.method import Method\n\n{base}", "methods/new.py": method}
    with added(tmp_path, {**files, "networks/plain.py": ONE_SCALE}):
        assert why_not("new", **asked(good)) is None
        assert reason in why_not("new", **asked(bad))
        assert why_not("new", **asked(bad)).startswith("new ")
        assert requirements.requirements("new") == [requirements.REQUIREMENTS[requirement].text]


def test_two_crops_of_a_scan_are_the_protocol_s_to_cut():
    crops = training().model_copy(update={"augmentation": Augmentation(second="half_crop")})
    assert why_not("tracoco", {}, crops) is None
    reason = "tracoco compares two crops of each scan, but the protocol cuts one: set second in its augmentation"
    assert why_not("tracoco", {}, training()) == reason


def test_a_dice_of_one_foreground_class_is_for_two_classes():
    """SS-Net's own code has it, on the left atrium; its port to Synapse takes all classes, as the default does."""
    asked = {"supervised_dice": "foreground"}
    assert why_not("ss_net", asked, training()) is why_not("ss_net", {}, training(), classes=14) is None
    reason = "ss_net with supervised_dice foreground is for 2 classes, and this task has 14"
    assert why_not("ss_net", asked, training(), classes=14) == reason


@pytest.mark.parametrize("method", ["crln", "tracoco"])
def test_a_random_brightness_is_for_scans_scaled_to_0_and_1(method):
    crops = training().model_copy(update={"augmentation": Augmentation(second="half_start")})
    assert why_not(method, {}, crops, scaled=True) is None
    assert why_not(method, {"brightness": False}, crops, scaled=False) is None
    assert why_not(method, {}, crops, scaled=False) == (
        f"{method} clips images to 0..1 (brightness), but the protocol leaves intensities as they are stored: set"
        " intensities: minmax in the protocol, or brightness: false"
    )


def test_a_row_is_left_out_of_a_dataset_with_more_classes_than_it_serves():
    content = params_yaml.content()
    content["variants"]["own"] = {"method": "ss_net", "parameters": {"supervised_dice": "foreground"}}
    content["tables"]["synapse_10pct"]["rows"].append("own")
    content["tables"]["la_8"]["rows"].append("own")
    plan = Plan(parse_params(content))
    assert plan.skipped("synapse_10pct")["own"].endswith("and this task has 14") and not plan.skipped("la_8")


def test_a_requirement_counts_where_its_switch_is_on():
    """SKCDF without attention does not divide the deepest map."""
    assert "multiples of 32; found 64 x 128 x 112" in why_not("skcdf", {}, training((64, 128, 112)))
    assert "trains on 32 x 128 x 128 voxels and predicts windows" in why_not("skcdf", {}, training((32, 128, 128)))
    assert why_not("skcdf", {"skcm": False}, training((16, 128, 112))) is None
    assert "crops and windows whose deepest map has even sides, if skcm" in requirements.requirements("skcdf")


def asked(changes):
    """Arguments of ``why_not`` with some changes."""
    changes = dict(changes)
    patch = changes.pop("patch", (64, 128, 128))
    return {"hyper": {}, "training": training(patch), **changes}


CONTENT = params_yaml.content()


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
    assert split_does_not_fit(counts, training(), "sup_only") is None


def test_a_split_with_too_few_unlabelled_cases_for_a_method_is_refused():
    counts = {"labelled": 2, "unlabelled": 3, "val": 1, "test": 1}
    reason = split_does_not_fit(counts, training(), "adsh")
    assert reason == "it has 3 unlabelled cases, and this method is trained on 4 or more"
    assert split_does_not_fit(counts, training(), "cps") is None
    assert split_does_not_fit({**counts, "unlabelled": 4}, training(), "adsh") is None


@pytest.mark.parametrize("voxels", [1, 16384])
def test_superpixels_that_fit_in_a_slice(voxels):
    assert why_not("plbopt", {"voxels_per_superpixel": voxels}, training()) is None


@pytest.mark.parametrize("voxels", [0, -5, 16385])
def test_superpixels_of_no_voxel_or_of_more_than_a_slice_has(voxels):
    assert why_not("plbopt", {"voxels_per_superpixel": voxels}, training()) == (
        "plbopt divides slices of 128 x 128 voxels into superpixels, so voxels_per_superpixel must be from 1 to 16384;"
        f" found {voxels}"
    )


def test_what_a_wrapped_method_requires_is_required_of_the_row():
    wrapped = {"method": "magicnet", "hyper": {"cube_size": 64}}
    assert why_not("plbopt", {}, training((128, 128, 128)), wrapped=wrapped) is None
    assert why_not("plbopt", {}, training((96, 96, 96)), wrapped=wrapped) == (
        "plbopt wraps magicnet, and magicnet cuts crops into cubes of 64 voxels (cube_size), n >= 2 of them on the"
        " second axis, and exchanges n parts on every axis; crops of 96 x 96 x 96 cannot be cut so"
    )


def with_row(**parameters):
    """The project's parameters with a row of plbopt in the table demo."""
    content = params_yaml.content()
    content["variants"] = {"wrapping": {"method": "plbopt", "parameters": parameters}}
    rows = [{"method": "sup_only"}, {"method": "wrapping"}]
    content["tables"] = {"demo": content["tables"]["demo"] | {"rows": rows}}
    return content


def test_a_run_has_the_hyperparameters_that_its_protocol_gives_the_wrapped_method():
    content = with_row(base="cps")
    content["methods"] = {"cps": {"weight": 0.2}}
    content["protocols"]["demo"]["methods"] = {"cps": {"cross_rows": "unlabelled"}, "dhc": {"accumulate": 9}}
    plan = Plan(parse_params(content))
    spec = Specs(plan).train(plan.runs("demo", "wrapping")[0])
    assert spec["wrapped"] == {"method": "cps", "hyper": {"weight": 0.2, "cross_rows": "unlabelled"}}
    assert spec["hyper"] == {"base": "cps"}
    content["methods"] = {}
    plan = Plan(parse_params(content))
    other = Specs(plan).train(plan.runs("demo", "wrapping")[0])
    assert Step(other, 3).key != Step(spec, 3).key
    assert "wrapped" not in Specs(plan).train(plan.runs("demo", "sup_only")[0])


def test_a_split_must_serve_the_wrapped_method():
    plan = Plan(parse_params(with_row(base="adsh")))
    plan.counts = lambda dataset, split: {"labelled": 2, "unlabelled": 3, "val": 1, "test": 1}
    with pytest.raises(UserError, match="row wrapping: split demo does not serve, since it has 3 unlabelled cases"):
        plan.served("demo")


@pytest.mark.parametrize("base", ["sup_only", "control_empty", "ua_mt", "plbopt", "dhcc"])
def test_a_base_that_plbopt_cannot_wrap_is_refused_at_planning(base):
    sentence = rf"^variants\.wrapping\.parameters\.base: expected one of dhc, cps, .*urpc, found '{base}'$"
    with pytest.raises(UserError, match=sentence):
        Plan(parse_params(with_row(base=base)))


def test_sam_serves_the_methods_that_are_built_on_it_and_no_others():
    slices = training((256, 256, 5))
    for method in ("autosam", "ma_sam"):
        assert why_not(method, {}, slices, network="sam", window=(256, 256, 5), pretrained=True) is None
        assert "starts from the weights of a pre-training" in why_not(method, {}, slices, network="sam")
        assert why_not(method, {}, training()) == (
            f"{method} is built on SAM, but the protocol's network is vnet: name sam there"
        )
    assert why_not("sup_only", {}, slices, network="sam") == (
        "sup_only cannot use the network sam, which has no encoder-decoder's maps"
    )


def test_autosam_is_for_one_organ():
    reason = "autosam separates one organ from the background, and this task has 3 classes"
    given = {"network": "sam", "window": (256, 256, 1), "classes": 3, "pretrained": True}
    assert why_not("autosam", {}, training((256, 256, 1)), **given) == reason
    assert why_not("ma_sam", {}, training((256, 256, 1)), **given) is None
