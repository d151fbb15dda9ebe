"""SimiS."""

from functools import partial

from stage import counted_step, counted_weights

from semiseg.methods.simis import gap

CODE = "code/train_simis.py"

ADAPTERS = {
    f"{CODE}:SimiS._weight_wbg": lambda i, p: gap(i["counts"]),
    f"{CODE}:SimiS.init_weight and get_weights": partial(counted_weights, "simis"),
    f"{CODE}:training loop": partial(counted_step, "simis"),
}
