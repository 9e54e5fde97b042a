from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.image import imread

from galadapt.core.errors import DataError
from galadapt.core.quantity import PARAMETERS
from galadapt.evaluation.families import Curve, Point
from galadapt.report.comparison import ablation


@pytest.fixture
def comparison(tmp_path):
    rows = [
        {
            "variant": "asinh",
            "method": method,
            "domain": domain,
            "item": name,
            "metric": "r2",
            "mean": mean,
            "std": 0.02,
        }
        for method, mean in (("baseline", -3.0), ("few", 0.6), ("all", 0.9))
        for domain in ("simulated", "survey")
        for name in PARAMETERS
    ]
    path = tmp_path / "comparison.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_ablation_curve(comparison, tmp_path):
    points = (Point("baseline", 0), Point("few", 100), Point("all", None))
    output = tmp_path / "ablation.png"

    def draw(points, available):
        ablation(comparison, [Curve("n_survey", points)], {"n_survey": available}, output)
        return output.read_bytes()

    first = draw(points, 1000)
    assert (imread(output)[..., :3].min(axis=2) < 0.95).mean() > 0.01
    assert draw(points, 1000) == first
    # Who is given more than there are has what there is.
    assert draw((*points[:2], Point("all", 5000)), 1000) == first
    assert draw(points, 2000) != first
    with pytest.raises(DataError, match="no methods that differ in a number of stamps only"):
        ablation(comparison, [], {}, output)
