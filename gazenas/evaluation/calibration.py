"""Adapting a trained network to one person: BatchNorm statistics of their unlabeled images, or a few labeled ones.

Re-estimating statistics is "A Novel Way to Use Batch Normalization" (Towards Data Science, 2022), which trains with
batches of one person for it; blending them with the training's is Schneider et al., NeurIPS 2020. A bias, an affine map
of the answers and a new last layer are the field's few-shot corrections; all three are a last layer, so that a person's
file needs no code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gazenas.data.dataset import Faces
from gazenas.errors import InputError
from gazenas.files import write_aside
from gazenas.layers.linear import StandardizedLinear
from gazenas.models.network import Network
from gazenas.models.weights import weights_hash
from gazenas.models.zoo import GazeModel
from gazenas.training.loop import batch_of, predict_faces

Change = dict[str, Tensor]  # entries of the state dict that differ for a person
PRIOR = 32.0  # images that the training's statistics are worth when they are blended with a person's
RIDGES = np.logspace(-4, 3, 15)  # of the mean square of the inputs, times the number of images


@dataclass(frozen=True)
class Sample:
    """Images of a person to adapt to: ``k`` faces, ``labels`` ``(k, outputs)`` of the network's task."""

    faces: Faces
    labels: NDArray[np.float32]


def personal_statistics(network: GazeModel, faces: Faces, prior: float) -> Change:
    """BatchNorm means and variances over a person's unlabeled images.

    Args:
        network: left as it is, in eval mode.
        faces: of that person.
        prior: how many images the present statistics are worth; 0 replaces them.
    """
    norms = {name: module for name, module in network.named_modules() if isinstance(module, _BatchNorm)}
    before = {name: value.clone() for name, value in network.state_dict().items()}
    momenta = {name: norm.momentum for name, norm in norms.items()}
    share = len(faces) / (len(faces) + prior)
    for norm in norms.values():
        norm.momentum = share
        norm.train()
    try:
        batch = batch_of(network, faces)
        with torch.no_grad():
            network(batch.images, **batch.more)
        after = network.state_dict()
        names = [f"{name}.{kind}" for name in norms for kind in ("running_mean", "running_var")]
        return {name: after[name].clone() for name in names}
    finally:
        network.load_state_dict(before)
        network.eval()
        for name, norm in norms.items():
            norm.momentum = momenta[name]


def _statistics(network: GazeModel, sample: Sample) -> Change:
    return personal_statistics(network, sample.faces, 0.0)


def _blended(network: GazeModel, sample: Sample) -> Change:
    return personal_statistics(network, sample.faces, PRIOR)


def _bias(network: GazeModel, sample: Sample) -> Change:
    layer = last_layer(network)
    off = (sample.labels - predict_faces(network, sample.faces)).mean(0)
    return _last(network, layer.weight, layer.bias + torch.from_numpy(off).to(layer.bias) / _behind(layer)[0])


def _affine(network: GazeModel, sample: Sample) -> Change:
    """``y' = y + W y + b`` of the predicted values, as a last layer."""
    layer, answers = last_layer(network), predict_faces(network, sample.faces)
    weight, bias = fit_residual(answers, sample.labels - answers)
    scale, offset = (each.detach().cpu() for each in _behind(layer))
    turn = torch.eye(len(weight)) + torch.from_numpy(weight).float()
    shift = torch.from_numpy(bias).float()
    weights, biases = layer.weight.detach().cpu(), layer.bias.detach().cpu()
    moved = turn @ (biases * scale + offset) + shift - offset
    return _last(network, (turn * scale / scale[:, None]) @ weights, moved / scale)


def _layer(network: GazeModel, sample: Sample) -> Change:
    """The last layer fitted anew, held near to what it was."""
    layer, inputs = last_layer(network), _last_inputs(network, sample.faces)
    weight, bias = fit_residual(inputs, sample.labels - predict_faces(network, sample.faces))
    scale = _behind(layer)[0].detach().cpu()
    moved = layer.weight.detach().cpu() + torch.from_numpy(weight).float() / scale[:, None]
    return _last(network, moved, layer.bias.detach().cpu() + torch.from_numpy(bias).float() / scale)


METHODS: dict[str, Callable[[GazeModel, Sample], Change]] = {
    "statistics": _statistics,
    "blended": _blended,
    "bias": _bias,
    "affine": _affine,
    "last": _layer,
}
UNLABELED = ("statistics", "blended")  # methods that never look at labels


def last_layer(network: GazeModel) -> nn.Linear:
    """The layer whose outputs are the answers.

    Raises:
        InputError: where there is none.
    """
    layer = network.head.gaze if isinstance(network, Network) else getattr(network.body, "gaze", None)
    layer = layer[-1] if isinstance(layer, nn.Sequential) else layer
    outputs = network.task.outputs
    if not isinstance(layer, nn.Linear) or layer.out_features != len(outputs):
        raise InputError(
            f"expected a network whose last layer gives {' and '.join(outputs)}, found another; see statistics, blended"
        )
    return layer


def _behind(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """``(outputs,)`` scale and offset that the last layer's numbers get behind it; 1 and 0 where they are the
    answers."""
    if isinstance(layer, StandardizedLinear):
        return layer.scale, layer.offset
    return torch.ones_like(layer.bias), torch.zeros_like(layer.bias)


def fit_residual(inputs: NDArray[Any], residual: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ridge regression of ``(k, m)`` residuals on ``(k, d)`` inputs; the ridge has the least leave-one-out error.

    Returns:
        ``(m, d)`` weights and ``(m,)`` biases; with fewer than three images, or inputs that are all the
        same, weights are 0.
    """
    x, y = np.asarray(inputs, np.float64), np.asarray(residual, np.float64)
    center, mean = x.mean(0), y.mean(0)
    if len(x) < 3 or not np.ptp(x, axis=0).any():
        return np.zeros((y.shape[1], x.shape[1])), mean
    left, singular, right = np.linalg.svd(x - center, full_matrices=False)
    scale = float((singular**2).sum()) / len(singular)
    best, chosen = np.inf, None
    for ridge in RIDGES * scale:
        shrink = singular**2 / (singular**2 + ridge)
        fitted = left * shrink @ (left.T @ (y - mean))
        leverage = np.minimum((left**2 * shrink).sum(1) + 1 / len(x), 1 - 1e-6)
        error = float((((y - mean - fitted) / (1 - leverage)[:, None]) ** 2).sum())
        if error < best:
            best, chosen = error, ridge
    assert chosen is not None, "there are ridges"
    plain = float((((y - mean) / (1 - 1 / len(x))) ** 2).sum())
    if plain <= best:
        return np.zeros((y.shape[1], x.shape[1])), mean
    weights = (right.T * (singular / (singular**2 + chosen)) @ (left.T @ (y - mean))).T
    return weights, mean - weights @ center


def _last(network: GazeModel, weight: Tensor, bias: Tensor) -> Change:
    names = {id(value): name for name, value in network.named_parameters()}
    layer = last_layer(network)
    changed = {names[id(layer.weight)]: weight, names[id(layer.bias)]: bias}
    return {name: value.detach().to(layer.weight).clone() for name, value in changed.items()}


def _last_inputs(network: GazeModel, faces: Faces) -> NDArray[np.float32]:
    """``(k, d)`` what the last layer sees."""
    seen: list[Tensor] = []
    hook = last_layer(network).register_forward_hook(lambda module, given, answer: seen.append(given[0].float().cpu()))
    try:
        predict_faces(network, faces)
    finally:
        hook.remove()
    inputs: NDArray[np.float32] = torch.cat(seen).numpy()
    return inputs


def with_change(network: GazeModel, change: Change, faces: Faces) -> NDArray[np.float32]:
    """``(N, outputs)`` answers of the network with a person's entries, which it does not keep."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(before | change)
    try:
        return predict_faces(network, faces)
    finally:
        network.load_state_dict(before)


@dataclass(frozen=True)
class Outcome:
    """Errors on a person's held-out images, in the unit of the task's, before and after adapting to ``k`` others."""

    person: str
    method: str
    k: int
    draw: int
    images: int
    before: float
    after: float


def draw_at_random(labels: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many different rows of ``(n, outputs)`` labels, in order."""
    return np.sort(rng.permutation(len(labels))[:count])


def draw_spread(labels: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many different rows of ``(n, outputs)`` labels, in order: the first by chance, each further one as far from
    those before it as can be, as the dots of a calibration are."""
    rows = [int(rng.integers(len(labels)))]
    nearest = np.full(len(labels), np.inf)
    while len(rows) < count:
        nearest = np.minimum(nearest, np.linalg.norm(labels - labels[rows[-1]], axis=1))
        nearest[rows] = -1.0  # of two images of one dot the other may still be drawn
        rows.append(int(nearest.argmax()))
    return np.sort(np.array(rows[:count], np.int64))


DRAWS: dict[str, Callable[[NDArray[np.float32], int, np.random.Generator], NDArray[np.int64]]] = {
    "random": draw_at_random,
    "spread": draw_spread,
}


def try_methods(
    network: GazeModel,
    person: str,
    faces: Faces,
    labels: NDArray[np.float32],
    counts: Sequence[int],
    draws: int,
    seed: int,
    draw_rows: str = "random",
) -> list[Outcome]:
    """Every method at every ``k``, each on ``draws`` draws of k images; all are tested on the same held-out half.

    Args:
        network: in eval mode.
        person: for the outcomes.
        faces, labels: all images of the person, and their labels, ``(n, outputs)``.
        counts: values of k; those that half of the images do not allow are left out.
        draws: of k images out of the other half.
        seed: of the halves and draws.
        draw_rows: a key of ``DRAWS``, which k images of that half.
    """
    rng, error = np.random.default_rng(seed), network.task.mean_error
    order = rng.permutation(len(faces))
    pool, held = order[: len(order) // 2], np.sort(order[len(order) // 2 :])
    before = error(predict_faces(network, faces[held]), labels[held])
    outcomes = []
    for k in [k for k in counts if k <= len(pool)]:
        for draw in range(draws):
            rows = np.sort(pool[DRAWS[draw_rows](labels[pool], k, rng)])
            sample = Sample(faces[rows], labels[rows])
            for name, method in METHODS.items():
                answers = with_change(network, method(network, sample), faces[held])
                after = error(answers, labels[held])
                outcomes.append(Outcome(person, name, k, draw, len(held), before, after))
    return outcomes


def save_user(path: Path, change: Change, network: GazeModel, story: Mapping[str, Any]) -> None:
    """Writes a person's entries as safetensors, apart from the weights, with the hash of the weights that they are laid
    over.

    Args:
        path: of the file.
        change: from one of ``METHODS``.
        network: as it was before it was adapted.
        story: what is known about the entries.
    """
    plain = {name: value.contiguous().cpu() for name, value in change.items()}
    with write_aside(path) as aside:
        aside.write_bytes(save(plain, {"weights": weights_hash(network), "story": json.dumps(story)}))
