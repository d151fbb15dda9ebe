"""Random generators that a saved state does not contain: a method that draws from them cannot be resumed exactly."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from semiseg.base.errors import UserError


@contextmanager
def torch_alone(method: str) -> Iterator[None]:
    """Raise UserError if the block draws from numpy's global generator or Python's ``random``, or seeds them.

    Generators of a method's own, such as ``numpy.random.default_rng()``, are not seen.
    """
    before = _states()
    yield
    after = _states()
    used = [name for name, state in before.items() if after[name] != state]
    if used:
        raise UserError(
            f"{method} draws random numbers from {' and '.join(used)}, which a saved state does not contain, so an"
            " interrupted run could not be continued exactly: draw them by torch, as torch.rand(..., device=...) does"
        )


def _states() -> dict[str, object]:
    """State of each generator, by its name in a sentence."""
    numpy: dict[str, Any] = np.random.get_state(legacy=False)
    words = numpy["state"]
    of_numpy = words["key"].tobytes(), words["pos"], numpy["has_gauss"], numpy["gauss"]
    return {"numpy.random": of_numpy, "Python's random": random.getstate()}
