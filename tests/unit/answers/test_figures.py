from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from comparing import compared
from matplotlib.image import imread

from galadapt.answers.figures import Compared, run_figures
from galadapt.answers.numbers import figures as runs
from galadapt.answers.published import read_published
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.quantity import SERSIC
from galadapt.report import data
from galadapt.stamps.format import write_stamps
from galadapt.tasks.registry import task

RECORD = {"kind": "numbers", "quantities": [quantity.to_dict() for quantity in SERSIC]}
NAMES = ("scatter", "distributions", "residuals", "learning")


def draw_run(folder, outputs):
    run_figures(
        folder / "run.json", folder / "predictions.parquet", folder / "history.csv", outputs
    )


def of_runs(tables):
    words = task("galaxies").words
    published = read_published(words.published)
    return Compared(RECORD, tables["comparison"], tables["breakdown"], published, words.work)


def assert_content(path):
    """Refuse an image that is empty: at least 1 % of its pixels are not white."""
    image = imread(path)
    assert (image[..., :3].min(axis=2) < 0.95).mean() > 0.01


@pytest.fixture
def tables(tmp_path, all_runs):
    return compared(all_runs, tmp_path)


@pytest.fixture
def stamp_sets(tmp_path):
    rng = np.random.default_rng(4)
    paths = []
    for domain in ("simulated", "survey"):
        count = 20
        table = pd.DataFrame(
            {
                "id": np.arange(count),
                "split": "test",
                "magnitude": rng.uniform(18, 23, count),
                "effective_radius": rng.uniform(2, 9, count),
                "sersic_index": rng.uniform(0.5, 4, count),
                "ellipticity": rng.uniform(0, 0.8, count),
            }
        )
        path = tmp_path / f"{domain}.h5"
        metadata = {"pixel_scale": 0.06, "zero_point": 25.9, "band": "F160W", "domain": domain}
        images = rng.normal(0, 0.005, (count, 16, 16)).astype(np.float32)
        images[:, 6:10, 6:10] += 0.1
        write_stamps(path, [images], table, metadata)
        paths.append(path)
    return paths


def test_run_figures_repeat_byte_for_byte(make_run, tmp_path):
    folder = make_run()
    first = [tmp_path / "a" / f"{name}.png" for name in NAMES]
    second = [tmp_path / "b" / f"{name}.png" for name in NAMES]
    draw_run(folder, first)
    draw_run(folder, second)
    for one, other in zip(first, second, strict=True):
        assert_content(one)
        assert one.read_bytes() == other.read_bytes()


def test_a_changed_prediction_changes_the_figure(make_run, tmp_path):
    folder = make_run()
    draw_run(folder, [tmp_path / "scatter.png"])
    before = imread(tmp_path / "scatter.png")
    table = pd.read_parquet(folder / "predictions.parquet")
    table["magnitude_predicted"] = 20.0
    table.to_parquet(folder / "predictions.parquet")
    draw_run(folder, [tmp_path / "scatter.png"])
    assert not np.array_equal(before, imread(tmp_path / "scatter.png"))


def test_a_run_without_survey_and_with_failures_is_still_drawn(make_run, tmp_path):
    folder = make_run()
    table = pd.read_parquet(folder / "predictions.parquet")
    table = table[table["domain"] == "simulated"]
    table.loc[table.index[:5], "sersic_index_predicted"] = np.nan
    table.loc[table.index[5:9], "sersic_index_predicted"] = -3.0
    table.to_parquet(folder / "predictions.parquet")
    outputs = [tmp_path / f"{name}.png" for name in NAMES]
    draw_run(folder, outputs)
    assert all(path.exists() for path in outputs)


def test_comparison_figures(tables, all_runs, tmp_path):
    first = {run.parent.name: run for run in all_runs if run.name == "seed1"}
    draw = {
        "r2.png": lambda out: runs.r2_by_method(of_runs(tables), out),
        "mag.png": lambda out: runs.scatter_by_magnitude(of_runs(tables), out),
        "survey.png": lambda out: runs.survey_scatter(
            {name: run / "predictions.parquet" for name, run in first.items()}, RECORD, out
        ),
    }
    for name, function in draw.items():
        function(tmp_path / name)
        function(tmp_path / f"again-{name}")
        assert_content(tmp_path / name)
        assert (tmp_path / name).read_bytes() == (tmp_path / f"again-{name}").read_bytes()


def test_data_figures(stamp_sets, tmp_path):
    simulated, survey = stamp_sets
    data.parameter_histograms([simulated], survey, tmp_path / "histograms.png")
    data.contact_sheet([simulated], survey, tmp_path / "stamps.png", {})
    assert_content(tmp_path / "histograms.png")
    assert_content(tmp_path / "stamps.png")


def test_bad_inputs_write_nothing(make_run, tables, tmp_path):
    folder = make_run()
    with pytest.raises(ConfigError, match="no figure is called 'pie'; known: scatter"):
        draw_run(folder, [tmp_path / "pie.png"])
    with pytest.raises(DataError, match=r"comparison\.csv: lacks the column.*level"):
        broken = {**tables, "breakdown": tables["comparison"]}
        runs.scatter_by_magnitude(of_runs(broken), tmp_path / "x.png")
    with pytest.raises(DataError, match="no predictions to draw"):
        runs.survey_scatter({}, RECORD, tmp_path / "x.png")
    (folder / "history.csv").write_text("epoch,loss\n")
    with pytest.raises(DataError, match=r"history\.csv: holds no epoch or no curve"):
        draw_run(folder, [tmp_path / "learning.png"])
    assert not list(tmp_path.glob("*.png"))
