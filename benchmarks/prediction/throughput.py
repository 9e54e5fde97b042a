"""How many stamps a second `galadapt predict` measures, end to end, on one core.

A field of round galaxies is written with its weight map and catalogue, and measured with packages
of untrained networks: what a network costs does not depend on its weights. CPU time of this
process: networks loaded, image read from disk, catalogue written; importing Keras is left out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits

from galadapt import __version__
from galadapt.config.base import Interval
from galadapt.config.image import OpticalPsf
from galadapt.config.survey import Extraction
from galadapt.config.training import Compute, Network
from galadapt.core.files import write_csv, write_json, write_parquet
from galadapt.core.provenance import file_digest
from galadapt.core.quantity import PARAMETERS
from galadapt.learners.keras import backend
from galadapt.prediction.arguments import Inputs
from galadapt.prediction.package import RECORD, REFERENCE, SCHEMA, Member, Record
from galadapt.prediction.predict import predict
from galadapt.stamps.preprocess import NoiseAsinh, Rebin
from galadapt.surveys.field import tangent_wcs

RMS, ZERO_POINT, SPACING = 0.0051, 25.9463, 120


def make_package(folder: Path, stamp_size: int, architecture: str, members: int = 3) -> Path:
    """Write a package of untrained networks with a made-up reference."""
    from galadapt.learners.keras import networks

    folder.mkdir()
    random = np.random.default_rng(1)
    found = []
    for number in range(1, members + 1):
        path = folder / f"member-{number}.keras"
        model = networks.build(Network(architecture=architecture), stamp_size // 2, 4)
        model.save(path)
        scaling = {"parameters": PARAMETERS, "mean": [21, 5, 2, 0.4], "scale": [1, 2, 1, 0.2]}
        found.append(
            Member(file=path.name, seed=number, digest=file_digest(path), target_scaling=scaling)
        )
    features = networks.feature_extractor(model).output_shape[-1]
    columns = {"id": np.arange(800), "domain": "simulated"}
    for name in PARAMETERS:
        for kind in ("true", "predicted", "spread"):
            columns[f"{name}_{kind}"] = random.uniform(1, 2, 800)
    noise = random.standard_normal((800, features)).astype(np.float32)
    columns |= {f"f{k:03d}": noise[:, k] for k in range(features)}
    write_parquet(folder / REFERENCE, pd.DataFrame(columns))
    record = Record(
        name=architecture,
        parameters=PARAMETERS,
        members=found,
        reference_digest=file_digest(folder / REFERENCE),
        size=0,
        variant_steps=[Rebin(factor=2), NoiseAsinh()],
        stamp_size=stamp_size,
        pixel_scale=0.06,
        zero_point=ZERO_POINT,
        band="F160W",
        pixel_rms=RMS,
        psf=OpticalPsf(),
        psf_fwhm=0.19,
        extraction=Extraction(),
        training_ranges={name: Interval(low=0, high=40) for name in PARAMETERS},
        method={},
        labels_of=("simulated",),
        survey="none",
        reference_domains=("simulated",),
        feature_domains=("simulated",),
        coverage=(),
        quality=(),
        licence="",
        citation="",
        version=__version__,
        provenance={},
    )
    write_json(folder / RECORD, {"schema": SCHEMA, **record.model_dump(mode="json")})
    return folder


def make_field(folder: Path, count: int, stamp_size: int) -> Inputs:
    """Write image, weight map and catalogue of galaxies on a grid of `SPACING` px."""
    random = np.random.default_rng(2)
    across = int(np.ceil(np.sqrt(count)))
    side = across * SPACING + 2 * stamp_size
    image = (RMS * random.standard_normal((side, side))).astype(np.float32)
    y, x = np.indices((61, 61)) - 30
    places = np.array(
        [
            (stamp_size + SPACING * (k % across), stamp_size + SPACING * (k // across))
            for k in range(count)
        ]
    )
    for column, line in places:
        width, flux = random.uniform(2, 6), 10 ** (0.4 * (ZERO_POINT - random.uniform(19, 23)))
        light = flux / (2 * np.pi * width**2) * np.exp(-0.5 * (x**2 + y**2) / width**2)
        image[line - 30 : line + 31, column - 30 : column + 31] += light
    header = tangent_wcs((side, side), 0.06).to_header()
    header["BUNIT"], header["ABZP"] = "ELECTRONS/S", ZERO_POINT
    fits.PrimaryHDU(image, header).writeto(folder / "drz.fits")
    weight = np.full(image.shape, RMS**-2, np.float32)
    fits.PrimaryHDU(weight, header).writeto(folder / "wht.fits")
    table = pd.DataFrame({"id": np.arange(count), "x": places[:, 0], "y": places[:, 1]})
    table.to_csv(folder / "catalog.csv", index=False)
    return Inputs(
        images=[folder / "drz.fits"],
        maps={"weight": [folder / "wht.fits"]},
        catalog=folder / "catalog.csv",
    )


def main() -> None:
    """Measure and print stamps per CPU second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/prediction.csv"))
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--stamp-size", type=int, default=128)
    parser.add_argument("--architectures", nargs="+", default=["compact"])
    arguments = parser.parse_args()
    backend.prepare(Compute())
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = make_field(folder, arguments.count, arguments.stamp_size)
        for architecture in arguments.architectures:
            package = make_package(folder / architecture, arguments.stamp_size, architecture)
            for members in (3, 1):
                # The first run traces the networks.
                for measured in (False, True):
                    start = time.process_time()
                    table = predict(package, inputs, folder / "out.fits", members=members)
                    seconds = time.process_time() - start
                    if measured:
                        rows.append(
                            {
                                "architecture": architecture,
                                "members": members,
                                "stamp_size": arguments.stamp_size,
                                "objects": len(table),
                                "measured": int((table["reason"] == "").sum()),
                                "cpu_seconds": round(seconds, 2),
                                "per_second": round(len(table) / seconds, 1),
                            }
                        )
    table = pd.DataFrame(rows)
    write_csv(arguments.output, table)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
