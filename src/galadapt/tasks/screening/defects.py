"""Defects of a field, and the region that is flagged for each.

Every defect orders the exposed pixels, the most affected first, and flags as many as the class of
the field needs: so its area is exact. Its light is in counts per pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from galadapt.tasks.screening.instrument import (
    CAMERA,
    CAMERAS,
    FIELD_RADIUS,
    OUT_OF_TIME,
    READOUT_LENGTH,
    Grid,
    View,
    point_source,
    readout_streak,
    wing_level,
)
from galadapt.tasks.screening.sky import beta_model

#: What pn must be read as for a kind of defect: without its full frame there is no streak, and a
#: source with wings would have a streak that is brighter still.
PN_MODE = {"streak": ("full",), "wings": ("large", "small")}

#: Narrowest strip over which the brightness of a streak is meant [arcmin].
STREAK_WIDTH = 0.4

#: Width of a streak over the radius around its source that is flagged with it.
_STREAK_SHARE = (0.15, 0.4)

#: Distance of a source outside of the field whose reflections are seen [arcmin].
_ARC_SOURCE = (25.0, 80.0)

#: Radius of the region flagged for extended emission over its core's: from 1.2 on, by up to this
#: factor more.
_CONCENTRATION = 8.0

#: Largest distance of a very bright source or of very extended emission from the axis [arcmin].
_FARTHEST = 9.0


@dataclass(frozen=True)
class Scene:
    """A field before anything goes wrong; images are (n, n)."""

    grid: Grid
    views: dict[str, View]  #: chips of each camera on the grid
    modes: dict[str, str]  #: mode of each camera
    seconds: dict[str, float]  #: live time of each camera [s]
    sensitivity: np.ndarray  #: counts per count/s of a source in pn on its axis [s]
    background: np.ndarray  #: counts per pixel
    level: float  #: background as brightness of the sky [counts/s/arcmin2 of pn on its axis]
    exposed: np.ndarray  #: pixels of the field

    def source(self, x: float, y: float, rate: float, spokes: float) -> np.ndarray:
        """Counts of a bright source, with its out-of-time events (n, n)."""
        light = rate * self.sensitivity * point_source(x, y, spokes, self.grid)
        view = self.views.get("pn")
        if view is None:
            return light
        row, column = (int(k) for k in self.grid.cell(np.asarray(x), np.asarray(y)))
        if not (0 <= row < self.grid.n and 0 <= column < self.grid.n):
            return light
        chip = view.chip[row, column]
        if chip == 0:
            return light
        u, _ = view.to_detector(*self.grid.axes())
        source_u, _ = view.to_detector(np.asarray(x), np.asarray(y))
        spread = readout_streak(u, float(source_u), self.grid.pixel) * self.grid.area
        # What is read out late has passed the mirrors where the source is.
        events = rate * OUT_OF_TIME[self.modes["pn"]] * self.sensitivity[row, column]
        return light + events * np.where(view.chip == chip, view.inside * spread, 0.0)

    def read_out(self, light: np.ndarray) -> np.ndarray:
        """Add to extended light the share of it that pn detects while it shifts charge (n, n)."""
        view = self.views.get("pn")
        if view is None:
            return light
        chip = view.chip.astype(int)
        seen = sum(self.seconds[k] * CAMERA[k].area * v.inside for k, v in self.views.items())
        by_pn = self.seconds["pn"] * light * view.inside / np.maximum(seen, 1e-9)
        u, _ = view.to_detector(*self.grid.axes())
        columns = 2 * self.grid.n
        column = np.clip((u / self.grid.pixel + self.grid.n).astype(int), 0, columns - 1)
        column += columns * chip
        summed = np.bincount(column.ravel(), by_pn.ravel())
        mean = (summed / np.maximum(np.bincount(column.ravel()), 1))[column]
        return light + OUT_OF_TIME[self.modes["pn"]] * np.where(chip > 0, mean, 0.0)

    def position(self, rng: np.random.Generator, farthest: float) -> tuple[float, float]:
        """Draw the middle of an exposed pixel, not too far from the axis."""
        near = self.exposed & (self.grid.distance() < farthest)
        row, column = _pick(near if near.any() else self.exposed, rng)
        return self.grid.middle(row, column)


def _pick(pixels: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Draw one of the pixels that are True: its row and column."""
    places = np.argwhere(pixels)
    row, column = places[rng.integers(len(places))]
    return row, column


#: A defect's flagged pixels and its counts, or nothing where this field cannot have it.
Injected = tuple[np.ndarray, np.ndarray] | None


def inject(
    kind: str, scene: Scene, pixels: int, strength: float, rng: np.random.Generator
) -> Injected:
    """Draw a defect: mask (n, n) and counts per pixel (n, n); None where the field cannot have it.

    Args:
        kind: One of `galadapt.tasks.screening.settings.KINDS`.
        pixels: How many pixels are flagged; a noisy chip has its own area.
        strength: Surface brightness over the background, as
            `galadapt.tasks.screening.settings.Defect`.
    """
    return _INJECTORS[kind](scene, pixels, strength, rng)


def _lowest(score: np.ndarray, scene: Scene, pixels: int) -> tuple[np.ndarray, float]:
    """Flag the exposed pixels of lowest score; also the highest score among them."""
    values = score[scene.exposed]
    order = np.argsort(values, kind="stable")[:pixels]
    flagged = np.zeros(len(values), bool)
    flagged[order] = True
    mask = np.zeros(scene.exposed.shape, bool)
    mask[scene.exposed] = flagged
    return mask, float(values[order[-1]])


def _chip(
    scene: Scene, rng: np.random.Generator, cameras: tuple[str, ...] = CAMERAS
) -> tuple[View, np.ndarray] | None:
    """Draw a camera and one of its chips: where it is on the grid, and is exposed."""
    seen = [name for name in cameras if name in scene.views]
    if not seen:
        return None
    view = scene.views[seen[rng.integers(len(seen))]]
    numbers = np.unique(view.chip[scene.exposed & (view.chip > 0)])
    if len(numbers) == 0:
        return None
    return view, scene.exposed & (view.chip == numbers[rng.integers(len(numbers))])


def _hot_pixels(scene: Scene, pixels: int, strength: float, rng: np.random.Generator) -> Injected:
    near = scene.grid.distance(*scene.position(rng, FIELD_RADIUS))
    mask, _ = _lowest(near + 0.5 * scene.grid.pixel * rng.random(near.shape), scene, pixels)
    return mask, strength * mask * scene.background[scene.exposed].mean()


def _hot_column(scene: Scene, pixels: int, strength: float, rng: np.random.Generator) -> Injected:
    found = _chip(scene, rng)
    if found is None:
        return None
    view, chip = found
    u, v = view.to_detector(*scene.grid.axes())
    middle = u[chip][rng.integers(chip.sum())]
    columns = np.abs(np.rint((u - middle) / scene.grid.pixel))
    # Charge is read out in one direction: a column is hot from the bad pixel on.
    score = columns * 1e3 + np.abs(v - v[chip][np.argmax(np.abs(v[chip]))])
    mask, worst = _lowest(np.where(chip, score, 1e9), scene, pixels)
    return (mask, strength * mask * scene.background) if worst < 1e9 else None


def _streak(scene: Scene, pixels: int, strength: float, rng: np.random.Generator) -> Injected:
    found = _chip(scene, rng, ("pn",))
    if found is None or scene.modes["pn"] not in PN_MODE["streak"]:
        return None
    view, on_chip = found
    near = on_chip & (scene.grid.distance() < _FARTHEST)
    if not near.any():
        return None
    row, column = _pick(near, rng)
    x, y = scene.grid.middle(row, column)
    u, _ = view.to_detector(*scene.grid.axes())
    across = np.where(view.chip == view.chip[row, column], np.abs(u - u[row, column]), np.inf)
    share = rng.uniform(*_STREAK_SHARE)
    mask, edge = _lowest(np.minimum(across, share * scene.grid.distance(x, y)), scene, pixels)
    # Brightness is meant over the flagged strip: a wide one belongs to a bright source.
    width = max(STREAK_WIDTH, 2 * edge)
    per_count = OUT_OF_TIME["full"] * scene.sensitivity[row, column] / (READOUT_LENGTH * width)
    background = scene.background[mask].mean() / scene.grid.area
    rate = strength * background / per_count
    return mask, scene.source(x, y, rate, 2 * np.pi * rng.random())


def _wings(scene: Scene, pixels: int, strength: float, rng: np.random.Generator) -> Injected:
    x, y = scene.position(rng, _FARTHEST)
    mask, radius = _lowest(scene.grid.distance(x, y), scene, pixels)
    rate = strength * scene.level / wing_level(radius, float(np.hypot(x, y)))
    return mask, scene.source(x, y, rate, 2 * np.pi * rng.random())


def _arcs(scene: Scene, pixels: int, strength: float, rng: np.random.Generator) -> Injected:
    far, way = rng.uniform(*_ARC_SOURCE), 2 * np.pi * rng.random()
    sx, sy = far * np.cos(way), far * np.sin(way)
    ax, ay = scene.grid.axes()
    radius = np.hypot(ax - sx, ay - sy)
    bearing = np.arctan2(
        np.cos(way) * (ay - sy) - np.sin(way) * (ax - sx),
        -np.cos(way) * (ax - sx) - np.sin(way) * (ay - sy),
    )
    middle = far - rng.uniform(0.0, 12.0)
    along = rng.uniform(1.5, 4.0)
    off = bearing * far - rng.uniform(-6.0, 6.0)
    mask, edge = _lowest(np.hypot(radius - middle, off / along), scene, pixels)
    light = np.zeros(scene.exposed.shape)
    for _ in range(rng.integers(2, 7)):
        at = middle + edge * rng.uniform(-0.9, 0.9)
        width = rng.uniform(0.1, 0.35)
        light += rng.uniform(0.5, 1.0) * np.exp(-0.5 * ((radius - at) / width) ** 2)
    within = np.clip(1.5 * (1 - np.hypot(radius - middle, off / along) / edge), 0, 1)
    scattered = rng.uniform(0.05, 0.25)
    return mask, strength * scene.background * within * (light + scattered)


def _extended(scene: Scene, pixels: int, strength: float, rng: np.random.Generator) -> Injected:
    x, y = scene.position(rng, _FARTHEST)
    ax, ay = scene.grid.axes()
    tilt, ratio = np.pi * rng.random(), rng.uniform(0.6, 1.0)
    along = np.cos(tilt) * (ax - x) + np.sin(tilt) * (ay - y)
    across = np.cos(tilt) * (ay - y) - np.sin(tilt) * (ax - x)
    distance = np.hypot(along, across / ratio)
    mask, edge = _lowest(distance, scene, pixels)
    core = max(edge, scene.grid.pixel) / (1.2 * _CONCENTRATION ** rng.random())
    shape = beta_model(distance, core)
    bright = strength * scene.level / shape[mask].min()
    return mask, scene.read_out(bright * shape * scene.sensitivity * scene.grid.area)


def _noisy_chip(scene: Scene, pixels: int, strength: float, rng: np.random.Generator) -> Injected:
    found = _chip(scene, rng)
    if found is None:
        return None
    return found[1], strength * scene.background * found[1]


def _flare(scene: Scene, pixels: int, strength: float, rng: np.random.Generator) -> Injected:
    if pixels < scene.exposed.sum():
        return None
    return scene.exposed.copy(), strength * scene.background


_INJECTORS: dict[str, Callable[[Scene, int, float, np.random.Generator], Injected]] = {
    "hot_pixels": _hot_pixels,
    "hot_column": _hot_column,
    "streak": _streak,
    "wings": _wings,
    "arcs": _arcs,
    "extended": _extended,
    "noisy_chip": _noisy_chip,
    "flare": _flare,
}
