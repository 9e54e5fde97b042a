"""How well simulated and survey stamps can be told apart by the features of a method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from galadapt.core.errors import DataError
from galadapt.core.files import read_table

#: Folds of the cross-validation; fewer where a domain has fewer galaxies.
_FOLDS = 5


def features_of_tests(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Return finite features (n, f) of a run's test stamps, their domains (n,), how many failed.

    Raises:
        DataError: the table is missing or is no table of embeddings.
    """
    table = read_table(path)
    features = [name for name in map(str, table) if name[0] == "f" and name[1:].isdigit()]
    if not features or "domain" not in table or "split" not in table:
        raise DataError(
            f"{path}: embeddings need the columns domain, split and f000, f001, ...; rerun the "
            "prediction"
        )
    table = table[table["split"] == "test"]
    values = table[features].to_numpy(np.float64)
    finite = np.isfinite(values).all(axis=1)
    return values[finite], table["domain"].to_numpy()[finite], int((~finite).sum())


def domain_separability(path: Path) -> dict[str, Any]:
    """Measure the separability of the domains in the embeddings of one run's test stamps.

    Returns:
        ``separability_auc`` and ``separability_std`` as `separability`, the numbers ``n_simulated``
        and ``n_survey`` used, and ``failed`` (features not finite).

    Raises:
        DataError: as `features_of_tests`.
    """
    values, domain, failed = features_of_tests(path)
    is_survey = domain == "survey"
    auc, spread = separability(values, is_survey)
    return {
        "separability_auc": auc,
        "separability_std": spread,
        "n_simulated": int((~is_survey).sum()),
        "n_survey": int(is_survey.sum()),
        "failed": failed,
    }


def separability(features: np.ndarray, is_survey: np.ndarray) -> tuple[float, float]:
    """How well a linear classifier separates the domains by the network's features.

    Area under the ROC curve of a logistic regression on standardised features, cross-validated:
    0.5 means that the domains cannot be told apart, 1 that they never mix.

    Args:
        features: Shape (n, n_features), finite.
        is_survey: Shape (n,), True for survey galaxies.

    Returns:
        (mean, standard deviation) over folds; NaN when a domain has fewer than two galaxies.
    """
    folds = min(_FOLDS, int(is_survey.sum()), int((~is_survey).sum()))
    if folds < 2:
        return float("nan"), float("nan")
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced")
    )
    # One seed for all, so that equal features give one number everywhere.
    split = StratifiedKFold(folds, shuffle=True, random_state=0)
    scores = cross_val_score(classifier, features, is_survey, cv=split, scoring="roc_auc")
    return float(scores.mean()), float(scores.std())
