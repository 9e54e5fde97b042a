"""Simulated galaxies: priors, PSF, rendering and noise, written as stamp sets."""
