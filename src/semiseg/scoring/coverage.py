"""How often the interval of a mean holds the true mean: a simulation, and its results per number of cases and runs."""

from bisect import bisect_right
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semiseg.scoring.influence import Influence
from semiseg.scoring.intervals import limits

Array = NDArray[Any]
SEED = 20_260_101
LOSS, LOSS_SPREAD = 10.0, 0.45  # mean of 100 - Dice (percent), and the SD of its logarithm
NEAR_MISSES, NEARLY_MISSED = 0.08, (60.0, 80.0)  # share of cases that are nearly missed, and their Dice
RUN, CASE_IN_RUN = 0.5, 2.0  # SD of a run's mean, and of a case between runs, percent
CASES = (3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 60, 80, 120, 200)
RUNS = (1, 2, 3, 5)
# What ``simulate`` gives with 20,000 rows (`make properties` repeats it): per number of runs, and in the order of
# CASES, the coverage of scores as on the left atrium, and of such scores with near misses.
COVERAGE: dict[int, tuple[tuple[float, float], ...]] = {
    1: (
        (0.949, 0.930), (0.943, 0.912), (0.943, 0.903), (0.942, 0.900), (0.940, 0.900), (0.943, 0.906),
        (0.941, 0.902), (0.947, 0.908), (0.948, 0.913), (0.948, 0.921), (0.948, 0.935), (0.952, 0.943),
        (0.952, 0.946), (0.955, 0.955), (0.954, 0.958), (0.959, 0.960), (0.957, 0.961), (0.957, 0.959),
    ),
    2: (
        (0.972, 0.950), (0.964, 0.939), (0.963, 0.929), (0.963, 0.926), (0.963, 0.927), (0.964, 0.930),
        (0.963, 0.929), (0.963, 0.928), (0.962, 0.933), (0.962, 0.941), (0.961, 0.948), (0.962, 0.956),
        (0.963, 0.956), (0.964, 0.960), (0.955, 0.962), (0.953, 0.961), (0.950, 0.958), (0.934, 0.954),
    ),
    3: (
        (0.949, 0.917), (0.950, 0.912), (0.953, 0.908), (0.951, 0.914), (0.954, 0.913), (0.955, 0.913),
        (0.954, 0.915), (0.951, 0.916), (0.955, 0.924), (0.957, 0.931), (0.957, 0.939), (0.959, 0.945),
        (0.959, 0.952), (0.962, 0.958), (0.960, 0.959), (0.960, 0.961), (0.954, 0.960), (0.951, 0.958),
    ),
    5: (
        (0.931, 0.899), (0.934, 0.900), (0.940, 0.903), (0.941, 0.903), (0.945, 0.905), (0.945, 0.905),
        (0.947, 0.913), (0.947, 0.911), (0.951, 0.916), (0.957, 0.924), (0.956, 0.937), (0.955, 0.943),
        (0.958, 0.951), (0.960, 0.957), (0.960, 0.959), (0.958, 0.960), (0.958, 0.960), (0.957, 0.959),
    ),
}  # fmt: skip


def simulate(cases: int, runs: int, near_misses: float, rows: int) -> float:
    """Share of simulated rows whose 95 % interval holds the true mean. near_misses: share of cases nearly missed.

    Scores are as those of the left atrium: 100 - Dice is log-normal with mean 10 and an SD of the logarithm of 0.45, so
    that Dice has a mean of 90, an SD of 4.7 and a long tail on the left. Cases nearly missed have a Dice between 60 and
    80. Where there are several runs, each moves all its cases by a normal number of SD 0.5, and each of its cases by
    one of SD 2.
    """
    values, truth = draw(cases, runs, near_misses, rows)
    number = values.mean(axis=(0, 1))
    by_case, by_run = values.mean(axis=0) - number, values.mean(axis=1) - number
    if runs == 1:
        by_run = np.zeros_like(by_run)
    low, high = limits(Influence(number, by_case, by_run, np.full(rows, cases)))
    return float(np.mean((low <= truth) & (truth <= high)))


def draw(cases: int, runs: int, near_misses: float, rows: int) -> tuple[Array, float]:
    """Dice ``[run case row]`` of simulated rows, percent, and its true mean."""
    generator = np.random.default_rng((SEED, cases, runs, round(1000 * near_misses)))
    loss = LOSS * np.exp(LOSS_SPREAD * generator.standard_normal((cases, rows)) - LOSS_SPREAD**2 / 2)
    dice = np.where(
        generator.random((cases, rows)) < near_misses, generator.uniform(*NEARLY_MISSED, (cases, rows)), 100 - loss
    )
    values = np.repeat(dice[None], runs, axis=0)
    if runs > 1:
        values = values + RUN * generator.standard_normal((runs, 1, rows))
        values = values + CASE_IN_RUN * generator.standard_normal(values.shape)
    return values, (1 - near_misses) * (100 - LOSS) + near_misses * float(np.mean(NEARLY_MISSED))


def simulated(cases: int, runs: int) -> tuple[int, int, float, float]:
    """The simulated numbers of cases and runs next below those given, and the coverage without and with near misses.

    cases: at least three.
    """
    of_runs = RUNS[bisect_right(RUNS, runs) - 1]
    place = bisect_right(CASES, cases) - 1
    return CASES[place], of_runs, *COVERAGE[of_runs][place]
