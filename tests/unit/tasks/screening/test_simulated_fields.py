"""Simulated fields: the class is that of the flagged area, in whatever order they are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import median_abs_deviation

from galadapt.config.base import Interval
from galadapt.core.errors import RunError
from galadapt.stamps.format import StampSet
from galadapt.tasks.screening.classes import obs_class_of_fraction
from galadapt.tasks.screening.moments import moments
from galadapt.tasks.screening.settings import (
    KINDS,
    Defect,
    FieldDefects,
    FieldSplit,
    SimulatedFields,
    SourceCounts,
)
from galadapt.tasks.screening.simulate import simulate_field, simulate_fields, wanted_classes

EVEN = [1 / 6] * 6


def _settings(n: int = 36, **changes: Any) -> SimulatedFields:
    values = {
        "train": FieldSplit(n=n, shares=EVEN),
        "validation": FieldSplit(n=6, shares=EVEN),
        "test": FieldSplit(n=6, shares=EVEN),
        "binning": 8,
    }
    return SimulatedFields(**(values | changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> StampSet:
    path = tmp_path_factory.mktemp("fields") / "stamps.h5"
    simulate_fields(_settings(), 5, path, {"made": "here"})
    return StampSet(path)


def test_the_stamp_set_is_complete(made: StampSet) -> None:
    table = made.table
    assert made.has_masks
    assert made.unit == "count/s"
    assert made.metadata["zero_point"] is None
    assert made.metadata["classes"] == ["0", "1", "2", "3", "4", "5"]
    assert made.metadata["pixel_scale"] == 32.0
    assert made.metadata["domain"] == "simulated"
    assert (len(made), made.side) == (48, 81)
    assert table["group"].is_unique
    assert table["id"].tolist() == list(range(48))
    assert table["split"].value_counts().to_dict() == {"train": 36, "validation": 6, "test": 6}


def test_the_class_follows_from_the_mask(made: StampSet) -> None:
    table, rows = made.table, np.arange(len(made))
    masks, images = made.masks(rows), made.images(rows)
    exposed = np.rint(table["exposed_fraction"].to_numpy() * made.side**2)
    share = masks.sum(axis=(1, 2)) / exposed
    assert share == pytest.approx(table["masked_fraction"].to_numpy(), abs=1e-6)
    assert obs_class_of_fraction(share).astype(str).tolist() == table["label"].tolist()
    assert table["label"].value_counts().to_dict() == dict.fromkeys("012345", 8)
    assert ((table["defects"] == "") == (table["label"] == "0")).all()
    # Nothing is flagged where nothing is exposed: chips see particles everywhere.
    assert (images[masks] > 0).mean() > 0.9
    found = [moments(image)["std"] for image in images]
    assert found == pytest.approx(table["std"].tolist(), rel=1e-4)
    totals = images.sum(axis=(1, 2)) * table["exposure"].to_numpy()
    assert totals == pytest.approx(table["counts"].to_numpy(), rel=1e-4)


def test_same_bytes_for_any_number_of_processes_and_any_company(tmp_path: Path) -> None:
    settings = _settings(n=60)
    for processes in (1, 2):
        simulate_fields(settings, 3, tmp_path / f"{processes}.h5", {}, processes)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()
    _, classes = wanted_classes(settings, 3)
    with StampSet(tmp_path / "1.h5") as stamps:
        alone = simulate_field(settings, 3, 40, int(classes[40]))
        assert np.array_equal(stamps.images(np.array([40]))[0], alone.image)
        assert np.array_equal(stamps.masks(np.array([40]))[0], alone.mask)
    other = simulate_field(settings, 4, 40, int(classes[40]))
    assert not np.array_equal(other.image, alone.image)


def test_shares_are_rounded_fairly() -> None:
    shares = [0.39, 0.31, 0.14, 0.107, 0.05, 0.003]
    splits, classes = wanted_classes(_settings(train=FieldSplit(n=997, shares=shares)), 1)
    counts = np.bincount(classes[splits == "train"], minlength=6)
    assert counts.sum() == 997
    assert np.abs(counts - 997 * np.array(shares)).max() < 1
    # Shuffled, so that a part of the list is like the whole.
    assert (classes[:300] == 0).sum() == pytest.approx(117, abs=30)


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_defect_brightens_what_it_flags(kind: str) -> None:
    number = KINDS[kind][-1]
    # The other kinds must not be impossible, only never drawn.
    kinds = {name: Defect(share=1e-12, strength=Interval(low=1, high=2)) for name in KINDS}
    kinds[kind] = Defect(share=1, strength=Interval(low=4, high=5))
    settings = _settings(
        binning=4,
        defects=FieldDefects(second=0, **kinds),
        sources=SourceCounts(target=0, density=1.0),
        diffuse={"probability": 0.0},
    )
    ratios = []
    for index in range(6):
        field = simulate_field(settings, 9, index, number)
        assert field.row["defects"] == kind
        assert field.row["label"] == str(number)
        clean = simulate_field(settings, 9, index, 0).image
        normal = np.median(clean[clean > 0])
        ratios.append(np.percentile(field.image[field.mask], 80) / normal)
    assert np.median(ratios) > 2


def test_a_bright_unflagged_target_is_not_read_out_in_full_frame() -> None:
    bright = SourceCounts(target=1, target_rate=Interval(low=4, high=5))
    for index in range(5):
        good = simulate_field(_settings(sources=bright, window=0), 2, index, 0)
        assert "pn:large" in good.row["mode"]
        assert good.row["masked_fraction"] == 0
    streaks = [simulate_field(_settings(), 2, k, 2).row for k in range(30)]
    streaked = [row for row in streaks if "streak" in row["defects"]]
    assert streaked
    assert all("pn:full" in row["mode"] for row in streaked)


@pytest.mark.parametrize("camera", ["pn", "mos1", "mos2"])
def test_single_cameras(camera: str) -> None:
    settings = _settings(camera=camera, coordinates="detector", outside=True)
    for number in range(6):
        field = simulate_field(settings, 1, number, number)
        assert field.row["label"] == str(number)
        assert field.row["mode"].startswith(f"{camera}:")
        if camera != "pn":
            assert "streak" not in field.row["defects"]
    # The corners hold particles, but are no part of the field.
    y, x = np.indices(field.image.shape) - 40
    corner = (np.hypot(x, y) * 32 / 60 > 16.5) & (np.abs(x) < 36) & (np.abs(y) < 36)
    assert field.image[corner].any()
    assert not field.mask[corner].any()


def test_a_field_too_small_for_a_class_says_what_it_is() -> None:
    """100 px cannot have a flagged share below .1 % and above 0."""
    settings = _settings(camera="pn", window=1.0)
    labels = [simulate_field(settings, 1, k, 1).row for k in range(8)]
    assert all(
        row["label"] == str(int(obs_class_of_fraction(row["masked_fraction"]))) for row in labels
    )


def test_deeper_exposures_are_the_same_sky_with_less_noise() -> None:
    rates, scatter = [], []
    for exposure in ((5e3, 5.01e3), (5e5, 5.01e5)):
        settings = _settings(exposure=list(exposure), sources=SourceCounts(target=0))
        images = np.stack([simulate_field(settings, 1, k, 0).image for k in range(6)])
        middle = images[:, 25:55, 25:55]
        rates.append(np.median(middle, axis=(1, 2)))
        scatter.append(np.median(median_abs_deviation(middle, axis=(1, 2))))
    assert rates[0] == pytest.approx(rates[1], rel=0.2)
    assert scatter[0] > 1.5 * scatter[1]


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"shares add up to 0\.9, not 1"):
        FieldSplit(n=5, shares=[0.9, 0, 0, 0, 0, 0])
    with pytest.raises(ValidationError, match="at least 6 items"):
        FieldSplit(n=5, shares=[1.0])
    with pytest.raises(ValidationError, match="detector needs one camera"):
        _settings(coordinates="detector")
    with pytest.raises(ValidationError, match="give one a number"):
        empty = FieldSplit(n=0, shares=EVEN)
        SimulatedFields(train=empty, validation=empty, test=empty)
    with pytest.raises(ValidationError, match="low 0 must be positive"):
        _settings(exposure=[0, 100])
    with pytest.raises(ValidationError, match="must increase in this order"):
        SourceCounts(faint_flux=1e-13)
    nothing = Defect(share=0, strength=Interval(low=1, high=2))
    with pytest.raises(ValidationError, match="no defect is left for class 1 in camera sum"):
        _settings(defects=FieldDefects(hot_pixels=nothing))
    streaks = FieldDefects(hot_column=nothing)
    with pytest.raises(ValidationError, match="class 2 in camera mos1; give one of hot_column"):
        _settings(defects=streaks, camera="mos1")
    # Wings leave no second defect where only streaks could be one.
    kept = _settings(defects=streaks.model_copy(update={"second": 1.0}))
    found = [simulate_field(kept, 1, k, 3).row["defects"].split() for k in range(40)]
    assert ["wings"] in found


def test_nothing_half_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(RunError, match=r"cannot be written, as .*file is no folder; move it away"):
        simulate_fields(_settings(n=6), 1, blocked / "stamps.h5", {})
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_columns_are_stored(made: StampSet) -> None:
    with h5py.File(made.paths[0]) as file:
        assert set(file["table"]) >= {
            "label", "group", "exposure", "camera", "mode", "masked_fraction", "exposed_fraction",
            "defects", "counts", "std", "skewness", "kurtosis",
        }  # fmt: skip
