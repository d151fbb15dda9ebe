"""Rule ``train`` of a row with imported weights, which is not trained: they are given our names and are checked."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, sweep, write_json
from semiseg.learning import weights
from semiseg.learning.build import Facts, build_method
from semiseg.learning.cost import Cost, record
from semiseg.learning.history_file import COMMON_COLUMNS, write_history
from semiseg.learning.loop import candidates, network_weights
from semiseg.params.config import Inference, Network
from semiseg.stages.weights import is_standin

logger = logging.getLogger(__name__)


def train_imported(
    spec: Mapping[str, Any],
    prepared: Path,
    split: Path,
    brought: Path,
    out: Path,
    history: Path,
    cost: Path,
    threads: int,
) -> None:
    """Write the files of a run as ``semiseg.stages.train`` does, with the weights of the file ``brought``.

    Where several networks predict and the protocol takes one of them, this is the first. threads: CPU threads, which
    cost.json names.

    Raises UserError for weights that are missing, damaged, or of another architecture or number of classes.
    """
    sweep(out.parent)
    index, parts = read_json(prepared), read_json(split)
    network, inference = Network.model_validate(spec["network"]), Inference.model_validate(spec["inference"])
    facts = Facts.of(index, parts, spec["patch"], inference.window)
    torch.manual_seed(spec["seed"])
    method = build_method(spec["method"], spec["hyper"], network, None, facts, spec.get("wrapped"))
    tensors, note = weights.load(brought)
    if not is_standin(note):
        try:
            method.start_from(method.from_official(tensors))
        except UserError as error:
            raise UserError(
                f"{brought} holds no weights of {spec['method']} on {network.name} with {network.filters} filters for"
                f" {index['classes']} classes: {error}; name weights of this architecture"
            ) from None
    networks = candidates(method, inference)[0]
    note = {"networks": list(networks), "iteration": 0, "val_dice": None, "patch": spec["patch"]}
    write_history(history, COMMON_COLUMNS, [])
    write_json(cost, record(Cost(), parameters=0, iterations=0, threads=threads))
    weights.save(out, network_weights(method, networks), note)
    logger.info(f"train {spec['method']}: nothing to train, the weights of {brought}, networks {', '.join(networks)}")
