"""Which arguments of the call that makes a dataset are texts, read from the source of the function that is called."""

import ast

import pytest

from semiseg.jobs.code_text import reduced
from semiseg.jobs.dataset_texts import texts_of_builder

IMPORTS = """
from semiseg.data import layouts
from semiseg.data.layouts import nifti_pairs, nnunet as folders
from semiseg.dataset import Dataset, Organ
from semiseg.datasets._synthetic import synthetic
"""
OWN = """
def own(name, title, *, remark="", **more):
    return folders(name, title=title, notes=(), source=remark, **more)
"""


def code(text: str) -> str:
    return ast.unparse(reduced(ast.parse(IMPORTS + text), texts_of_builder(IMPORTS + text)))


SAME = {
    "by keyword": 'DATASET = folders("a", title="{}", modality="CT", organs=ORGANS)',
    "by keyword that another function passes on": 'DATASET = folders("a", title="t", licence="{}", notes=("{}",))',
    "of a module": 'DATASET = layouts.nnunet("a", title="{}")',
    "of pairs": 'DATASET = nifti_pairs("a", title="t", citation="{}", source="{}", images=("i",))',
    "by position": 'DATASET = synthetic("a", "{}", "CT", ORGANS, draw)',
    "by position of the class": 'DATASET = Dataset("a", "{}", "CT", ORGANS, "{}", "{}", "{}", "{}", find)',
    "of an own function": OWN + 'DATASET = own("a", "{}", remark="{}", licence="{}")',
}
OTHER = {
    "the name": 'DATASET = folders("{}", title="t")',
    "the modality": 'DATASET = folders("a", title="t", modality="{}")',
    "an organ": 'DATASET = folders("a", title="t", organs=(Organ(1, "{}", "L"),))',
    "an abbreviation": 'DATASET = folders("a", title="t", organs=(Organ(1, "liver", "{}"),))',
    "a folder": 'DATASET = nifti_pairs("a", title="t", images=("{}",))',
    "the modality by position": 'DATASET = synthetic("a", "t", "{}", ORGANS, draw)',
    "what is no text by position": 'DATASET = Dataset("a", "t", "{}", ORGANS)',
    "after a list of unknown length": 'DATASET = synthetic(*first, "{}")',
    "of an unknown function": 'DATASET = unknown("a", title="{}")',
    "of a name that is bound twice": 'folders = other\nDATASET = folders("a", title="{}")',
    "of a function that is defined twice": OWN + OWN + 'DATASET = own("a", "{}")',
    "of a function behind a decorator": "@changed" + OWN + 'DATASET = own("a", "{}")',
    "used besides": """
def own(name, title):
    print(title)
    return folders(name, title=title)
DATASET = own("a", "{}")
""",
    "used within": """
def own(name, title):
    return folders(name, title=title, case_id=lambda case: case + title)
DATASET = own("a", "{}")
""",
    "used as a name": """
def own(title):
    return folders(title, title=title)
DATASET = own("{}")
""",
    "bound again": """
def own(name, title):
    title, length = title.lower(), len(title)
    return folders(name, title=title)
DATASET = own("a", "{}")
""",
    "read without its name": """
def own(name, title):
    return folders(name, title=title, **vars()["name"])
DATASET = own("a", "{}")
""",
    "passed on in two ways": """
def own(name, **more):
    return folders(name, patient=(lambda case: more["title"]), **more)
DATASET = own("a", title="{}")
""",
    "in a circle": """
def own(name, title):
    return own(name, title)
DATASET = own("a", "{}")
""",
    "an organ beside a title": OWN + 'DATASET = own("a", "t", organs="{}")',
}


@pytest.mark.parametrize("what", SAME)
def test_a_text_is_left_out(what: str) -> None:
    assert code(SAME[what].replace("{}", "one")) == code(SAME[what].replace("{}", "other words"))


@pytest.mark.parametrize("what", OTHER)
def test_what_may_matter_stays(what: str) -> None:
    assert code(OTHER[what].replace("{}", "one")) != code(OTHER[what].replace("{}", "other words"))
