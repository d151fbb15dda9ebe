"""Learning rate that rises in the first epochs and then falls, as a function of the epoch; plain numbers, no torch."""

from semiseg.blocks.ramps import poly

FIRST = 0.01  # fraction of the base rate in epoch 0


def warm_poly(base: float, epoch: int, epochs: int, warm: int, power: float = 0.9) -> float:
    """Rate of an epoch from 0: a hundredth of the base, on a line to the base at epoch ``warm``, then polynomial.

    Source: hsiangyuzhao/RCPS: utils/iteration/iterator.py PolynomialLRWithWarmUp.
    """
    if epoch < warm:
        return base * (FIRST + (1 - FIRST) * epoch / warm)
    return poly(base, epoch - warm, epochs - warm, power)
