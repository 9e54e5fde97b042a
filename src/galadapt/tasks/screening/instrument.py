"""The EPIC cameras: positions of their chips, vignetting and PSF of the mirrors.

Lengths are arcminutes. Detector coordinates (u, v) have their origin in the middle of a camera's
field of view. Sources: XMM-Newton Users' Handbook (chip layouts, window modes, out-of-time shares,
vignetting and PSF, rounded); the gaps and dead columns of pn were measured in the three images of
`xmm_epic`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

CAMERAS = ("pn", "mos1", "mos2")  #: names of the cameras, in order

#: Radius of the field of view, and of what is drawn outside of it.
FIELD_RADIUS, DRAWN_RADIUS = 15.4, 17.6

_HALF, _CELL = 20.0, 1 / 30  #: half side of a chip map and its pixel
_OUTSIDE = 128  #: added to the number of a chip outside of the field of view

#: Pixel of the pn images in which gaps and dead columns were counted, and the array's middle there.
_PN_PIXEL, _PN_MIDDLE = 4 / 60, 200.7

#: Chips of pn: first column and pitch, width, height and half the gap between the rows [px].
_PN_FIRST, _PN_PITCH, _PN_WIDTH, _PN_HEIGHT, _PN_GAP = 0.0, 67.4, 65.0, 194.0, 1.0

#: Dead columns of pn, first and last [px], in the upper and in the lower row of chips.
_PN_DEAD = {
    True: ((180, 181), (272, 273), (289, 290), (323, 324), (370, 371)),
    False: ((93, 94), (129, 131), (151, 152), (190, 192), (196, 199), (235, 236)),
}

_MOS_SIDE, _MOS_PITCH = 11.0, 11.15  #: a chip of MOS, and the distance of neighbours

#: Chips of MOS in units of the pitch: the middle one, and six around it.
_MOS_CHIPS = ((0, 0), (-0.5, -1), (-1, 0), (-0.5, 1), (0.5, 1), (1, 0), (0.5, -1))

LOST = ((), (6,), (6, 3))  #: MOS1 lost CCD6 in 2005 and CCD3 in 2012

#: Share of a source's events that pn detects while it shifts charge, by mode.
OUT_OF_TIME = {"full": 0.063, "large": 0.0016, "small": 0.011}

READOUT_LENGTH = _PN_HEIGHT * _PN_PIXEL  #: height of a pn chip, over which these events are spread

#: Radius of the PSF's core on the axis (King's profile of index 1.5, HEW 17 arcsec), how it grows
#: off-axis, and how much longer than wide it becomes per arcminute.
_CORE, _CORE_GROWTH, _ELONGATION = 5 / 60, 0.008, 0.04

#: Spokes of the spider that holds the mirrors, and how deeply they modulate the wings.
_SPOKES, _SPOKE_DEPTH = 16, 0.5

_HALF_AREA = 10.5  #: distance from the axis at which vignetting halves the effective area


@dataclass(frozen=True)
class Camera:
    """A camera's constants."""

    area: float  #: effective area, pn being 1
    particles: float  #: particle background, pn being 1
    live: float  #: share of the exposure it is live
    axis: tuple[float, float]  #: optical axis (u, v)
    turn: float  #: angle of its chips against those of the others [deg]


CAMERA = {
    "pn": Camera(1.0, 1.0, 0.9, (1.7, 0.85), 0.0),
    "mos1": Camera(0.38, 0.3, 1.0, (0.2, -0.2), 0.0),
    "mos2": Camera(0.38, 0.3, 1.0, (-0.2, 0.2), 90.0),
}


def vignetting(distance: np.ndarray) -> np.ndarray:
    """Effective area at a distance from the axis [arcmin], that on the axis being 1."""
    return np.asarray(1 / (1 + (distance / _HALF_AREA) ** 2))


@lru_cache(maxsize=24)
def _chip_map(camera: str, mode: str, lost: tuple[int, ...]) -> np.ndarray:
    """Number of the chip in each cell of the detector plane; 0 between them."""
    size = round(2 * _HALF / _CELL)
    at = (np.arange(size) + 0.5) * _CELL - _HALF
    u, v = at[None, :], at[:, None]
    chips = np.zeros((size, size), np.uint8)
    boxes = _pn_chips(mode) if camera == "pn" else _mos_chips(mode)
    for number, (left, right, low, high) in boxes.items():
        if number not in lost:
            chips[(u >= left) & (u < right) & (v >= low) & (v < high)] = number
    if camera == "pn":
        for upper, columns in _PN_DEAD.items():
            for first, last in columns:
                edges = [(x - _PN_MIDDLE) * _PN_PIXEL for x in (first, last + 1)]
                chips[(u >= edges[0]) & (u < edges[1]) & ((v > 0) == upper)] = 0
    chips[(np.hypot(u, v) > FIELD_RADIUS) & (chips > 0)] += _OUTSIDE
    chips.flags.writeable = False
    return chips


def _pn_chips(mode: str) -> dict[int, tuple[float, ...]]:
    """Edges of the chips of pn: 1 to 6 in the upper row, 7 to 12 in the lower."""
    boxes = {}
    height = {"full": 1.0, "large": 0.5, "small": 64 / 200}[mode] * _PN_HEIGHT
    for number in range(1, 13):
        left = _PN_FIRST + (number - 1) % 6 * _PN_PITCH - _PN_MIDDLE
        low = _PN_GAP if number <= 6 else -_PN_GAP - height
        edges = (left, left + _PN_WIDTH, low, low + height)
        if mode != "small" or number == 4:
            boxes[number] = tuple(edge * _PN_PIXEL for edge in edges)
    return boxes


def _mos_chips(mode: str) -> dict[int, tuple[float, ...]]:
    """Edges of the chips of MOS; windows leave 300 or 100 of 600 px of the middle one."""
    boxes: dict[int, tuple[float, ...]] = {}
    for number, (x, y) in enumerate(_MOS_CHIPS, start=1):
        share = {"full": 1.0, "large": 0.5, "small": 1 / 6}[mode] if number == 1 else 1.0
        half = _MOS_SIDE * share / 2
        u, v = x * _MOS_PITCH, y * _MOS_PITCH
        boxes[number] = (u - half, u + half, v - half, v + half)
    return boxes


@dataclass(frozen=True)
class Grid:
    """The pixels that can see anything, with coordinates relative to the optical axis."""

    n: int  #: side [px]
    pixel: float  #: side of a pixel
    origin: tuple[float, float]  #: middle of the grid (x, y)
    samples: int  #: points per pixel and axis at which chips are looked up

    @property
    def area(self) -> float:
        """Area of a pixel [arcmin2]."""
        return self.pixel**2

    def axes(self, samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates x (1, n samples) and y (n samples, 1)."""
        at = ((np.arange(self.n * samples) + 0.5) / samples - self.n / 2) * self.pixel
        return (at + self.origin[0])[None, :], (at + self.origin[1])[:, None]

    def cell(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of positions; they may lie outside of the grid."""
        column = np.floor((x - self.origin[0]) / self.pixel + self.n / 2)
        row = np.floor((y - self.origin[1]) / self.pixel + self.n / 2)
        return row.astype(int), column.astype(int)

    def middle(self, row: int, column: int) -> tuple[float, float]:
        """Position of the middle of a pixel."""
        x, y = self.axes()
        return float(x[0, column]), float(y[row, 0])

    def distance(self, x: float = 0.0, y: float = 0.0) -> np.ndarray:
        """Distance of each pixel from a position (n, n)."""
        ax, ay = self.axes()
        return np.asarray(np.hypot(ax - x, ay - y))


@dataclass(frozen=True)
class View:
    """The chips of one camera on a grid; images are (n, n)."""

    angle: float  #: position angle of its chips [rad]
    axis: tuple[float, float]  #: optical axis (u, v)
    chip: np.ndarray  #: chip in the middle of each pixel, 0 for none
    inside: np.ndarray  #: share of a pixel on chips in the field of view
    covered: np.ndarray  #: the same, with chips outside of the field of view if these are drawn

    def to_detector(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Detector coordinates of positions."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return c * x + s * y + self.axis[0], c * y - s * x + self.axis[1]


def look(
    camera: str, mode: str, lost: tuple[int, ...], angle: float, grid: Grid, outside: bool
) -> View:
    """Lay a camera's chips over a grid.

    Args:
        mode: full, large (window) or small (window).
        lost: Numbers of chips without data.
        angle: Position angle of the observation [rad].
        outside: Whether chips outside of the field of view count as covered.
    """
    constants = CAMERA[camera]
    turned = angle + np.deg2rad(constants.turn)
    c, s = np.cos(turned), np.sin(turned)
    x, y = grid.axes(grid.samples)
    cells = _chip_map(camera, mode, lost)
    # The cell of each sample, as integers; the grid never reaches the map's edge (clipped).
    u = ((c * x + (constants.axis[0] + _HALF)) / _CELL, s * y / _CELL)
    v = ((constants.axis[1] + _HALF - s * x) / _CELL, c * y / _CELL)
    column = np.clip((u[0] + u[1]).astype(np.int32), 0, len(cells) - 1)
    row = np.clip((v[0] + v[1]).astype(np.int32), 0, len(cells) - 1)
    chips = cells.ravel()[row * len(cells) + column]
    k = grid.samples

    def share(samples: np.ndarray) -> np.ndarray:
        return np.asarray(samples.reshape(grid.n, k, grid.n, k).mean(axis=(1, 3)))

    inside = share((chips > 0) & (chips < _OUTSIDE))
    covered = share(chips > 0) if outside else inside
    middle = chips[k // 2 :: k, k // 2 :: k]
    return View(
        float(turned), constants.axis, np.where(middle < _OUTSIDE, middle, 0), inside, covered
    )


def core_radius(distance: np.ndarray) -> np.ndarray:
    """Core of the PSF at a distance from the axis."""
    return np.asarray(_CORE * (1 + _CORE_GROWTH * distance**2))


def draw_offsets(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Where photons of sources at (x, y) arrive: drawn from King's profile, one each."""
    distance = np.hypot(x, y)
    radius = core_radius(distance) * np.sqrt((1 - rng.random(len(x))) ** -2.0 - 1)
    angle = 2 * np.pi * rng.random(len(x))
    radial, tangential = radius * np.cos(angle), radius * np.sin(angle)
    tangential = tangential * (1 + _ELONGATION * distance)
    away = np.arctan2(y, x)
    c, s = np.cos(away), np.sin(away)
    return x + c * radial - s * tangential, y + s * radial + c * tangential


def wing_level(radius: float, distance: float) -> float:
    """PSF far from its core, per arcmin2, at a radius from a source so far off-axis."""
    core = float(core_radius(np.asarray(distance)))
    return core / (2 * np.pi) / (core**2 + radius**2) ** 1.5


def point_source(x: float, y: float, spokes: float, grid: Grid) -> np.ndarray:
    """Share of a source's photons in each pixel of a grid (n, n).

    `spokes` is the phase of the spider's spokes [rad].
    """
    ax, ay = grid.axes()
    image = _profile(ax - x, ay - y, x, y, spokes) * grid.area
    row, column = (int(value) for value in grid.cell(np.asarray(x), np.asarray(y)))
    rows = slice(max(row - 2, 0), max(row + 3, 0))
    columns = slice(max(column - 2, 0), max(column + 3, 0))
    if image[rows, columns].size:
        # The core is smaller than a pixel: it is summed over a fine raster.
        fine = 8
        fx, fy = grid.axes(fine)
        box = _profile(
            fx[:, columns.start * fine : columns.stop * fine] - x,
            fy[rows.start * fine : rows.stop * fine] - y,
            x,
            y,
            spokes,
        )
        high, wide = image[rows, columns].shape
        image[rows, columns] = box.reshape(high, fine, wide, fine).mean(axis=(1, 3)) * grid.area
    return image


def _profile(dx: np.ndarray, dy: np.ndarray, x: float, y: float, spokes: float) -> np.ndarray:
    """King's profile of index 1.5 per arcmin2, elongated, its wings modulated by the spokes."""
    distance, away = float(np.hypot(x, y)), np.arctan2(y, x)
    core, longer = float(core_radius(np.asarray(distance))), 1 + _ELONGATION * distance
    radial = np.cos(away) * dx + np.sin(away) * dy
    tangential = (np.cos(away) * dy - np.sin(away) * dx) / longer
    square = (radial**2 + tangential**2) / core**2
    smooth = 1 / (2 * np.pi * core**2 * longer) / (1 + square) ** 1.5
    modulation = np.cos(_SPOKES * np.arctan2(dy, dx) + spokes) * square / (square + 100.0)
    return np.asarray(smooth * (1 + _SPOKE_DEPTH * modulation))


def readout_streak(u: np.ndarray, source_u: float, pixel: float) -> np.ndarray:
    """Out-of-time events per arcmin2 for one of them spread over a chip's column.

    The profile across is that of the PSF, seen along one direction: a Lorentzian. `u` are detector
    coordinates of pixels, whose side is `pixel`.
    """
    high, low = ((u - source_u + half) / _CORE for half in (pixel / 2, -pixel / 2))
    return np.asarray((np.arctan(high) - np.arctan(low)) / (np.pi * pixel * READOUT_LENGTH))
