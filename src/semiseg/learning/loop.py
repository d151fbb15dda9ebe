"""The one training loop. A method computes loss terms; everything else happens here, once for all methods."""

import time
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.base.names import unknown
from semiseg.base.progress import Progress
from semiseg.learning import optimisers, signals, weights
from semiseg.learning.batches import Sampler, batches
from semiseg.learning.build import Runtime
from semiseg.learning.generators import torch_alone
from semiseg.learning.history import History
from semiseg.learning.large_state import move, pause
from semiseg.learning.precision import FLOAT32, Precision
from semiseg.learning.schedule import TrainingSchedule
from semiseg.learning.state import Best, Candidate, State
from semiseg.learning.validation import Validator
from semiseg.method import Batch, Method, Terms, TrainingTime, total
from semiseg.params.checkpoints import own_checkpoint
from semiseg.params.config import Inference, Optimiser

VALIDATED = "best_validation"  # the checkpoint whose scores the history holds, and which ends a training early
STEPS_PER_WATCH = 20  # the first step of a session and every 20th one after it may draw random numbers by torch alone


def candidates(method: Method, inference: Inference) -> list[Candidate]:
    """The sets of networks that may predict: each of the method's inference networks alone, or all together."""
    if inference.networks == "one" and len(method.inference_networks) > 1:
        return [(name,) for name in method.inference_networks]
    return [tuple(method.inference_networks)]


def start(
    method: Method, inference: Inference, rule: Optimiser, device: torch.device, precision: Precision = FLOAT32
) -> State:
    """A new state at step 0, on the device. ``rule`` is the protocol's optimiser for the networks.

    Raises UserError for a method without trainable parameters.
    """
    move(method, device)
    precision.lay_out(method)
    adversaries = {name: list(method.get_submodule(name).parameters()) for name in method.adversaries()}
    of_adversaries = {id(parameter) for parameters in adversaries.values() for parameter in parameters}
    trained = [each for each in method.parameters() if each.requires_grad and id(each) not in of_adversaries]
    if not trained:
        who = type(method).__name__
        raise UserError(f"{who} has no parameters to train: name a network in networks, or build one in __init__")
    optimiser = optimisers.of_networks(rule, trained, precision.fast)
    rules = method.adversaries()
    of_them = {name: optimisers.of_adversary(rules[name], adversaries[name], precision.fast) for name in rules}
    scaler = torch.amp.GradScaler(device.type, enabled=precision.scaled)
    return State(method, optimiser, of_them, scaler, History(), candidates(method, inference), device, precision)


@dataclass
class Trainer:
    """One run. Its state is saved to ``path`` from time to time, marked with the run's fingerprint.

    validators: by the name of the checkpoint that is chosen by it.
    """

    title: str
    state: State
    sampler: Sampler
    schedule: TrainingSchedule
    validators: Mapping[str, Validator]
    runtime: Runtime
    path: Path
    fingerprint: str

    def run(self) -> None:
        """Run the remaining steps.

        Raises UserError when the loss is not a number, when a weight or a step's terms have other names than the first
        step's terms, and when the method draws random numbers that a resumed run would not repeat.

        After a signal to end (time limit, Ctrl-C) the state is saved at the end of the current step, or of the next one
        in which the optimiser moves (``accumulate``). Then KeyboardInterrupt is raised, unless the scheduler itself
        ends the process.
        """
        state, total_steps = self.state, self.schedule.iterations
        state.resume(self.path, self.fingerprint)
        state.cost.begin()
        saved, device, wait = state.cost.mark, self.runtime.device, self.runtime.checkpoint_seconds
        state.method.train()
        ahead = batches(self.sampler, state.iteration, total_steps, self.runtime.loader_threads, device)
        with (
            Progress(self.title, total_steps, "step", state.iteration) as bar,
            signals.watch() as request,
            closing(ahead) as crops,
        ):
            for number, batch in enumerate(state.cost.awaited(crops, device)):
                if self._out_of_patience():  # before the step: a resumed run may have stopped already
                    break
                is_watched = number % STEPS_PER_WATCH == 0
                with torch_alone(type(state.method).__name__) if is_watched else nullcontext():
                    self.step(batch)
                for checkpoint, validator in self.validators.items():
                    if self.schedule.scores_after(state.iteration - 1, validator.rule):
                        state.cost.lap(device, stepping=True)
                        self._score(checkpoint, validator)
                        state.cost.lap(device, stepping=False)
                whole = self.schedule.begins_update(state.iteration)  # no sum of gradients is under way
                if whole and (request.save or time.monotonic() - saved > wait):
                    state.cost.lap(device, stepping=True)
                    begun = state.cost.mark
                    state.save(self.path, self.fingerprint)
                    state.cost.lap(device, stepping=False)
                    saved, request.save = state.cost.mark, False
                    wait = pause(self.runtime.checkpoint_seconds, saved - begun)
                bar.step(1, **state.history.latest())
                if request.end and whole:
                    raise KeyboardInterrupt
            state.cost.lap(device, stepping=True)

    def _out_of_patience(self) -> bool:
        own = (best for (checkpoint, _), best in self.state.best.items() if checkpoint == VALIDATED)
        newest = max((best.iteration for best in own), default=-1)
        return newest >= 0 and self.schedule.out_of_patience(self.state.iteration, newest)

    def step(self, batch: Batch) -> None:
        """One training step on a batch of the device: networks, adversaries if there are any, the method's updates."""
        state, now = self.state, self.schedule.time(self.state.iteration)
        rate = self.schedule.learning_rate(now.iteration)
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        first = self._train_adversaries(batch, now, rate) if state.method.adversaries_first else {}
        self._require_adversary_gradients(False)  # gradients of this loss by the adversaries are not needed
        with state.precision.autocast(state.device):
            terms = state.method.losses(batch, now)
            loss = total(terms, self._weights(terms, now))
        self._accumulate(loss, now)
        adversary_terms = first or self._train_adversaries(batch, now, rate)
        if twice := terms.keys() & adversary_terms.keys():
            who = type(state.method).__name__
            raise UserError(f"{who}: losses and adversary_losses both give {', '.join(sorted(twice))}: rename one")
        terms = {**terms, **adversary_terms}
        if self.schedule.ends_update(now.iteration):
            state.scaler.update()
        state.method.after_step(now)
        state.history.add(now.iteration, rate, loss, terms)
        state.iteration += 1

    def _train_adversaries(self, batch: Batch, now: TrainingTime, rate: float) -> Terms:
        """The adversaries' step and its terms; nothing if there are no adversaries. rate: that of the networks."""
        state = self.state
        if not state.adversary_optimisers:
            return {}
        self._set_adversary_rates(now, rate / state.optimiser.defaults["lr"])
        self._require_adversary_gradients(True)
        with state.precision.autocast(state.device):
            terms = state.method.adversary_losses(batch, now)
        for optimiser in state.adversary_optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        state.scaler.scale(total(terms, {})).backward()  # type: ignore[no-untyped-call]
        for optimiser in state.adversary_optimisers.values():
            state.scaler.step(optimiser)
        return terms

    def _weights(self, terms: Terms, now: TrainingTime) -> Mapping[str, float]:
        """The method's weights in this step. Raises UserError for a weight whose term does not exist."""
        weights = self.state.method.weights(now)
        for name in weights:
            if name not in terms:
                raise unknown("term", name, terms, f"{type(self.state.method).__name__}.weights")
        return weights

    def _accumulate(self, loss: Tensor, now: TrainingTime) -> None:
        """Add the gradients of the networks, and let their optimiser move where the sum is whole."""
        state = self.state
        if self.schedule.begins_update(now.iteration):
            state.optimiser.zero_grad(set_to_none=True)
        state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self.schedule.ends_update(now.iteration):
            state.scaler.step(state.optimiser)

    def _set_adversary_rates(self, now: TrainingTime, scheduled: float) -> None:
        """Set the learning rates of this step. Raises UserError for the factor of an adversary that does not exist."""
        method, stepping = self.state.method, self.state.adversary_optimisers
        rules, factors = method.adversaries(), method.adversary_rates(now, scheduled)
        for name in factors:
            if name not in stepping:
                raise unknown("adversary", name, stepping, f"{type(method).__name__}.adversary_rates")
        for name, optimiser in stepping.items():
            for group in optimiser.param_groups:
                group["lr"] = rules[name].lr * factors.get(name, 1.0)

    def _require_adversary_gradients(self, required: bool) -> None:
        for name in self.state.method.adversaries():
            self.state.method.get_submodule(name).requires_grad_(required)

    def _score(self, checkpoint: str, validator: Validator) -> None:
        """Score every candidate and keep the weights of a new best one. The history has the scores on validation."""
        state, scores = self.state, []
        training = self.schedule.training
        has_optimiser = training.keep_optimiser and checkpoint == own_checkpoint(training)
        for candidate in state.candidates:
            score = validator.score(state.method, candidate)
            scores.append(score)
            if score > state.best.get((checkpoint, candidate), Best()).score:
                weights_now = kept_weights(state, candidate, optimiser=has_optimiser)
                kept = {name: tensor.clone() for name, tensor in weights_now.items()}
                state.best[checkpoint, candidate] = Best(score, state.iteration, kept)
        if checkpoint == VALIDATED:
            state.history.add_validation(max(scores))


def network_weights(method: Method, networks: Candidate) -> dict[str, Tensor]:
    """Weights and buffers of some networks, named ``<network>.<parameter>``."""
    return {
        name: tensor
        for network in networks
        for name, tensor in weights.prefixed(network, method.get_submodule(network).state_dict()).items()
    }


def kept_weights(state: State, candidate: Candidate, *, optimiser: bool) -> dict[str, Tensor]:
    """What a run keeps of a candidate: ``network_weights``, and the state of the optimiser if this is wanted."""
    networks = network_weights(state.method, candidate)
    return {**networks, **state.optimiser_tensors()} if optimiser else networks


def chosen(state: State, checkpoint: str, *, optimiser: bool) -> tuple[Candidate, Best]:
    """The candidate with the best score for a checkpoint; the first candidate as it is now if none was scored for it.

    optimiser: as in ``kept_weights``.
    """
    scored = {candidate: best for (name, candidate), best in state.best.items() if name == checkpoint}
    if scored:
        return max(scored.items(), key=lambda item: item[1].score)
    candidate = state.candidates[0]
    return candidate, Best(iteration=state.iteration, weights=kept_weights(state, candidate, optimiser=optimiser))
