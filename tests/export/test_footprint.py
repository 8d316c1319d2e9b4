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


def random_graph(path: Path, seed: int) -> tuple[list[tuple[list[str], str]], dict[str, int]]:
    """A file of pointwise convolutions, ReLUs and sums of 4 x 4 maps; gives inputs and output of each node, and bytes
    of each map."""
    rng = np.random.default_rng(seed)
    channels, tensors, nodes = {"x": 3}, [], []
    steps: list[tuple[list[str], str]] = []
    for number in range(12):
        source, made = str(rng.choice(list(channels))), f"t{number}"
        alike = [name for name, count in channels.items() if count == channels[source]]
        kind = str(rng.choice(["Conv", "Relu", "Add"]))
        read = [source, str(rng.choice(alike))] if kind == "Add" else [source]
        channels[made] = int(rng.choice([2, 5, 9])) if kind == "Conv" else channels[source]
        more = []
        if kind == "Conv":
            weight = np.ones((channels[made], channels[source], 1, 1), np.float32)
            tensors.append(numpy_helper.from_array(weight, f"w{number}"))
            more = [f"w{number}"]
        nodes.append(helper.make_node(kind, [*read, *more], [made]))
        steps.append((read, made))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels[name], 4, 4]) for name in ("x", made)]
    graph = helper.make_graph(nodes, "random", ends[:1], ends[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(path))
    return steps, {name: 4 * 16 * count for name, count in channels.items()}


@pytest.mark.parametrize("seed", range(20))
def test_live_activations_by_asking_at_every_node_who_still_needs_what(seed: int, tmp_path: Path) -> None:
    steps, sizes = random_graph(tmp_path / "random.onnx", seed)
    peak = 0
    for now, (_, made) in enumerate(steps):
        exist = {"x", *(name for _, name in steps[:now])}
        read_from_now_on = {name for read, _ in steps[now:] for name in read}
        peak = max(peak, sum(sizes[name] for name in (exist & read_from_now_on) | {made}))
    assert live_activations(tmp_path / "random.onnx", 4) == peak


def test_zeros(forked: Path) -> None:
    assert sparsity(forked) == pytest.approx((3 + 4 + 4) / (12 + 32 + 32))


def test_memory_holds_the_weights(tmp_path: Path) -> None:
    """A file of 64 MB of weights, and one of none."""
    grown = []
    for side in (4, 2828):
        nodes = [helper.make_node("GlobalAveragePool", ["x"], ["m"]), helper.make_node("Flatten", ["m"], ["f"])]
        nodes += [helper.make_node("MatMul", ["f", "in"], ["g"]), helper.make_node("MatMul", ["g", "w"], ["y"])]
        weights = [np.ones((3, side), np.float32), np.ones((side, 2 * side), np.float32)]
        tensors = [numpy_helper.from_array(weight, name) for weight, name in zip(weights, ("in", "w"), strict=True)]
        graph = helper.make_graph(
            nodes,
            "heavy",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2 * side])],
            tensors,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        onnx.save(model, str(tmp_path / "heavy.onnx"))
        grown.append(peak_memory(tmp_path / "heavy.onnx", 8))
    assert 60e6 < grown[1] - grown[0] < 300e6


def test_memory_and_latency_are_measured(forked: Path) -> None:
    assert 0 < peak_memory(forked, 8) < 500e6
    rounds: list[int] = []
    taken = interleaved_latency(
        {"one": (forked, 8), "other": (forked, 8)}, threads=1, repeats=5, on_round=rounds.append
    )
    assert rounds == list(range(1, 9))
    assert all(values.shape == (5,) and (values > 0).all() for values in taken.values())
