"""SimiS (xmed-lab/DHC)."""

from functools import partial

from steps.stage import counted_weights

run = partial(counted_weights, "simis")
