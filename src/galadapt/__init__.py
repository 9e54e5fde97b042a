"""galadapt: measure galaxies with networks trained on simulations, and know how far to trust them.

The package is a library, independent of Snakemake, DVC and the layout of ``results/``. Every
stage of the pipeline is one function, called by `galadapt.pipeline.stages` with explicit paths.
"""

__version__ = "0.2.0"
