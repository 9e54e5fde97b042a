"""Stamps on disk until it is known which of them are kept."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np


class Spool:
    """Numbered float32 stamps in a file without a name, which a killed job cannot leave behind."""

    def __init__(self, folder: Path, side: int, *channels: int) -> None:
        """Make the file in `folder`, for stamps (S, S), or (S, S, C) where `channels` is given."""
        folder.mkdir(parents=True, exist_ok=True)
        self._shape = (side, side, *channels)
        self._bytes = 4 * math.prod(self._shape)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def put(self, number: int, stamps: np.ndarray) -> None:
        """Store one stamp, or several along a first axis from a number on."""
        self._file.seek(number * self._bytes)
        self._file.write(stamps.astype("<f4").tobytes())

    def take(self, numbers: Iterable[int]) -> Iterator[np.ndarray]:
        """Yield stamps (1, S, S), or (1, S, S, C), by their numbers."""
        for number in numbers:
            self._file.seek(number * self._bytes)
            stamp = np.frombuffer(self._file.read(self._bytes), "<f4")
            yield stamp.reshape(1, *self._shape)
