"""Writing a network as an ONNX file, which runs without Keras."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import onnx

from galadapt.core.files import atomic
from galadapt.learners.keras.architectures import FEATURES


def export(model: keras.Model, path: Path, batch: int) -> None:
    """Write a network whose outputs are its first output and its features.

    Args:
        model: A network with a layer `FEATURES`.
        path: File to write (`galadapt.core.onnx_files`).
        batch: Stamps of one pass, always this many.
    """
    features = model.get_layer(FEATURES).output
    both = keras.Model(model.inputs, [model.outputs[0], features], name="network")
    signature = [
        keras.InputSpec(shape=(batch, *given.shape[1:]), dtype="float32", name=given.name)
        for given in model.inputs
    ]
    with TemporaryDirectory() as folder:
        made = Path(folder, "network.onnx")
        both.export(made, format="onnx", input_signature=[signature], verbose=False)
        network = onnx.load(made)
    _rename(network.graph, {})
    with atomic(path) as temporary:
        onnx.save(network, temporary)


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Number all values in order of use: the export's names depend on what was exported before."""

    def name(old: str) -> str:
        return names.setdefault(old, f"v{len(names)}") if old else ""

    graph.name, graph.doc_string = "network", ""
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        value.name = name(value.name)
    for node in graph.node:
        node.name = node.doc_string = ""
        node.input[:] = [name(old) for old in node.input]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _rename(attribute.g, names)
        node.output[:] = [name(old) for old in node.output]
    for weight in graph.initializer:
        weight.name = name(weight.name)
    weights = sorted(graph.initializer, key=lambda weight: int(weight.name[1:]))
    del graph.initializer[:]
    graph.initializer.extend(weights)
