"""Rewrite small convolutional networks from TensorFlow Lite to ONNX, for speed in ONNX Runtime.

ONNX Runtime keeps activations in blocks of channels between convolutions, ReLU, additions and
pooling. PReLU and padding of channels break the blocks: as converted by tf2onnx they and the
reordering take two thirds of the face mesh's time. Here both become operations that keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper

TYPES = {0: np.float32, 1: np.float16, 2: np.int32}
SAME = 0  # tflite.Padding
OPSET, IR_VERSION = 17, 8


def convert(model: bytes, outputs: Sequence[str]) -> bytes:
    """Return the ONNX file of a network with one picture in and `outputs` out.

    In: `picture` (N, C, H, W) float32. Out: (N, values) each, values in the order of the source.
    """
    converted: bytes = _Conversion(model).build(outputs).SerializeToString()
    return converted


class _Conversion:
    """Nodes and weights of one graph; tensors keep their numbers as names."""

    def __init__(self, model: bytes) -> None:
        self.model = tflite.Model.GetRootAs(model, 0)
        self.graph = self.model.Subgraphs(0)
        self.nodes: list[Any] = []
        self.casts: list[Any] = []
        self.weights: list[Any] = []
        self.unpacked: dict[int, Any] = {}  # half-precision weights, by the tensor they fill
        self.same_as: dict[int, int] = {}  # reshaped tensors

    def build(self, outputs: Sequence[str]) -> Any:
        rules: dict[int, Callable[..., None]] = {
            tflite.BuiltinOperator.CONV_2D: self.convolution,
            tflite.BuiltinOperator.DEPTHWISE_CONV_2D: self.depthwise,
            tflite.BuiltinOperator.PRELU: self.prelu,
            tflite.BuiltinOperator.ADD: self.addition,
            tflite.BuiltinOperator.MAX_POOL_2D: self.pooling,
            tflite.BuiltinOperator.PAD: self.more_channels,
        }
        for k in range(self.graph.OperatorsLength()):
            operator = self.graph.Operators(k)
            code = self.model.OperatorCodes(operator.OpcodeIndex())
            kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            inputs = [int(i) for i in operator.InputsAsNumpy()]
            (out,) = (int(i) for i in operator.OutputsAsNumpy())
            if kind == tflite.BuiltinOperator.DEQUANTIZE:
                self.unpacked[out] = self.stored(inputs[0])
            elif kind == tflite.BuiltinOperator.RESHAPE:
                self.same_as[out] = inputs[0]
            else:
                rules[kind](inputs, out, operator.BuiltinOptions())
        return self.finish(outputs)

    def finish(self, outputs: Sequence[str]) -> Any:
        """Return the checked model."""
        found = []
        for name, i in zip(outputs, self.graph.OutputsAsNumpy(), strict=True):
            self.nodes.append(helper.make_node("Flatten", [self.name(int(i))], [name]))
            size = int(np.prod(self.shape(int(i))))
            found.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size]))
        first = int(self.graph.InputsAsNumpy()[0])
        _, height, width, channels = self.shape(first)
        picture = helper.make_tensor_value_info(
            "picture", TensorProto.FLOAT, ["N", channels, height, width]
        )
        for node in self.nodes:
            node.input[:] = ["picture" if i == self.name(first) else i for i in node.input]
        graph = helper.make_graph(
            [*self.casts, *self.nodes], "network", [picture], found, self.weights
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        onnx.checker.check_model(model)
        return model

    def shape(self, i: int) -> tuple[int, ...]:
        return tuple(int(n) for n in self.graph.Tensors(i).ShapeAsNumpy())

    def stored(self, i: int) -> Any:
        """Weights as they are in the file."""
        tensor = self.graph.Tensors(i)
        data = self.model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
        return np.frombuffer(data, TYPES[tensor.Type()]).reshape(self.shape(i))

    def weight(self, i: int) -> Any:
        return self.unpacked[i] if i in self.unpacked else self.stored(i)

    def name(self, i: int) -> str:
        return f"t{self.same_as.get(i, i)}"

    def constant(self, value: Any) -> str:
        """Add a weight; half precision becomes single when the file is loaded."""
        name = f"w{len(self.weights)}"
        value = np.ascontiguousarray(value)
        if value.dtype == np.float16:
            self.weights.append(numpy_helper.from_array(value, f"{name}_half"))
            self.casts.append(
                helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)
            )
        else:
            self.weights.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], out: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    def scale(self, tensor: str, factors: Any, out: str) -> str:
        """Multiply each channel: a depthwise convolution of one pixel."""
        weight = self.constant(factors.reshape(-1, 1, 1, 1))
        return self.add("Conv", [tensor, weight], out, group=len(factors), kernel_shape=[1, 1])

    def convolution(self, inputs: list[int], out: int, table: Any) -> None:
        options = tflite.Conv2DOptions()
        options.Init(table.Bytes, table.Pos)
        self.any_convolution(inputs, out, options, self.weight(inputs[1]).transpose(0, 3, 1, 2), 1)

    def depthwise(self, inputs: list[int], out: int, table: Any) -> None:
        options = tflite.DepthwiseConv2DOptions()
        options.Init(table.Bytes, table.Pos)
        weight = self.weight(inputs[1]).transpose(3, 0, 1, 2)
        self.any_convolution(inputs, out, options, weight, len(weight))

    def any_convolution(
        self, inputs: list[int], out: int, options: Any, weight: Any, group: int
    ) -> None:
        """`weight` (out, in / group, k, k); TensorFlow pads more at the end than at the start."""
        assert options.FusedActivationFunction() == 0
        kernel, stride = weight.shape[2], options.StrideH()
        total = max((self.shape(out)[1] - 1) * stride + kernel - self.shape(inputs[0])[1], 0)
        total = total if options.Padding() == SAME else 0
        start, end = total // 2, total - total // 2
        self.add(
            "Conv",
            [
                self.name(inputs[0]),
                self.constant(weight),
                self.constant(self.weight(inputs[2])),
            ],
            self.name(out),
            group=group,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[start, start, end, end],
        )

    def prelu(self, inputs: list[int], out: int, table: Any) -> None:
        """max(x, 0) + a min(x, 0) = x + (1 - a) max(-x, 0), and x + max((a - 1) x, 0) if a <= 1."""
        x, y = self.name(inputs[0]), self.name(out)
        slope = self.weight(inputs[1]).astype(np.float32).ravel()
        if (slope <= 1).all():
            rest = self.add("Relu", [self.scale(x, slope - 1, f"{y}_scaled")], f"{y}_rest")
        else:
            below = self.add("Relu", [self.scale(x, -np.ones_like(slope), f"{y}_minus")], f"{y}_r")
            rest = self.scale(below, 1 - slope, f"{y}_rest")
        self.add("Add", [rest, x], y)

    def addition(self, inputs: list[int], out: int, table: Any) -> None:
        self.add("Add", [self.name(i) for i in inputs], self.name(out))

    def pooling(self, inputs: list[int], out: int, table: Any) -> None:
        options = tflite.Pool2DOptions()
        options.Init(table.Bytes, table.Pos)
        assert options.FilterHeight() == options.StrideH() == 2
        assert self.shape(inputs[0])[1] % 2 == 0
        sides = {"kernel_shape": [2, 2], "strides": [2, 2]}
        self.add("MaxPool", [self.name(inputs[0])], self.name(out), **sides)

    def more_channels(self, inputs: list[int], out: int, table: Any) -> None:
        """Append channels of zeros: a convolution with the identity."""
        few, many = self.shape(inputs[0])[3], self.shape(out)[3]
        assert self.stored(inputs[1]).tolist() == [[0, 0], [0, 0], [0, 0], [0, many - few]]
        identity = self.constant(np.eye(many, few).reshape(many, few, 1, 1))
        self.add("Conv", [self.name(inputs[0]), identity], self.name(out), kernel_shape=[1, 1])
