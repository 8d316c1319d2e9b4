"""Activations by name, and what they make of normalized channels.

``ACTIVATIONS`` maps the names used in a search space to functions of torch; a new one is a line here. Each maps 0 to 0,
so that a channel whose importance factor is 0 stays silent behind it, and takes ``inplace``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.errors import InputError

RELU = "relu"
ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    RELU: F.relu,
    "silu": F.silu,
}
STEPS, REACH = 256, 6.0  # of the integral over a normal distribution, and how many deviations it covers


class Activation(nn.Module):
    """An activation as a layer.

    Args:
        name: key of ``ACTIVATIONS``.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return ACTIVATIONS[self.name](x)


def expect_activation(name: str, where: str) -> None:
    """Raises ``InputError`` where there is none of this name."""
    if name not in ACTIVATIONS:
        raise InputError(f"{where}: expected one of {', '.join(ACTIVATIONS)}, found {name!r}")


def activated_deviation(norm: nn.BatchNorm2d, name: str) -> Tensor:
    """``(c,)``: standard deviation of an activation after ``norm``, for normally distributed inputs of its
    statistics."""
    mean, scale = norm.bias, norm.weight.abs().clamp_min(1e-12)
    if name == RELU:
        first, second = _rectified_moments(mean, scale)
    else:
        at = torch.linspace(-REACH, REACH, STEPS + 1, dtype=mean.dtype, device=mean.device)
        density = torch.exp(-0.5 * at**2) * (2 * REACH / STEPS / (2 * math.pi) ** 0.5)
        values = ACTIVATIONS[name](mean + scale * at.unsqueeze(1))
        first, second = density @ values, density @ values**2
    deviation: Tensor = (second - first**2).clamp_min(0).sqrt()
    return deviation


def _rectified_moments(mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and mean square of ReLU of a normal distribution, by their formulas."""
    ratio = mean / scale
    density = torch.exp(-0.5 * ratio**2) / (2 * torch.pi) ** 0.5
    above = 0.5 * (1 + torch.erf(ratio / 2**0.5))
    return mean * above + scale * density, (mean**2 + scale**2) * above + mean * scale * density
