"""SAM against Meta's own implementation, segment-anything 1.0 of the package registry, which gave these numbers."""

import numpy as np
import pytest
import torch
from steps.step_cases import weights
from torch import Tensor

from semiseg.networks.heads.sam_decoder import DecoderSizes
from semiseg.networks.sam import Sam, Sizes

# Windows that fill the map of tokens and windows that do not; several blocks without windows; a decoder of one layer.
SMALL = Sizes(24, 3, 3, (1,), side=80, window=2, decoder=DecoderSizes(32, 2, 4, 24, 12, 8))
FLAT = Sizes(16, 4, 1, (0, 3), side=112, window=4, decoder=DecoderSizes(48, 1, 2, 20, 8, 4))
MEASURED = {  # sum, l2 and ramp (sum weighted by position modulo 97), first entries
    SMALL: (
        (-12.0816703, 40.2740010, -2.7719255, [-1.54522955, 1.18060136, 0.25428340]),
        (-232.131919, 102.931475, -8594.46601, [0.32011825, 0.10873351, -0.76586258]),
    ),
    FLAT: (
        (-40.8586150, 69.0597175, -5369.15219, [-0.97329687, -1.34286869, -0.65297908]),
        (-294.151560, 66.5942452, -13602.0071, [-0.60912704, -0.10060178, -0.33553293]),
    ),
}


@pytest.mark.parametrize("sizes", MEASURED, ids=("small windows", "wide windows"))
@torch.no_grad()
def test_embeddings_and_masks_are_those_of_the_published_implementation(sizes: Sizes) -> None:
    sam = Sam(3, 2, sizes=sizes).eval()
    shapes = [(name, list(tensor.shape)) for name, tensor in sam.state_dict().items()]
    sam.load_state_dict({name: torch.from_numpy(array) for name, array in weights(shapes, 5).items()})
    drawn = np.random.default_rng(6).standard_normal((2, 3, sizes.side, sizes.side))
    embedding = sam.image_encoder(torch.from_numpy(drawn.astype(np.float32)))
    masks = sam.masks(embedding, sam.prompt_encoder.no_mask())
    assert embedding.shape == (2, sizes.decoder.embedding, sizes.tokens, sizes.tokens)
    assert masks.shape == (2, 4, 4 * sizes.tokens, 4 * sizes.tokens)
    for found, (total, l2, ramp, first) in zip((embedding, masks), MEASURED[sizes], strict=True):
        assert summary(found) == pytest.approx((total, l2, ramp), rel=1e-4, abs=0.01)
        assert found.flatten()[:3].tolist() == pytest.approx(first, abs=2e-5)


def summary(found: Tensor) -> tuple[float, float, float]:
    values = found.double().flatten()
    return values.sum().item(), values.norm().item(), (values * (torch.arange(len(values)) % 97)).sum().item()


def test_a_resized_encoder_takes_images_of_the_new_side() -> None:
    sam = Sam(3, 2, sizes=SMALL)
    with torch.no_grad():
        for parameter in sam.image_encoder.parameters():
            parameter.normal_()
    before = {name: tensor.clone() for name, tensor in sam.state_dict().items()}
    sam.resize(48)
    assert sam.sizes.tokens == 3 and sam.image_encoder(torch.zeros(1, 3, 48, 48)).shape == (1, 32, 3, 3)
    changed = {name for name, tensor in sam.state_dict().items() if tensor.shape != before[name].shape}
    assert {name.rpartition(".")[2] for name in changed} == {"pos_embed", "rel_pos_h", "rel_pos_w"}
    assert {name for name in changed if "blocks" in name} == {f"image_encoder.blocks.1.attn.rel_pos_{a}" for a in "hw"}
