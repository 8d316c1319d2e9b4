"""An ONNX graph whose weights are kept without their outer zeros; a runtime puts them back when it loads the file."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

WORTH = 128  # bytes that a Pad node takes itself, at most


def compact(model: Any) -> None:
    """Replaces weights that end or begin in zeros along a dimension by their inner part and a ``Pad``, in place.

    Runtimes fold operations on constants once, when they load a file: nothing is computed more often.

    Args:
        model: proto with weights inside and short names.
    """
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


def _inner(weight: Any) -> tuple[slice, ...]:
    """The smallest box that holds everything but zeros."""
    places = np.nonzero(weight)
    return tuple(slice(int(each.min()), int(each.max()) + 1) for each in places)
