"""What an ONNX file costs where it runs: latency beside others, memory, the largest set of live activations, zeros."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper, shape_inference

WARM_UP = 3

# Runs a file twenty times in a process of its own and prints its memory before the file was loaded and its peak from
# then on, in KiB.
# Linux can forget an earlier peak, such as that of the imports; elsewhere a small network may hide below it.
_MEMORY = """
import pathlib, sys
try:
    import resource
except ModuleNotFoundError:
    sys.exit()
import numpy, onnxruntime
status = pathlib.Path("/proc/self/status")
def held(key):
    return int(next(line for line in status.read_text().splitlines() if line.startswith(key)).split()[1])
if status.exists():
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = held("VmRSS")
else:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
given, *more = session.get_inputs()
side = int(sys.argv[2])
rows = {each.name: numpy.zeros((1, each.shape[1]), numpy.float32) for each in more}
for _ in range(20):
    session.run(None, {given.name: numpy.zeros((1, given.shape[1], side, side), numpy.float32), **rows})
print(before, held("VmHWM") if status.exists() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def interleaved_latency(
    files: Mapping[str, tuple[Path, int]],
    *,
    threads: int,
    repeats: int,
    batch: int = 1,
    on_round: Callable[[int], None] = lambda done: None,
) -> dict[str, NDArray[np.float64]]:
    """Milliseconds of a batch, a single image by default, in onnxruntime; every round runs each model once, so that the
    machine's drift hits all alike.

    Args:
        files: by name, an ONNX file and the side of its input.
        threads: of onnxruntime, 0 for all cores.
        repeats: rounds that count; three more warm up.
        batch: images at once.
        on_round: called with the rounds that are done.

    Returns:
        ``(repeats,)`` by name.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    rng = np.random.default_rng(0)
    sessions = {}
    for name, (path, side) in files.items():
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        given, *more = session.get_inputs()
        image = rng.standard_normal((batch, given.shape[1], side, side), dtype=np.float32)
        rows = {each.name: rng.random((batch, each.shape[1]), dtype=np.float32) for each in more}
        sessions[name] = (session, {given.name: image} | rows)
    taken: dict[str, list[float]] = {name: [] for name in files}
    for number in range(WARM_UP + repeats):
        for name, (session, feed) in sessions.items():
            begun = time.perf_counter()
            session.run(None, feed)
            taken[name].append(1e3 * (time.perf_counter() - begun))
        on_round(number + 1)
    return {name: np.array(values[WARM_UP:]) for name, values in taken.items()}


def peak_memory(path: Path, side: int) -> int | None:
    """Bytes by which a process grows at its peak when it loads the file and runs it on single images with one
    thread; None on Windows, which does not tell."""
    words = [sys.executable, "-c", _MEMORY, str(path), str(side)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    if not said:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return (int(said[1]) - int(said[0])) * unit


def live_activations(path: Path, side: int) -> int:
    """Bytes of the largest set of activations that exist at once for one image, nodes run in the file's order.

    A tensor lives from the node that makes it to the last one that reads it; weights do not count. This is what a
    small device must hold beside the weights where no operation works in place.
    """
    model = onnx.load(str(path))
    del model.metadata_props[:]
    given = model.graph.input[0].type.tensor_type.shape.dim
    for number, value in ((0, 1), (2, side), (3, side)):  # colors or gray are the file's own
        given[number].dim_value = value
    del model.graph.value_info[:]
    for dimension in (d for out in model.graph.output for d in out.type.tensor_type.shape.dim[:1]):
        dimension.dim_value = 1
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    sizes = {value.name: _bytes(value) for value in (*graph.value_info, *graph.input, *graph.output)}
    last: dict[str, int] = {}
    for number, node in enumerate(graph.node):
        last.update(dict.fromkeys(node.input, number))
    constants = {tensor.name for tensor in graph.initializer} | {""}
    for node in graph.node:
        if constants.issuperset(node.input):  # computed once, when the file is loaded
            constants.update(node.output)
    alive = {each.name for each in graph.input}
    peak = 0
    for number, node in enumerate(graph.node):
        alive |= {name for name in node.output if name not in constants}
        peak = max(peak, sum(sizes.get(name, 0) for name in alive))
        alive = {name for name in alive if last.get(name, -1) > number or name == graph.output[0].name}
    return peak


def _bytes(value: onnx.ValueInfoProto) -> int:
    tensor = value.type.tensor_type
    width = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize
    return int(np.prod([max(d.dim_value, 1) for d in tensor.shape.dim], dtype=np.int64)) * int(width)


def sparsity(path: Path) -> float:
    """Share of zeros among the numbers of all weights of at least two dimensions."""
    tensors = [numpy_helper.to_array(t) for t in onnx.load(str(path)).graph.initializer if len(t.dims) > 1]
    count = sum(t.size for t in tensors)
    return 1 - sum(int(np.count_nonzero(t)) for t in tensors) / count if count else 0.0
