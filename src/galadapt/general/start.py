"""Starting a training from a package's network instead of from random weights."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import onnx
from onnx import numpy_helper

from galadapt.general import package, run
from galadapt.learners.keras.onnx_export import export


def load(model: keras.Model, path: Path) -> None:
    """Give a network the weights of an ONNX file that was exported from one like it.

    The file has numbers where Keras has names, in the order in which weights are used. A second
    export shows which number is whose: in it, each weight is filled with a value of its own.

    A batch normalisation is a factor and a sum in the file. Its mean and variance are unknown: the
    layer is given 0 and 1, and no longer follows the batches.

    Args:
        model: From `galadapt.general.network.build`; changed.
        path: `network.onnx` of a package.
    """
    fixed: dict[str, float] = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
            fixed |= {layer.moving_mean.path: 0.0, layer.moving_variance.path: 1 - layer.epsilon}
    marks = [fixed.get(weight.path, k + 1.0) for k, weight in enumerate(model.weights)]
    filled = [np.full(w.shape, mark) for w, mark in zip(model.weights, marks, strict=True)]
    model.set_weights(filled)
    with TemporaryDirectory() as folder:
        marked = Path(folder, package.NETWORK)
        export(model, marked, run.BATCH)
        numbers = {round(float(array.flat[0])): name for name, array in _arrays(marked).items()}
    known = _arrays(path)
    for k, weight in enumerate(model.weights):
        if weight.path not in fixed:
            array = known[numbers[k + 1]].astype(np.float32)
            # ONNX has the filters of a convolution first.
            filled[k] = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    model.set_weights(filled)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Floating-point weights of an ONNX file by the number of their values."""
    tensors = onnx.load(path).graph.initializer
    arrays = {one.name.removesuffix("_half"): numpy_helper.to_array(one) for one in tensors}
    return {name: a for name, a in arrays.items() if np.issubdtype(a.dtype, np.floating) and a.ndim}
