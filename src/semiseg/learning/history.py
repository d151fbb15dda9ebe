"""The loss terms of every step, kept on the device and fetched in blocks, so that no step waits for the GPU."""

import math
from pathlib import Path

import torch
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.learning.history_file import COMMON_COLUMNS, write_history

STEPS_PER_FETCH = 20


class History:
    """Rows of iteration, learning rate, total loss, loss terms, and the validation Dice where there was one."""

    def __init__(self, columns: list[str] | None = None) -> None:
        self.columns = columns or []
        self._rows: list[list[float]] = []
        self._pending: list[tuple[int, float, Tensor]] = []

    def add(self, iteration: int, rate: float, loss: Tensor, terms: dict[str, Tensor]) -> None:
        """Add a finished step. Raises UserError when its terms have other names than those of the first step."""
        columns = ["iteration", "lr", "total", *(f"loss_{name}" for name in terms), "val_dice"]
        self.columns = self.columns or columns
        if columns != self.columns:
            first, now = (
                ", ".join(name.removeprefix("loss_") for name in names[3:-1]) for names in (self.columns, columns)
            )
            raise UserError(
                f"the loss terms of step {iteration} are {now}, those of the first step {first}: give the same terms in"
                " the same order in every step, and a zero for one that is not active"
            )
        values = torch.stack([loss.detach(), *(term.detach() for term in terms.values())]).float()
        self._pending.append((iteration, rate, values))
        if len(self._pending) >= STEPS_PER_FETCH:
            self.fetch()

    def fetch(self) -> None:
        """Copy pending rows to the host. Raises UserError when a loss is not a number."""
        if not self._pending:
            return
        values = torch.stack([values for _, _, values in self._pending]).cpu().tolist()
        for (iteration, rate, _), row in zip(self._pending, values, strict=True):
            if not all(map(math.isfinite, row)):  # all terms: an adversary's loss is not in the total
                raise self._not_finite(iteration, row)
            self._rows.append([float(iteration), rate, *row, math.nan])
        self._pending.clear()

    def _not_finite(self, iteration: int, row: list[float]) -> UserError:
        """The error for a step whose values (total, terms) are not all numbers."""
        names = [name for name, value in zip(self.columns[3:], row[1:], strict=False) if not math.isfinite(value)]
        if iteration > 0:
            return UserError(
                f"training diverged: total loss is {row[0]} at step {iteration} ({', '.join(names) or 'sum'});"
                " lower the learning rate of the protocol and train again"
            )
        if not names:
            return UserError(
                f"the total loss is {row[0]} in the first step, though each of its terms is a number: correct the"
                " weights of the method"
            )
        values = dict(zip(self.columns[3:], row[1:], strict=False))
        told = " and ".join(f"term {name.removeprefix('loss_')} is {values[name]}" for name in names)
        return UserError(
            f"{told} in the first step, so the learning rate is not the cause: does it divide by the number of voxels"
            " of an empty mask (use count.clamp(min=1)), or take the logarithm of 0?"
        )

    def add_validation(self, dice: float) -> None:
        """Add a validation result to the newest step."""
        self.fetch()
        self._rows[-1][-1] = dice

    def latest(self) -> dict[str, float]:
        """Loss terms of the newest fetched step, for the progress line."""
        row = self._rows[-1] if self._rows else []
        return {name.removeprefix("loss_"): v for name, v in zip(self.columns[2:-1], row[2:-1], strict=False)}

    def as_tensor(self) -> Tensor:
        """All rows, ``[steps columns]`` float64."""
        self.fetch()
        return torch.tensor(self._rows, dtype=torch.float64).reshape(-1, len(self.columns or COMMON_COLUMNS))

    @classmethod
    def from_tensor(cls, columns: list[str], rows: Tensor) -> "History":
        """The inverse of ``as_tensor``."""
        history = cls(columns)
        history._rows = rows.tolist()
        return history

    def write(self, path: Path) -> None:
        """Write history.csv; for a run without steps, only the header of the columns that all methods have."""
        self.fetch()
        write_history(path, self.columns or COMMON_COLUMNS, self._rows)
