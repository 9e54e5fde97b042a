"""Measuring galaxies with trained networks: packages, uncertainties, flags and the commands."""
