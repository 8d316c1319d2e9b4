"""Gaze from a face image with numpy and onnxruntime alone.

Everything that the network expects (size, mean, deviation, color order) and the meaning of its output are read
from the ONNX file's metadata. This file imports nothing else of gazenas and may be copied beside a model:

    python runtime.py model.onnx face.npy
"""

from __future__ import annotations

import json
import lzma
import sys
from errno import ENOENT
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

ORDERS = ("RGB", "BGR")
GRAY = "gray"  # color order of a network that reads one channel
REQUIRED = ("input_size", "mean", "std", "color_order", "output", "convention")


class GazeEstimator:
    """A gaze network in an ONNX file, or one of another task.

    Args:
        path: written by ``gazenas export`` or ``gazenas compress``; one that ends in ``.xz`` is unpacked in memory.
        threads: CPU threads; 0 leaves the number to onnxruntime.
        saturate: products of int8 may saturate where an x86 CPU has no VNNI, which is fast; False asks for exact ones.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where it is no ONNX file, a damaged coded one, or its metadata lacks what ``gazenas export`` writes.

    Attributes:
        task: what it predicts, such as ``gaze``.
        outputs: names of its outputs in order.
        unit: of them: ``rad``, ``px`` or ``cm``.
        inputs: what the network takes besides faces: names of the numbers of each input, by its own name.
    """

    def __init__(self, path: str | Path, *, threads: int = 1, saturate: bool = True) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(ENOENT, "no such ONNX file", str(path))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        if not saturate:
            options.add_session_config_entry("session.x64quantprecision", "1")
        model = _unpacked(Path(path)) if Path(path).suffix == ".xz" else str(path)
        try:
            self.session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own types, of which it makes no public ones
            raise ValueError(f"{path}: expected an ONNX file written by 'gazenas export': {error}") from error
        self.metadata: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)
        missing = [key for key in REQUIRED if key not in self.metadata]
        if missing:
            raise ValueError(f"{path}: metadata lacks {', '.join(missing)}; was the file written by 'gazenas export'?")
        self.color_order = self.metadata["color_order"]
        self.task, self.unit = self.metadata.get("task", "gaze"), self.metadata.get("unit", "rad")
        try:
            self.inputs = {name: tuple(v) for name, v in json.loads(self.metadata.get("inputs", "{}")).items()}
            self.outputs = tuple(json.loads(self.metadata.get("outputs", '["pitch", "yaw"]')))
            self.input_size = int(self.metadata["input_size"])
            self.mean, self.std = (np.array(json.loads(self.metadata[key]), np.float32) for key in ("mean", "std"))
        except ValueError as error:
            raise ValueError(
                f"{path}: expected numbers as input_size, mean and std in its metadata: {error}"
            ) from error
        gray = (self.color_order == GRAY) and self.mean.shape == self.std.shape == (1,)
        if not gray and (self.mean.shape != (3,) or self.std.shape != (3,) or self.color_order not in ORDERS):
            raise ValueError(
                f"{path}: expected three numbers as mean and std and the color order {' or '.join(ORDERS)} in its "
                f"metadata, "
                f"found {self.metadata['mean']}, {self.metadata['std']} and {self.color_order!r}"
            )
        self.input_name: str = self.session.get_inputs()[0].name

    def __call__(
        self, faces: NDArray[np.uint8], *, color_order: str = "RGB", **more: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Estimates gaze, or what else the network predicts.

        Args:
            faces: ``(S, S, 3)`` or ``(N, S, S, 3)`` uint8, S the network's input size; gray images as three equal
                colors.
            color_order: of ``faces``, ``RGB`` or ``BGR``.
            more: each of ``inputs`` by name, ``(k,)`` for one face or ``(N, k)``.

        Returns:
            ``(2,)`` or ``(N, 2)`` pitch and yaw in radians; up is positive pitch, the image's left positive yaw. Of
            another task, ``outputs`` in ``unit``.

        Raises:
            ValueError: where shape, type or order is another, or an input lacks or is none of the network's.
        """
        batch = faces if faces.ndim == 4 else faces[None]
        size = self.input_size
        if batch.ndim != 4 or batch.shape[1:] != (size, size, 3) or batch.dtype != np.uint8:
            raise ValueError(
                f"expected uint8 faces of shape ({size}, {size}, 3) or (N, {size}, {size}, 3), found {faces.dtype} "
                f"{faces.shape}"
            )
        if color_order not in ORDERS:
            raise ValueError(f"color_order: expected {' or '.join(ORDERS)}, found {color_order!r}")
        same = color_order == self.color_order or self.color_order == GRAY  # of which any order has the same mean
        angles = self.run(self.normalize(batch if same else batch[..., ::-1]), **self._checked(more, len(batch)))
        return angles if faces.ndim == 4 else angles[0]

    def normalize(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 ``(N, S, S, 3)`` in the network's color order to its float input ``(N, 3, S, S)``, or ``(N, 1, S, S)``
        of the mean of the colors."""
        scaled = faces.astype(np.float32) / np.float32(255)
        if self.color_order == GRAY:
            scaled = scaled.mean(-1, keepdims=True)
        values = (scaled - self.mean) / self.std
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2))

    def run(self, images: NDArray[np.float32], **more: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(N, 2)`` angles for images that are already normalized ``(N, 3, S, S)``, and ``(N, k)`` other inputs."""
        angles: NDArray[np.float32] = self.session.run(None, {self.input_name: images, **more})[0]
        return angles

    def _checked(self, more: dict[str, NDArray[np.float32]], count: int) -> dict[str, NDArray[np.float32]]:
        """The other inputs of so many faces."""
        if set(more) != set(self.inputs):
            raise ValueError(
                f"expected besides faces {', '.join(self.inputs) or 'nothing'}, found {', '.join(more) or 'nothing'}"
            )
        rows = {name: np.atleast_2d(np.asarray(values, np.float32)) for name, values in more.items()}
        for name, values in rows.items():
            numbers = self.inputs[name]
            if values.shape != (count, len(numbers)):
                raise ValueError(
                    f"{name}: expected shape ({count}, {len(numbers)}), {', '.join(numbers)}, found {values.shape}"
                )
        return rows


def _unpacked(path: Path) -> bytes:
    try:
        return lzma.decompress(path.read_bytes())
    except lzma.LZMAError as error:
        raise ValueError(f"{path}: expected a file that 'gazenas compress' coded: {error}") from error


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} MODEL.onnx FACE.npy (uint8 RGB, as numpy.save writes it)")
    estimator = GazeEstimator(sys.argv[1])
    if estimator.inputs:
        sys.exit(f"{sys.argv[1]} takes {', '.join(estimator.inputs)} besides faces: call GazeEstimator from Python")
    found = estimator(np.load(sys.argv[2], allow_pickle=False))
    values, word = (np.rad2deg(found), "degrees") if estimator.unit == "rad" else (found, estimator.unit)
    sys.stdout.write(f"{values.tolist()} {word} of {' and '.join(estimator.outputs)}\n")
