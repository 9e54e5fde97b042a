from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from class_runs import GROUPING, STARS, fabricate_class_run
from comparing import compared
from matplotlib.image import imread

from galadapt.answers.classes.figures import errors_by_class, quality
from galadapt.answers.classes.settings import ClassEvaluation
from galadapt.answers.figures import Compared, comparison_figures, run_figures
from galadapt.answers.published import read_published
from galadapt.core.errors import ConfigError, DataError
from galadapt.report.data import class_contact_sheet, class_counts, data_figures, moments
from galadapt.stamps.format import write_stamps
from galadapt.tasks.registry import task

RUN = ("confusion", "roc", "scores", "learning")
DATA = ("counts", "moments", "contact_sheet")


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def ink(path):
    """Share of pixels that are not white."""
    return float((imread(path)[..., :3].min(axis=2) < 0.95).mean())


def draw_run(folder, outputs):
    run_figures(
        folder / "run.json", folder / "predictions.parquet", folder / "history.csv", outputs
    )


def write_set(path, labels, domain="simulated", names=STARS, **columns):
    count = len(labels)
    table = pd.DataFrame(
        {
            "id": np.arange(count),
            "split": np.resize(["train", "validation", "test"], count),
            "label": labels,
            "group": [f"g{k}" for k in range(count)],
            **columns,
        }
    )
    metadata = {
        "pixel_scale": 0.58,
        "zero_point": None,
        "band": "V",
        "domain": domain,
        "classes": list(names),
    }
    images = np.random.default_rng(2).normal(0, 1, (count, 16, 16)).astype(np.float32)
    images[:, 5:10, 5:10] += 20
    write_stamps(path, [images], table, metadata)
    return path


@pytest.mark.parametrize(("task", "method"), [("stars", "network_a"), ("screening", "ordinal")])
def test_run_figures_repeat_byte_for_byte(tmp_path, task, method):
    folder = fabricate_class_run(tmp_path / "run", task, method=method)
    first = [tmp_path / "a" / f"{name}.png" for name in RUN]
    second = [tmp_path / "b" / f"{name}.png" for name in RUN]
    draw_run(folder, first)
    draw_run(folder, second)
    for one, other in zip(first, second, strict=True):
        assert ink(one) > 0.01
        assert one.read_bytes() == other.read_bytes()


def test_a_changed_prediction_changes_roc_and_scores(tmp_path):
    folder = fabricate_class_run(tmp_path / "run", "screening", method="kernel3")
    outputs = [tmp_path / f"{name}.png" for name in ("roc", "scores")]
    draw_run(folder, outputs)
    before = [path.read_bytes() for path in outputs]
    path = folder / "predictions.parquet"
    table = pd.read_parquet(path)
    table[["p_good", "p_bad"]] = table[["p_bad", "p_good"]].to_numpy()
    table.to_parquet(path, index=False)
    draw_run(folder, outputs)
    assert all(old != path.read_bytes() for old, path in zip(before, outputs, strict=True))


def test_failed_and_unlabelled_rows_do_not_break_a_figure(tmp_path):
    folder = fabricate_class_run(tmp_path / "run", domains=("simulated", "survey"))
    path = folder / "predictions.parquet"
    table = pd.read_parquet(path)
    table.loc[table["domain"] == "survey", "label_true"] = ""
    table.loc[:3, "p_comet"] = np.nan
    table.to_parquet(path, index=False)
    outputs = [tmp_path / f"{name}.png" for name in ("roc", "scores")]
    draw_run(folder, outputs)
    assert all(ink(output) > 0.01 for output in outputs)


@pytest.fixture
def tables(tmp_path):
    evaluation = ClassEvaluation(bootstrap=50, grouping=GROUPING)
    runs = [
        fabricate_class_run(
            tmp_path / variant / method, "screening", variant, method, 1, evaluation=evaluation
        )
        for variant, method in (("none", "kernel3"), ("minmax_sqrt", "ordinal"))
    ]
    paths = compared(runs, tmp_path, "screening")
    return paths["comparison"], paths["breakdown"]


def of_runs(tables):
    words = task("screening").words
    return Compared({"kind": "classes"}, *tables, read_published(words.published), words.work)


def draw_comparison(tables, outputs):
    comparison_figures(of_runs(tables), outputs)


def test_comparison_figures_repeat_and_show_a_changed_figure(tables, tmp_path):
    outputs = [tmp_path / "figures" / f"{name}.png" for name in ("quality", "errors")]
    draw_comparison(tables, outputs)
    before = [path.read_bytes() for path in outputs]
    assert all(ink(path) > 0.01 for path in outputs)
    draw_comparison(tables, outputs)
    assert before == [path.read_bytes() for path in outputs]
    for path in tables:
        table = pd.read_csv(path)
        table["mean"] = 0.7 * table["mean"]
        table.to_csv(path, index=False)
    draw_comparison(tables, outputs)
    assert all(old != path.read_bytes() for old, path in zip(before, outputs, strict=True))


def test_groups_shared_between_splits_are_marked(tables, tmp_path):
    output = tmp_path / "quality.png"
    quality(of_runs(tables), output)
    before = output.read_bytes()
    table = pd.read_csv(tables[0])
    table.loc[table["metric"] == "shared_groups", "mean"] = 3
    table.to_csv(tables[0], index=False)
    quality(of_runs(tables), output)
    assert output.read_bytes() != before


def test_data_figures_of_two_domains_and_unlabelled_stamps(tmp_path):
    rng = np.random.default_rng(1)

    def drawn(count):
        values = 10 ** rng.normal(0, 0.5, (3, count))
        values[2, 0] = -1.0
        return dict(zip(("std", "skewness", "kurtosis"), values, strict=True))

    labels = ["circular"] * 20 + ["comet"] * 5 + ["donut"]
    first = write_set(tmp_path / "a.h5", labels, **drawn(26))
    second = write_set(tmp_path / "b.h5", ["comet", ""], "survey", **drawn(2))
    outputs = [tmp_path / f"{name}.png" for name in DATA]
    stamps = {"simulated": [first], "survey": [second]}
    data_figures(stamps, {}, outputs)
    before = [path.read_bytes() for path in outputs]
    assert all(ink(path) > 0.01 for path in outputs)
    data_figures(stamps, {}, outputs)
    assert before == [path.read_bytes() for path in outputs]


def test_a_contact_sheet_has_one_row_per_class_that_occurs(tmp_path):
    heights = []
    for name, labels in (("two", ["circular", "comet"]), ("one", ["circular", "circular"])):
        path = write_set(tmp_path / f"{name}.h5", labels)
        class_contact_sheet({"simulated": [path]}, tmp_path / f"{name}.png")
        heights.append(imread(tmp_path / f"{name}.png").shape[0])
    assert heights[0] == 2 * heights[1]


def test_figures_that_cannot_be_drawn_say_why(tables, tmp_path):
    folder = fabricate_class_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="no figure is called 'pie'; known: confusion, roc"):
        draw_run(folder, [tmp_path / "pie.png"])
    with pytest.raises(ConfigError, match="no figure is called 'pie'; known: quality, errors"):
        draw_comparison(tables, [tmp_path / "pie.png"])
    with pytest.raises(ConfigError, match="no figure is called 'pie'; known: parameters, stamps"):
        data_figures({}, {}, [tmp_path / "pie.png"])
    with pytest.raises(DataError, match="no stamp set to draw"):
        class_counts({}, tmp_path / "counts.png")
    path = write_set(tmp_path / "a.h5", ["comet"])
    with pytest.raises(DataError, match=r"a\.h5: lacks the columns 'std', 'skewness', 'kurtosis'"):
        moments({"simulated": [path]}, tmp_path / "moments.png")
    with pytest.raises(DataError, match=r"breakdown\.csv: lacks the column.*domain"):
        pd.DataFrame({"task": ["stars"]}).to_csv(tables[1], index=False)
        errors_by_class(of_runs(tables), tmp_path / "errors.png")
    assert not list(tmp_path.glob("*.png"))
