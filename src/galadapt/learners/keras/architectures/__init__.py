"""Architectures by name; importing this package registers them all."""

from galadapt.learners.keras.architectures import modern, r1, r2, r3, unet
from galadapt.learners.keras.architectures.registry import ARCHITECTURES, FEATURES

__all__ = ["ARCHITECTURES", "FEATURES", "modern", "r1", "r2", "r3", "unet"]
