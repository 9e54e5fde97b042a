"""Rules by which a network is stepped towards the minimum of its loss."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from galadapt.config.base import Positive, Section


class Sgd(Section):
    """Stochastic gradient descent: a step against the gradient of a batch."""

    kind: Literal["sgd"] = "sgd"


class _Momentum(Section):
    momentum: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.9, description="Share of the last step that is added to the next one."
    )


class Momentum(_Momentum):
    """Gradient descent with momentum (Polyak 1964)."""

    kind: Literal["momentum"] = "momentum"


class Nesterov(_Momentum):
    """Momentum with the gradient at the place that it leads to (Nesterov 1983)."""

    kind: Literal["nesterov"] = "nesterov"


class _Adaptive(Section):
    epsilon: Positive = Field(
        1e-7, description="Added to the size of the gradients before division by it."
    )


class AdaGrad(_Adaptive):
    """Steps divided by the root of all squared gradients so far (Duchi et al. 2011)."""

    kind: Literal["adagrad"] = "adagrad"
    initial: float = Field(0.1, ge=0, description="Squared gradient before the first step.")


class RmsProp(_Adaptive):
    """Steps divided by the root of the recent mean squared gradient (Tieleman & Hinton 2012)."""

    kind: Literal["rmsprop"] = "rmsprop"
    rho: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.9, description="Share of the mean square that a step keeps."
    )
    centred: bool = Field(False, description="Divide by the variance instead of the mean square.")


class _Moments(_Adaptive):
    beta_1: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.9, description="Share of the mean gradient that a step keeps."
    )
    beta_2: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.999, description="Share of the mean squared gradient that a step keeps."
    )


class Adam(_Moments):
    """Momentum, divided by the root of the recent mean squared gradient (Kingma & Ba 2015)."""

    kind: Literal["adam"] = "adam"


class AdamW(_Moments):
    """Adam whose weights also shrink, whatever their gradients (Loshchilov & Hutter 2019)."""

    kind: Literal["adamw"] = "adamw"
    weight_decay: float = Field(
        0.004,
        ge=0,
        description="Share of each weight that a step takes away, over the learning rate.",
    )


Optimizer = Annotated[
    Sgd | Momentum | Nesterov | AdaGrad | RmsProp | Adam | AdamW, Field(discriminator="kind")
]
