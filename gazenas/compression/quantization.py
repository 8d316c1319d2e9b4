"""Static int8 of an ONNX file by onnxruntime's own quantizer, and the choice of what stays float.

Weights are signed and symmetric, maps unsigned. Every convolution and matrix product reads and writes int8 between
QuantizeLinear and DequantizeLinear (QDQ), which onnxruntime joins into integer kernels. Jacob et al., CVPR 2018.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from gazenas.compression.trained_ranges import ranges_of
from gazenas.errors import InputError

HEAVY = ("Conv", "Gemm", "MatMul")  # what integer kernels exist for and what holds the weights
PRODUCTS = ("Sigmoid", "Mul")  # of which SiLU consists
OUTLIERS = (0.0, 1e-5, 1e-4, 1e-3)  # shares of values that ranges may leave out
INSTEAD = "--precision int8-weights has a quarter of the bytes and float arithmetic"
BATCH = 50  # images that pass through the float network at once while ranges are recorded


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How a file is quantized.

    Attributes:
        per_channel: a scale for each output channel of a weight, or one for the whole weight.
        outliers: the share of a map's values, one of ``OUTLIERS``, that its range leaves out; 0 goes from the least
            to the largest.
        reduce_range: weights have 7 bits, so that a CPU without VNNI cannot saturate.
        floats: indices of the nodes that stay float, in the file's order.
    """

    per_channel: bool = True
    outliers: float = 0.0
    reduce_range: bool = False
    floats: tuple[int, ...] = ()

    def __str__(self) -> str:
        parts = ["a scale a channel" if self.per_channel else "a scale a tensor"]
        parts += [f"ranges without the outermost {self.outliers:.3%}" if self.outliers else "min-max ranges"]
        parts += ["7-bit weights"] if self.reduce_range else []
        parts += [f"{len(self.floats)} nodes float"] if self.floats else []
        return ", ".join(parts)


def heavy_nodes(model: bytes) -> list[int]:
    """Indices of the nodes that can be quantized and hold weights, in the file's order."""
    return [index for index, node in enumerate(onnx.load_from_string(model).graph.node) if node.op_type in HEAVY]


def float_operations(model: bytes) -> list[str]:
    """Kinds of operations of a float file that have no integer kernel and stay float, such as ``Softmax``."""
    passing = {
        *HEAVY,
        "Relu",
        "Add",
        "Slice",
        "Reshape",
        "Concat",
        "Pad",
        "MaxPool",
        "Transpose",
        "Flatten",
        "Identity",
        "Sigmoid",
        "Mul",
    }
    return sorted({node.op_type for node in onnx.load_from_string(model).graph.node} - passing)


def record_ranges(model: bytes, images: NDArray[np.float32], outliers: Sequence[float]) -> dict[float, Any]:
    """The ranges of all maps of a float file, as onnxruntime's quantizer takes them, by the share that they leave out.

    Args:
        model: float32 ONNX.
        images: ``(N, 3, S, S)``, normalized as the file expects them.
        outliers: shares, each as in :class:`Scheme`; all but 0 are of one record.
    """
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    given = onnx.load_from_string(model).graph.input[0].name

    class Faces(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[NDArray[np.float32]] = iter(np.array_split(images, -(-len(images) // BATCH)))

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            part = next(self.left, None)
            return None if part is None else {given: part}

    with tempfile.TemporaryDirectory() as aside, _quiet():
        before = Path(aside) / "float.onnx"
        onnx.save(_named(model), str(before))

        def recorded(method: Any) -> Any:
            recording = str(Path(aside) / "recording.onnx")
            calibrator = create_calibrator(
                before, _operations(), augmented_model_path=recording, calibrate_method=method
            )
            calibrator.collect_data(Faces())
            return calibrator

        found = {0.0: recorded(CalibrationMethod.MinMax).compute_data()} if 0.0 in outliers else {}
        shares = [share for share in outliers if share]
        if shares:
            calibrator = recorded(CalibrationMethod.Percentile)
            for share in shares:
                calibrator.collector.percentile = 100 * (1 - share)
                found[share] = calibrator.compute_data()
        return found


def quantize_static(model: bytes, ranges: Any, scheme: Scheme) -> bytes:
    """The int8 file of a float one.

    Args:
        model: float32 ONNX.
        ranges: of :func:`record_ranges`, for ``scheme.outliers``.
        scheme: how.

    Returns:
        The quantized file, its metadata kept.

    Raises:
        InputError: where onnxruntime cannot quantize the network, or cannot run what it makes.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import save_and_reload_model_with_shape_infer

    named = _named(model)
    with _quiet():
        quantizer = QDQQuantizer(
            save_and_reload_model_with_shape_infer(named),
            per_channel=scheme.per_channel,
            reduce_range=scheme.reduce_range,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=[f"n{index}" for index in scheme.floats],
            op_types_to_quantize=_operations(),
            extra_options={},
        )
        try:
            quantizer.quantize_model()
        except ValueError as error:  # of graphs that it does not know
            raise InputError(f"int8: onnxruntime's quantizer cannot take this network: {error}; {INSTEAD}") from error
        quantizer.model.topological_sort()
    return _running(_cleaned(quantizer.model.model, named))


def _running(data: bytes) -> bytes:
    """The file, once onnxruntime has opened it and run it on an image."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        given = session.get_inputs()[0]
        session.run(None, {given.name: np.zeros((1, *given.shape[1:]), np.float32)})
    except Exception as error:  # onnxruntime's own types, of which it makes no public ones
        raise InputError(f"int8: onnxruntime cannot run what its quantizer makes: {error}; {INSTEAD}") from error
    return data


def _operations() -> list[str]:
    """Kinds of operations that the quantizer knows."""
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return sorted({*QDQRegistry, *QLinearOpsRegistry})


def quantize_with_ranges(model: bytes, places: Sequence[Mapping[str, Any]], *, bits: int = 8) -> bytes:
    """The int8 file of a network whose maps' ranges are known from quantization-aware training.

    Args:
        model: float32 ONNX of the network.
        places: what :class:`gazenas.layers.fake_quantize.FakeQuantization` tells of the places in which the network
            computes: convolutions and linear layers, sums, pools, in order.
        bits: of weights; fewer than 8 are stored as bytes, which entropy coding makes use of.

    Raises:
        InputError: where the file computes in other places, as where a runtime's form joins operations.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import save_and_reload_model_with_shape_infer
    from onnxruntime.quantization.registry import QDQRegistry

    named = _named(model)
    pairs = {
        name: (np.array(low, np.float32), np.array(high, np.float32))
        for name, (low, high) in ranges_of(named.graph, places).items()
    }
    scaling = [node.name for node in named.graph.node if node.op_type in PRODUCTS and not pairs.keys() >= {*node.input}]
    with _quiet():
        quantizer = QDQQuantizer(
            save_and_reload_model_with_shape_infer(named),
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=TensorsData(CalibrationMethod.MinMax, pairs),
            nodes_to_quantize=[],
            nodes_to_exclude=[f"n{heavy_nodes(model)[-1]}", *scaling],
            op_types_to_quantize=[*QDQRegistry, *PRODUCTS],
            extra_options={"TensorQuantOverrides": _weight_scales(named.graph, bits)},
        )
        try:
            quantizer.quantize_model()
        except ValueError as error:  # of a value whose range nobody recorded
            raise InputError(
                f"quantization.json: expected a range for every map that is rounded: {error}; give --data, so that "
                "ranges are recorded on its faces"
            ) from error
        quantizer.model.topological_sort()
    return _running(_cleaned(quantizer.model.model, named))


def _weight_scales(graph: Any, bits: int) -> dict[str, list[dict[str, Any]]]:
    """For the quantizer: each channel's scale of the weights that it rounds, by the weight's name."""
    from onnxruntime.quantization import QuantType

    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found: dict[str, list[dict[str, Any]]] = {}
    for node in [node for node in graph.node if node.op_type in HEAVY][:-1]:
        name = node.input[1]
        if name in arrays:
            axis = _channel_axis(node, name, arrays[name].ndim)
            kind = {"quant_type": QuantType.QInt8, "axis": axis, "zero_point": np.array(0, np.int8)}
            found[name] = [{**kind, "scale": scale} for scale in _channel_scales(arrays[name], axis, bits)]
    return found


def _channel_scales(values: NDArray[np.float32], axis: int, bits: int) -> NDArray[np.float32]:
    """Of each channel's symmetric grid of bytes that holds the grid of ``bits``.

    Its steps are as fine as bytes allow, since a bias is rounded to them as well.
    """
    others = tuple(dim for dim in range(values.ndim) if dim != axis)
    most = 2 ** (bits - 1) - 1
    largest = np.asarray(np.maximum(np.abs(values).max(others), 1e-12), np.float32)
    return largest / np.float32(most * (127 // most))


def _named(model: bytes) -> Any:
    """The proto with a name for each node, by its index, and a mark after every constant's name.

    The quantizer numbers copies of a bias that several nodes read, whether or not the graph has that name already: a
    copy of ``v47`` would be ``v470``.
    """
    named = onnx.load_from_string(model)
    constants = {tensor.name: f"{tensor.name}_" for tensor in named.graph.initializer}
    for tensor in named.graph.initializer:
        tensor.name = constants[tensor.name]
    for index, node in enumerate(named.graph.node):
        node.name = f"n{index}"
        node.input[:] = [constants.get(name, name) for name in node.input]
    return named


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer prints and warns as it goes; what it makes is measured."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger().addFilter(_no_advice)
        try:
            yield
        finally:
            logging.getLogger().removeFilter(_no_advice)


def quantize_weights(model: bytes) -> bytes:
    """The file with int8 weights, a scale a channel, that are turned into floats where they are read: a quarter of
    the size, float arithmetic."""
    graph_model = onnx.load_from_string(model)
    graph = graph_model.graph
    readers = {name: node for node in graph.node for name in node.input}
    kept, added = [], []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        reader = readers.get(tensor.name)
        if values.dtype != np.float32 or values.ndim < 2 or reader is None or reader.op_type not in HEAVY:
            kept.append(tensor)
            continue
        axis = _channel_axis(reader, tensor.name, values.ndim)
        scale = _channel_scales(values, axis, 8)
        shape = [1] * values.ndim
        shape[axis] = -1
        rounded = np.clip(np.rint(values / scale.reshape(shape)), -127, 127).astype(np.int8)
        # onnxruntime's x64quantprecision fails on weights without zero points
        parts = {"int8": rounded, "scale": scale, "zero": np.zeros(len(scale), np.int8)}
        names = [f"{tensor.name}_{part}" for part in parts]
        kept += [numpy_helper.from_array(array, name) for array, name in zip(parts.values(), names, strict=True)]
        added.append(onnx.helper.make_node("DequantizeLinear", names, [tensor.name], axis=axis))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    nodes = [*added, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    data: bytes = graph_model.SerializeToString()
    return data


def narrower(scheme: Scheme, node: int) -> Scheme:
    """The same with one node more in float."""
    return replace(scheme, floats=tuple(sorted({*scheme.floats, node})))


def _channel_axis(reader: Any, name: str, dims: int) -> int:
    """The dimension of output channels of a weight that ``reader`` multiplies by."""
    if reader.op_type == "Conv":
        return 0
    transposed = any(attribute.name == "transB" and attribute.i for attribute in reader.attribute)
    return dims - 2 if transposed and name == reader.input[1] else dims - 1


def _cleaned(written: Any, source: Any) -> bytes:
    """Without the quantizer's names and notes, with the metadata of the float file."""
    for node in written.graph.node:
        node.name = node.doc_string = ""
    del written.metadata_props[:]
    written.metadata_props.extend(source.metadata_props)
    del written.graph.value_info[:]
    onnx.checker.check_model(written)
    data: bytes = written.SerializeToString()
    return data


def _no_advice(record: logging.LogRecord) -> bool:
    """Drops the quantizer's advice to preprocess a model, whose BatchNorms are folded already."""
    return "pre-processing" not in record.getMessage()


def schemes(*, reduce_range: bool) -> Sequence[Scheme]:
    """What is tried before nodes are given back to float, the simplest first."""
    return [
        Scheme(per_channel=per_channel, outliers=outliers, reduce_range=reduce_range)
        for per_channel in (True, False)
        for outliers in OUTLIERS
    ]
