"""PSFs in forms that users really have give one PSF, or one sentence."""

from __future__ import annotations

from pathlib import Path

import galsim
import pytest
from astropy.io import fits

from galadapt.config.image import FitsPsf
from galadapt.core.errors import DataError
from galadapt.simulation.psf import fwhm, make_psf, stated_scale
from galadapt.surveys.field import tangent_wcs

SCALE = 0.06


def _image(side: int = 61, offset: tuple[float, float] = (0, 0)) -> galsim.ImageD:
    psf = galsim.Convolve(galsim.Moffat(beta=3, fwhm=0.18), galsim.Pixel(SCALE))
    image = galsim.ImageD(side, side, scale=SCALE)
    return psf.drawImage(image, method="no_pixel", offset=offset)


def _width(path: Path, **settings) -> float:
    psf = FitsPsf(path=str(path), pixel_scale=stated_scale(path) or SCALE, **settings)
    return fwhm(make_psf(psf, SCALE), SCALE)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> float:
    path = tmp_path_factory.mktemp("psf") / "plain.fits"
    fits.PrimaryHDU(_image().array).writeto(path)
    return _width(path)


def _galsim(path: Path) -> None:
    _image().write(str(path))


def _jacobian(path: Path) -> None:
    image = _image()
    image.wcs = galsim.JacobianWCS(-SCALE, 0, 0, SCALE)
    image.write(str(path))


def _cards(**cards):
    def write(path: Path) -> None:
        fits.PrimaryHDU(_image().array, fits.Header(cards)).writeto(path)

    return write


def _as_astropy_writes(path: Path) -> None:
    header = tangent_wcs((61, 61), SCALE).to_header()
    assert header["PC1_1"] == pytest.approx(-SCALE / 3600)
    fits.PrimaryHDU(_image().array, header).writeto(path)


def _extension(path: Path) -> None:
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(_image().array, name="PSF")]).writeto(path)


def _fpacked(path: Path) -> None:
    hdu = fits.CompImageHDU(_image().array, quantize_level=0, compression_type="GZIP_2")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)


def _cube(path: Path) -> None:
    fits.PrimaryHDU(_image().array[None]).writeto(path)


def _even(path: Path) -> None:
    fits.PrimaryHDU(_image(60).array).writeto(path)


def _even_on_a_pixel(path: Path) -> None:
    fits.PrimaryHDU(_image(60, (0.5, 0.5)).array).writeto(path)


def _off_centre(path: Path) -> None:
    fits.PrimaryHDU(_image(61, (6, -4)).array).writeto(path)


@pytest.mark.parametrize(
    "write",
    [
        _galsim,
        _jacobian,
        _as_astropy_writes,
        _extension,
        _fpacked,
        _cube,
        _even,
        _even_on_a_pixel,
        _off_centre,
        _cards(PIXELSCL=SCALE),
        _cards(PIXSCALE=SCALE),
        _cards(SECPIX=str(SCALE)),
        _cards(CD1_1=-SCALE / 3600, CD2_2=SCALE / 3600),
        _cards(CTYPE1="RA---TAN", CDELT1=-SCALE / 3600, CDELT2=SCALE / 3600),
        _cards(CUNIT1="arcsec", CDELT1=SCALE, CDELT2=SCALE),
        _cards(CD1_1=SCALE, CD2_2=SCALE),
        _cards(CD1_1=1.0, CD2_2=1.0),
        _cards(CDELT1=0.25, CDELT2=0.25),
    ],
    ids=lambda write: write.__name__,
)
def test_every_form_gives_the_same_psf(tmp_path, plain, write):
    path = tmp_path / "psf.fits"
    write(path)
    assert stated_scale(path) in (None, pytest.approx(SCALE))
    assert _width(path) == pytest.approx(plain, rel=0.01)


def test_a_sky_is_noticed(tmp_path, plain, capsys):
    """A thousandth of the peak over the whole image is a third of the light."""
    image = _image(121).array
    fits.PrimaryHDU(image + 1e-3 * image.max()).writeto(tmp_path / "sky.fits")
    fits.PrimaryHDU(image - 1e-3 * image.max()).writeto(tmp_path / "hole.fits")
    fits.PrimaryHDU(image).writeto(tmp_path / "none.fits")

    def light(name: str) -> float:
        psf = make_psf(FitsPsf(path=str(tmp_path / name), pixel_scale=SCALE), SCALE)
        drawn = psf.drawImage(nx=41, ny=41, scale=SCALE, method="no_pixel", dtype=float)
        return float(drawn.array.sum())

    clean = light("none.fits")
    assert "sky" not in capsys.readouterr().err
    assert light("sky.fits") == pytest.approx(clean, abs=0.01)
    assert "has a sky of 0.001 of its peak left" in capsys.readouterr().err
    assert light("hole.fits") == pytest.approx(clean, abs=0.01)


@pytest.mark.parametrize("lam_over_diam", [1.5, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("side", [31, 41, 61])
def test_rings_and_wings_are_no_sky(tmp_path, lam_over_diam, side, capsys):
    """A ring of a diffraction pattern at the edge, or wings that are cut off, stay."""
    airy = galsim.Airy(lam_over_diam=lam_over_diam, obscuration=0.33)
    for number, psf in enumerate((airy, galsim.Moffat(beta=1.8, fwhm=2 * lam_over_diam))):
        psf = galsim.Convolve(psf, galsim.Pixel(1))
        drawn = psf.drawImage(nx=side, ny=side, scale=1, method="no_pixel")
        path = tmp_path / f"{number}.fits"
        fits.PrimaryHDU(drawn.array).writeto(path)
        make_psf(FitsPsf(path=str(path), pixel_scale=SCALE), SCALE)
    assert "sky" not in capsys.readouterr().err


@pytest.mark.realdata
def test_the_real_psf_has_no_sky(galadapt_data, capsys):
    path = galadapt_data / "psf" / "hst_wfc3_f160w_060mas.fits"
    make_psf(FitsPsf(path=str(path), pixel_scale=SCALE), SCALE)
    assert "sky" not in capsys.readouterr().err


def test_several_images_are_named(tmp_path):
    images = [fits.ImageHDU(_image().array, name=name) for name in ("A", "B")]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(tmp_path / "psf.fits")
    with pytest.raises(
        DataError, match=r"holds 2 images, in extensions 1 \(A\), 2 \(B\); name one with --psf-hdu"
    ):
        stated_scale(tmp_path / "psf.fits")
    assert stated_scale(tmp_path / "psf.fits", 2) is None
    images[1].header["PIXSCALE"] = 0.03
    path = tmp_path / "named.fits"
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    for extension, scale in (("A", None), ("b", 0.03), ("2", 0.03), ("B,1", 0.03)):
        assert stated_scale(Path(f"{path}[{extension}]")) == scale
        psf = FitsPsf(path=f"{path}[{extension}]", pixel_scale=scale or SCALE)
        assert make_psf(psf, SCALE).flux == pytest.approx(1)
    for absent in ("C", "3", "B,2"):
        with pytest.raises(
            DataError,
            match=rf"named.fits: has no extension {absent}; images are in 1 \(A\), 2 \(B\)",
        ):
            stated_scale(Path(f"{path}[{absent}]"))


@pytest.mark.parametrize("beta", [1.15, 1.3])
def test_the_width_of_a_psf_with_endless_wings_is_measured_in_little_memory(beta: float) -> None:
    width = 0.3
    measured = fwhm(galsim.Moffat(beta=beta, fwhm=width), SCALE)
    assert measured == pytest.approx(width, rel=0.03)
