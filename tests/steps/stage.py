"""What adapters share: a method with given weights, its steps in the project's training loop, and given random numbers.

No formula of a method stands here: an adapter says which of our modules has which official name, which numbers of the
case are which of our parameters, and which draw serves which random number.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast
from unittest import mock

import numpy as np
import recipes
import torch
from steps.step_cases import start_weights
from torch import Tensor, nn

from semiseg.base.official_weights import weight_names
from semiseg.blocks.losses import SUPERVISED
from semiseg.learning.build import Runtime
from semiseg.learning.loop import Trainer, start
from semiseg.learning.schedule import TrainingSchedule
from semiseg.method import Batch, Context, Method, method_class
from semiseg.network import Backbone, build
from semiseg.params.config import Inference, Optimiser, Ramp, Schedule, Training

Case = Mapping[str, Any]
Draws = Mapping[str, Sequence[Tensor]]  # path of a function -> its results, in the order of the calls
Supervised = Callable[[Tensor, Tensor], Tensor]
CPU = torch.device("cpu")


CO_TRAINING = ("supervised_a", "supervised_b", "cross_a", "cross_b")  # terms of two networks that supervise each other


def of_network(method: Method, attribute: str, prefix: str = "") -> dict[str, str]:
    """Official name, after a prefix, -> our name of a backbone or head in the method, by its own map of names."""
    module = method.get_submodule(attribute)
    return {f"{prefix}{official}": f"{attribute}.{ours}" for official, ours in of_whole(module).items()}


def of_whole(module: nn.Module) -> dict[str, str]:
    """Official name -> our name of every weight of a network or a part of one, by its own map of names."""
    own = module.state_dict()
    names = weight_names(own, module.official_modules())  # type: ignore[operator]
    assert sorted(names.values()) == sorted(own), "a weight without an official name"
    return names


def of_modules(method: Method, modules: Mapping[str, str]) -> dict[str, str]:
    """Official name -> our name for official modules -> our modules: the networks that stand for official ones."""
    state = method.state_dict()
    return {
        f"{official}.{weight}": f"{ours}.{weight}"
        for official, ours in modules.items()
        for weight in ("weight", "bias", "running_mean", "running_var")
        if f"{ours}.{weight}" in state
    }


def of_checkpoint(method: Method) -> dict[str, str]:
    """Official name -> our name of what a checkpoint of the method's official code holds, in all its forms."""
    found: dict[str, str] = {}
    for modules in method.official_modules():
        found |= weight_names(method.state_dict(), modules)
    return found


def make(
    name: str,
    classes: int,
    network: Callable[[int], nn.Module],
    supervised: str | Supervised,
    voxels: Any = None,
    patch: tuple[int, int, int] = (16, 16, 16),
    unlabelled_cases: int = 4,
    **hyper: Any,
) -> Method:
    """The method without dropout. network: builds a backbone for a number of channels of its head.

    voxels: per class, or per labelled case and class; patch: sides of crops and windows.
    """
    counts = torch.ones(classes) if voxels is None else torch.as_tensor(voxels)
    context = Context(
        classes=classes,
        network=lambda _, channels, *__: network(channels),
        supervised=SUPERVISED[supervised] if isinstance(supervised, str) else supervised,
        labelled_voxels=torch.atleast_2d(counts.double()),
        unlabelled_cases=unlabelled_cases,
        patch=patch,
        window=patch,
    )
    method = method_class(name)(context, **hyper)
    for module in method.modules():
        if isinstance(module, nn.Dropout | nn.Dropout3d):
            module.p = 0.0
    return method


def backbone(name: str, filters: int) -> Callable[[int], nn.Module]:
    """Builder of a backbone of ours with so many filters."""
    return lambda channels: build(name, 1, channels, "default", filters=filters)


def training(
    setting: Case, ramp: Mapping[str, Any], schedule: Mapping[str, Any], lr: str = "learning_rate", **optimiser: Any
) -> Training:
    """The protocol's training with the numbers of a case; only what the loop reads in a step.

    optimiser: what it has beside rate, momentum and weight decay.
    """
    length = "max_epoch" if "max_epoch" in setting else "epochs"
    by_epoch = length in setting and "iterations" not in setting
    return Training.model_construct(
        iterations=None if by_epoch else setting.get("iterations", 6000),
        epochs=setting[length] if by_epoch else None,
        optimiser=Optimiser(
            lr=setting[lr],
            momentum=setting["momentum"],
            weight_decay=setting["weight_decay"],
            nesterov=setting.get("nesterov", False),
            **optimiser,
        ),
        schedule=Schedule(**schedule),
        ramp=Ramp(**ramp),
        validation=None,
    )


def by_iteration(setting: Case) -> Training:
    """Training of the lines that count iterations: ramp in units of iterations, rate by ``schedule`` or by cuts."""
    rule = {"rule": "step", **setting["step_decay"]} if "step_decay" in setting else dict(poly(setting["schedule"]))
    ramp = {"every": setting["iterations_per_ramp_unit"], "length": int(setting["rampup"])}
    return training(setting, ramp, rule)


def by_epoch(setting: Case, lr: str) -> Training:
    """Training of the DHC line, which counts epochs; both rate and ramp lag by one."""
    rule = {"rule": "poly", "per": "epoch", "lag": 1, "power": setting["poly_power"]}
    return training(setting, {"per": "epoch", "lag": 1}, rule, lr)


def at_epoch(setting: Case) -> Case:
    """The setting with its first step; cases of some scripts give the epoch that it begins, and the steps of one."""
    if "step" in setting:
        return setting
    steps = setting["iterations_per_epoch"]
    return {**setting, "step": setting["epoch"] * steps, "steps_per_epoch": steps}


def poly(schedule: Any) -> Mapping[str, Any]:
    """The schedule of a case as ours."""
    if schedule == "constant":
        return {"rule": "constant"}
    return {name: schedule[name] for name in ("rule", "power", "lag") if name in schedule}


class Run:
    """A method in the training loop, at the first step of the case."""

    def __init__(self, method: Method, rules: Training, setting: Case, names: Mapping[str, Mapping[str, str]]) -> None:
        self.method, self.names = method, names
        inference = Inference(window=(16, 16, 16), stride=(16, 16, 16))
        state = start(method, inference, rules.optimiser, CPU)
        state.iteration = setting["step"]
        schedule = TrainingSchedule(rules, setting.get("steps_per_epoch", 150), method.rate_lag)
        nowhere = cast(Any, None)  # no batch is drawn and no state is written
        self.trainer = Trainer("case", state, nowhere, schedule, None, Runtime(CPU, 0, 1e9), Path("unused"), "")
        method.train()

    def load(self, weights: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Set the weights of all roles; every name of the case must be one of ours."""
        own = self.method.state_dict()
        for role, arrays in weights.items():
            for official, array in arrays.items():
                target = own[self.names[role][official]]
                target.copy_(torch.from_numpy(array).view_as(target))

    def steps(
        self, batches: Sequence[Batch], draws: Sequence[Draws], terms: Mapping[str, str]
    ) -> list[dict[str, float]]:
        """Take the steps; returns the losses of each by the names of the case. terms: name of the case -> ours."""
        for batch, numbers in zip(batches, draws, strict=True):
            with drawn(numbers):
                self.trainer.step(batch)
        history = self.trainer.state.history
        rows = [dict(zip(history.columns, row, strict=True)) for row in history.as_tensor().tolist()]
        columns = {"total": "total"} | {name: f"loss_{ours}" for name, ours in terms.items()}
        return [{name: row[column] for name, column in columns.items()} for row in rows]

    @property
    def rate(self) -> float:
        """Learning rate of the last step."""
        return float(self.trainer.state.optimiser.param_groups[0]["lr"])

    def rates(self, term: str = "cross_a") -> dict[str, float]:
        """Learning rate and weight of the cross term in the last step, under the names of the DHC line's cases."""
        return {"learning_rate": self.rate, "cross_weight": self.weight(term)}

    def weight(self, term: str) -> float:
        """Weight of a term in the last step."""
        return self.method.weights(self.trainer.schedule.time(self.trainer.state.iteration - 1))[term]

    @torch.no_grad()
    def logits(self, network: str, images: Tensor) -> Tensor:
        """What a network gives for images in evaluation mode."""
        self.method.eval()
        found: Tensor = self.method.get_submodule(network)(images)
        self.method.train()
        return found

    def moments(self) -> dict[str, float]:
        """L2 norms of the moments of the adversaries' Adam, over all their parameters."""
        optimisers = self.trainer.state.adversary_optimisers.values()
        slots = [slot for optimiser in optimisers for slot in optimiser.state_dict()["state"].values()]
        norms = {
            name: float(torch.stack([slot[name].double().square().sum() for slot in slots]).sum().sqrt())
            for name in ("exp_avg", "exp_avg_sq")
        }
        return {
            "discriminator_first_moment_l2": norms["exp_avg"],
            "discriminator_second_moment_l2": norms["exp_avg_sq"],
        }

    def result(self, losses: list[dict[str, float]], case: Case, state: Mapping[str, Any]) -> dict[str, Any]:
        """What the comparison takes; tensors become arrays of the official shapes."""
        own, networks = self.method.state_dict(), case["networks"]
        after = {
            role: {name: own[self.names[role][name]].numpy().reshape(shape) for name, shape in network["parameters"]}
            for role, network in networks.items()
        }
        buffers = {
            role: {name: own[self.names[role][name]].numpy() for name in found.get("buffers", {})}
            for role, found in case["after"].items()
        }
        arrays = {key: value.numpy() if isinstance(value, Tensor) else value for key, value in state.items()}
        return {"losses": losses, "after": after, "buffers": buffers, "state": arrays}


def dhc_line(
    name: str,
    given: "Given",
    case: Case,
    voxels: Any = None,
    names: Callable[[Method, str], Mapping[str, str]] = of_network,
    **hyper: Any,
) -> Run:
    """A method of xmed-lab/DHC on V-Nets, with the weights of the case, ready for its first step.

    names: official name -> our name of the parameters of a role.
    """
    setting = case["setting"]
    method = make(
        name,
        setting["classes"],
        backbone("vnet", setting["filters"]),
        "ce_dice_organs",
        voxels,
        patch=tuple(setting["crop"]),
        unlabelled_cases=setting.get("unlabelled_cases", 4),
        weight=setting["w"],
        **hyper,
    )
    stage = Run(method, by_epoch(setting, "lr"), setting, {role: names(method, role) for role in given.start})
    stage.load(given.start)
    return stage


def counted_weights(name: str, case: Case) -> dict[str, Any]:
    """A run of a method whose class weights follow the voxels that each network predicts."""
    given, momentum = Given(case), case["setting"]["weight_momentum"]
    stage = dhc_line(name, given, case, given.inputs["labelled_voxels"], momentum=momentum)
    batches = given.batches()
    losses = stage.steps(batches, [{}] * len(batches), {term: term for term in CO_TRAINING})
    weights = {f"class_weights_{name}": stage.method.get_buffer(f"weights_{name}") for name in ("a", "b")}
    return stage.result(losses, case, {**stage.rates(), **weights})


@contextmanager
def drawn(numbers: Draws) -> Iterator[None]:
    """Let functions return given tensors inside the block, one a call, in the shape that the call asks for.

    Whole numbers of ``torch.randint`` are returned as they are; numbers in [0, 1) choose between its two limits.
    """
    with ExitStack() as stack:
        for path, values in numbers.items():
            stack.enter_context(mock.patch(path, _given(path, list(values))))
        yield


def _given(path: str, values: list[Tensor]) -> Callable[..., Tensor]:
    def take(*shape: Any, **options: Any) -> Tensor:
        value = values.pop(0)
        if not path.startswith("torch.") or path.endswith("_like"):
            return value.view_as(shape[0])
        if path == "torch.randint" and value.is_floating_point():
            value = (shape[0] + (value.double() * (shape[1] - shape[0])).floor()).long()
        return value.reshape(shape[-1] if isinstance(shape[-1], tuple | list) else shape)

    return take


@contextmanager
def watched(path: str, seen: Callable[[Any], object]) -> Iterator[None]:
    """Hand every result of a function to ``seen`` inside the block."""
    owner, _, name = path.rpartition(".")
    original = getattr(importlib.import_module(owner), name)

    def call(*given: Any) -> Any:
        result = original(*given)
        seen(result)
        return result

    with mock.patch(path, call):
        yield


class Given:
    """The arrays of a case as tensors, and its batches."""

    def __init__(self, case: Case) -> None:
        self.setting = case["setting"]
        self.inputs = {name: _tensors(recipes.build(recipe)) for name, recipe in case["inputs"].items()}
        self.draws = {name: _tensors(recipes.build(recipe)) for name, recipe in case.get("draws", {}).items()}
        self.start = start_weights(case["networks"])

    def batches(self) -> list[Batch]:
        """Rows of labelled crops, then unlabelled ones; labels of unlabelled rows are not handed on."""
        if "unlabelled" in self.inputs:
            parts = (self.inputs[name] for name in ("images", "labels", "unlabelled"))
            return [Batch(images, labels.long(), others) for images, labels, others in zip(*parts, strict=True)]
        count = self.setting["labelled_per_batch"]
        return [
            Batch(images[:count], labels[:count].long(), images[count:])
            for images, labels in zip(self.inputs["image"], self.inputs["label"], strict=True)
        ]

    def by_step(self, **purposes: str) -> list[Draws]:
        """Draws of each step, with one number a function. purposes: function of torch -> the draw's name."""
        names = list(purposes.values())
        steps = zip(*(self.draws[name] for name in names), strict=True)
        return [{f"torch.{call}": [value] for call, value in zip(purposes, step, strict=True)} for step in steps]


class Tiny(Backbone):
    """The network that stands for the 2D networks: two convolutions with ReLU, and a head; see ``architecture``."""

    def __init__(self, filters: int, channels: int) -> None:
        super().__init__()
        self.widths = (filters,)
        self.layer1, self.layer2 = (nn.Conv3d(before, filters, 3, padding=1) for before in (1, filters))
        self.head = nn.Conv3d(filters, channels, 1)

    def features(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.layer2(self.layer1(image).relu()).relu(),)


def _tensors(value: Any) -> Any:
    if isinstance(value, list):
        return [_tensors(item) for item in value]
    return None if value is None else torch.from_numpy(value)


def in_one_tensor(given: Given) -> list[Batch]:
    """Batches of cases that give all rows as ``images`` and ``labels``, of which ``labelled_batch`` are labelled."""
    count, pairs = given.setting["labelled_batch"], zip(given.inputs["images"], given.inputs["labels"], strict=True)
    return [Batch(images[:count], labels[:count].long(), images[count:]) for images, labels in pairs]


def learning_rates(stage: Run) -> list[float]:
    """Learning rate of every step."""
    history = stage.trainer.state.history
    column = history.columns.index("lr")
    return [row[column] for row in history.as_tensor().tolist()]
