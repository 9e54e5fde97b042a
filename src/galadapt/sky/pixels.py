"""Pixels on disk, and their noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.sparse import csr_array

MESH, MESHES = 64, 16  #: mesh of the noise estimate [px], and meshes read at once on each axis


_BOX, _BOXES = 256, 6  #: side of a box [px], and boxes on each axis, that sample an image


@dataclass(frozen=True)
class Steps:
    """Steps of the quantisation of each tile of a compressed image; 0 where it kept its values."""

    values: np.ndarray  #: (tiles in y, tiles in x)
    tile: tuple[int, int]  #: height and width of a tile [px]

    def __getitem__(self, box: tuple[slice, slice]) -> np.ndarray:
        rows, columns = (
            np.arange(k.start, min(k.stop, tiles * size)) // size
            for k, tiles, size in zip(box, self.values.shape, self.tile, strict=True)
        )
        return np.asarray(self.values[np.ix_(rows, columns)])


@dataclass(frozen=True)
class Pixels:
    """One image plane in a memory map, which processes forked from this one can share."""

    source: np.ndarray
    scale: float = 1.0
    zero: float = 0.0
    blank: int | None = None
    asinh: tuple[float, float] | None = None  #: BOFFSET and BSOFTEN of asinh-compressed values
    steps: Steps | None = None  #: of dithered quantisation

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        ny, nx = self.source.shape
        return ny, nx

    def __getitem__(self, box: tuple[slice, slice]) -> np.ndarray:
        raw = np.asarray(self.source[box])
        if self.scale == 1 and self.zero == 0 and self.blank is None and self.asinh is None:
            return raw
        values = raw * np.float64(self.scale) + self.zero
        values = values if self.blank is None else np.where(raw == self.blank, np.nan, values)
        if self.asinh is None:
            return values
        offset, softening = self.asinh
        # Magnitudes of asinh (Lupton, Gunn & Szalay 1999), 2.5 log10(e) = 1.0857 to a unit.
        return offset + 2 * softening * np.sinh(values / (2.5 * np.log10(np.e)))


@dataclass(frozen=True)
class Noise:
    """Weight of the native pixels: inverse variance from one of several kinds of map."""

    kind: str  #: weight, rms, variance, exposure or measured
    pixels: Pixels | None = None
    factor: float = 1.0
    mesh: np.ndarray | None = None
    floor: float = 0.0  #: smaller weights stand for pixels without data; before `factor`

    def weight(self, box: tuple[slice, slice]) -> np.ndarray:
        """Inverse variance in a box of native pixels [file unit^-2]."""
        if self.pixels is None:
            # Linear between the meshes' centres.
            rows, columns = ((np.arange(k.start, k.stop) + 0.5) / MESH - 0.5 for k in box)
            grid = np.meshgrid(rows, columns, indexing="ij")
            return np.asarray(1 / map_coordinates(self.mesh, grid, order=1, mode="nearest") ** 2)
        values = self.pixels[box].astype(np.float64)
        if self.kind in ("rms", "variance"):
            power = -2.0 if self.kind == "rms" else -1.0
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                values = np.where(values > 0, values**power, 0.0)
        if self.floor > 0:
            values = np.where(values >= self.floor, values, 0.0)
        return values * self.factor


def overlaps(start: int, stop: int, ratio: float, length: int) -> tuple[csr_array, int, int]:
    """Shares of `length` native pixels in output pixels start to stop (excluded).

    `ratio` is the number of output pixels per native pixel.

    Returns:
        (stop - start, high - low) matrix; low; high: the range of native pixels that take part.
    """
    edges = np.arange(start, stop + 1) / ratio
    low, high = int(edges[0]), min(int(np.ceil(edges[-1])), length)
    most = int(np.ceil(1 / ratio)) + 1
    native = np.floor(edges[:-1]).astype(int)[:, None] + np.arange(most)
    shares = np.minimum(edges[1:, None], native + 1) - np.maximum(edges[:-1, None], native)
    used = (shares > 0) & (native < length)
    row = np.repeat(np.arange(stop - start), most).reshape(native.shape)
    matrix = csr_array(
        (shares[used], (row[used], native[used] - low)), shape=(stop - start, high - low)
    )
    return matrix, low, high


def sample_boxes(shape: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Boxes that sample an image, or all of a small one."""
    if max(shape) <= _BOX * _BOXES:
        return [np.s_[0 : shape[0], 0 : shape[1]]]
    starts = [
        np.unique(np.linspace(0, max(size - _BOX, 0), _BOXES).astype(int)).tolist()
        for size in shape
    ]
    return [
        np.s_[y : min(y + _BOX, shape[0]), x : min(x + _BOX, shape[1])]
        for y in starts[0]
        for x in starts[1]
    ]
