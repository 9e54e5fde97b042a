"""Networks and methods of classification tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from galadapt.config.base import ImportPath, Name
from galadapt.config.training import NORMALISATION, OWN_NETWORK, TEXTBOOK, TextbookNetwork, Training

Architecture = Literal[
    "stars_a",
    "stars_b",
    "xmm",
    "moments",
    "residual",
    "compact",
    "mlp",
    "cnn",
    "token_vit",
    "unet",
]


class ClassNetwork(TextbookNetwork):
    """A network from the registry in `galadapt.learners.keras.architectures`."""

    architecture: Architecture | ImportPath = Field(
        "stars_b",
        description=(
            "stars_a, stars_b: networks A and B of the star-image study; xmm: network of the 4XMM "
            "study; moments: uses standard deviation, skewness and kurtosis alone, a lower limit; "
            f"residual, compact: as for task galaxies; {TEXTBOOK}; unet: predicts a map (for "
            f"answer mask); {OWN_NETWORK}."
        ),
    )
    convolutions: Literal[2, 3] = Field(3, description="Convolutions of xmm.")
    kernel: int = Field(3, ge=1, le=15, description="Side of the convolutions of xmm [px].")
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Dropout after the first dense layer of xmm (4XMM study: .2 to .5).",
    )
    batch_norm: bool = Field(
        False, description="Batch normalisation after the convolutions of xmm."
    )
    activation: Literal["relu", "mish"] = Field(
        "relu", description="Activation of stars_a, stars_b and xmm."
    )
    input_normalisation: Literal["global", "none"] = Field("none", description=NORMALISATION)


class ClassMethod(Training):
    """How a network that classifies stamps is trained."""

    network: ClassNetwork = Field(ClassNetwork(), description="The network that is trained.")
    answer: Literal["nominal", "ordinal", "mask"] = Field(
        "nominal",
        description=(
            "nominal: a probability per class. ordinal: the classes are ordered, and the network "
            "gives for each border the probability that a stamp lies beyond it. mask: the network "
            "maps the flagged pixels, and their share gives the class. A method of another answer "
            "may start from one with mask: it learns to classify from its maps."
        ),
    )
    groups: dict[Name, list[str]] = Field(
        {},
        description=(
            "Classes, each with its labels, in the order of their first labels. Empty: the labels "
            "themselves. Stamps of other labels are left out."
        ),
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: every class weighs the same in the loss, however rare."
    )
    copies: dict[str, Annotated[int, Field(ge=1, le=1000)]] = Field(
        {},
        description=(
            "How often a training stamp of a label is used per epoch (1: once); repeated ones are "
            "turned and mirrored at random, as in the star-image study."
        ),
    )
    split: Literal["group", "stamp"] = Field(
        "group",
        description=(
            "group: all stamps of a frame lie in one split. stamp: by stamp, which the "
            "star-image study warns against: stamps of one frame are in training AND test sets, "
            "which inflates the score."
        ),
    )

    @property
    def answer_kind(self) -> str:
        """Kind of answer, by its name in `galadapt.answers.registry`."""
        return "maps" if self.answer == "mask" else "classes"

    @property
    def split_column(self) -> str:
        """Column of the stamp set with the split of each stamp."""
        return "split" if self.split == "group" else "split_by_stamp"

    @property
    def label_copies(self) -> Mapping[str, int]:
        """How often a training stamp of a label is shown per epoch, where not once."""
        return self.copies

    @model_validator(mode="after")
    def _answerable(self) -> ClassMethod:
        named = [label for labels in self.groups.values() for label in labels]
        if len(set(named)) != len(named):
            raise ValueError("groups: each label belongs to one class only")
        if not all(self.groups.values()):
            raise ValueError("groups: each class needs at least one label")
        if len(self.groups) == 1:
            raise ValueError("groups: one class is not enough to classify; name at least two")
        draws = self.network.architecture == "unet"
        if self.answer == "mask" and not draws:
            raise ValueError("answer: mask and network.architecture: unet belong together")
        if draws and self.answer != "mask" and self.starts_from is None:
            raise ValueError(
                "network.architecture: unet predicts masks; for another answer it needs "
                "starts_from, a method with answer: mask"
            )
        matched = self.alignment is not None and self.alignment.match_labels
        if self.answer == "mask" and (self.match_population or matched):
            raise ValueError("answer: mask predicts no classes, which matching needs; leave it out")
        if self.answer == "mask" and (self.class_weights != "none"):
            raise ValueError("class_weights: not possible with answer: mask; use none")
        return self
