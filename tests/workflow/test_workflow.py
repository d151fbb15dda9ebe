"""The workflow itself, by real calls of Snakemake in a project folder of its own: a tiny table from raw to page."""

import csv
import json
import re

import pytest
from support import ROOT, project_folder
from support.project_folder import write_params
from support.snakemake_project import TABLE, planned, snakemake, tiny_params


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project folder with the real workflow."""
    return project_folder.new(tmp_path_factory.mktemp("project"), tiny_params())


@pytest.fixture(scope="module")
def local_disk(tmp_path_factory):
    """What stands for the disk of a node."""
    return tmp_path_factory.mktemp("local")


@pytest.fixture(scope="module")
def built(project, local_disk):
    """The project after its table was built; its trainings read copies on the node's disk."""
    result = snakemake(project, TABLE, "--set-resources", f"train:local_disk={local_disk}")
    assert result.returncode == 0, result.stderr[-4000:]
    return project


def test_trainings_of_a_node_share_copies_which_no_record_mentions(built, local_disk):
    """Two methods were trained, one of them on labelled cases alone; the cases of the test have no copies."""
    (index,) = (json.loads(path.read_text()) for path in built.glob("data/prepared/phantom_mri/*/index.json"))
    split = json.loads((built / "data/splits/phantom_mri/tiny.json").read_text())
    read = {"sup_only": ("labelled", "val"), "cps": ("labelled", "unlabelled", "val")}
    cases = {method: [case for part in parts for case in split[part]] for method, parts in read.items()}
    (copies,) = local_disk.iterdir()
    assert {path.name for path in copies.glob("*")} == {f"{index['cases'][case]['sha256']}.h5" for case in cases["cps"]}
    for method in read:
        (log,) = (built / "results/logs/train").glob(f"*.{method}.seed1.log")
        assert f"{len(cases[method])} cases are read from their copies in {copies}" in log.read_text()
    records = [path.read_text() for path in built.glob("results/**/*.lineage.json")]
    assert records and not [text for text in records if "local_disk" in text or str(local_disk) in text]


def test_controls_rank_first_and_last(built):
    for path, ceiling in ((TABLE, 100), ("results/tiny.sound.csv", 75)):  # half resolution costs the second one a lot
        with (built / path).open() as file:
            rows = list(csv.DictReader(file))
        dice = {row["method"]: float(row["Dice"]) for row in rows}
        assert list(dice) == ["sup_only", "cps", "control_perfect", "control_empty"]
        assert dice["control_perfect"] == max(dice.values()) >= ceiling
        assert dice["control_empty"] == min(dice.values()) == 0


NO_RULE = "no rule makes {}: name a table such as results/demo.csv; did you mean "


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("results/tiny.pdf", NO_RULE + "results/tiny."),
        ("results/tiny/figures/bar.png", "unknown figure 'bar'; known: boxes, curves, bars, seconds, case_<case>"),
        ("results/tiny/figures/boxes.gif", NO_RULE + "results/tiny/figures/boxes."),
        ("tony", NO_RULE + "tiny?"),
    ],
)
def test_a_target_that_no_rule_makes_is_answered_with_what_is_made(project, target, sentence):
    result = snakemake(project, target)
    assert result.returncode == 1
    assert sentence.format(target) in result.stderr


def test_a_control_asks_for_no_gpu(built):
    result = snakemake(built, "-n", "-p", "--forceall", TABLE, "--set-resources", "train:local_disk=$TMPDIR")
    assert result.returncode == 0, result.stderr
    assert (result.stdout + result.stderr).count("--local-disk='$TMPDIR'") == 4  # replaced on the node of the job
    job = r"semiseg --log \S+\.(\w+)\.seed1\.log (train|predict) .* --gpu (\d)"
    found = re.findall(job, result.stdout + result.stderr)
    asked = {"sup_only": "1", "cps": "1", "control_perfect": "0", "control_empty": "0"}
    assert set(found) == {(method, rule, gpus) for method, gpus in asked.items() for rule in ("train", "predict")}


def test_every_form_of_the_table_and_a_log_per_job_are_there(built):
    for suffix in (".csv", ".sound.csv", ".md", ".tex", ".html"):
        assert (built / f"results/tiny{suffix}").stat().st_size > 200
    logs = {path.parent.name for path in (built / "results/logs").glob("*/*.log")}
    assert logs == {"raw", "prepare", "split", "train", "predict", "evaluate", "row", "table"}


def test_predictions_lie_in_the_raw_images_geometry(built):
    from semiseg.base.files import read_json
    from semiseg.data.images import read_nifti
    from semiseg.dataset import get_dataset

    raw = read_json(built / "data/raw/phantom_mri/manifest.json")
    run = built / "results/runs/phantom_mri/la_small/tiny/cps/seed1"
    images = {case["id"]: built / "data/raw/phantom_mri" / case["image"] for case in raw["cases"]}
    cases = read_json(run / "predictions.json")["cases"]
    assert len(cases) == 2
    for case in cases:
        image = get_dataset("phantom_mri").read_image(images[case])
        prediction = read_nifti(run / "predictions" / f"{case}.nii.gz")
        assert prediction.array.shape == image.array.shape
        assert abs(prediction.affine - image.affine).max() < 1e-4


def test_a_finished_table_has_nothing_to_do(built):
    assert planned(built) == {}


def test_touched_files_rerun_nothing(built):
    for path in ("data/raw/phantom_mri/manifest.json", "results/runs/phantom_mri/la_small/tiny/cps/seed1/cases.csv"):
        (built / path).touch()
    assert planned(built) == {}


def test_one_methods_weight_reruns_that_method_alone(built):
    params = tiny_params()
    params["methods"] = {"cps": {"weight": 0.2}}
    write_params(built, params)
    assert planned(built) == {"train": 1, "predict": 1, "evaluate": 1, "row": 1, "table": 1}
    write_params(built, tiny_params())
    assert planned(built) == {}


def test_a_scoring_rule_reruns_rows_and_table_alone(built):
    params = tiny_params()
    for protocol in params["protocols"].values():  # rows with a protocol of their own are measured as the table is
        protocol["scoring"] = "dhc"
    write_params(built, params)
    assert planned(built) == {"row": 4, "table": 1}
    write_params(built, tiny_params())


def test_a_new_seed_trains_it_and_nothing_else(built):
    params = tiny_params()
    params["tables"]["tiny"]["seeds"] = [1, 2]
    write_params(built, params)
    assert planned(built) == {"train": 4, "predict": 4, "evaluate": 4, "row": 4, "table": 1}
    write_params(built, tiny_params())


def test_published_tables_are_planned_whole(built):
    # FLARE22: 16 rows x 3 seeds, and "Sup only" of both tables is the same run
    assert planned(built, "results/flare22_10pct.csv")["train"] == 48
    assert planned(built, "results/flare22_10pct.csv", "results/flare22_50pct.csv")["train"] == 93


def test_tables_and_ablations_train_each_run_once(built):
    """Eight tables of 16 rows, of which FLARE22's two share "Sup only"; ablations add their variants alone."""
    tables = [f"{dataset}_{share}pct" for dataset in ("flare22", "amos", "mmwhs", "btcv") for share in (10, 50)]
    ablations = ["guidednet_t3", "guidednet_t4", "guidednet_fig5a", "guidednet_fig5b", "dvcl_t5", "dvcl_fig5"]
    rows = 8 * 16 - 1 + 2 + 5 + 4 + 3 + 4 + 24
    assert planned(built, *(f"results/{name}.csv" for name in tables + ablations))["train"] == 3 * rows


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("results/demoo.csv", "unknown table 'demoo'; did you mean demo?"),
        ("results/tiny/mtt.csv", "table tiny: unknown row 'mtt'; known: sup_only, cps"),
        ("data/raw/phantmo/manifest.json", "unknown dataset 'phantmo'; known: "),
        (
            "data/splits/la/3lab.json",
            "dataset la: unknown split '3lab'; known: 16lab, 16lab_val, 4lab, 8lab, 8lab_val, mcf_fold0",
        ),
        ("results/runs/phantom_three/demo/demo/cpps/seed1/cases.csv", "unknown method 'cpps'; did you mean cps"),
        ("results/runs/phantom_three/dem/demo/cps/seed1/cases.csv", "unknown protocol 'dem'; did you mean demo"),
    ],
)
def test_unknown_targets_are_told_in_a_sentence(built, target, sentence):
    result = snakemake(built, "-n", target)
    assert result.returncode != 0
    assert sentence in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_parameter_file_starts_nothing(built):
    params = tiny_params()
    params["protocols"]["la_small"]["training"]["itrations"] = 5
    write_params(built, params)
    result = snakemake(built, TABLE)
    write_params(built, tiny_params())
    assert result.returncode != 0
    assert "protocols.la_small.training.itrations is not a known key" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_gated_dataset_says_how_to_get_it(built):
    result = snakemake(built, "data/raw/la/manifest.json")
    assert result.returncode != 0
    assert "semiseg import la FOLDER" in result.stdout + result.stderr


def test_a_table_without_a_finished_row_says_so(built):
    params = tiny_params()
    params["variants"]["cps_wild"] = {"method": "cps", "parameters": {"weight": 1e38}}
    params["tables"]["tiny"]["rows"] = ["cps_wild"]
    write_params(built, params)
    (built / TABLE).rename(built / "kept.csv")
    result = snakemake(built, TABLE)
    write_params(built, tiny_params())
    (built / "kept.csv").rename(built / TABLE)
    assert result.returncode != 0
    *_, cause, outcome = (line for line in result.stderr.splitlines() if line.startswith("tiny: "))
    assert cause.startswith("tiny: cps_wild: ") and "is nan" in cause, "the error of the job stands at the end again"
    assert outcome == "tiny: no row has finished, so there is no table"
    assert not (built / "results/tiny.partial.csv").exists()


def test_a_row_that_the_protocol_cannot_serve_is_left_out_with_a_reason(built):
    params = tiny_params()
    params["protocols"]["la_small"]["training"]["batch"] = {"labelled": 2, "unlabelled": 1}
    params["tables"]["tiny"]["rows"] = ["sup_only", "guidednet"]
    write_params(built, params)
    assert planned(built)["train"] == 1
    params["tables"]["tiny"]["rows"] = ["guidednet"]
    write_params(built, params)
    result = snakemake(built, "-n", TABLE)
    write_params(built, tiny_params())
    assert result.returncode != 0
    sentence = "table tiny has no row that its protocol can serve: guidednet pairs labelled with"
    assert sentence in result.stdout + result.stderr


def test_a_list_that_cannot_be_formed_is_named_before_anything_is_downloaded():
    said = {}
    for table in ("flare22_10pct", "amos_5pct"):
        result = snakemake(ROOT, "-n", f"results/{table}.csv")
        said[table] = result.stdout + result.stderr
    sentence = (
        "warning: table flare22_10pct: flare22_guidednet_10p cannot be formed from the official files, which lack"
    )
    assert sentence in said["flare22_10pct"]
    assert "table flare22_10pct_open has a list that can be formed" in said["flare22_10pct"]
    assert "cannot be formed" not in said["amos_5pct"]


def test_a_report_of_snakemake_is_written_without_a_warning(built):
    result = snakemake(built, "--report", "report.html", "--", TABLE)
    assert result.returncode == 0 and (built / "report.html").exists(), result.stderr
    assert "other inner parts" not in result.stderr


def test_what_is_made_from_files_that_came_out_as_before_is_not_made_anew(built):
    """Costs hold measured times, so equal ones are those of the same training."""
    costs = {path: path.read_bytes() for path in built.glob("results/runs/**/cost.json")}
    result = snakemake(built, "--forcerun", "prepare", "--", TABLE)
    assert result.returncode == 0, result.stderr[-4000:]
    assert "/cps/seed1/weights.safetensors stays, since all that it is made from is as it was" in result.stderr
    assert "index.json stays" not in result.stderr
    assert {path: path.read_bytes() for path in costs} == costs and costs
    assert "train" not in planned(built)
    (cps,) = (path for path in costs if "/cps/" in str(path))
    assert snakemake(built, "--force", str(cps.relative_to(built))).returncode == 0
    assert cps.read_bytes() != costs[cps], "a forced training is done anew"


def test_a_failing_row_does_not_stop_the_others(built):
    params = tiny_params()
    params["variants"]["cps_wild"] = {"method": "cps", "parameters": {"weight": 1e38}}
    params["tables"]["tiny"]["rows"] += ["cps_wild", "mt"]
    write_params(built, params)
    result = snakemake(built, TABLE)
    write_params(built, tiny_params())
    assert result.returncode != 0
    assert "training diverged" in result.stderr
    assert (built / "results/tiny/mt.csv").exists()
    log = "results/logs/train/phantom_mri.la_small.tiny.cps_wild.seed1.log"
    assert f"tiny: no row cps_wild: train did not finish, see {log}" in result.stdout + result.stderr
    with (built / "results/tiny.partial.csv").open() as file:
        assert [row["method"] for row in csv.DictReader(file)][:3] == ["sup_only", "cps", "mt"]
    page = (built / "results/tiny.partial.html").read_text(encoding="utf-8")
    assert "cps_wild" in page and log in page
    assert not (built / "results/runs/phantom_mri/la_small/tiny/cps_wild/seed1/weights.safetensors").exists()
