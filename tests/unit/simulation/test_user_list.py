import re

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, Table

from galadapt.cli import main
from galadapt.core.errors import DataError
from galadapt.core.quantity import PARAMETERS
from galadapt.core.tables import read_columns
from galadapt.simulation.user_list import COLUMNS
from galadapt.stamps.format import StampSet

ROWS = pd.DataFrame(
    {
        "id": [3, 41, 7],
        "magnitude": [20.0, 21.5, 19.0],
        "effective_radius": [5.0, 9.0, 3.0],
        "sersic_index": [1.0, 2.31, 0.7],
        "ellipticity": [0.5, 0.2, 0.0],
        "position_angle": [30.0, 100.0, 0.0],
        "x_offset": [0.0, 0.3, -0.2],
        "y_offset": [0.0, -0.4, 0.1],
        "comment": ["a", "b", "c"],
    }
)


def write(folder, rows=ROWS, name="list.csv"):
    path = folder / name
    if path.suffix == ".csv":
        rows.to_csv(path, index=False)
    elif path.suffix == ".fits":
        Table.from_pandas(rows).write(path)
    else:
        rows.to_parquet(path)
    return path


def simulate(folder, table, *options, output="stamps.h5"):
    arguments = ["simulate", "--parameters", str(table), "--stamp-size", "48", *options]
    assert main([*arguments, "-o", str(folder / output)]) == 0
    return StampSet(folder / output)


@pytest.mark.parametrize("name", ["list.csv", "list.fits", "list.parquet"])
def test_a_list_becomes_stamps_in_its_order(tmp_path, name, capsys):
    stamps = simulate(tmp_path, write(tmp_path, name=name))
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'stamps.h5'}: 3 stamps (")
    assert stamps.table["id"].tolist() == [3, 41, 7]
    assert set(stamps.table["split"]) == {"test"}
    expected = ROWS[list(COLUMNS[1:])]
    pd.testing.assert_frame_equal(stamps.table[list(COLUMNS[1:])], expected)
    light = stamps.images().sum(axis=(1, 2))
    flux = 10 ** (-0.4 * (ROWS["magnitude"] - 25.9463))
    np.testing.assert_allclose(light / flux, 1, atol=0.2)


def test_renderers_agree_and_noise_depends_on_the_id_only(tmp_path):
    table = write(tmp_path)
    ours, galsim = (
        simulate(tmp_path, table, "--renderer", kind, output=f"{kind}.h5").images()
        for kind in ("ktable", "galsim")
    )
    np.testing.assert_allclose(ours, galsim, atol=2e-4)
    whole = simulate(tmp_path, table, "--noise", "deep", "--seed", "5", output="noisy.h5")
    shorter = write(tmp_path, ROWS[1:], "short.csv")
    part = simulate(tmp_path, shorter, "--noise", "deep", "--seed", "5", output="part.h5")
    assert whole.images()[1:].tobytes() == part.images().tobytes()
    edge = (whole.images() - ours)[:, :8]
    assert edge.std() == pytest.approx(0.0024, rel=0.15)


def test_default_stamps_are_128_px_of_006_arcsec(tmp_path):
    path = write(tmp_path, ROWS[:1])
    assert main(["simulate", "--parameters", str(path), "-o", str(tmp_path / "s.h5")]) == 0
    stamps = StampSet(tmp_path / "s.h5")
    assert stamps.side == 128
    assert stamps.metadata["pixel_scale"] == 0.06
    assert stamps.metadata["radius_convention"] == "semimajor"


BAD = [
    ("sersic_index", 7.0, r"row 2: sersic_index is 7 but must lie in \[0.3, 6.2\]; correct it"),
    ("ellipticity", 1.0, r"row 2: ellipticity is 1 but must lie in \[0, 1\)"),
    ("effective_radius", -1.0, "row 2: effective_radius is -1 but must be positive"),
    ("magnitude", np.nan, "row 2: magnitude is nan but must be a finite number"),
    ("x_offset", 200.0, r"row 2: x_offset is 200 but must lie in \[-24, 24\]"),
    ("id", 3, "row 2: id 3 is given twice; make ids unique"),
    ("id", -4, "row 2: id is -4 but must be a whole number"),
]


@pytest.mark.parametrize(("column", "value", "message"), BAD)
def test_a_bad_row_is_named_and_nothing_written(tmp_path, capsys, column, value, message):
    rows = ROWS.copy()
    rows.loc[1, column] = value
    path = write(tmp_path, rows)
    output = tmp_path / "out" / "s.h5"
    arguments = ["simulate", "--parameters", str(path), "--stamp-size", "48", "-o", str(output)]
    assert main(arguments) == 3
    error = capsys.readouterr().err
    assert re.search(f"galadapt: .*list.csv: {message}", error)
    assert error.count("\n") == 1
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--stamp-size", "33"], 2, "--stamp-size: "),
        (["--pixel-scale", "0"], 2, "--pixel-scale: "),
        (["--seed", "-1"], 2, "--seed: must be at least 0"),
        (["--psf", "nowhere.fits"], 3, "nowhere.fits: no such PSF file"),
    ],
)
def test_bad_options(tmp_path, capsys, options, code, message):
    path = write(tmp_path)
    arguments = ["simulate", "--parameters", str(path), "-o", str(tmp_path / "s.h5"), *options]
    assert main(arguments) == code
    assert message in capsys.readouterr().err


def test_missing_column_and_empty_table(tmp_path, capsys):
    arguments = ["-o", str(tmp_path / "s.h5")]
    lacking = write(tmp_path, ROWS.drop(columns=PARAMETERS[1]), "lacking.csv")
    assert main(["simulate", "--parameters", str(lacking), *arguments]) == 3
    assert (
        "lacking.csv: lacks the column 'effective_radius'; add what is missing"
        in capsys.readouterr().err
    )
    empty = write(tmp_path, ROWS[:0], "empty.csv")
    assert main(["simulate", "--parameters", str(empty), *arguments]) == 3
    assert (
        "empty.csv: the table has no rows; check that it was written completely"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("suffix", ["fits", "vot", "ecsv", "parquet"])
def test_units_and_masks_of_a_list_count(tmp_path, suffix):
    """The same galaxies in arcsec and rad; a masked cell is no number, whatever lies under it."""
    kinds = {"vot": "votable", "ecsv": "ascii.ecsv", "parquet": "parquet", "fits": "fits"}
    plain = pd.read_csv(write(tmp_path))
    table = Table.from_pandas(plain)
    table["effective_radius"] = np.asarray(plain["effective_radius"]) * 0.06 * u.arcsec
    table["position_angle"] = np.radians(np.asarray(plain["position_angle"])) * u.rad
    table["magnitude"].unit = u.mag
    columns = ("id", "magnitude", "effective_radius", "sersic_index", "ellipticity")
    path = tmp_path / f"list.{suffix}"
    table.write(path, format=kinds[suffix])
    wanted = {"effective_radius": u.pix, "position_angle": u.deg}
    found = read_columns(path, [*columns, "position_angle"], units=wanted, pixel_scale=0.06)
    for name in (*columns, "position_angle"):
        np.testing.assert_allclose(found[name], plain[name], rtol=1e-9)
    first = np.arange(len(plain)) == 0
    table["sersic_index"] = MaskedColumn(plain["sersic_index"], mask=first)
    table.write(path, format=kinds[suffix], overwrite=True)
    found = read_columns(path, columns, pixel_scale=0.06)
    assert np.isnan(found["sersic_index"]).tolist() == first.tolist()
    table["effective_radius"] = np.asarray(plain["effective_radius"]) * u.kpc
    table.write(path, format=kinds[suffix], overwrite=True)
    with pytest.raises(DataError, match="'effective_radius' is in 'kpc', which cannot be turned"):
        read_columns(path, columns, units=wanted, pixel_scale=0.06)
