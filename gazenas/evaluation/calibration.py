"""Adapting a trained network to one person: BatchNorm statistics of their unlabeled images, or a few labeled ones.

Re-estimating statistics is "A Novel Way to Use Batch Normalization" (Towards Data Science, 2022), which trains with
batches of one person for it; blending them with the training's is Schneider et al., NeurIPS 2020. A bias, an affine map
of the two angles and a new last layer are the field's few-shot corrections; all three are a last layer, so that a
person's file needs no code.
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

from gazenas.data.loader import normalize
from gazenas.errors import InputError
from gazenas.files import write_aside
from gazenas.gaze import angular_error
from gazenas.models.network import Network
from gazenas.models.weights import weights_hash
from gazenas.models.zoo import GazeModel
from gazenas.training.loop import predict_faces

Change = dict[str, Tensor]  # entries of the state dict that differ for a person
PRIOR = 32.0  # images that the training's statistics are worth when they are blended with a person's
RIDGES = np.logspace(-4, 3, 15)  # of the mean square of the inputs, times the number of images


@dataclass(frozen=True)
class Sample:
    """Images of a person to adapt to: ``faces`` ``(k, S, S, 3)`` RGB, ``gaze`` ``(k, 2)`` radians."""

    faces: NDArray[np.uint8]
    gaze: NDArray[np.float32]


def personal_statistics(network: GazeModel, faces: NDArray[np.uint8], prior: float) -> Change:
    """BatchNorm means and variances over a person's unlabeled images.

    Args:
        network: left as it is, in eval mode.
        faces: ``(k, S, S, 3)`` RGB.
        prior: how many images the present statistics are worth; 0 replaces them.
    """
    norms = {name: module for name, module in network.named_modules() if isinstance(module, _BatchNorm)}
    before = {name: value.clone() for name, value in network.state_dict().items()}
    momenta = {name: norm.momentum for name, norm in norms.items()}
    share = len(faces) / (len(faces) + prior)
    for norm in norms.values():
        norm.momentum = share
        norm.train()
    device = next(network.parameters()).device
    try:
        with torch.no_grad():
            network(normalize(torch.from_numpy(faces).to(device)))
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
    off = (sample.gaze - predict_faces(network, sample.faces)).mean(0)
    return _last(network, layer.weight, layer.bias + torch.from_numpy(off).to(layer.bias))


def _affine(network: GazeModel, sample: Sample) -> Change:
    """``p' = p + W p + b`` of the predicted angles, as a last layer."""
    layer, answers = last_layer(network), predict_faces(network, sample.faces)
    weight, bias = fit_residual(answers, sample.gaze - answers)
    turn = torch.eye(2) + torch.from_numpy(weight).float()
    shift = torch.from_numpy(bias).float()
    weights, biases = layer.weight.detach().cpu(), layer.bias.detach().cpu()
    return _last(network, turn @ weights, turn @ biases + shift)


def _layer(network: GazeModel, sample: Sample) -> Change:
    """The last layer fitted anew, held near to what it was."""
    layer, inputs = last_layer(network), _last_inputs(network, sample.faces)
    weight, bias = fit_residual(inputs, sample.gaze - predict_faces(network, sample.faces))
    moved = layer.weight.detach().cpu() + torch.from_numpy(weight).float()
    return _last(network, moved, layer.bias.detach().cpu() + torch.from_numpy(bias).float())


METHODS: dict[str, Callable[[GazeModel, Sample], Change]] = {
    "statistics": _statistics,
    "blended": _blended,
    "bias": _bias,
    "affine": _affine,
    "last": _layer,
}
UNLABELED = ("statistics", "blended")  # methods that never look at the gaze


def last_layer(network: GazeModel) -> nn.Linear:
    """The layer whose two outputs are pitch and yaw.

    Raises:
        InputError: where there is none.
    """
    layer = network.head.gaze if isinstance(network, Network) else getattr(network.body, "gaze", None)
    if not isinstance(layer, nn.Linear) or layer.out_features != 2:
        raise InputError(
            "expected a network whose last layer gives pitch and yaw, found another; see statistics, blended"
        )
    return layer


def fit_residual(inputs: NDArray[Any], residual: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ridge regression of ``(k, 2)`` residuals on ``(k, d)`` inputs; the ridge has the least leave-one-out error.

    Returns:
        ``(2, d)`` weights and ``(2,)`` biases; with fewer than three images weights are 0.
    """
    x, y = np.asarray(inputs, np.float64), np.asarray(residual, np.float64)
    center, mean = x.mean(0), y.mean(0)
    if len(x) < 3:
        return np.zeros((2, x.shape[1])), mean
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
        return np.zeros((2, x.shape[1])), mean
    weights = (right.T * (singular / (singular**2 + chosen)) @ (left.T @ (y - mean))).T
    return weights, mean - weights @ center


def _last(network: GazeModel, weight: Tensor, bias: Tensor) -> Change:
    names = {id(value): name for name, value in network.named_parameters()}
    layer = last_layer(network)
    changed = {names[id(layer.weight)]: weight, names[id(layer.bias)]: bias}
    return {name: value.detach().to(layer.weight).clone() for name, value in changed.items()}


def _last_inputs(network: GazeModel, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``(k, d)`` what the last layer sees."""
    seen: list[Tensor] = []
    hook = last_layer(network).register_forward_hook(lambda module, given, answer: seen.append(given[0].float().cpu()))
    try:
        predict_faces(network, faces)
    finally:
        hook.remove()
    inputs: NDArray[np.float32] = torch.cat(seen).numpy()
    return inputs


def with_change(network: GazeModel, change: Change, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``(N, 2)`` answers of the network with a person's entries, which it does not keep."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(before | change)
    try:
        return predict_faces(network, faces)
    finally:
        network.load_state_dict(before)


@dataclass(frozen=True)
class Outcome:
    """Errors in degrees on a person's held-out images, before and after adapting to ``k`` others."""

    person: str
    method: str
    k: int
    draw: int
    images: int
    before: float
    after: float


def try_methods(
    network: GazeModel,
    person: str,
    faces: NDArray[np.uint8],
    gaze: NDArray[np.float32],
    counts: Sequence[int],
    draws: int,
    seed: int,
) -> list[Outcome]:
    """Every method at every ``k``, each on ``draws`` draws of k images; all are tested on the same held-out half.

    Args:
        network: in eval mode.
        person: for the outcomes.
        faces, gaze: all labeled images of the person.
        counts: values of k; those that half of the images do not allow are left out.
        draws: of k images out of the other half.
        seed: of the halves and draws.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(faces))
    pool, held = order[: len(order) // 2], np.sort(order[len(order) // 2 :])
    before = float(angular_error(predict_faces(network, faces[held]), gaze[held]).mean())
    outcomes = []
    for k in [k for k in counts if k <= len(pool)]:
        for draw in range(draws):
            rows = np.sort(rng.permutation(pool)[:k])
            sample = Sample(faces[rows], gaze[rows])
            for name, method in METHODS.items():
                answers = with_change(network, method(network, sample), faces[held])
                after = float(angular_error(answers, gaze[held]).mean())
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
