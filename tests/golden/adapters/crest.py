"""CReST."""

from functools import partial

from stage import counted_step, counted_weights

from semiseg.methods.crest import reversed_rates

CODE = "code/train_crest.py"

ADAPTERS = {
    f"{CODE}:CReST._weight_wbg": lambda i, p: reversed_rates(i["counts"]),
    f"{CODE}:CReST.init_crest_weight and get_weights": partial(counted_weights, "crest"),
    f"{CODE}:training loop": partial(counted_step, "crest"),
}
