"""The schedule of a training: its length, the training time of a step, its learning rate, and when to validate."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from semiseg.blocks.ramps import poly, sigmoid_rampup, step_decay
from semiseg.params.config import Training
from semiseg.params.selection import Selection

if TYPE_CHECKING:
    from semiseg.method import TrainingTime


@dataclass(frozen=True)
class TrainingSchedule:
    """All that depends on the iteration number alone; an epoch is as long as ``training.epoch`` says.

    rate_lag: the method's own lag of the learning rate (``Method.rate_lag``).
    """

    training: Training
    steps_per_epoch: int
    rate_lag: int = 0

    @property
    def iterations(self) -> int:
        """Length of the whole training, extra epochs included."""
        return self.counted + self.training.extra_epochs * self.steps_per_epoch

    @property
    def counted(self) -> int:
        """The length T of which rates, ramps and methods count fractions: that without extra epochs."""
        if self.training.iterations is not None:
            return self.training.iterations
        assert self.training.epochs is not None  # the parameters allow exactly one of the two
        return self.training.epochs * self.steps_per_epoch

    def time(self, iteration: int) -> "TrainingTime":
        """The training time that a method receives in step ``iteration``."""
        from semiseg.method import TrainingTime  # here: the planner reads lengths from a schedule, and loads no torch

        ramp = self.training.ramp
        counter = max(self._count(iteration, ramp.per) - ramp.lag, 0) // ramp.every
        whole = self._length(ramp.per) // ramp.every
        return TrainingTime(
            iteration=iteration,
            iterations=self.counted,
            epoch=iteration // self.steps_per_epoch,
            epochs=self._length("epoch"),
            ramp=sigmoid_rampup(counter, whole if ramp.length is None else ramp.length),
            last_in_epoch=(iteration + 1) % self.steps_per_epoch == 0,
        )

    def learning_rate(self, iteration: int) -> float:
        """Learning rate of step ``iteration``."""
        rule, base = self.training.schedule, self.training.optimiser.lr
        lag = rule.lag or (self.rate_lag if rule.per == "iteration" else 0)
        count = max(self._count(max(iteration - rule.late, 0), rule.per) - lag, 0)
        if count < rule.warmup:
            return max(base * self._risen(count), rule.floor)
        return max(self._falling(base, count - rule.warmup), rule.floor)

    def _risen(self, count: int) -> float:
        """The part of the rate that the warm-up gives after ``count`` of its iterations or epochs."""
        rule = self.training.schedule
        if rule.warmup_from is None:
            return (count + 1) / rule.warmup
        return rule.warmup_from + (1 - rule.warmup_from) * count / rule.warmup

    def _falling(self, base: float, count: int) -> float:
        """The rate by the schedule's rule, ``count`` iterations or epochs after its begin."""
        rule = self.training.schedule
        if rule.rule == "poly":
            length = rule.length or self._length(rule.per)
            return poly(base, min(count, length), length, rule.power)
        if rule.rule == "step":
            return step_decay(base, count, rule.every, rule.factor)
        return base

    def begins_update(self, iteration: int) -> bool:
        """Whether step ``iteration`` is the first one whose gradients the next move of the optimiser sums.

        A saved state holds no gradients, so this is where a run may be saved before.
        """
        return iteration % self.steps_per_epoch % self.training.accumulate == 0

    def ends_update(self, iteration: int) -> bool:
        """Whether the optimiser moves in step ``iteration``."""
        return (iteration % self.steps_per_epoch + 1) % self.training.accumulate == 0

    def scores_after(self, iteration: int, rule: Selection) -> bool:
        """Whether the weights are scored by a rule after step ``iteration``; always after the last one."""
        done, unit = iteration + 1, self.steps_per_epoch if rule.per == "epoch" else 1
        first, every = unit * (rule.first or rule.every), unit * rule.every
        return done == self.iterations or (done >= first and (done - first) % every == 0)

    def out_of_patience(self, iteration: int, best_iteration: int) -> bool:
        """Whether training stops early, because there was no new best for ``patience`` iterations or epochs."""
        rule = self.training.validation
        if rule is None or rule.patience is None:
            return False
        return self._count(iteration - best_iteration, rule.per) >= rule.patience

    def _length(self, per: str) -> int:
        """The whole training in iterations or epochs, of which the last one may be incomplete."""
        return -(-self.counted // self.steps_per_epoch) if per == "epoch" else self.counted

    def _count(self, iteration: int, per: str) -> int:
        return iteration // self.steps_per_epoch if per == "epoch" else iteration
