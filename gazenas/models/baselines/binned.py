"""Binned angles, a head for any backbone: HopeNet (Ruiz et al., CVPRW 2018) and L2CS-Net (Abdelrahman et al., 2022).

Each angle has a branch that says in which bin it lies; the angle is the expectation over bins, and both are trained.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gazenas.errors import InputError
from gazenas.models.baselines.backbones import feature_layers
from gazenas.models.baselines.baseline import Baseline, BaselineSpec, Losses
from gazenas.models.baselines.resnet import resnet50
from gazenas.tasks.task import Task


class BinnedAngles(nn.Module):
    """A linear layer an angle, over bins.

    Args:
        in_features: of the backbone, after pooling.
        angles: 2, pitch and yaw, or 3 with roll.
        bins: an angle.
        width: of a bin in degrees; bins lie evenly around 0.
    """

    centers: Tensor

    def __init__(self, *, in_features: int, angles: int, bins: int, width: float) -> None:
        super().__init__()
        self.width = width
        self.branches = nn.ModuleList(nn.Linear(in_features, bins) for _ in range(angles))
        self.register_buffer("centers", (torch.arange(bins) - (bins - 1) / 2) * width, persistent=False)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """``(N, in_features)`` to ``(N, angles)`` radians and ``(N, angles, bins)`` logits."""
        logits = torch.stack([branch(features) for branch in self.branches], 1)
        return (logits.softmax(-1) * self.centers).sum(-1) * (math.pi / 180), logits


def binned_losses(
    output: tuple[Tensor, Tensor], images: Tensor, gaze: Tensor, *, width: float, weight: float
) -> Losses:
    """Cross-entropy over bins and, ``weight`` times, the squared error of the expectation in degrees.

    Args:
        output: of :class:`BinnedAngles`.
        images: not looked at.
        gaze: ``(N, angles)`` true angles in radians; beyond the bins the outermost counts.
        width: of a bin in degrees.
        weight: alpha of both papers.
    """
    expected, logits = torch.rad2deg(output[0].float()), output[1].float()
    degrees, bins = torch.rad2deg(gaze), logits.shape[-1]
    classes = (degrees / width + bins / 2).floor().long().clamp(0, bins - 1)
    entropy = F.cross_entropy(logits.flatten(0, 1), classes.flatten()) * gaze.shape[1]
    return {"classes": entropy, "gaze": weight * (expected - degrees).square().mean(0).sum()}


class BinnedGaze(nn.Module):
    """A backbone that wears the head.

    Args:
        backbone: images to ``(N, c, h, w)``.
        head: over c features.
    """

    head: BinnedAngles

    def __init__(self, *, backbone: nn.Module, head: BinnedAngles) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """``(N, 3, S, S)`` to ``(N, angles)`` radians; in training mode with ``(N, angles, bins)`` logits."""
        angles, logits = self.head(self.backbone(images).mean((2, 3)))
        return (angles, logits) if self.training else angles

    def answer(self, task: Task) -> bool:
        """Gives it a fresh head for a task, an angle an output; whether the task is one of angles."""
        if task.unit != "rad":
            return False
        bins, features = self.head.branches[0].weight.shape  # type: ignore[misc]
        self.head = BinnedAngles(in_features=features, angles=len(task.outputs), bins=bins, width=self.head.width)
        return True


def weigh_regression(network: nn.Module, weight: float) -> None:
    """Sets the weight of the squared error in the loss of a network with binned angles.

    Raises:
        InputError: where there are no bins.
    """
    objective = getattr(network, "objective", None)
    if not (isinstance(network, Baseline) and isinstance(objective, partial) and objective.func is binned_losses):
        raise InputError(
            f"regression_weight: expected a network with binned angles, such as hopenet, with a weight of {weight:g}"
        )
    network.objective = partial(objective, weight=weight)


def binned(name: str, input_size: int, *, backbone: nn.Module, channels: int, bins: int, width: float) -> Baseline:
    """Two binned angles on a backbone of ``channels`` channels; the loss weighs both terms alike, as L2CS-Net does."""
    head = BinnedAngles(in_features=channels, angles=2, bins=bins, width=width)
    return Baseline(
        spec=BaselineSpec(name, input_size),
        body=BinnedGaze(backbone=backbone, head=head),
        objective=partial(binned_losses, width=width, weight=1.0),
    )


def l2cs(input_size: int = 448) -> Baseline:
    """ResNet-50 with 90 bins of 4 degrees, as for Gaze360."""
    return binned("l2cs", input_size, backbone=resnet50(), channels=2048, bins=90, width=4.0)


def hopenet(input_size: int = 224) -> Baseline:
    """ResNet-50 with HopeNet's 66 bins of 3 degrees an angle: two of gaze, or with ``--task head_pose`` its own three.

    An angle is the mean of the bins' middles; HopeNet's own program takes their lower edges, 1.5 degrees less, which
    its training makes up for.
    """
    return binned("hopenet", input_size, backbone=resnet50(), channels=2048, bins=66, width=3.0)


def hopenet_on(name: str, source: str, input_size: int = 224) -> Baseline:
    """HopeNet's head on a backbone of ``gazenas.models.baselines.backbones.SOURCES``.

    Raises:
        InputError: where pytorchcv is not installed.
    """
    features, channels = feature_layers(source)
    return binned(name, input_size, backbone=features, channels=channels, bins=66, width=3.0)
