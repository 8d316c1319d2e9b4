"""Weights that are kept once and without outer zeros: onnx's own interpreter says what a file computes before and
after."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from gazenas.export.compaction import compact


def test_weights_are_kept_without_their_outer_zeros() -> None:
    """onnx's own interpreter says what the file computes; where there is nothing but zeros, or too few, nothing
    changes."""
    inner = np.zeros((40, 6, 1, 1), np.float32)
    inner[1:33, 2:4] = 1 + np.arange(64, dtype=np.float32).reshape(32, 2, 1, 1)
    inner[5] = 0
    few = np.ones((40, 6, 1, 1), np.float32)
    few[0] = 0
    weights = {"a": inner, "b": np.zeros((40, 6, 1, 1), np.float32), "c": few, "d": few.copy()}
    nodes = [onnx.helper.make_node("Conv", ["x", name], [f"{name}y"]) for name in weights]
    nodes.append(onnx.helper.make_node("Sum", [f"{name}y" for name in weights], ["y"]))
    ends = [
        onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, c, 2, 2]) for n, c in (("x", 6), ("y", 40))
    ]
    tensors = [onnx.numpy_helper.from_array(weight, name) for name, weight in weights.items()]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    x = {"x": np.random.default_rng(0).standard_normal((1, 6, 2, 2)).astype(np.float32)}
    (expected,) = ReferenceEvaluator(model).run(None, x)
    before = model.ByteSize()
    compact(model)
    onnx.checker.check_model(model)
    assert model.ByteSize() < before - 500
    (found,) = ReferenceEvaluator(model).run(None, x)
    np.testing.assert_array_equal(found, expected)
    kept = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    assert kept["ai"] == [32, 2, 1, 1]
    assert kept["b"] == kept["c"] == [40, 6, 1, 1]
    assert "d" not in kept, "equal to c"


def random_weight(rng: np.random.Generator) -> NDArray[np.float32]:
    """``(a, b)``, in half of the cases nothing but zeros around a box, with some zeros inside."""
    weight = rng.standard_normal((int(rng.integers(2, 24)), int(rng.integers(2, 24)))).astype(np.float32)
    weight[rng.random(weight.shape) < 0.2] = 0
    if rng.random() < 0.5:
        rows, columns = (np.sort(rng.integers(0, side + 1, 2)) for side in weight.shape)
        weight[: rows[0]], weight[rows[1] :] = 0, 0
        weight[:, : columns[0]], weight[:, columns[1] :] = 0, 0
    return weight


@pytest.mark.parametrize("seed", range(20))
def test_random_chains_of_products(seed: int) -> None:
    """Products with matrices of any shape and zeros, two of them equal, one of a type that is not compacted."""
    rng = np.random.default_rng(seed)
    weights: list[NDArray[np.float32]] = [random_weight(rng)]
    while len(weights) < 5:
        weight = random_weight(rng)
        if weight.shape[0] == weights[-1].shape[1]:
            weights.append(weight)
    x = rng.standard_normal((3, weights[0].shape[0])).astype(np.float32)
    names = [f"w{number}" for number in range(len(weights))]
    nodes = [helper.make_node("MatMul", [f"y{i}" if i else "x", name], [f"y{i + 1}"]) for i, name in enumerate(names)]
    side = weights[-1].shape[1]
    nodes += [helper.make_node("Gather", [f"y{len(weights)}", "order"], ["turned"], axis=1)]
    nodes += [helper.make_node("Add", ["turned", "again"], ["y"])]
    tensors = [numpy_helper.from_array(weight, name) for name, weight in zip(names, weights, strict=True)]
    tensors.append(numpy_helper.from_array(np.arange(side)[::-1].astype(np.int64), "order"))
    tensors.append(numpy_helper.from_array(np.zeros((1, side), np.float32), "again"))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", c]) for n, c in (("x", x.shape[1]), ("y", side))]
    model = helper.make_model(
        helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors), opset_imports=[helper.make_opsetid("", 18)]
    )
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    before = model.ByteSize()
    compact(model)
    onnx.checker.check_model(model)
    assert model.ByteSize() <= before
    (found,) = ReferenceEvaluator(model).run(None, {"x": x})
    np.testing.assert_array_equal(found, expected)
    once = model.SerializeToString()
    compact(model)
    assert model.ByteSize() <= len(once)
