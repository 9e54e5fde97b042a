"""Networks, methods and hardware."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from galadapt.config.base import (
    DISTANCES_TEXT,
    Distance,
    Fraction,
    ImportPath,
    Name,
    Positive,
    Section,
)
from galadapt.config.machine import section_of
from galadapt.config.optimizers import Adam, Optimizer


class Mlp(Section):
    """Dense layers on the pixels; with no layer, linear, logistic or softmax regression."""

    units: list[Annotated[int, Field(ge=1, le=8192)]] = Field(
        [256, 128], description="Units of the hidden layers, the first on the pixels; []: none."
    )
    activation: Literal["sigmoid", "relu"] = Field(
        "sigmoid", description="Activation of the hidden layers; sigmoid in the course."
    )


#: Networks of every task: what the course teaches.
TEXTBOOK = (
    "mlp: dense layers on the pixels; cnn: three normalised convolutions (32, 64, 128), pooled "
    "over 3 px in steps of 2; token_vit: vision transformer with a class token, sinusoidal "
    "positions and layer normalisation"
)

NORMALISATION = (
    "global: subtract the mean and divide by the standard deviation of all training pixels. none: "
    "stamps of the variant as they are (the CANDELS study prints so, where batch normalisation "
    "comes first and its epsilon, 1e-3, exceeds the variance of pixels divided by 255)."
)

OWN_NETWORK = "FILE.py:FUNCTION or MODULE:FUNCTION: a network of your own"


class TextbookNetwork(Section):
    """Settings of networks that every task has."""

    mlp: Mlp = Field(Mlp(), description="Layers of mlp.")
    input_normalisation: Literal["global", "none"] = Field("global", description=NORMALISATION)

    @model_validator(mode="after")
    def _of_mlp(self) -> Self:
        if self.mlp != Mlp() and self.architecture != "mlp":  # type: ignore[attr-defined]
            raise ValueError("mlp: belongs to architecture mlp")
        return self


class Network(TextbookNetwork):
    """A network from the registry in `galadapt.learners.keras.architectures`."""

    architecture: (
        Literal[
            "compact",
            "residual",
            "vit",
            "mlp",
            "cnn",
            "token_vit",
            "candels_baseline",
            "candels_dann",
        ]
        | ImportPath
    ) = Field(
        "compact",
        description=(
            "compact: small, for CPUs; residual: modern, with batch normalisation; vit: a small "
            f"vision transformer; {TEXTBOOK}; candels_baseline and candels_dann: those of the "
            f"CANDELS study; {OWN_NETWORK}."
        ),
    )
    per_parameter: bool = Field(
        False,
        description=(
            "One network per parameter (DeepLeGATo, Tuccillo et al. 2018) instead of one for all: "
            "nothing is shared but stamps and early stopping. Training takes as many times longer."
        ),
    )
    output_activation: Literal["linear", "relu"] = Field(
        "linear", description="The CANDELS study prints relu, which cannot predict below the mean."
    )
    first_padding: Literal["same", "valid"] = Field(
        "same", description="Padding of the first convolution; valid in the CANDELS study."
    )
    l2: float = Field(1e-4, ge=0, description="L2 penalty on every convolution (candels_baseline).")
    dropout: float = Field(
        1e-4, ge=0, lt=1, description="Dropout before each dense layer (candels_baseline)."
    )


class _Alignment(Section):
    """What every alignment of the two domains' features has."""

    match_labels: bool = Field(
        False,
        description=(
            "Weight simulated stamps in the alignment so that their PREDICTED parameters are "
            "distributed as the survey's, updated every epoch. Aligning populations with "
            "different labels ruins a regression. No survey label is used."
        ),
    )


class Adversarial(_Alignment):
    """Domain-adversarial alignment (DANN, Ganin & Lempitsky 2015)."""

    kind: Literal["dann"] = "dann"
    weight: Fraction = Field(
        0.1, description="alpha: loss = (1 - alpha) regression + alpha cross-entropy."
    )
    reversal: Literal["gradient", "sign_flip"] = Field(
        "gradient",
        description=(
            "gradient: identity forward, -lambda gradient. sign_flip: printed by the CANDELS study."
        ),
    )
    schedule: Literal["ramp", "constant"] = Field(
        "ramp", description="ramp: lambda = lambda_max (2 / (1 + exp(-gamma p)) - 1)."
    )
    gamma: Positive = Field(10.0, description="Steepness of the ramp.")
    lambda_max: float = Field(1.0, ge=0, description="Final lambda.")
    masking: Literal["per_example", "fixed_vector"] = Field(
        "per_example",
        description=(
            "Which labels are hidden: each example's own weight, or one fixed vector over shuffled "
            "batches, as printed by the CANDELS study."
        ),
    )


class Coral(_Alignment):
    """Equal covariances of the features (Deep CORAL, Sun & Saenko 2016)."""

    kind: Literal["coral"] = "coral"
    weight: Positive = Field(1.0, description="loss = regression + weight x the term.")


class Mmd(_Alignment):
    """Equal means in the space of Gaussian kernels (Gretton et al. 2012; Long et al. 2015)."""

    kind: Literal["mmd"] = "mmd"
    weight: Positive = Field(1.0, description="loss = regression + weight x the term.")
    bandwidths: list[Positive] = Field(
        [0.25, 0.5, 1.0, 2.0, 4.0],
        min_length=1,
        description="Squared widths of the kernels over the mean squared distance of a batch.",
    )


class DareGram(_Alignment):
    """Equal inverse Gram matrices, as used by a linear regressor (Nejjar et al. 2023)."""

    kind: Literal["dare_gram"] = "dare_gram"
    weight: Positive = Field(1.0, description="loss = regression + weight x both terms.")
    angle: float = Field(0.05, ge=0, description="Weight of 1 - cosine of the inverses' columns.")
    scale: float = Field(0.001, ge=0, description="Weight of the distance of the eigenvalues.")
    energy: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.9, description="Share of the eigenvalues' sum that is compared, the largest first."
    )
    ridge: Positive = Field(
        1e-3, description="Added to the Gram matrix before inversion, over its mean eigenvalue."
    )


class OwnAlignment(_Alignment):
    """A term of your own, from a file."""

    kind: Literal["own"] = "own"
    function: ImportPath = Field(
        description=(
            "FILE.py:FUNCTION or MODULE:FUNCTION, called with the features (n, f) of a batch, each "
            "stamp's weight in the simulated domain and in the survey (n,), and this section."
        )
    )
    weight: Positive = Field(1.0, description="loss = regression + weight x the term.")
    parameters: dict[Name, float] = Field({}, description="Numbers that the function reads.")


Alignment = Annotated[
    Adversarial | Coral | Mmd | DareGram | OwnAlignment, Field(discriminator="kind")
]


class LearnerSettings(Section):
    """Base of the settings of a kind of learner."""

    @property
    def builds_on(self) -> Name | None:
        """Method whose trained network it takes; None: of none."""
        return None

    def check(self, method: Training) -> None:
        """Raise ValueError where the method's settings do not fit this learner."""


class Keras(LearnerSettings):
    """A network, trained by Keras."""

    kind: Literal["keras"] = "keras"


class Ensemble(LearnerSettings):
    """Networks of the same settings that differ in their random numbers (deep ensemble,
    Lakshminarayanan et al. 2017)."""

    kind: Literal["ensemble"] = "ensemble"
    members: int = Field(5, ge=2, le=100, description="Networks, trained one after the other.")

    def check(self, method: Training) -> None:
        """Refuse answers that are one number per output."""
        if not method.takes_samples:
            raise ValueError(
                f"learner: an ensemble predicts several samples per stamp, and {method.answer_kind}"
                " are predicted without; use kind: keras"
            )


class Sklearn(LearnerSettings):
    """An estimator of scikit-learn, which learns from labels alone.

    Its smoothness (penalty, number of neighbours, size of a leaf) is chosen on the validation
    stamps.
    """

    kind: Literal["sklearn"] = "sklearn"
    estimator: Literal[
        "ridge",
        "kernel_ridge",
        "nystroem",
        "mean",
        "logistic",
        "svm",
        "k_nearest",
        "random_forest",
        "gradient_boosting",
    ] = Field(
        "ridge",
        description=(
            "ridge, kernel_ridge, nystroem (kernel_ridge, approximated in 1000 dimensions) and "
            "mean (of the training labels): numbers and votes; logistic (logistic regression of "
            "two classes, softmax regression of more): classes; the others: all."
        ),
    )
    inputs: Literal["pixels", "simple", "hog"] = Field(
        "pixels",
        description=(
            "pixels: of the variant's stamps. simple: fluxes, colours, profile, concentration, "
            "axis ratio, asymmetry, Gini, M20. hog: histograms of oriented gradients (Dalal & "
            "Triggs 2005) of the mean of the channels."
        ),
    )
    vote: Literal["hard", "soft"] = Field(
        "soft",
        description=(
            "Of k_nearest. hard: all neighbours count the same. soft: by their inverse distances."
        ),
    )
    distance: Distance = Field(
        "euclidean", description=f"Of k_nearest, between standardised inputs. {DISTANCES_TEXT}"
    )
    epsilon: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description=(
            "Of svm: errors below this do not count, of numbers [standard deviations] or votes "
            "[shares]; null: 0.1 and 0.05, the noise of some 40 volunteers."
        ),
    )
    features_from: Name | None = Field(
        None,
        description=(
            "Method whose features it uses, of the same variant and seed; null: `inputs`."
        ),
    )

    #: Settings of a method that it reads; of all others it needs the defaults.
    READS: ClassVar = frozenset(
        {
            *("description", "learner", "variants", "domains", "survey_labels", "simulation"),
            *("n_simulated", "n_survey", "max_magnitude", "split", "average_orientations"),
            *("logarithmic", "groups", "class_weights", "head"),
        }
    )

    _REGRESSORS: ClassVar = frozenset({"ridge", "kernel_ridge", "nystroem", "mean"})

    @property
    def builds_on(self) -> Name | None:
        """Method whose features it reads."""
        return self.features_from

    def check(self, method: Training) -> None:
        """Refuse what it does not read, cannot learn from, or cannot predict."""
        for key, field in type(method).model_fields.items():
            if key not in self.READS and getattr(method, key) != field.get_default():
                raise ValueError(f"{key}: learner sklearn has no such setting; leave it out")
        if "survey" in method.domains and not method.survey_labels:
            raise ValueError("domains: learner sklearn needs survey_labels: true for the survey")
        classifies = method.answer_kind == "classes"
        unfit = self._REGRESSORS if classifies else {"logistic"}
        if self.estimator in unfit:
            raise ValueError(
                f"learner.estimator: {self.estimator} does not predict {method.answer_kind}; "
                "choose another"
            )
        if self.epsilon is not None and (self.estimator != "svm" or classifies):
            raise ValueError("learner.epsilon: belongs to svm for numbers or votes; leave it out")
        for key, default in (("vote", "soft"), ("distance", "euclidean")):
            if self.estimator != "k_nearest" and getattr(self, key) != default:
                raise ValueError(f"learner.{key}: belongs to k_nearest; leave it out")
        if self.features_from and self.inputs != "pixels":
            raise ValueError("learner.inputs: has no effect with features_from; leave one out")
        weighs = getattr(method, "class_weights", "none") != "none"
        if self.estimator == "k_nearest" and weighs:
            raise ValueError("class_weights: k_nearest takes no weights; use none")


#: The kinds of learner, as `galadapt.learners.registry` names them.
LearnerKind = Annotated[Keras | Ensemble | Sklearn, Field(discriminator="kind")]


class Training(Section):
    """How one learner is trained: on which domains, with which labels, from which start."""

    description: str = Field("", description="One line for tables and the MLflow page.")
    learner: LearnerKind = Field(Keras(), description="What is trained.")
    variants: list[Name] | None = Field(
        None, description="Train on these of the experiment's variants only; null: on all."
    )
    domains: list[Literal["simulated", "survey"]] = Field(
        ["simulated"], min_length=1, max_length=2, description="Where training stamps come from."
    )
    survey_labels: bool = Field(
        False, description="Whether survey labels may be used, in training and in early stopping."
    )
    starts_from: Name | None = Field(
        None, description="Method whose trained weights are the start; null: random weights."
    )
    trainable: Literal["all", "dense"] = Field(
        "all", description="dense freezes the convolutions (only with starts_from)."
    )
    feature_rate: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0,
        description=(
            "Learning rate of the layers up to the features, relative to that of the heads: below "
            "1, the initial features change less (only with starts_from)."
        ),
    )
    alignment: Alignment | None = Field(None, description="Domain alignment term; null: none.")
    match_population: bool = Field(
        False,
        description=(
            "Weight simulated stamps in the loss of the LABELS so that their predictions are "
            "distributed as the survey's, updated every epoch: where an image is ambiguous, a "
            "network predicts the mean of its training population (label shift). No survey label "
            "is used. Needs starts_from, a method that predicts both domains tolerably."
        ),
    )
    adapt_batch_norm: bool = Field(
        False,
        description=(
            "After training, set the moments of batch normalisations to those of survey stamps "
            "(AdaBN, Li et al. 2016); no survey label is used."
        ),
    )
    balance_domains: bool = Field(
        True, description="Every batch holds as many simulated as survey stamps."
    )
    optimizer: Optimizer = Field(
        Adam(), description="Rule of the steps; `learning_rate` and its schedule are apart."
    )
    learning_rate: Positive = Field(1e-4, description="Learning rate of the optimiser.")
    learning_rate_schedule: Literal["constant", "cosine"] = Field(
        "constant",
        description=(
            "constant: as in the CANDELS study. cosine: falls to 0 over `epochs`, for few epochs."
        ),
    )
    augment: Literal["none", "rotations", "vertical", "horizontal", "all"] = Field(
        "none",
        description=(
            "Turn and mirror every training stamp at random: by quarter turns (rotations), by "
            "one mirror (vertical, horizontal), or into all 8 orientations."
        ),
    )
    batch_size: int = Field(16, ge=2, description="Stamps per step.")
    epochs: int = Field(100, ge=1, description="At most this many epochs.")
    patience: int = Field(10, ge=1, description="Epochs without improvement before stopping.")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description=(
            "Precision of the layers in training; bfloat16 is meant for GPUs that support it. "
            "Weights, features and outputs stay float32, and so do all predictions."
        ),
    )
    n_simulated: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Use only this many simulated training stamps; null: all."
    )
    n_survey: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Use only this many survey training stamps; null: all."
    )

    #: Whether predictions may be several samples per stamp, (n, samples, outputs).
    takes_samples: ClassVar[bool] = False

    @property
    def answer_kind(self) -> str:
        """Kind of answer, by its name in `galadapt.answers.registry`."""
        return "numbers"

    @property
    def magnitude_limit(self) -> float | None:
        """Magnitude beyond which stamps are left out of training and testing."""
        return None

    @property
    def split_column(self) -> str:
        """Column of the stamp set with the split of each stamp."""
        return "split"

    @property
    def label_copies(self) -> Mapping[str, int]:
        """How often a training stamp of a label is shown per epoch, where not once."""
        return {}

    @property
    def builds_on(self) -> Name | None:
        """Method whose trained network it takes: its start, or where its features are from."""
        return self.starts_from or self.learner.builds_on

    @model_validator(mode="after")
    def _possible(self) -> Training:
        if len(set(self.domains)) != len(self.domains):
            raise ValueError("domains: each domain only once")
        if self.domains == ["survey"] and not self.survey_labels:
            raise ValueError("domains: training on the survey alone needs survey_labels: true")
        if self.survey_labels and "survey" not in self.domains:
            raise ValueError("survey_labels: true needs 'survey' in domains")
        if self.alignment and len(self.domains) < 2:
            raise ValueError("alignment: needs both domains, [simulated, survey]")
        if self.trainable == "dense" and self.starts_from is None:
            raise ValueError("trainable: dense needs starts_from, or the features stay random")
        if self.feature_rate < 1 and (self.starts_from is None or self.trainable == "dense"):
            raise ValueError("feature_rate: below 1 needs starts_from and trainable: all")
        if self.match_population and (len(self.domains) < 2 or self.starts_from is None):
            raise ValueError("match_population: needs both domains and starts_from")
        if self.adapt_batch_norm and "survey" not in self.domains:
            raise ValueError("adapt_batch_norm: needs 'survey' in domains")
        self.learner.check(self)
        return self


class SelfTraining(Section):
    """Train on predictions for survey stamps where the start's networks agree; uses no label."""

    keep: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5,
        description=(
            "Share of the survey's training stamps that are used: those on which all seeds of the "
            "start agree best, in all orientations of the stamp."
        ),
    )


class Regression(Training):
    """What trainings have whose predictions may be averaged, and learned by others."""

    self_training: SelfTraining | None = Field(
        None,
        description=(
            "Train on the most certain predictions of the start's networks for survey stamps; "
            "null: do not. Needs both domains and starts_from, and no survey label."
        ),
    )
    average_orientations: bool = Field(
        False,
        description=(
            "Predict the mean over the stamp's 8 orientations, turned and mirrored: more "
            "accurate and exactly independent of orientation, but 8 times slower. Training is "
            "the same."
        ),
    )

    @model_validator(mode="after")
    def _teachable(self) -> Self:
        if self.self_training is not None and (
            len(self.domains) < 2 or self.starts_from is None or self.survey_labels
        ):
            raise ValueError(
                "self_training: needs both domains, starts_from and survey_labels: false"
            )
        return self


class Method(Regression):
    """How a network that measures galaxies is trained."""

    network: Network = Field(Network(), description="The network that is trained.")
    simulation: Name | None = Field(
        None,
        description=(
            "Which of `simulations` to train and test on; null: that of its start, or else "
            "`simulation`."
        ),
    )
    logarithmic: list[Literal["effective_radius", "sersic_index"]] = Field(
        [],
        max_length=2,
        description="Parameters learned as logarithms (none in the CANDELS study).",
    )
    loss: Literal["mae", "mse"] = Field("mae", description="Regression loss.")
    max_magnitude: float | None = Field(
        None,
        description="Drop fainter stamps in training and testing (CANDELS study's baseline: 23).",
    )

    @property
    def magnitude_limit(self) -> float | None:
        """Magnitude beyond which stamps are left out of training and testing."""
        return self.max_magnitude

    @model_validator(mode="after")
    def _sensible(self) -> Method:
        if len(set(self.logarithmic)) != len(self.logarithmic):
            raise ValueError("logarithmic: each parameter only once")
        return self


class Predictor(Section):
    """The networks of the package for `galadapt predict`: all seeds of one variant and method."""

    variant: Name | None = Field(None, description="Variant; null: the first of `variants`.")
    method: Name | None = Field(None, description="Method; null: the first of `methods`.")
    licence: str = Field("not stated", description="Licence of the package, for its record.")
    citation: str = Field(
        "", description="What users of the package should cite; copied into every output."
    )


class Compute(Section):
    """Hardware for training. Changes no result."""

    backend: Literal["tensorflow", "jax", "torch"] = Field(
        "tensorflow", description="Keras backend."
    )
    gpus_per_training: int = Field(
        0, ge=0, description="GPUs a training job requests (resources: gpu); 0 runs on the CPU."
    )
    threads_per_training: int = Field(
        1, ge=1, description="CPU threads of one training job; results do not depend on --cores."
    )
    stamps_on_device: bool | None = Field(
        None,
        description=(
            "Keep all training stamps in the memory of the device, so that a step transfers rows "
            "instead of images; null: if a training has a GPU. The results are the same."
        ),
    )

    @property
    def keeps_stamps_on_device(self) -> bool:
        """Whether training stamps stay in the memory of the device."""
        if self.stamps_on_device is None:
            return self.gpus_per_training > 0
        return self.stamps_on_device

    @classmethod
    def from_environment(cls) -> Compute:
        """Read the section from GALADAPT_COMPUTE, where the workflow hands it to its jobs.

        What the scheduler gave this job wins: OMP_NUM_THREADS threads and GALADAPT_GPUS GPUs.
        Without GALADAPT_COMPUTE the backend is KERAS_BACKEND.
        """
        given = section_of(cls, "GALADAPT_COMPUTE").model_dump(exclude_unset=True)
        given.setdefault("backend", os.environ.get("KERAS_BACKEND", "tensorflow"))
        for key, variable in (
            ("threads_per_training", "OMP_NUM_THREADS"),
            ("gpus_per_training", "GALADAPT_GPUS"),
        ):
            if variable in os.environ:
                given[key] = os.environ[variable]
        return cls.model_validate(given)
