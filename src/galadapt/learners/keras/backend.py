"""The one place that chooses Keras' backend, its threads and its devices.

`prepare` must run before anything imports keras: Keras fixes its backend when it is imported, and
TensorFlow fixes its threads with the first operation.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator

from galadapt.config.training import Compute
from galadapt.core.errors import ConfigError, RunError


def prepare(compute: Compute) -> None:
    """Import keras with the wanted backend; may be called again with the same settings.

    Raises:
        ConfigError: the backend is not installed.
        RunError: this process already uses another backend or another number of threads.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = compute.backend
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        if compute.backend == "jax" and compute.gpus_per_training == 0:
            os.environ.setdefault("JAX_PLATFORMS", "cpu")
        try:
            with _silent_native_libraries():
                importlib.import_module(compute.backend)
        except ImportError:
            raise ConfigError(
                f"compute.backend: '{compute.backend}' is not installed; install it or choose "
                "tensorflow"
            ) from None
    import keras

    if keras.backend.backend() != compute.backend:
        raise RunError(
            f"compute.backend: keras already runs on {keras.backend.backend()}, not "
            f"{compute.backend}; train in a process of its own"
        )
    if compute.backend == "tensorflow":
        _prepare_tensorflow(compute)
    elif compute.backend == "torch":
        torch = importlib.import_module("torch")
        torch.set_num_threads(compute.threads_per_training)
        torch.use_deterministic_algorithms(True)


def _prepare_tensorflow(compute: Compute) -> None:
    import tensorflow as tf

    threading = tf.config.threading
    wanted = compute.threads_per_training
    if threading.get_intra_op_parallelism_threads() != wanted:
        try:
            threading.set_intra_op_parallelism_threads(wanted)
            threading.set_inter_op_parallelism_threads(1)
        except RuntimeError:
            raise RunError(
                f"compute.threads_per_training: tensorflow already runs with other threads than "
                f"{wanted}; train in a process of its own"
            ) from None
    if compute.gpus_per_training == 0:
        # Once a GPU is in use it cannot be hidden; then there is nothing left to decide here.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    tf.config.experimental.enable_op_determinism()


@contextlib.contextmanager
def _silent_native_libraries() -> Iterator[None]:
    """Send file descriptor 2 to nowhere: TensorFlow's C++ logs before it reads its log level."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
