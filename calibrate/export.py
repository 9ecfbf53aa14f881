"""A trained model as ONNX: it gives features or a map, BatchNorm is folded, opset 17, one picture at a time."""

from __future__ import annotations

import logging
import warnings

import onnx
import torch
from onnx import ModelProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edge_inspect.edge.bundle.manifest import FeaturePairs, MapOutput
from edge_inspect.edge.errors import CheckpointError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.network import Network

OPSET = 17
"""The newest opset that OpenVINO and the parsers of TensorRT 8.5 to 11 all read."""

_EXPORTED = 18
"""The opset that torch's exporter writes by itself. Its own conversion to 17 fails if axes are an input."""

_AXES_ATTRIBUTE = {f"Reduce{kind}" for kind in ("Max", "Min", "Mean", "Prod", "L1", "L2", "LogSum", "SumSquare")}
_NEW_ATTRIBUTES = {"Resize": {"antialias", "axes", "keep_aspect_ratio_policy"}, "Split": {"num_outputs"}}

INPUT = "image"


SCALES = 3


def outputs_of(gives_map: bool) -> FeaturePairs | MapOutput:
    """Return the outputs of a network's ONNX, as the manifest describes them."""
    if gives_map:
        return MapOutput(kind="map", map="map")
    teacher, student = ([f"{side}{k + 1}" for k in range(SCALES)] for side in ("teacher", "student"))
    return FeaturePairs(kind="feature_pairs", teacher=teacher, student=student)


def names_of(outputs: FeaturePairs | MapOutput) -> list[str]:
    """Return the names of a network's outputs, in the order of `Flat`."""
    return [outputs.map] if isinstance(outputs, MapOutput) else [*outputs.teacher, *outputs.student]


class Flat(torch.nn.Module):
    """The model with its outputs as one flat tuple, because ONNX and TensorRT have no nested ones."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return features in the order of the outputs' names, or the map alone."""
        given = self.model(image)
        if isinstance(given, torch.Tensor):
            return (given,)
        teacher, student = given
        return (*teacher, *student)


def to_onnx(model: Network, fit: Fit) -> ModelProto:
    """Export a model in float32, for one picture of the fit's size.

    Raises:
        CheckpointError: A BatchNorm could not be folded into its convolution.
    """
    image = torch.zeros(1, 3, fit.height, fit.width)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its version conversion
        program = torch.onnx.export(
            Flat(model.cpu().eval()).eval(),
            (image,),
            input_names=[INPUT],
            output_names=names_of(outputs_of(model.gives_map)),
            opset_version=_EXPORTED,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    exported: ModelProto = program.model_proto
    if any(node.op_type == "BatchNormalization" for node in exported.graph.node):
        raise CheckpointError("the exporter left a BatchNorm unfolded; INT8 would lose accuracy there")
    spell_out_logsumexp(exported)
    _to_opset_17(exported)
    _fold_constants(exported)
    _strip(exported)
    onnx.checker.check_model(exported)
    return exported


def spell_out_logsumexp(exported: ModelProto) -> None:
    """Write each ReduceLogSumExp as Exp, ReduceSum and Log; AAND's gates apply it to cosines divided by 0.2.

    OpenVINO 2026.4 ignores the axes of opset 17's operator and reduces all of them, so maps of AAND were wrong by 0.06.
    """
    nodes = []
    for node in exported.graph.node:
        if node.op_type != "ReduceLogSumExp":
            nodes.append(node)
            continue
        powers, total = f"{node.output[0]}_powers", f"{node.output[0]}_total"
        reduction = helper.make_node("ReduceSum", [powers, *node.input[1:]], [total], name=node.name)
        reduction.attribute.extend(node.attribute)
        nodes += [helper.make_node("Exp", [node.input[0]], [powers]), reduction]
        nodes.append(helper.make_node("Log", [total], node.output))
    del exported.graph.node[:]
    exported.graph.node.extend(nodes)


def _to_opset_17(exported: ModelProto) -> None:
    """Undo what opset 18 changed in the operators of these networks: how reductions get axes, and new attributes."""
    constants = {tensor.name: tensor for tensor in exported.graph.initializer}
    for node in exported.graph.node:
        if node.op_type in _AXES_ATTRIBUTE and len(node.input) > 1:
            axes = numpy_helper.to_array(constants[node.input[1]]).tolist()
            del node.input[1:]
            node.attribute.append(helper.make_attribute("axes", axes))
        dropped = _NEW_ATTRIBUTES.get(node.op_type, set())
        if node.op_type in _AXES_ATTRIBUTE:
            dropped = {"noop_with_empty_axes"}
        kept = [attribute for attribute in node.attribute if attribute.name not in dropped]
        del node.attribute[:]
        node.attribute.extend(kept)
    exported.opset_import[0].version = OPSET


def _fold_constants(exported: ModelProto) -> None:
    """Compute what is the same for every picture, such as AAND's memory; torch's exporter folds no large constants."""
    constants = {tensor.name: tensor for tensor in exported.graph.initializer}
    nodes = []
    for node in exported.graph.node:
        if not constants.keys() >= set(node.input):
            nodes.append(node)
            continue
        values = {name: numpy_helper.to_array(constants[name]) for name in node.input}
        found = zip(node.output, ReferenceEvaluator(node).run(None, values), strict=True)
        folded = [numpy_helper.from_array(value, name) for name, value in found]
        constants |= {tensor.name: tensor for tensor in folded}
    used = {name for node in nodes for name in node.input}
    del exported.graph.node[:], exported.graph.initializer[:]
    exported.graph.node.extend(nodes)
    exported.graph.initializer.extend(tensor for tensor in constants.values() if tensor.name in used)


def _strip(exported: ModelProto) -> None:
    """Remove what the exporter adds about the machine it ran on: source paths, stack traces, unused functions."""
    for node in exported.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del exported.graph.metadata_props[:]
    del exported.metadata_props[:]
    del exported.graph.value_info[:]
    del exported.functions[:]
    exported.producer_name = "edge-inspect"
