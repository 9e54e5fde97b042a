"""The released package on five PSFs, and on real galaxies of COSMOS.

- psfs: single Sersic galaxies seen through five PSFs, white noise, sky known: the network alone
  (`--fast`) and refined by the pixels. Galaxies are the same for all, in pixels and in units of the
  noise. `specialists.py` compares with networks for one PSF each.
- euclid: scatter in the bins and definitions of the Euclid Morphology Challenge.
- cosmos: the galaxies of GalSim's example of the COSMOS catalogue (HST/ACS F814W), each through
  its own PSF, in its own stamp, against the catalogue's single Sersic fits. Nothing was tuned on
  them. A fit by least squares that starts at the catalogue's values shows what the pixels say.

Seeds, ranges and cuts were fixed before the first run of a release.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import galsim
import numpy as np
import pandas as pd
from astropy.io import fits
from scipy.special import gamma, gammaincinv

from galadapt.config.image import Image, MoffatPsf, OpticalPsf
from galadapt.config.survey import Extraction
from galadapt.core.files import write_csv
from galadapt.core.log import to_stderr
from galadapt.cutouts.neighbours import shape_of
from galadapt.fitting.fusion import Fusion
from galadapt.fitting.noise import LAGS
from galadapt.fitting.refine import Refiner
from galadapt.general.package import RELEASED, GeneralPackage, read
from galadapt.general.parameters import SIDE
from galadapt.general.refined import refine, refiner_of
from galadapt.general.run import Measured
from galadapt.simulation.ktable import KTableRenderer
from galadapt.simulation.psf import fwhm, make_psf

SEED = 7001

#: PSFs: settings and pixel scale [arcsec].
PSFS = {
    "HST F160W, 0.06 arcsec": (OpticalPsf(), 0.06),
    "HST F814W, 0.03 arcsec": (OpticalPsf(wavelength=814, blur=0.03), 0.03),
    "JWST F150W, 0.02 arcsec": (
        OpticalPsf(wavelength=1500, diameter=6.5, obscuration=0.2, struts=6, blur=0.008),
        0.02,
    ),
    "Euclid VIS, 0.1 arcsec": (
        OpticalPsf(wavelength=725, diameter=1.2, obscuration=0.33, struts=3, blur=0.05),
        0.1,
    ),
    "ground, 0.2 arcsec": (MoffatPsf(fwhm=0.7, beta=3.2), 0.2),
}

#: Ranges: ln(flux over noise), radius [px] (logarithmic), index (logarithmic), ellipticity.
RANGES = {"ln_flux": (6.5, 13.0), "radius": (2.0, 25.0), "index": (0.6, 5.0), "e": (0.0, 0.8)}

#: Bins of ln(flux over noise).
BINS = ((6.5, 13.0), (6.5, 8.0), (8.0, 10.0), (10.0, 13.0))

#: Middles of the Euclid Morphology Challenge's bins [mag], each 1 mag wide here.
EUCLID_BINS = (21.7, 22.7, 23.8, 24.8)

#: Smaller side of a box of COSMOS from which it is binned [px].
_LARGE = 160

#: Scatter of a prior that says next to nothing, in the order of the parameters.
_FREE = np.array([3.0, 3.0, 3.0, 1.5, 1.5, 6.0, 6.0])


def answers(
    package: GeneralPackage,
    images: np.ndarray,
    valid: np.ndarray,
    noise: np.ndarray,
    psf: np.ndarray,
    correlation: np.ndarray | None = None,
) -> tuple[dict[str, tuple[Measured, np.ndarray]], dict[str, float]]:
    """Measure stamps with the network, and refined: answers, tails of errors, CPU ms per galaxy."""
    index = np.zeros(len(images), int)
    begun = time.process_time()
    fast = package.measure(images, valid, noise, psf[None], index)
    between = time.process_time()
    fusion = package.record.fusion
    normal = np.ones((len(images), 8))
    refined, tail = fast, normal
    if fusion is not None:
        learner = Fusion.from_dict(fusion)
        refiner = refiner_of(psf, correlation)
        outcome = refine(fast, images, valid, noise, refiner, learner)
        refined, tail = outcome.measured, outcome.tail
    ended = time.process_time()
    count = 1e3 / max(len(images), 1)
    spent = {"fast": (between - begun) * count, "refined": (ended - begun) * count}
    return {"fast": (fast, normal), "refined": (refined, tail)}, spent


def least_squares(
    refiner: Refiner, image: np.ndarray, valid: np.ndarray, rms: float, start: np.ndarray
) -> Measured:
    """Fit one stamp (S, S) from given parameters (7,), without a network, its sky taken as 0."""
    free = np.diag(_FREE**2)[None]
    found = refiner(image[None], np.array([rms]), start[None], free, valid[None], sky_error=0.0)
    theta, none = found.theta, np.zeros((1, 1))
    return Measured(theta, found.covariance, np.hypot(theta[:, 3], theta[:, 4]), none[0], none)


def compared(
    found: Measured, tail: np.ndarray, theta: np.ndarray, here: np.ndarray
) -> dict[str, float]:
    """NMAD, R2 and coverage of magnitude, radius, index and ellipticity.

    `tail` (n, 8) is that of the errors; see `galadapt.fitting.fusion.Fused`.
    """
    e = np.hypot(theta[:, 3], theta[:, 4])
    sigma = np.sqrt(np.diagonal(found.covariance, axis1=1, axis2=2))
    pairs = {
        "magnitude": (1.0857 * found.theta[:, 0], 1.0857 * theta[:, 0], 1.0857 * sigma[:, 0]),
        "ln_radius": (found.theta[:, 1], theta[:, 1], sigma[:, 1]),
        "ln_index": (found.theta[:, 2], theta[:, 2], sigma[:, 2]),
        "ellipticity": (found.ellipticity, e, found.ellipticity_err),
    }
    row: dict[str, float] = {"n": int(here.sum())}
    wide = 1.96 ** tail[here][:, [0, 1, 2, -1]]
    for column, (name, (said, true, error)) in enumerate(pairs.items()):
        error_of = (said - true)[here]
        bias = np.median(error_of)
        row[f"{name}_bias"] = float(bias)
        row[f"{name}_nmad"] = float(1.4826 * np.median(np.abs(error_of - bias)))
        some = true[here]
        row[f"{name}_r2"] = float(1 - (error_of**2).sum() / ((some - some.mean()) ** 2).sum())
        row[f"{name}_cover68"] = float((np.abs(error_of) < error[here]).mean())
        row[f"{name}_cover95"] = float((np.abs(error_of) < wide[:, column] * error[here]).mean())
    return row


def drawn(
    theta: np.ndarray, psf: galsim.GSObject, scale: float, seed: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Stamps (n, S, S) of single galaxies in white noise of 1, image and light of their PSF."""
    # Noise as in CANDELS, in whose units the renderer's tolerances are.
    rms = 0.0051
    renderer = KTableRenderer(Image(stamp_size=SIDE, pixel_scale=scale, zero_point=25.0), psf)
    images = np.empty((len(theta), SIDE, SIDE), np.float32)
    for row, (ln_flux, ln_radius, ln_index, e1, e2, x, y) in enumerate(theta):
        images[row] = renderer.render(
            {
                "magnitude": 25.0 - 2.5 * np.log10(np.exp(ln_flux) * rms),
                "effective_radius": np.exp(ln_radius),
                "sersic_index": np.exp(ln_index),
                "ellipticity": np.hypot(e1, e2),
                "position_angle": np.degrees(np.arctan2(e2, e1) / 2),
                "x_offset": x,
                "y_offset": y,
            }
        )
    noise = np.random.default_rng(seed).standard_normal(images.shape, np.float32)
    image = psf.drawImage(nx=SIDE, ny=SIDE, scale=scale, method="no_pixel", dtype=float).array
    light = float(image.sum())
    return images / np.float32(rms) + noise, image / light, light


def vectors(
    ln_flux: np.ndarray, radius: np.ndarray, index: np.ndarray, e: np.ndarray, seed: int
) -> np.ndarray:
    """Parameters (n, 7) of galaxies [px] of random angles and centres."""
    rng = np.random.default_rng(seed)
    double = 2 * np.pi * rng.random(len(e))
    x, y = rng.uniform(-0.5, 0.5, (2, len(e)))
    e1, e2 = e * np.cos(double), e * np.sin(double)
    return np.stack([ln_flux, np.log(radius), np.log(index), e1, e2, x, y], axis=1)


def measured(
    package: GeneralPackage, theta: np.ndarray, psf: galsim.GSObject, scale: float, seed: int
) -> tuple[dict[str, tuple[Measured, np.ndarray]], dict[str, float]]:
    """Draw galaxies and measure them; see `answers`."""
    images, image, light = drawn(theta, psf, scale, seed)
    count = len(theta)
    found, spent = answers(package, images, np.ones(images.shape, bool), np.ones(count), image)
    for one, _ in found.values():
        # As `galadapt predict` does: light that the PSF puts beyond its image.
        one.theta[:, 0] -= np.log(light)
    return found, spent


def five_galaxies(count: int) -> np.ndarray:
    """Parameters (n, 7) of the galaxies that are seen through five PSFs."""
    unit = np.random.default_rng(SEED).random((4, count))
    (f0, f1), (r0, r1), (n0, n1), (e0, e1) = RANGES.values()
    ln_flux, e = f0 + (f1 - f0) * unit[0], e0 + (e1 - e0) * unit[3]
    radius, index = r0 * (r1 / r0) ** unit[1], n0 * (n1 / n0) ** unit[2]
    return vectors(ln_flux, radius, index, e, SEED + 2)


def five_psfs(package: GeneralPackage, count: int) -> pd.DataFrame:
    """Galaxies through five PSFs."""
    theta = five_galaxies(count)
    rows = []
    for name, (settings, scale) in PSFS.items():
        psf = make_psf(settings, scale)
        width = fwhm(psf, scale) / scale
        found, spent = measured(package, theta, psf, scale, SEED + 1)
        for kind, (one, tail) in found.items():
            for low, high in BINS:
                here = (theta[:, 0] >= low) & (theta[:, 0] < high)
                about = {"psf": name, "fwhm_px": width, "answer": kind, "low": low, "high": high}
                values = compared(one, tail, theta, here)
                rows.append({**about, **values, "cpu_ms": spent[kind]})
    return pd.DataFrame(rows)


def euclid(package: GeneralPackage, count: int) -> pd.DataFrame:
    """Scatter in the bins and definitions of the Euclid Morphology Challenge.

    Bretonniere et al. (2023, arXiv:2209.12906): dispersion is the 68 % quantile of the absolute
    error, relative in the radius, in dex in the index, absolute in the axis ratio. Its galaxies are
    not public: these are single Sersic profiles whose radii shrink with magnitude, in white noise
    of the wide survey's depth in VIS (10 sigma in 2 arcsec at 24.5 mag).
    """
    settings, scale = PSFS["Euclid VIS, 0.1 arcsec"]
    rng = np.random.default_rng(SEED + 3)
    aperture = np.sqrt(np.pi) / scale
    rows = []
    for middle in EUCLID_BINS:
        magnitude = middle + rng.uniform(-0.5, 0.5, count)
        ln_flux = np.log(10 * aperture) - 0.4 * np.log(10) * (magnitude - 24.5)
        radius = 0.5 * 10 ** (-0.1 * (magnitude - 22)) * np.exp(0.4 * rng.standard_normal(count))
        index = np.clip(1.3 * np.exp(0.5 * rng.standard_normal(count)), 0.4, 5.5)
        e = 1 - rng.uniform(0.2, 1.0, count)
        theta = vectors(ln_flux, np.clip(radius / scale, 1.0, 30), index, e, SEED + 4)
        found, _ = measured(package, theta, make_psf(settings, scale), scale, SEED + 5)
        for kind, (one, _) in found.items():
            off = one.theta - theta
            errors = np.expm1(off[:, 1]), off[:, 2] / np.log(10), one.ellipticity - e
            row: dict[str, object] = {"answer": kind, "magnitude": middle, "n": count}
            for name, error in zip(("radius", "index", "axis_ratio"), errors, strict=True):
                row[f"{name}_bias"] = float(np.median(error))
                row[f"{name}_dispersion"] = float(np.quantile(np.abs(error), 0.68))
                row[f"{name}_outliers"] = float((np.abs(error) > 0.5).mean())
            rows.append(row)
    return pd.DataFrame(rows)


def cosmos(package: GeneralPackage, folder: Path) -> pd.DataFrame:
    """Real galaxies, a row each: labels and both answers."""
    name = "real_galaxy_catalog_23.5_example"
    catalogue = galsim.RealGalaxyCatalog(f"{name}.fits", dir=str(folder))
    labels = fits.getdata(folder / f"{name}_fits.fits")
    places = {int(ident): row for row, ident in enumerate(labels["IDENT"])}
    # Of the catalogue's images: the mean of both axes.
    noise = fits.getdata(folder / "acs_I_unrot_sci_20_cf.fits")
    middle = len(noise) // 2
    along = noise[middle, middle : middle + LAGS] + noise[middle : middle + LAGS, middle]
    correlation = np.asarray(along / along[0], float)
    rows = []
    for row in range(catalogue.nobjects):
        label = labels[places[int(catalogue.ident[row])]]
        brightness, radius, index, q = label["sersicfit"][:4]
        b = gammaincinv(2 * index, 0.5)
        total = 2 * np.pi * index * q * radius**2 * brightness
        total *= np.exp(b) * b ** (-2 * index) * gamma(2 * index)
        image = catalogue.getGalImage(row).array.astype(np.float32)
        variance = float(catalogue.variance[row])
        psf = galsim.InterpolatedImage(
            catalogue.getPSFImage(row), flux=1.0, x_interpolant=galsim.Lanczos(15)
        )
        # Galaxies that fill more than a stamp are measured on means of pixels, as users are told.
        factor = 2 if min(image.shape) > _LARGE else 1
        rms, scale, known = np.sqrt(variance), 0.03, correlation
        if factor == 2:
            image = binned(image)
            psf = galsim.Convolve(psf, galsim.Pixel(0.06), galsim.Deconvolve(galsim.Pixel(0.03)))
            rms, scale, known = rms * (2 + 2 * correlation[1]), 0.06, binned_noise(correlation)
        image_of_psf = psf.drawImage(nx=SIDE, ny=SIDE, scale=scale, method="no_pixel", dtype=float)
        stamp, valid = _framed(image)
        around = shape_of(stamp, rms, (0.0, 0.0), Extraction()).neighbours
        # Zeros are pixels that the catalogue's makers took out.
        valid &= (stamp != 0) & ~around
        shown = image_of_psf.array / image_of_psf.array.sum()
        both, _ = answers(package, stamp[None], valid[None], np.array([rms]), shown, known)
        found = {kind: one for kind, (one, _) in both.items()}
        # What a fit to these pixels makes of the catalogue's own values.
        double = 2 * label["sersicfit"][7] - np.pi
        own = [np.log(max(total, 1e-9)), np.log(radius / factor), np.log(index)]
        own += [(1 - q) * np.cos(double), (1 - q) * np.sin(double)]
        start = np.array([*own, *found["refined"].theta[0, 5:7]])
        found["least squares"] = least_squares(refiner_of(shown, known), stamp, valid, rms, start)
        about = {
            "ident": int(catalogue.ident[row]),
            "side": min(image.shape),
            "usable": bool(label["viable_sersic"]),
            "magnitude": -2.5 * np.log10(max(total, 1e-9)),
            "ln_radius": np.log(radius),
            "ln_index": np.log(index),
            "ellipticity": 1 - q,
        }
        for kind, one in found.items():
            about[f"magnitude_{kind}"] = -2.5 / np.log(10) * one.theta[0, 0]
            about[f"ln_radius_{kind}"] = one.theta[0, 1] + np.log(factor)
            about[f"ln_index_{kind}"] = one.theta[0, 2]
            about[f"ellipticity_{kind}"] = one.ellipticity[0]
        rows.append(about)
    return pd.DataFrame(rows)


def binned(image: np.ndarray) -> np.ndarray:
    """Sums of 2 x 2 pixels of which none is 0, that is missing; else 0."""
    height, width = (2 * (side // 2) for side in image.shape)
    cells = image[:height, :width].reshape(height // 2, 2, width // 2, 2)
    return np.asarray(cells.sum(axis=(1, 3)) * (cells != 0).all(axis=(1, 3)))


def binned_noise(correlation: np.ndarray) -> np.ndarray:
    """Correlation of the noise of `binned` pixels along an axis."""
    whole = np.concatenate([correlation, np.zeros(2 * len(correlation))])
    lags = 2 * np.arange(len(correlation))
    found = whole[np.abs(lags - 1)] + 2 * whole[lags] + whole[lags + 1]
    return np.asarray(found / found[0])


def _framed(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut or frame an image to a stamp; which pixels are its own."""
    stamp, valid = np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), bool)
    take, put = [], []
    for size in image.shape:
        # The galaxy is at the pixel (size - 1) // 2 + 1, that of GalSim's true centre.
        low = (SIDE - size) // 2
        take.append(slice(max(-low, 0), max(-low, 0) + min(size, SIDE)))
        put.append(slice(max(low, 0), max(low, 0) + min(size, SIDE)))
    stamp[put[0], put[1]] = image[take[0], take[1]]
    valid[put[0], put[1]] = True
    return stamp, valid


def scores(table: pd.DataFrame, seed: int = SEED) -> pd.DataFrame:
    """R2 of each quantity with 95 % bootstrap intervals, and without the five worst galaxies."""
    rng = np.random.default_rng(seed)
    rows = []
    for kind in ("fast", "refined", "least squares"):
        for name in ("magnitude", "ln_radius", "ln_index", "ellipticity"):
            true, said = table[name].to_numpy(), table[f"{name}_{kind}"].to_numpy()
            error = said - true
            worst = np.argsort(-((error - np.median(error)) ** 2))[:5]
            left = np.setdiff1d(np.arange(len(table)), worst)
            draws = rng.integers(0, len(table), (2000, len(table)))
            low, high = np.quantile([_r2(true[one], said[one]) for one in draws], [0.025, 0.975])
            rows.append(
                {
                    "answer": kind,
                    "quantity": name,
                    "n": len(table),
                    "r2": _r2(true, said),
                    "low": low,
                    "high": high,
                    "r2_without_5": _r2(true[left], said[left]),
                    "bias": float(np.median(error)),
                    "nmad": 1.4826 * float(np.median(np.abs(error - np.median(error)))),
                    "worst": " ".join(str(one) for one in table["ident"].to_numpy()[worst]),
                }
            )
    return pd.DataFrame(rows)


def _r2(true: np.ndarray, said: np.ndarray) -> float:
    return float(1 - ((said - true) ** 2).sum() / ((true - true.mean()) ** 2).sum())


def main() -> int:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", type=Path, default=RELEASED)
    parser.add_argument("--count", type=int, default=300, help="galaxies per PSF")
    parser.add_argument("--cosmos", type=Path, help="folder of the RealGalaxyCatalog")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/general"))
    arguments = parser.parse_args()
    to_stderr()
    package = read(arguments.package)
    table = five_psfs(package, arguments.count)
    write_csv(arguments.output / "psfs.csv", table)
    print(table.round(3).to_string(index=False))
    challenge = euclid(package, arguments.count)
    write_csv(arguments.output / "euclid.csv", challenge)
    print(challenge.round(3).to_string(index=False))
    if arguments.cosmos is not None:
        galaxies = cosmos(package, arguments.cosmos)
        write_csv(arguments.output / "cosmos_galaxies.csv", galaxies)
        found = scores(galaxies[galaxies["usable"]].reset_index(drop=True))
        write_csv(arguments.output / "cosmos.csv", found)
        print(found.round(3).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
