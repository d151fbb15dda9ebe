"""Head that predicts from which place of a crop a cube was cut.

Source: DeepMed-Lab-ECNU/MagicNet: code/networks/magicnet.py FcLayer.
"""

from torch import Tensor, nn

from semiseg.base.errors import UserError

HIDDEN = 4096


class LocationHead(nn.Module):
    """Two linear layers with batch norm and leaky ReLU (0.2) between them.

    width: channels of the deepest encoder map; cube: side of a cube in voxels; divisor: voxels of the cube per voxel of
    that map, along an axis; positions: largest number of cubes of a crop. A crop with fewer cubes uses the first
    outputs only, as if the head had that size. Raises UserError for a cube whose deepest map is not at least 2 voxels
    wide.
    """

    def __init__(self, width: int, cube: int, divisor: int, positions: int) -> None:
        super().__init__()
        if cube % divisor or cube < 2 * divisor:
            raise UserError(f"cube_size must be a multiple of {divisor} and at least {2 * divisor}; found {cube}")
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(width * (cube // divisor) ** 3, HIDDEN),
            nn.BatchNorm1d(HIDDEN),
            nn.LeakyReLU(0.2),
            nn.Linear(HIDDEN, positions),
        )
        self.positions = positions

    def forward(self, deepest: Tensor) -> Tensor:
        """Scores ``[n n]`` of the n places for ALL n cubes of one crop, from their deepest maps ``[n c s s s]``.

        Raises UserError if the crop has more cubes than the head has outputs.
        """
        cubes = len(deepest)
        if cubes > self.positions:
            raise UserError(
                f"a crop of training.patch has {cubes} cubes, but the location head distinguishes {self.positions}: "
                f"set the method's parameter positions to {cubes}"
            )
        scores: Tensor = self.layers(deepest)
        return scores[:, :cubes]

    def official_modules(self) -> dict[str, str]:
        """The names of the source, whose list of layers begins after the flattening."""
        return {f"layers.{layer}": f"fc_layer.fc_layer.{layer - 1}" for layer in (1, 2, 4)}
