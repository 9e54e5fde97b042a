"""Networks, their layers and the scaling of their targets.

Importing this package registers galadapt's layers with Keras, so that
``keras.saving.load_model`` reads a run's ``model.keras`` in safe mode.
"""

from galadapt.answers.numbers.scaler import TargetScaler
from galadapt.learners.keras.layers import GradientReversal, Moments, SignFlip

__all__ = ["GradientReversal", "Moments", "SignFlip", "TargetScaler"]
