"""Simulated EPIC fields: an observation, its sources, its defects, and the class of those."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.core.errors import RunError
from galadapt.core.log import progress
from galadapt.core.parallel import mapped
from galadapt.core.random import generator
from galadapt.stamps.format import SPLITS, write_stamps
from galadapt.stamps.splits import rounded
from galadapt.tasks.class_stamps import class_metadata
from galadapt.tasks.screening.classes import BEGINS, CLASSES, obs_class_of_fraction, pixels_of_class
from galadapt.tasks.screening.defects import PN_MODE, STREAK_WIDTH, Scene, inject
from galadapt.tasks.screening.instrument import (
    CAMERA,
    CAMERAS,
    DRAWN_RADIUS,
    LOST,
    OUT_OF_TIME,
    READOUT_LENGTH,
    Grid,
    View,
    draw_offsets,
    look,
    vignetting,
)
from galadapt.tasks.screening.moments import MOMENTS, moments
from galadapt.tasks.screening.settings import KINDS, SimulatedFields
from galadapt.tasks.screening.sky import beta_model, draw_pointing, draw_sources

_ORDER, _FIELD = 1, 2  #: random stream purposes: which class a field gets, and all that is in it
_BATCH = 32  #: fields per task and batch

#: Draws of a field until its flagged area makes the wanted class; then it has the class it makes.
_ATTEMPTS = 20

#: A pixel belongs to the field if so much of it lies on chips, of one camera at least.
_EXPOSED_SHARE = 0.25

#: Sources with more counts are drawn as an expected image, others photon by photon.
_BRIGHT = 2000.0

#: A target whose streak would exceed so much of the background is observed in a window.
_STREAK_AVOIDED = 0.3

_LIVE_SCATTER = 0.08  #: scatter of the cameras' live times


@dataclass(frozen=True)
class Field:
    """A simulated field."""

    image: np.ndarray  #: counts per second and pixel (side, side) float32
    mask: np.ndarray  #: flagged pixels (side, side)
    row: dict[str, Any]  #: its columns in the table


def wanted_classes(settings: SimulatedFields, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits (N,) and classes 0 to 5 (N,) of all fields: the shares in a shuffled order."""
    names, classes = [], []
    for k, name in enumerate(SPLITS):
        split = getattr(settings, name)
        exact = np.array(split.shares) / sum(split.shares) * split.n
        dealt = np.repeat(np.arange(len(CLASSES)), rounded(exact))
        names += [name] * split.n
        classes.append(generator(seed, _ORDER, k).permutation(dealt))
    return np.array(names, object), np.concatenate(classes)


def simulate_field(settings: SimulatedFields, seed: int, index: int, wanted: int) -> Field:
    """Simulate one field; it depends on nothing but the arguments.

    A field too small for the OBS_CLASS `wanted` (a window of pn in coarse pixels) has the class its
    flagged area makes.
    """
    rng = generator(seed, _FIELD, index)
    made = None
    for attempt in range(_ATTEMPTS):
        kinds = _draw_kinds(settings, wanted, rng)
        observed = _observe(settings, kinds, attempt > _ATTEMPTS // 2, rng)
        drawn = _spoil(settings, observed[0], kinds, wanted, rng)
        if drawn is None:
            continue
        made = (*observed, *drawn, kinds)
        share = float(drawn[0].sum() / observed[0].exposed.sum())
        label = int(obs_class_of_fraction(share))
        if label == wanted:
            break
    if made is None:
        raise RunError(
            f"field {index}: no defect of class {wanted} fits; give more kinds of defects a share"
        )
    scene, exposure, target, mask, extra, names = made
    counts = _expose(settings, scene, target, extra, rng)
    # The grid is in the middle of the image; all beyond it is 0.
    margin = (settings.side - scene.grid.n) // 2
    image = np.pad(counts / exposure, margin).astype(np.float32)
    row = {
        "label": CLASSES[label],
        "group": f"field{index:07d}",
        "exposure": exposure,
        "camera": settings.camera,
        "mode": " ".join(f"{name}:{mode}" for name, mode in scene.modes.items()),
        "masked_fraction": share,
        "exposed_fraction": float(scene.exposed.sum() / settings.side**2),
        "defects": " ".join(names),
        "counts": int(counts.sum()),
        **moments(image),
    }
    return Field(image, np.pad(mask, margin), row)


def _draw_kinds(settings: SimulatedFields, wanted: int, rng: np.random.Generator) -> list[str]:
    """Draw the kinds of defect of a field, the largest first."""
    if wanted == 0:
        return []
    numbers = [wanted]
    if 2 <= wanted <= 4 and rng.random() < settings.defects.second:
        numbers.append(wanted - 1)
    kinds = []
    for number in numbers:
        shares = {
            kind: getattr(settings.defects, kind).share
            for kind, classes in KINDS.items()
            if number in classes
        }
        # Only pn shows streaks, and not in the window that a source with wings is observed in.
        if settings.camera not in ("sum", "pn") or "wings" in kinds:
            shares.pop("streak", None)
        if "streak" in kinds:
            shares.pop("wings", None)
        weights = np.array(list(shares.values()))
        if weights.sum() == 0:
            # Settings leave a first defect for every class, but perhaps no second.
            break
        kinds.append(list(shares)[rng.choice(len(shares), p=weights / weights.sum())])
    return kinds


#: Position and rate of the target, as `draw_sources` gives those of the other sources.
_Target = tuple[float, float, float]


def _observe(
    settings: SimulatedFields, kinds: list[str], full: bool, rng: np.random.Generator
) -> tuple[Scene, float, _Target | None]:
    """Draw an observation: cameras, modes, exposure, background, target."""
    cameras = CAMERAS if settings.camera == "sum" else (settings.camera,)
    exposure = settings.exposure.at_log(rng.random())
    sky = settings.background.sky.at_log(rng.random())
    particles = settings.background.particles.at_log(rng.random())
    target = None
    if rng.random() < settings.sources.target:
        rate = settings.sources.target_rate.at_log(rng.random())
        target = (*draw_pointing(rng), rate)
    windowed = rng.random(len(cameras)) < settings.window
    small = rng.random(len(cameras)) < 0.4
    modes = {
        name: ("small" if small[k] else "large") if windowed[k] and not full else "full"
        for k, name in enumerate(cameras)
    }
    if "pn" in modes:
        streak = target[2] * OUT_OF_TIME["full"] if target else 0.0
        if streak > _STREAK_AVOIDED * (sky + particles) * STREAK_WIDTH * READOUT_LENGTH:
            modes["pn"] = "large"
        for kind in kinds[::-1]:
            allowed = PN_MODE.get(kind)
            if allowed and modes["pn"] not in allowed:
                modes["pn"] = allowed[0]
    lost = LOST[1 + rng.integers(2) if rng.random() < settings.lost_chips else 0]
    angle = 2 * np.pi * rng.random()
    origin = (0.0, 0.0)
    if settings.coordinates == "detector":
        angle = -np.deg2rad(CAMERA[cameras[0]].turn)
        axis = CAMERA[cameras[0]].axis
        origin = (-axis[0], -axis[1])
    grid = _grid(settings, origin)
    views = {
        name: look(name, modes[name], lost if name == "mos1" else (), angle, grid, settings.outside)
        for name in cameras
    }
    live = np.clip(rng.normal(1.0, _LIVE_SCATTER, len(cameras)), 0.5, 1.0)
    seconds = {
        name: float(exposure * CAMERA[name].live * live[k]) for k, name in enumerate(cameras)
    }
    return _scene(grid, views, modes, seconds, sky, particles), exposure, target


def _grid(settings: SimulatedFields, origin: tuple[float, float]) -> Grid:
    """The pixels around the field of view, as many on each side of the image's middle."""
    side, pixel = settings.side, settings.pixel_scale / 60
    radius = DRAWN_RADIUS + (4.0 if settings.outside else 0.0)
    margin = max(int(side / 2 - radius / pixel), 0)
    return Grid(side - 2 * margin, pixel, origin, max(settings.binning // 2, 1))


def _scene(
    grid: Grid,
    views: dict[str, View],
    modes: dict[str, str],
    seconds: dict[str, float],
    sky: float,
    particles: float,
) -> Scene:
    sensitivity, unvignetted = np.zeros((2, grid.n, grid.n))
    for name, view in views.items():
        sensitivity += seconds[name] * CAMERA[name].area * view.inside
        unvignetted += seconds[name] * CAMERA[name].particles * view.covered
    sensitivity *= vignetting(grid.distance())
    exposed = np.any([view.inside >= _EXPOSED_SHARE for view in views.values()], axis=0)
    background = (sky * sensitivity + particles * unvignetted) * grid.area
    level = float(background[exposed].mean() / sensitivity[exposed].mean() / grid.area)
    return Scene(grid, views, modes, seconds, sensitivity, background, level, exposed)


def _spoil(
    settings: SimulatedFields,
    scene: Scene,
    kinds: list[str],
    wanted: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Flagged pixels and counts of the defects; None if the field cannot have the class by them."""
    mask, extra = np.zeros_like(scene.exposed), np.zeros(scene.exposed.shape)
    if not kinds:
        return mask, extra
    fewest, most = pixels_of_class(wanted, int(scene.exposed.sum()))
    if most < fewest:
        # The smallest region that can be flagged is larger than the class allows.
        fewest = most = 1
    for k, kind in enumerate(kinds):
        pixels = int(fewest * (most / fewest) ** rng.random() + 0.5)
        if k > 0:
            # The second is smaller than the first, wherever that ended.
            pixels = max(int(mask.sum() * rng.uniform(0.1, 0.5)), 1)
        strength = getattr(settings.defects, kind).strength.at_log(rng.random())
        injected = inject(kind, scene, min(pixels, most), strength, rng)
        if injected is None:
            return None
        mask |= injected[0]
        extra += injected[1]
    return mask, extra


def _expose(
    settings: SimulatedFields,
    scene: Scene,
    target: _Target | None,
    extra: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Counts per pixel of the grid: sources, diffuse emission, background and defects."""
    expected = scene.background + extra
    if rng.random() < settings.diffuse.probability:
        expected += _diffuse(settings, scene, rng)
    sources = np.array(draw_sources(settings.sources, rng))
    if target is not None:
        sources = np.column_stack([sources, target])
    x, y, rate = sources
    bright = rate * scene.sensitivity.max() > _BRIGHT
    for one in zip(x[bright], y[bright], rate[bright], strict=True):
        expected += scene.source(*one, 2 * np.pi * rng.random())
    photons = _photons(scene, x[~bright], y[~bright], rate[~bright], rng)
    return np.asarray(rng.poisson(expected) + photons)


def _diffuse(settings: SimulatedFields, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Counts of an extended source that is not flagged, the target or another."""
    x, y = draw_pointing(rng) if rng.random() < 0.5 else scene.position(rng, DRAWN_RADIUS)
    core = settings.diffuse.core_radius.at_log(rng.random())
    bright = scene.level * settings.diffuse.brightness.at_log(rng.random())
    shape = beta_model(scene.grid.distance(x, y), core)
    return scene.read_out(bright * shape * scene.sensitivity * scene.grid.area)


def _photons(
    scene: Scene, x: np.ndarray, y: np.ndarray, rate: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Counts of faint sources, photon by photon: mirrors and chips lose some of them."""
    grid, most = scene.grid, scene.sensitivity.max()
    number = rng.poisson(rate * most)
    row, column = grid.cell(*draw_offsets(np.repeat(x, number), np.repeat(y, number), rng))
    chance = rng.random(len(row)) * most
    on = (row >= 0) & (row < grid.n) & (column >= 0) & (column < grid.n)
    cell = (row * grid.n + column)[on]
    seen = cell[chance[on] < scene.sensitivity.ravel()[cell]]
    return np.bincount(seen, minlength=grid.n**2).reshape(grid.n, grid.n)


def _batch(settings: SimulatedFields, seed: int, classes: np.ndarray, start: int) -> list[Field]:
    stop = min(start + _BATCH, len(classes))
    return [simulate_field(settings, seed, k, int(classes[k])) for k in range(start, stop)]


def simulate_fields(
    settings: SimulatedFields,
    seed: int,
    output: Path,
    provenance: dict[str, Any],
    processes: int = 1,
) -> None:
    """Simulate all fields of the settings into one stamp set with masks.

    A field depends on the settings, the seed and its number only.

    Args:
        output: Stamp set to write; images in counts/s, masks of the flagged pixels. Columns: id,
            split, label (OBS_CLASS of the flagged area), group, exposure [s], camera, mode,
            masked_fraction (flagged over exposed pixels), exposed_fraction (exposed over all),
            defects (names, the largest first; empty for none), counts, std [counts/s], skewness
            and kurtosis of the image.

    Raises:
        RunError: the settings leave no defect for a class, or `output` cannot be written.
    """
    splits, classes = wanted_classes(settings, seed)
    total = len(classes)
    table = pd.DataFrame({"id": np.arange(total), "split": splits})
    rows: list[dict[str, Any]] = []

    def images() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        starts = range(0, total, _BATCH)
        made = mapped(partial(_batch, settings, seed, classes), starts, processes)
        for fields in progress(made, len(starts), output.name, "batches"):
            rows.extend(field.row for field in fields)
            if len(rows) == total:
                # The table is stored after the last batch.
                for column, values in pd.DataFrame(rows).items():
                    table[column] = values
            yield np.stack([field.image for field in fields]), np.stack([f.mask for f in fields])

    metadata = class_metadata(
        "simulated",
        CLASSES,
        settings.pixel_scale,
        "0.2-12 keV",
        provenance,
        mask_borders=list(BEGINS),
        moments=list(MOMENTS),
        camera=settings.camera,
    )
    write_stamps(output, images(), table, metadata, unit="count/s", masks=True)
