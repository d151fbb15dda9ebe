"""What the rules request of a machine or a cluster, by Snakemake's undocumented parts, as ``snakemake_adapter``."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from semiseg.engine.snakemake_adapter import undocumented

RESOURCES = (
    "slurm_partition",
    "slurm_account",
    "gres",
    "gpu",
    "runs_per_gpu",
    "gpu_slots",
    "runtime",
    "mem_mb",
    "constraint",
    "qos",
)


@undocumented()
def all_requests(workflow: Any) -> dict[str, dict[str, Any]]:
    """What each rule requests of ``RESOURCES`` at its last try.

    A value is None where the rule and the profile give none, and where it depends on the single job: an expression of
    wildcards or inputs.
    """
    tries = 1 + workflow.execution_settings.retries
    return {rule.name: _last_request(rule, tries) for rule in workflow.rules}


@undocumented()
def last_requests(workflow: Any) -> dict[str, dict[str, Any]]:
    """``all_requests`` of the rules whose jobs are submitted."""
    requests = all_requests(workflow)
    return {rule.name: requests[rule.name] for rule in workflow.rules if not workflow.is_local(rule)}


def _last_request(rule: Any, tries: int) -> dict[str, Any]:
    cores = rule.resources["_cores"]
    evaluate = type(cores).evaluate  # outside the suppression below, so that a changed interface raises
    known = {"input": (), "attempt": tries, "threads": cores.value, "rulename": rule.name, "async_run": None}
    values: dict[str, Any] = dict.fromkeys(RESOURCES)
    for name in RESOURCES:
        with contextlib.suppress(Exception):  # not given, or an expression that fails without its job
            values[name] = evaluate(rule.resources[name], None, **known).value
    return values


@undocumented()
def change_requests(workflow: Any, rule: str, change: Callable[[str, Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """Pass what the jobs of a rule request of ``gpu`` and ``gres`` through a function of their method and request.

    This holds whatever rule, profile and command line say, so it comes before the first job is planned.
    """
    resources = workflow.get_rule(rule).resources
    given = {name: resources.get(name) for name in ("gpu", "gres")}

    def changed(name: str) -> Callable[..., Any]:
        def value(wildcards: Any, **known: Any) -> Any:
            request = {key: resource.evaluate(wildcards, **known).value for key, resource in given.items()}
            return change(wildcards.method, request)[name]

        return value

    for name in given:
        resources[name] = changed(name)


@undocumented()
def multiply_limit(workflow: Any, resource: str, factor: int) -> None:
    """Let a call use ``factor`` times as much of a resource as ``--resources`` says; no limit stays none."""
    limit = workflow.global_resources.get(resource).value
    if limit is not None:
        workflow.global_resources[resource] = limit * factor
