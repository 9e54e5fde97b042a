"""The package of the network for any image: run, calibrated, refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from galadapt.config.base import Interval
from galadapt.config.general import General
from galadapt.core.errors import DataError
from galadapt.core.provenance import file_digest
from galadapt.general import package, run
from galadapt.general.parameters import PARAMETERS, SIDE


def write_network(path: Path) -> None:
    """A network that answers its bias, whatever it is given."""
    shapes = {"centre": [32, 48, 48, 3], "field": [32, 32, 32, 3], "scalars": [32, 113]}
    given = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    ]
    answer = np.zeros((32, run.OUTPUTS), np.float32)
    answer[:, : run.P] = 0.1 * np.arange(run.P)
    features = np.zeros((32, 4), np.float32)
    nodes = [
        helper.make_node(
            "Constant",
            [],
            [name],
            value=helper.make_tensor(name, TensorProto.FLOAT, array.shape, array.ravel()),
        )
        for name, array in (("answer", answer), ("features", features))
    ]
    out = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [32, width])
        for name, width in (("answer", run.OUTPUTS), ("features", 4))
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "constant", given, out),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(model, path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_network(tmp_path / package.NETWORK)
    interval = Interval(low=0.5, high=10.0)
    names = ("ln_flux", "effective_radius", "sersic_index", "ellipticity", "psf_fwhm")
    record = package.GeneralRecord(
        name="constant",
        network_digest=file_digest(tmp_path / package.NETWORK),
        size=1,
        inputs=package.INPUTS,
        recipe=General(),
        steps=0,
        stamps=0,
        cpu_seconds=0.0,
        ranges=dict.fromkeys(names, interval),
        calibration=package.Calibration(ln_flux=(0.0, 10.0), factors=((1.0,) * 8, (3.0,) * 8)),
        familiar=package.Familiar(mean=(0.0,) * 4, directions=((1.0, 0.0, 0.0, 0.0),), limit=1.0),
        quality=(),
        licence="none",
        citation="none",
        version="0",
        provenance={},
    )
    content = {"schema": package.SCHEMA, **record.model_dump(mode="json")}
    (tmp_path / package.RECORD).write_text(json.dumps(content))
    return tmp_path


def stamps(count: int = 3, flux: float = 100.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axis = np.arange(SIDE) - (SIDE - 1) / 2
    shape = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / 8)
    psf = (shape / shape.sum()).astype(np.float32)
    images = np.repeat(flux * psf[None], count, axis=0)
    return images, np.ones(images.shape, bool), psf[None]


def test_fluxes_follow_the_unit_and_errors_do_not(folder: Path) -> None:
    opened = package.read(folder)
    images, valid, psf = stamps()
    one = opened.measure(images, valid, np.ones(3), psf, np.zeros(3, int))
    two = opened.measure(1e-3 * images, valid, np.full(3, 1e-3), psf, np.zeros(3, int))
    assert np.allclose(two.theta[:, 0] - one.theta[:, 0], np.log(1e-3))
    assert np.allclose(two.theta[:, 1:], one.theta[:, 1:])
    assert np.allclose(two.covariance, one.covariance)
    assert one.theta.shape == (3, len(PARAMETERS))
    assert np.allclose(one.theta[:, 1], 0.1 * run.SPREAD[1] + run.MIDDLE[1])


def test_results_do_not_depend_on_the_grouping() -> None:
    def network(*given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Answers with all that it is given."""
        whole = np.concatenate([array.reshape(len(array), -1) for array in given], axis=1)
        return given[2][:, : run.OUTPUTS], whole

    rng = np.random.default_rng(1)
    images, valid, psf = stamps(40)
    images = images * np.linspace(0.5, 2, 40)[:, None, None] + rng.standard_normal(images.shape)
    noise, index = np.linspace(1, 2, 40), np.arange(40) % 2
    psfs = np.concatenate([psf, psf[:, ::-1] ** 2])
    whole = run.measure(network, images, valid, noise, psfs, index)
    for rows in (slice(3, 4), slice(30, 37), slice(39, 40)):
        given = (images[rows], valid[rows], noise[rows], psfs, index[rows])
        some = run.measure(network, *given)
        for name in run.Measured._fields:
            np.testing.assert_array_equal(getattr(whole, name)[rows], getattr(some, name))


def test_the_covariance_is_that_of_the_likelihood() -> None:
    rng = np.random.default_rng(1)
    outputs = rng.normal(0, 0.4, (5, run.OUTPUTS))
    found = run.split(outputs, np.zeros((5, 1)), np.zeros(5), np.ones(5))
    residual = rng.normal(0, 1, (5, run.P))
    # -2 ln of the normal law from the covariance, and from the factor of its inverse.
    factor = run.factor(outputs)
    scaled = residual / run.SPREAD
    inverse = np.linalg.inv(found.covariance)
    assert np.allclose(
        np.einsum("ni,nij,nj->n", residual, inverse, residual),
        (np.einsum("nij,nj->ni", factor, scaled) ** 2).sum(axis=1),
    )


def test_errors_are_calibrated_by_brightness(folder: Path) -> None:
    found = run.split(
        np.zeros((2, run.OUTPUTS)), np.zeros((2, 1)), np.array([-9.0, 20.0]), np.ones(2)
    )
    calibration = package.read(folder).record.calibration
    right = package.calibrated(found, np.ones(2), calibration)
    ratio = np.sqrt(right.covariance[:, 0, 0] / found.covariance[:, 0, 0])
    assert np.allclose(ratio, [1.0, 3.0])
    assert np.allclose(right.ellipticity_err / found.ellipticity_err, [1.0, 3.0])


def _edit(folder: Path, change: Callable[[dict], None]) -> None:
    path = folder / package.RECORD
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: record.update(schema="galadapt-general-0"), "of format"),
        (lambda record: record.update(network_digest="0"), "not the file that"),
        (lambda record: record.update(inputs={}), "made for other inputs"),
        (lambda record: record.pop("ranges"), "ranges"),
    ],
)
def test_a_record_that_does_not_match_is_one_sentence(
    folder: Path, change: Callable[[dict], None], words: str
) -> None:
    _edit(folder, change)
    with pytest.raises(DataError, match=words) as caught:
        package.read(folder)
    assert "\n" not in str(caught.value) and ";" in str(caught.value)


def test_a_damaged_network_is_one_sentence(folder: Path) -> None:
    (folder / package.NETWORK).write_bytes(b"\x08\x07 no network")
    digest = file_digest(folder / package.NETWORK)
    _edit(folder, lambda record: record.update(network_digest=digest))
    images, valid, psf = stamps()
    with pytest.raises(DataError, match="no ONNX network that can be run"):
        package.read(folder).measure(images, valid, np.ones(3), psf, np.zeros(3, int))


def test_a_missing_record_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(folder / package.NETWORK, empty)
    with pytest.raises(DataError, match="missing"):
        package.read(empty)
