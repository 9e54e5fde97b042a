"""Estimators of scikit-learn as learners: on pixels, on simple features of the image, or on those a
network has learned."""

from __future__ import annotations

import hashlib
import time
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from galadapt.answers.base import known
from galadapt.config.training import Compute
from galadapt.core.distances import METRICS, signed_root
from galadapt.core.errors import DataError, reading
from galadapt.core.files import canonical_json, read_json, write_json
from galadapt.core.log import log
from galadapt.learners import registry, run_folder
from galadapt.learners.base import Learner
from galadapt.learners.image_features import INPUTS
from galadapt.learners.support_vectors import SupportVectors

if TYPE_CHECKING:
    from galadapt.answers.base import Answer
    from galadapt.learners.data import Data
    from galadapt.learners.job import Job

#: What is tried of each estimator, as `make_estimator` reads it; the validation stamps choose.
CHOICES: dict[str, tuple[float, ...]] = {
    "ridge": (1.0, 10.0, 100.0, 1e3, 1e4),
    "kernel_ridge": (0.1, 0.3, 1.0, 3.0),
    "nystroem": (0.1, 0.3, 1.0, 3.0),
    "mean": (0.0,),
    "logistic": (1.0, 0.1, 0.01, 1e-3),
    "svm": (10.0, 1.0, 0.3, 0.1),
    "k_nearest": (3, 10, 30),
    "random_forest": (1, 3, 10),
    "gradient_boosting": (4, 10, 31),
}

#: Dimensions in which nystroem approximates its kernel (Williams & Seeger 2001).
COMPONENTS = 1000


class SklearnLearner:
    """An estimator; see `galadapt.learners.base.Learner`.

    A fitted estimator is what its training inputs make of it. Those are saved, as plain arrays, and
    loading fits again: it is deterministic, takes seconds, and no pickle is ever read.
    """

    def __init__(
        self, about: dict[str, Any], arrays: dict[str, np.ndarray], network: Learner | None
    ) -> None:
        """Fit.

        Args:
            about: estimator, choice, epsilon, vote, distance, inputs, classifies, seed, side,
                outputs, scikit_learn (its version).
            arrays: Training inputs (n, f), targets (n, outputs) and weights (n,), and what is slow
                to find: the ``solution`` of support vectors.
            network: Whose features of the stamps are the inputs; None: pixels or simple features
                are, as ``inputs`` names them.
        """
        self.side, self.outputs = int(about["side"]), int(about["outputs"])
        self.history: list[dict[str, float]] = []
        self.record: dict[str, Any] = {}
        self._about, self._network = about, network
        self._estimator = make_estimator(**about, count=len(arrays["inputs"]))
        vectors = self._estimator[-1]
        if isinstance(vectors, SupportVectors):
            vectors.solution_ = arrays.get("solution")
        targets = arrays["targets"]
        # It takes no weights; the configuration refuses what would need them.
        weighs = about["estimator"] != "k_nearest"
        self._estimator.fit(
            arrays["inputs"],
            _classes(targets) if about["classifies"] else targets,
            **({"estimator__sample_weight": arrays["weights"]} if weighs else {}),
        )
        if isinstance(vectors, SupportVectors):
            arrays = arrays | {"solution": np.asarray(vectors.solution_)}
        self._arrays = arrays

    @classmethod
    def check(cls, job: Job, side: int, channels: int) -> None:
        """Accept all: the settings have been checked."""

    @classmethod
    def fit(cls, job: Job, data: Data, answer: Answer) -> SklearnLearner:
        """Fit with every choice, and keep that of the smallest validation loss."""
        network = run_folder.load(job.start, job.compute).learner if job.start else None
        side = data.shape[0]
        if network is not None and network.side != side:
            raise DataError(
                f"{job.start}: was trained on stamps of {network.side} px, not of {side} px; "
                "take the features of a run of the same variant"
            )
        parts = list(data.training.values())
        images = np.concatenate([part.images for part in parts])
        targets = answer.transform(np.concatenate([part.labels for part in parts]))
        images, targets = images[known(targets)], targets[known(targets)]
        weights = answer.weights(targets)
        settings: Any = job.method.learner
        kind: str = settings.inputs
        inputs = _inputs(images, network, kind)
        arrays = {"inputs": inputs, "targets": targets, "weights": weights}
        measured = {"loss": (inputs, targets)} | {
            f"val_{domain}": (_inputs(part.images, network, kind), answer.transform(part.labels))
            for domain, part in data.validation.items()
        }
        estimator: str = settings.estimator
        epsilon = 0.05 if job.method.answer_kind == "votes" else 0.1
        about = {
            "estimator": estimator,
            "epsilon": epsilon if settings.epsilon is None else settings.epsilon,
            "vote": settings.vote,
            "distance": settings.distance,
            "inputs": kind,
            "classifies": job.method.answer_kind == "classes",
            "seed": job.seed,
            "side": side,
            "outputs": answer.outputs,
            "scikit_learn": version("scikit-learn"),
        }
        fitted: list[SklearnLearner] = []
        history: list[dict[str, float]] = []
        for number, choice in enumerate(CHOICES[estimator], start=1):
            begun = time.monotonic()
            fitted.append(cls(about | {"choice": choice}, arrays, network))
            row: dict[str, float] = {"epoch": number, "choice": choice}
            for name, (inputs, wanted) in measured.items():
                outputs = fitted[-1]._outputs(inputs)
                row[name] = answer.validation_loss(outputs, wanted, answer.weights(wanted))
            row["val_monitored"] = float(np.mean([row[f"val_{name}"] for name in data.validation]))
            row["seconds"] = time.monotonic() - begun
            history.append(row)
            log.info(f"{job.label} {estimator} {choice:g} val {row['val_monitored']:.4f}")
        best = int(np.argmin([row["val_monitored"] for row in history]))
        learner = fitted[best]
        learner.history = history
        learner.record = {
            "best_epoch": best + 1,
            "best_monitored": history[best]["val_monitored"],
            "epochs_run": len(history),
        }
        return learner

    @classmethod
    def load(cls, folder: Path, compute: Compute) -> SklearnLearner:
        """Fit again to what was saved."""
        about, path = read_json(folder / "estimator.json"), folder / "training.npz"
        now = version("scikit-learn")
        if about.get("scikit_learn") != now:
            raise DataError(
                f"{folder}: fitted by scikit-learn {about.get('scikit_learn')}, but {now} is "
                "installed; delete its run folder and train again"
            )
        failures = (OSError, ValueError, zipfile.BadZipFile)
        with (
            reading(path, "not readable", "delete its run folder and train again", failures),
            np.load(path, allow_pickle=False) as saved,
        ):
            arrays = {name: saved[name] for name in saved.files}
        features = folder / "features"
        network = registry.load("keras").load(features, compute) if features.is_dir() else None
        return cls(about, arrays, network)

    def save(self, folder: Path) -> None:
        """Save the training inputs, the settings, and the network of the features."""
        np.savez(folder / "training.npz", allow_pickle=False, **self._arrays)
        write_json(folder / "estimator.json", self._about)
        if self._network is not None:
            (folder / "features").mkdir()
            self._network.save(folder / "features")

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Apply the estimator."""
        return self._outputs(self.features(images))

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return the estimator's inputs."""
        return _inputs(images, self._network, self._about["inputs"])

    @property
    def digest(self) -> str:
        """Digest of all that decides the estimator."""
        network = None if self._network is None else self._network.digest
        total = hashlib.sha256(canonical_json([self._about, network]).encode())
        for array in self._arrays.values():
            total.update(np.ascontiguousarray(array).tobytes())
        return total.hexdigest()[:16]

    def _outputs(self, inputs: np.ndarray) -> np.ndarray:
        """Return outputs (n, outputs); of classes, their probabilities."""
        found = np.zeros((len(inputs), self.outputs), np.float32)
        if len(inputs) and self._about["classifies"]:
            chances = np.zeros((len(inputs), max(self.outputs, 2)), np.float32)
            chances[:, self._estimator.classes_] = self._estimator.predict_proba(inputs)
            # Of two classes the output is the probability of the second.
            found[:] = chances[:, -self.outputs :]
        elif len(inputs):
            found[:] = self._estimator.predict(inputs).reshape(found.shape)
        return found


def _classes(targets: np.ndarray) -> np.ndarray:
    """Number the classes of targets (n, outputs); two classes have one output."""
    if targets.shape[1] == 1:
        return (targets[:, 0] > 0.5).astype(int)
    return targets.argmax(axis=1)


def _inputs(images: np.ndarray, network: Learner | None, kind: str) -> np.ndarray:
    if network is not None:
        return network.features(images)
    if kind in INPUTS:
        return INPUTS[kind](images)
    return images.reshape(len(images), int(np.prod(images.shape[1:])))


def make_estimator(
    *,
    estimator: str,
    choice: Any,
    epsilon: float,
    classifies: bool,
    seed: int,
    count: int,
    vote: str = "soft",
    distance: str = "euclidean",
    **_: Any,
) -> Any:
    """Return one that is not yet fitted.

    Args:
        estimator: One of `CHOICES`.
        choice: One of those: its smoothness.
        epsilon: Error that costs support vectors nothing.
        classifies: Whether it gives probabilities of classes, or numbers.
        seed: Of what is drawn at random.
        count: Training inputs.
        vote: Of nearest neighbours, hard or soft.
        distance: Between inputs, for nearest neighbours.
    """
    from sklearn import (
        calibration,
        compose,
        dummy,
        ensemble,
        kernel_approximation,
        linear_model,
        multioutput,
        neighbors,
        preprocessing,
        svm,
    )
    from sklearn import kernel_ridge as kernels
    from sklearn.pipeline import Pipeline

    steps: list[tuple[str, Any]] = [("scaler", preprocessing.StandardScaler())]
    if estimator == "ridge":
        found = linear_model.Ridge(alpha=choice)
    elif estimator == "kernel_ridge":
        # It has no intercept of its own.
        found = compose.TransformedTargetRegressor(
            kernels.KernelRidge(alpha=choice, kernel="rbf"),
            transformer=preprocessing.StandardScaler(with_std=False),
        )
    elif estimator == "nystroem":
        components = min(COMPONENTS, count)
        nystroem = kernel_approximation.Nystroem(n_components=components, random_state=seed)
        steps.append(("nystroem", nystroem))
        found = linear_model.Ridge(alpha=choice)
    elif estimator == "mean":
        found = dummy.DummyRegressor()
    elif estimator == "logistic":
        found = linear_model.LogisticRegression(C=choice, max_iter=1000)
    elif estimator == "svm" and classifies:
        found = calibration.CalibratedClassifierCV(svm.SVC(C=choice), ensemble=False)
    elif estimator == "svm":
        found = SupportVectors(C=choice, epsilon=epsilon)
    elif estimator == "k_nearest":
        kind = neighbors.KNeighborsClassifier if classifies else neighbors.KNeighborsRegressor
        weights = "distance" if vote == "soft" else "uniform"
        if distance == "signed_root":
            steps.append(("root", preprocessing.FunctionTransformer(signed_root)))
        found = kind(int(choice), weights=weights, metric=METRICS[distance])
    elif estimator == "gradient_boosting":
        boosting: dict[str, Any] = {"max_leaf_nodes": int(choice), "random_state": seed}
        boosting["early_stopping"] = False
        if classifies:
            found = ensemble.HistGradientBoostingClassifier(**boosting)
        else:
            found = ensemble.HistGradientBoostingRegressor(**boosting)
            found = multioutput.MultiOutputRegressor(found)
    else:
        forest = ensemble.RandomForestClassifier if classifies else ensemble.RandomForestRegressor
        found = forest(min_samples_leaf=int(choice), random_state=seed)
    return Pipeline([*steps, ("estimator", found)])
