"""A small package of untrained networks, and a field of round galaxies to measure with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from astropy.io import fits
from galaxies import RMS, SIDE, field, stamps_of

from galadapt.config.image import GaussianPsf
from galadapt.config.survey import Extraction
from galadapt.config.training import Compute, Method, Network, Predictor
from galadapt.learners.keras import backend
from galadapt.prediction.make_package import write_package
from galadapt.prediction.package import Package
from galadapt.stamps.format import write_stamps


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    backend.prepare(Compute())


@pytest.fixture(scope="session", autouse=True)
def loaded_once(one_thread) -> Iterator[None]:
    """Keep every ensemble: loading and tracing networks takes longer than measuring with them."""
    from galadapt.prediction.ensemble import Ensemble

    load, known = Ensemble.of_package, {}

    def of_package(package: Package, members: int | None = None) -> Ensemble:
        key = package.folder, package.record.digest, members
        if key not in known:
            known[key] = load(package, members)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ensemble, "of_package", of_package)
        yield


def write_run(folder: Path, seed: int, survey_labels: bool = False) -> Path:
    """A run folder as training leaves it, of a network nobody trained."""
    import keras

    from galadapt.core.quantity import PARAMETERS, SERSIC
    from galadapt.learners.keras import networks

    keras.utils.set_random_seed(seed)
    model = networks.build(Network(), SIDE // 2, 4, 0.0, 1.0)
    (folder / "model").mkdir(parents=True)
    model.save(folder / "model" / "network.keras")
    domains = ["simulated", "survey"] if survey_labels else ["simulated"]
    run = {
        **{"learner": "keras", "weights": "", "identity": ""},
        "task": "galaxies",
        "variant": "asinh",
        "method": "baseline",
        "seed": seed,
        "settings": Method(domains=domains, survey_labels=survey_labels).model_dump(mode="json"),
        "variant_steps": [{"step": "rebin", "factor": 2}, {"step": "noise_asinh"}],
        "stamps": {"pixel_rms": RMS},
        "answer": {
            "kind": "numbers",
            "quantities": [quantity.to_dict() for quantity in SERSIC],
            "scaling": {
                "parameters": PARAMETERS,
                "mean": [21.0, 4.0, 2.0, 0.3],
                "scale": [0.5, 0.5, 0.5, 0.1],
            },
        },
    }
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def write_set(path: Path, domain: str, count: int, seed: int) -> Path:
    images, table = stamps_of(count, seed)
    metadata = {"pixel_scale": 0.06, "zero_point": 25.9463, "band": "F160W", "domain": domain}
    write_stamps(path, [images], table, {**metadata, "pixel_rms": RMS})
    return path


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sets")
    return {
        "simulated": write_set(folder / "simulated.h5", "simulated", 1200, 1),
        "survey": write_set(folder / "survey.h5", "survey", 300, 2),
    }


@pytest.fixture(scope="session")
def make_package(tmp_path_factory: pytest.TempPathFactory, sets: dict[str, Path]):
    def make(survey_labels: bool = False, runs: list[Path] | None = None) -> Path:
        folder = tmp_path_factory.mktemp("package")
        if runs is None:
            runs = [write_run(folder / f"seed{k}", k, survey_labels) for k in (1, 2)]
        write_package(
            runs=runs,
            simulated=[sets["simulated"]],
            survey=sets["survey"],
            psf=GaussianPsf(fwhm=0.18),
            extraction=Extraction(),
            predictor=Predictor(citation="Someone et al. 2026"),
            survey_kind="mock",
            output=folder / "model",
            compute=Compute(),
            provenance={"stage": "test"},
        )
        return folder / "model"

    return make


@pytest.fixture(scope="session")
def package(make_package) -> Path:
    return make_package()


@pytest.fixture(scope="session")
def sky(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Image, weight and catalogue of a field with 24 galaxies, two of them beyond its border."""
    folder = tmp_path_factory.mktemp("sky")
    image, weight, header, catalog = field()
    fits.PrimaryHDU(image, header).writeto(folder / "drz.fits")
    fits.PrimaryHDU(weight, header).writeto(folder / "wht.fits")
    catalog.to_csv(folder / "catalog.csv", index=False)
    return {
        "image": folder / "drz.fits",
        "weight": folder / "wht.fits",
        "catalog": folder / "catalog.csv",
    }


@pytest.fixture
def rewrite(sky: dict[str, Path], tmp_path: Path):
    """Write the field's image again, with other pixels or cards."""

    def make(pixels=None, name: str = "other.fits", **cards) -> Path:
        with fits.open(sky["image"]) as hdus:
            data, header = hdus[0].data.copy(), hdus[0].header.copy()
        for key, value in cards.items():
            if value is None:
                header.remove(key, ignore_missing=True)
            else:
                header[key] = value
        path = tmp_path / name
        fits.PrimaryHDU(data if pixels is None else pixels(data), header).writeto(path)
        return path

    return make


@pytest.fixture
def catalog_of(tmp_path: Path):
    def make(table: pd.DataFrame, name: str = "other.csv") -> Path:
        table.to_csv(tmp_path / name, index=False)
        return tmp_path / name

    return make
