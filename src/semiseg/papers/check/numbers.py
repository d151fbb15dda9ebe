"""Printed numbers: their last digit, and whether two of them can be the same number.

Everything is compared in decimal arithmetic, as printed: 20.26 cut off to one digit is 20.2, rounded it is 20.3.
"""

from decimal import Decimal
from typing import Literal

from semiseg.base.metric_names import LOWER_IS_BETTER

Likeness = Literal["equal", "rounded", "cut off", "different"]


def step(text: str) -> Decimal:
    """One unit of the last printed digit: 0.01 for ``20.26``."""
    return Decimal(1).scaleb(int(Decimal(text).as_tuple().exponent))


def likeness(one: str, other: str) -> Likeness:
    """How two prints of a number relate: equal as far as both go, rounded or cut off from the longer one, different."""
    short, long = sorted((one, other), key=step, reverse=True)
    if Decimal(short) == Decimal(long):
        return "equal"
    unit, beyond = step(short), Decimal(long) - Decimal(short)
    if step(long) == unit:
        return "different"
    if abs(beyond) <= unit / 2:
        return "rounded"
    return "cut off" if 0 <= beyond < unit else "different"


def gain(column: str, of: str, against: str) -> Decimal:
    """By how much ``of`` is better than ``against``: their difference, turned round for distances."""
    difference = Decimal(of) - Decimal(against)
    return -difference if column in LOWER_IS_BETTER else difference


def signed(difference: Decimal) -> str:
    """A difference with its sign; 0 has none."""
    return f"{difference:+}" if difference else "0"
