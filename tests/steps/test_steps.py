"""Whole training steps of our methods against those of the official scripts (file format: README.md here)."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from steps import step_cases

from semiseg import catalogue

HERE = Path(__file__).parent
CASES = HERE / "cases"

# Methods that cannot have step cases, because there is no official script to run.
WITHOUT_CASES = {
    "bcp_pretrain": "its cases are among those of bcp",
    "control_empty": "ours: a control, not a method",
    "control_perfect": "ours: a control, not a method",
    "dcr": "no code is published; two whole steps by numpy in tests/methods/test_dcr.py",
    "duwm": "no code is published; two whole steps by numpy in tests/methods/test_duwm.py",
    "dvcl": "no official code could be found; built from the supplement",
    "sup_only": "the supervised term of all others",
    "plbopt": "no code is published; two whole steps by numpy in tests/methods/test_plbopt.py",
    "unimatch_v2": "the official script trains DINOv2 on 2D images",
}


def found(folder: Path, longest: int | None = None) -> list[tuple[str, dict[str, Any]]]:
    """Method and case of the cases of methods that we have, with at most ``longest`` steps of the optimiser."""
    known = catalogue.entries("methods")
    return [
        (method, case)
        for method, case in step_cases.cases(folder)
        if method in known and (longest is None or steps(case) <= longest)
    ]


def steps(case: dict[str, Any]) -> int:
    """Steps of the optimiser in a case; some scripts sum the gradients of several batches for one."""
    return -(-len(case["losses"]) // case["setting"].get("accumulation", 1))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All cases of a folder that is given; else the single steps of our own, which take seconds."""
    if "step_case" in metafunc.fixturenames:
        given = metafunc.config.getoption("--steps-dir")
        pairs = found(Path(given)) if given else found(CASES, longest=1)
        names = [f"{method}/{case['name']}" for method, case in pairs]
        metafunc.parametrize(("method", "step_case"), pairs, ids=names)


def adapter(method: str) -> Any:
    """The function ``run`` of the method's adapter. A method without the file fails."""
    if not (HERE / "adapters" / f"{method}.py").exists():
        pytest.fail(f"{method} has step cases but no tests/steps/adapters/{method}.py")
    return importlib.import_module(f"steps.adapters.{method}").run


def test_case(method: str, step_case: dict[str, Any]) -> None:
    try:
        obtained = adapter(method)(step_case)
    except Exception as error:
        error.add_note(f"the case pins: {step_case['pins']}")
        raise
    problems = step_cases.compare(obtained, step_case)
    assert not problems, f"{step_case['pins']}:\n" + "\n".join(problems)


def test_every_method_has_cases_or_a_reason_to_have_none() -> None:
    with_cases = {method for method, _ in step_cases.cases(CASES)}
    methods = set(catalogue.entries("methods"))
    lacking = methods - with_cases - set(WITHOUT_CASES)
    advice = "add cases of whole steps, or enter the reason in WITHOUT_CASES of tests/steps/test_steps.py"
    assert not lacking, f"{sorted(lacking)}: {advice}"
    assert with_cases | set(WITHOUT_CASES) == methods, "WITHOUT_CASES or the cases name a method that is not here"
    assert not with_cases & set(WITHOUT_CASES), "these have cases now: take them from the list"


def test_every_method_has_a_single_step() -> None:
    assert {method for method, _ in found(CASES, longest=1)} == {method for method, _ in found(CASES)}


def test_every_adapter_has_a_case() -> None:
    assert {path.stem for path in (HERE / "adapters").glob("*.py")} == {method for method, _ in found(CASES)}


def test_a_change_of_any_number_is_seen() -> None:
    """The comparison itself: each loss, weight, buffer and state is held to its number."""
    case = json.loads((CASES / "cps.json").read_text(encoding="utf-8"))["cases"][0]
    got = adapter("cps")(case)
    got["losses"][0]["cross"] *= 1 + 1e-4
    got["after"]["a"]["out_conv.bias"] = got["after"]["a"]["out_conv.bias"] * 1.1
    got["buffers"]["b"]["block_nine.conv.1.running_mean"] = got["buffers"]["b"]["block_nine.conv.1.running_mean"] + 1
    got["state"]["learning_rate"] *= 1.001
    problems = "\n".join(step_cases.compare(got, case))
    assert all(part in problems for part in ("losses", "a.change", "running_mean", "learning_rate"))
