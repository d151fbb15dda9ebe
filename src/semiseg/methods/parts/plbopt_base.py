"""The method that PLBOpt wraps: its two networks, what their heads receive and give, and its terms."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.method import Batch, Method, Terms, TrainingTime
from semiseg.network import Backbone

ENDS = ("_a", "_b")  # of the names of terms where the method is there twice


@dataclass(frozen=True)
class Pass:
    """One network's pass of all crops of a step: the head's input ``[b d z y x]`` and logits ``[b k z y x]``."""

    features: Tensor
    logits: Tensor


class Base(nn.ModuleList):
    """A method with two networks that predict, or two of a method with one.

    build: gives the method. Terms of two methods have the ends ``_a`` and ``_b``.
    """

    def __init__(self, build: Callable[[], Method]) -> None:
        first = build()
        super().__init__([first] if len(first.inference_networks) == len(ENDS) else [first, build()])

    @property
    def is_twice(self) -> bool:
        """Whether these are two methods with a network each."""
        return len(self) > 1

    @property
    def methods(self) -> Mapping[str, Method]:
        """Each method by the end of its terms' names, which is empty for a method that is alone."""
        return dict(zip(ENDS if self.is_twice else ("",), cast(Iterator[Method], iter(self)), strict=True))

    @property
    def networks(self) -> tuple[str, str]:
        """Names of the networks A and B, as seen from here."""
        a, b = (
            f"{number}.{name}" for number, each in enumerate(self.methods.values()) for name in each.inference_networks
        )
        return a, b

    @property
    def backbones(self) -> tuple[Backbone, Backbone]:
        """The networks A and B."""
        a, b = (cast(Backbone, self.get_submodule(name)) for name in self.networks)
        return a, b

    @property
    def large_state(self) -> Mapping[str, Literal["device", "cpu"]]:
        """``Method.large_state``, with names as seen from here."""
        own = enumerate(self.methods.values())
        return {f"{number}.{name}": place for number, each in own for name, place in each.large_state.items()}

    @property
    def rate_lag(self) -> int:
        """``Method.rate_lag``."""
        return next(iter(self.methods.values())).rate_lag

    def losses(self, batch: Batch, time: TrainingTime) -> tuple[Terms, Pass, Pass]:
        """``Method.losses``, and the passes of A and B that they were computed from."""
        with _observed([each.head for each in self.backbones], len(batch.everything)) as passes:
            found = {end: each.losses(batch, time) for end, each in self.methods.items()}
        a, b = passes
        return {name + end: term for end, terms in found.items() for name, term in terms.items()}, a, b

    def weights(self, time: TrainingTime) -> dict[str, float]:
        """``Method.weights``."""
        return {name + end: one for end, each in self.methods.items() for name, one in each.weights(time).items()}

    def after_step(self, time: TrainingTime) -> None:
        """``Method.after_step``."""
        for each in self.methods.values():
            each.after_step(time)


@contextmanager
def _observed(heads: Sequence[nn.Module], rows: int) -> Iterator[list[Pass]]:
    """After the block, the list has the pass of each head.

    rows: number of crops that pass together. Raises UserError for a head that is not passed once with all of them.
    """
    passes: dict[nn.Module, list[Pass]] = {head: [] for head in heads}

    def note(head: nn.Module, inputs: Any, output: Tensor) -> None:
        passes[head].append(Pass(inputs[0], output))

    hooks = [head.register_forward_hook(note) for head in heads]
    once: list[Pass] = []
    try:
        yield once
    finally:
        for hook in hooks:
            hook.remove()
    for found in passes.values():
        if [len(one.logits) for one in found] != [rows]:
            raise UserError("PLBOpt needs a base that passes all crops of a step through each network once, together")
        once.extend(found)
