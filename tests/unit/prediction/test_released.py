"""The released package: any image, right after the installation."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import galsim
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from galadapt.config.general import General, GeneralTraining
from galadapt.config.image import FitsPsf, OpticalPsf
from galadapt.core.errors import ConfigError, DataError
from galadapt.cutouts.stamps import Stamp
from galadapt.general.package import RELEASED, is_general, read
from galadapt.general.simulate import Simulator
from galadapt.prediction.any_image import AnyImageRunner, ImageFacts, package_for
from galadapt.prediction.arguments import Inputs
from galadapt.prediction.flags import NO_MAGNITUDE, Flag
from galadapt.prediction.predict import predict
from galadapt.prediction.psf_stars import psf_from_stars
from galadapt.simulation.psf import fwhm, make_psf
from galadapt.sky import open_mosaic

pytestmark = pytest.mark.skipif(not is_general(RELEASED), reason="no package is released")

#: x, y [px], magnitude, effective radius [px], index, ellipticity, position angle [deg].
GALAXIES = (
    (100.3, 100.0, 20.5, 5.0, 1.0, 0.4, 30.0),
    (230.0, 99.6, 21.5, 4.0, 2.0, 0.2, 100.0),
    (100.0, 230.2, 22.5, 6.0, 1.5, 0.5, 150.0),
    (232.1, 228.8, 19.5, 7.0, 3.0, 0.3, 70.0),
    # Near the corner: part of its stamp lies beyond the image.
    (300.0, 30.0, 20.5, 4.0, 1.0, 0.3, 10.0),
)
SIDE, SCALE, ZERO_POINT, RMS = 330, 0.2, 27.0, 0.05


def drawn(scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The galaxies without noise in pixels of `scale` [arcsec], and the PSF in the same pixels."""
    psf = galsim.Convolve(
        galsim.Moffat(beta=3.2, fwhm=0.75).shear(g1=0.05, g2=-0.02), galsim.Pixel(scale)
    )
    fine = round(SCALE / scale)
    image = galsim.ImageF(fine * SIDE, fine * SIDE, scale=scale)
    for x, y, magnitude, radius, index, e, angle in GALAXIES:
        profile = galsim.Sersic(
            n=index,
            # GalSim wants the circularised radius.
            half_light_radius=radius * SCALE * np.sqrt(1 - e),
            flux=10 ** (-0.4 * (magnitude - ZERO_POINT)),
        ).shear(q=1 - e, beta=(angle + 90) * galsim.degrees)
        centre = galsim.PositionD(fine * (x + 0.5) + 0.5, fine * (y + 0.5) + 0.5)
        stamp = galsim.Convolve(profile, psf).drawImage(
            nx=fine * 200, ny=fine * 200, scale=scale, center=centre, method="no_pixel"
        )
        bounds = stamp.bounds & image.bounds
        image[bounds] += stamp[bounds]
    side = 61 * fine
    return image.array, psf.drawImage(nx=side, ny=side, scale=scale, method="no_pixel").array


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with a PSF, a scale and a zero point that no other package of the tests has."""
    path = tmp_path_factory.mktemp("any")
    light, psf = drawn(SCALE)
    pixels = light + np.random.default_rng(1).normal(0, RMS, (SIDE, SIDE))
    header = fits.Header({"ABZP": ZERO_POINT, "BUNIT": "electron/s"})
    fits.writeto(path / "image.fits", pixels.astype(np.float32), header)
    fits.writeto(path / "rms.fits", np.full((SIDE, SIDE), RMS, np.float32))
    fits.writeto(path / "psf.fits", psf.astype(np.float32))
    pd.DataFrame(
        {"id": range(5), "x": [g[0] for g in GALAXIES], "y": [g[1] for g in GALAXIES]}
    ).to_csv(path / "list.csv", index=False)
    return path


def inputs(folder: Path, **changes: object) -> Inputs:
    given = {
        "images": [folder / "image.fits"],
        "catalog": folder / "list.csv",
        "maps": {"rms": [folder / "rms.fits"]},
        "psf": folder / "psf.fits",
        "options": {"native_pixel_scale": SCALE},
    }
    return Inputs(**{**given, **changes})  # type: ignore[arg-type]


TRUTH = pd.DataFrame(
    GALAXIES,
    columns=["x", "y", "magnitude", "effective_radius", "sersic_index", "ellipticity", "pa"],
)


def test_any_image_is_measured_in_its_own_pixels(folder: Path, tmp_path: Path) -> None:
    table = predict(RELEASED, inputs(folder), tmp_path / "out.csv")
    truth = TRUTH
    for name in ("magnitude", "effective_radius", "sersic_index", "ellipticity"):
        pull = (table[name] - truth[name]) / table[f"{name}_err"]
        assert np.abs(pull).max() < 4, name
    assert np.abs(table["magnitude"] - truth["magnitude"]).max() < 0.15
    assert np.abs(table["effective_radius"] / truth["effective_radius"] - 1).max() < 0.2
    assert np.allclose(table["effective_radius_arcsec"], table["effective_radius"] * SCALE)
    turned = (table["position_angle"] - truth["pa"] + 90) % 180 - 90
    assert np.abs(turned).max() < 10
    assert np.abs(table["x_centre"] - truth["x"]).max() < 0.4
    assert np.abs(table["y_centre"] - truth["y"]).max() < 0.4
    flags = table["flags"].to_numpy()
    assert (flags[:4] & int(Flag.UNLIKE_TRAINING | Flag.OUT_OF_RANGE | Flag.PSF_UNLIKE) == 0).all()
    by_surroundings = int(Flag.EDGE | Flag.NEIGHBOUR | Flag.BAD_PIXELS)
    assert (flags[:4] & by_surroundings == 0).all()
    assert flags[4] & int(Flag.EDGE)
    assert (flags & NO_MAGNITUDE == 0).all()


def test_a_population_is_that_of_the_objects_without_a_flag(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="--population: 5 objects show no population, 50 are"):
        predict(RELEASED, inputs(folder), tmp_path / "out.csv", population=True)
    monkeypatch.setattr("galadapt.prediction.population.FEWEST", 4)
    plain = predict(RELEASED, inputs(folder), tmp_path / "plain.csv")
    table = predict(RELEASED, inputs(folder), tmp_path / "out.csv", population=True)
    count = int((plain["flags"] == 0).sum())
    assert 4 <= count < len(plain)
    assert table.attrs["GA_POPUL"].startswith(f"population of {count} galaxies")
    assert (table["sersic_index_err"] < plain["sersic_index_err"]).any()


def test_where_the_psf_is_too_wide_pixels_are_summed(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    light, psf = drawn(SCALE / 2)
    fine = light + np.random.default_rng(2).normal(0, RMS / 2, light.shape)
    header = fits.getheader(folder / "image.fits")
    fits.writeto(tmp_path / "fine.fits", fine.astype(np.float32), header)
    fits.writeto(tmp_path / "rms.fits", np.full(fine.shape, RMS / 2, np.float32))
    fits.writeto(tmp_path / "psf.fits", psf.astype(np.float32))
    places = {"id": TRUTH.index, "x": 2 * TRUTH["x"] + 0.5, "y": 2 * TRUTH["y"] + 0.5}
    pd.DataFrame(places).to_csv(tmp_path / "list.csv", index=False)
    given = inputs(tmp_path, images=[tmp_path / "fine.fits"])
    given = replace(given, options={"native_pixel_scale": SCALE / 2})
    table = predict(RELEASED, given, tmp_path / "out.csv")
    assert "2 x 2 pixels are summed, to 0.2 arcsec/px" in caplog.text
    assert table.attrs["GA_NOT01"] == "2 x 2 pixels are summed, as the PSF is wide"
    assert (table["flags"] & int(Flag.PSF_UNLIKE) == 0).all()
    pixels = {"effective_radius": 2}
    for name in ("magnitude", "effective_radius", "sersic_index", "ellipticity"):
        off = table[name] - pixels.get(name, 1) * TRUTH[name]
        assert np.abs(off / table[f"{name}_err"]).max() < 4, name
    for axis in ("x", "y"):
        assert np.abs(table[f"{axis}_centre"] - places[axis]).max() < 0.8
    # The errors are those of the same depth in larger pixels.
    plain = predict(RELEASED, inputs(folder), tmp_path / "plain.csv")
    ratio = table["magnitude_err"] / plain["magnitude_err"]
    assert ratio.between(0.7, 1.4).all()


def test_an_answer_does_not_depend_on_what_is_measured_with_it() -> None:
    training = GeneralTraining(batch=40, group=40, mixed=1, passes=1)
    simulated = next(iter(Simulator(General(training=training)).batches(1)))
    names = ("background", "neighbour_fraction", "signal_to_noise", "x_offset", "y_offset")
    stamps = [
        Stamp(
            *(image, 100, 200),
            **{**dict.fromkeys(names, 0.0), "local_rms": 1.0, "empty_rms": 1.0},
            **{"fwhm": 3.0, "flags": 0},
        )
        for image in simulated.images
    ]
    package = package_for(read(RELEASED), ImageFacts(0.06, 25.0, 1.0), OpticalPsf())
    runner = AnyImageRunner(package)

    def columns(some: list[Stamp]) -> dict[str, np.ndarray]:
        found = runner.measure(some)
        unlike = package.familiarity.distance(found.features)
        return {
            "predicted": found.predicted,
            "spread": found.spread,
            "unlike": unlike,
        } | found.extra

    whole = columns(stamps)
    for rows in (slice(0, 1), slice(5, 8), slice(30, 34), slice(39, 40)):
        for name, values in columns(stamps[rows]).items():
            np.testing.assert_array_equal(values, whole[name][rows], err_msg=name)


def test_a_zero_point_moves_magnitudes_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    one = predict(RELEASED, inputs(folder), tmp_path / "one.csv")
    options = {"native_pixel_scale": SCALE, "zero_point": ZERO_POINT + 1}
    two = predict(RELEASED, inputs(folder, options=options), tmp_path / "two.csv")
    assert np.allclose(two["magnitude"] - one["magnitude"], 1.0, atol=1e-5)
    assert np.allclose(two["sersic_index"], one["sersic_index"])


def test_without_a_psf_the_command_tells_how_to_make_one(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"at least 4 stars of the image: give --psf-from-stars"):
        predict(RELEASED, inputs(folder, psf=None), tmp_path / "out.csv")
    # The image has galaxies only.
    made = inputs(folder, psf=None, psf_from_stars=tmp_path / "psf.fits")
    with pytest.raises(DataError, match="no 4 unsaturated sources"):
        predict(RELEASED, made, tmp_path / "out.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda psf: np.kron(psf, np.ones((12, 12))), "too wide"),
        (lambda psf: np.where(psf == psf.max(), np.nan, psf), "NaN"),
    ],
)
def test_a_psf_that_makes_no_sense_is_one_sentence(
    folder: Path, tmp_path: Path, change: object, words: str
) -> None:
    psf = fits.getdata(folder / "psf.fits").astype(np.float64)
    fits.writeto(tmp_path / "psf.fits", change(psf))  # type: ignore[operator]
    with pytest.raises(DataError, match=words):
        predict(RELEASED, inputs(folder, psf=tmp_path / "psf.fits"), tmp_path / "out.csv")


def test_one_psf_of_several_must_be_named(folder: Path, tmp_path: Path) -> None:
    psf = fits.getdata(folder / "psf.fits")
    fits.HDUList([fits.PrimaryHDU(psf), fits.ImageHDU(psf[::-1])]).writeto(tmp_path / "psf.fits")
    with pytest.raises(DataError, match="holds 2 images; give one PSF"):
        predict(RELEASED, inputs(folder, psf=tmp_path / "psf.fits"), tmp_path / "out.csv")
    predict(RELEASED, inputs(folder, psf=tmp_path / "psf.fits", psf_hdu=0), tmp_path / "out.csv")


def test_norm_side_and_place_of_the_psf_do_not_matter(folder: Path, tmp_path: Path) -> None:
    psf = fits.getdata(folder / "psf.fits").astype(np.float64)
    fits.writeto(tmp_path / "scaled.fits", 1e3 * psf)
    fits.writeto(tmp_path / "even.fits", np.pad(psf, ((0, 1), (0, 1))))
    fits.writeto(tmp_path / "moved.fits", np.roll(psf, 4, axis=1))
    first = predict(RELEASED, inputs(folder), tmp_path / "one.csv")
    for name in ("scaled", "even", "moved"):
        other = predict(
            RELEASED, inputs(folder, psf=tmp_path / f"{name}.fits"), tmp_path / f"{name}.csv"
        )
        for column in ("magnitude", "effective_radius", "sersic_index", "ellipticity"):
            assert (np.abs(other[column] - first[column]) < 0.2 * first[f"{column}_err"]).all()


def test_a_noise_map_of_zeros_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    fits.writeto(tmp_path / "rms.fits", np.zeros((SIDE, SIDE), np.float32))
    with pytest.raises(DataError):
        predict(
            RELEASED, inputs(folder, maps={"rms": [tmp_path / "rms.fits"]}), tmp_path / "out.csv"
        )


def test_wide_errors_are_those_of_the_simulations_tails(folder: Path, tmp_path: Path) -> None:
    narrow, wide = (
        predict(RELEASED, inputs(folder), tmp_path / f"{level}.csv", level=level)
        for level in (0.6827, 0.95)
    )
    ratio = wide["effective_radius_err"] / narrow["effective_radius_err"]
    # A normal law's is 1.96 for all of them.
    assert ((ratio > 1.3) & (ratio < 5)).all()
    assert np.ptp(ratio) > 0.01


def test_small_cutouts_need_no_frame(folder: Path, tmp_path: Path) -> None:
    pixels, header = fits.getdata(folder / "image.fits", header=True)
    fits.writeto(tmp_path / "a.fits", pixels[70:131, 70:131], header)
    table = predict(
        RELEASED,
        inputs(folder, images=(), catalog=None, maps={}, cutouts=[tmp_path / "a.fits"]),
        tmp_path / "out.csv",
    )
    assert abs(table["magnitude"][0] - GALAXIES[0][2]) < 4 * table["magnitude_err"][0]
    assert table["flags"][0] & int(Flag.EDGE)


def test_no_tensorflow_is_imported(folder: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from galadapt.cli import main; "
        f"code = main(['predict', '--model', {str(RELEASED)!r}, '--images', "
        f"{str(folder / 'image.fits')!r}, '--catalog', {str(folder / 'list.csv')!r}, '--psf', "
        f"{str(folder / 'psf.fits')!r}, '--pixel-scale', '0.2', "
        f"'-o', {str(tmp_path / 'o.fits')!r}]); "
        "loaded = {'tensorflow', 'keras'} & set(sys.modules); print(loaded); "
        "sys.exit(code or len(loaded))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "o.fits").is_file()


def test_the_record_is_small_and_of_this_version() -> None:
    opened = read(RELEASED)
    size = sum(file.stat().st_size for file in RELEASED.iterdir())
    assert size < 5e6
    assert len(opened.record.quality) > 0


def test_a_psf_is_made_of_the_stars(tmp_path: Path) -> None:
    psf = galsim.Convolve(
        galsim.Moffat(beta=3.5, fwhm=0.7).shear(g1=0.04, g2=0.02), galsim.Pixel(SCALE)
    )
    rng = np.random.default_rng(3)
    image = galsim.ImageF(400, 400, scale=SCALE)
    for number in range(20):
        x, y = 50 + 75 * (number % 5), 50 + 100 * (number // 5)
        one = psf.withFlux(rng.uniform(300, 3000))
        if number % 4 == 3:
            one = galsim.Convolve(galsim.Exponential(half_light_radius=0.6), one)
        centre = galsim.PositionD(x + rng.uniform(-0.5, 0.5), y + rng.uniform(-0.5, 0.5))
        stamp = one.drawImage(nx=81, ny=81, scale=SCALE, center=centre, method="no_pixel")
        bounds = stamp.bounds & image.bounds
        image[bounds] += stamp[bounds]
    pixels = image.array + rng.normal(0, RMS, (400, 400))
    header = fits.Header({"ABZP": ZERO_POINT, "BUNIT": "electron/s"})
    fits.writeto(tmp_path / "image.fits", pixels.astype(np.float32), header)
    made = tmp_path / "psf.fits"
    with open_mosaic(tmp_path / "image.fits", native_pixel_scale=SCALE) as mosaic:
        count, sampling = psf_from_stars(mosaic, made)
    assert count == 15
    found = make_psf(FitsPsf(path=str(made), pixel_scale=sampling), SCALE)
    wanted, drawn = (
        one.drawImage(nx=41, ny=41, scale=SCALE, method="no_pixel").array for one in (psf, found)
    )
    assert np.abs(drawn - wanted).sum() < 0.08
    assert fwhm(found, SCALE) == pytest.approx(fwhm(psf, SCALE), rel=0.05)


def test_an_image_without_a_usable_zero_point_is_refused_in_a_sentence(
    folder: Path, tmp_path: Path
) -> None:
    for header, message in (({}, "give --zero-point"), ({"ABZP": -48.6}, "outside of 0 to 40")):
        image = tmp_path / "image.fits"
        pixels = fits.getdata(folder / "image.fits")
        fits.writeto(image, pixels, fits.Header({"BUNIT": "electron/s", **header}), overwrite=True)
        with pytest.raises(DataError, match=message):
            predict(RELEASED, inputs(folder, images=[image]), tmp_path / "out.csv")
    with pytest.raises(ConfigError, match="--zero-point: must lie in 0 to 40"):
        wrong = {"native_pixel_scale": SCALE, "zero_point": -21.1}
        predict(RELEASED, inputs(folder, options=wrong), tmp_path / "out.csv")
