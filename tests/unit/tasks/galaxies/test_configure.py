"""The experiment for a user's image: what is in the image is in the file, and the file is valid."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from galadapt.cli import main
from galadapt.config.image import GaussianPsf, Image
from galadapt.config.simulation import Noise
from galadapt.core.errors import ConfigError
from galadapt.prediction.arguments import Inputs
from galadapt.simulation.noise import NoiseLevels, add_noise, resolve
from galadapt.simulation.psf import fwhm, make_psf
from galadapt.simulation.renderers import make_renderer
from galadapt.surveys.field import tangent_wcs
from galadapt.tasks.galaxies.configure import configure
from galadapt.tasks.reading import load

DEFAULT = Path(__file__).parents[4] / "config" / "config.yaml"
RMS, SIDE = 0.003, 600


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """36 galaxies of 20 to 23.5 mag in correlated noise, and their PSF."""
    folder, rng = tmp_path_factory.mktemp("image"), np.random.default_rng(4)
    psf = make_psf(GaussianPsf(fwhm=0.18), 0.06)
    renderer = make_renderer(Image(stamp_size=96), psf, "ktable")
    light = np.zeros((SIDE, SIDE))
    for row in range(36):
        stamp = renderer.render(
            {
                "magnitude": 20 + 3.5 * row / 35,
                "effective_radius": rng.uniform(3, 8),
                "sersic_index": rng.uniform(0.8, 3),
                "ellipticity": rng.uniform(0, 0.6),
                "position_angle": rng.uniform(0, 180),
                "x_offset": 0.0,
                "y_offset": 0.0,
            }
        )
        y, x = 2 + 98 * (row // 6), 2 + 98 * (row % 6)
        light[y : y + 96, x : x + 96] += stamp
    levels = NoiseLevels(RMS, 5000.0, resolve(Noise()).drop, source_poisson=True)
    header = tangent_wcs((SIDE, SIDE), 0.06).to_header()
    header["BUNIT"], header["ABZP"], header["EXPTIME"] = "ELECTRONS/S", 25.9463, 5000.0
    header["FILTER"] = "F160W"
    pixels = add_noise(light, levels, rng).astype(np.float32)
    fits.PrimaryHDU(pixels, header).writeto(folder / "drz.fits")
    drawn = psf.drawImage(nx=41, ny=41, scale=0.06, method="no_pixel").array
    fits.PrimaryHDU(drawn).writeto(folder / "psf.fits")
    return {"image": folder / "drz.fits", "psf": folder / "psf.fits"}


def test_a_psf_that_is_not_the_images_is_doubted(image, tmp_path, capfd):
    pixels, header = fits.getdata(image["image"], header=True)
    psf = make_psf(GaussianPsf(fwhm=0.18), 0.06)
    for number in range(5):
        place = np.s_[88 + 98 * number : 110 + 98 * number, 88:110]
        pixels[place] += 40 * psf.drawImage(nx=22, ny=22, scale=0.06, method="no_pixel").array
    drawn = psf.dilate(1.3).drawImage(nx=61, ny=61, scale=0.06, method="no_pixel").array
    fits.writeto(tmp_path / "drz.fits", pixels, header)
    fits.writeto(tmp_path / "psf.fits", drawn)
    inputs = Inputs(images=[tmp_path / "drz.fits"], psf=tmp_path / "psf.fits")
    sentence = "the PSF is too wide for this image: 5 point sources"
    configure(inputs, tmp_path / "one.yaml")
    assert sentence in (tmp_path / "one.yaml").read_text()
    assert sentence in capfd.readouterr().err
    right = dataclasses.replace(inputs, psf_from_stars=tmp_path / "made.fits")
    found = configure(right, tmp_path / "two.yaml")
    assert sentence not in (tmp_path / "two.yaml").read_text()
    assert found.psf_fwhm == pytest.approx(fwhm(psf, 0.06), rel=0.02)
    assert load(DEFAULT, tmp_path / "two.yaml").psf.path == str(tmp_path / "made.fits")


def test_what_the_image_shows_is_what_is_trained_for(image, tmp_path):
    inputs = Inputs(images=[image["image"]], psf=image["psf"])
    found = configure(inputs, tmp_path / "mine.yaml")
    # Wings of the crowded galaxies add to the scatter.
    assert found.pixel_rms == pytest.approx(RMS, rel=0.1)
    assert found.correlation == pytest.approx(0.52, abs=0.05)
    assert found.psf_fwhm == pytest.approx(0.18, rel=0.05)
    assert found.band == "F160W"
    assert found.magnitude[0] == pytest.approx(19.5, abs=0.4)
    assert 23.5 < found.magnitude[1] < 26
    low, high = found.radius
    assert low < 3
    assert 8 < high < 20
    experiment = load(DEFAULT, tmp_path / "mine.yaml")
    assert experiment.simulation.noise.pixel_rms == found.pixel_rms
    assert resolve(experiment.simulation.noise).drop == pytest.approx(1.71, abs=0.25)
    # Training reaches deeper than what will be claimed.
    trained = experiment.simulation.priors.interval("magnitude").high
    assert trained == pytest.approx(found.magnitude[1] + 1.5, abs=0.11)
    assert experiment.survey.kind == "images"
    assert len(pd.read_csv(tmp_path / "mine_objects.csv")) >= 30
    text = (tmp_path / "mine.yaml").read_text()
    assert "core-minutes" in text
    assert configure(inputs, tmp_path / "mine.yaml") == found


def test_what_is_missing_is_named_at_once(image, tmp_path):
    with pytest.raises(ConfigError, match=r"2 problems: .*unknown suffix.*--psf: give the PSF"):
        configure(Inputs(images=[image["image"]]), tmp_path / "mine.txt")


def test_from_the_command_line(image, tmp_path, capsys):
    arguments = ["--images", str(image["image"]), "--psf", str(image["psf"])]
    assert main(["configure", *arguments, "-o", str(tmp_path / "mine.yaml")]) == 0
    assert "core-minutes" in capsys.readouterr().err
    assert main(["configure", "--images", str(image["image"]), "-o", "mine.yaml"]) == 2
