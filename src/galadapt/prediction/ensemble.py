"""Running the networks of a package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from galadapt.answers.numbers.scaler import TargetScaler
from galadapt.core.errors import DataError
from galadapt.core.onnx_files import OnnxNetwork
from galadapt.cutouts.stamps import Stamp
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

    def __init__(self, record: Record, models: Mapping[str, OnnxNetwork]) -> None:
        """Take a record's first networks, by names for messages; a DataError if one is unfit."""
        self._record = record
        self._scalers = [
            TargetScaler.from_dict(member.target_scaling)
            for member in record.members[: len(models)]
        ]
        probe = np.zeros((1, record.stamp_size, record.stamp_size))
        side = apply_chain(probe, record.variant_steps, record.pixel_rms).shape[1]
        fitting = (BATCH, side, side, 1), (BATCH, len(record.parameters))
        for name, model in models.items():
            found = model.input_shapes[0], model.output_shapes[0]
            if found != fitting:
                raise DataError(
                    f"{name}: a network from {found[0]} to {found[1]} in a package from "
                    f"{fitting[0]} to {fitting[1]} (stamps and numbers); make the package again"
                )
        self._models = list(models.values())
        self._averages = bool(record.method.get("average_orientations", False))

    @classmethod
    def of_package(cls, package: Package, members: int | None = None) -> Ensemble:
        """Load a package's networks; with `members` only so many (faster, as good as one training).

        Raises:
            DataError: a network is broken or does not fit the package.
        """
        paths = [package.folder / member.file for member in package.record.members[:members]]
        models = {str(path): OnnxNetwork(path, inputs=1, outputs=2) for path in paths}
        try:
            ensemble = cls(package.record, models)
        except DataError as error:
            problem = error.args[0].removeprefix(f"{package.folder}/").split(";")[0]
            raise DataError(f"{package.folder}: {problem}; {_REMEDY}") from None
        known = len(feature_columns(package.reference))
        width = ensemble._models[0].output_shapes[1][-1]
        if width != known:
            raise DataError(
                f"{package.folder / REFERENCE}: {known} features, the network has {width}; "
                f"{_REMEDY}"
            )
        return ensemble

    def measure(self, stamps: Sequence[Stamp]) -> Measured:
        """Measure stamps by their pixels."""
        return self(np.stack([stamp.pixels for stamp in stamps]))

    def __call__(self, images: np.ndarray) -> Measured:
        """Measure stamps (n, S, S), background-subtracted, at the package's zero point and scale.

        Raises:
            DataError: the variant's chain gives values that are not finite.
        """
        record = self._record
        values, features = [], []
        for start in range(0, len(images), BATCH):
            some = images[start : start + BATCH]
            prepared = apply_chain(some, record.variant_steps, record.pixel_rms, record.name)
            found = [self._run(model, prepared[..., None]) for model in self._models]
            features.append(found[0][1].astype(float))
            members = zip(self._scalers, found, strict=True)
            values.append(np.stack([scaler.inverse(answer) for scaler, (answer, _) in members]))
        together = np.concatenate(values, axis=1)
        return Measured(together.mean(axis=0), together.std(axis=0), np.concatenate(features))

    def features(self, inputs: np.ndarray) -> np.ndarray:
        """Features (n, f) of the first network for stamps (n, s, s, 1) after the chain."""
        parts = [
            self._run(self._models[0], inputs[start : start + BATCH])[1]
            for start in range(0, len(inputs), BATCH)
        ]
        return np.concatenate(parts)

    def _run(self, model: OnnxNetwork, inputs: np.ndarray) -> list[np.ndarray]:
        """Answers (n, p) and features (n, f) of at most `BATCH` stamps (n, s, s, 1)."""
        padded = np.zeros((BATCH, *inputs.shape[1:]), np.float32)
        padded[: len(inputs)] = inputs
        outputs = mean_output(model, padded) if self._averages else model(padded)
        return [part[: len(inputs)] for part in outputs]
