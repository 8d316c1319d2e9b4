"""Exported files of fewer bits: made from what a run knows or from faces to calibrate on, verified before written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gazenas.compression.gate import saturation
from gazenas.compression.int8 import WEIGHTS_ALONE, with_story
from gazenas.compression.quantization import quantize_weights, quantize_with_ranges
from gazenas.errors import InputError
from gazenas.export.onnx import differences_from_torch, onnx_bytes
from gazenas.export.runtime import GazeEstimator
from gazenas.files import read_json, write_aside
from gazenas.layers.fake_quantize import WEIGHT_BITS
from gazenas.models.zoo import GazeModel, find_model
from gazenas.training.run_folder import QUANTIZATION

ROUNDED_LIMITS = {"int8": 3.0, "int8-weights": 1.0}  # degrees that 95% of answers may differ from PyTorch's at most


@dataclass(frozen=True)
class RoundedReport:
    """What was written and how far its answers are from PyTorch's, in degrees at every batch size.

    Attributes:
        size: bytes of the file.
        mean, most, worst: the mean angular difference, the 95th percentile, the largest.
        saturation: what of it is saturated products, as :func:`gazenas.compression.gate.saturation` measures it.
        images: how many faces were compared.
        how: the file was made, in words.
    """

    size: int
    mean: float
    most: float
    worst: float
    saturation: float
    images: int
    how: str


def trained_ranges(model: str) -> Path | None:
    """What a quantization-aware run recorded of a model's maps; None where it was trained in float."""
    weights = find_model(model).weights
    path = None if weights is None else weights.parent / QUANTIZATION
    return path if path is not None and path.is_file() else None


def int8_of_run(network: GazeModel, ranges: Path) -> tuple[bytes, str]:
    """The int8 file of a network from a quantization-aware run: it needs no faces.

    Args:
        network: of the run.
        ranges: what :func:`trained_ranges` gave.

    Returns:
        The file, and how it was made.

    Raises:
        InputError: where the ranges are of another network.
    """
    recorded = read_json(ranges)
    if not isinstance(recorded, dict) or recorded.get("weights") not in WEIGHT_BITS or "places" not in recorded:
        raise InputError(f"{ranges}: expected weights and places, as a quantization-aware run leaves, found others")
    bits = WEIGHT_BITS[recorded["weights"]]
    data = quantize_with_ranges(onnx_bytes(network), recorded["places"], bits=bits)
    how = f"trained for {recorded['weights']}, ranges of the training"
    return with_story(data, "int8", {"scheme": how}), how


def int8_weights(network: GazeModel) -> tuple[bytes, str]:
    """The file with 8-bit weights and float arithmetic, and how it was made."""
    data = quantize_weights(onnx_bytes(network))
    return with_story(data, "int8-weights", {"scheme": WEIGHTS_ALONE}), WEIGHTS_ALONE


def write_rounded(
    data: bytes, how: str, path: Path, *, network: GazeModel, images: NDArray[np.uint8], precision: str
) -> RoundedReport:
    """Writes ``path`` once the file has been compared with PyTorch; where it differs too much nothing is left.

    Args:
        data: the file.
        how: it was made.
        path: of the ONNX file.
        network: that it came from.
        images: ``(N, S, S, 3)`` uint8 RGB, compared at batch sizes 1, 7 and 64.
        precision: a key of ``ROUNDED_LIMITS``.

    Raises:
        InputError: where 95% of the answers differ by more than ``ROUNDED_LIMITS`` allows.
    """
    with write_aside(path) as aside:
        aside.write_bytes(data)
        differences = differences_from_torch(network, aside, images)
        most = float(np.percentile(differences, 95))
        saturated = saturation(aside, images, GazeEstimator(aside)(images))
        if not most <= ROUNDED_LIMITS[precision]:
            raise InputError(
                f"the {precision} file's answers differ from PyTorch's by up to {most:.2f} degrees in 95% of "
                f"{len(images)} images, at most {ROUNDED_LIMITS[precision]:g} is allowed: {path} was not written; "
                f"saturated products of this CPU make {saturated:.2f} of it, which --reduce-range avoids; "
                "'gazenas finetune --quantize int8' trains a network for it"
            )
    return RoundedReport(
        size=path.stat().st_size,
        mean=float(differences.mean()),
        most=most,
        worst=float(differences.max()),
        saturation=saturated,
        images=len(images),
        how=how,
    )
