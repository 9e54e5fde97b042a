"""What all sections share: names, units, limits and the base class."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_serializer,
    model_validator,
)

from galadapt.core.imports import PATTERN

#: Where stamps come from, in the order of every table.
DOMAINS = ("simulated", "survey")

#: Where rendering is exact: GalSim's (and our) Sersic transforms hold inside this interval.
SERSIC_INDEX_LIMITS = (0.3, 6.2)


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


#: A function of the user's own: FILE.py:FUNCTION or MODULE:FUNCTION (`galadapt.core.imports`).
ImportPath = Annotated[str, Field(pattern=PATTERN)]

#: Distances between features (`galadapt.core.distances`).
Distance = Literal["manhattan", "euclidean", "chebyshev", "cosine", "signed_root"]

DISTANCES_TEXT = (
    "manhattan, euclidean, chebyshev: Minkowski of order 1, 2 and infinity. cosine: 1 - cosine of "
    "the angle. signed_root: euclidean after the square root of each feature's size."
)


Positive = Annotated[float, Field(gt=0)]


Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values are immutable and finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Interval(Section):
    """A closed interval [low, high]."""

    low: float
    high: float

    @model_validator(mode="before")
    @classmethod
    def _from_pair(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            if len(value) != 2:
                raise ValueError("give an interval as [low, high]")
            return {"low": value[0], "high": value[1]}
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        return self

    @model_serializer
    def _pair(self) -> list[float]:
        return [self.low, self.high]

    def at(self, share: float) -> float:
        """Value at a share, 0 to 1, of the way from low to high."""
        return float(self.low + share * (self.high - self.low))

    def at_log(self, share: float) -> float:
        """The same in logarithm, for positive intervals."""
        return float(self.low * (self.high / self.low) ** share)

    def within(self, other: Interval) -> bool:
        """Tell whether this interval lies inside `other`."""
        return other.low <= self.low and self.high <= other.high


def fault_of(error: ValidationError) -> str:
    """Name the first mistake that pydantic found: its key and what is wrong."""
    first = error.errors()[0]
    key, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def interval(low: float, high: float, description: str) -> Any:
    """Declare a key that holds an interval, with its default."""
    return Field(Interval(low=low, high=high), description=description)


def inside(low: float, high: float) -> AfterValidator:
    """Limits of both ends of an interval, for `Annotated`."""

    def check(given: Interval) -> Interval:
        if not given.within(Interval(low=low, high=high)):
            raise ValueError(f"[{given.low:g}, {given.high:g}] must lie inside [{low:g}, {high:g}]")
        return given

    return AfterValidator(check)


def _positive(given: Interval) -> Interval:
    if given.low <= 0:
        raise ValueError(f"low {given.low:g} must be positive: values are drawn in logarithm")
    return given


#: An interval whose values are drawn in logarithm.
LogInterval = Annotated[Interval, AfterValidator(_positive)]


class Shares(Section):
    """Shares of the splits; what train and validation leave is for testing."""

    train: Fraction
    validation: Fraction

    @model_validator(mode="after")
    def _leaves_a_test(self) -> Shares:
        if self.train + self.validation > 1 - 1e-9:
            raise ValueError("train + validation must be below 1, to leave a test set")
        return self

    @property
    def all(self) -> tuple[float, float, float]:
        """Shares of training, validation and testing."""
        return self.train, self.validation, 1 - self.train - self.validation


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge nested dictionaries as Snakemake merges configuration files; lists are replaced."""
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = value
    return result
