"""What a survey hands on."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from galadapt.config.image import Image
from galadapt.core.errors import DataError
from galadapt.sky import open_mosaic
from galadapt.surveys.field import CATALOGUE, FITTED, Field, read_catalogue, tangent_wcs


@pytest.fixture
def field(tmp_path):
    names = ("drz.fits", "wht.fits", "catalogue.parquet", "truth.parquet")
    return Field(*(tmp_path / name for name in names))


def test_images_are_written_in_bands(field):
    rng = np.random.default_rng(1)
    data, weight = rng.normal(size=(2, 90, 80)).astype("f4")
    weight = np.full_like(weight, 1.0)
    bands = [(data[:64], weight[:64]), (data[64:], weight[64:])]
    wcs = tangent_wcs(data.shape, 0.06)
    field.write_images(data.shape, wcs, Image(), 100.0, "a test", bands)
    with open_mosaic(field.drz, field.wht) as mosaic:
        np.testing.assert_array_equal(mosaic.read()[0], data)
        assert (mosaic.zero_point, mosaic.unit, mosaic.exposure_time) == (25.9463, "e-/s", 100.0)
        assert mosaic.pixel_scale == pytest.approx(0.06)
        np.testing.assert_allclose(mosaic.sky(39.5, 44.5), (150.1, 2.3))


def test_catalogues_keep_every_digit_and_their_units(field):
    given = pd.DataFrame({"id": [7, 9], "flag": [0, 3], "magnitude": [1 / 3, 22.0], "x": 1.0})
    field.write_tables(given, given, "two objects", {"code": "abc"})
    table = read_catalogue(field.catalogue)
    assert table.columns.tolist() == list(CATALOGUE)
    assert table["id"].tolist() == [7, 9]
    assert table["magnitude"].iloc[0] == 1 / 3
    # What has no fit has no values; what is not known is NaN.
    assert table[list(FITTED)].iloc[1].isna().all()
    assert table["sn"].isna().all()
    known = json.loads(pq.read_schema(field.catalogue).metadata[b"PANDAS_ATTRS"])
    assert (known["units"]["effective_radius"], known["about"]) == ("arcsec", "two objects")
    assert known["provenance"] == {"code": "abc"}


def test_catalogues_of_something_else_are_refused(field):
    with pytest.raises(DataError, match="no such file; rerun the stage that writes it"):
        read_catalogue(field.catalogue)
    field.catalogue.write_bytes(b"no Parquet")
    with pytest.raises(DataError, match="not a readable table"):
        read_catalogue(field.catalogue)
