"""The command line: mistakes are one sentence and a status, and every job leaves a log."""

import multiprocessing
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest
from support import ROOT

from semiseg.base import sources
from semiseg.cli.main import main


def test_a_users_mistake_is_one_sentence_status_2_and_in_the_log(tmp_path, capfd):
    log = tmp_path / "logs" / "show.log"
    assert main(["--log", str(log), "show", str(tmp_path / "results/nothing.csv")]) == 2
    shown = capfd.readouterr().err
    assert shown.startswith("error: ") and "nothing.csv" in shown and "Traceback" not in shown
    assert log.read_text(encoding="utf-8") == shown


def test_a_crash_is_a_traceback_status_1_and_in_the_log(tmp_path, capfd, monkeypatch):
    def crash(table):
        raise AttributeError("'Batch' object has no attribute 'nothing'")

    monkeypatch.setattr("semiseg.report.show.show", crash)
    log, table = tmp_path / "logs" / "show.log", tmp_path / "table.csv"
    table.touch()
    assert main(["--log", str(log), "show", str(table)]) == 1
    shown = capfd.readouterr().err
    assert shown.startswith("error: AttributeError was not expected") and "Traceback (most recent call last)" in shown
    assert shown.endswith("AttributeError: 'Batch' object has no attribute 'nothing'\n")
    assert log.read_text(encoding="utf-8") == shown


NEW = """
class New:
    def _strong(self):
        return {}["a"]

def work(given):
    return New()._strong() if given == "key" else New()._stong()
"""


def users_code(given):
    space = {}
    exec(compile(NEW, str(sources.PACKAGE / "methods/new.py"), "exec"), space)
    return space["work"](given)


def in_a_worker(given):
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        pool.submit(users_code, given).result()


@pytest.mark.parametrize(
    ("work", "given", "words"),
    [
        (users_code, "name", "line 7: AttributeError: 'New' object has no attribute '_stong'; did you mean _strong?"),
        (users_code, "key", "line 4: KeyError: 'a'"),
        (in_a_worker, "key", "line 4: KeyError: 'a'"),
    ],
)
def test_an_error_in_a_users_file_ends_with_its_line_and_words(tmp_path, capfd, monkeypatch, work, given, words):
    """The traceback is in the job's log, and printed where there is none."""
    monkeypatch.setattr("semiseg.report.show.show", lambda table: work(given))
    monkeypatch.chdir(sources.PACKAGE.parents[1])
    table, log = tmp_path / "table.csv", tmp_path / "show.log"
    table.touch()
    assert main(["--log", str(log), "show", str(table)]) == 1
    sentence = f"error: src/semiseg/methods/new.py, {words}\n"
    assert capfd.readouterr().err == sentence
    assert "Traceback (most recent call last)" in (text := log.read_text(encoding="utf-8")) and text.endswith(sentence)
    assert main(["show", str(table)]) == 1
    assert "Traceback (most recent call last)" in (shown := capfd.readouterr().err) and shown.endswith(sentence)


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path, capfd):
    (tmp_path / "logs").write_text("")
    assert main(["--log", str(tmp_path / "logs" / "show.log"), "show", "results/nothing.csv"]) == 2
    assert "cannot write the log" in (shown := capfd.readouterr().err) and "Traceback" not in shown


def test_an_unknown_dataset_lists_the_known_ones(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["import", "laa", str(tmp_path)]) == 2
    assert "unknown dataset 'laa'; known: " in capfd.readouterr().err


def test_a_folder_that_is_not_there_is_named(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["import", "la", str(tmp_path / "nowhere")]) == 2
    assert "nowhere does not exist" in capfd.readouterr().err


def test_an_empty_folder_says_how_to_get_the_data(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(["import", "la", str(tmp_path / "empty")]) == 2
    assert "register at" in capfd.readouterr().err
    assert not (tmp_path / "data/raw/la/manifest.json").exists()


def test_a_specification_that_is_not_json_is_refused(tmp_path, capfd):
    with pytest.raises(SystemExit) as stopped:
        main(["split", "--spec", "{", "--raw", "a", "--out", "b"])
    assert stopped.value.code == 2
    assert "--spec" in capfd.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_fault():
    command = [sys.executable, "-m", "semiseg", "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as verb:
        verb.stdout.close()
        assert verb.stderr.read() == ""
    assert verb.returncode == 141


def test_help_names_every_verb(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    jobs = ("standin", "download", "raw", "prepare", "split", "train", "predict", "evaluate", "row", "table", "figure")
    asks = ("import", "check-split", "describe", "rehearse", "plan", "published", "show", "schema")
    for verb in (*jobs, *asks):
        assert f"\n    {verb} " in shown or f"\n    {verb}\n" in shown


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("show results/dmo.csv", "unknown table 'dmo'; did you mean demo?"),
        ("show demo", "no rule makes demo: name results/demo.csv"),
        ("show results/la_8.csv", "results/la_8.csv does not exist: build it with `snakemake results/la_8.csv`"),
        ("lineage demo", "no rule makes demo: name results/demo.csv"),
        ("lineage results/dmo.csv", "unknown table 'dmo'; did you mean demo?"),
        (
            "lineage results/demo.pdf",
            "no rule makes results/demo.pdf: name a table such as results/demo.csv; did you mean",
        ),
        ("plan dmeo", "unknown table 'dmeo'; did you mean demo?"),
        ("rehearse dmeo", "unknown table 'dmeo'; did you mean demo?"),
        (
            "rehearse openkbp_small",
            "openkbp has no stand-in: train a row for ten steps on the data themselves (docs/add",
        ),
        ("keep dmeo", "unknown table 'dmeo'; did you mean demo?"),
        ("keep-raw btv", "unknown dataset 'btv'; known: "),
        ("check-split la 8lb", "dataset la: unknown split '8lb'; known: 16lab, "),
        ("check-split la 8lab", "then call `semiseg import la FOLDER_OR_ARCHIVE`"),
        ("check-split laa 8lab", "unknown dataset 'laa'; known: "),
        ("import btv .", "unknown dataset 'btv'; known: amos22, "),
        ("published check flare22", "unknown paper 'flare22'; known: crln, "),
        ("describe fixmatch", "'fixmatch' is no table, dataset, "),
    ],
)
def test_a_mistyped_name_is_told_before_data_is_missed(call, sentence, tmp_path, monkeypatch, capfd):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "Snakefile").touch()
    monkeypatch.chdir(tmp_path)
    assert main(call.split()) == 2
    assert sentence in capfd.readouterr().err


def test_outside_the_project_the_folder_is_named(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["show", "results/demo.csv"]) == 2
    assert "params.yaml: run from the project's folder" in capfd.readouterr().err


def test_a_process_ends_without_looking_through_its_objects_for_garbage(tmp_path):
    script = (
        "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count()))\n"
        "from semiseg.cli.main import main; main(['show', 'results/nothing.csv'])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert int(done.stdout) > 1000, done.stderr
