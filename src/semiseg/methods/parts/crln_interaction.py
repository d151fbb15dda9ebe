"""Dynamic interaction module of crln: learned prototypes attend to two decoder maps and give a map of every class.

Follows Yaan-Wang/CRLN: VnetLA/Model/Vnet.py Dynamicinteraction. Two peculiarities of that code are kept. The projected
queries are reshaped, not transposed, from class and prototype to prototype and class. The map of the coarser level is
computed, which moves its batch norms, and not used.
The table of the aggregation has no code; its forms are one reading of MedIA 2025, Table 6 (unverified).
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from semiseg.network import initialise

DEPTH = 0.1 / 3  # chance that stochastic depth leaves a branch out
GROWTH = 4  # of the hidden layer of the perceptron


def kept(rows: Tensor, chance: float) -> Tensor:
    """1 with this chance, else 0, for every row: random numbers of the shape and device of ``rows``."""
    return (torch.rand(rows.shape, device=rows.device) < chance).to(rows.dtype)


class StochasticDepth(nn.Dropout):
    """Dropout of a whole item of ``[b ...]``; kept items are divided by the chance to be kept."""

    def forward(self, branch: Tensor) -> Tensor:
        """The branch as it is outside of training."""
        if not self.training or self.p == 0:
            return branch
        chance = 1 - self.p
        rows = kept(branch.detach().flatten(1)[:, 0], chance)
        return branch * (rows / chance).view(-1, *[1] * (branch.ndim - 1))


class PairAttention(nn.Module):
    """Queries ``[b k r f]`` attend to tokens ``[b v f]``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key_value, self.projection = (
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
            nn.Linear(width, width),
        )

    def forward(self, query: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """What each query found, ``[b k r f]``, and its scores before the softmax, ``[b k r v]``."""
        batch, classes, number, width = query.shape
        asked = self.query(query).reshape(batch, number, classes, width)  # memory order, as in the code
        key, value = self.key_value(tokens).unsqueeze(1).chunk(2, -1)
        scores = asked @ key.transpose(-2, -1) * width**-0.5
        found = (scores.softmax(-1) @ value).transpose(1, 2)
        return self.projection(found), scores.transpose(1, 2)


class Aggregation(nn.Module):
    """Scores of the R prototypes of a class -> the map of that class.

    ``none``: their sum. ``sa``: a separable convolution 3x3x3, then the sum. ``sa_ci``: a weighted sum in its place.
    These two have weights for every class. ``sa_ci_cr``: as ``sa_ci`` with the same weights for all classes, whose
    batch norms pool them; this is the code.
    """

    def __init__(self, form: str, classes: int, prototypes: int) -> None:
        super().__init__()
        self.shared = form == "sa_ci_cr"
        groups = 1 if self.shared else classes
        width = groups * prototypes
        self.spatial = self.integration = None
        if form != "none":
            self.spatial = nn.Sequential(
                nn.Conv3d(width, width, 3, padding=1, groups=width, bias=False),
                nn.BatchNorm3d(width),
                nn.ReLU(inplace=True),
                nn.Conv3d(width, width, 1, groups=groups, bias=False),
                nn.BatchNorm3d(width),
                nn.ReLU(inplace=True),
            )
        if form in ("sa_ci", "sa_ci_cr"):
            self.integration = nn.Conv3d(width, groups, 1, groups=groups)

    def forward(self, scores: Tensor) -> Tensor:
        """Maps ``[b k z y x]`` of scores ``[b k r z y x]``."""
        if self.spatial is None:
            return scores.sum(2)
        filtered: Tensor = self.spatial(scores.flatten(0, 1) if self.shared else scores.flatten(1, 2))
        if self.integration is None:
            return filtered.view_as(scores).sum(2)
        found: Tensor = self.integration(filtered).view(*scores.shape[:2], *scores.shape[3:])
        return found


class Level(nn.Module):
    """One decoder map of ``width`` channels and these sides: the queries attend to its voxels.

    following: width of the queries of the next level.
    """

    def __init__(
        self, width: int, following: int, sides: Sequence[int], classes: int, prototypes: int, form: str
    ) -> None:
        super().__init__()
        self.projection, self.norm = nn.Conv3d(width, width, 1), nn.LayerNorm(width)
        self.norm_tokens, self.norm_query = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.depth = PairAttention(width), StochasticDepth(DEPTH)
        self.norm_found = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(nn.Linear(width, GROWTH * width), nn.GELU(), nn.Linear(GROWTH * width, width))
        self.norm_scores = nn.LayerNorm(prod(sides))
        self.aggregation = Aggregation(form, classes, prototypes)
        self.following = nn.Conv2d(width, following, 1)

    def forward(self, feature: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        """The maps ``[b k z y x]`` of this level and the queries ``[b k r f]`` of the next one."""
        tokens = self.norm(self.projection(feature).flatten(2).transpose(1, 2))
        found, scores = self.attention(self.norm_query(query), self.norm_tokens(tokens))
        found = found + self.depth(found)  # no residual from the incoming query
        found = found + self.depth(self.perceptron(self.norm_found(found)))
        scores = scores + self.depth(scores)
        scores = scores + self.depth(self.norm_scores(scores))
        maps = self.aggregation(scores.unflatten(3, feature.shape[2:]))
        return maps, self.following(found.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Interaction(nn.Module):
    """Maps decoder maps at 1/4 and 1/2 of the crop's sides to a map M of every class at full size, M >= 0.

    widths, sides: channels and sides of the two decoder maps; a norm over all voxels of a map fixes its sides.
    """

    def __init__(
        self,
        widths: Sequence[int],
        sides: Sequence[Sequence[int]],
        classes: int,
        prototypes: int,
        form: str = "sa_ci_cr",
    ) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.zeros(1, classes, prototypes, widths[0]))
        self.levels = nn.ModuleList(
            Level(width, widths[-1], size, classes, prototypes, form) for width, size in zip(widths, sides, strict=True)
        )
        self.up = nn.ConvTranspose3d(classes, classes, 2, stride=2)
        initialise(self, "kaiming")

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """M ``[b k z y x]`` of the two maps ``[b f z y x]``, the coarser one first."""
        query = self.prototypes.expand(len(maps[0]), -1, -1, -1)
        for level, feature in zip(self.levels, maps, strict=True):
            found, query = level(feature, query)
        full: Tensor = self.up(found)
        return full.relu()

    def official_modules(self) -> dict[str, str]:
        """The names of the source; ``prototypes`` itself is ``class_prototype`` there."""
        pair, spatial = "pairwise_interaction.{}.", "attn_convs0.{}.block."
        names = {
            "projection": "proj_layers.{}",
            "norm": "norm_layers.{}",
            "norm_tokens": pair + "norm1",
            "norm_query": pair + "norm1_query",
            "attention.query": pair + "attn.fc_q",
            "attention.key_value": pair + "attn.fc_kv",
            "attention.projection": pair + "attn.proj",
            "norm_found": pair + "norm2",
            "perceptron.0": pair + "mlp.fc1",
            "perceptron.2": pair + "mlp.fc2",
            "norm_scores": pair + "norm3",
            "aggregation.spatial.0": spatial + "depthwise",
            "aggregation.spatial.1": spatial + "bn_depth",
            "aggregation.spatial.3": spatial + "pointwise",
            "aggregation.spatial.4": spatial + "bn_point",
            "aggregation.integration": "attn_convs1.{}",
            "following": "query_convs.{}",
        }
        found = {
            f"levels.{number}.{ours}": official.format(number)
            for ours, official in names.items()
            for number in range(len(self.levels))
        }
        return {**found, "up": "block_1.conv.0"}
