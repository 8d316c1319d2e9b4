"""Muon (Jordan et al., 2024): momentum whose singular values are all brought near 1, for the weights of convolutions.

A convolution's weight counts as a matrix with a row an output channel. torch's own Muon takes matrices alone.
Everything that is not marked as such a matrix (biases, normalization, first and last layers) is trained by AdamW.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic that Jordan et al. chose for its slope at 0
ITERATIONS = 5
MOMENTUM = 0.9
RATIO = 20.0  # a matrix's learning rate over AdamW's
EPSILON = 1e-7


class Muon(AdamW):
    """AdamW, but for parameter groups with ``matrices=True``.

    Args:
        groups: parameter groups; those with ``matrices=True`` hold weights of two dimensions or more.
        lr: AdamW's learning rate; a matrix's is ``ratio`` times as large, times the root of its rows over its columns
            where it has more rows.
        ratio: see ``lr``.
        momentum: of matrices, Nesterov's.
    """

    def __init__(
        self, groups: list[dict[str, Any]], lr: float, *, ratio: float = RATIO, momentum: float = MOMENTUM
    ) -> None:
        super().__init__([{"matrices": False, **group} for group in groups], lr=lr)
        self.ratio, self.momentum = ratio, momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; gradients stay as they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        held = []
        for group in self.param_groups:
            for parameter in group["params"] if group["matrices"] else ():
                if parameter.grad is not None:
                    self._move(parameter, group["lr"] * self.ratio, group["weight_decay"])
                    held.append((parameter, parameter.grad))
                    parameter.grad = None  # so that AdamW passes it over
        super().step()
        for parameter, gradient in held:
            parameter.grad = gradient
        return loss

    def _move(self, parameter: Tensor, lr: float, weight_decay: float) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())  # AdamW asks for it where a state is loaded
            state["momentum_buffer"] = torch.zeros_like(parameter)
        state["step"] += 1
        buffer: Tensor = state["momentum_buffer"]
        buffer.lerp_(parameter.grad, 1 - self.momentum)  # type: ignore[arg-type]
        direction = torch.lerp(parameter.grad, buffer, self.momentum).flatten(1)  # type: ignore[arg-type]
        if not direction.numel():
            return
        scale = max(1.0, direction.shape[0] / direction.shape[1]) ** 0.5
        parameter.mul_(1 - lr * weight_decay)
        parameter.add_(orthogonalized(direction).view(parameter.shape), alpha=-lr * scale)


def orthogonalized(matrix: Tensor) -> Tensor:
    """Nearly ``U V^T`` of ``matrix = U S V^T``: five steps of a quintic Newton-Schulz iteration.

    The iteration runs over the smaller Gram matrix, whose powers give the same polynomial as those of the matrix
    itself, so that wide matrices are multiplied only twice.

    Args:
        matrix: ``(m, n)``.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + EPSILON)
    a, b, c = COEFFICIENTS
    gram = wide @ wide.T
    product: Tensor | None = None
    for number in range(ITERATIONS):
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal().add_(a)
        product = polynomial if product is None else polynomial @ product
        if number < ITERATIONS - 1:
            gram = polynomial @ gram @ polynomial
    assert product is not None, "at least one iteration"
    result: Tensor = product @ wide
    return result if matrix.shape[0] <= matrix.shape[1] else result.T
