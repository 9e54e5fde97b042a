"""Names and addresses of products."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table

from galadapt.cli import main
from galadapt.core.errors import DataError
from galadapt.sky.archives import read_archives
from galadapt.stamps.format import StampSet
from galadapt.tasks.screening.files import read_fields
from galadapt.tasks.screening.products import image_name, image_urls, list_observations
from galadapt.tasks.screening.settings import FieldFiles, FieldSplits, TableFile


def test_names_follow_the_handbook() -> None:
    assert image_name("0505720401") == "P0505720401EPX000OIMAGE8000.FTZ"
    with pytest.raises(DataError, match="must have 10 digits"):
        image_name("505720401")


def test_addresses_lead_to_the_name() -> None:
    first, second = image_urls("0505720401")
    assert first.endswith("/0505720401/PPS/P0505720401EPX000OIMAGE8000.FTZ")
    assert "obsno=0505720401&level=PPS&name=EPX000OIMAGE8000&extension=FTZ" in second


def test_the_observation_list_can_be_fetched(repository: Path) -> None:
    entry = read_archives(repository / "config" / "archives.yaml").files["4xmm-dr9-observations"]
    assert not entry.checked
    assert entry.urls[0].endswith(entry.file)


def _observations(path: Path, **columns: list) -> Path:  # type: ignore[type-arg]
    Table(columns).write(path, format="fits", overwrite=True)
    return path


def test_a_fetched_sample_becomes_a_survey(tmp_path: Path) -> None:
    """From the list of observations and a folder of products to the stamp set."""
    images = tmp_path / "images"
    images.mkdir()
    numbers = ["0000000101", "0000000201", "0000000301"]
    header = fits.Header({"EXPOSURE": 2000.0, "CDELT1": 320.0, "CDELT2": 320.0})
    header["CTYPE1"], header["CTYPE2"] = "X", "Y"
    for number in numbers[:2]:
        name = images / image_name(number)
        fits.PrimaryHDU(np.ones((162, 162), np.int16), header).writeto(tmp_path / "a.fits.gz")
        (tmp_path / "a.fits.gz").rename(name)
    listed = _observations(tmp_path / "list.fits", OBS_ID=numbers, OBS_CLASS=[0, 4, 1])
    out = [str(tmp_path / name) for name in ("fields.csv", "missing.csv")]
    options = ["--images", str(images), "-o", out[0], "--missing", out[1]]
    assert main(["observations", str(listed), *options]) == 0
    missing = pd.read_csv(out[1], dtype=str)
    assert missing["group"].tolist() == numbers[2:]
    assert missing["image"].tolist() == [str(images / image_name(numbers[2]))]
    assert missing[["address", "other_address"]].to_numpy().tolist() == [image_urls(numbers[2])]
    files = FieldFiles(table=TableFile(path=str(tmp_path / "fields.csv")))
    out = tmp_path / "o.h5"
    read_fields(files, 162, 16.0, FieldSplits(), 1, out, tmp_path / "r.csv", {})
    with StampSet(out) as stamps:
        assert stamps.table["label"].tolist() == ["0", "4"]
        assert stamps.table["group"].tolist() == numbers[:2]
        assert stamps.table["counts"].tolist() == [162**2] * 2


def test_broken_observation_lists(tmp_path: Path) -> None:
    out = tmp_path / "fields.csv"
    with pytest.raises(DataError, match="fetch it with galadapt download 4xmm-dr9-observations"):
        list_observations(tmp_path / "no.fits", tmp_path, out)
    (tmp_path / "text.fits").write_text("<html>")
    with pytest.raises(DataError, match="is a web page, not a table"):
        list_observations(tmp_path / "text.fits", tmp_path, out)
    sources = _observations(tmp_path / "s.fits", OBS_ID=["0000000101"], SRCID=[1])
    with pytest.raises(DataError, match="lacks the column 'OBS_CLASS'"):
        list_observations(sources, tmp_path, out)
    listed = _observations(tmp_path / "l.fits", OBS_ID=["0000000101"], OBS_CLASS=[1])
    with pytest.raises(DataError, match="has no image of the 1 observations"):
        list_observations(listed, tmp_path, out)
    assert not out.exists()
