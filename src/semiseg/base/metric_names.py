"""The metrics: their keys in parameters and score tables, and their names in print."""

from collections.abc import Mapping
from typing import Literal

Metric = Literal["dice", "jaccard", "asd", "hd95"]

METRICS: Mapping[Metric, str] = {"dice": "Dice", "jaccard": "Jaccard", "asd": "ASD", "hd95": "95HD"}
LOWER_IS_BETTER = frozenset({"ASD", "95HD"})  # distances, by their names in print
