"""Pixels on disk, and their noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.sparse import csr_array

MESH, MESHES = 64, 16  #: mesh of the noise estimate [px], and meshes read at once on each axis


@dataclass(frozen=True)
class Pixels:
    """One image plane in a memory map, which processes forked from this one can share."""

    source: np.ndarray
    scale: float = 1.0
    zero: float = 0.0
    blank: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        ny, nx = self.source.shape
        return ny, nx

    def __getitem__(self, box: tuple[slice, slice]) -> np.ndarray:
        raw = np.asarray(self.source[box])
        if self.scale == 1 and self.zero == 0 and self.blank is None:
            return raw
        values = raw * np.float64(self.scale) + self.zero
        return values if self.blank is None else np.where(raw == self.blank, np.nan, values)


@dataclass(frozen=True)
class Noise:
    """Weight of the native pixels: inverse variance from one of several kinds of map."""

    kind: str
    pixels: Pixels | None = None
    factor: float = 1.0
    mesh: np.ndarray | None = None

    def weight(self, box: tuple[slice, slice]) -> np.ndarray:
        """Inverse variance in a box of native pixels [file unit^-2]."""
        if self.pixels is None:
            # Linear between the meshes' centres.
            rows, columns = ((np.arange(k.start, k.stop) + 0.5) / MESH - 0.5 for k in box)
            grid = np.meshgrid(rows, columns, indexing="ij")
            return np.asarray(1 / map_coordinates(self.mesh, grid, order=1, mode="nearest") ** 2)
        values = self.pixels[box].astype(np.float64)
        if self.kind == "rms":
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(values > 0, values**-2.0, 0.0)
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
