"""Our functions against numbers obtained from the official code of each method (file format: README.md here)."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import recipes
import torch
from support.needs import skip

from semiseg import catalogue

HERE = Path(__file__).parent
CASES = HERE / "cases"


# Methods that cannot have golden cases, because there is no official code to obtain numbers from.
WITHOUT_CASES = {
    "bcp_pretrain": "its cases are among those of bcp",
    "control_empty": "ours: a control, not a method",
    "control_perfect": "ours: a control, not a method",
    "dcr": "no code is published; tests/methods/test_dcr.py instead",
    "duwm": "no code is published; tests/methods/test_duwm.py instead",
    "dvcl": "no official code could be found; built from the supplement",
    "sup_only": "the network and the supervised loss alone, whose cases are those of the backbones",
    "plbopt": "no code is published; tests/methods/test_plbopt.py instead",
    "unimatch_v2": "the official loss is the body of a 2D training loop; tests/methods/test_unimatch_v2.py instead",
}


def implemented() -> set[str]:
    """Keys whose cases must pass: the shared backbones and every method that we have."""
    return {"backbones", *catalogue.entries("methods")}


def directory(config: pytest.Config) -> Path:
    """The directory of cases of this run."""
    return Path(config.getoption("--golden-dir") or CASES)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "golden" in metafunc.fixturenames:
        found = [pair for pair in recipes.cases(directory(metafunc.config)) if pair[0] in implemented()]
        metafunc.parametrize("golden", found, ids=[f"{method}/{case['name']}" for method, case in found])


def adapters(method: str) -> dict[str, Any]:
    """Official function name -> adapter. A method without the file, or a function without an entry, fails."""
    if not (HERE / "adapters" / f"{method}.py").exists():
        pytest.fail(f"{method} has golden cases but no tests/golden/adapters/{method}.py")
    found: dict[str, Any] = importlib.import_module(f"adapters.{method}").ADAPTERS
    return found


def function_of(method: str, case: dict[str, Any]) -> str:
    """The official function; ``like`` names the case of the default directory whose adapter runs this one."""
    if "like" not in case:
        return str(case["function"])
    document = json.loads((CASES / f"{method}.json").read_text(encoding="utf-8"))
    functions = {known["name"]: known["function"] for known in document["cases"]}
    return str(functions.get(case["like"], f"like: {case['like']}"))


def as_tensors(value: Any) -> Any:
    if isinstance(value, list):
        return [as_tensors(item) for item in value]
    return None if value is None else torch.from_numpy(value)


def as_arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: as_arrays(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_arrays(item) for item in value]
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value


def test_case(golden: tuple[str, dict[str, Any]]) -> None:
    method, case = golden
    adapter = adapters(method).get(function_of(method, case))
    if adapter is None:
        pytest.fail(f"adapters/{method}.py has no entry {function_of(method, case)!r} for the case {case['name']!r}")
    inputs = {name: as_tensors(recipes.build(recipe)) for name, recipe in case["inputs"].items()}
    try:
        obtained = adapter(inputs, case["params"])
    except Exception as error:
        error.add_note(f"the case pins: {case['pins']}")
        raise
    problems = recipes.compare(as_arrays(obtained), case)
    assert not problems, f"{case['pins']}:\n" + "\n".join(problems)


def test_every_method_has_cases_or_a_reason_to_have_none() -> None:
    with_cases = {key for key, _ in recipes.cases(CASES)} - {"backbones"}
    methods = set(catalogue.entries("methods"))
    lacking = methods - with_cases - set(WITHOUT_CASES)
    advice = "add golden cases, or enter the reason in WITHOUT_CASES of tests/golden/test_golden.py"
    assert not lacking, f"{sorted(lacking)}: {advice}"
    assert with_cases | set(WITHOUT_CASES) == methods, "WITHOUT_CASES or the cases name a method that is not here"
    assert not with_cases & set(WITHOUT_CASES), "these have cases now: take them from the list"


@pytest.mark.parametrize("method", sorted(path.stem for path in (HERE / "adapters").glob("*.py")))
def test_every_adapter_has_a_case(method: str, request: pytest.FixtureRequest) -> None:
    if directory(request.config).resolve() != CASES:
        skip("golden", "other cases: some adapters may have none")
    known = {case["function"] for key, case in recipes.cases(CASES) if key == method}
    assert set(adapters(method)) == known
