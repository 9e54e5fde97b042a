"""Making the package of a trained network: export, calibration, tests, record.

Calibration and tests use simulations of seeds of their own, fixed in `SEEDS`, never trained on.
Accuracy and coverage are measured on the exported file, in ONNX Runtime, as users run it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from galadapt import __version__
from galadapt.config.base import Interval
from galadapt.config.general import General
from galadapt.core.files import atomic, write_json
from galadapt.core.log import log
from galadapt.core.provenance import file_digest
from galadapt.general import fuse, package, run
from galadapt.general.simulate import Simulator, Stamps
from galadapt.learners.keras.onnx_export import export

#: Seeds of the galaxies that errors are calibrated with, and of those the package is tested on.
SEEDS = {"calibration": 9101, "test": 9202}

#: Edges of the bins of brightness [ln(flux over noise)]: 1 mag of the CANDELS wide survey is 0.92.
EDGES = (4.3, 5.6, 6.5, 7.4, 8.3, 9.7, 11.1, 12.5, 14.6)

#: Largest number of the features' main directions that are kept.
_DIRECTIONS = 16

#: Quantities of the tables, as users see them.
QUANTITIES = ("magnitude", "effective_radius", "sersic_index", "ellipticity", "x", "y")

_MAGNITUDES = 2.5 / np.log(10)


class Tested(NamedTuple):
    """Simulated galaxies and what was measured of them."""

    found: run.Measured
    theta: np.ndarray  #: truth (n, 7)
    crowded: np.ndarray
    composite: np.ndarray
    tail: np.ndarray | float = 1.0  #: (n, 8), see `galadapt.fitting.fusion.Fused`


def halved(path: Path) -> None:
    """Store the large weights of an ONNX file as float16, in half the size; run in float32."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(path)
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < 256:
            continue
        name = tensor.name
        small = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(small, f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    with atomic(path) as temporary:
        onnx.save(model, temporary)


def tested(network: run.Network, recipe: General, seed: int, sets: int) -> Tested:
    """Measure galaxies that the recipe draws with a seed; `sets` of them, each used once."""
    training = recipe.training.model_copy(update={"seed": seed, "passes": 1})
    simulator = Simulator(recipe.model_copy(update={"training": training}))
    batches = itertools.chain.from_iterable(simulator.batches(k) for k in range(sets))
    parts = [(measured(network, one), one) for one in batches]
    found = [result for result, _ in parts]
    return Tested(
        run.Measured(
            *(
                np.concatenate([getattr(one, name) for one in found])
                for name in run.Measured.__dataclass_fields__
            )
        ),
        np.concatenate([one.theta for _, one in parts]),
        np.concatenate([one.crowded for _, one in parts]),
        np.concatenate([one.composite for _, one in parts]),
    )


def measured(network: run.Network, stamps: Stamps) -> run.Measured:
    """Run the network on simulated stamps, which are in units of their noise."""
    noise = np.ones(len(stamps.images))
    return run.measure(network, stamps.images, stamps.valid, noise, stamps.psfs, stamps.psf_index)


def pulls(sample: Tested) -> np.ndarray:
    """Errors over their sigma (n, 8): the seven numbers and the ellipticity.

    Those with heavy tails are turned into those of a normal law.
    """
    found = sample.found
    sigma = np.sqrt(np.diagonal(found.covariance, axis1=1, axis2=2))
    e = np.hypot(sample.theta[:, 3], sample.theta[:, 4])
    own = (found.theta - sample.theta) / sigma
    last = ((found.ellipticity - e) / found.ellipticity_err)[:, None]
    plain = np.concatenate([own, last], axis=1)
    size = np.abs(plain)
    return np.asarray(np.sign(plain) * np.where(size > 1, size ** (1 / sample.tail), size))


def calibration(sample: Tested) -> package.Calibration:
    """Factors by which the errors cover 68 % in each bin of measured brightness."""
    size = np.abs(pulls(sample))
    brightness = sample.found.theta[:, 0]
    middles, factors = [], []
    for low, high in itertools.pairwise((-np.inf, *EDGES[1:-1], np.inf)):
        here = (brightness >= low) & (brightness < high)
        if here.sum() >= 100:
            middles.append(float(np.mean(brightness[here])))
            # A normal law's 68.27 % lie within one sigma; its 95.45 % within two.
            narrow = np.quantile(size[here], 0.6827, axis=0)
            wide = np.quantile(size[here], 0.9545, axis=0) / 2
            factors.append(tuple(np.round(np.sqrt(narrow * wide), 4).tolist()))
    return package.Calibration(ln_flux=tuple(middles), factors=tuple(factors))


def familiar(features: np.ndarray) -> package.Familiar:
    """Describe the features of the training's galaxies."""
    mean = features.mean(axis=0)
    _, scatter, directions = np.linalg.svd(features - mean, full_matrices=False)
    kept = min(_DIRECTIONS, int((scatter > 1e-6 * scatter[0]).sum()))
    scaled = directions[:kept] / (scatter[:kept, None] / np.sqrt(len(features)))
    shape = package.Familiar(
        mean=tuple(np.round(mean, 6).tolist()),
        directions=tuple(tuple(np.round(row, 6).tolist()) for row in scaled),
        limit=1.0,
    )
    limit = float(np.quantile(package.distance(features, shape), 0.99))
    return shape.model_copy(update={"limit": round(limit, 5)})


def quality(sample: Tested) -> list[dict[str, Any]]:
    """Bias, NMAD, R² and coverage, by kind of galaxy and brightness.

    Errors are absolute in the magnitude, the ellipticity and the centre [px], relative in the
    radius, in dex in the index.
    """
    found, theta = sample.found, sample.theta
    e = np.hypot(theta[:, 3], theta[:, 4])
    said, truth = _shown(found.theta, found.ellipticity), _shown(theta, e)
    errors = said - truth
    errors[:, 1] = np.expm1(errors[:, 1])
    errors[:, 2] /= np.log(10)
    size = np.abs(pulls(sample))[:, [0, 1, 2, 7, 5, 6]]
    kinds = {
        "single": ~sample.crowded & ~sample.composite,
        "crowded": sample.crowded & ~sample.composite,
        "composite": sample.composite,
        "all": np.ones(len(theta), bool),
    }
    rows = []
    for kind, chosen in kinds.items():
        for low, high in ((EDGES[0], EDGES[-1]), *itertools.pairwise(EDGES)):
            here = chosen & (theta[:, 0] >= low) & (theta[:, 0] < high)
            if here.sum() < 50:
                continue
            for column, name in enumerate(QUANTITIES):
                some, true = errors[here, column], truth[here, column]
                bias = float(np.median(some))
                residual = said[here, column] - true
                rows.append(
                    {
                        "kind": kind,
                        "quantity": name,
                        "ln_flux_low": low,
                        "ln_flux_high": high,
                        "n": int(here.sum()),
                        "bias": round(bias, 5),
                        "nmad": round(1.4826 * float(np.median(np.abs(some - bias))), 5),
                        "r2": round(
                            1 - float((residual**2).sum() / ((true - true.mean()) ** 2).sum()), 5
                        ),
                        "cover68": round(float((size[here, column] < 1).mean()), 4),
                        "cover95": round(float((size[here, column] < 1.96).mean()), 4),
                    }
                )
    return rows


def _shown(theta: np.ndarray, ellipticity: np.ndarray) -> np.ndarray:
    """Magnitudes, logarithms of radius and index, ellipticities, centres (n, 6)."""
    magnitude = -_MAGNITUDES * theta[:, 0]
    return np.column_stack([magnitude, theta[:, 1:3], ellipticity, theta[:, 5:7]])


def ranks(sample: Tested, bins: int = 20) -> np.ndarray:
    """Simulation-based calibration: histograms (8, bins) of the truth's rank in its posterior.

    Uniform where errors are right (Talts et al. 2018). For normal posteriors the rank is the
    normal law's integral of the pull.
    """
    from scipy.special import ndtr

    rank = ndtr(-pulls(sample))
    return np.stack([np.histogram(column, bins, (0, 1))[0] for column in rank.T])


def expected_coverage(sample: Tested, levels: np.ndarray) -> np.ndarray:
    """Share of truths inside the joint credible region of each level: ellipsoids of all seven.

    The test of Lemos et al. (2023) with the region of highest density of a normal posterior.
    """
    from scipy.stats import chi2

    residual = sample.found.theta - sample.theta
    square = np.einsum("ni,nij,nj->n", residual, np.linalg.inv(sample.found.covariance), residual)
    share: np.ndarray = np.array([(square < chi2.ppf(level, run.P)).mean() for level in levels])
    return share


def _claimed(drawn: Interval, low: float, high: float) -> Interval:
    """Claim less than was drawn, unless next to nothing would be left, as of a single PSF."""
    return Interval(low=low, high=high) if low < high else drawn


def release(
    model: keras.Model,
    recipe: General,
    progress: Mapping[str, Any],
    output: Path,
    sets: int,
    licence: str,
    citation: str,
    name: str = "galadapt general",
) -> package.GeneralPackage:
    """Write the package of a trained network into a folder, and open it.

    Args:
        model: The network, with the weights to be released.
        recipe: Its settings.
        progress: steps, stamps, cpu_seconds and start of its training.
        output: Folder to write.
        sets: Sets of galaxies of the calibration and of the test each.
        licence, citation: Of the package.
        name: Of the package.
    """
    output.mkdir(parents=True, exist_ok=True)
    path = output / package.NETWORK
    export(model, path, run.BATCH)
    halved(path)
    network = run.opened(path)
    sample = tested(network, recipe, SEEDS["calibration"], sets)
    found = calibration(sample)
    known = familiar(sample.found.features)
    test = tested(network, recipe, SEEDS["test"], sets)
    right = package.calibrated(test.found, np.ones(len(test.theta)), found)
    test = test._replace(found=right)
    fusion, drawn = fuse.fusion_of(network, recipe, found, sets)
    fused = fusion.fuse(drawn.given, drawn.covariance)
    refined = Tested(
        run.Measured(*fused[:4], np.zeros((len(drawn.truth), 1))),
        *(drawn.truth[:, : run.P], drawn.crowded, drawn.composite, fused.tail),
    )
    draws = recipe.draws
    radius, index, width = draws.effective_radius, draws.sersic_index, draws.psf.fwhm
    ranges = {
        "ln_flux": _claimed(draws.ln_flux, draws.ln_flux.low + 1.2, draws.ln_flux.high - 0.3),
        "effective_radius": _claimed(radius, radius.low * 1.5, radius.high * 0.8),
        "sersic_index": _claimed(index, index.low * 1.1, index.high * 0.97),
        "ellipticity": Interval(low=0.0, high=draws.ellipticity.high - 0.02),
        "psf_fwhm": _claimed(width, width.low * 1.05, width.high / 1.05),
    }
    record = package.GeneralRecord(
        name=name,
        network_digest=file_digest(path),
        size=path.stat().st_size,
        inputs=package.INPUTS,
        recipe=recipe,
        steps=int(progress["steps"]),
        stamps=int(progress["stamps"]),
        cpu_seconds=round(float(progress["cpu_seconds"]), 1),
        ranges=ranges,
        calibration=found,
        familiar=known,
        quality=tuple(quality(test)),
        fusion=fusion.to_dict(),
        refined_quality=tuple(quality(refined)),
        licence=licence,
        citation=citation,
        version=__version__,
        provenance={
            "seeds": {"training": recipe.training.seed, **SEEDS, **fuse.SEEDS},
            "start": progress.get("start"),
            "tested_galaxies": len(test.theta),
            "ranks": ranks(test).tolist(),
            "refined_ranks": ranks(refined).tolist(),
            "joint_coverage": {
                str(level): round(float(share), 4)
                for level, share in zip(
                    (0.5, 0.68, 0.9, 0.95),
                    expected_coverage(test, np.array([0.5, 0.68, 0.9, 0.95])),
                    strict=True,
                )
            },
        },
    )
    write_json(
        output / package.RECORD, {"schema": package.SCHEMA, **record.model_dump(mode="json")}
    )
    log.info(f"{output}: {record.size / 1e6:.1f} MB, tested on {len(test.theta)} galaxies")
    return package.read(output)
