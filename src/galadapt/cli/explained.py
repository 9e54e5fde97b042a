"""The descriptions of `--help`: what a command does, reads and writes, and an example.

The modules of the verbs define options; this one describes the commands.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """The help of one command."""

    does: str
    reads: str = ""
    writes: str = ""
    examples: Sequence[str] = ()

    @property
    def text(self) -> str:
        """Description for argparse's raw formatter."""
        width = 88
        parts = [textwrap.fill(self.does, width)]
        facts = [("Reads", self.reads), ("Writes", self.writes)]
        parts += [
            textwrap.fill(f"{name}: {what}", width, subsequent_indent=" " * (len(name) + 2))
            for name, what in facts
            if what
        ]
        if self.examples:
            title = "Examples" if len(self.examples) > 1 else "Example"
            parts.append("\n".join([f"{title}:", *(f"  {line}" for line in self.examples)]))
        return "\n\n".join(parts)


COMMANDS: Mapping[str, Explanation] = {
    "galadapt": Explanation(
        "Measure galaxies with networks trained on simulations, and run the experiments that show "
        "how far to trust them. `galadapt COMMAND --help` explains a command.",
        examples=[
            "galadapt predict --images mosaic.fits --catalog cat.fits --psf psf.fits -o out.fits",
            "galadapt check config/config.yaml config/presets/cosmos.yaml",
        ],
    ),
    "galadapt predict": Explanation(
        "Measure galaxies: cut a stamp around every object, run a trained model package on it, and "
        "give magnitude, effective radius, Sersic index and ellipticity with errors and flags. An "
        "interrupted run continues where it stopped.",
        "images with or without a catalogue, or small images of one object each (--cutouts), or a "
        "stamp set (--stamps); a model package.",
        "a catalogue with a row per object (FITS, CSV, Parquet or VOTable, by its name), with "
        "--plot a picture, with --report a page. CSV has no header: its provenance is in "
        "NAME.csv.json.",
        [
            "galadapt predict --images mosaic.fits --weight wht.fits --catalog cat.fits "
            "--psf psf.fits -o out.fits",
            "galadapt predict --cutouts folder/ --fill --zero-point 25.9 -o out.csv --plot out.png",
        ],
    ),
    "galadapt fit-check": Explanation(
        "Check how far a package can be used on your images: fit a random sample of your stamps "
        "with a Sersic profile, compare with the networks per magnitude bin, and state "
        "in a sentence what not to use. With --recalibrate, factors are written that enlarge "
        "the errors of galadapt predict (--recalibration).",
        "the same as galadapt predict.",
        "a CSV with one row per bin, and with --plot a picture.",
        [
            "galadapt fit-check --images mosaic.fits --catalog cat.fits --psf psf.fits "
            "-o agreement.csv"
        ],
    ),
    "galadapt configure": Explanation(
        "Write the experiment that trains networks for your image, where no package fits it: "
        "depth, correlation of the noise, PSF, ranges of magnitude and radius, and crowding are "
        "measured in the image; what the training costs is estimated.",
        "one image with its maps, its PSF, and a catalogue if there is one.",
        "a YAML file of what differs from config/config.yaml; without a catalogue also "
        "NAME_objects.csv, the detected objects.",
        ["galadapt configure --images mosaic.fits --psf psf.fits -o mine.yaml"],
    ),
    "galadapt similar": Explanation(
        "Find the stamps of a set that are most like a stamp or an image, by the features that a "
        "trained model makes of them. All stamps are compared; --index keeps their features, so "
        "that the next search takes a moment.",
        "a model package or the folder of a run; a stamp set; what is searched for: a stamp's id, "
        "an image, or a stamp of another set.",
        "a CSV with the rows of the stamp set, nearest first, and with --sheet a picture.",
        [
            "galadapt similar --model results/models/galaxies/asinh/transfer "
            "--stamps results/data/simulated/shard-*.h5 --query results/data/survey/stamps.h5:17 "
            "--index index/ --sheet similar.png -o similar.csv",
        ],
    ),
    "galadapt simulate": Explanation(
        "Render your own list of galaxies with single Sersic profiles, through a PSF and with "
        "noise.",
        "a table of galaxies (columns below) and, if it is given, the image of a PSF.",
        "a stamp set (HDF5), which galadapt.StampSet and galadapt predict --stamps read.",
        ["galadapt simulate --parameters galaxies.csv --noise wide -o galaxies.h5"],
    ),
    "galadapt models": Explanation(
        "List, describe and fetch trained model packages.",
        examples=["galadapt models list --store /path/to/repository"],
    ),
    "galadapt models list": Explanation(
        "Tabulate the packages of a store: depth, PSF, ranges, accuracy and licence of each.",
        "a store (a DVC repository).",
        examples=["galadapt models list --store /path/to/repository"],
    ),
    "galadapt models show": Explanation(
        "Print for which images a package holds and how accurate it is on its test galaxies.",
        "a package: a folder, a fetched one, or one in a store.",
        examples=["galadapt models show results/models/galaxies/asinh/transfer"],
    ),
    "galadapt models fetch": Explanation(
        "Copy a package of a store to this machine; checksums of all files are verified first.",
        "a store (a DVC repository).",
        "a folder below GALADAPT_HOME, or --output.",
        ["galadapt models fetch my-field --store /path/to/repository"],
    ),
    "galadapt check": Explanation(
        "Validate an experiment in a second: files named later replace keys of those before. The "
        "first mistake is named in a sentence, with its key and the remedy.",
        "YAML files, and the files that they name; with --results also the results.",
        examples=[
            "galadapt check config/config.yaml config/presets/smoke.yaml",
            "galadapt check --results config/config.yaml",
        ],
    ),
    "galadapt mlflow": Explanation(
        "Compare runs in the browser: serve the store that tracking.uri names, to this machine "
        "alone.",
        "an experiment and its MLflow store.",
        examples=["galadapt mlflow config/config.yaml"],
    ),
    "galadapt general": Explanation(
        "Make the package for any image: networks that are given PSF, noise and mask with each "
        "stamp.",
        examples=["galadapt general train config/general.yaml -o results/general/training"],
    ),
    "galadapt general train": Explanation(
        "Train on simulations that are drawn while training. A stopped training continues.",
        "the recipe.",
        "a folder with checkpoints and the course of the loss.",
        ["galadapt general train config/general.yaml -o results/general/training"],
    ),
    "galadapt general end": Explanation(
        "Finish a training: continue from its last checkpoint with a learning rate that falls to "
        "0. The checkpoint itself is kept.",
        "the recipe and the folder of the training.",
        "the finished networks, in the same folder.",
        ["galadapt general end config/general.yaml -o results/general/training"],
    ),
    "galadapt general release": Explanation(
        "Export a finished training to ONNX, calibrate its errors, test it, and write the package.",
        "the recipe and the folder of the training.",
        "a model package.",
        [
            "galadapt general release config/general.yaml --training results/general/training "
            "-o results/general/package"
        ],
    ),
    "galadapt show": Explanation(
        "Print the comparison of methods of a finished experiment.",
        "the folder of its results.",
        examples=["galadapt show results/presets/smoke"],
    ),
    "galadapt track": Explanation(
        "Copy finished runs into MLflow, where they are compared in the browser (make mlflow). The "
        "run folders remain the originals; runs that are already there are not changed.",
        "an experiment and the run folders of its results.",
        "the store that tracking.uri names, and tracking/manifest.csv in the results.",
        ["galadapt track config/config.yaml"],
    ),
    "galadapt prune": Explanation(
        "List results of earlier experiments that the configuration does not name any more.",
        "an experiment and its results.",
        "nothing; with --delete the listed results are removed.",
        ["galadapt prune config/config.yaml"],
    ),
    "galadapt document": Explanation(
        "Write the files that are generated from the code.",
        "the settings classes, and the experiments in the folder.",
        "README.md and schema.json in the folder, and dvc.yaml beside it.",
        ["galadapt document config"],
    ),
    "galadapt modules": Explanation(
        "List the modules whose edits run each stage again.",
        "the code; with configuration files also what only their jobs load.",
        examples=["galadapt modules train config/config.yaml"],
    ),
    "galadapt stage": Explanation(
        "Run one stage of the pipeline. The workflow does this; it is rarely typed. To debug a "
        "job, copy its line from the workflow's --printshellcmds.",
        "the files named by --input.",
        "the files named by --output.",
        ["snakemake --cores 1 --printshellcmds results/tables/comparison.csv"],
    ),
    "galadapt download": Explanation(
        "Fetch published data: mosaics, catalogues, samples of galaxies. Interrupted downloads "
        "continue; sizes and checksums are verified.",
        "the table of archives (--archives).",
        "the files, in the folder --to; checksums of first downloads.",
        ["galadapt download --list", "galadapt download candels-cos"],
    ),
    "galadapt observations": Explanation(
        "Make the table of XMM-Newton images that task screening reads, with their classes.",
        "the 4XMM list of observations and a folder of EPIC images.",
        "a CSV with image, class and group; with --missing the addresses of images not there.",
        ["galadapt observations list.fits --images epic/ -o fields.csv --missing fetch.csv"],
    ),
}


def explain(parser: argparse.ArgumentParser, name: str = "galadapt") -> None:
    """Give a command and those below it their descriptions."""
    for full, command in commands(parser, name):
        if full in COMMANDS:
            command.description = COMMANDS[full].text
            command.formatter_class = argparse.RawDescriptionHelpFormatter


def commands(
    parser: argparse.ArgumentParser, name: str = "galadapt"
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield a command and those below it, with their full names."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield from commands(inner, f"{name} {word}")
