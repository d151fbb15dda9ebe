"""What the jobs of ``RULES`` request of a GPU: a whole one or, on SLURM, a share; none where they compute nothing."""

from collections.abc import Callable, Mapping
from typing import Any

from semiseg.base.errors import UserError

RULES = ("train", "predict")  # whose jobs compute on a GPU and may share it; those of seconds measure time

Request = Mapping[str, Any]  # by the names that profiles use: gpu, gres


def runs_per_gpu(requests: Mapping[str, Request]) -> dict[str, int]:
    """The setting ``runs_per_gpu`` of each rule in ``RULES``. requests: by rule, as the profile and the rule give them.

    Raises UserError for anything but one whole number of 1 or more, and for a profile with the setting's former name.
    """
    for rule in RULES:
        if requests[rule]["gpu_slots"] is not None:
            raise UserError(f"gpu_slots of rule {rule} is called runs_per_gpu now: rename it in the profile")
    values = {rule: requests[rule]["runs_per_gpu"] for rule in RULES}
    for rule, value in values.items():
        if type(value) is not int or value < 1:
            found = "different from job to job" if value is None else repr(value)
            raise UserError(
                f"runs_per_gpu of rule {rule} is {found}, expected one whole number of 1 or more: correct it in the"
                " profile or in --set-resources"
            )
    return values


def no_gpu_for(computes_nothing: Callable[[str], object]) -> Callable[[str, Request], Request]:
    """A function that takes the GPU out of the requests of some methods' jobs, whatever a profile says."""
    return lambda method, request: {"gpu": 0, "gres": None} if computes_nothing(method) else request


def share_of(gres: str) -> Callable[[str, Request], Request]:
    """A function that replaces a request for whole GPUs by ``gres``, a share of one; other requests stay."""
    return lambda method, request: {"gpu": 0, "gres": gres} if request["gpu"] else request
