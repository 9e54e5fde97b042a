"""Networks and methods of tasks that predict the votes of volunteers."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from galadapt.config.base import ImportPath
from galadapt.config.training import OWN_NETWORK, TEXTBOOK, Regression, TextbookNetwork


class VoteNetwork(TextbookNetwork):
    """A network from the registry in `galadapt.learners.keras.architectures`."""

    architecture: (
        Literal["zoo", "strided", "compact", "residual", "mlp", "cnn", "token_vit"] | ImportPath
    ) = Field(
        "compact",
        description=(
            "zoo: three convolutions with batch normalisation and pooling, as in the Galaxy Zoo "
            "study; strided: five convolutions with batch normalisation, for stamps of 64 px; "
            f"residual, compact: as for task galaxies; {TEXTBOOK}; {OWN_NETWORK}."
        ),
    )
    padding: Literal["valid", "same"] = Field("same", description="Borders of zoo's convolutions.")
    hidden: int = Field(
        256,
        ge=0,
        le=4096,
        description="Units between the pooled features of zoo and its outputs; 0: none.",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the outputs of zoo.")
    sampled_dropout: bool = Field(
        False, description="Keep dropout on when predicting: each pass gives another sample."
    )
    bayesian: bool = Field(
        False,
        description=(
            "Learn a distribution of every weight of zoo (Flipout, Wen et al. 2018) instead of the "
            "weight; each pass gives another sample. Needs head: dirichlet, whose likelihood sets "
            "the scale of the prior."
        ),
    )
    prior_weight: float = Field(
        1.0, gt=0, description="Weight of the prior of a bayesian network; 1: Bayes' theorem."
    )
    warm_up: int = Field(
        5, ge=0, description="Epochs over which the weight of the prior rises from 0."
    )
    passes: int = Field(
        16, ge=2, le=1000, description="Samples per stamp of a network that has a distribution."
    )

    @model_validator(mode="after")
    def _of_zoo(self) -> VoteNetwork:
        if self.sampled_dropout and self.dropout == 0:
            raise ValueError("sampled_dropout: needs dropout above 0")
        if self.sampled_dropout and self.bayesian:
            raise ValueError("bayesian and sampled_dropout: choose one")
        # Compared with the defaults: settings that were written out in full name every key.
        fields = type(self).model_fields.items()
        changed = {key for key, field in fields if getattr(self, key) != field.default}
        of_zoo = changed & {"padding", "hidden", "dropout", "bayesian"}
        if self.architecture != "zoo" and of_zoo:
            raise ValueError(f"{min(of_zoo)}: belongs to architecture zoo")
        of_prior = changed & {"prior_weight", "warm_up"}
        if not self.bayesian and of_prior:
            raise ValueError(f"{min(of_prior)}: belongs to a bayesian network")
        if "passes" in changed and not (self.bayesian or self.sampled_dropout):
            raise ValueError("passes: needs bayesian or sampled_dropout")
        return self


class VoteMethod(Regression):
    """How a learner that predicts votes is trained."""

    takes_samples: ClassVar[bool] = True  # Votes have a distribution.

    network: VoteNetwork = Field(VoteNetwork(), description="The network that is trained.")
    head: Literal["independent", "tree", "dirichlet"] = Field(
        "tree",
        description=(
            "independent: every output is a share of its own, between 0 and 1 (squared error); the "
            "tree is imposed on predictions only. tree: outputs below 0 are 0, the answers of a "
            "question add up to 1 and are multiplied along the tree (squared error of the shares). "
            "dirichlet: a Dirichlet-multinomial distribution of the votes of every question "
            "(negative log-likelihood; questions without votes cost nothing)."
        ),
    )

    @property
    def answer_kind(self) -> str:
        """Kind of answer, by its name in `galadapt.answers.registry`."""
        return "votes"

    @model_validator(mode="after")
    def _sensible(self) -> VoteMethod:
        if self.network.bayesian and self.head != "dirichlet":
            raise ValueError("network.bayesian: needs head: dirichlet")
        if self.learner.kind == "sklearn" and self.head != "independent":
            raise ValueError("head: estimators need head: independent; set it")
        if self.self_training is not None and self.head == "dirichlet":
            raise ValueError(
                "self_training: predicted votes lack the scatter of volunteers, so that head: "
                "dirichlet would learn too small errors; use head: tree"
            )
        return self
