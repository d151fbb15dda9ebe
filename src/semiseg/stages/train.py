"""Rule ``train``: trains one run, from split and prepared cases to weights and history."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.base.files import atomic, digest, read_json, sha256, sweep, write_json
from semiseg.data.local_copies import with_copies
from semiseg.data.store import read_image
from semiseg.graph.requirements import Pairing, why_not
from semiseg.jobs.code_hash import code_of
from semiseg.learning import checkpoints, weights
from semiseg.learning.batches import KeptOnDevice, Sampler, Source, Store, StoredCase
from semiseg.learning.build import Facts, Runtime, build_method
from semiseg.learning.cost import record, shared_gpu
from semiseg.learning.generators import torch_alone
from semiseg.learning.loop import Trainer, chosen, start
from semiseg.learning.order import Order
from semiseg.learning.precision import Precision, require_bfloat16
from semiseg.learning.scans import limits_of
from semiseg.learning.schedule import TrainingSchedule
from semiseg.learning.state import OPTIMISER, STATE, State
from semiseg.learning.validation import Validator
from semiseg.method import Method
from semiseg.params.checkpoints import PARTS, own_checkpoint, scored_as
from semiseg.params.config import Inference, Network, Training
from semiseg.params.selection import Selection
from semiseg.params.table import Checkpoint
from semiseg.stages.weights import is_standin

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outputs:
    """Paths of the results of a run: weights.safetensors, history.csv, cost.json."""

    weights: Path
    history: Path
    cost: Path


def train(
    spec: Mapping[str, Any],
    prepared: Path,
    split: Path,
    state: Path,
    out: Outputs,
    runtime: Runtime,
    local_disk: str = "",
    initial: Path | None = None,
) -> None:
    """Train a run, or continue it from the folder ``state``. Weights, history and cost are written at the end.

    The state stays until the rule ``predict`` deletes it. A call that is killed after training, but before the workflow
    has noted its outputs, is repeated; it then continues from the last step.

    local_disk: a folder of this node's own disk that gets copies of the cases (``semiseg.data.local_copies``); empty:
    the cases are read where they are stored. initial: the weights that ``spec`` names as ``initial``: those of a run,
    or of a file that the user has brought, in which they may have the names of the method's official code.

    Raises UserError when the split names a case that was not prepared, or a labelled or validation case without a
    label, for initial weights that are missing, damaged or of another network, and for a device that does not compute
    as the protocol wants.
    """
    index, parts = read_json(prepared), read_json(split)
    sweep(state)
    sweep(out.weights.parent)
    training = Training.model_validate(spec["training"])
    require_bfloat16(training, runtime.device)
    precision = Precision.of(training, runtime.device)
    further = spec.get("checkpoints", ())
    scored = _scored(training, further)
    named = dict.fromkeys(("labelled", "unlabelled", "val", *(PARTS[checkpoint] for checkpoint in scored)))
    listed = {part: _entries(index, prepared, parts[part], part) for part in named}
    torch.manual_seed(spec["seed"])
    network = Network.model_validate(spec["network"])
    inference = Inference.model_validate(spec["inference"])
    facts = Facts.of(index, parts, training.patch, inference.window)
    with torch_alone(spec["method"]):
        method = build_method(spec["method"], spec["hyper"], network, training, facts, spec.get("wrapped"))
    pair = spec["method"], spec["hyper"], index["classes"], network, training, inference, spec.get("wrapped")
    reason = why_not(Pairing(*pair, "initial" in spec))
    if reason is not None:
        raise UserError(f"{reason}: change the protocol, or leave the row out")
    if training.accumulate > 1 and method.adversaries():
        raise UserError(
            f"training.accumulate is for methods without adversaries, and {spec['method']} has some: set it to 1"
        )
    if not listed["unlabelled"] and not method.labelled_only:
        raise UserError("the split has no unlabelled cases, which this method learns from: choose another split")
    optimiser = _start_from(initial, method, brought="weights" in spec["initial"]) if "initial" in spec else {}
    read = tuple(part for part in listed if part != "unlabelled" or not method.labelled_only)
    cases = _stored_cases(listed, prepared, read, local_disk)  # after all that is refused without them
    if "intensities" in spec:
        cases = {part: [_scaled(case) if part in read else case for case in found] for part, found in cases.items()}
    sampler = _sampler(method, training, cases, spec["seed"], runtime)
    if sampler.order.steps_per_epoch < training.accumulate:
        raise UserError(
            f"training.accumulate: {training.accumulate} is more than the {sampler.order.steps_per_epoch} steps of an"
            " epoch, so that no weight would ever move: take fewer, or longer epochs (training.epoch)"
        )
    state_now = start(method, inference, training.optimiser, runtime.device, precision)
    if optimiser:
        with _naming(initial):
            state_now.continue_optimiser(optimiser)
    trainer = Trainer(
        title=f"train {spec['method']}",
        state=state_now,
        sampler=sampler,
        schedule=TrainingSchedule(training, sampler.order.steps_per_epoch, method.rate_lag),
        validators={
            name: _validator(cases[PARTS[name]], index["classes"], training, rule, inference, runtime.device)
            for name, rule in scored.items()
        },
        runtime=runtime,
        path=state / STATE,
        fingerprint=digest([spec, index, parts, code_of("train", spec), *([sha256(initial)] if initial else [])]),
    )
    trainer.run()
    _finish(trainer, out, training, further)


def _scored(training: Training, further: Sequence[Checkpoint]) -> dict[Checkpoint, Selection]:
    """The rule of each checkpoint that is the best on a list: the protocol's own first."""
    rules = {name: scored_as(training, name) for name in dict.fromkeys((own_checkpoint(training), *further))}
    return {name: rule for name, rule in rules.items() if rule is not None}


def _start_from(initial: Path | None, method: Method, brought: bool) -> dict[str, Tensor]:
    """Load the weights of a pre-training, or those that were brought. Returns the optimiser's state beside them."""
    if initial is None:
        option = "brought" if brought else "initial"
        raise UserError(f"the run starts from given weights, but no --{option} names them: give their path")
    tensors, note = weights.load(initial) if brought else checkpoints.load(initial, None)
    optimiser = weights.part(tensors, OPTIMISER)
    given = {name: tensors[name] for name in tensors.keys() - weights.prefixed(OPTIMISER, optimiser).keys()}
    if brought and is_standin(note):
        logger.info(f"starts from random weights, which stand for {initial}")
        return {}
    with _naming(initial):
        method.start_from(method.from_official(given) if brought else given)
    logger.info(f"starts from {initial}" + ("" if brought else f", weights of step {note['iteration']}"))
    return optimiser


@contextmanager
def _naming(initial: Path | None) -> Iterator[None]:
    """Name the file of the initial weights in an error about them."""
    try:
        yield
    except UserError as error:
        raise UserError(
            f"{initial} cannot be started from: {error}; name other weights in the protocol's initial"
        ) from None


def _finish(trainer: Trainer, out: Outputs, training: Training, further: Sequence[Checkpoint]) -> None:
    """Write history, cost and chosen weights. All three are whole before the first one replaces an earlier file.

    further: the checkpoints that are kept beside that of the protocol.
    """
    state = trainer.state
    networks, best = chosen(state, own_checkpoint(training), optimiser=training.keep_optimiser)
    score = None if training.validation is None else best.score
    note = {"networks": list(networks), "iteration": best.iteration, "val_dice": score, "patch": list(training.patch)}
    others = {name: chosen(state, name, optimiser=False) for name in further}
    with atomic(out.history) as history, atomic(out.cost) as cost, atomic(out.weights) as file:
        state.history.write(history)
        write_json(cost, _cost(state, trainer.runtime))
        weights.save(file, *checkpoints.with_further(best.weights, note, others))
    logger.info(
        f"{trainer.title}: {state.iteration} steps, weights of step {best.iteration}, networks {', '.join(networks)};"
        f" steps waited for data in {state.cost.waiting_share:.1%} of their time"
    )


def _cost(state: State, runtime: Runtime) -> dict[str, Any]:
    """The content of cost.json."""
    gpu = torch.cuda.get_device_name(state.device) if state.device.type == "cuda" else None
    return record(
        state.cost,
        parameters=sum(each.numel() for each in state.method.parameters() if each.requires_grad),
        iterations=state.iteration,
        threads=torch.get_num_threads(),
        gpu=gpu and shared_gpu(gpu, runtime.runs_per_gpu),
    )


def _sampler(
    method: Method, training: Training, cases: Mapping[str, list[StoredCase]], seed: int, runtime: Runtime
) -> Sampler:
    """The sampler. A supervised row fills the whole batch with labelled crops."""
    labelled, unlabelled = cases["labelled"], [] if method.labelled_only else cases["unlabelled"]
    counts = {part: len(stored) for part, stored in cases.items()}
    order = Order.of(training, counts, labelled_only=method.labelled_only)
    source: Source = Store(pinned=runtime.device.type == "cuda")
    if runtime.data_on_device:
        source = KeptOnDevice.of(labelled, unlabelled, runtime.device)
    return Sampler(labelled, unlabelled, order, training.patch, training.augmentation, seed, source, method.derive)


def _validator(
    cases: list[StoredCase],
    classes: int,
    training: Training,
    rule: Selection,
    inference: Inference,
    device: torch.device,
) -> Validator:
    """The validator that chooses a checkpoint on these cases."""
    if not cases:
        raise UserError("the split has no validation cases, which the protocol needs: choose another split")
    return Validator(cases, classes, training.patch, rule, inference, device)


def _stored_cases(
    listed: Mapping[str, list[Mapping[str, Any]]], prepared: Path, read: Sequence[str], local_disk: str
) -> dict[str, list[StoredCase]]:
    """The cases of each part. read: the parts whose cases the training reads, which are copied to ``local_disk``."""
    contents = {prepared.parent / entry["file"]: entry["sha256"] for part in read for entry in listed[part]}
    copies = with_copies(contents, local_disk) if local_disk else {}
    files = {part: [prepared.parent / entry["file"] for entry in entries] for part, entries in listed.items()}
    return {
        part: [
            StoredCase(copies.get(file, file), tuple(entry["shape"]))
            for file, entry in zip(files[part], entries, strict=True)
        ]
        for part, entries in listed.items()
    }


def _scaled(case: StoredCase) -> StoredCase:
    """The case with intensities from 0 to 1, for which the whole scan is read once."""
    return replace(case, limits=limits_of(read_image(case.path)))


def _entries(index: Mapping[str, Any], prepared: Path, names: list[str], part: str) -> list[Mapping[str, Any]]:
    """What the index lists of the cases of a part."""
    for name in names:
        if name not in index["cases"]:
            raise UserError(f"case {name} ({part}) is not among the prepared cases of {prepared}: prepare it first")
        if part != "unlabelled" and not index["cases"][name]["label"]:
            raise UserError(f"case {name} ({part}) has no label in {prepared}: correct the split")
    return [index["cases"][name] for name in names]
