"""Test a trained network on both domains: the entry that is light to import."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from galadapt.config.training import Compute
from galadapt.learners.keras import backend


def predict(
    run: Path,
    model: Path,
    domains: Mapping[str, Path],
    predictions: Path,
    embeddings: Path,
    record: Path,
    compute: Compute,
) -> None:
    """Ask a trained network about the test and validation stamps of all domains there are.

    Apart from training, so that another survey asks every network again but trains again only
    those that learned from it.

    Args:
        run: The training's run.json: what it learned, magnitude limit.
        model: Its model.keras.
        domains: Stamp set of each domain there is, of the variant the network was trained on.
        predictions: Parquet table to write: id, domain, split and, per parameter in its own unit,
            ``<parameter>_true`` and ``<parameter>_predicted``; of a classifier group, label_true,
            label_original and ``p_<class>``.
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
    from galadapt.learners import test as testing

    network = testing.read_network(Path(run), Path(model))
    paths = {domain: Path(path) for domain, path in domains.items()}
    testing.write(network, paths, Path(predictions), Path(embeddings), Path(record))
