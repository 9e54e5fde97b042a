"""The CSV beside a figure holds what the figure shows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from galadapt.plots.style import drawing, heat_map, without_values
from galadapt.plots.values import COLUMNS


def drawn(tmp_path, draw) -> pd.DataFrame:
    with drawing(tmp_path / "figure.png", 1, 1, (3, 3)) as (_, axes):
        draw(axes[0, 0])
        axes[0, 0].set(title="a panel", xlabel="m [mag]", ylabel="R²")
    table = pd.read_csv(tmp_path / "figure.csv")
    assert list(table.columns) == COLUMNS
    assert set(table["panel"]) == {"a panel"}
    assert set(table["x_axis"]) == {"m [mag]"}
    return table


def test_error_bars_are_there_once_with_their_ends(tmp_path):
    table = drawn(
        tmp_path, lambda panel: panel.errorbar([1, 2], [3.0, 4.0], yerr=[0.5, 1.0], label="one")
    )
    assert table["series"].tolist() == ["one", "one"]
    assert table["y_low"].tolist() == [2.5, 3.0]
    assert table["y_high"].tolist() == [3.5, 5.0]
    assert table["x_low"].isna().all()


def test_an_undefined_value_has_no_error_bar(tmp_path):
    nan = float("nan")
    table = drawn(
        tmp_path, lambda panel: panel.errorbar([1, 2, 3], [3, nan, 5], yerr=[0.5, nan, 0.25])
    )
    assert table["y_high"].tolist()[::2] == [3.5, 5.25]
    assert np.isnan(table["y"][1])


def test_points_lines_and_bars_are_there(tmp_path):
    def draw(panel):
        panel.scatter([1.0], [2.0], label="points")
        panel.plot([0, 1], [5, 6], label="line")
        panel.bar([7], [8.0], label="bars")
        panel.axhline(0.123)

    table = drawn(tmp_path, draw).set_index("series")
    assert table.loc["points", ["x", "y"]].tolist() == [1, 2]
    assert table.loc["line", "y"].tolist() == [5, 6]
    assert table.loc["bars", ["x", "y"]].tolist() == [7, 8]
    # A line of reference across the panel is no result.
    assert 0.123 not in table["y"].tolist()


def test_categories_stand_by_their_names(tmp_path):
    def draw(panel):
        panel.errorbar([0.5], [1.1], xerr=[0.1], fmt="o")
        panel.set_yticks([0, 1], ["baseline", "transfer"])

    table = drawn(tmp_path, draw)
    assert table["y"].tolist() == ["transfer"]
    assert table["x_low"].tolist() == pytest.approx([0.4])


def test_a_heat_map_has_a_row_per_cell_with_a_value(tmp_path):
    def draw(panel):
        shares = np.array([[0.25, np.nan], [1.0, 0.5]])
        heat_map(panel, shares, [["25", ""], ["100", "50"]], ["cnn", "svm"], ["0", "5"])
        panel.tick_params(labelleft=False)

    table = drawn(tmp_path, draw).astype({"x": str})
    assert table[["series", "x", "y"]].to_numpy().tolist() == [
        ["cnn", "0", 0.25],
        ["svm", "0", 1.0],
        ["svm", "5", 0.5],
    ]
    assert set(table["y_axis"]) == {"share"}


def test_pictures_have_no_values_and_leave_no_older_ones(tmp_path):
    drawn(tmp_path, lambda panel: panel.plot([0, 1], [0, 1]))
    with drawing(tmp_path / "figure.png", 1, 1, (3, 3)) as (_, axes):
        axes[0, 0].imshow(np.zeros((3, 3)))
    assert not (tmp_path / "figure.csv").exists()


def test_figures_of_single_runs_have_their_tables_already(tmp_path):
    with without_values(), drawing(tmp_path / "figure.png", 1, 1, (3, 3)) as (_, axes):
        axes[0, 0].plot([0, 1], [0, 1])
    assert (tmp_path / "figure.png").is_file()
    assert not (tmp_path / "figure.csv").exists()
