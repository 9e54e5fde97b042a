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
import onnx
from onnx import helper, numpy_helper
from scipy.special import ndtr
from scipy.stats import chi2

from galadapt import __version__
from galadapt.answers.numbers.metrics import nmad, r2
from galadapt.config.base import Interval
from galadapt.config.general import General
from galadapt.core.files import atomic, write_json
from galadapt.core.log import log
from galadapt.core.provenance import file_digest
from galadapt.general import fuse, package, run
from galadapt.general.parameters import with_ellipticity
from galadapt.general.simulate import drawn, joined
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
    truth: np.ndarray  #: (n, 8): the parameters and the ellipticity
    crowded: np.ndarray
    composite: np.ndarray
    tail: np.ndarray | float = 1.0  #: (n, 8), see `galadapt.fitting.fusion.Fused`


def halved(path: Path) -> None:
    """Store the large weights of an ONNX file as float16, in half the size; run in float32."""
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
    parts = []
    for stamps in drawn(recipe, seed, sets):
        given = stamps.images, stamps.valid, np.ones(len(stamps.images))
        found = run.measure(network, *given, stamps.psfs, stamps.psf_index)
        parts.append((found, with_ellipticity(stamps.theta), stamps.crowded, stamps.composite))
    first, *rest = zip(*parts, strict=True)
    return Tested(joined(first), *map(np.concatenate, rest))


def pulls(sample: Tested) -> np.ndarray:
    """Errors over their sigma (n, 8): the seven numbers and the ellipticity.

    Those with heavy tails are turned into those of a normal law.
    """
    plain = (sample.found.values - sample.truth) / sample.found.errors
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
    said, truth, ln_flux = _shown(sample.found.values), _shown(sample.truth), sample.truth[:, 0]
    errors = said - truth
    errors[:, 1] = np.expm1(errors[:, 1])
    errors[:, 2] /= np.log(10)
    size = np.abs(pulls(sample))[:, [0, 1, 2, 7, 5, 6]]
    kinds = {
        "single": ~sample.crowded & ~sample.composite,
        "crowded": sample.crowded & ~sample.composite,
        "composite": sample.composite,
        "all": np.ones(len(truth), bool),
    }
    rows = []
    for kind, chosen in kinds.items():
        for low, high in ((EDGES[0], EDGES[-1]), *itertools.pairwise(EDGES)):
            here = chosen & (ln_flux >= low) & (ln_flux < high)
            if here.sum() < 50:
                continue
            for column, name in enumerate(QUANTITIES):
                some = errors[here, column]
                rows.append(
                    {
                        "kind": kind,
                        "quantity": name,
                        "ln_flux_low": low,
                        "ln_flux_high": high,
                        "n": int(here.sum()),
                        "bias": round(float(np.median(some)), 5),
                        "nmad": round(nmad(some), 5),
                        "r2": round(r2(truth[here, column], said[here, column]), 5),
                        "cover68": round(float((size[here, column] < 1).mean()), 4),
                        "cover95": round(float((size[here, column] < 1.96).mean()), 4),
                    }
                )
    return rows


def _shown(values: np.ndarray) -> np.ndarray:
    """Magnitudes, logarithms of radius and index, ellipticities, centres (n, 6) of `values`."""
    return np.column_stack([-_MAGNITUDES * values[:, 0], values[:, [1, 2, 7, 5, 6]]])


def ranks(sample: Tested) -> list[list[int]]:
    """Simulation-based calibration: histograms (8, 20) of the truth's rank in its posterior.

    Uniform where errors are right (Talts et al. 2018). For normal posteriors the rank is the
    normal law's integral of the pull.
    """
    rank = ndtr(-pulls(sample))
    return [np.histogram(column, 20, (0, 1))[0].tolist() for column in rank.T]


def joint_coverage(sample: Tested) -> dict[str, float]:
    """Share of truths inside the joint credible region of each level: ellipsoids of all seven.

    The test of Lemos et al. (2023) with the region of highest density of a normal posterior.
    """
    residual = sample.found.theta - sample.truth[:, : run.P]
    square = np.einsum("ni,nij,nj->n", residual, np.linalg.inv(sample.found.covariance), residual)
    inside = {level: square < chi2.ppf(level, run.P) for level in (0.5, 0.68, 0.9, 0.95)}
    return {str(level): round(float(each.mean()), 4) for level, each in inside.items()}


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
) -> package.GeneralPackage:
    """Write the package of a trained network into a folder, and open it.

    Args:
        model: The network, with the weights to be released.
        recipe: Its settings.
        progress: steps, stamps, cpu_seconds and start of its training.
        output: Folder to write.
        sets: Sets of galaxies of the calibration and of the test each.
        licence, citation: Of the package.
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
    count = len(test.truth)
    test = test._replace(found=package.calibrated(test.found, np.ones(count), found))
    fusion, both = fuse.fusion_of(network, recipe, found, sets)
    fused = fusion.fuse(both.given, both.covariance)
    refined = Tested(
        run.Measured(*fused[:4], np.zeros((len(both.truth), 1))),
        *(both.truth, both.crowded, both.composite, fused.tail),
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
        name="galadapt general",
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
            "tested_galaxies": count,
            "ranks": ranks(test),
            "refined_ranks": ranks(refined),
            "joint_coverage": joint_coverage(test),
        },
    )
    write_json(
        output / package.RECORD, {"schema": package.SCHEMA, **record.model_dump(mode="json")}
    )
    log.info(f"{output}: {record.size / 1e6:.1f} MB, tested on {count} galaxies")
    return package.read(output)
