"""Gaze networks that take normalized patches, whatever they are kept in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from gazenas.data.loader import normalize
from gazenas.errors import InputError
from gazenas.models.zoo import GazeModel, load_model
from gazenas.training.loop import expect_images_alone


class Estimator(Protocol):
    """Patches to angles.

    Attributes:
        input_size: side of the patches in pixels.
        metadata: what the network's file says of itself; empty where it is no ONNX file.
    """

    input_size: int

    @property
    def metadata(self) -> Mapping[str, str]:
        """By key."""
        ...

    def __call__(self, faces: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """``(N, 2)`` pitch and yaw in radians of ``(N, S, S, 3)`` RGB."""
        ...


class TorchEstimator:
    """A network of PyTorch on a device."""

    def __init__(self, network: GazeModel, device: str) -> None:
        self.metadata: Mapping[str, str] = {}
        self._network, self._device = network.to(device).eval(), device
        self.input_size = network.input_size

    def __call__(self, faces: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """As :class:`Estimator` says."""
        with torch.inference_mode():
            images = normalize(torch.from_numpy(np.array(faces)).to(self._device))
            angles: NDArray[np.float32] = self._network(images).float().cpu().numpy()
        return angles


def load_estimator(model: str | Path, *, user: str | Path | None = None, device: str = "cpu") -> Estimator:
    """A network that is ready to run.

    Args:
        model: a run folder, an ``arch.json`` with weights, a shipped name, or an ONNX file.
        user: a person's file by ``gazenas calibrate --save``.
        device: of PyTorch; an ONNX file runs on the CPU.

    Raises:
        InputError: where there is no such thing, a file is damaged, or it cannot run as asked.
    """
    if not str(model).endswith((".onnx", ".onnx.xz")):
        network = load_model(model, user=user)
        if getattr(network, "input_channels", 3) != 3:
            raise InputError(
                f"{model}: expected a network for RGB images, found one of {network.input_channels} channel"
            )
        expect_images_alone(network, "patches")
        return TorchEstimator(network, device)
    if user is not None:
        raise InputError("--user: an ONNX file has its person baked in; 'gazenas export --user' does it")
    if device != "cpu":
        raise InputError(f"--device: expected cpu, on which ONNX files run here, found {device}")
    from gazenas.export.runtime import GazeEstimator  # needs an extra that other models do not

    try:
        estimator = GazeEstimator(model)
    except FileNotFoundError:
        raise InputError(f"--model: no such file: {model}") from None
    except ValueError as error:
        raise InputError(str(error)) from error
    expect_images_alone(estimator, "patches")
    return estimator
