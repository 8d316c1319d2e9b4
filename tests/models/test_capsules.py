"""Capsules: lengths and routing by hand, classes of directions, and what is left where there are none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gazenas.models.baselines.baseline import Baseline
from gazenas.models.baselines.capsules import DIRECTIONS, capsule_losses, direction, route, squash
from gazenas.models.zoo import build_model


def routed(votes: np.ndarray[tuple[int, int, int], np.dtype[np.float64]], rounds: int) -> list[list[float]]:
    """Sabour's procedure 1 of one image, in plain loops; votes by capsule above, below and number."""
    above, below, numbers = votes.shape
    logits = [[0.0] * above for _ in range(below)]
    out: list[list[float]] = []
    for _ in range(rounds):
        out = []
        for j in range(above):
            total = [0.0] * numbers
            for i in range(below):
                share = math.exp(logits[i][j]) / sum(math.exp(value) for value in logits[i])
                total = [t + share * float(v) for t, v in zip(total, votes[j, i], strict=True)]
            square = sum(t * t for t in total)
            out.append([t * square / (1 + square) / math.sqrt(square) for t in total])
        for i in range(below):
            for j in range(above):
                logits[i][j] += sum(float(v) * o for v, o in zip(votes[j, i], out[j], strict=True))
    return out


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_routing_is_sabours(rounds: int) -> None:
    votes = torch.randn(2, 3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor([routed(each.numpy(), rounds) for each in votes], dtype=torch.float64)
    torch.testing.assert_close(route(votes, rounds), expected, atol=1e-7, rtol=1e-6)


def test_squashed_lengths() -> None:
    """A vector of length l has l^2 / (1 + l^2), its direction kept; nothing at all is nothing, with a gradient."""
    squashed = squash(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    torch.testing.assert_close(squashed[0], torch.tensor([0.6, 0.8]) * 25 / 26)
    zero = torch.zeros(2, requires_grad=True)
    squash(zero).sum().backward()
    assert zero.grad is not None
    assert zero.grad.isfinite().all()


def test_directions_and_margins_by_hand() -> None:
    """Nine directions with borders at 10 degrees; the true capsule below 0.9 and the others above 0.1 cost."""
    gaze = torch.deg2rad(torch.tensor([[-11.0, -11.0], [0.0, 9.0], [0.0, 11.0], [11.0, 0.0]]))
    assert direction(gaze).tolist() == [0, 4, 5, 7]
    lengths = torch.full((1, DIRECTIONS), 0.3)
    images, drawn = torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)
    losses = capsule_losses((gaze[:1], drawn, lengths), images, gaze[:1])
    assert losses["gaze"] == losses["image"] == 0
    assert losses["directions"].item() == pytest.approx(0.1 * (0.6**2 + 0.5 * 8 * 0.2**2))


def test_other_tasks_have_no_directions() -> None:
    """The loss is of the answer and of the drawn image; the decoder is for training only."""
    network = build_model("gazecapture-capsules", input_size=32, task="screen_point")
    assert isinstance(network, Baseline)
    images, points = torch.randn(3, 3, 32, 32), torch.randn(3, 2)
    output = network.train()(images)
    assert [part.shape for part in output] == [(3, 2), (3, 3, 16, 16)]
    assert network.objective is not None
    assert set(network.objective(output, images, points)) == {"gaze", "image"}
    assert network.eval()(images).shape == (3, 2)
