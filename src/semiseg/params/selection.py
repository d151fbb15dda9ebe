"""When and how checkpoints are chosen, as typed objects: what may be written under ``validation`` and ``selection``."""

from typing import Literal

from pydantic import Field

from semiseg.params.kinds import PositiveInt, Strict

Clock = Literal["iteration", "epoch"]


class Selection(Strict):
    """When and how the weights of a training are scored, so that the best ones are kept.

    The score is the mean Dice over organs and cases of a list.
    """

    every: PositiveInt = Field(description="iterations or epochs between two scorings; the last step is scored too")
    per: Clock = Field(description="what every, first and patience count")
    first: PositiveInt | None = Field(
        None, description="iterations or epochs that are over at the first scoring; default: every"
    )
    region: Literal["volume", "centre_crop"] = Field(
        description="volume: whole volumes by sliding window; centre_crop: one crop of the patch's size in the middle"
    )
    absent: Literal["zero", "half"] = Field(
        description="Dice of an organ that is neither present nor predicted: 0 or 0.5"
    )


class Validation(Selection):
    """When and how the protocol's own checkpoint is chosen, on the validation cases of the split."""

    patience: PositiveInt | None = Field(
        None, description="stop after this many iterations or epochs without gain; default: never"
    )
