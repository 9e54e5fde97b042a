"""Running the networks of a package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from galadapt.answers.numbers.scaler import TargetScaler
from galadapt.core.errors import DataError
from galadapt.cutouts.stamps import Stamp
from galadapt.learners.keras import networks
from galadapt.learners.orientations import mean_output
from galadapt.learners.predict import feature_columns
from galadapt.prediction.package import REFERENCE, Package, Record
from galadapt.stamps.preprocess import apply_chain

#: Stamps per forward pass, always this many: results do not depend on how stamps are grouped.
BATCH = 128

_REMEDY = "make or fetch the package again"


@dataclass(frozen=True)
class Measured:
    """The outputs of an ensemble for n stamps."""

    predicted: np.ndarray  #: Mean over members (n, p) in the parameters' units.
    spread: np.ndarray  #: Standard deviation between members (n, p); 0 with a single one.
    features: np.ndarray  #: The first member's features (n, f).
    #: Further columns of the catalogue, by name (n,).
    extra: dict[str, np.ndarray] = field(default_factory=dict)


class Ensemble:
    """The networks of a package, ready to predict."""

    def __init__(self, record: Record, models: Mapping[str, keras.Model]) -> None:
        """Take a record's first networks, by names for messages; a DataError if one is unfit."""
        self._record = record
        self._scalers = [
            TargetScaler.from_dict(member.target_scaling)
            for member in record.members[: len(models)]
        ]
        probe = np.zeros((1, record.stamp_size, record.stamp_size))
        side = apply_chain(probe, record.variant_steps, record.pixel_rms).shape[1]
        for name, model in models.items():
            if model.input_shape[1] != side or model.output_shape[-1] != len(record.parameters):
                raise DataError(
                    f"{name}: a network of {model.input_shape[1]} px and {model.output_shape[-1]} "
                    f"outputs in a package of {side} px and {len(record.parameters)} parameters; "
                    "make the package again"
                )
        first, *self._others = models.values()
        features = first.get_layer(networks.FEATURES).output
        self._first = keras.Model(first.input, [first.outputs[0], features])
        self._averages = bool(record.method.get("average_orientations", False))

    @classmethod
    def of_package(cls, package: Package, members: int | None = None) -> Ensemble:
        """Load a package's networks; with `members` only so many (faster, as good as one training).

        Raises:
            DataError: a network is broken or does not fit the package.
        """
        paths = [package.folder / member.file for member in package.record.members[:members]]
        models = {str(path): _network(path) for path in paths}
        try:
            ensemble = cls(package.record, models)
        except DataError as error:
            problem = error.args[0].removeprefix(f"{package.folder}/").split(";")[0]
            raise DataError(f"{package.folder}: {problem}; {_REMEDY}") from None
        width, known = ensemble._first.outputs[1].shape[-1], len(feature_columns(package.reference))
        if width != known:
            raise DataError(
                f"{package.folder / REFERENCE}: {known} features, the network has {width}; "
                f"{_REMEDY}"
            )
        return ensemble

    def _predict(self, model: keras.Model, prepared: np.ndarray) -> Any:
        if self._averages:
            return mean_output(model.predict_on_batch, prepared)
        return model.predict_on_batch(prepared)

    def measure(self, stamps: Sequence[Stamp]) -> Measured:
        """Measure stamps by their pixels."""
        return self(np.stack([stamp.pixels for stamp in stamps]))

    def __call__(self, images: np.ndarray) -> Measured:
        """Measure stamps (n, S, S), background-subtracted, at the package's zero point and scale.

        Raises:
            DataError: the variant's chain gives values that are not finite.
        """
        record = self._record
        outputs: list[list[np.ndarray]] = []
        for start in range(0, len(images), BATCH):
            some = images[start : start + BATCH]
            prepared = apply_chain(some, record.variant_steps, record.pixel_rms, record.name)
            padded = np.zeros((BATCH, *prepared.shape[1:], 1), np.float32)
            padded[: len(some), ..., 0] = prepared
            first, features = self._predict(self._first, padded)
            others = [self._predict(model, padded) for model in self._others]
            outputs.append([np.asarray(part)[: len(some)] for part in (features, first, *others)])
        parts = [np.concatenate(part) for part in zip(*outputs, strict=True)]
        values = np.stack(
            [scaler.inverse(part) for scaler, part in zip(self._scalers, parts[1:], strict=True)]
        )
        return Measured(values.mean(axis=0), values.std(axis=0), parts[0].astype(float))


def _network(path: Path) -> keras.Model:
    try:
        return networks.load(path)
    except Exception as error:
        # A damaged archive fails in as many ways as it has parts.
        line = " ".join(str(error).removeprefix(f"{path}: ").split())[:200].partition(";")[0]
        if not isinstance(error, DataError):
            line = f"not a readable Keras model ({line})"
        raise DataError(f"{path}: {line}; {_REMEDY}") from None
