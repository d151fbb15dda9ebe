"""Verbs of the rules that make a run: train predict evaluate."""

import argparse
from pathlib import Path
from typing import Any

from semiseg.cli.parsing import add_job, add_paths, perform
from semiseg.jobs.gpu import claimed
from semiseg.stages.refill import refill


def add(verbs: Any) -> None:
    """Declare these verbs."""
    train = add_job(verbs, "train", _train, "prepared", "split")
    add_paths(train, "state", "history", "cost")
    train.add_argument("--checkpoint-seconds", type=float, default=120.0, help="work that a kill costs at most")
    predict = add_job(verbs, "predict", _predict, "weights", "prepared", "split")
    predict.add_argument("--state", type=Path, help="training state to remove: these weights are whole")
    for verb in (train, predict):
        verb.add_argument("--device", default="auto", help="auto (a free GPU), cpu, cuda, cuda:1, ...")
        verb.add_argument("--slots", type=int, default=1, help="jobs per GPU, where the device is auto")
        verb.add_argument("--threads", type=int, default=1)
    evaluate = add_job(verbs, "evaluate", _evaluate, "predictions", "prepared", "raw")
    evaluate.add_argument("--workers", type=int, default=1)


def _train(options: argparse.Namespace) -> None:
    """Train one run, or continue it."""

    def work() -> dict[str, Any]:
        refill(options.prepared)
        with claimed(options.device, options.slots) as device:
            from semiseg.jobs.environment import device_facts
            from semiseg.learning.build import choose_runtime
            from semiseg.stages.train import Outputs, train

            runtime = choose_runtime(device, options.threads, options.checkpoint_seconds)
            out = Outputs(options.out, options.history, options.cost)
            train(options.spec, options.prepared, options.split, options.state, out, runtime)
            return device_facts(str(runtime.device))

    perform(options, [options.prepared, options.split], work, beside=[options.history, options.cost])


def _predict(options: argparse.Namespace) -> None:
    """Segment the test cases with a sliding window."""

    def work() -> dict[str, Any]:
        refill(options.prepared)
        with claimed(options.device, options.slots) as device:
            from semiseg.jobs.environment import device_facts
            from semiseg.learning.build import choose_runtime
            from semiseg.learning.state import drop
            from semiseg.stages.predict import predict

            if options.state is not None:
                drop(options.state)
            runtime = choose_runtime(device, options.threads, 0.0)
            predict(options.spec, options.weights, options.prepared, options.split, options.out, runtime)
            return device_facts(str(runtime.device))

    perform(options, [options.weights, options.prepared, options.split], work)


def _evaluate(options: argparse.Namespace) -> None:
    """Measure predictions against the truth, case by case and organ by organ."""

    def work() -> None:
        from semiseg.stages.evaluate import evaluate_run

        refill(options.prepared, options.workers)
        refill(options.predictions)
        evaluate_run(options.predictions, options.prepared, options.raw, options.out, options.workers)

    perform(options, [options.predictions, options.prepared, options.raw], work)
