"""Networks in ONNX files, run by ONNX Runtime: no TensorFlow, no Keras, no code in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from galadapt.core.errors import DataError, reading

_REMEDY = "make or fetch the package again"


class OnnxNetwork:
    """A network in an ONNX file. It runs on one thread: outputs do not depend on the cores."""

    def __init__(self, path: Path, inputs: int, outputs: int) -> None:
        """Open a file; a DataError if it is damaged or has other numbers of inputs and outputs."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        with reading(path, "no ONNX network that can be run", _REMEDY):
            # Given as bytes, a network cannot name further files to read.
            self._session = onnxruntime.InferenceSession(
                path.read_bytes(), sess_options=options, providers=["CPUExecutionProvider"]
            )
            given = self._session.get_inputs()
            self._names = [one.name for one in given]
            self.input_shapes = [tuple(one.shape) for one in given]
            self.output_shapes = [tuple(one.shape) for one in self._session.get_outputs()]
        found = len(self.input_shapes), len(self.output_shapes)
        if found != (inputs, outputs):
            raise DataError(
                f"{path}: a network of {found[0]} inputs and {found[1]} outputs, not {inputs} and "
                f"{outputs}; {_REMEDY}"
            )

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Run arrays of the inputs' shapes; returns the outputs."""
        given = dict(zip(self._names, arrays, strict=True))
        return self._session.run(None, given)
