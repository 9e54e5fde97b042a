"""A survey like CANDELS, with galaxies that the training simulator cannot make.

Galaxies are a bulge and an exponential disc whose light is partly gathered into spiral arms, bars
and clumps; they overlap, and fainter ones lie between them. The PSF is broader than the training
one, elliptical, and varies over the field; the depth is uneven, the sky is not perfectly
subtracted. Each catalogued galaxy gets the values a careful single-Sersic fit would give, with
errors and flags that grow with faintness and crowding.
"""

from __future__ import annotations

from typing import Any

import galsim
import numpy as np
import pandas as pd
from astropy.nddata import overlap_slices
from scipy import fft
from scipy.spatial import cKDTree

from galadapt.config.image import Image, Psf
from galadapt.config.survey import MockSurvey
from galadapt.core.log import progress
from galadapt.core.photometry import draw_magnitude, flux_of, magnitude_of
from galadapt.core.random import generator
from galadapt.simulation import profiles
from galadapt.simulation.noise import add_noise, resolve
from galadapt.simulation.psf import make_psf
from galadapt.surveys import fit_errors
from galadapt.surveys.field import Field, tangent_wcs

#: Sides of the boxes galaxies are drawn in [px]; the PSF is transformed once for each.
_BOXES = (64, 128, 256, 512, 1024)

_BOX_LIMIT = 0.02  #: surface brightness at which a galaxy's box may end [pixel rms]
_PSF_CELLS = 8  #: the PSF is constant within each of this many cells per axis

#: Radius within which a brighter galaxy hides a fainter one from the catalogue [arcsec].
_BLEND_RADIUS = 0.4

_BORDER = 8  #: rows and columns without data around the mosaic [px]

# Purposes of random streams; the index of a galaxy takes the lower half of the key.
_GALAXY, _CLUMPS, _SKY, _NOISE, _DEFECTS, _CATALOG = range(1, 7)


def make_mock(
    survey: MockSurvey, image: Image, psf: Psf, seed: int, field: Field, provenance: dict[str, Any]
) -> None:
    """Make a mock survey; the same seed gives the same bytes.

    `psf` is the training PSF, which the survey's PSF broadens and distorts. The catalogue lists the
    galaxies above the catalogue limit; truth has a row per galaxy drawn: components, best single
    Sersic, catalogued or not.
    """
    side = max(survey.side(image.pixel_scale), 2 * image.stamp_size + 4 * _BORDER)
    levels = resolve(survey.noise)
    galaxies = draw_population(survey, image, seed, side)
    wcs = tangent_wcs((side, side), image.pixel_scale)
    rms_map = _depth(side, levels.pixel_rms)
    optics = _FieldPsf(survey, image, psf, side)
    table = _best_fits(galaxies, image, levels.pixel_rms, levels.exposure_time, optics.sigma)
    rows = _catalogue(table, survey, image, wcs, rms_map, levels.exposure_time, seed)

    mosaic = _draw(table, optics, image, seed, side, levels.pixel_rms)
    sky = survey.sky_residual * levels.pixel_rms * _smooth_field(side, seed)
    has_data = _has_data(side, seed)
    mosaic = add_noise(mosaic, levels, generator(seed, _NOISE), rms_map=rms_map.astype(np.float32))
    mosaic = np.where(has_data, mosaic + sky, 0).astype(np.float32)
    weight = np.where(has_data, 1 / rms_map**2, 0).astype(np.float32)

    origin, bands = "galadapt mock survey", [(mosaic, weight)]
    field.write_images(mosaic.shape, wcs, image, levels.exposure_time, origin, bands)
    about = f"mock survey in {image.band}: single Sersic values of composite galaxies"
    field.write_tables(rows, table, about, provenance)


def draw_population(survey: MockSurvey, image: Image, seed: int, side: int) -> pd.DataFrame:
    """Draw the galaxies of a mock survey: positions, magnitudes and composition.

    Sizes, axis ratios and the mix of types follow the flag-0 objects of the 3D-HST COSMOS
    catalogue in 18-24 mag (van der Wel et al. 2014), without claiming to be their model.

    Returns:
        One row per galaxy: id, x, y [px, 0-based], magnitude, spheroid, axis_ratio,
        position_angle [deg], disc_radius and bulge_radius [px], disc_index, bulge_index,
        bulge_fraction, structure_fraction, bar_fraction, arms, pitch [deg].
    """
    count = survey.n_galaxies + round(survey.n_galaxies * survey.faint_ratio)
    return pd.DataFrame([_galaxy(index, survey, image, seed, side) for index in range(count)])


def _galaxy(index: int, survey: MockSurvey, image: Image, seed: int, side: int) -> dict[str, Any]:
    rng = generator(seed, _GALAXY, index)
    x, y = rng.uniform(0, side - 1, 2)
    limits = survey.bright_limit, survey.catalog_limit
    if index >= survey.n_galaxies:
        limits = survey.catalog_limit, survey.faint_limit
    magnitude = draw_magnitude(rng, *limits, survey.magnitude_slope)
    # Bright galaxies are more often spheroids.
    spheroid = rng.random() < np.clip(0.28 - 0.04 * (magnitude - 21), 0.1, 0.5)
    # Median size in arcsec: steep above 21 mag, shallow below.
    depth = magnitude - 21
    size = 0.40 * 10 ** (-0.13 * min(depth, 0) - 0.05 * max(depth, 0))
    size *= 10 ** rng.normal(0, 0.17) * (0.7 if spheroid else 1.0) / image.pixel_scale
    if spheroid:
        bulge_fraction = rng.uniform(0.65, 1.0)
        bulge_index = rng.choice([3.0, 3.5, 4.0, 4.5])
        bulge_radius, disc_radius = size * 0.9, size * rng.uniform(1.4, 2.2)
        axis_ratio = np.clip(rng.normal(0.74, 0.15), 0.3, 1.0)
        structure_fraction = bar_fraction = 0.0
    else:
        bulge_fraction = rng.beta(1.0, 9.0)
        bulge_index = rng.choice([1.5, 2.0, 2.5, 3.0])
        bulge_radius, disc_radius = size * rng.uniform(0.2, 0.4), size * 1.05
        # A disc of thickness 0.2 seen at a random inclination.
        axis_ratio = np.sqrt(0.2**2 + (1 - 0.2**2) * rng.random() ** 2)
        structure_fraction = min(survey.structure * rng.uniform(0.1, 0.4), 0.9)
        has_bar = rng.random() < 0.35
        bar_fraction = min(survey.structure * rng.uniform(0.03, 0.12), 0.3) if has_bar else 0.0
    return {
        "id": index + 1,
        "x": x,
        "y": y,
        "magnitude": magnitude,
        "spheroid": bool(spheroid),
        "axis_ratio": float(axis_ratio),
        "position_angle": rng.uniform(-90, 90),
        "disc_radius": float(np.clip(disc_radius, 1.0, 60.0)),
        "disc_index": float(rng.choice([0.7, 0.85, 1.0, 1.0, 1.15])),
        "bulge_radius": float(np.clip(bulge_radius, 0.4, 40.0)),
        "bulge_index": float(bulge_index),
        "bulge_fraction": float(bulge_fraction),
        "structure_fraction": float(structure_fraction),
        "bar_fraction": float(bar_fraction),
        "arms": int(rng.choice([0, 2, 2, 2, 3, 4])),
        "pitch": rng.uniform(12, 30) * rng.choice([-1, 1]),
    }


def _components(galaxies: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fractions, radii and indices (N, 3) of bulge, disc (with arms and clumps) and bar.

    Arms and clumps lie where the disc's light lies, so on average they are the disc.
    """
    disc_share = 1 - galaxies["bulge_fraction"]
    bar = disc_share * galaxies["bar_fraction"]
    fractions = np.stack([galaxies["bulge_fraction"], disc_share - bar, bar], axis=1)
    radii = galaxies[["bulge_radius", "disc_radius"]].assign(bar=0.35 * galaxies["disc_radius"])
    indices = galaxies[["bulge_index", "disc_index"]].assign(bar=0.5)
    return fractions, radii.to_numpy(), indices.to_numpy()


def _best_fits(
    galaxies: pd.DataFrame, image: Image, pixel_rms: float, exposure_time: float, psf_sigma: float
) -> pd.DataFrame:
    """Add flux [e-/s] and the best single Sersic (best_magnitude, _radius [px], _index)."""
    table = galaxies.copy()
    table["flux"] = flux_of(table["magnitude"], image.zero_point)
    flux, radius, index = profiles.fit_single_sersic(
        *(table["flux"].to_numpy(), table["axis_ratio"].to_numpy()),
        *_components(table),
        *(pixel_rms, exposure_time, psf_sigma),
    )
    table["best_magnitude"] = magnitude_of(flux, image.zero_point)
    table["best_radius"], table["best_index"] = radius, index
    return table


def _boxes(table: pd.DataFrame, pixel_rms: float) -> np.ndarray:
    """Side of each galaxy's box (N,): where its light falls below `_BOX_LIMIT`."""
    fractions, radii, indices = _components(table)
    grid = np.geomspace(4, _BOXES[-1] / 2 - 8, 60)
    ratio = table["axis_ratio"].to_numpy()[:, None, None]
    parts = profiles.surface_brightness(
        grid[None, :, None], radii[:, None, :], indices[:, None, :], ratio
    )
    brightness = (fractions[:, None, :] * parts).sum(axis=2) * table["flux"].to_numpy()[:, None]
    limit = _BOX_LIMIT * pixel_rms
    wanted = 2 * (np.where(brightness > limit, grid, 0).max(axis=1) + 8)
    return np.array(_BOXES)[np.minimum(np.searchsorted(_BOXES, wanted), len(_BOXES) - 1)]


def _draw(
    table: pd.DataFrame, optics: _FieldPsf, image: Image, seed: int, side: int, pixel_rms: float
) -> np.ndarray:
    """Draw all galaxies, without noise: (side, side) float64 [e-/s]."""
    mosaic = np.zeros((side, side))
    boxes = _boxes(table, pixel_rms)
    records: list[dict[Any, Any]] = table.to_dict("records")
    for record, box in progress(
        zip(records, boxes, strict=True), len(records), "mock survey", "galaxies"
    ):
        x, y = int(record["x"]), int(record["y"])
        rng = generator(seed, _CLUMPS, record["id"])
        spectrum = optics.transform(x, y, int(box))
        stamp = _galaxy_stamp(record, int(box), image.pixel_scale, spectrum, rng)
        # What lies outside the mosaic is dropped.
        inside, part = overlap_slices(mosaic.shape, stamp.shape, (y, x))
        mosaic[inside] += stamp[part]
    return mosaic


def _half_plane(profile: galsim.GSObject, box: int, pixel_scale: float) -> np.ndarray:
    """Fourier transform of a profile (box, box/2 + 1), in the order of ``rfft2``."""
    bounds = galsim.BoundsI(0, box // 2, -box // 2, box // 2 - 1)
    grid = galsim.ImageCD(bounds, scale=2 * np.pi / (box * pixel_scale))
    profile.drawKImage(image=grid, recenter=False)
    return fft.ifftshift(grid.array, axes=0)


class _FieldPsf:
    """The survey's PSF: the training PSF broadened, with an ellipticity that turns over the field.

    Both PSFs are band-limited close to the Nyquist frequency of the pixels, so a product of
    transforms on the pixel grid draws without oversampling.
    """

    def __init__(self, survey: MockSurvey, image: Image, psf: Psf, side: int) -> None:
        self._base = make_psf(psf, image.pixel_scale)
        if survey.psf_broadening > 0:
            blur = galsim.Gaussian(sigma=survey.psf_broadening)
            self._base = galsim.Convolve(self._base, blur)
        self._survey, self._scale, self._side = survey, image.pixel_scale, side
        self._known: dict[tuple[int, int, int], np.ndarray] = {}

    @property
    def sigma(self) -> float:
        """Sigma of the Gaussian of the same width [px]."""
        return float(self._base.calculateFWHM()) / 2.3548 / self._scale

    def transform(self, x: int, y: int, box: int) -> np.ndarray:
        """Transform of the PSF at (x, y) [px] for boxes of the given side."""
        cell = (x * _PSF_CELLS // self._side, y * _PSF_CELLS // self._side, box)
        if cell not in self._known:
            u, v = ((c + 0.5) / _PSF_CELLS * 2 - 1 for c in cell[:2])
            # Astigmatism: radial ellipticity that grows outwards, on top of a constant one.
            size = self._survey.psf_ellipticity / 2
            e1, e2 = size * (0.5 + (u * u - v * v) / 2), size * (0.3 + u * v)
            local = self._base.shear(e1=e1, e2=e2)
            self._known[cell] = _half_plane(local, box, self._scale).astype(np.complex64)
        return self._known[cell]


def _galaxy_stamp(
    galaxy: dict[str, Any], box: int, pixel_scale: float, psf: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw one galaxy centred on pixel (box/2 + fraction of x, box/2 + fraction of y)."""
    flux, q = galaxy["flux"], galaxy["axis_ratio"]
    disc_flux = flux * (1 - galaxy["bulge_fraction"])
    clumpy = disc_flux * galaxy["structure_fraction"]
    bar = disc_flux * galaxy["bar_fraction"]
    # GalSim's half-light radius is circularised; GALFIT's is the semi-major axis.
    smooth = galsim.Sersic(
        galaxy["disc_index"],
        half_light_radius=galaxy["disc_radius"] * np.sqrt(q) * pixel_scale,
        flux=disc_flux - clumpy - bar,
    )
    if galaxy["bulge_fraction"] > 0:
        smooth += galsim.Sersic(
            galaxy["bulge_index"],
            half_light_radius=galaxy["bulge_radius"] * np.sqrt(q) * pixel_scale,
            flux=flux * galaxy["bulge_fraction"],
        )
    angle = galaxy["position_angle"] + 90
    spectrum = _half_plane(smooth.shear(q=q, beta=angle * galsim.degrees), box, pixel_scale)
    dx, dy = galaxy["x"] - int(galaxy["x"]), galaxy["y"] - int(galaxy["y"])
    shift_x, shift_y = box // 2 + dx, box // 2 + dy
    kx = 2 * np.pi * fft.rfftfreq(box)
    ky = 2 * np.pi * fft.fftfreq(box)
    spectrum = spectrum * np.exp(-1j * kx * shift_x) * np.exp(-1j * ky * shift_y)[:, None]
    if clumpy + bar > 0:
        blobs = _structure(galaxy, clumpy, bar, rng)
        spectrum = spectrum + fft.rfft2(_gaussians(blobs, shift_x, shift_y, box))
    return fft.irfft2(spectrum * psf, s=(box, box))


def _structure(
    galaxy: dict[str, Any], clumpy: float, bar: float, rng: np.random.Generator
) -> np.ndarray:
    """Arms, clumps and bar as round Gaussians: rows of dx, dy [px], sigma [px], flux [e-/s]."""
    radius, q = galaxy["disc_radius"], galaxy["axis_ratio"]
    count = 60
    # Radii follow an exponential disc's light, r exp(-r/h) with h = re / 1.678.
    r = np.minimum(rng.gamma(2.0, radius / 1.678, count), 3.5 * radius)
    if galaxy["arms"]:
        arm = rng.integers(galaxy["arms"], size=count) * 2 * np.pi / galaxy["arms"]
        winding = np.log(np.maximum(r / radius, 0.05)) / np.tan(np.radians(galaxy["pitch"]))
        theta = arm + winding + rng.normal(0, 0.22, count)
    else:
        theta = rng.uniform(0, 2 * np.pi, count)
    weight = rng.gamma(0.8, 1.0, count)
    sigma = np.maximum(radius * rng.uniform(0.05, 0.16, count), 0.8)
    # A few compact knots stand out of the arms.
    knots = rng.integers(2, 6)
    weight[:knots] *= 5
    sigma[:knots] = 0.8
    blobs = [
        np.stack([r * np.cos(theta), r * np.sin(theta), sigma, clumpy * weight / weight.sum()])
    ]
    if bar > 0:
        along = np.linspace(-1, 1, 9) * 0.5 * radius
        turn = rng.uniform(0, np.pi)
        width = np.full(9, max(0.12 * radius, 0.8))
        blobs.append(
            np.stack([along * np.cos(turn), along * np.sin(turn), width, np.full(9, bar / 9)])
        )
    u, v, sigma, flux = np.concatenate(blobs, axis=1)
    # The disc plane is seen inclined: v shrinks, then the major axis turns to its angle.
    angle = np.radians(galaxy["position_angle"] + 90)
    v = v * q
    dx, dy = u * np.cos(angle) - v * np.sin(angle), u * np.sin(angle) + v * np.cos(angle)
    return np.stack([dx, dy, sigma, flux], axis=1)


def _gaussians(blobs: np.ndarray, x: float, y: float, box: int) -> np.ndarray:
    """Sum of round Gaussians about (x, y), each of exactly its flux on the pixel grid."""
    grid = np.arange(box)
    along_x = np.exp(-0.5 * ((grid - x - blobs[:, :1]) / blobs[:, 2:3]) ** 2)
    along_y = np.exp(-0.5 * ((grid - y - blobs[:, 1:2]) / blobs[:, 2:3]) ** 2)
    norm = 2 * np.pi * blobs[:, 2:3] ** 2
    return along_y.T @ (along_x * blobs[:, 3:4] / norm)


def _depth(side: int, pixel_rms: float) -> np.ndarray:
    """Sky rms map (side, side) [e-/s]: full depth inside, half and a quarter at dithered edges."""
    depth = np.ones((side, side))
    depth[:, int(0.88 * side) :] = 0.5
    depth[int(0.94 * side) :, :] *= 0.5
    return pixel_rms / np.sqrt(depth)


def _smooth_field(side: int, seed: int) -> np.ndarray:
    """A smooth field (side, side) of unit rms: waves of 150 to 1500 px."""
    rng = generator(seed, _SKY)
    grid = np.arange(side)
    total = np.zeros((side, side))
    for _ in range(8):
        period, angle, phase = np.exp(rng.uniform(*np.log([150, 1500]))), *rng.uniform(0, 7, 2)
        kx, ky = 2 * np.pi / period * np.array([np.cos(angle), np.sin(angle)])
        # cos(a + b) from one-dimensional parts, far cheaper than a cosine per pixel.
        a, b = kx * grid + phase, ky * grid
        total += np.outer(np.cos(b), np.cos(a)) - np.outer(np.sin(b), np.sin(a))
    return total / 2


def _has_data(side: int, seed: int) -> np.ndarray:
    """False where the mosaic holds no data: its border, patches near an edge, single pixels."""
    rng = generator(seed, _DEFECTS)
    good = np.ones((side, side), bool)
    good[:_BORDER] = good[-_BORDER:] = False
    good[:, :_BORDER] = good[:, -_BORDER:] = False
    for _ in range(3):
        x, width, height = rng.integers(_BORDER, side - 40), *rng.integers(10, 40, 2)
        good[_BORDER : _BORDER + height, x : x + width] = False
    pixels = rng.integers(0, side, (2, max(side * side // 400_000, 1)))
    good[pixels[0], pixels[1]] = False
    return good


def _catalogue(
    table: pd.DataFrame,
    survey: MockSurvey,
    image: Image,
    wcs: Any,
    rms_map: np.ndarray,
    exposure_time: float,
    seed: int,
) -> pd.DataFrame:
    """Catalogue of the galaxies above the limit; marks them `catalogued` in `table`."""
    positions = table[["x", "y"]].to_numpy()
    flux = table["flux"].to_numpy()
    tree = cKDTree(positions)
    hidden = np.zeros(len(table), bool)
    crowding = np.zeros(len(table))
    blend = _BLEND_RADIUS / image.pixel_scale
    for index, near in enumerate(tree.query_ball_point(positions, 2.0 / image.pixel_scale)):
        others = np.array([other for other in near if other != index], dtype=int)
        distance = np.hypot(*(positions[others] - positions[index]).T)
        hidden[index] = bool(((distance < blend) & (flux[others] > flux[index])).any())
        reach = 3 * (table["best_radius"].to_numpy()[others] + table["best_radius"].iloc[index])
        crowding[index] = flux[others][distance < reach].sum() / flux[index]
    table["catalogued"] = (table["magnitude"] < survey.catalog_limit) & ~hidden
    chosen = table["catalogued"].to_numpy()
    kept = table[chosen]
    rms = rms_map[kept["y"].astype(int), kept["x"].astype(int)]
    ratio = kept["axis_ratio"].to_numpy()
    sn = fit_errors.signal_to_noise(
        kept["flux"].to_numpy(), kept["best_radius"].to_numpy(), ratio, rms, exposure_time
    )
    rng = generator(seed, _CATALOG)
    best = kept[["axis_ratio", "position_angle"]].assign(
        magnitude=kept["best_magnitude"],
        effective_radius=kept["best_radius"] * image.pixel_scale,
        sersic_index=kept["best_index"],
    )
    rows = fit_errors.scattered(best, sn, survey.fit_scatter, rng)
    rows, flags = fit_errors.flagged(rows, crowding[chosen], rng)
    # A centroid is known to about the half width of the image over its S/N.
    jitter = rng.standard_normal((len(kept), 2)) * (2.0 / sn)[:, None]
    ra, dec = wcs.pixel_to_world_values(kept["x"] + jitter[:, 0], kept["y"] + jitter[:, 1])
    rows = _as_printed(rows.assign(ra=ra, dec=dec))
    return rows.assign(
        id=kept["id"].to_numpy(),
        flag=flags,
        ellipticity=1 - rows["axis_ratio"],
        ellipticity_error=rows["axis_ratio_error"],
    )


def _as_printed(rows: pd.DataFrame) -> pd.DataFrame:
    """Round to the digits that the published catalogues print: 7 decimals of degrees, 6 digits."""
    forms = {name: ".7f" if name in ("ra", "dec") else ".6g" for name in rows}
    return rows.apply(lambda column: [float(format(one, forms[column.name])) for one in column])
