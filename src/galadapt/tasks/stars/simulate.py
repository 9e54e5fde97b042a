"""Simulated CCD frames of star fields, in the form of users' frames."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import fits

from galadapt.config.base import Interval
from galadapt.core.errors import DataError
from galadapt.core.files import atomic, canonical_json, write_csv
from galadapt.core.log import progress
from galadapt.core.parallel import mapped
from galadapt.core.photometry import draw_magnitude, flux_of
from galadapt.core.random import generator
from galadapt.stamps.format import SPLITS
from galadapt.tasks.stars.optics import BOX, Optics, draw, transform
from galadapt.tasks.stars.settings import STAR_CLASSES, SimulatedFrames

_CELLS = 4  #: cells along a side of the frame in each of which the PSF is constant
_COMPANION = 10.0  #: largest distance of a companion [arcsec]
_SHARED = 0.6  #: share of its strength that an aberration has in a mixed comet

#: Coma of a mixed donut over its radius: a longer flare would fill the hole.
_LOPSIDED = Interval(low=0.25, high=0.5)

#: First purposes of the random numbers, of frames and of `Drawn.place`; one for each class and
#: split follows.
_PURPOSE = 6100
_PLACES = 6150

#: Steps of the sequence that fills a 4-dimensional box most evenly: powers of 1 / g with
#: g^5 = g + 1 (Roberts 2018, "The unreasonable effectiveness of quasirandom sequences").
_STEPS = 1.1673039782614187 ** -np.arange(1.0, 5.0)


#: What a frame was made with.
_TRUTH = {
    "seeing": "FWHM of the atmosphere [arcsec]",
    "coma": "flare at the centre [arcsec]",
    "drift": "trail [arcsec]",
    "defocus": "outer radius at the centre [arcsec]",
    "mild": "weak case of its class",
    "mixed": "two aberrations",
    "stars": "drawn",
}


@dataclass(frozen=True)
class Drawn:
    """Identity of one simulated frame: number `index` of its class and split."""

    label: str
    split: str
    index: int
    density: float

    @property
    def name(self) -> str:
        """File name."""
        return f"{self.label}_{self.split}_{self.index:04d}.fits"

    @property
    def _kind(self) -> int:
        return STAR_CLASSES.index(self.label) * len(SPLITS) + SPLITS.index(self.split)

    def generator(self, seed: int) -> np.random.Generator:
        """Random numbers of this frame: more frames of any class change none."""
        return generator(seed, _PURPOSE + self._kind, self.index)

    def place(self, seed: int) -> np.ndarray:
        """Position of this frame among those of its class and split: (4,) in [0, 1).

        A class may have a handful of frames. Independent draws would leave a split without a mild
        case or without any of good seeing; the frames of an evenly filling sequence do not.
        """
        start = generator(seed, _PLACES + self._kind, 0).random(len(_STEPS))
        return np.asarray((start + self.index * _STEPS) % 1)


def frames_of(settings: SimulatedFrames) -> list[Drawn]:
    """List the frames of a configuration, split by split."""
    return [
        Drawn(label, split, index, getattr(settings, label).density)
        for split in SPLITS
        for label in STAR_CLASSES
        for index in range(getattr(getattr(settings, label), split))
    ]


def simulate_frames(
    settings: SimulatedFrames,
    seed: int,
    folder: Path,
    table: Path,
    provenance: Mapping[str, Any],
    processes: int = 1,
) -> None:
    """Write the frames of a configuration and the table that describes them.

    A frame depends on the settings, the seed, its class, split and number; not on the others.

    Args:
        folder: One FITS file of uint16 [ADU] per frame, its truth in the header.
        table: CSV, written last: frame (relative to the table), label, split; then what the frame
            was made with, as `_TRUTH` (stars also count if too faint to see).

    Raises:
        DataError: the folder holds something else, such as frames of other settings.
    """
    drawn = frames_of(settings)
    folder.mkdir(parents=True, exist_ok=True)
    others = {path.name for path in folder.iterdir()} - {frame.name for frame in drawn}
    if others:
        raise DataError(
            f"{folder}: contains {min(others)!r}, which is no frame of these settings; empty the "
            "folder or give another"
        )
    work = partial(_write, settings=settings, seed=seed, folder=folder, provenance=provenance)
    rows = list(progress(mapped(work, drawn, processes), len(drawn), "simulation", "frames"))
    path = os.path.relpath(folder.resolve(), table.parent.resolve())
    for row in rows:
        row["frame"] = (Path(path) / row["frame"]).as_posix()
    write_csv(table, pd.DataFrame(rows))


def _write(
    frame: Drawn,
    settings: SimulatedFrames,
    seed: int,
    folder: Path,
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    pixels, truth = simulate_frame(frame, settings, seed)
    cards: list[tuple[Any, ...]] = [
        ("BUNIT", "adu"),
        ("EXPTIME", settings.exposure, "[s]"),
        ("GAIN", settings.gain, "[electron/adu]"),
        ("RDNOISE", settings.read_noise, "[electron]"),
        ("SATURATE", settings.saturation, "[adu]"),
    ]
    for axis, (kind, sign) in enumerate((("RA---TAN", -1), ("DEC--TAN", 1)), start=1):
        cards += [
            (f"CTYPE{axis}", kind),
            (f"CRPIX{axis}", (settings.side + 1) / 2),
            (f"CRVAL{axis}", 0.0),
            (f"CDELT{axis}", sign * settings.pixel_scale / 3600),
            (f"CUNIT{axis}", "deg"),
        ]
    cards += [
        ("LABEL", frame.label, "class"),
        ("SPLIT", frame.split),
        ("SEED", str(seed), "data seed"),
        ("INDEX", frame.index, "number in its class and split"),
    ]
    cards += [(name.upper(), truth[name], comment) for name, comment in _TRUTH.items()]
    header = fits.Header(cards)
    header["HISTORY"] = f"galadapt {canonical_json(dict(provenance))}"
    with atomic(folder / frame.name) as temporary:
        fits.PrimaryHDU(pixels, header).writeto(temporary)
    return {"frame": frame.name, "label": frame.label, "split": frame.split, **truth}


def simulate_frame(
    frame: Drawn, settings: SimulatedFrames, seed: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """Make one frame: pixels (side, side) uint16 [ADU] and the row of truth, as `_TRUTH`."""
    rng = frame.generator(seed)
    optics, mild, mixed = optics_of(frame.label, settings, rng, frame.place(seed))
    x, y, flux = _stars(settings, frame.density, rng)
    electrons = _sky(settings, rng)
    _add_stars(electrons, x, y, flux, optics, settings)
    truth = {
        "seeing": round(optics.seeing, 4),
        "coma": round(math.hypot(*optics.coma), 4),
        "drift": round(optics.drift, 4),
        "defocus": round(optics.defocus, 4),
        "mild": mild,
        "mixed": mixed,
        "stars": len(x),
    }
    return _expose(electrons, settings, rng), truth


def optics_of(
    label: str, settings: SimulatedFrames, rng: np.random.Generator, place: np.ndarray
) -> tuple[Optics, bool, bool]:
    """Draw what shapes the stars of a frame of one class.

    `place` decides which case it is (mild, mixed, neither), coma or drift, the strength of its
    aberration and the seeing, each from 0 to 1; `rng` all else.

    Returns:
        The optics, and whether the frame is a mild and whether it is a mixed case.
    """
    kind = place[0] if label != "circular" else 1.0
    mild, mixed = kind < settings.mild, settings.mild <= kind < settings.mild + settings.mixed
    seeing = settings.seeing.at(place[3])
    growth = settings.field_variation * rng.random()
    shear = rng.normal(0, settings.ellipticity, 2).clip(-0.3, 0.3)
    obscuration, steady = settings.obscuration.at(rng.random()), settings.steady.at(rng.random())
    left = (settings.residual * rng.random(3)).tolist()
    weak = settings.mild_strength + (1 - settings.mild_strength) * place[2]

    def strength(interval: Interval) -> float:
        return float(interval.low * weak if mild else interval.at(place[2]))

    coma, drift, defocus = (
        strength(interval) for interval in (settings.coma, settings.drift, settings.defocus)
    )
    by_coma = place[1] < 0.5
    angles = rng.uniform(0, 2 * math.pi, 3)
    slope = settings.defocus_tilt * rng.random()
    has_coma = label == "comet" and (mixed or by_coma)
    has_drift = label == "comet" and (mixed or not by_coma)
    if label == "comet" and mixed:
        # Less of each where both flare: together they show about as much as one.
        coma, drift = _SHARED * coma, _SHARED * drift
    lopsided = _LOPSIDED.at(rng.random())
    if label == "donut" and mixed:
        coma, has_coma = lopsided * defocus, True
    coma = coma if has_coma else left[0]
    return (
        Optics(
            seeing=seeing,
            growth=growth,
            shear=(float(shear[0]), float(shear[1])),
            obscuration=obscuration,
            coma=(coma * math.cos(angles[0]), coma * math.sin(angles[0])),
            coma_corner=settings.coma_growth * coma,
            drift=drift if has_drift else left[1],
            drift_angle=float(angles[1]),
            steady=steady,
            defocus=defocus if label == "donut" else left[2],
            tilt=(slope * math.cos(angles[2]), slope * math.sin(angles[2])),
        ),
        bool(mild),
        bool(mixed),
    )


def _stars(
    settings: SimulatedFrames, density: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions [px] and fluxes [electrons] of the stars on a frame and just beyond its edge."""
    wide = settings.side + BOX
    jitter = settings.crowding ** rng.uniform(-1, 1)
    mean = settings.stars(density) * jitter * (wide / settings.side) ** 2
    count = int(rng.poisson(mean))
    x, y = rng.uniform(-BOX / 2, settings.side + BOX / 2, (2, count))
    limits = settings.bright_limit, settings.faint_limit
    magnitude = draw_magnitude(rng, *limits, settings.magnitude_slope, count)
    near = np.flatnonzero(rng.random(count) < settings.companions)
    beside = rng.integers(0, max(count, 1), len(near))
    angle = rng.uniform(0, 2 * math.pi, len(near))
    away = _COMPANION / settings.pixel_scale * np.sqrt(rng.random(len(near)))
    x[near], y[near] = x[beside] + away * np.cos(angle), y[beside] + away * np.sin(angle)
    return x, y, settings.exposure * flux_of(magnitude, settings.zero_point)


def _sky(settings: SimulatedFrames, rng: np.random.Generator) -> np.ndarray:
    """Mean electrons of the sky in each pixel (side, side), a plane."""
    brightness = settings.sky.at(rng.random())
    level = settings.exposure * settings.pixel_scale**2 * flux_of(brightness, settings.zero_point)
    angle = rng.uniform(0, 2 * math.pi)
    slope = settings.sky_gradient * rng.random()
    axis = np.linspace(-1, 1, settings.side)
    plane = slope * (math.cos(angle) * axis + math.sin(angle) * axis[:, None])
    return np.asarray(level * (1 + plane))


def _add_stars(
    electrons: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    flux: np.ndarray,
    optics: Optics,
    settings: SimulatedFrames,
) -> None:
    side = settings.side
    cell = np.clip(np.stack([x, y]) * _CELLS // side, 0, _CELLS - 1).astype(int)
    left, bottom = (np.round(place).astype(int) - BOX // 2 for place in (x, y))
    for column, row in np.ndindex(_CELLS, _CELLS):
        here = np.flatnonzero((cell[0] == column) & (cell[1] == row))
        if len(here) == 0:
            continue
        u, v = ((place + 0.5) / _CELLS * 2 - 1 for place in (column, row))
        spectrum = transform(optics.psf(u, v, settings), settings.pixel_scale)
        for star in here:
            x0, y0 = int(left[star]), int(bottom[star])
            low_x, high_x = max(x0, 0), min(x0 + BOX, side)
            low_y, high_y = max(y0, 0), min(y0 + BOX, side)
            if low_x >= high_x or low_y >= high_y:
                continue
            box = draw(spectrum, x[star] - x0 - BOX // 2, y[star] - y0 - BOX // 2)
            part = box[low_y - y0 : high_y - y0, low_x - x0 : high_x - x0]
            electrons[low_y:high_y, low_x:high_x] += flux[star] * part


def _expose(
    electrons: np.ndarray, settings: SimulatedFrames, rng: np.random.Generator
) -> np.ndarray:
    """Detect: photon and read noise, gain, bias, saturation, digitisation."""
    # The transform rings by some 1e-6 of a star: never below nothing.
    charge = rng.poisson(electrons.clip(min=0)).astype(float)
    if settings.bleed:
        bleed(charge, (settings.saturation - settings.bias) * settings.gain)
    charge += rng.normal(0, settings.read_noise, charge.shape)
    counts = np.round(charge / settings.gain + settings.bias)
    return np.asarray(counts.clip(0, settings.saturation).astype(np.uint16))


def bleed(charge: np.ndarray, full: float) -> None:
    """Move what a pixel cannot hold (`full`) up and down its column, half each way.

    `charge` (rows, columns) is changed in place; what reaches an end of the column is lost.
    """
    for column in np.flatnonzero((charge > full).any(axis=0)):
        line = charge[:, column]
        excess = (line - full).clip(min=0) / 2
        line[:] = line.clip(max=full)
        for order in (slice(None), slice(None, None, -1)):
            carried = 0.0
            ordered, spilled = line[order], excess[order]
            for row in range(len(line)):
                held = min(ordered[row] + carried, full)
                carried += ordered[row] - held + spilled[row]
                ordered[row] = held
