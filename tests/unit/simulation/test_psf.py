from pathlib import Path

import galsim
import numpy as np
import pytest
from astropy.io import fits
from pydantic import ValidationError

from galadapt.config.image import FitsPsf, GaussianPsf, MoffatPsf, OpticalPsf, PsfSet
from galadapt.core.errors import ConfigError, DataError
from galadapt.simulation.psf import make_psf, make_psfs, mean_psf, summed

SCALE = 0.06


def draw(psf, side=65):
    return psf.drawImage(nx=side, ny=side, scale=SCALE, method="no_pixel", dtype=float).array


def gaussian_image(side, sigma=1.6, x=0.0, y=0.0):
    axis = np.arange(side) - (side - 1) / 2
    return np.exp(-((axis[None] - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * sigma**2))


@pytest.fixture
def write(tmp_path):
    def write(image, **header):
        path = tmp_path / "psf.fits"
        hdu = fits.PrimaryHDU(image)
        hdu.header.update(header)
        hdu.writeto(path, overwrite=True)
        return FitsPsf(path=str(path), pixel_scale=SCALE)

    return write


@pytest.mark.parametrize("settings", [OpticalPsf(), GaussianPsf(), MoffatPsf()])
def test_unit_flux_and_centred(settings):
    psf = make_psf(settings, SCALE)
    assert psf.flux == pytest.approx(1, abs=1e-6)
    assert np.hypot(psf.centroid.x, psf.centroid.y) < 0.02 * SCALE


def test_analytic_psf_includes_the_pixel():
    with_pixel = draw(make_psf(GaussianPsf(fwhm=0.18), SCALE))
    by_galsim = galsim.Gaussian(fwhm=0.18).drawImage(nx=65, ny=65, scale=SCALE, dtype=float).array
    np.testing.assert_allclose(with_pixel, by_galsim, atol=2e-5)


def test_blur_and_aberrations_widen_the_optical_psf():
    sharp = draw(make_psf(OpticalPsf(blur=0), SCALE)).max()
    assert draw(make_psf(OpticalPsf(blur=0.06), SCALE)).max() < 0.7 * sharp
    assert draw(make_psf(OpticalPsf(blur=0, defocus=0.3), SCALE)).max() < 0.9 * sharp


@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.parametrize("side", [40, 41])
def test_fits_psf_is_recentred_whatever_its_size(write, side, shift):
    psf = make_psf(write(gaussian_image(side, x=shift, y=-shift)), SCALE)
    image = draw(psf)
    assert image.sum() == pytest.approx(1, abs=1e-3)
    axis = np.arange(65) - 32
    assert (image * axis[None]).sum() == pytest.approx(0, abs=2e-3)
    assert (image * axis[:, None]).sum() == pytest.approx(0, abs=2e-3)


def test_fits_psf_keeps_its_pixels(write):
    truth = gaussian_image(41)
    image = draw(make_psf(write(truth), SCALE), side=41)
    np.testing.assert_allclose(image, truth / truth.sum(), atol=2e-5)


@pytest.mark.parametrize(
    "header", [{"PIXSCALE": 0.06}, {"CD1_1": -0.06 / 3600, "CD2_1": 0.0}, {"CDELT1": 1.0}]
)
def test_agreeing_or_absent_header_scale_passes(write, header):
    psf = make_psf(write(gaussian_image(31), **header), SCALE)
    assert psf.flux == pytest.approx(1.0)


@pytest.mark.parametrize(
    "header",
    [
        {"PIXSCALE": 0.128},
        {"CD1_1": -0.128 / 3600, "CD2_1": 0.0},
        {"CDELT1": -0.128 / 3600, "CTYPE1": "RA---TAN"},
    ],
)
def test_contradicting_header_scale(write, header):
    with pytest.raises(DataError, match=r"header gives 0.128 arcsec/px, --psf-pixel-scale is 0.06"):
        make_psf(write(gaussian_image(31), **header), SCALE)


def test_missing_file():
    with pytest.raises(DataError, match=r"nowhere.fits: no such PSF file; check the path"):
        make_psf(FitsPsf(path="nowhere.fits"), SCALE)


def test_unset_variable_is_named(monkeypatch):
    monkeypatch.delenv("NOT_SET_HERE", raising=False)
    with pytest.raises(DataError, match="environment variable NOT_SET_HERE is not set"):
        make_psf(FitsPsf(path="${NOT_SET_HERE}/psf.fits"), SCALE)


def test_variable_is_expanded(write, tmp_path, monkeypatch):
    write(gaussian_image(31))
    monkeypatch.setenv("PSF_FOLDER", str(tmp_path))
    assert make_psf(FitsPsf(path="$PSF_FOLDER/psf.fits"), SCALE).flux == pytest.approx(1)


def test_not_fits(tmp_path):
    path = tmp_path / "psf.fits"
    path.write_text("not an image")
    with pytest.raises(DataError, match=r"psf\.fits: not a readable FITS file"):
        make_psf(FitsPsf(path=str(path)), SCALE)


def test_truncated_fits(write):
    settings = write(gaussian_image(64))
    with Path(settings.path).open("r+b") as stream:
        stream.truncate(2880 + 100)
    with pytest.raises(DataError, match=r"psf\.fits: not a readable FITS file"):
        make_psf(settings, SCALE)


def test_wrong_hdu(write):
    settings = write(gaussian_image(31)).model_copy(update={"hdu": 3})
    with pytest.raises(DataError, match=r"has no extension 3; images are in 0 \(PRIMARY\)"):
        make_psf(settings, SCALE)


def test_cube_and_empty_hdu(write):
    with pytest.raises(DataError, match="extension 0 is not a 2-D image"):
        make_psf(write(np.ones((3, 8, 8))), SCALE)
    with pytest.raises(DataError, match="extension 0 is not a 2-D image"):
        make_psf(write(None), SCALE)


def test_nan(write):
    image = gaussian_image(31)
    image[3, 4] = np.nan
    with pytest.raises(DataError, match="holds NaN or infinite pixels"):
        make_psf(write(image), SCALE)


def test_sum_not_positive(write):
    with pytest.raises(DataError, match="has the sum 0, not positive"):
        make_psf(write(np.zeros((9, 9))), SCALE)


def test_off_centre(write):
    with pytest.raises(DataError, match=r"sits \+16.0, -4.0 px off the middle"):
        make_psf(write(gaussian_image(61, x=16, y=-4)), SCALE)


def test_coarser_than_the_image(write):
    settings = write(gaussian_image(31)).model_copy(update={"pixel_scale": 0.12})
    with pytest.raises(DataError, match=r"coarser than the image's 0\.06"):
        make_psf(settings, SCALE)


@pytest.mark.realdata
def test_default_optical_psf_resembles_the_real_one(galadapt_data):
    path = galadapt_data / "psf" / "hst_wfc3_f160w_060mas.fits"
    real = make_psf(FitsPsf(path=str(path)), SCALE).drawImage(
        nx=65, ny=65, scale=SCALE, method="no_pixel"
    )
    ours = make_psf(OpticalPsf(), SCALE).drawImage(nx=65, ny=65, scale=SCALE, method="no_pixel")
    assert ours.calculateFWHM() == pytest.approx(real.calculateFWHM(), rel=0.1)
    assert ours.calculateHLR() == pytest.approx(real.calculateHLR(), rel=0.1)


def test_a_set_takes_members_images_and_planes_in_order(tmp_path):
    path = tmp_path / "many.fits"
    cube = np.stack([gaussian_image(31, sigma) for sigma in (1.2, 1.8)])
    table = fits.BinTableHDU.from_columns([fits.Column("a", "D", array=np.zeros(2))])
    images = [fits.PrimaryHDU(), fits.ImageHDU(cube), table]
    fits.HDUList([*images, fits.ImageHDU(gaussian_image(41, 2.4))]).writeto(path)
    members = [GaussianPsf(fwhm=0.1), MoffatPsf()]
    psfs = make_psfs(PsfSet(members=members, path=str(path), pixel_scale=SCALE), SCALE)
    widths = [build().calculateFWHM() / SCALE / 2.355 for build in psfs]
    assert len(psfs) == 5
    assert widths[2:] == pytest.approx([1.2, 1.8, 2.4], rel=0.02)
    assert min(widths) < mean_psf(psfs).calculateFWHM() / SCALE / 2.355 < max(widths)
    assert mean_psf(psfs).flux == pytest.approx(1)
    np.testing.assert_array_equal(draw(psfs[0]()), draw(make_psf(members[0], SCALE)))


def test_a_broken_plane_of_a_set_is_named(tmp_path):
    path = tmp_path / "many.fits"
    cube = np.stack([gaussian_image(21)] * 3)
    cube[1, 4, 4] = np.nan
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(cube)]).writeto(path)
    with pytest.raises(DataError, match="extension 1, plane 1, holds NaN or infinite pixels; rep"):
        make_psfs(PsfSet(path=str(path)), SCALE)


def test_a_set_without_psfs_is_refused(tmp_path):
    with pytest.raises(ValidationError, match="a set needs members, a path, or both"):
        PsfSet()
    path = tmp_path / "empty.fits"
    fits.PrimaryHDU().writeto(path)
    with pytest.raises(DataError, match=r"holds no 2-D image or cube of PSFs; correct psf\.path"):
        make_psfs(PsfSet(path=str(path)), SCALE)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_the_psf_of_summed_pixels_is_the_sum_of_its_pixels(factor):
    psf = make_psf(MoffatPsf(fwhm=0.7, beta=3.0), 0.05).shear(g1=0.1, g2=0.05)
    count = 40
    plain = psf.drawImage(nx=factor * count, ny=factor * count, scale=0.05, method="no_pixel")
    sums = plain.array.reshape(count, factor, count, factor).sum(axis=(1, 3))
    drawn = summed(psf, 0.05, factor).drawImage(
        nx=count, ny=count, scale=factor * 0.05, method="no_pixel"
    )
    np.testing.assert_allclose(drawn.array, sums, atol=2e-4 * sums.max())


def test_where_one_psf_is_needed_a_set_is_refused():
    with pytest.raises(ConfigError, match="set is for simulated stamps only; a survey is seen th"):
        make_psf(PsfSet(members=[GaussianPsf()]), SCALE)
