"""The int8 file that loses least: schemes are tried, then the nodes that cost most degrees go back to float."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gazenas.compression.gate import GateError, Judged, Reference
from gazenas.compression.quantization import (
    OUTLIERS,
    Scheme,
    float_operations,
    heavy_nodes,
    narrower,
    quantize_static,
    quantize_weights,
    record_ranges,
    schemes,
)
from gazenas.errors import InputError
from gazenas.export.onnx import with_metadata

WEIGHTS_ALONE = "weights alone, a scale a channel"


@dataclass(frozen=True)
class Quantized:
    """An int8 file.

    Attributes:
        model: the file, with metadata that says how it was made and what it loses.
        judged: what it loses and gains.
        scheme: in words.
        tried: every scheme that was measured, and what it lost.
    """

    model: bytes
    judged: Judged
    scheme: str
    tried: list[tuple[str, Judged]]


def quantize_int8(
    reference: Reference,
    calibration: NDArray[np.float32],
    *,
    max_loss: float,
    reduce_range: bool = False,
    source: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> Quantized:
    """Static int8 of a float file.

    The simplest scheme within ``max_loss`` whose answers deviate least is kept. Where none is within it, nodes go back
    to float one after the other until the loss is allowed, first those whose own going back takes most off the mean
    deviation.

    Args:
        reference: the float file and the validation faces on which losses are measured.
        calibration: ``(N, 3, S, S)`` normalized faces of training people.
        max_loss: degrees that the mean error may grow by.
        reduce_range: 7-bit weights, for CPUs without VNNI.
        source: where the calibration faces are from, for the metadata.
        say: told what is tried.

    Raises:
        InputError: where there are no faces to calibrate on.
        GateError: where no scheme loses so little.
    """
    if not len(calibration):
        raise InputError("calibration: expected faces of training people, found none")
    tried: list[tuple[str, Judged]] = []
    # Recording takes longest, and what is rounded by them changes nothing about ranges.
    ranges = record_ranges(reference.model, calibration, OUTLIERS)

    def attempt(scheme: Scheme) -> tuple[bytes, Judged]:
        data = quantize_static(reference.model, ranges[scheme.outliers], scheme)
        judged = reference.judge(data)
        tried.append((str(scheme), judged))
        say(f"{scheme}: error {judged.error:.3f} ({judged.loss:+.3f}), deviation {judged.deviation_mean:.2f} degrees")
        return data, judged

    found = {scheme: attempt(scheme) for scheme in schemes(reduce_range=reduce_range)}
    best = min(found, key=lambda scheme: found[scheme][1].deviation_mean)
    data, judged = found[best]
    if judged.loss > max_loss:
        alone = {node: attempt(narrower(best, node))[1].deviation_mean for node in heavy_nodes(reference.model)}
        for node in sorted(alone, key=alone.__getitem__):
            best = narrower(best, node)
            data, judged = attempt(best)
            if judged.loss <= max_loss:
                break
        else:
            staying = ", ".join(float_operations(reference.model)) or "none"
            raise GateError(
                f"--max-loss: even with every convolution in float the loss is {judged.loss:.3f} degrees, at most "
                f"{max_loss:g} is allowed; operations without integer kernels: {staying}"
            )
    story = {"scheme": str(best), "calibration_images": len(calibration), "calibration_data": source}
    return Quantized(with_story(data, "int8", story | judged.to_dict()), judged, str(best), tried)


def quantize_int8_weights(reference: Reference) -> Quantized:
    """Weights of int8, float arithmetic: a quarter of the bytes, the same time."""
    data = quantize_weights(reference.model)
    judged = reference.judge(data)
    noted = with_story(data, "int8-weights", {"scheme": WEIGHTS_ALONE, **judged.to_dict()})
    return Quantized(noted, judged, WEIGHTS_ALONE, [(WEIGHTS_ALONE, judged)])


def with_story(data: bytes, precision: str, story: Mapping[str, Any]) -> bytes:
    """The file with its precision and what was done to it in its metadata."""
    return with_metadata(data, {"precision": precision, "quantization": json.dumps(dict(story))})
