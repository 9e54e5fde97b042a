"""Training stamps that stay in the accelerator's memory: a step is sent rows, not images.

A stamp of 128 px is 64 KiB to be sent in every epoch, its row and orientation are 8 bytes. What a
network is shown is the same, bit by bit.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from galadapt.core.errors import RunError
from galadapt.learners.keras.orientations import oriented_each

#: Names of the inputs that stand for the stamps of a step, both (batch,) int32.
ROW, ORIENTATION = "row", "orientation"


class Resident(layers.Layer):
    """Stamps (n, side, side, 1) in the device's memory, looked up by row and turned."""

    def __init__(self, images: np.ndarray, **kwargs: Any) -> None:
        """Copy the stamps to the device.

        Args:
            images: (n, side, side, 1) float32.
            kwargs: Of every layer.
        """
        super().__init__(dtype="float32", **kwargs)
        self.images = self.add_weight(
            shape=images.shape,
            initializer=lambda shape, dtype: keras.ops.convert_to_tensor(images, dtype),
            dtype="float32",
            trainable=False,
            name="images",
        )

    def call(self, inputs: dict[str, Any]) -> Any:
        """Return the stamps (batch, side, side, 1) of `ROW`, each in its `ORIENTATION`."""
        stamps = keras.ops.take(self.images, inputs[ROW], axis=0)
        return oriented_each(stamps, inputs[ORIENTATION])

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Say (batch, side, side, 1)."""
        return (input_shape[ROW][0], *self.images.shape[1:])


def fed_by_rows(model: keras.Model, images: np.ndarray) -> keras.Model:
    """Return a model that is given rows and orientations of stamps, and answers as `model`.

    Args:
        model: From stamps to its answers.
        images: All stamps it may be asked for (n, side, side, 1); copied to the device.

    Raises:
        RunError: the device has no room for them.
    """
    inputs = {name: layers.Input((), dtype="int32", name=name) for name in (ROW, ORIENTATION)}
    try:
        stamps = Resident(images, name="resident")(inputs)
    except Exception as error:
        # Every backend has an error of its own for this.
        if not any(words in str(error).lower() for words in ("resource_exhausted", "memory")):
            raise
        raise RunError(
            f"the device has no room for {images.nbytes / 2**30:.1f} GiB of training stamps; set "
            "compute.stamps_on_device: false"
        ) from None
    return keras.Model(inputs, model(stamps), name=f"{model.name}_by_rows")


def learned(model: keras.Model) -> list[Any]:
    """Return all variables of a model but resident stamps."""
    kept = {
        id(variable)
        for layer in model.layers
        if isinstance(layer, Resident)
        for variable in layer.variables
    }
    return [variable for variable in model.variables if id(variable) not in kept]
