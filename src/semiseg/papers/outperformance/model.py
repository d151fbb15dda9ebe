"""The probability that a claim is false, and the standard deviation over cases where print does not give it.

The model is that of Christodoulou et al., "False Promises in Medical Imaging AI? Assessing Validity of Outperformance
Claims" (arXiv 2505.04720), its formula for segmentation. docs/claims.md explains it.
"""

import functools
import math

import numpy as np
import pandas as pd

from semiseg import catalogue
from semiseg.base.metric_names import LOWER_IS_BETTER, METRICS
from semiseg.papers.check.prints import data
from semiseg.papers.reading import read_paper


def chance(margin: float, first: float, second: float, correlation: float, n: int) -> float:
    """Probability that the second method is as good as the first or better: t_(n-1)(-sqrt(n) margin / s).

    t_(n-1) is the distribution function of Student's t. s^2 = s1^2 + s2^2 - 2 r s1 s2 is the variance of the difference
    of the two methods on one test case.

    margin: by how much the first one's printed mean is better, in the column's unit. first, second: sample standard
    deviations s1 and s2 of single values (divisor n - 1). correlation: r of both methods' values. n: values behind
    each mean, at least 2. Without any spread it is 0, and 0.5 where the means are equal.
    """
    from scipy.special import stdtr  # here: scipy is slow to load

    variance = first**2 + second**2 - 2 * correlation * first * second
    if variance <= 0:
        return 0.5 if margin == 0 else 0.0
    return float(stdtr(n - 1, -math.sqrt(n) * margin / math.sqrt(variance)))


def sample(spread: float, n: int) -> float:
    """Sample standard deviation from a population one, whose divisor is n in place of n - 1."""
    return spread * math.sqrt(n / (n - 1))


def over_cases(spread: float, over: str, n: int) -> float | None:
    """Sample standard deviation over n cases that a printed spread implies; None where it is over something else.

    A spread of bootstrap means is that of single cases, divided by sqrt(n).
    """
    if over == "bootstrap":
        return sample(spread * math.sqrt(n), n)
    return sample(spread, n) if over == "cases" else None


def approximate(column: str, mean: float, n: int) -> float:
    """Sample standard deviation over n cases where print gives none, from the mean (percent, or a distance)."""
    factor = factors()["distance" if column in LOWER_IS_BETTER else "percent"]
    return sample(factor * _shape(column, mean), n)


@functools.cache
def factors() -> dict[str, float]:
    """Medians of standard deviation over ``_shape`` among the rows in print whose spread is one over cases."""
    ratios: dict[str, list[float]] = {"percent": [], "distance": []}
    for paper in catalogue.entries("published"):
        for line in _with_spread(paper).to_dict("records"):
            kind = "distance" if line["column"] in LOWER_IS_BETTER else "percent"
            n, shape = test_cases(paper, line["dataset"]), _shape(line["column"], line["value"])
            if n and shape > 0:
                ratios[kind].append(line["spread"] * math.sqrt(n) / shape)
    return {kind: float(np.median(values)) for kind, values in ratios.items()}


def test_cases(paper: str, dataset: str) -> int | None:
    """Test cases of a paper, as its text describes them; None where it does not."""
    return _counted(paper, dataset, "test")


def runs(paper: str, dataset: str) -> int | None:
    """Trainings behind each printed mean; None where the paper does not describe them."""
    return _counted(paper, dataset, "runs")


def _counted(paper: str, dataset: str, what: str) -> int | None:
    for line in data("counts"):
        if (line["paper"], line["dataset"]) == (paper, dataset) and line[what]:
            return int(line[what])
    return None


def _with_spread(paper: str) -> pd.DataFrame:
    """Means with a spread of bootstrap means; a row that stands in several tables counts once."""
    frame = read_paper(paper)
    known = frame[(frame["spread_over"] == "bootstrap") & frame["column"].isin(METRICS.values())]
    return known.drop_duplicates(["dataset", "column", "value", "spread"])


def _shape(column: str, mean: float) -> float:
    """How a deviation depends on the mean: none at 0 and 100 percent; of a distance, in proportion to it."""
    return mean if column in LOWER_IS_BETTER else math.sqrt(max(mean * (100 - mean), 0.0))
