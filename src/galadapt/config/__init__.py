"""The configuration model: the one source of schema, defaults, validation and documentation.

An experiment is the product task x variant x method x seed. Every key is documented by its
``description``; ``config/README.md`` and ``config/schema.json`` are generated from these classes
(``galadapt document``) and a test fails when they drift. What a stage reads of all this, and so
what a change reruns, is declared in `galadapt.stages`.
"""

from galadapt.config.base import (
    PARAMETERS,
    SERSIC_INDEX_LIMITS,
    UNITS,
    Fraction,
    Interval,
    Name,
    Positive,
    Section,
)
from galadapt.config.experiment import Config, Evaluation, Run, Tracking
from galadapt.config.image import FitsPsf, GaussianPsf, Image, MoffatPsf, OpticalPsf, Psf
from galadapt.config.reading import load, merge, validate
from galadapt.config.realism import (
    Archive,
    Box,
    BulgeDisc,
    Clumps,
    Edges,
    IsophoteBox,
    Masks,
    Neighbours,
    OverSubtraction,
    PsfJitter,
    RatioBox,
    Realism,
    SkyResidual,
    Spiral,
    Strength,
)
from galadapt.config.simulation import (
    Empirical,
    LogUniform,
    MagnitudeRelation,
    MosaicNoise,
    Noise,
    Prior,
    Priors,
    RadiusPrior,
    Simulation,
    Uniform,
)
from galadapt.config.survey import CosmosSurvey, Extraction, MockSurvey, Selection, Splits, Survey
from galadapt.config.training import Adversarial, Compute, Method, Network
from galadapt.config.variants import Divide, IntervalStep, NoiseAsinh, Rebin, Step, Stretch

__all__ = [
    "PARAMETERS",
    "SERSIC_INDEX_LIMITS",
    "UNITS",
    "Adversarial",
    "Archive",
    "Box",
    "BulgeDisc",
    "Clumps",
    "Compute",
    "Config",
    "CosmosSurvey",
    "Divide",
    "Edges",
    "Empirical",
    "Evaluation",
    "Extraction",
    "FitsPsf",
    "Fraction",
    "GaussianPsf",
    "Image",
    "Interval",
    "IntervalStep",
    "IsophoteBox",
    "LogUniform",
    "MagnitudeRelation",
    "Masks",
    "Method",
    "MockSurvey",
    "MoffatPsf",
    "MosaicNoise",
    "Name",
    "Neighbours",
    "Network",
    "Noise",
    "NoiseAsinh",
    "OpticalPsf",
    "OverSubtraction",
    "Positive",
    "Prior",
    "Priors",
    "Psf",
    "PsfJitter",
    "RadiusPrior",
    "RatioBox",
    "Realism",
    "Rebin",
    "Run",
    "Section",
    "Selection",
    "Simulation",
    "SkyResidual",
    "Spiral",
    "Splits",
    "Step",
    "Strength",
    "Stretch",
    "Survey",
    "Tracking",
    "Uniform",
    "load",
    "merge",
    "validate",
]
