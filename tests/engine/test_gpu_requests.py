"""What jobs request of a GPU: none for a control, shares on SLURM, and a sentence for a wrong runs_per_gpu."""

import re
import subprocess
from types import SimpleNamespace

import pytest
from snakemake.resources import Resources
from support import project_folder, warm
from support.snakemake_project import tiny_params

from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.engine.gpu_requests import RULES, no_gpu_for, runs_per_gpu, share_of
from semiseg.engine.slurm_check import Need, Nodes, _counts, _share
from semiseg.engine.snakemake_requests import multiply_limit
from semiseg.stages.rules import RULES as ALL_RULES


def requests(train: object, predict: object = 1) -> dict[str, dict[str, object]]:
    values = {"train": train, "predict": predict, "row": None}
    return {rule: {"runs_per_gpu": value, "gpu_slots": None} for rule, value in values.items()}


def test_the_rules_are_those_that_compute_on_a_gpu_but_for_the_one_that_measures_time():
    assert {*RULES, "seconds"} == {rule.name for rule in ALL_RULES.values() if rule.on_gpu}
    assert runs_per_gpu(requests(3)) == {"train": 3, "predict": 1}


@pytest.mark.parametrize(
    ("value", "found"),
    [(0, "0"), (-1, "-1"), ("two", "'two'"), ("1,5", "'1,5'"), (True, "True"), (None, "different from job to job")],
)
def test_a_wrong_number_is_one_sentence(value, found):
    with pytest.raises(UserError) as caught:
        runs_per_gpu(requests(1, value))
    assert str(caught.value) == (
        f"runs_per_gpu of rule predict is {found}, expected one whole number of 1 or more: correct it in the profile or"
        " in --set-resources"
    )


def test_the_former_name_of_the_setting_is_one_sentence():
    former = requests(1) | {"predict": {"runs_per_gpu": 1, "gpu_slots": 2}}
    with pytest.raises(UserError, match=r"^gpu_slots of rule predict is called runs_per_gpu now: rename it in the pr"):
        runs_per_gpu(former)


def test_a_control_requests_nothing_and_a_share_replaces_whole_gpus_alone():
    whole, share, cpu = {"gpu": 1, "gres": None}, {"gpu": 0, "gres": "shard:2"}, {"gpu": 0, "gres": None}
    without = no_gpu_for(is_control)
    assert without("control_empty", whole) == without("control_empty", share) == cpu
    assert without("cps", whole) == whole
    assert share_of("shard:2")("cps", whole) == share
    assert share_of("shard:2")("cps", cpu) == cpu, "a profile that says 0 computes on the CPU"


@pytest.mark.parametrize(
    ("shards", "runs", "gres"), [(4, 2, "shard:2"), (4, 4, "shard:1"), (4, 3, "shard:2"), (16, 3, "shard:6")]
)
def test_so_many_shards_are_requested_that_no_more_runs_fit_on_a_gpu(shards, runs, gres):
    nodes = [Nodes("gpu", True, {"gpu": 2, "shard": 2 * shards}, None, 1000)]
    assert _share(Need("train", gres=("gpu",), runs_per_gpu=runs), nodes) == gres
    assert shards // int(gres.partition(":")[2]) <= runs


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("gpu:a100:4(S:0-1),shard:a100:16(S:0,1)", {"gpu": 4, "shard": 16}),
        ("gpu:a100:2,gpu:v100:2", {"gpu": 4}),
        ("gpu,lustre:no_consume:4G", {"gpu": 1, "lustre": 1}),
        ("(null)", {}),
    ],
)
def test_slurms_resources_are_counted(text, counts):
    assert _counts(text) == counts


SENTENCES = {
    "no shards": (
        {"gpu": 4},
        ("gpu",),
        2,
        r"no node of partition gpu has its GPUs divided into shards .*: set it to 1",
    ),
    "too many": (
        {"gpu": 4, "shard": 16},
        ("gpu",),
        5,
        "partition gpu divides a GPU into 4 shards: set it to 4 or less",
    ),
    "both": ({"gpu": 4, "shard": 16}, ("shard", "gpu"), 2, "its gres requests shard too: leave out one of the two"),
}


@pytest.mark.parametrize(("has", "gres", "runs", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_what_a_cluster_cannot_share_is_one_sentence(has, gres, runs, sentence):
    with pytest.raises(UserError, match=f"^rule train sets runs_per_gpu to {runs}, and {sentence}"):
        _share(Need("train", gres=gres, runs_per_gpu=runs), [Nodes("gpu", True, has, None, 1000)])


@pytest.mark.parametrize(("limit", "expected"), [(2, 6), (0, 0), (None, None)])
def test_a_limit_counts_gpus_and_its_jobs_are_runs_per_gpu_times_as_many(limit, expected):
    workflow = SimpleNamespace(global_resources=Resources.from_mapping({} if limit is None else {"gpu": limit}))
    multiply_limit(workflow, "gpu", 3)
    assert workflow.global_resources.get("gpu").value == expected


def dry_run(folder, *resources: str) -> subprocess.CompletedProcess[str]:
    return warm.snakemake(folder, ["-n", "-p", "--set-resources", *resources, "--", "results/tiny.csv"])


def test_no_profile_makes_a_control_request_a_gpu_and_a_wrong_number_ends_the_call(tmp_path):
    """A row with imported weights predicts on one, but nothing is trained for it."""
    params = tiny_params()
    params["variants"]["brought"] = {"method": "sup_only", "parameters": {}, "weights": "file"}
    params["tables"]["tiny"]["rows"].append({"method": "brought"})
    folder = project_folder.new(tmp_path / "project", params)
    result = dry_run(folder, "train:gpu=1", "train:gres=gpu:1", "train:runs_per_gpu=2", "predict:gpu=1")
    assert result.returncode == 0 and "other inner parts" not in result.stderr
    planned = re.findall(r"wildcards: .*method=(\w+),.*\n    resources: (.*)", result.stdout + result.stderr)
    found = {(method, *sorted(re.findall(r"(?:gpu|gres|runs_per_gpu)=\S+\b", each))) for method, each in planned}
    train, predict = ("gpu=1", "gres=gpu:1", "runs_per_gpu=2"), ("gpu=1", "runs_per_gpu=1")
    of_controls = ("gpu=0", "runs_per_gpu=2"), ("gpu=0", "runs_per_gpu=1")
    expected = {(method, *each) for method in ("sup_only", "cps") for each in (train, predict)}
    expected |= {(f"control_{which}", *each) for which in ("perfect", "empty") for each in of_controls}
    expected |= {("brought", "gpu=0", "runs_per_gpu=2"), ("brought", *predict)}
    assert {each for each in found if len(each) > 1} == expected
    result = dry_run(folder, "predict:runs_per_gpu=two")
    assert result.returncode == 2 and "error: runs_per_gpu of rule predict is 'two', expected" in result.stdout
