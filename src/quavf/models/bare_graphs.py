"""Graphs without weights, which ONNX Runtime fills from a checkpoint as it opens them.

The runtime folds constants before it inlines `CastLike`, and only convolutions whose operands are
all constant take its fast layout, their normalisation and their activation. So a graph is stored
without casts that change nothing and without biases of zeros: its image network runs three to four
times as fast.
"""

from __future__ import annotations

from typing import Any

from quavf.models.branch import BranchNetwork
from quavf.models.graphs import GraphPart, onnx_program


def bare_graph(part: GraphPart, branch: BranchNetwork) -> tuple[bytes, list[str]]:
    """The part as an ONNX file without weights, and the names of those that it needs.

    They are the keys of the branch's weights. Raises as `onnx_program` does.
    """
    from onnxscript import ir

    program = onnx_program(part, optimize=False)
    graph = program.model.graph
    keys = {id(value): key for key, value in branch.state_dict(keep_vars=True).items()}
    own = part.state_dict(keep_vars=True)
    names = []
    for name, value in list(graph.initializers.items()):
        if name in own:
            key = keys[id(own[name])]
            names.append(key)
            graph.initializers.pop(name)
            value.name = key
            value.const_value = ir.ExternalTensor(
                "weights", 0, own[name].nbytes, value.dtype, shape=value.shape, name=key
            )
            graph.initializers[key] = value
    simplify_graph(graph)
    for node in graph.all_nodes():
        node.metadata_props.clear()  # source lines and their paths on this machine
    return ir.to_proto(program.model).SerializeToString(), sorted(names)


def simplify_graph(graph: Any) -> None:
    """Drop casts to the type that a value has, biases of zeros, and what nothing uses then."""
    from onnxscript import ir

    for node in list(graph):
        if node.op_type == "CastLike" and _same_type(*node.inputs):
            ir.convenience.replace_all_uses_with(node.outputs[0], node.inputs[0])
            graph.remove(node, safe=True)
    for node in graph:
        if node.op_type == "Conv" and len(node.inputs) == 3 and _is_zeros(node.inputs[2]):
            node.resize_inputs(2)
    for node in reversed(list(graph)):
        if not any(out.uses() or out.is_graph_output() for out in node.outputs):
            graph.remove(node, safe=True)


def _same_type(value: Any, like: Any) -> bool:
    """Whether both values are known to have one type."""
    from onnxscript import ir

    constant = ir.convenience.get_const_tensor(value)
    known = value.dtype if constant is None else constant.dtype
    return known is not None and known == like.dtype


def _is_zeros(value: Any) -> bool:
    """Whether a value is a constant zero, repeated to some shape."""
    from onnxscript import ir

    node = value.producer()
    if node is None or node.op_type != "Expand":
        return False
    constant = ir.convenience.get_const_tensor(node.inputs[0])
    return constant is not None and not constant.numpy().any()
