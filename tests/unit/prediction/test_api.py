"""The public Python interface gives what the command line gives, from files and from objects."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table

import galadapt
from galadapt.cli import main, parser
from galadapt.prediction.measure import input_digest

LIST = pd.DataFrame(
    {
        "id": [1, 2],
        "magnitude": [20.5, 22.0],
        "effective_radius": [8.0, 4.5],
        "sersic_index": [1.0, 4.0],
        "ellipticity": [0.4, 0.1],
        "position_angle": [30.0, 0.0],
    }
)


@pytest.fixture(scope="module")
def from_files(package, sky) -> Table:
    return galadapt.measure(sky["image"], sky["catalog"], weight=sky["weight"], package=package)


def test_a_measurement_is_a_table_with_units_errors_flags_and_provenance(from_files, sky, package):
    assert len(from_files) == len(pd.read_csv(sky["catalog"]))
    assert from_files["effective_radius_arcsec"].unit == u.arcsec
    assert from_files["magnitude_err"].description.startswith("error of")
    assert np.isfinite(from_files["magnitude"]).sum() > 15
    assert from_files.meta["GA_MODEL"] == galadapt.load(package).name
    assert any("not measured" in str(value) for value in from_files.meta.values())


def test_tables_are_printed_with_digits_that_mean_something(from_files):
    names = ["id", "ra", "x", "magnitude", "magnitude_err", "chi2"]
    lines = from_files[names].pformat(show_unit=False)[2:]
    assert len(lines) == len(from_files)
    for line in lines:
        for word in line.split():
            assert word == "nan" or len(word.replace(".", "").lstrip("-0")) <= 10, line
    magnitude = from_files["magnitude"][np.isfinite(from_files["magnitude"])]
    assert (np.abs(magnitude - np.round(magnitude, 4)) > 1e-7).any()


def test_the_command_line_writes_the_same_numbers(from_files, package, sky, tmp_path):
    out = tmp_path / "out.fits"
    words = ["predict", "--model", str(package), "--images", str(sky["image"])]
    words += ["--weight", str(sky["weight"]), "--catalog", str(sky["catalog"]), "-o", str(out)]
    assert main(words) == 0
    written = Table.read(out)
    assert written.colnames == from_files.colnames
    for name in ("magnitude", "sersic_index", "flags"):
        np.testing.assert_array_equal(np.asarray(written[name]), np.asarray(from_files[name]))


def test_extensions_of_one_file_are_measured_like_files(from_files, package, sky, tmp_path):
    path = tmp_path / "all.fits"
    planes = [fits.getdata(sky[name], header=True) for name in ("image", "weight")]
    hdus = [fits.ImageHDU(*plane, name=name) for plane, name in zip(planes, "AB", strict=True)]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    table = galadapt.measure(f"{path}[A]", sky["catalog"], weight=f"{path}[2]", package=package)
    for name in ("magnitude", "effective_radius", "flags"):
        np.testing.assert_array_equal(table[name], from_files[name])
    with pytest.raises(galadapt.DataError, match=r"all\.fits: has no extension C"):
        galadapt.measure(f"{path}[A]", sky["catalog"], weight=f"{path}[C]", package=package)
    other, same = (input_digest(Path(f"{path}[{name}]")) for name in "AB")
    assert other != same == input_digest(Path(f"{path}[B]"))


def test_objects_are_measured_like_the_files_they_came_from(from_files, package, sky):
    with fits.open(sky["image"]) as image, fits.open(sky["weight"]) as weight:
        model = galadapt.load(package)
        table = model.measure(image, Table.read(sky["catalog"]), weight=weight[0])
    for name in ("magnitude", "effective_radius", "flags"):
        np.testing.assert_array_equal(np.asarray(table[name]), np.asarray(from_files[name]))


def test_what_is_no_image_or_no_table_is_refused_by_name(package, sky):
    with pytest.raises(galadapt.ConfigError, match="image: a ndarray is no image"):
        galadapt.measure(np.zeros((9, 9)), package=package)
    with pytest.raises(galadapt.ConfigError, match="catalogue: a list is no table"):
        galadapt.measure(sky["image"], [1, 2], package=package)


def test_an_open_package_states_what_it_holds_for(package):
    model = galadapt.load(package)
    assert str(package) in str(model)
    assert model.record["citation"] == "Someone et al. 2026"
    with pytest.raises(galadapt.DataError, match="no prediction package"):
        galadapt.load(package / "nowhere")


def test_a_simulated_list_is_that_of_the_command_line(tmp_path):
    stamps = galadapt.simulate(LIST, stamp_size=64, noise="wide", seed=3)
    LIST.to_csv(tmp_path / "list.csv", index=False)
    words = ["simulate", "--parameters", str(tmp_path / "list.csv"), "--stamp-size", "64"]
    words += ["--noise", "wide", "--seed", "3", "-o", str(tmp_path / "out.h5")]
    assert main(words) == 0
    with galadapt.StampSet(tmp_path / "out.h5") as written:
        np.testing.assert_array_equal(stamps.images(), written.images())
    assert stamps.table["magnitude"].tolist() == [20.5, 22.0]


def test_a_table_of_astropy_and_a_psf_of_numpy_are_rendered():
    psf = np.zeros((25, 25))
    psf[12, 12] = 1.0
    stamps = galadapt.simulate(Table.from_pandas(LIST), psf=psf, stamp_size=128)
    fluxes = stamps.images().sum(axis=(1, 2))
    # A disc of 8 px is whole inside 128 px: its flux is that of its magnitude.
    assert fluxes[0] == pytest.approx(10 ** (0.4 * (25.9463 - 20.5)), rel=0.01)


def test_the_temporary_file_of_a_simulation_goes_with_it():
    stamps = galadapt.simulate(LIST, stamp_size=32)
    (path,) = stamps.paths
    assert path.is_file()
    stamps.close()
    del stamps
    assert not path.exists()


def test_importing_galadapt_imports_nothing_heavy():
    code = (
        "import sys, galadapt; galadapt.__version__; "
        "heavy = {'astropy', 'tensorflow', 'keras', 'matplotlib', 'galsim', 'snakemake'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert set(galadapt.__all__) <= set(dir(galadapt))


def test_python_has_every_option_of_the_command_line():
    verbs = parser()._subparsers._group_actions[0].choices
    options = {one.dest for one in verbs["predict"]._actions} - {"help"}
    named = {"catalog": "catalogue", "model": "package"}
    # Of votes; how a plot looks; what Python has no need of.
    options -= {"crop", "volunteers", "plot_count", "models", "stamps"}
    missing = {named.get(one, one) for one in options} - {
        *inspect.signature(galadapt.measure).parameters
    }
    assert not missing
