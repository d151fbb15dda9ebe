"""What methods declare is read from their text, base classes included, as Python itself would find it."""

import re
import shutil
import subprocess
import sys

import pytest
from support import params_yaml

from semiseg import catalogue
from semiseg.base import sources
from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.catalogue import Declared
from semiseg.describe.check_params import check_params
from semiseg.graph.graph import Graph
from semiseg.graph.plan import Plan
from semiseg.graph.requirements import check_declared
from semiseg.params.reading import parse_params

BASE = '''
from typing import Generic, TypeVar
from torch import nn
from semiseg.method import Hyper, Method

T = TypeVar("T")


class Halves:
    requires: tuple[str, ...] = ("equal_halves", "cubes:side")


class Base(Halves, Method, Generic[T]):
    """A base class."""

    labelled_only: bool = True
    weight = Hyper(0.1, "weight of the term", "equation 1")
    rule: Hyper[str] = Hyper("a", "which rule", source="the code", choices=("a", "b"))
    head: nn.Module
'''
NEW = """
from collections import namedtuple
from semiseg.method import Hyper
{imported}

Pair = namedtuple("Pair", "a b")


class Helper:
    teacher_start = "random"


class New({base}):
    teacher_start = "copy"
    weight: Hyper[float] = Hyper[float](0.2, "weight of the term", "equation 2")
    clock = Hyper("epoch", "counter", "the code", ("epoch", "iteration"))
"""


@pytest.fixture
def new_method(tmp_path, monkeypatch):
    """Write the file of a method, ``new`` if no other is named, in a small copy of the package."""
    for name in ("methods/parts/base.py", "methods/new.py"):
        (tmp_path / "semiseg" / name).parent.mkdir(parents=True, exist_ok=True)
    for name in ("method.py", "control.py"):
        shutil.copy(sources.PACKAGE / name, tmp_path / "semiseg")
    monkeypatch.setattr(sources, "PACKAGE", tmp_path / "semiseg")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "semiseg/methods/parts/base.py").write_text(BASE)

    def write(text, name="new"):
        forget()
        (tmp_path / f"semiseg/methods/{name}.py").write_text(text)

    yield write
    monkeypatch.undo()
    forget()


def forget():
    for function in (
        sources.source_of,
        catalogue.hyperparameters,
        catalogue.declared,
        catalogue.attributes,
        catalogue._functions,
        sources.twin,
        catalogue.entries,
    ):
        function.cache_clear()


@pytest.mark.parametrize(
    ("imported", "base"),
    [
        ("from semiseg.methods.parts.base import Base", "Base"),
        ("from semiseg.methods.parts.base import Base as Other", "Other[int]"),
        ("from semiseg.methods.parts import base", "base.Base"),
    ],
)
def test_defaults_and_attributes_of_a_base_class_are_seen(imported, base, new_method):
    new_method(NEW.format(imported=imported, base=base))
    assert catalogue.hyperparameters("new") == {
        "weight": Declared(0.2, ()),
        "rule": Declared("a", ("a", "b")),
        "clock": Declared("epoch", ("epoch", "iteration")),
    }
    expected = {"labelled_only": True, "requires": ("equal_halves", "cubes:side"), "teacher_start": "copy"}
    assert expected.items() <= catalogue.declared("new").items()
    assert catalogue.requirements("new") == {"equal_halves": "", "cubes": "side"}


@pytest.mark.parametrize("method", [name for name in catalogue.entries("methods") if not is_control(name)])
def test_what_is_read_is_what_the_class_says(method):
    from semiseg.method import hyperparameters, method_class

    known = method_class(method)
    imported = {name: Declared(hyper.default, hyper.choices) for name, hyper in hyperparameters(known).items()}
    assert {name: value.default for name, value in catalogue.hyperparameters(method).items()} == {
        name: value.default for name, value in imported.items()
    }
    for name, value in catalogue.hyperparameters(method).items():
        assert value.choices in ((), imported[name].choices)
    declared = catalogue.declared(method)
    assert {"labelled_only", "requires"} <= declared.keys()
    # As texts: the reader knows the class of an own backbone by a twin of its name.
    assert {name: repr(getattr(known, name)) for name in declared} == {
        name: repr(one) for name, one in declared.items()
    }


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x = 1\n", 0),
        ("from semiseg.method import Batch\nclass New: pass\n", 0),
        ("from semiseg.method import Method\nclass A(Method): pass\nclass B(A): pass\n", 2),
    ],
)
def test_a_file_without_exactly_one_method_is_refused(text, count, new_method):
    new_method(text)
    for read in (catalogue.declared, catalogue.hyperparameters):
        with pytest.raises(UserError, match=rf"^semiseg/methods/new\.py must define exactly one Method.*{count}$"):
            read("new")
    with pytest.raises(UserError, match="exactly one Method"):
        catalogue.check_hyper("new", {"threshold": 0.5}, "variants.new_low.parameters")


CONTROL = "from semiseg.control import Control\nclass New(Control): pass\n"
METHOD = "from semiseg.method import Method\nclass New(Method): pass\n"


def test_a_control_declares_nothing(new_method):
    new_method(CONTROL, "control_new")
    assert catalogue.hyperparameters("control_new") == catalogue.declared("control_new") == {}
    assert not catalogue.overrides("control_new", "adversaries")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("control_new", "x = 1\n", r"one Control \(its name begins with control_\), it defines 0$"),
        ("control_new", METHOD, r"one Control \(its name begins with control_\), it defines 0$"),
        ("control_new", f"{CONTROL}class More(New): pass\n", r"one Control \(.*\), it defines 2$"),
        ("new", CONTROL, "one Method, it defines 0$"),
    ],
)
def test_the_name_of_a_file_decides_whether_it_defines_a_control(name, text, sentence, new_method):
    new_method(text, name)
    for read in (catalogue.declared, catalogue.hyperparameters):
        with pytest.raises(UserError, match=rf"^semiseg/methods/{name}\.py must define exactly {sentence}"):
            read(name)


def test_a_syntax_error_is_told_with_file_and_line(new_method, tmp_path):
    new_method("import torch\n\nclass New(Method)\n")
    with pytest.raises(UserError, match=r"^semiseg/methods/new\.py, line 3 is not valid Python \(expected ':'\)"):
        catalogue.declared("new")
    new_method(NEW.format(imported="from semiseg.methods.parts.base import Base", base="Base"))
    (tmp_path / "semiseg/methods/parts/base.py").write_text("x = (\n")
    with pytest.raises(UserError, match=r"^semiseg/methods/parts/base\.py, line 1 is not valid Python"):
        catalogue.declared("new")
    new_method("x = '\0'\n")
    with pytest.raises(UserError, match=r"^semiseg/methods/new\.py.* is not valid Python"):
        catalogue.declared("new")


def test_an_unknown_name_gives_near_ones_or_all_where_they_are_few():
    with pytest.raises(UserError, match=r"rows: unknown method 'ua_nt'; did you mean ua_mt"):
        catalogue.require("methods", "ua_nt", "rows")
    with pytest.raises(UserError, match=r"; did you mean strong_mt\?$"):
        catalogue.require("methods", "strong_m", "rows", ["strong_mt"])
    with pytest.raises(UserError, match=r"ugpcl, [^;]*$"):
        catalogue.require("methods", "zzzzzz", "rows", ["strong_mt"])
    with pytest.raises(UserError, match=r"unknown network 'vnat'; known: .*unet3d, .*vnet_magic; did you mean vnet"):
        catalogue.require("networks", "vnat", "network")


def test_reading_declarations_imports_no_torch():
    check = (
        "import sys; from semiseg.catalogue import declared, entries; [declared(name) for name in entries('methods')];"
        " sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.fixture
def broken_method(tmp_path, monkeypatch):
    """A copy of the package in which one method's file is being written; its text is the argument."""
    package = tmp_path / "src/semiseg"
    shutil.copytree(sources.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sources, "PACKAGE", package)
    monkeypatch.chdir(tmp_path)
    forget()
    yield (package / "methods/fixmatch.py").write_text
    monkeypatch.undo()
    forget()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("class FixMatch(Method)\n", r"^src/semiseg/methods/fixmatch\.py, line 1 is not valid Python \(expected ':'\)"),
        (
            "from semiseg.method import Hyper, Method\n\nclass New(Method):\n    rate = Hyper(2 / 3, 'x', 'y')\n",
            r"New\.rate must have a number, a text, True or False as its default, written out$",
        ),
        ("x = 1\n", r"^src/semiseg/methods/fixmatch\.py must define exactly one Method, it defines 0$"),
    ],
)
def test_a_method_that_is_being_written_stops_the_tables_that_use_it_and_no_other(text, sentence, broken_method):
    broken_method(text)
    content = params_yaml.content()
    content["methods"] = {"fixmatch": {"threshold": 0.9}}
    content["variants"]["fixmatch_low"] = {"method": "fixmatch", "parameters": {"threshold": 0.5}}
    for row in ("fixmatch", "fixmatch_low"):
        content["tables"][f"with_{row}"] = {**content["tables"]["demo"], "rows": ["cps", row]}
    graph = Graph(Plan(parse_params(content)))
    assert graph.chain("results/demo.csv")
    for row in ("fixmatch", "fixmatch_low"):
        with pytest.raises(UserError, match=sentence):
            graph.chain(f"results/with_{row}.csv")


def test_a_method_that_imports_what_is_not_there_is_refused_before_any_job(broken_method):
    broken_method(f"from semiseg.blokcs import ema\n{DECLARED}")
    sentence = (
        r"^src/semiseg/methods/fixmatch\.py, line 1 imports semiseg\.blokcs, but semiseg has no module blokcs; did"
    )
    content = params_yaml.content()
    content["tables"]["demo"]["rows"] = ["cps", "fixmatch"]
    plan = Plan(parse_params(content))
    with pytest.raises(UserError, match=sentence):
        check_params(plan)
    with pytest.raises(UserError, match=sentence):
        [job.code for job in Graph(plan).chain("results/demo.csv")]


DECLARED = """
from semiseg.method import Hyper, Method


class FixMatch(Method):
    networks = {"student": "kaiming"}
    teachers = {"teacher": "student"}
    inference_networks = ("student",)
"""
KAIMING, PREDICTING = '"kaiming"', 'inference_networks = ("student",)'
WRONG = {
    "an initialisation": (KAIMING, '"kaimin"', "networks.student: unknown initialisation 'kaimin'; .* mean kaiming?"),
    "an empty initialisation": (KAIMING, "None", "networks.student: unknown initialisation 'None'; known: default, "),
    "a list of networks": ('{"student": "kaiming"}', '["student"]', 'expected networks as {"name": "..."}, found ['),
    "a teacher's network": (': "student"}', ': "studnt"}', "teachers.teacher: unknown network 'studnt'; .* student?"),
    "a name given twice": ('{"teacher":', '{"student":', "'student' is both a network and a teacher: rename one"),
    "a start": (PREDICTING, f"{PREDICTING}\n    teacher_start = 'copi'", "teacher_start: unknown start 'copi'; "),
    "a requirement": (
        PREDICTING,
        f"{PREDICTING}\n    requires = ('equal_halfs',)",
        "requires: unknown requirement 'equal_",
    ),
    "a size of cubes": (
        PREDICTING,
        f"{PREDICTING}\n    requires = ('cubes:size',)",
        "requires cubes: unknown hyperparam",
    ),
    "cubes of no size": (
        PREDICTING,
        f"{PREDICTING}\n    requires = ('cubes',)",
        "requires cubes: unknown hyperparameter '",
    ),
    "a hyperparameter too many": (
        PREDICTING,
        f"{PREDICTING}\n    requires = ('equal_halves:size',)",
        "requires equal_halves: unknown hyperparameter 'size'",
    ),
    "a switch that is a number": (
        PREDICTING,
        f"{PREDICTING}\n    size = Hyper(32, 'side of a cube', 'ours')\n    requires = ('equal_halves:size',)",
        "requires equal_halves:size, but size is neither true nor false: write equal_halves",
    ),
    "one requirement": (PREDICTING, f"{PREDICTING}\n    requires = 'cubes'", "requires must be written out as texts, "),
    "a computed one": (
        PREDICTING,
        f"{PREDICTING}\n    requires = (str(1),)",
        "requires must be written out as texts, ",
    ),
    "no network that predicts": (PREDICTING, "", 'inference_networks names the networks .*("network",); found ()'),
    "a text": (PREDICTING, "inference_networks = 'student'", "inference_networks names the .* found 'student'"),
    "no such network": ('("student",)', '("studnt",)', "inference_networks: unknown network 'studnt'; .* student?"),
    "a predict of its own": (
        PREDICTING,
        "def predict(self, image, networks):\n        return self.student(image)",
        "inference_networks names the networks that predict",
    ),
    "a module of another name": (
        PREDICTING,
        "inference_networks = ('boddy',)\n    def __init__(self, context, **hyper):\n        self.body = 1",
        "inference_networks: unknown network 'boddy'; known: student, teacher$",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_declaration_that_no_training_could_use_is_one_sentence(what, broken_method):
    old, new, sentence = WRONG[what]
    assert old in DECLARED
    broken_method(DECLARED.replace(old, new))
    pattern = re.escape(sentence).replace(r"\.\*", ".*").replace(r"\$", "$")
    with pytest.raises(UserError, match=rf"^src/semiseg/methods/fixmatch\.py: {pattern}"):
        check_declared("fixmatch")


def test_what_no_training_could_use_stops_the_tables_with_this_row_and_check_params(broken_method):
    broken_method(DECLARED.replace("kaiming", "kaimin"))
    content = params_yaml.content()
    plan = Plan(parse_params(content))
    assert plan.served("demo")
    content["tables"]["demo"]["rows"] = ["cps", "fixmatch"]
    for refused in (lambda: check_params(plan), lambda: Plan(parse_params(content)).served("demo")):
        with pytest.raises(UserError, match=r"^src/semiseg/methods/fixmatch\.py: networks\.student: unknown init"):
            refused()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (KAIMING, '("kai" + "ming")'),
        ('("student",)', '("teacher", "student")'),
        (PREDICTING, "def __init__(self, context, **hyper):\n        self.inference_networks = ('teacher',)"),
        (PREDICTING, "@property\n    def inference_networks(self):\n        return ('teacher',)"),
        (PREDICTING, "inference_networks = ('b',)\n    def __init__(self):\n        self.b = 1"),
        (PREDICTING, "inference_networks = ('b',)\n    def __init__(self):\n        self.add_module('b', None)"),
        (PREDICTING, "inference_networks = ('b',)\n    def f(self):\n        setattr(self, chr(98), None)"),
    ],
)
def test_what_only_the_built_method_knows_is_left_to_it(old, new, broken_method):
    broken_method(DECLARED.replace(old, new))
    check_declared("fixmatch")
