"""What a compressed file loses and gains, in degrees, bytes and milliseconds, and whether that is allowed."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gazenas.errors import InputError
from gazenas.export.footprint import interleaved_latency
from gazenas.export.runtime import GazeEstimator
from gazenas.gaze import angular_error


class GateError(InputError):
    """A compressed file loses too much, or gains too little."""


GAINS = ("smaller", "faster")
REPEATS = 100  # single images in turns, of which the median counts


@dataclass(frozen=True)
class Judged:
    """A compressed file beside the float file that it came from, on the same faces.

    Attributes:
        loss: by how many degrees its mean error is larger; negative where it is smaller.
        error, float_error: mean angular errors in degrees.
        deviation_mean, deviation_95, deviation_worst: angles between the two files' answers, in degrees.
        saturation: what of that is saturated products, as :func:`saturation` measures it; the rest is rounding.
        size, float_size: bytes.
        images: how many faces.
    """

    loss: float
    error: float
    float_error: float
    deviation_mean: float
    deviation_95: float
    deviation_worst: float
    saturation: float
    size: int
    float_size: int
    images: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, rounded, for metadata and JSON."""
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Reference:
    """A float file and labeled faces of people whom nothing was fitted to.

    Attributes:
        model: the file.
        faces: ``(N, S, S, 3)`` uint8 RGB.
        gaze: ``(N, 2)`` pitch and yaw in radians.
    """

    model: bytes
    faces: NDArray[np.uint8]
    gaze: NDArray[np.float32]

    @cached_property
    def answers(self) -> NDArray[np.float64]:
        """``(N, 2)`` of the float file."""
        with tempfile.TemporaryDirectory() as aside:
            path = Path(aside) / "float.onnx"
            path.write_bytes(self.model)
            return GazeEstimator(path)(self.faces).astype(np.float64)

    def judge(self, compressed: bytes, *, size: int | None = None) -> Judged:
        """Runs the file on the faces.

        Args:
            compressed: an ONNX file that answers the same question.
            size: bytes on disk, where these are fewer than the file's own.
        """
        with tempfile.TemporaryDirectory() as aside:
            path = Path(aside) / "small.onnx"
            path.write_bytes(compressed)
            found = GazeEstimator(path)(self.faces).astype(np.float64)
            saturated = saturation(path, self.faces, found)
        plain = self.answers
        errors = [float(angular_error(each, self.gaze.astype(np.float64)).mean()) for each in (plain, found)]
        apart = angular_error(found, plain)
        return Judged(
            loss=errors[1] - errors[0],
            error=errors[1],
            float_error=errors[0],
            deviation_mean=float(apart.mean()),
            deviation_95=float(np.percentile(apart, 95)),
            deviation_worst=float(apart.max()),
            saturation=saturated,
            size=len(compressed) if size is None else size,
            float_size=len(self.model),
            images=len(self.faces),
        )


def saturation(path: Path, faces: NDArray[np.uint8], answers: NDArray[Any]) -> float:
    """By how many degrees 95% of a file's answers change at most when 8-bit products cannot saturate on this CPU.

    A sum of two products of an unsigned and a signed byte does not fit the 16 bits that x86 CPUs without VNNI add in.
    onnxruntime's ``session.x64quantprecision`` computes such files exactly instead, slower; on other CPUs, and for
    float files, nothing changes.

    Args:
        path: of the ONNX file.
        faces: ``(N, S, S, 3)`` uint8 RGB.
        answers: ``(N, 2)`` of the file as it runs by default.
    """
    exact = GazeEstimator(path, saturate=False)(faces)
    return float(np.percentile(angular_error(answers.astype(np.float64), exact.astype(np.float64)), 95))


def median_latencies(files: Sequence[bytes], side: int) -> list[float]:
    """Median milliseconds of a single image on one thread, all files in turns on this machine."""
    with tempfile.TemporaryDirectory() as aside:
        paths = {}
        for number, data in enumerate(files):
            path = Path(aside) / f"{number}.onnx"
            path.write_bytes(data)
            paths[str(number)] = (path, side)
        taken = interleaved_latency(paths, threads=1, repeats=REPEATS)
    return [float(np.median(taken[name])) for name in paths]


def check_gate(judged: Judged, *, max_loss: float, must_be: Sequence[str] = (), ms: Sequence[float] = ()) -> None:
    """Refuses a file that loses too much or gains nothing.

    Args:
        judged: the file.
        max_loss: degrees that its mean error may be larger.
        must_be: of ``GAINS``.
        ms: milliseconds of the float file and of this one, where ``faster`` is asked for.

    Raises:
        GateError: with the amount that it missed by.
    """
    if not judged.loss <= max_loss:
        raise GateError(
            f"--max-loss: the compressed file's error is {judged.error:.3f} degrees on {judged.images} validation "
            f"faces, the float one's "
            f"{judged.float_error:.3f}: {judged.loss:.3f} more, at most {max_loss:g} is allowed; nothing was written"
        )
    if "smaller" in must_be and judged.size >= judged.float_size:
        raise GateError(
            f"--must-be smaller: {judged.size:,} bytes, the float file has {judged.float_size:,}; nothing was written"
        )
    if "faster" in must_be and ms[1] >= ms[0]:
        raise GateError(f"--must-be faster: {ms[1]:.3f} ms, the float file takes {ms[0]:.3f} here; nothing was written")
