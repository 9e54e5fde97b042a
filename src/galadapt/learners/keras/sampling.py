"""Layers that draw at random in prediction too, so that a network predicts a distribution.

In training every example draws its own noise. In prediction a draw belongs to the pass, not to the
example: pass 1, 2, ... each stand for one network, the same for all stamps, whatever the batches
and orientations they come in; pass 0, where layers start, is the network without noise.

Importing this module registers the layers, so that saved models load with ``safe_mode=True``.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


class PassSeed(keras.random.SeedGenerator):
    """A seed that drawing leaves as it is: its state is (layer, pass)."""

    def next(self, ordered: bool = True) -> Any:
        """Return the state."""
        return self.state.value * 1


class Sampled(keras.layers.Layer):
    """Base of layers that draw in prediction too.

    Attributes:
        passes: Samples per stamp that the network is meant to give.
    """

    def __init__(self, passes: int = 16, **kwargs: Any) -> None:
        """Seed training from Keras' global seed, and prediction from the layer's name."""
        super().__init__(**kwargs)
        self.passes = passes
        self._key = zlib.crc32(self.name.encode()) % 2**31
        self._training_seed = keras.random.SeedGenerator()
        self._pass_seed = PassSeed(self._key)

    def set_pass(self, number: int) -> None:
        """Choose the draw of all predictions from now on; 0: none."""
        self._pass_seed.state.assign([self._key, number])

    @property
    def sampling(self) -> Any:
        """1 where a pass is chosen, 0 where predictions draw nothing: a scalar tensor."""
        return ops.cast(self._pass_seed.state.value[1] > 0, "float32")


def sampled_layers(model: keras.Model) -> list[Sampled]:
    """Return the layers of a network that draw in prediction."""
    return [layer for layer in model.layers if isinstance(layer, Sampled)]


@keras.saving.register_keras_serializable(package="galadapt")
class SampledDropout(Sampled):
    """Dropout that stays on in prediction (Monte Carlo dropout, Gal & Ghahramani 2016)."""

    def __init__(self, rate: float, **kwargs: Any) -> None:
        """Drop this share of the inputs."""
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Drop inputs (n, f): of each example others in training, else those of the pass."""
        if training:
            return keras.random.dropout(inputs, self.rate, seed=self._training_seed)
        ones = ops.ones((1, *inputs.shape[1:]), self.compute_dtype)
        kept = keras.random.dropout(ones, self.rate, seed=self._pass_seed)
        return inputs * ops.where(self.sampling > 0, kept, ones)


class Flipout(Sampled):
    """Base of layers whose kernel has a normal distribution of its own in every element.

    Mean ``loc`` and standard deviation softplus(``rho``) are learned, by variational inference
    (Blundell et al. 2015); the bias is a number. In training, one draw of the kernel serves the
    batch, and random signs per example of inputs and outputs make its noise independent between
    examples (Flipout, Wen et al. 2018): y = f(x, loc) + f(x s, sigma eps) r + bias.
    """

    #: Of rho at the start: a standard deviation of 0.0067, small against any kernel.
    START = -5.0

    def __init__(self, units: int, activation: str | None = None, **kwargs: Any) -> None:
        """Give `units` outputs (channels); `activation` is one of Keras' by name."""
        super().__init__(**kwargs)
        self.units, self.activation = units, activation

    def _make(self, shape: Sequence[int]) -> None:
        # In full precision: three digits are too few for a sum over all weights.
        options: dict[str, Any] = {"shape": tuple(shape), "autocast": False}
        self.loc = self.add_weight(name="loc", initializer="glorot_uniform", **options)
        start = keras.initializers.Constant(self.START)
        self.rho = self.add_weight(name="rho", initializer=start, **options)
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def _apply(self, inputs: Any, kernel: Any) -> Any:
        raise NotImplementedError

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Apply the layer; outside training one kernel, that of the pass, serves all."""
        dtype = self.compute_dtype
        seed = self._training_seed if training else self._pass_seed
        noise = ops.softplus(self.rho) * keras.random.normal(self.loc.shape, seed=seed)
        if training:
            signs, flips = (self._signs(inputs, count) for count in (inputs.shape[-1], self.units))
            y = self._apply(inputs, ops.cast(self.loc, dtype))
            y += self._apply(inputs * signs, ops.cast(noise, dtype)) * flips
        else:
            y = self._apply(inputs, ops.cast(self.loc + self.sampling * noise, dtype))
        return keras.activations.get(self.activation)(y + ops.cast(self.bias, dtype))

    def _signs(self, inputs: Any, channels: int) -> Any:
        shape = (ops.shape(inputs)[0], *(1 for _ in inputs.shape[1:-1]), channels)
        ones = keras.random.randint(shape, 0, 2, seed=self._training_seed)
        return ops.cast(2 * ones - 1, self.compute_dtype)

    def divergence(self) -> Any:
        """Kullback-Leibler divergence of the kernel from N(0, 1), summed [nats]."""
        sigma = ops.softplus(self.rho)
        return ops.sum(0.5 * (ops.square(sigma) + ops.square(self.loc) - 1) - ops.log(sigma))


@keras.saving.register_keras_serializable(package="galadapt")
class FlipoutDense(Flipout):
    """A dense layer with distributions as weights."""

    def build(self, input_shape: Sequence[int]) -> None:
        """Make the weights."""
        self._make((input_shape[-1], self.units))

    def _apply(self, inputs: Any, kernel: Any) -> Any:
        return ops.matmul(inputs, kernel)


@keras.saving.register_keras_serializable(package="galadapt")
class FlipoutConv2D(Flipout):
    """A convolution with distributions as weights."""

    def __init__(self, units: int, size: int, padding: str = "valid", **kwargs: Any) -> None:
        """Convolve with `units` filters of `size` pixels a side."""
        super().__init__(units, **kwargs)
        self.size, self.padding = size, padding

    def build(self, input_shape: Sequence[int]) -> None:
        """Make the weights."""
        self._make((self.size, self.size, input_shape[-1], self.units))

    def _apply(self, inputs: Any, kernel: Any) -> Any:
        return ops.conv(inputs, kernel, padding=self.padding)


class Prior(keras.layers.Layer):
    """Identity that adds the divergence of a network's weights from their prior to the loss.

    Only what is trained has it, not what is saved.

    Attributes:
        scale: Factor of the divergence; 0 until it is set.
    """

    def __init__(self, network: keras.Model, **kwargs: Any) -> None:
        """Take the `Flipout` layers of a network."""
        super().__init__(dtype="float32", **kwargs)
        found = [layer for layer in network.layers if isinstance(layer, Flipout)]
        # A function, because layers that are attributes count as this layer's own.
        self.divergence = lambda: sum(layer.divergence() for layer in found)
        self.scale = self.add_weight(shape=(), initializer="zeros", trainable=False, name="scale")

    def call(self, inputs: Any) -> Any:
        """Pass `inputs` through."""
        self.add_loss(self.scale * self.divergence())
        return inputs


def with_prior(network: keras.Model) -> keras.Model:
    """Return a network that is trained towards its prior; the same where no weight has one."""
    if not any(isinstance(layer, Flipout) for layer in network.layers):
        return network
    return keras.Model(network.input, Prior(network, name="prior")(network.outputs[0]))


def prior_scale(weight: float, warm_up: int, epoch: int, examples: int) -> float:
    """Return the factor of the divergence in epoch 0, 1, ...

    Bayes' theorem adds it once to the summed loss of all labelled examples; the loss is their mean.
    It rises from 0 over `warm_up` epochs, in which the data find the weights they need (Sonderby et
    al. 2016).
    """
    return weight * min(1.0, epoch / warm_up if warm_up else 1.0) / examples
