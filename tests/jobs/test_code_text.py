"""What counts of a source text: pairs that are the same code, and pairs that are not."""

import ast

import pytest

from semiseg.jobs.code_text import reduced

ERROR = "from semiseg.base.errors import UserError\n"
PROGRESS = "from semiseg.base.progress import set_up_logging\n"
LOG = "import logging\nlog = logging.getLogger(__name__)\n"
HYPER = "from semiseg.method import Hyper, Method\n"
DATACLASS = "from dataclasses import dataclass\n"

SAME = {
    "a docstring": ('def f():\n    """Old."""\n    return 1\n', 'def f():\n    """New."""\n    return 1\n'),
    "the text of an error": (
        ERROR + 'raise UserError(f"{a} is bad")\n',
        ERROR + 'raise UserError(f"{a} is wrong: {g(b)}")\n',
    ),
    "where log lines go": ("x = 1\n", PROGRESS + "x = 1\nset_up_logging(x)\n"),
    "a log line": ("x = 1\n", LOG + 'x = 1\nlog.warning("%s is done", x)\n'),
    "a line of the root logger": ("x = 1\n", 'import logging\nx = 1\nlogging.info("now")\n'),
    "the words around a call in a log line": (LOG + "log.info(next(a))\n", LOG + 'log.info(f"next: {next(a)}")\n'),
    "a logger of another name": ("x = 1\n", "from logging import getLogger\nL = getLogger()\nx = 1\nL.info(x)\n"),
    "meaning and source": (HYPER + 'a = Hyper(1, "x", "y", (1, 2))\n', HYPER + 'a = Hyper(1, "z", "z", (1, 2))\n'),
    "meaning and source by name": (
        HYPER + 'a = Hyper(1, meaning="x", source="y")\n',
        HYPER + 'a = Hyper(1, meaning="z", source="z")\n',
    ),
    "the type of a hyperparameter": (
        HYPER + 'class M(Method):\n    a = Hyper(0.1, "x", "y")\n',
        HYPER + 'class M(Method):\n    a: Hyper[float] = Hyper[float](0.1, "x", "y")\n',
    ),
    "annotations of a function": ("def f(a, *b, c=1, **d): g()\n", "def f(a: A, *b: B, c: C = 1, **d: D) -> E: g()\n"),
    "an annotation of a variable": ("x = 1\n", "x: int = 1\n"),
    "an annotation without a value": ("def f():\n    x = 1\n", "def f():\n    x: int\n    x = 1\n"),
    "the type of a field": (
        DATACLASS + "@dataclass\nclass A:\n    x: int = 1\n",
        DATACLASS + "@dataclass\nclass A:\n    x: float = 1\n",
    ),
    "an import for types": ("x = 1\n", "from semiseg.dataset import Dataset\nx: Dataset = 1\n"),
    "a block for types": (
        "x = 1\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from semiseg.dataset import Dataset\nx = 1\n",
    ),
}
OTHER = {
    "a constant": ("x = 1\n", "x = 2\n"),
    "an error of another kind": (ERROR + "raise UserError()\n", ERROR + "raise ValueError()\n"),
    "the text of another error": ('raise ValueError("a")\n', 'raise ValueError("b")\n'),
    "an error that is not raised": (ERROR + 'x = UserError("a")\n', ERROR + 'x = UserError("b")\n'),
    "a call in a log line": (LOG + "log.info(a)\n", LOG + "log.info(next(a))\n"),
    "a value bound in a log line": (LOG + "log.info(a)\n", LOG + "log.info(b := a)\n"),
    "a call of something else that is named like a logger": (
        "def f(log):\n    log.info(1)\n",
        "def f(log):\n    log.info(2)\n",
    ),
    "a name that is a logger and something else": (
        LOG + "def f(log):\n    log.info(1)\n",
        LOG + "def f(log):\n    log.info(2)\n",
    ),
    "the answer of a call of a logger": (LOG + "x = log.isEnabledFor(1)\n", LOG + "x = log.isEnabledFor(2)\n"),
    "a default": (HYPER + 'a = Hyper(1, "x", "y")\n', HYPER + 'a = Hyper(2, "x", "y")\n'),
    "choices": (HYPER + 'a = Hyper(1, "x", "y", (1, 2))\n', HYPER + 'a = Hyper(1, "x", "y", (1, 3))\n'),
    "choices by name": (HYPER + 'a = Hyper(1, "x", "y", choices=(1,))\n', HYPER + 'a = Hyper(1, "x", "y")\n'),
    "a text of another class Dataset": (
        'from torch.utils.data import Dataset\nx = Dataset(title="a")\n',
        'from torch.utils.data import Dataset\nx = Dataset(title="b")\n',
    ),
    "a new field": (
        DATACLASS + "@dataclass\nclass A:\n    x: int\n",
        DATACLASS + "@dataclass\nclass A:\n    x: int\n    y: int\n",
    ),
    "a field that becomes a class variable": (
        DATACLASS + "@dataclass\nclass A:\n    x: int = 1\n",
        DATACLASS + "from typing import ClassVar\n@dataclass\nclass A:\n    x: ClassVar[int] = 1\n",
    ),
    "the type of a field of a model": (
        "from pydantic import BaseModel\nclass A(BaseModel): pass\nclass B(A):\n    x: int\n",
        "from pydantic import BaseModel\nclass A(BaseModel): pass\nclass B(A):\n    x: float\n",
    ),
    "an import for what it does": ("x = 1\n", "import hdf5plugin\nx = 1\n"),
    "where a function comes from": ("from a import f\nf()\n", "from b import f\nf()\n"),
}


def code(text):
    return ast.unparse(reduced(ast.parse(text)))


@pytest.mark.parametrize("what", SAME)
def test_the_same_code(what):
    first, second = SAME[what]
    assert code(first) == code(second)


@pytest.mark.parametrize("what", OTHER)
def test_other_code(what):
    first, second = OTHER[what]
    assert code(first) != code(second)
