"""From the places in which a network computed during quantization-aware training to the values of its ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gazenas.errors import InputError
from gazenas.layers.fake_quantize import POOL, SMOOTH, SUM, WEIGHTED

OPERATIONS = {
    **dict.fromkeys(("Conv", "Gemm", "MatMul"), WEIGHTED),
    "Add": SUM,
    **dict.fromkeys(("AveragePool", "GlobalAveragePool", "ReduceMean"), POOL),
    "Sigmoid": SMOOTH,
}
SHARE = (0.0, 1.0)  # what a sigmoid gives
# What leaves the range of its first input as it is, or takes a part of it.
PASSING = (
    "Relu",
    "Reshape",
    "Flatten",
    "Slice",
    "MaxPool",
    "Transpose",
    "Identity",
    "Pad",
    "Squeeze",
    "Unsqueeze",
    "Clip",
)
JOINING = "Concat"  # every input lies in the output's range
Ranges = dict[str, tuple[float, float]]


def ranges_of(graph: Any, places: Sequence[Mapping[str, Any]]) -> Ranges:
    """Least and largest value by the name of a value of the graph.

    Args:
        graph: ONNX, its nodes in the order in which the network computes.
        places: as ``quantization.json`` has them.

    Raises:
        InputError: where the graph computes in other places.
    """
    constants = {tensor.name for tensor in graph.initializer}
    scaled = {frozenset(node.input) for node in graph.node if node.op_type == "Mul"}
    nodes = [node for node in graph.node if _is_place(node, constants, scaled)]
    found, known = [OPERATIONS[node.op_type] for node in nodes], [place["kind"] for place in places]
    if found != known:
        raise InputError(
            f"quantization.json: expected ranges of {_counted(found)}, as the exported file computes, found those of "
            f"{_counted(known)}: the runtime's form of this network joins what was trained apart; give --data, so that "
            "ranges are recorded on its faces"
        )
    ranges: Ranges = {}
    for node, place in zip(nodes, places, strict=True):
        ranges |= {name: (low, high) for name, (low, high) in zip(node.input, place["reads"], strict=False)}
        if place["kind"] == SMOOTH:
            ranges[node.output[0]] = SHARE
    for node in reversed(graph.node):
        if node.op_type in (*PASSING, JOINING) and node.output[0] in ranges:
            for name in node.input if node.op_type == JOINING else node.input[:1]:
                ranges.setdefault(name, ranges[node.output[0]])
    for node in graph.node:
        if node.op_type in PASSING and node.input[0] in ranges:
            ranges.setdefault(node.output[0], ranges[node.input[0]])
    return ranges


def _is_place(node: Any, constants: set[str], scaled: set[frozenset[str]]) -> bool:
    """Not a sum with a constant, nor a sigmoid that scales another map than its own (``scaled``: what is
    multiplied)."""
    kind = OPERATIONS.get(node.op_type)
    if kind == SMOOTH:
        return {node.input[0], node.output[0]} in scaled
    return kind is not None and (kind != SUM or not constants & set(node.input))


def _counted(kinds: Sequence[str]) -> str:
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)) or "nothing"
