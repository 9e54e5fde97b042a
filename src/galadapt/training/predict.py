"""Test a trained network on both domains: the entry that is light to import."""

from __future__ import annotations

from pathlib import Path

from galadapt.config import Compute
from galadapt.training import backend


def predict(
    run: Path,
    model: Path,
    simulated: Path,
    survey: Path,
    predictions: Path,
    embeddings: Path,
    record: Path,
    compute: Compute,
) -> None:
    """Measure the test and validation stamps of both domains with a trained network.

    Apart from training, so that another survey asks every network again but trains again only
    those that learned from it.

    Args:
        run: The training's run.json: parameters, scaling of the targets, magnitude limit.
        model: Its model.keras.
        simulated: Stamp set of the simulated domain, of the variant the network was trained on.
        survey: Stamp set of the survey, of the same variant.
        predictions: Parquet table to write: id, domain, split and, per parameter in its own unit,
            ``<parameter>_true`` and ``<parameter>_predicted``.
        embeddings: Parquet table to write: id, domain, split and, for the first test stamps of
            each domain, the features all heads share (f000, f001, ...) as float32.
        record: JSON to write last: ``datasets``, the digest of each domain's stamp set.
        compute: Backend, threads and GPUs.

    Raises:
        ConfigError: the backend is not installed.
        DataError: an input is missing or broken, or stamps and network do not fit.
        RunError: this process already runs another backend.
    """
    backend.prepare(compute)
    # Keras must not be imported before its backend is chosen.
    from galadapt.training import testing

    network = testing.read_network(Path(run), Path(model))
    paths = {"simulated": Path(simulated), "survey": Path(survey)}
    testing.write(network, paths, Path(predictions), Path(embeddings), Path(record))
