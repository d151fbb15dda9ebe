"""What makes which rule run again: real edits on a copy of the source, each with the rules whose hash it changes."""

import ast
import re
import shutil

import pytest

from semiseg.base import files, sources
from semiseg.base.errors import UserError
from semiseg.jobs import code_hash as code
from semiseg.jobs import outline
from semiseg.jobs.code_text import reduced

SPEC = {"dataset": "flare22", "method": "dtc", "network": {"name": "vnet"}}
DATA = ("standin", "download", "raw", "prepare", "split")
RUN = ("train", "predict", "evaluate")
RULES = (*DATA, *RUN, "row", "table", "figure")
DATASET = {*DATA, "evaluate"}  # those that import the file of the dataset; the stand-in takes names of files from it
NETWORK = {"train", "predict"}

# file, pattern, replacement, rules that change
EDITS = {
    # scoring
    "a scoring rule": ("scoring/scoring_rules.py", r"100\b", "100.5", {"row", "table"}),
    "the text of a scoring rule": ("scoring/scoring_rule_texts.py", "Means over cases", "Mean over cases", {"table"}),
    "the order of means": ("scoring/score.py", r"distances\*\*2", "distances**3", {"row"}),
    "a distance": ("scoring/measurements.py", r"\b95\b", "96", {"evaluate"}),
    "the name of a metric in print": ("base/metric_names.py", '"95HD"', '"HD95"', {"row", "table", "figure"}),
    "a column of the scores": ("scoring/cases.py", '"label",', '"id",', {"evaluate", "row", "table", "figure"}),
    "a confidence interval": ("scoring/intervals.py", r"LEVEL = 0\.95", "LEVEL = 0.9", {"table"}),
    # the look of a page
    "a number format of the page": ("report/cells.py", 'MINUS = "."', 'MINUS = "-"', {"table", "figure"}),
    "the template of the page": ("report/page.html.j2", "<h1>", "<h2>", {"table"}),
    "the style of the page": ("report/page.css", "color:", "colour:", {"table"}),
    "a sentence of the page": ("report/texts.py", "crops of", "patches of", {"table"}),
    "a colour of the charts": ("report/colours.py", "#0072B2", "#0072B3", {"table", "figure"}),
    "the width of a bar": ("report/figures/bars.py", r"BAR = 0\.38", "BAR = 0.4", {"figure"}),
    # watching
    "the history of losses": ("learning/history.py", "STEPS_PER_FETCH = 20", "STEPS_PER_FETCH = 10", set()),
    "the progress line": ("base/progress.py", r"SECONDS_BETWEEN_LINES = 10\.0", "SECONDS_BETWEEN_LINES = 5.0", set()),
    "what a signal does": ("learning/signals.py", "signal.SIGTERM, signal.SIGINT", "signal.SIGTERM,", set()),
    "copies on a node's disk": ("data/local_copies.py", "UNUSED_SECONDS = 7", "UNUSED_SECONDS = 8", set()),
    "a warning about a scan": ("data/checks.py", "AIR_HU = -200", "AIR_HU = -300", set()),
    # parameters, plug-ins and what surrounds a job
    "a new parameter": ("params/data.py", "class Counts", "class New(Strict):\n    x: int\n\n\nclass Counts", set()),
    "the label of a row": ("params/table_spec.py", "def label", "X = 1\n\n    def label", {"row", "table", "figure"}),
    "how plug-ins are read": ("catalogue.py", r"len\(found\) != 1", "len(found) > 1", set()),
    "how a mistyped name is guessed": ("base/names.py", r"n=3\b", "n=5", set()),
    "how a wrong parameter is told": ("params/sentences.py", "SHOWN = 60", "SHOWN = 70", set()),
    "what a protocol must serve": ("graph/requirements.py", "number >= 2", "number >= 3", set()),
    "the lock of a job": ("jobs/lock.py", "import os\n", "import os\n\nX = 1\n", set()),
    # texts of declarations
    "the licence of a dataset": ("datasets/flare22.py", 'licence="', 'licence="new: ', set()),
    "the citation of a dataset": ("datasets/flare22.py", 'citation="', 'citation="new: ', set()),
    "the title of a dataset": ("datasets/flare22.py", 'title="', 'title="new: ', set()),
    "the source of a dataset": ("datasets/flare22.py", 'source="', 'source="new: ', set()),
    "the layout of a dataset": ("datasets/flare22.py", 'layout="', 'layout="new: ', set()),
    "a note on a dataset": ("datasets/flare22.py", r"notes=\(", 'notes=("new",', set()),
    "how to get a dataset": ("datasets/flare22.py", "how_to_get=GET", 'how_to_get="ask"', set()),
    "the meaning of a hyperparameter": ("methods/dtc.py", "weight of the distance", "share of the distance", set()),
    "the source of a hyperparameter": ("methods/dtc.py", r'f"\{CODE\} --beta"', '"section 3"', set()),
    # what matters
    "the default of a hyperparameter": ("methods/dtc.py", r"Hyper\(0\.3", "Hyper(0.4", NETWORK),
    "the choices of a hyperparameter": (
        "methods/dtc.py", r'(f"\{CODE\} --beta")', r"\1, (0.3, 0.4)", NETWORK
    ),
    "the base class of a method": ("methods/parts/one_logit.py", "BINARY = 2", "BINARY = 3", NETWORK),
    "a network that is used by name": ("networks/vnet.py", r"\(1, 2, 3, 3, 3\)", "(1, 2, 3, 3, 4)", NETWORK),
    "a loss": ("blocks/losses.py", "smooth: float = 1e-5", "smooth: float = 1e-6", NETWORK),
    "a window of inference": ("learning/inference.py", r"lack // 2", "(lack + 1) // 2", NETWORK),
    "a step of training": ("learning/loop.py", r"state\.scaler\.update\(\)", "pass", {"train"}),
    "the modality of a dataset": ("datasets/flare22.py", 'modality="CT"', 'modality="MRI"', DATASET),
    "the reader of a dataset": ("datasets/flare22.py", r"(def read\(.*\n)", r"\1    X = 1\n", DATASET),
    "a resampling": ("data/resampling.py", "NEGLIGIBLE = 1e-8", "NEGLIGIBLE = 1e-7", {"prepare"}),
    "the store of cases": ("data/store.py", "ALIGNED = 4096", "ALIGNED = 8192", {"prepare", *RUN, "table", "figure"}),
    "a reader of images": (
        "data/images.py", r"-1\.0, -1\.0, 1\.0", "1.0, -1.0, 1.0", {*DATA, "predict", "evaluate", "table", "figure"}
    ),
    "the draw of a split": ("data/split.py", r"\Z", "\nX = 1\n", {"split"}),
    "drawing": ("data/drawing/abdomen.py", "GALLBLADDER = 0.2", "GALLBLADDER = 0.3", {"standin"}),
    "importing": ("data/arrival/importing.py", r'STAGING = "\.', 'STAGING = ".x', {"raw"}),
    "downloading": ("data/arrival/download.py", "CHUNK = 1 << 18", "CHUNK = 1 << 17", {"download"}),
    "how files are written": ("base/files.py", 'UNFINISHED = "', 'UNFINISHED = "x', set(RULES)),
    "a package that runs code": ("blocks/__init__.py", r"\Z", "\nimport numpy\n", NETWORK),
    "the outermost package": ("__init__.py", r"\Z", "\nimport numpy\n", set(RULES)),
}  # fmt: skip

# file, pattern, replacement, rules that change for a control
CONTROLLED = ("train", "predict")
OF_A_CONTROL = {
    "the stage that trains": ("stages/train.py", r"\Z", "\nX = 1\n", set()),
    "the stage that predicts": ("stages/predict.py", r"\Z", "\nX = 1\n", set()),
    "a step of training": ("learning/loop.py", r"state\.scaler\.update\(\)", "pass", set()),
    "a window of inference": ("learning/inference.py", r"lack // 2", "(lack + 1) // 2", set()),
    "the contract of a method": ("method.py", r"\Z", "\nX = 1\n", set()),
    "a network": ("networks/vnet.py", r"\(1, 2, 3, 3, 3\)", "(1, 2, 3, 3, 4)", set()),
    "another control": ("methods/control_perfect.py", r"\Z", "\nX = 1\n", set()),
    "the history of losses": ("learning/history_file.py", ":.8g", ":.9g", set()),
    "the contract of a control": ("control.py", r"\Z", "\nX = 1\n", {"train", "predict"}),
    "the control": ("methods/control_empty.py", "zeros_like", "ones_like", {"train", "predict"}),
    "what stands for weights": ("stages/train_control.py", '"iteration": 0', '"iteration": 1', {"train"}),
    "the cost of a run": ("learning/cost.py", "/ 3600", "/ 3601", {"train"}),
    "how a control predicts": ("stages/predict_control.py", r"\.float32", ".float64", {"predict"}),
    "the files of predictions": ("stages/predictions.py", r'NEW = "\.new"', 'NEW = ".n"', {"predict"}),
    "the way to the raw grid": ("data/raw_grid.py", r"\Z", "\nX = 1\n", {"predict"}),
}

# pattern, replacement: on every file of the source, for every rule
SENTENCES = {
    "comments": (r"^(\s*)((?:def|return|if|for) .*)$", r"\1# a remark\n\1\2"),
    "docstrings": (r'"""(\w)', r'"""In other words: \1'),
    "errors": (r"raise UserError\(", 'raise UserError("In other words: " + '),
    "log lines": (r"^(\s*)(log(?:ger)?\.\w+)\((?!\n)", r'\1\2("In other words: " + '),
    "annotations of results": (r"\) -> ([^:\n]+):$", r") -> \1 | object:"),
    "annotations of arguments": (
        r"(?<!lambda )\b(path|seed|image|name|out): ([A-Z]?[a-z]+)\b(?=[,)])",
        r"\1: \2 | object",
    ),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the source."""
    folder = tmp_path_factory.mktemp("copy") / "semiseg"
    shutil.copytree(sources.PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def hashes(source, monkeypatch):
    """The hash of each rule's code, of the copy as it is now."""
    monkeypatch.setattr(sources, "PACKAGE", source)

    def of_each_rule(rules=RULES, **other):
        forget()
        return {rule: code.code_of(rule, SPEC | other) for rule in rules}

    yield of_each_rule
    forget()


def forget():
    for function in (sources.source_of, code.code_hash, code._closure, code._read, outline.outline, code._runs_code):
        function.cache_clear()


@pytest.fixture
def edit(source):
    """Replace a pattern in a file of the copy; the file is as before after the test."""
    before = {}

    def replace(name, pattern, replacement):
        file = source / name
        text = file.read_text(encoding="utf-8")
        before.setdefault(file, text)
        changed, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        file.write_text(changed, encoding="utf-8")
        return count

    yield replace
    for file, text in before.items():
        file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_changes_the_rules_that_depend_on_it_and_no_others(what, hashes, edit):
    name, pattern, replacement, rules = EDITS[what]
    before = hashes()
    assert edit(name, pattern, replacement), f"{name} has no {pattern}: change the edit with it"
    after = hashes()
    assert {rule for rule in RULES if before[rule] != after[rule]} == rules


@pytest.mark.parametrize("what", OF_A_CONTROL)
def test_a_control_depends_on_the_little_code_that_it_runs(what, hashes, edit):
    name, pattern, replacement, rules = OF_A_CONTROL[what]
    before = hashes(CONTROLLED, method="control_empty")
    assert edit(name, pattern, replacement), f"{name} has no {pattern}: change the edit with it"
    after = hashes(CONTROLLED, method="control_empty")
    assert {rule for rule in CONTROLLED if before[rule] != after[rule]} == rules


def test_a_run_depends_on_the_method_that_its_own_method_wraps(hashes, edit):
    others = {name: {"method": "plbopt", "wrapped": {"method": name, "hyper": {}}} for name in ("cps", "crest")}
    before = {name: hashes(RUN, **other) for name, other in others.items()}
    assert edit("methods/crest.py", r"EPSILON = 1e-8", "EPSILON = 1e-7")
    after = {name: hashes(RUN, **other) for name, other in others.items()}
    assert after["cps"] == before["cps"]
    assert {rule for rule in RUN if after["crest"][rule] != before["crest"][rule]} == {"train", "predict"}


@pytest.mark.parametrize("what", SENTENCES)
def test_texts_and_annotations_change_no_rule(what, hashes, edit, source):
    before = hashes()
    edited = [file for file in sorted(source.rglob("*.py")) if edit(file.relative_to(source), *SENTENCES[what])]
    for file in edited:
        ast.parse(file.read_text(encoding="utf-8"))
    assert len(edited) > 10
    assert hashes() == before


def test_a_log_line_may_come_and_go(hashes, edit):
    before = hashes()
    for stage in ("download", "raw", "train", "predict", "evaluate", "row", "tabulate"):
        name = f"stages/{stage}.py"
        assert edit(name, r"^(def .*:\n)", r'\1    notes.info("now")\n')
        edit(name, r"\A(.*\n)", r"\1\nimport logging\n\nnotes = logging.getLogger(__name__)\n")
    assert hashes() == before


def test_a_phantom_is_drawn_by_the_rule_raw_alone(hashes, edit):
    rules = RULES[1:]  # a phantom has no stand-in
    before = hashes(rules, dataset="phantom")
    assert edit("data/drawing/abdomen.py", "GALLBLADDER = 0.2", "GALLBLADDER = 0.3")
    after = hashes(rules, dataset="phantom")
    assert [rule for rule in rules if before[rule] != after[rule]] == ["raw"]


OWN_DATASET = """
from semiseg.data.layouts import nnunet
from semiseg.dataset import Organ

DATASET = nnunet(
    "mine", title="Mine", modality="CT", organs=(Organ(1, "liver", "Liv"),), licence="ours", notes=("first",)
)
"""


@pytest.mark.parametrize(
    ("old", "new", "rules"),
    [
        ('"Mine"', '"Our liver CT"', set()),
        ('"ours"', '"CC BY 4.0"', set()),
        ('"first",', '"first", "second"', set()),
        ("licence=", 'citation="we", licence=', set()),
        ('"Liv"', '"L"', {*DATA[1:], "evaluate"}),
        ('"CT"', '"MRI"', {*DATA[1:], "evaluate"}),
    ],
)
def test_words_in_the_file_of_an_own_dataset_change_no_rule(old, new, rules, hashes, source):
    file = source / "datasets/mine.py"
    file.write_text(OWN_DATASET)
    before = hashes(RULES[1:], dataset="mine")
    file.write_text(OWN_DATASET.replace(old, new))
    after = hashes(RULES[1:], dataset="mine")
    file.unlink()
    assert {rule for rule in after if before[rule] != after[rule]} == rules


def test_the_title_of_a_phantom_changes_no_rule(hashes, edit):
    before = hashes(RULES[1:], dataset="phantom")
    assert edit("datasets/phantom.py", "Phantom: synthetic abdominal CT", "Another title")
    assert hashes(RULES[1:], dataset="phantom") == before


def test_an_import_for_annotations_alone_is_not_followed(hashes, edit):
    before = hashes()
    assert edit("scoring/score.py", r"\A(.*\n)", r"\1\nfrom semiseg.scoring.intervals import LEVEL\n")
    assert hashes()["row"] != before["row"], "an import that nothing uses may be there for what it does"
    assert edit("scoring/score.py", "def score\\(\n    rule: str,", "def score(\n    rule: LEVEL,")
    assert hashes() == before


def test_a_code_hash_names_the_file_that_is_not_python(hashes, edit):
    assert edit("scoring/scoring_rules.py", r"\Z", "\ndef (\n")
    with pytest.raises(UserError, match=r"scoring/scoring_rules\.py, line \d+ is not valid Python"):
        hashes()


WRONG_IMPORTS = {
    "import semiseg.blokcs": r"semiseg\.blokcs, but semiseg has no module blokcs; did you mean blocks\?$",
    "from semiseg.blokcs import ema": r"semiseg\.blokcs, but semiseg has no module blokcs; did you mean blocks\?$",
    "from semiseg.blocks.emma import update": r"semiseg\.blocks\.emma, but .* no module emma; did you mean ema\?$",
    "from semiseg.blocks import emma": r"emma from semiseg\.blocks, which does not define it; did you mean ema\?$",
    "from semiseg.blocks.ema import updat": r"updat from .*\.ema, which does not define it; did you mean update\?$",
    "from ..blocks.ema import updat": r"updat from semiseg\.blocks\.ema, which",
    "from .parts import two_haeds": r"two_haeds from semiseg\.methods\.parts, which .* two_heads\?$",
    "from semiseg.base.errors import UserEror": r"UserEror from semiseg\.base\.errors, which .* UserError",
    "from semiseg import metod": r"metod from semiseg, which does not define it; did you mean method, ",
    "def f():\n    import semiseg.data.stor": r"semiseg\.data\.stor, but semiseg\.data has no module stor",
    "for x in ():\n    pass\nelse:\n    from semiseg.method import Metod": "Metod from semiseg.method, which",
}


@pytest.mark.parametrize("file", ["methods/dtc.py", "networks/vnet.py", "blocks/losses.py", "datasets/flare22.py"])
def test_an_import_of_what_is_not_in_semiseg_is_found_wherever_it_stands(file, hashes, edit):
    assert edit(file, r"\Z", "\n\nfrom semiseg.blokcs import ema\n")
    with pytest.raises(sources.BrokenError, match=rf"{file}, line \d+ imports semiseg\.blokcs, but semiseg has no "):
        hashes()


@pytest.mark.parametrize("line", WRONG_IMPORTS)
def test_a_wrong_import_from_semiseg_is_named_with_a_guess(line, hashes, edit):
    assert edit("methods/dtc.py", r"\Z", f"\n{line}\n")
    with pytest.raises(sources.BrokenError, match=rf"methods/dtc\.py, line \d+ imports {WRONG_IMPORTS[line]}"):
        hashes(("train",))


RIGHT_IMPORTS = [
    "import semiseg.blocks.ema as e",
    "from semiseg import blocks, __version__",
    "from ..blocks import ema",
    "from .parts.two_heads import BINARY as two",
    "from semiseg.blocks.ema import *",
    "from semiseg.blocks.ema import __doc__ as text, torch",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from semiseg.blokcs import ema",
    "try:\n    from semiseg.blokcs import ema\nexcept ImportError:\n    ema = None",
    "from semiseg.methods.mine import new",
    "from semiseg.methods.mine.new import one, two, three, four, five, Six, seven, eight",
    "from semiseg.methods.mine.loose import anything",
    "from semiseg.methods.mine.lazy import anything",
    "from semiseg.methods.mine.starred import anything",
]
MINE = {
    "new": """
import os as one
if one:
    two, (three, *rest) = 2, (3, 4)
else:
    four = 4
try:
    from math import pi as four
except ImportError as error:
    five = 5
class Six: ...
with open(__file__) as seven:
    for eight in seven:
        pass
""",
    "loose": "globals().update(anything=1)\n",
    "lazy": "def __getattr__(name):\n    return name\n",
    "starred": "from math import *\n",
}


@pytest.mark.parametrize("line", RIGHT_IMPORTS)
def test_an_import_that_works_or_may_work_is_accepted(line, hashes, edit, source):
    """The package ``mine`` is a folder without ``__init__.py``."""
    mine = source / "methods/mine"
    mine.mkdir(exist_ok=True)
    for name, text in MINE.items():
        (mine / f"{name}.py").write_text(text)
    assert edit("methods/dtc.py", r"\Z", f"\n{line}\n")
    hashes(("train",))


def test_a_relative_import_is_followed(hashes, edit):
    assert edit("methods/dtc.py", r"\Z", "\nfrom ..blocks import ema\n\nema\n")
    before = hashes(("train",))
    assert edit("blocks/ema.py", r"\Z", "\nX = 1\n")
    assert hashes(("train",)) != before


@pytest.mark.parametrize(
    ("rule", "strangers"),
    [
        ("prepare", ("scoring", "learning", "method", "report", "papers", "graph", "data.drawing", "data.arrival.im")),
        ("split", ("scoring", "learning", "method", "report", "papers", "graph", "data.drawing", "data.store")),
        ("train", ("scoring", "report", "papers", "graph", "dataset", "learning.history", "paths")),
        ("predict", ("scoring", "report", "papers", "graph", "dataset", "learning.history", "learning.loop", "paths")),
        (
            "evaluate",
            ("scoring.scoring_rules", "scoring.score", "report", "papers", "graph", "learning", "method", "paths"),
        ),
        ("row", ("report", "papers", "graph", "learning", "method", "data", "paths")),
        ("table", ("report.figures", "report.show", "graph", "learning", "method", "stages.row", "stages.evaluate")),
        ("figure", ("report.page", "papers", "learning", "method", "scoring.scoring_rules")),
    ],
)
def test_a_rule_does_not_depend_on(rule, strangers):
    modules = code.module_hashes(*code.modules_of(rule, SPEC))
    assert [name for name in modules if name.removeprefix("semiseg.").startswith(strangers)] == []


def test_the_text_of_a_caught_error_reaches_no_output():
    """Texts of errors do not count, so a handler may only raise them again or log them."""
    modules = {name for rule in RULES for name in code.module_hashes(*code.modules_of(rule, SPEC))}
    for name in modules:
        tree = reduced(sources.syntax_tree(sources.source_of(name)))
        for handler in ast.walk(tree):
            if isinstance(handler, ast.ExceptHandler) and "UserError" in ast.unparse(handler.type or ast.Pass()):
                used = [node for part in handler.body for node in ast.walk(part) if isinstance(node, ast.Name)]
                assert handler.name is None or handler.name not in {node.id for node in used}, name


def test_parameters_that_do_not_count_compute_nothing():
    """A method or property of a section would be code that a job runs; validators only refuse."""
    for name in code.WITHOUT_EFFECT:
        if name.startswith("semiseg.params."):
            tree = ast.parse(sources.source_of(name).read_text(encoding="utf-8"))
            sections = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
            methods = [node for section in sections for node in section.body if isinstance(node, ast.FunctionDef)]
            for method in methods:
                assert "validator" in " ".join(map(ast.unparse, method.decorator_list)), f"{name}: {method.name}"


def test_digest_ignores_the_order_of_keys():
    assert files.digest({"a": 1, "b": [1, 2]}) == files.digest({"b": [1, 2], "a": 1})
    assert files.digest([1, 2]) != files.digest([2, 1])
