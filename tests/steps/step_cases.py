"""Step cases: initial weights from names, and comparison of a run with the stored numbers (numpy only).

README.md in this directory describes the file format. Typical use:

    for method, case in cases(directory):
        start = start_weights(case["networks"])
        problems = compare(run(method, case, start), case)

``run`` returns {"losses": [{term: value}], "after": {role: {official name: array}}, "buffers": {role: {name: array}},
"state": {...}}.
"""

import functools
import zlib

import numpy as np
from recipes import _differences, cases

__all__ = ["cases", "compare", "start_weights", "weights"]


def weights(parameters, seed):
    """Initial weights of a network, {official name: float32 array}, from its list of [name, shape]."""
    drawn = _drawn(tuple((name, tuple(shape)) for name, shape in parameters), seed)
    return {name: values.copy() for name, values in drawn.items()}


@functools.lru_cache(maxsize=4)
def _drawn(parameters, seed):
    """A case draws its networks twice, and neighbouring cases have the same ones."""
    return {name: _weight(name, shape, seed) for name, shape in parameters}


def start_weights(networks):
    """Initial weights of each role; a role with ``copy`` starts as the role that it copies."""
    return {role: weights(network["parameters"], _seed(networks, role)) for role, network in networks.items()}


def _weight(name, shape, seed):
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    drawn = rng.standard_normal(shape).astype(np.float32)
    if len(shape) > 1:
        return drawn * np.float32(np.sqrt(2 / np.prod(shape[1:])))
    return (np.float32(1) if name.endswith("weight") else np.float32(0)) + np.float32(0.1) * drawn


def compare(got, case):
    """Differences between a run and a case, as sentences; an empty list means equal."""
    rtol, start = case["rtol"], start_weights(case["networks"])
    found = list(_differences(got["losses"], case["losses"], rtol["losses"], 1e-8, "losses"))
    for role, want in case["after"].items():
        change = {name: np.asarray(got["after"][role][name], np.float64) - old for name, old in start[role].items()}
        sizes = [float(np.linalg.norm(each)) for each in change.values()]
        found += _differences(sizes, want["change"], rtol["change"], 1e-8, f"{role}.change")
        for name, value in want.get("largest", {}).items():  # entries below 1 % of the largest are held to 1 % of it
            floor = 1e-9 + rtol["change"] * 0.01 * max(want["change"]) / np.sqrt(max(change[name].size, 1))
            found += _differences(change[name], value, rtol["change"], floor, f"{role}.{name}")
        for name, value in want.get("buffers", {}).items():
            found += _differences(got["buffers"][role][name], value, rtol["state"], 1e-7, f"{role}.{name}")
    return found + list(_differences(got.get("state", {}), case.get("state", {}), rtol["state"], 1e-7, "state"))


def _seed(networks, role):
    return _seed(networks, networks[role]["copy"]) if "copy" in networks[role] else networks[role]["seed"]
