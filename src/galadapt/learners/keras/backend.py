"""The one place that chooses Keras' backend, its threads, its devices and how it computes.

`prepare` must run before anything imports keras: Keras fixes its backend when it is imported, and
TensorFlow fixes its threads with the first operation. What a user's ``keras.json`` or environment
says is not read: numbers depend on the experiment alone.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator

from galadapt.config.training import Compute
from galadapt.core.errors import ConfigError, RunError, lacks_memory

#: Of the environment; each changes what TensorFlow or JAX compute, in the last digits or more.
_FIXED = {"TF_ENABLE_ONEDNN_OPTS": "1", "JAX_ENABLE_X64": "0"}


def prepare(compute: Compute) -> None:
    """Import keras with the wanted backend; may be called again with the same settings.

    Raises:
        ConfigError: the backend is not installed.
        RunError: the backend cannot be loaded, or this process already uses another one or another
            number of threads.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = compute.backend
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.update(_FIXED)
        if compute.backend == "jax" and compute.gpus_per_training == 0:
            os.environ.setdefault("JAX_PLATFORMS", "cpu")
        with _users_keras_hidden():
            _import(compute.backend)
    import keras

    if keras.backend.backend() != compute.backend:
        raise RunError(
            f"compute.backend: keras already runs on {keras.backend.backend()}, not "
            f"{compute.backend}; train in a process of its own"
        )
    # How every network computes and is stored, whatever the defaults of the user's Keras are.
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    if compute.backend == "tensorflow":
        _prepare_tensorflow(compute)
    elif compute.backend == "torch":
        torch = importlib.import_module("torch")
        torch.set_num_threads(compute.threads_per_training)
        torch.use_deterministic_algorithms(True)


def _import(name: str) -> None:
    """Import a backend, then keras."""
    try:
        with _silent_native_libraries():
            importlib.import_module(name)
            importlib.import_module("keras")
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ConfigError(
            f"compute.backend: '{name}' is not installed; install it or choose tensorflow"
        ) from None
    except ImportError as error:
        if lacks_memory(error):
            raise
        reason = " ".join(str(error).split())
        raise RunError(
            f"compute.backend: '{name}' is installed but cannot be loaded ({reason[:300]}); "
            "mend its installation, or create the environment anew"
        ) from None


@contextlib.contextmanager
def _users_keras_hidden() -> Iterator[None]:
    """Let Keras see no configuration but its backend: neither variables nor ``keras.json``."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("KERAS_")}
    for name in kept.keys() - {"KERAS_BACKEND"}:
        del os.environ[name]
    # A folder that can neither exist nor be made, so that nothing is read or written.
    os.environ["KERAS_HOME"] = f"{os.devnull}/keras"
    try:
        yield
    finally:
        del os.environ["KERAS_HOME"]
        os.environ.update(kept)


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
