"""Which stages bring a network's file under so many bytes: sizes are known before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from gazenas.compression.coding import encode
from gazenas.compression.gate import GateError, Reference
from gazenas.compression.pipeline import StageResult, StageSettings, run_stages
from gazenas.compression.quantization import Scheme, quantize_static, quantize_with_ranges, record_ranges
from gazenas.errors import InputError
from gazenas.export.onnx import onnx_bytes
from gazenas.layers.fake_quantize import WEIGHT_BITS, FakeQuantization
from gazenas.models.zoo import GazeModel

FEW = 16  # faces on which a size is found out: ranges hardly change it
MARGIN = 0.97  # of the parameters that would fit, since a pruned network's file packs less well


@dataclass(frozen=True)
class CompressionPlan:
    """A way to a size.

    Attributes:
        stages: in order.
        quantize: ``none`` to calibrate, else what to train for.
        params: that pruning is to leave; 0 where nothing is pruned.
        size: bytes that the coded file is expected to have.
    """

    stages: tuple[str, ...]
    quantize: str
    params: int
    size: int

    def __str__(self) -> str:
        words = [f"prune to {self.params:,} parameters"] if self.params else []
        words += ["quantize by calibration" if self.quantize == "none" else f"train for {self.quantize}", "code"]
        return f"{', '.join(words)} (about {self.size:,} bytes)"


def coded_sizes(network: GazeModel, faces: NDArray[np.float32]) -> dict[str, tuple[int, int]]:
    """Bytes of the coded file, and how many of them are no weights, by key of ``WEIGHT_BITS``.

    Args:
        network: in eval mode; nothing is trained.
        faces: ``(N, 3, S, S)``, normalized.

    Returns:
        int8 alone where the runtime's form of the network joins operations.
    """
    images = torch.from_numpy(faces[:FEW])
    try:
        files = {name: _rounded(network, images, bits) for name, bits in WEIGHT_BITS.items()}
    except InputError:
        data = onnx_bytes(network)
        files = {"int8": quantize_static(data, record_ranges(data, faces[:FEW], [0.0])[0.0], Scheme())}
    return {name: (len(encode(data)), len(encode(_without_weights(data)))) for name, data in files.items()}


def plans_for(sizes: Mapping[str, tuple[int, int]], params: int, target: int) -> list[CompressionPlan]:
    """Ways to a coded file of at most ``target`` bytes, the gentlest first.

    Args:
        sizes: of :func:`coded_sizes`.
        params: of the network.
        target: bytes.

    Raises:
        InputError: where what is no weight takes as many bytes already.
    """
    plans = [CompressionPlan(("quantize", "code"), "none", 0, sizes["int8"][0])]
    plans += [CompressionPlan(("quantize", "code"), name, 0, size) for name, (size, _) in sizes.items()]
    fitting = [plan for plan in plans if plan.size <= target]
    if fitting:
        return fitting
    name, (size, rest) = min(sizes.items(), key=lambda item: item[1][0])
    left = int(params * (target - rest) / (size - rest) * MARGIN)
    if left < 1:
        raise InputError(
            f"--target-size: {target:,} bytes are out of reach: without any weight the file has {rest:,}; "
            f"as it is the network takes {size:,} with {name} weights"
        )
    trained = "none" if len(sizes) == 1 else name
    return [CompressionPlan(("prune", "quantize", "code"), trained, left, target)]


def run_plans(
    plans: Sequence[CompressionPlan], origin: str, reference: Reference, settings: StageSettings, target: int
) -> tuple[CompressionPlan, list[StageResult]]:
    """The first plan that the gate lets through, and what its stages left.

    Raises:
        GateError: where none is, with what each would have given.
    """
    refused = []
    for plan in plans:
        settings.say(f"plan: {plan}")
        try:
            own = replace(settings, quantize=plan.quantize, params=plan.params)
            stages = run_stages(plan.stages, origin, reference, own)
        except GateError as error:
            refused.append(f"{plan}: {error}")
            settings.say(f"refused: {error}")
            continue
        size = stages[-1].judged.size
        if size <= target:
            return plan, stages
        refused.append(f"{plan}: {size:,} bytes, {stages[-1].judged.loss:+.3f} degrees")
    raise GateError(f"--target-size: no plan reaches {target:,} bytes: {'; '.join(refused)}; nothing was written")


def _rounded(network: GazeModel, images: torch.Tensor, bits: int) -> bytes:
    """The file as if it had been trained for so many bits."""
    copy, rounding = deepcopy(network).eval(), FakeQuantization(bits)
    rounding.find(copy, [images])
    rounding.settle(copy, images[:1])
    return quantize_with_ranges(onnx_bytes(copy), rounding.table(), bits=bits)


def _without_weights(data: bytes) -> bytes:
    """The file with zeros for weights."""
    model = onnx.load_from_string(data)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim > 1:
            tensor.CopyFrom(numpy_helper.from_array(np.zeros_like(values), tensor.name))
    zeroed: bytes = model.SerializeToString()
    return zeroed
