"""A SAM of the sizes of a step case."""

from typing import Any

import numpy as np
import torch
from steps.stage import Case

from semiseg.networks.heads.sam_decoder import DecoderSizes
from semiseg.networks.sam import Sam, Sizes

FREQUENCIES = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"


def sam(case: Case) -> Sam:
    """SAM with the sizes that the case's setting gives, and the frequencies of places that it draws."""
    setting: dict[str, Any] = dict(case["setting"])
    encoder = setting["encoder"]
    decoder = DecoderSizes(
        embedding=setting["embedding"],
        depth=setting["decoder_depth"],
        heads=setting["decoder_heads"],
        mlp=setting["decoder_mlp"],
        iou_hidden=setting["iou_head_hidden"],
        mask_channels=setting["mask_in_chans"],
    )
    return Sam(
        3,
        2,
        sizes=Sizes(
            width=encoder["width"],
            depth=encoder["depth"],
            heads=encoder["heads"],
            whole=tuple(encoder["global"]),
            side=setting["image_side"],
            patch=encoder["patch"],
            window=encoder["window"],
            mlp_ratio=encoder["mlp_ratio"],
            decoder=decoder,
        ),
    )


def moments(optimiser: torch.optim.Optimizer, parameters: dict[str, torch.nn.Parameter]) -> dict[str, np.ndarray]:
    """Mean gradients that Adam keeps of these parameters, by the same names."""
    return {name: optimiser.state[parameter]["exp_avg"].numpy() for name, parameter in parameters.items()}
