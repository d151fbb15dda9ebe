"""The centre crop of the validation of the DHC family."""

import pytest

from semiseg.learning.validation import centre_start


@pytest.mark.parametrize(
    ("side", "start"),
    [(80, 8), (81, 8), (83, 10), (85, 10), (87, 12), (64, 0), (65, 0)],  # halves 8.5, 9.5, 10.5, 11.5, 0.5
)
def test_halves_are_rounded_to_the_even_number(side, start):
    """As Python's round in xmed-lab/DHC: code/data/transforms.py; rounding down would give 8, 8, 9, 10, 11, 0, 0."""
    assert centre_start((side, 160, 160), (64, 128, 128)) == [start, 16, 16]
