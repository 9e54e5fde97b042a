"""Chains of steps from stamps to network input: settings, checks and computation.

To add a step: one subclass of `ChainStep` here, and its name in the union `Step`. Imports of numpy
and astropy are inside functions, because the command line only needs the settings.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from galadapt.config.base import Positive, Section
from galadapt.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np

_BATCH = 256  #: stamps held in memory at once

_NO_RMS = "the stamps have no pixel_rms above 0"


@dataclass(frozen=True)
class State:
    """Properties of stamps between two steps, known without reading a pixel."""

    side: int  #: of a stamp [px]
    #: Noise sigma of one input pixel in the images' current unit, if there is such a number.
    #: Constant divisors change it; rebinning does not, although averaging lowers the noise:
    #: drizzled noise averages down by less than 1/factor, and a softening that keeps its meaning
    #: in input pixels compares across rebin factors.
    noise: float | None
    no_noise: str = ""  #: why there is none, for messages
    unit: str = ""  #: of the images
    scaled: bool = False  #: whether an interval step came before


class ChainStep(Section):
    """Base of every step."""

    step: str

    def check(self, state: State) -> None:
        """Raise DataError where the step cannot be applied to such stamps."""

    def after(self, state: State) -> State:
        """Return what is known of the stamps after the step; a nonlinear one leaves no noise."""
        lost = f"the step '{self.step}' before it leaves none"
        return replace(state, noise=None, no_noise=lost, unit="")

    def apply(self, images: np.ndarray, state: State) -> np.ndarray:
        """Compute the step on images (n, side, side) or (n, side, side, channels) float64.

        `state` is that before the step.
        """
        raise NotImplementedError


class IntervalStep(ChainStep):
    """Scale each stamp into [0, 1] between limits."""

    step: Literal["interval"] = "interval"
    kind: Literal["minmax", "zscale", "manual"] = Field(
        "minmax", description="astropy's interval; manual has fixed limits."
    )
    low: float | None = Field(None, description="Lower limit of manual [unit of the input].")
    high: float | None = Field(None, description="Upper limit of manual [unit of the input].")

    @model_validator(mode="after")
    def _limits(self) -> IntervalStep:
        given = self.low is not None or self.high is not None
        if self.kind != "manual":
            if given:
                raise ValueError(f"low and high belong to the manual interval, not {self.kind}")
        elif self.low is None or self.high is None or not self.low < self.high:
            raise ValueError("a manual interval needs low and high, low below high")
        return self

    def after(self, state: State) -> State:
        """Note that pixels lie in [0, 1] from here on."""
        return replace(super().after(state), scaled=True)

    def apply(self, images: np.ndarray, state: State) -> np.ndarray:
        """Clip each stamp to its limits."""
        import numpy as np
        from astropy.visualization import ManualInterval, MinMaxInterval, ZScaleInterval

        manual = ManualInterval(self.low, self.high)
        limits = {"minmax": MinMaxInterval(), "zscale": ZScaleInterval(), "manual": manual}
        out = np.empty_like(images)
        for target, image in zip(out, images, strict=True):
            low, high = limits[self.kind].get_limits(image)
            # A flat stamp has no range: it becomes 0 everywhere, the foot of every stretch.
            span = high - low if high > low else np.inf
            target[:] = np.clip((image - low) / span, 0.0, 1.0)
        return out


class Stretch(ChainStep):
    """Apply one of astropy's stretches to [0, 1]-scaled stamps (after an interval step)."""

    step: Literal["stretch"] = "stretch"
    kind: Literal["linear", "asinh", "log", "sqrt", "power", "sinh"] = Field(
        "asinh", description="astropy.visualization stretch."
    )
    a: Positive | None = Field(
        None, description="The stretch's parameter; null: astropy's default (power: 2)."
    )

    @model_validator(mode="after")
    def _parameter(self) -> Stretch:
        if self.a is None:
            return self
        if self.kind in ("linear", "sqrt"):
            raise ValueError(f"the stretch '{self.kind}' takes no parameter a")
        if self.kind in ("asinh", "sinh") and self.a > 1:
            raise ValueError(f"the stretch '{self.kind}' needs a in (0, 1], not {self.a:g}")
        return self

    def check(self, state: State) -> None:
        """Need pixels in [0, 1]."""
        if not state.scaled:
            raise DataError(f"the stretch '{self.kind}' needs an interval step before it")

    def apply(self, images: np.ndarray, state: State) -> np.ndarray:
        """Stretch."""
        from astropy import visualization

        make = getattr(visualization, f"{self.kind.capitalize()}Stretch")
        a = 2.0 if self.a is None and self.kind == "power" else self.a
        return (make() if a is None else make(a))(images)


class NoiseAsinh(ChainStep):
    """arcsinh(x / (softening x sigma)): linear at the noise, logarithmic above; invertible."""

    step: Literal["noise_asinh"] = "noise_asinh"
    softening: Positive = Field(3.0, description="Where the curve bends [pixel noise sigma].")

    def check(self, state: State) -> None:
        """Need noise."""
        if state.noise is None or state.noise <= 0:
            raise DataError(
                f"needs noise to scale by, but {state.no_noise}; put it first, give the stamps "
                "noise, or use another step"
            )

    def apply(self, images: np.ndarray, state: State) -> np.ndarray:
        """Compress what lies above the noise."""
        import numpy as np

        assert state.noise is not None
        return np.arcsinh(images / (self.softening * state.noise))


class Divide(ChainStep):
    """Divide by a constant (255 in the CANDELS study)."""

    step: Literal["divide"] = "divide"
    by: Positive = Field(255.0, description="Divisor.")

    def after(self, state: State) -> State:
        """Divide the noise as well."""
        noise = None if state.noise is None else state.noise / self.by
        return replace(state, noise=noise, unit="")

    def apply(self, images: np.ndarray, state: State) -> np.ndarray:
        """Divide."""
        return images / self.by


class Peak(ChainStep):
    """Set negative pixels to 0 and divide each stamp by its brightest pixel (star-image study)."""

    step: Literal["peak"] = "peak"

    def apply(self, images: np.ndarray, state: State) -> np.ndarray:
        """Scale to the peak; a stamp without a positive pixel is 0 everywhere."""
        import numpy as np

        positive = np.maximum(images, 0.0)
        highest = positive.max(axis=tuple(range(1, positive.ndim)), keepdims=True)
        return positive / np.where(highest > 0, highest, 1.0)


class Contrast(ChainStep):
    """log10 of a stamp over its background, the median of its positive pixels."""

    step: Literal["contrast"] = "contrast"
    floor: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="Smallest ratio; darker pixels are set to it."
    )

    def apply(self, images: np.ndarray, state: State) -> np.ndarray:
        """Compare with the background."""
        import numpy as np

        positive = np.where(images > 0, images, np.nan).reshape(len(images), -1)
        with warnings.catch_warnings():
            # A stamp without a positive pixel has no background: it becomes the floor everywhere.
            warnings.simplefilter("ignore", RuntimeWarning)
            background = np.nan_to_num(np.nanmedian(positive, axis=1), nan=np.inf)
        ratio = images / np.expand_dims(background, tuple(range(1, images.ndim)))
        return np.log10(np.maximum(ratio, self.floor))


class Rebin(ChainStep):
    """Average square blocks of pixels."""

    step: Literal["rebin"] = "rebin"
    factor: int = Field(2, ge=1, le=16, description="Block side [px].")

    def check(self, state: State) -> None:
        """Need a side that the factor divides."""
        if state.side % self.factor:
            raise DataError(f"stamps of {state.side} px are not divisible by {self.factor}")

    def after(self, state: State) -> State:
        """Shrink the side; noise and unit stay."""
        return replace(state, side=state.side // self.factor)

    def apply(self, images: np.ndarray, state: State) -> np.ndarray:
        """Average."""
        return _blocks(images, self.factor).mean(axis=(2, 4))


Step = Annotated[
    Rebin | Divide | Peak | Contrast | NoiseAsinh | IntervalStep | Stretch,
    Field(discriminator="step"),
]


def _blocks(images: np.ndarray, factor: int) -> np.ndarray:
    """View images (n, S, S, ...) as blocks (n, S / factor, factor, S / factor, factor, ...)."""
    count, side, _, *channels = images.shape
    return images.reshape(count, side // factor, factor, side // factor, factor, *channels)


def read_steps(values: Any) -> list[Step]:
    """Rebuild a chain from what a variant's metadata keep under ``variant_steps``."""
    return TypeAdapter(list[Step]).validate_python(values)


def plan(steps: Sequence[Step], state: State, name: str) -> list[State]:
    """Follow a chain without images; `name` is that of the chain in messages.

    Returns:
        The state before each step, and that after the last.

    Raises:
        DataError: a step cannot be applied; names chain and step.
    """
    states = [state]
    for number, one in enumerate(steps, start=1):
        try:
            one.check(states[-1])
        except DataError as error:
            raise DataError(f"{name}: step {number} ({one.step}): {error}") from None
        states.append(one.after(states[-1]))
    return states


def apply_chain(
    images: np.ndarray, steps: Sequence[Step], pixel_rms: float | None, name: str = "variant"
) -> np.ndarray:
    """Apply steps in order to images (n, S, S, ...) of any unit.

    `pixel_rms` is the typical noise sigma of one input pixel in the same unit: one number per
    survey, so that fluxes of different stamps stay comparable. It is None if there is no such
    number. `name` is that of the chain in messages.

    Returns:
        (n, S', S', ...) float32, S' the side after rebinning.

    Raises:
        DataError: a step cannot be applied or its result is not finite; names chain and step.
    """
    import numpy as np

    states = plan(steps, State(images.shape[1], pixel_rms, _NO_RMS), name)
    current = np.asarray(images, np.float64)
    for number, (one, state) in enumerate(zip(steps, states[:-1], strict=True), start=1):
        # Overflow shows as a value that is not finite, and is reported below.
        with np.errstate(all="ignore"):
            current = one.apply(current, state)
            stored = current.astype(np.float32)
        if not np.isfinite(stored).all():
            raise DataError(
                f"{name}: step {number} ({one.step}) gives values that are not finite; "
                "change its settings or mask the stamps"
            )
    return current.astype(np.float32)


def make_variant(
    paths: Sequence[Path], steps: Sequence[Step], output: Path, provenance: dict[str, Any]
) -> None:
    """Turn stamp sets of one domain (shards, in this order) into one variant, in bounded memory.

    The table is carried unchanged: radii and offsets stay in pixels of the input, whose scale is
    the metadata's `label_pixel_scale`, while `pixel_scale` is that of the rebinned images.
    `pixel_rms` stays the input's, whose provenance becomes `input_provenance`. Of masks, a rebinned
    pixel is flagged where any of its pixels is.

    Raises:
        DataError: an input is broken, lacks the noise a step needs, or a step fails; nothing is
            written.
    """
    import numpy as np

    from galadapt.core.log import progress
    from galadapt.stamps.format import StampSet, write_stamps

    with StampSet(paths) as stamps:
        source = stamps.metadata
        noise = source.get("pixel_rms")
        noise = None if noise is None else float(noise)
        last = plan(steps, State(stamps.side, noise, _NO_RMS, stamps.unit), str(output))[-1]
        factor = stamps.side // last.side
        # Frames that follow the size of their galaxy have no pixel scale.
        scale = source["pixel_scale"]
        metadata = {
            **source,
            "pixel_scale": None if scale is None else scale * factor,
            "label_pixel_scale": source.get("label_pixel_scale", scale),
            "variant_steps": [one.model_dump() for one in steps],
            "provenance": provenance,
            "input_provenance": source.get("provenance", {}),
        }

        def batches() -> Iterator[Any]:
            for first in range(0, len(stamps), _BATCH):
                rows = np.arange(first, min(first + _BATCH, len(stamps)))
                images = apply_chain(stamps.images(rows), steps, noise, str(output))
                if stamps.has_masks:
                    yield images, _blocks(stamps.masks(rows), factor).any(axis=(2, 4))
                else:
                    yield images

        count = -(-len(stamps) // _BATCH)
        tracked = progress(batches(), count, f"variant {output.name}", "batches")
        write_stamps(
            output, tracked, stamps.table, metadata, unit=last.unit, masks=stamps.has_masks
        )
