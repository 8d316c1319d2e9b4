"""Re-estimating BatchNorm statistics after a network has changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gazenas.training.processes import ALONE, World


@torch.no_grad()
def recalibrate(model: nn.Module, batches: Iterable[Any], *, world: World = ALONE) -> None:
    """Sets running means and variances to their averages over ``batches``, in place.

    Args:
        model: its mode and the momenta of its BatchNorms are restored.
        batches: image tensors ``(N, 3, S, S)``, tuples that begin with one, or anything with ``.images``.
        world: the processes over whose batches the statistics are averaged.

    Raises:
        ValueError: without a single batch; the statistics stay as they were.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    modes = {module: module.training for module in model.modules()}
    momenta = [norm.momentum for norm in norms]
    iterator = iter(batches)
    first = next(iterator, None)
    if first is None:
        raise ValueError("batches: expected at least one, found none")
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    try:
        model(_images(first))
        for batch in iterator:
            model(_images(batch))
        for norm in norms:
            for statistic in (norm.running_mean, norm.running_var):
                assert statistic is not None, "norms that track running statistics"
                statistic.copy_(world.sum(statistic) / world.size)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes.items():
            module.training = mode


def _images(batch: Any) -> Tensor:
    images: Tensor = batch[0] if isinstance(batch, tuple | list) else getattr(batch, "images", batch)
    return images
