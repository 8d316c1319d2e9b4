"""Writes a network as one ONNX file that says what it expects, and proves that it computes the same."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gazenas.counting import count_macs, count_params
from gazenas.errors import InputError
from gazenas.export.compaction import compact
from gazenas.export.forms import runtime_form
from gazenas.export.runtime import GazeEstimator
from gazenas.files import write_aside
from gazenas.models.channel_multiple import fill_channels
from gazenas.models.network import GRAY_MEAN, GRAY_STD, MEAN, STD, Network
from gazenas.models.zoo import GazeModel
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.inputs import INPUTS
from gazenas.tasks.task import WORDS

OPSET = 18
LIMITS = {"fp32": 0.01, "fp16": 0.25}  # degrees (pixels, ...) that the file may differ from PyTorch
BATCHES = (1, 7, 64)


@dataclass(frozen=True)
class ExportReport:
    """What was written and how far it is from PyTorch, by the task's error over ``images`` images at every batch size.

    Attributes:
        size: bytes of the file.
        mean, worst: differences, in degrees for gaze.
        images: how many were compared.
        network: what the file computes: the network, or its copy with channels filled up.
    """

    size: int
    mean: float
    worst: float
    images: int
    network: GazeModel


def export_onnx(
    network: GazeModel,
    path: Path,
    images: NDArray[np.uint8],
    *,
    precision: str = "fp32",
    channel_multiple: int = 1,
    notes: Mapping[str, str] | None = None,
) -> ExportReport:
    """Writes ``path`` once the file has been verified; where it fails, nothing is left and nothing is replaced.

    Args:
        network: in any mode; left as it was.
        path: of the ONNX file.
        images: ``(N, S, S, 3)`` uint8 RGB to compare PyTorch and onnxruntime on, at batch sizes 1, 7 and 64.
        precision: ``fp32`` or ``fp16`` (weights and arithmetic; input and output stay float32).
        channel_multiple: channels are filled up to multiples of this, see
            :func:`gazenas.models.channel_multiple.fill_channels`.
        notes: further entries of the file's metadata, such as those of :mod:`gazenas.faces.contract`.

    Raises:
        InputError: for an unknown precision, a channel multiple where there are no search blocks, or where the file
            differs from PyTorch by more than ``LIMITS`` allows, in the unit of the task's error.
    """
    if precision not in LIMITS:
        raise InputError(f"--precision: expected one of {', '.join(LIMITS)}, found {precision!r}")
    written = network
    if channel_multiple > 1:
        if not isinstance(network, Network):
            raise InputError(f"--channel-multiple: expected a network of search blocks, found {type(network).__name__}")
        written = fill_channels(network, channel_multiple)
    fingerprint = network.architecture().fingerprint()
    data = onnx_bytes(written, precision, fingerprint=fingerprint, notes=notes)
    with write_aside(path) as aside:
        aside.write_bytes(data)
        differences = differences_from_torch(network, aside, images)
        if not differences.max() <= LIMITS[precision]:
            raise InputError(
                f"the exported file differs from PyTorch by up to {differences.max():.4f} {network.task.error_word} "
                f"over {len(images)} images, at most {LIMITS[precision]} is allowed for {precision}: "
                f"{path} was not written"
            )
    return ExportReport(path.stat().st_size, float(differences.mean()), float(differences.max()), len(images), written)


def onnx_bytes(
    network: GazeModel, precision: str = "fp32", *, fingerprint: str = "", notes: Mapping[str, str] | None = None
) -> bytes:
    """The file that :func:`export_onnx` writes, not yet verified; it names the network's architecture without
    ``fingerprint``."""
    model = _stripped(_exported(network))
    if precision == "fp16":
        model = _halved(model)
    compact(model)
    task, gray = network.task, network.input_channels == 1
    metadata = {
        "producer": "gazenas",
        "input_size": str(network.input_size),
        "mean": json.dumps([GRAY_MEAN] if gray else MEAN),
        "std": json.dumps([GRAY_STD] if gray else STD),
        "color_order": "gray" if gray else "RGB",
        "input": f"float32 (N, {network.input_channels}, S, S): pixels / 255, minus mean, over std",
        "output": f"float32 (N, {len(task.outputs)}): {', '.join(task.outputs)} in {WORDS[task.unit]}",
        "convention": task.convention,
        "precision": precision,
        "fingerprint": fingerprint or network.architecture().fingerprint(),
        "macs": str(count_macs(network, network.input_size)),
        "params": str(count_params(network)),
    }
    if network.inputs:
        metadata["inputs"] = json.dumps({name: [*INPUTS[name].values] for name in network.inputs})
        metadata |= {f"input_{name}": INPUTS[name].meaning for name in network.inputs}
    metadata |= notes or {}
    if task is not GAZE:
        metadata |= {"task": task.name, "outputs": json.dumps(task.outputs), "unit": task.unit}
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def with_metadata(data: bytes, entries: Mapping[str, str]) -> bytes:
    """The file with further entries in its metadata."""
    model = onnx.load_from_string(data)
    notes = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, notes | dict(entries))
    noted: bytes = model.SerializeToString()
    return noted


def differences_from_torch(network: GazeModel, path: Path, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Differences between PyTorch and the file, ``(N * batch sizes,)``: the task's error, in degrees for gaze; with
    common values of what the network takes besides images."""
    estimator = GazeEstimator(path)
    normalized = estimator.normalize(images)
    more = {name: values.numpy() for name, values in network.example_inputs(len(images)).items()}
    clean = deepcopy(network).cpu().float().eval()

    def asked(answer: Callable[..., NDArray[np.float32]], size: int) -> NDArray[np.float32]:
        parts = (slice(start, start + size) for start in range(0, len(images), size))
        return np.concatenate([answer(normalized[own], **{name: v[own] for name, v in more.items()}) for own in parts])

    def torch_answer(images: NDArray[np.float32], **more: NDArray[np.float32]) -> NDArray[np.float32]:
        named = {name: torch.from_numpy(values) for name, values in more.items()}
        answers: NDArray[np.float32] = clean(torch.from_numpy(images), **named).numpy()
        return answers

    with torch.inference_mode():
        expected = asked(torch_answer, 64)
    found = [asked(estimator.run, size) for size in BATCHES]
    differences: NDArray[np.float64] = np.concatenate(
        [network.task.error(angles.astype(np.float64), expected.astype(np.float64)) for angles in found]
    )
    return differences


class _ByPosition(nn.Module):
    """A network whose inputs besides images come in order, as the exporter can name them."""

    def __init__(self, network: nn.Module, inputs: Sequence[str]) -> None:
        super().__init__()
        self.network, self.inputs = network, inputs

    def forward(self, images: Tensor, *more: Tensor) -> Any:
        """``(N, 3, S, S)``, and ``(N, k)`` of each of ``inputs`` in order, to what the network gives."""
        return self.network(images, **dict(zip(self.inputs, more, strict=True)))


def _exported(network: GazeModel) -> Any:
    """The exporter's model proto, weights inside, with a dynamic batch."""
    clean = deepcopy(network).cpu().float().eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    clean = runtime_form(clean)
    example: Tensor = torch.zeros(2, network.input_channels, network.input_size, network.input_size)
    more = tuple(network.example_inputs(2).values())
    batch = {0: torch.export.Dim("batch", min=1)}
    for chatty in ("torch.onnx", "onnxscript"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own dependencies; the result is verified
        program = torch.onnx.export(
            _ByPosition(clean, network.inputs) if more else clean,
            (example, *more),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images", *network.inputs],
            output_names=[network.task.name],
            dynamic_shapes={"images": batch} | ({"more": (batch,) * len(more)} if more else {}),
            verbose=False,
        )
    assert program is not None, "the dynamo exporter returns a program"
    return program.model_proto


def _stripped(model: Any) -> Any:
    """Without the exporter's metadata, documentation and most value infos: a third of a small network's file.

    Shapes behind a reshape or a resize stay: that their first dimension is the batch is what a runtime cannot find out,
    and it joins operations only where it knows that shapes agree.
    """
    lost = {node.output[0] for node in model.graph.node if node.op_type in ("Reshape", "Resize")}
    kept = [value for value in model.graph.value_info if value.name in lost]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = node.name = ""
    for value in [*model.graph.initializer, *model.graph.value_info, *model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
        value.doc_string = ""
    _shorten_names(model.graph)
    return model


def _shorten_names(graph: Any) -> None:
    """Gives every inner value a short name; inputs and outputs keep theirs."""
    kept = {value.name for value in [*graph.input, *graph.output]} | {""}
    names: dict[str, str] = {}

    def short(name: str) -> str:
        return name if name in kept else names.setdefault(name, f"v{len(names)}")

    for value in [*graph.initializer, *graph.value_info]:
        value.name = short(value.name)
    for node in graph.node:
        node.input[:] = [short(name) for name in node.input]
        node.output[:] = [short(name) for name in node.output]


def _halved(model: Any) -> Any:
    """Weights and arithmetic in float16, input and output in float32."""
    import onnx_ir
    from onnx_ir.passes.common import TopologicalSortPass
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about values that float16 rounds; the result is verified
        halved = convert_float_to_float16(model, keep_io_types=True)
    # The converter appends its casts at the end, where the checker does not accept them.
    halved = onnx_ir.to_proto(TopologicalSortPass()(onnx_ir.from_proto(halved)).model)
    del halved.graph.value_info[:]
    for node in halved.graph.node:
        node.name = ""
    return halved
