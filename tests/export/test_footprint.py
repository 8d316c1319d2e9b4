"""Live activations by hand, zeros, memory and interleaved latency."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gazenas.export.footprint import interleaved_latency, live_activations, peak_memory, sparsity


@pytest.fixture
def forked(tmp_path: Path) -> Path:
    """x (1, 3, 8, 8) -> a (4 maps) -> b (8 maps); a also goes to c (8 maps); d = b + c."""

    def weights(name: str, out: int, into: int) -> onnx.TensorProto:
        values = np.ones((out, into, 1, 1), np.float32)
        values[0] = 0
        return numpy_helper.from_array(values, name)

    nodes = [
        helper.make_node("Conv", ["x", "wa"], ["a"]),
        helper.make_node("Conv", ["a", "wb"], ["b"]),
        helper.make_node("Conv", ["a", "wc"], ["c"]),
        helper.make_node("Add", ["b", "c"], ["d"]),
    ]
    graph = helper.make_graph(
        nodes,
        "forked",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("d", TensorProto.FLOAT, ["n", 8, 8, 8])],
        [weights("wa", 4, 3), weights("wb", 8, 4), weights("wc", 8, 4)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "forked.onnx"
    onnx.save(model, str(path))
    return path


def test_live_activations_by_hand(forked: Path) -> None:
    """x and a; a and b; a, b and c; b, c and d, which is the most: 24 maps of 64 numbers of 4 bytes."""
    assert live_activations(forked, 8) == 24 * 64 * 4


def test_zeros(forked: Path) -> None:
    assert sparsity(forked) == pytest.approx((3 + 4 + 4) / (12 + 32 + 32))


def test_memory_and_latency_are_measured(forked: Path) -> None:
    assert 0 < peak_memory(forked, 8) < 500e6
    rounds: list[int] = []
    taken = interleaved_latency(
        {"one": (forked, 8), "other": (forked, 8)}, threads=1, repeats=5, on_round=rounds.append
    )
    assert rounds == list(range(1, 9))
    assert all(values.shape == (5,) and (values > 0).all() for values in taken.values())
