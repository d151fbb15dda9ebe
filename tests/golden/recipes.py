"""Golden cases: turn input recipes into arrays and compare results with the stored numbers (numpy only).

README.md in this directory describes the file format. Typical use:

    for method, case in cases(directory):
        inputs = {name: build(recipe) for name, recipe in case["inputs"].items()}
        problems = compare(adapters[method, case["function"]](inputs, case["params"]), case)
"""

import functools
import json
import math
import pathlib

import numpy as np


def build(recipe):
    """Array of a recipe, float32 or int64 (None for a null constant); a list of recipes gives a list of arrays."""
    if isinstance(recipe, list):
        return [build(item) for item in recipe]
    kind, axis = recipe["gen"], recipe.get("axis", 1)
    of = build(recipe["of"]) if "of" in recipe else None
    rng = np.random.default_rng(recipe["seed"]) if "seed" in recipe else None
    if kind == "normal":
        return rng.standard_normal(recipe["shape"]).astype(np.float32) * np.float32(recipe.get("scale", 1.0))
    if kind == "uniform":
        return rng.random(recipe["shape"]).astype(np.float32)
    if kind == "integers":
        return rng.integers(0, recipe["high"], recipe["shape"]).astype(np.int64)
    if kind == "list":
        return _typed(np.array(recipe["value"]))
    if kind == "const":
        return None if recipe["value"] is None else _typed(np.full(recipe.get("shape", []), recipe["value"]))
    if kind == "softmax":
        power = np.exp(of.astype(np.float64) - of.max(axis, keepdims=True))
        return _typed(power / power.sum(axis, keepdims=True))
    if kind == "argmax":
        return of.argmax(axis).astype(np.int64)
    if kind == "onehot":
        return np.stack([of == k for k in range(recipe["classes"])], 1).astype(np.float32)
    if kind == "unit":
        return _typed(of / np.linalg.norm(of.astype(np.float64), axis=axis, keepdims=True))
    if kind == "at_least":
        return (of >= np.float32(recipe["value"])).astype(np.int64)
    if kind == "affine":
        return _typed(of * recipe.get("mul", 1) + recipe.get("add", 0))
    if kind == "reshape":
        return of.reshape(recipe["shape"])
    if kind == "minimum":
        return np.minimum.reduce(of)
    if kind == "sum":
        return functools.reduce(np.add, of)
    raise ValueError(f"unknown recipe {kind!r}")


def _typed(array):
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64)


def cases(directory):
    """All (method, case) pairs of the JSON files of a directory, in file order."""
    for path in sorted(pathlib.Path(directory).glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        yield from ((document["method"], case) for case in document["cases"])


def compare(obtained, case):
    """Differences between an obtained value and ``case["expected"]``, as sentences; an empty list means equal.

    Arrays, tensors (detached, on the CPU), scalars, lists and dicts are accepted; further keys are ignored.
    """
    return list(_differences(obtained, case["expected"], case["rtol"], case.get("atol", 1e-8), "value"))


def _differences(got, want, rtol, atol, where):
    if isinstance(want, dict) and "first8" in want:
        yield from _summary(np.asarray(got, np.float64), want, rtol, atol, where)
    elif isinstance(want, dict):
        yield from (f"{where}: no {key!r}" for key in want if key not in got)
        for key in set(want) & set(got):
            yield from _differences(got[key], want[key], rtol, atol, f"{where}.{key}")
    elif isinstance(want, list) and (any(isinstance(item, (dict, str)) for item in want) or _ragged(want)):
        if len(got) != len(want):
            yield f"{where}: {len(got)} entries, expected {len(want)}"
        for index, pair in enumerate(zip(got, want, strict=False)):
            yield from _differences(*pair, rtol, atol, f"{where}[{index}]")
    elif isinstance(want, (str, bool)):
        if got != want:
            yield f"{where}: {got!r}, expected {want!r}"
    else:  # a number or a nested list of numbers; JSON integers are counts, labels or indices and must be equal
        want = np.array(want)
        size = np.maximum(np.abs(want), 0.01 * np.abs(want).max(initial=0))
        tolerance = atol + rtol * size if want.dtype.kind == "f" else 0
        yield from _numbers(np.asarray(got, np.float64), want, tolerance, where)


def _ragged(items):
    """Whether lists of different lengths stand in the list, as shapes do; numpy makes no array of them."""
    return len({len(item) for item in items if isinstance(item, list)}) > 1


def _summary(got, want, rtol, atol, where):
    if list(got.shape) != want["shape"]:
        yield f"{where}: shape {list(got.shape)}, expected {want['shape']}"
        return
    flat, weight, first8 = got.ravel(), np.arange(got.size) % 97, np.array(want["first8"])
    step = atol + rtol * want["l2"] / math.sqrt(flat.size)  # allowed for one element of typical size
    yield from _numbers(np.linalg.norm(flat), want["l2"], step * math.sqrt(flat.size), where + ".l2")
    yield from _numbers(flat.sum(), want["sum"], step * flat.size, where + ".sum")
    tolerance = step * math.sqrt(flat.size * (weight**2).sum())
    yield from _numbers((flat * weight).sum(), want["ramp"], tolerance, where + ".ramp")
    yield from _numbers(flat[:8], first8, step + rtol * np.abs(first8), where + ".first8")


def _numbers(got, want, tolerance, where):
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        yield f"{where}: shape {list(got.shape)}, expected {list(want.shape)}"
    elif not (np.abs(got - want) <= tolerance).all():
        yield f"{where}: {got.tolist()}, expected {want.tolist()}, largest difference {np.abs(got - want).max():.3g}"
