"""Chains of image steps.

To add a step: one class in `galadapt.config` (in the union `Step`), one function here decorated
with `step`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.visualization import (
    AsinhStretch,
    LinearStretch,
    LogStretch,
    ManualInterval,
    MinMaxInterval,
    PowerStretch,
    SinhStretch,
    SqrtStretch,
    ZScaleInterval,
)

from galadapt.config.variants import (
    Contrast,
    Divide,
    IntervalStep,
    NoiseAsinh,
    Peak,
    Rebin,
    Step,
    Stretch,
)
from galadapt.core.errors import DataError
from galadapt.core.log import track
from galadapt.stamps.format import StampSet, write_stamps

# Stamps held in memory at once.
_BATCH = 256

_STRETCHES = {
    "linear": LinearStretch,
    "asinh": AsinhStretch,
    "log": LogStretch,
    "sqrt": SqrtStretch,
    "power": PowerStretch,
    "sinh": SinhStretch,
}

_DEFAULT_POWER = 2.0


@dataclass(frozen=True)
class State:
    """What a chain carries from step to step beside the images.

    Attributes:
        noise: Noise sigma of one input pixel in the images' current unit. Constant divisors change
            it; rebinning does not, although averaging lowers the noise: drizzled noise averages
            down by less than 1/factor, and a softening that keeps its meaning in input pixels
            compares across rebin factors. None after a nonlinear step, or where the stamps have no
            one noise.
        unit: Unit of the images.
    """

    noise: float | None
    unit: str


Apply = Callable[[np.ndarray, Any, State], tuple[np.ndarray, State]]

STEPS: dict[str, Apply] = {}


def step(name: str) -> Callable[[Apply], Apply]:
    """Register the function that applies the steps of one name."""

    def register(function: Apply) -> Apply:
        STEPS[name] = function
        return function

    return register


@step("rebin")
def _rebin(images: np.ndarray, rebin: Rebin, state: State) -> tuple[np.ndarray, State]:
    count, side, _ = images.shape
    factor = rebin.factor
    if side % factor:
        raise DataError(f"stamps of {side} px are not divisible by {factor}; choose a divisor")
    blocks = images.reshape(count, side // factor, factor, side // factor, factor)
    return blocks.mean(axis=(2, 4)), state


@step("divide")
def _divide(images: np.ndarray, divide: Divide, state: State) -> tuple[np.ndarray, State]:
    noise = None if state.noise is None else state.noise / divide.by
    return images / divide.by, replace(state, noise=noise, unit="")


@step("noise_asinh")
def _noise_asinh(
    images: np.ndarray, noise_asinh: NoiseAsinh, state: State
) -> tuple[np.ndarray, State]:
    if state.noise is None:
        raise DataError(
            "the noise is unknown, after a nonlinear step or because the stamps state none "
            "(pixel_rms); put noise_asinh first, or use another step"
        )
    if state.noise <= 0:
        raise DataError(
            "the stamps' pixel_rms is 0; give the simulation or survey noise, or use another step"
        )
    scaled = images / (noise_asinh.softening * state.noise)
    return np.arcsinh(scaled), State(noise=None, unit="")


@step("peak")
def _peak(images: np.ndarray, peak: Peak, state: State) -> tuple[np.ndarray, State]:
    positive = np.maximum(images, 0.0)
    highest = positive.max(axis=(1, 2), keepdims=True)
    # A stamp without a positive pixel is 0 everywhere.
    return positive / np.where(highest > 0, highest, 1.0), State(noise=None, unit="")


@step("contrast")
def _contrast(images: np.ndarray, contrast: Contrast, state: State) -> tuple[np.ndarray, State]:
    positive = np.where(images > 0, images, np.nan).reshape(len(images), -1)
    with warnings.catch_warnings():
        # A stamp without a positive pixel has no background: it becomes the floor everywhere.
        warnings.simplefilter("ignore", RuntimeWarning)
        background = np.nan_to_num(np.nanmedian(positive, axis=1), nan=np.inf)
    ratio = images / background[:, None, None]
    return np.log10(np.maximum(ratio, contrast.floor)), State(noise=None, unit="")


@step("interval")
def _interval(images: np.ndarray, interval: IntervalStep, state: State) -> tuple[np.ndarray, State]:
    limits: ManualInterval | MinMaxInterval | ZScaleInterval
    if interval.kind == "manual":
        limits = ManualInterval(interval.low, interval.high)
    else:
        limits = MinMaxInterval() if interval.kind == "minmax" else ZScaleInterval()
    out = np.empty_like(images)
    for target, image in zip(out, images, strict=True):
        low, high = limits.get_limits(image)
        # A flat stamp has no range: it becomes 0 everywhere, the foot of every stretch.
        span = high - low if high > low else np.inf
        target[:] = np.clip((image - low) / span, 0.0, 1.0)
    return out, State(noise=None, unit="")


@step("stretch")
def _stretch(images: np.ndarray, stretch: Stretch, state: State) -> tuple[np.ndarray, State]:
    make = _STRETCHES[stretch.kind]
    a = _DEFAULT_POWER if stretch.a is None and stretch.kind == "power" else stretch.a
    return (make() if a is None else make(a))(images), State(noise=None, unit="")


def apply_chain(
    images: np.ndarray, steps: Sequence[Step], pixel_rms: float | None, name: str = "variant"
) -> np.ndarray:
    """Apply steps in order.

    Args:
        images: (n, S, S), any unit.
        steps: The chain; empty leaves the values as they are.
        pixel_rms: Typical noise sigma of one input pixel, same unit: one number per survey, so
            that fluxes of different stamps stay comparable. None: there is no such number.
        name: What messages call the chain.

    Returns:
        (n, S', S') float32, S' the side after rebinning.

    Raises:
        DataError: a step cannot be applied or its result is not finite; names chain and step.
    """
    return _apply(images, steps, State(noise=pixel_rms, unit=""), name)[0]


def _apply(
    images: np.ndarray, steps: Sequence[Step], state: State, name: str
) -> tuple[np.ndarray, State]:
    current = np.asarray(images, np.float64)
    for number, one in enumerate(steps, start=1):
        try:
            # Overflow shows as a value that is not finite, and is reported below.
            with np.errstate(all="ignore"):
                current, state = STEPS[one.step](current, one, state)
                stored = current.astype(np.float32)
        except DataError as error:
            raise DataError(f"{name}: step {number} ({one.step}): {error}") from None
        if not np.isfinite(stored).all():
            raise DataError(
                f"{name}: step {number} ({one.step}) gives values that are not finite; "
                "change its settings or mask the stamps"
            )
    return current.astype(np.float32), state


def make_variant(
    paths: Sequence[Path], steps: Sequence[Step], output: Path, provenance: dict[str, Any]
) -> None:
    """Turn stamp sets into one variant stamp set, in bounded memory.

    Args:
        paths: Stamp sets of one domain (shards), concatenated in this order.
        steps: The chain.
        output: Stamp set to write. The table is carried unchanged: radii and offsets stay in
            pixels of the input, whose scale is the metadata's `label_pixel_scale`, while
            `pixel_scale` is that of the rebinned images. `pixel_rms` stays the input's. Of masks, a
            rebinned pixel is flagged where any of its pixels is.
        provenance: Stored in the metadata, beside the input's own as `input_provenance`.

    Raises:
        DataError: an input is broken, lacks the noise a step needs, or a step fails; nothing is
            written.
    """
    with StampSet(paths) as stamps:
        source = stamps.metadata
        factor = int(np.prod([one.factor for one in steps if isinstance(one, Rebin)], dtype=int))
        metadata = {
            **source,
            "pixel_scale": source["pixel_scale"] * factor,
            "label_pixel_scale": source.get("label_pixel_scale", source["pixel_scale"]),
            "variant_steps": [one.model_dump() for one in steps],
            "provenance": provenance,
            "input_provenance": source.get("provenance", {}),
        }
        name = str(output)
        noise = source.get("pixel_rms")
        start = State(noise=None if noise is None else float(noise), unit=stamps.unit)
        # The unit is known before the first stamp is: it depends on the steps alone.
        probe = np.zeros((1, stamps.side, stamps.side))
        unit = _apply(probe, steps, start, name)[1].unit

        def batches() -> Iterator[Any]:
            for first in range(0, len(stamps), _BATCH):
                rows = np.arange(first, min(first + _BATCH, len(stamps)))
                images = _apply(stamps.images(rows), steps, start, name)[0]
                yield (images, _flagged(stamps.masks(rows), factor)) if stamps.has_masks else images

        count = -(-len(stamps) // _BATCH)
        tracked = track(batches(), count, f"variant {output.name}", "batches")
        write_stamps(output, tracked, stamps.table, metadata, unit=unit, masks=stamps.has_masks)


def _flagged(masks: np.ndarray, factor: int) -> np.ndarray:
    count, side, _ = masks.shape
    blocks = masks.reshape(count, side // factor, factor, side // factor, factor)
    return np.any(blocks, axis=(2, 4))
