"""SKCDF's published scores give the numbers in print under the scoring rule ``dhc``.

Typed from yinguanchun/SKCDF@12f807d0520e: Logs_Task_Synapse_20p/evaluation_res.txt: Dice in percent and ASD in voxels
of 13 organs, for each of three runs averaged over the six test cases, and for each case averaged over the runs.
"""

import pandas as pd
import pytest

from semiseg.dataset import get_dataset
from semiseg.papers.reading import printed
from semiseg.scoring.cases import COLUMNS
from semiseg.scoring.score import score

ORGANS = [organ.abbreviation for organ in get_dataset("btcv").organs]
VOXELS = 10_000  # of either mask, so that an overlap of 100 voxels is a Dice of 1 %
RUNS = {
    "fold 1": (
        [85.2, 73.7, 70.6, 57.5, 63.4, 93.6, 62.1, 84.9, 79.4, 42.7, 50.9, 46.6, 31.8],
        [0.8, 1.6, 2.3, 2.0, 0.7, 0.8, 2.5, 1.1, 0.8, 0.9, 1.6, 0.9, 1.7],
    ),
    "fold 2": (
        [82.9, 71.1, 70.8, 61.4, 58.8, 93.6, 61.9, 86.6, 80.3, 42.2, 53.6, 45.3, 44.7],
        [0.8, 1.7, 2.8, 2.9, 1.1, 1.3, 2.1, 0.5, 1.1, 0.9, 1.4, 1.9, 1.7],
    ),
    "fold 3": (
        [70.4, 71.7, 61.4, 60.5, 59.8, 92.8, 61.2, 84.8, 75.7, 40.5, 48.2, 47.3, 36.9],
        [0.8, 1.6, 1.8, 0.7, 0.8, 1.0, 3.0, 0.4, 1.1, 1.2, 3.3, 0.9, 1.9],
    ),
}
CASES = {
    "0008": (
        [79.14, 7.55, 6.46, 74.02, 19.67, 91.26, 49.99, 83.28, 82.98, 46.33, 54.54, 45.03, 45.12],
        [0.97, 6.79, 10.04, 0.52, 1.75, 0.58, 3.29, 1.33, 1.47, 0.71, 2.09, 2.75, 1.6],
    ),
    "0027": (
        [82.99, 81.71, 82.3, 67.5, 71.28, 94.33, 63.74, 90.77, 77.86, 41.86, 53.34, 52.91, 30.1],
        [0.81, 0.85, 0.9, 4.49, 0.53, 2.44, 1.81, 0.39, 1.1, 1.29, 2.31, 0.54, 1.8],
    ),
    "0029": (
        [67.64, 81.81, 67.67, 19.53, 76.07, 93.71, 56.15, 88.17, 80.76, 23.4, 27.06, 54.44, 42.02],
        [0.82, 0.5, 0.78, 3.51, 0.96, 0.85, 3.17, 0.61, 0.97, 0.79, 2.96, 1.11, 1.13],
    ),
    "0033": (
        [81.47, 85.23, 76.53, 66.14, 64.21, 92.84, 70.79, 79.67, 77.63, 44.07, 49.24, 44.87, 52.55],
        [1.15, 0.68, 0.89, 1.19, 0.85, 1.03, 2.08, 0.51, 0.97, 1.17, 1.83, 1.37, 1.09],
    ),
    "0037": (
        [73.97, 88.66, 86.18, 78.11, 57.36, 93.86, 44.97, 86.26, 79.9, 49.96, 55.6, 32.95, 14.12],
        [0.77, 0.54, 0.56, 0.72, 0.83, 0.62, 3.67, 0.73, 0.84, 1.16, 2.6, 0.73, 3.63],
    ),
    "0039": (
        [91.8, 87.8, 86.35, 53.45, 75.49, 94.1, 84.65, 84.49, 71.74, 45.26, 65.62, 48.12, 42.79],
        [0.48, 0.41, 0.71, 0.78, 0.39, 0.58, 1.07, 0.38, 0.87, 0.91, 0.75, 0.89, 1.37],
    ),
}


def score_table(cases):
    """A score table whose masks overlap and lie apart as the Dice and the ASD of each organ say."""
    lines = [
        {
            **dict.fromkeys(COLUMNS, 1.0), "case": case, "grid": "prepared", "organ": organ,
            "truth_voxels": VOXELS, "predicted_voxels": VOXELS, "overlap_voxels": round(100 * dice),
            "to_truth_mean_voxel": asd, "to_prediction_mean_voxel": 99.0,
        }
        for case, (every_dice, every_asd) in cases.items()
        for organ, dice, asd in zip(ORGANS, every_dice, every_asd, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(lines)[list(COLUMNS)]


@pytest.fixture(scope="module")
def in_print():
    block = printed("skcdf", "1", 4, 16)
    return block[block["row"] == "SKCDF"].set_index("column")


def test_three_runs_give_the_printed_means_and_their_population_deviation(in_print):
    runs = [score_table({"all": run}) for run in RUNS.values()]
    summary = score("dhc", runs)
    assert [round(score("dhc", [run]).means["dice"], 1) for run in runs] == [64.8, 65.6, 62.4]
    for metric, column, digits in (("dice", "Dice", 0.05), ("asd", "ASD", 0.05)):
        assert summary.means[metric] == pytest.approx(in_print.loc[column, "value"], abs=digits)
        assert summary.spreads[metric] == pytest.approx(in_print.loc[column, "spread"], abs=digits)
    assert summary.spread_over == "runs" and summary.unit == "voxel"


def test_the_cases_give_every_printed_number_of_the_row(in_print):
    summary = score("dhc", [score_table(CASES)])
    assert round(summary.means["dice"], 2) == in_print.loc["Dice", "value"] == 64.27
    assert round(summary.means["asd"], 2) == in_print.loc["ASD", "value"] == 1.45
    for organ in ORGANS:
        assert summary.organs.loc[organ, "dice"] == pytest.approx(in_print.loc[organ, "value"], abs=0.06)
    assert summary.cases == 6
