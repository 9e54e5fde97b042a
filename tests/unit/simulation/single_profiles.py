"""What tests of the simulation draw and draw from."""

import numpy as np

from galadapt.config.base import Interval


def galaxy(**changes):
    values = {
        "magnitude": 20.0,
        "effective_radius": 6.0,
        "sersic_index": 1.0,
        "ellipticity": 0.5,
        "position_angle": 0.0,
        "x_offset": 0.0,
        "y_offset": 0.0,
    }
    return values | changes


def fixed(value):
    """An interval of one value."""
    return Interval(low=value, high=value + 1e-9)


def rng(seed=1):
    return np.random.default_rng(seed)
