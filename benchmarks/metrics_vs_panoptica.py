"""Fourteen organs of one case measured by semiseg and by panoptica, class by class: equal Dice, ASSD and HD95.

semiseg measures voxels, both directions and millimetres; panoptica is requested Dice, ASSD and HD95 in millimetres.
Costs are processor time, in seconds a case.
"""

import contextlib
import io
import sys
import time
from collections.abc import Callable

import numpy as np
from measuring import Row, alternate, is_installed, main

from semiseg.scoring.measurements import organ_scores

SHAPE, SPACING_MM, ORGANS, TOLERANCE = (96, 160, 160), (2.5, 1.25, 1.25), 14, 1e-4
NAME = "panoptica"


def build(shape: tuple[int, ...], organs: int) -> tuple[np.ndarray, np.ndarray]:
    """Balls of several sizes on a lattice, and the same a voxel aside, so that no organ touches another."""
    grid = np.ogrid[tuple(slice(side) for side in shape)]
    maps = np.zeros((2, *shape), np.uint8)
    places = [(i, j, k) for i in range(2) for j in range(3) for k in range(3)][:organs]
    for organ, place in enumerate(places, 1):
        cells = [side / count for side, count in zip(shape, (2, 3, 3), strict=True)]
        centre = [(index + 0.5) * cell for index, cell in zip(place, cells, strict=True)]
        radius = min(cells) * (0.25 + 0.01 * organ)
        for which in range(2):
            gaps = (axis - middle - which for axis, middle in zip(grid, centre, strict=True))
            maps[which][sum(gap**2 for gap in gaps) < radius**2] = organ
    return maps[0], maps[1]


def rows(tiny: bool) -> list[Row]:
    shape, organs = ((16, 24, 24), 2) if tiny else (SHAPE, ORGANS)
    truth, prediction = build(shape, organs)
    what = f"{organs} organs, voxels of 2.5 x 1.25 x 1.25 mm: s"

    def ours() -> list:
        return organ_scores(truth, prediction, range(1, organs + 1), np.diag(SPACING_MM))

    if not is_installed(NAME):
        return [Row(what, *alternate(ours, repeats=1 if tiny else 7, clock=time.process_time), None, NAME)]
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = evaluator(organs)

        def measure() -> list[tuple[float, float, float]]:
            return theirs(truth, prediction)

        for score, (dice, assd, hd95) in zip(ours(), measure(), strict=True):
            mm = score.mm
            mine = (
                2 * score.overlap_voxels / (score.truth_voxels + score.predicted_voxels),
                (mm.to_truth_mean + mm.to_prediction_mean) / 2,
                max(mm.to_truth_p95, mm.to_prediction_p95),
            )
            if not np.allclose(mine, (dice, assd, hd95), atol=TOLERANCE):
                sys.exit(f"Dice, ASSD, HD95 are {mine} and by panoptica {(dice, assd, hd95)}")
        costs = alternate(ours, measure, repeats=1 if tiny else 7, clock=time.process_time)
    return [Row(what, *costs, NAME)]


def evaluator(organs: int) -> Callable[[np.ndarray, np.ndarray], list[tuple[float, float, float]]]:
    """panoptica's evaluation of matched instances, one per organ."""
    import panoptica
    from panoptica.metrics import Metric
    from panoptica.utils.segmentation_class import LabelGroup, SegmentationClassGroups

    panoptica.disable_citation_reminder()
    groups = SegmentationClassGroups(
        {f"organ{organ}": LabelGroup([organ], single_instance=True) for organ in range(1, organs + 1)}
    )
    wanted = [Metric.DSC, Metric.ASSD, Metric.HD95]
    made = panoptica.Panoptica_Evaluator(
        panoptica.InputType.MATCHED_INSTANCE,
        segmentation_class_groups=groups,
        instance_metrics=wanted,
        global_metrics=[],
        decision_metric=Metric.DSC,
        decision_threshold=0.0,
    )

    def measure(truth: np.ndarray, prediction: np.ndarray) -> list[tuple[float, float, float]]:
        found = made.evaluate(prediction, truth, voxelspacing=SPACING_MM)
        results = [found[f"organ{organ}"] for organ in range(1, organs + 1)]
        return [(each.sq_dsc, each.sq_assd, each.sq_hd95) for each in results]

    return measure


if __name__ == "__main__":
    main(rows)
