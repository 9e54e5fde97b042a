"""The registry: shapes, printed structures, and what input normalisation is for."""

from __future__ import annotations

import typing
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from galadapt.config.classes import ClassNetwork
from galadapt.config.training import Adversarial, Compute, Network
from galadapt.config.votes import VoteNetwork
from galadapt.core.errors import ConfigError
from galadapt.learners.keras import backend

backend.prepare(Compute())

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from galadapt.learners.keras import networks  # noqa: E402
from galadapt.learners.keras.layers import GradientReversal, Moments, SignFlip  # noqa: E402


def kinds(model: keras.Model, layer: type) -> list[keras.layers.Layer]:
    return [found for found in model.layers if isinstance(found, layer)]


def choices(section: type[Network | ClassNetwork | VoteNetwork]) -> tuple[str, ...]:
    """Registered names a section knows: those of its literal, beside the import paths."""
    kinds = typing.get_args(section.model_fields["architecture"].annotation)
    return next(
        typing.get_args(kind) for kind in kinds if typing.get_origin(kind) is typing.Literal
    )


def test_every_architecture_can_be_chosen() -> None:
    found = {*choices(Network), *choices(ClassNetwork), *choices(VoteNetwork)}
    assert set(networks.ARCHITECTURES) == found


@pytest.mark.parametrize(
    ("section", "architecture"),
    [
        (section, name)
        for section in (Network, ClassNetwork, VoteNetwork)
        for name in choices(section)
    ],
)
@pytest.mark.parametrize("side", [16, 33, 128])
def test_every_network_takes_every_size(
    section: type[Network | ClassNetwork | VoteNetwork], architecture: str, side: int
) -> None:
    model = networks.build(section.model_construct(architecture=architecture), side, 4)
    maps = (side, side) if networks.ARCHITECTURES[architecture].draws else ()
    assert model.output_shape == (None, *maps, 4)
    assert networks.feature_extractor(model).output_shape[1] > 0


@pytest.mark.parametrize(
    ("network", "side", "outputs", "weights"),
    [
        ({"architecture": "stars_a"}, 60, 3, 205_891),
        ({"architecture": "stars_b"}, 60, 3, 48_419),
        ({"architecture": "xmm", "kernel": 3}, 162, 1, 3_302_305),
    ],
)
def test_printed_numbers_of_weights(
    network: dict[str, object], side: int, outputs: int, weights: int
) -> None:
    """The studies of stars and of 4XMM print how many weights their networks have."""
    assert networks.build(ClassNetwork(**network), side, outputs).count_params() == weights


@pytest.mark.parametrize(
    ("network", "weights", "trainable"),
    [
        ({"padding": "valid", "dropout": 0.5}, 447_909, 447_013),
        ({"hidden": 0}, 382_117, 381_221),
        ({"bayesian": True}, 893_285, 892_389),
    ],
)
def test_weights_of_the_galaxy_zoo_study(
    network: dict[str, object], weights: int, trainable: int
) -> None:
    """The CNN and the CNN before the SVR as printed; of the Bayesian CNN it prints "~893k"."""
    model = networks.build(VoteNetwork(architecture="zoo", **network), 64, 37, channels=3)
    assert model.count_params() == weights
    assert sum(int(np.prod(one.shape)) for one in model.trainable_weights) == trainable
    assert model.get_layer(networks.FEATURES).output.shape == (None, 256)


def test_moments_are_those_of_scipy() -> None:
    stamps = np.random.default_rng(1).gamma(2.0, size=(3, 12, 12, 1)).astype(np.float32)
    found = np.asarray(Moments()(stamps))
    flat = stamps.reshape(3, -1)
    expected = [
        np.log(flat.std(axis=1)),
        np.arcsinh(scipy.stats.skew(flat, axis=1)),
        np.arcsinh(scipy.stats.kurtosis(flat, axis=1)),
    ]
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-4)
    assert np.isfinite(np.asarray(Moments()(np.zeros((1, 4, 4, 1), np.float32)))).all()


def test_unknown_architecture_names_the_known_ones() -> None:
    wrong = Network.model_construct(architecture="resnet")
    with pytest.raises(ConfigError, match=r"no 'resnet'; choose one of candels_baseline,"):
        networks.build(wrong, 32, 4)


def test_candels_baseline_is_as_printed() -> None:
    printed = Network(
        architecture="candels_baseline",
        output_activation="relu",
        first_padding="valid",
        input_normalisation="none",
    )
    model = networks.build(printed, 128, 4, activation=printed.output_activation)
    convolutions = kinds(model, keras.layers.Conv2D)
    assert [layer.filters for layer in convolutions] == [
        *(16, 16, 32, 32, 64, 64, 128, 128, 256, 256)
    ]
    assert [layer.kernel_size[0] for layer in convolutions] == [4] * 8 + [3] * 2
    assert [layer.padding for layer in convolutions] == ["valid"] + ["same"] * 9
    assert all(layer.kernel_regularizer.l2 == pytest.approx(1e-4) for layer in convolutions)
    assert [layer.padding for layer in kinds(model, keras.layers.MaxPooling2D)] == [
        *("valid", "valid", "same", "same", "same")
    ]
    assert isinstance(model.layers[1], keras.layers.BatchNormalization)
    assert len(kinds(model, keras.layers.BatchNormalization)) == 3
    assert [layer.rate for layer in kinds(model, keras.layers.Dropout)] == [1e-4] * 3
    assert [layer.units for layer in kinds(model, keras.layers.Dense)] == [128, 64, 4]
    assert model.layers[-1].activation is keras.activations.relu
    assert kinds(model, keras.layers.Rescaling) == []


def test_candels_dann_is_as_printed() -> None:
    model = networks.add_domain_head(
        networks.build(Network(architecture="candels_dann"), 128, 4), Adversarial(), steps=1
    )
    convolutions = kinds(model, keras.layers.Conv2D)
    assert [(layer.filters, layer.kernel_size[0]) for layer in convolutions] == [
        *[(32, 4)] * 5,
        *[(64, 4)] * 4,
        *[(64, 3)] * 2,
        *[(128, 3)] * 4,
        (256, 3),
    ]
    assert len(kinds(model, keras.layers.MaxPooling2D)) == 11
    assert len(kinds(model, keras.layers.BatchNormalization)) == 2
    assert model.get_layer(networks.DOMAIN).units == 2
    assert model.get_layer(networks.FEATURES).output.shape[1] == 256


def test_domain_head_reads_the_features_through_the_chosen_reversal() -> None:
    regressor = networks.build(Network(), 32, 4)
    model = networks.add_domain_head(regressor, Adversarial(lambda_max=0.3, gamma=4), steps=70)
    layer = model.get_layer(networks.REVERSAL)
    assert isinstance(layer, GradientReversal)
    assert (layer.lambda_max, layer.gamma, layer.steps) == (0.3, 4, 70)
    constant = networks.add_domain_head(regressor, Adversarial(schedule="constant"), steps=70)
    assert constant.get_layer(networks.REVERSAL).gamma is None
    outputs = model(np.ones((5, 32, 32, 1), np.float32))
    assert outputs[networks.ANSWER].shape == (5, 4)
    np.testing.assert_allclose(np.sum(outputs[networks.DOMAIN], axis=1), 1, rtol=1e-6)
    flipped = networks.add_domain_head(regressor, Adversarial(reversal="sign_flip"), steps=70)
    assert isinstance(flipped.get_layer(networks.REVERSAL), SignFlip)


def test_global_normalisation_undoes_a_change_of_unit() -> None:
    """The same galaxies in e-/s and divided by 255 give the same features; as printed, they fade.

    Batch normalisation adds 1e-3 to a variance of about 1e-8: the printed form must fail here.
    """
    stamps = 0.03 * np.random.default_rng(1).standard_normal((8, 32, 32, 1)).astype(np.float32)

    def response(network: Network, by: float) -> np.ndarray:
        keras.utils.set_random_seed(3)
        scaled = stamps / by
        model = networks.build(network, 32, 4, float(scaled.mean()), float(scaled.std()))
        return np.asarray(networks.feature_extractor(model)(scaled, training=True))

    default = Network(architecture="candels_baseline")
    np.testing.assert_allclose(response(default, 1), response(default, 255), rtol=1e-3, atol=1e-4)
    printed = default.model_copy(update={"input_normalisation": "none"})
    assert response(printed, 255).std() < 0.05 * response(printed, 1).std()


@pytest.mark.parametrize("architecture", ["compact", "residual", "vit"])
def test_the_flux_reaches_the_features(architecture: str) -> None:
    """A layer that divides each stamp by its own contrast would give both the same features."""
    rng = np.random.default_rng(2)
    stamps = 10 * rng.gamma(2.0, size=(6, 32, 32, 1)).astype(np.float32)
    model = networks.feature_extractor(networks.build(Network(architecture=architecture), 32, 4))
    faint, bright = (np.asarray(model(stamps * by)) for by in (1.0, 4.0))
    assert np.linalg.norm(bright) > 2 * np.linalg.norm(faint)


# --- one network per parameter ---------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["compact", "residual", "vit"])
def test_nothing_is_shared_by_one_network_per_parameter(architecture: str) -> None:
    network = Network(architecture=architecture, per_parameter=True)
    model = networks.build(network, 16, 3)
    single = networks.build(network, 16, 1)
    assert model.count_params() == 3 * single.count_params()
    alone = networks.feature_extractor(single).output_shape[1]
    assert networks.feature_extractor(model).output_shape == (None, 3 * alone)
    stamps = np.random.default_rng(1).gamma(2.0, size=(8, 16, 16, 1)).astype(np.float32)
    with tf.GradientTape(persistent=True) as tape:
        said = model(stamps, training=True)
        parts = [tf.reduce_sum(said[:, k]) for k in range(3)]
    variables = model.trainable_variables
    moved = []
    for part in parts:
        gradients = tape.gradient(part, [v.value for v in variables])
        moved.append({k for k, g in enumerate(gradients) if g is not None and np.any(g)})
    assert all(len(one) > 4 for one in moved)
    assert not moved[0] & moved[1] and not moved[0] & moved[2] and not moved[1] & moved[2]
    # Random weights of their own.
    assert len({float(np.asarray(part)) for part in parts}) == 3


def test_one_network_per_parameter_learns_as_if_alone() -> None:
    """Half the loss for each of two outputs shortens no step of Adam, but for its epsilon."""
    rng = np.random.default_rng(5)
    stamps = rng.gamma(2.0, size=(64, 16, 16, 1)).astype(np.float32)
    targets = np.stack([stamps.mean(axis=(1, 2, 3)), stamps.std(axis=(1, 2, 3))], axis=1)
    model = networks.build(Network(per_parameter=True), 16, 2, 2.0, 1.4)
    start = model.get_weights()
    untrained = np.asarray(model(stamps))

    def learned(answer: keras.KerasTensor, expected: np.ndarray) -> np.ndarray:
        model.set_weights(start)
        trained = keras.Model(model.input, answer)
        trained.compile(keras.optimizers.Adam(1e-3, epsilon=1e-12), loss="mse")
        trained.fit(stamps, expected, batch_size=16, shuffle=False, verbose=0)
        return np.asarray(model(stamps))[:, 0]

    together = learned(model.outputs[0], targets)
    alone = learned(model.get_layer(networks.ANSWER).input[0], targets[:, :1])
    assert np.abs(together - untrained[:, 0]).max() > 0.1
    np.testing.assert_allclose(alone, together, atol=1e-4)


@pytest.mark.parametrize(
    "network",
    [
        Network(architecture="vit"),
        Network(architecture="vit", per_parameter=True),
        Network(architecture="candels_baseline", per_parameter=True),
    ],
)
def test_saved_networks_load_in_safe_mode(network: Network, tmp_path: Path) -> None:
    model = networks.build(network, 16, 4, 0.1, 2.0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    stamps = np.random.default_rng(1).standard_normal((3, 16, 16, 1)).astype(np.float32)
    np.testing.assert_array_equal(
        loaded.predict(stamps, verbose=0), model.predict(stamps, verbose=0)
    )
    features = networks.feature_extractor(loaded)
    assert features.output_shape == networks.feature_extractor(model).output_shape


# --- precision -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        *({"architecture": name} for name in choices(Network)),
        {"architecture": "compact", "per_parameter": True},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_half_precision_answers_nearly_the_same_and_back_exactly(
    settings: dict[str, object],
) -> None:
    exact = networks.build(Network.model_validate(settings), 32, 4, 0.1, 2.0)
    stamps = np.random.default_rng(1).standard_normal((3, 32, 32, 1)).astype(np.float32)
    expected = exact.predict(stamps, verbose=0)
    half = networks.in_precision(exact, "bfloat16")
    found = half.predict(stamps, verbose=0)
    assert found.dtype == np.float32
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    assert 1e-5 < difference < 0.05
    assert networks.feature_extractor(half).predict(stamps, verbose=0).dtype == np.float32
    assert {variable.dtype for variable in half.trainable_variables} == {"float32"}
    back = networks.in_precision(half, "float32")
    np.testing.assert_array_equal(back.predict(stamps, verbose=0), expected)


def test_a_precision_that_is_there_copies_nothing() -> None:
    model = networks.build(Network(), 16, 4)
    assert networks.in_precision(model, "float32") is model
    half = networks.in_precision(model, "bfloat16")
    assert networks.in_precision(half, "bfloat16") is half


def test_frozen_layers_stay_frozen_in_another_precision() -> None:
    model = networks.build(Network(), 16, 4)
    for layer in model.layers[:5]:
        layer.trainable = False
    half = networks.in_precision(model, "bfloat16")
    flags = [[one.trainable for one in each.layers[1:]] for each in (half, model)]
    assert flags[0] == flags[1] and not all(flags[0])
    assert len(half.trainable_variables) == len(model.trainable_variables)
