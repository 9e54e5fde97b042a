"""The steps from stamps to network input."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from galadapt.config.base import Positive, Section


class IntervalStep(Section):
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


class Stretch(Section):
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


class NoiseAsinh(Section):
    """arcsinh(x / (softening x sigma)): linear at the noise, logarithmic above; invertible."""

    step: Literal["noise_asinh"] = "noise_asinh"
    softening: Positive = Field(3.0, description="Where the curve bends [pixel noise sigma].")


class Divide(Section):
    """Divide by a constant, as R1 printed (255)."""

    step: Literal["divide"] = "divide"
    by: Positive = Field(255.0, description="Divisor.")


class Peak(Section):
    """Set negative pixels to 0 and divide each stamp by its brightest pixel, as R2."""

    step: Literal["peak"] = "peak"


class Contrast(Section):
    """log10 of a stamp over its background, the median of its positive pixels."""

    step: Literal["contrast"] = "contrast"
    floor: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="Smallest ratio told from nothing: dark pixels get its logarithm."
    )


class Rebin(Section):
    """Average square blocks of pixels."""

    step: Literal["rebin"] = "rebin"
    factor: int = Field(2, ge=1, le=16, description="Block side [px].")


Step = Annotated[
    Rebin | Divide | Peak | Contrast | NoiseAsinh | IntervalStep | Stretch,
    Field(discriminator="step"),
]
