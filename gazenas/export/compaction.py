"""An ONNX graph whose weights are kept once each and without outer zeros; a runtime puts these back when it loads the
file."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

WORTH = 128  # bytes that a Pad node takes itself, at most


def compact(model: Any) -> None:
    """Keeps equal weights once and replaces those with zeros around them by their inner part and a ``Pad``, in place.

    Runtimes fold operations on constants once, when they load a file: nothing is computed more often.

    Args:
        model: proto with weights inside and short names.
    """
    _share(model.graph)
    nodes, graph = [], model.graph
    pads: dict[tuple[int, ...], str] = {}
    for initializer in list(graph.initializer):
        weight = numpy_helper.to_array(initializer)
        if weight.dtype.kind != "f" or weight.nbytes <= WORTH or not weight.any():
            continue
        inner = _inner(weight)
        part = np.ascontiguousarray(weight[inner])
        if weight.nbytes - part.nbytes <= WORTH:
            continue
        around = (*(s.start for s in inner), *(n - s.stop for s, n in zip(inner, weight.shape, strict=True)))
        if around not in pads:
            pads[around] = f"p{len(pads)}"
            graph.initializer.append(numpy_helper.from_array(np.array(around, np.int64), pads[around]))
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(part, f"{name}i"))
        nodes.append(onnx.helper.make_node("Pad", [f"{name}i", pads[around]], [name]))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])


def _share(graph: Any) -> None:
    """Reads the first of equal initializers wherever one of them is read, and drops the others."""
    firsts: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    names: dict[str, str] = {}
    for tensor in list(graph.initializer):
        key = tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes()
        names[tensor.name] = firsts.setdefault(key, tensor.name)
        if names[tensor.name] != tensor.name:
            graph.initializer.remove(tensor)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]


def _inner(weight: Any) -> tuple[slice, ...]:
    """The smallest box that holds everything but zeros."""
    nonzero = np.nonzero(weight)
    return tuple(slice(int(each.min()), int(each.max()) + 1) for each in nonzero)
