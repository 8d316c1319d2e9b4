"""Re-estimating BatchNorm statistics after a network has changed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gazenas.training.loop import eval_mode
from gazenas.training.processes import ALONE, World


@torch.no_grad()
def recalibrate(model: nn.Module, batches: Iterable[Any], *, world: World = ALONE) -> None:
    """Sets running means and variances to their averages over ``batches``, in place.

    Args:
        model: its mode and the momenta of its BatchNorms are restored.
        batches: image tensors ``(N, 3, S, S)``, tuples that begin with one, or anything with ``.images``.
        world: the processes over whose batches the statistics are averaged.

    Raises:
        ValueError: without a single batch; the statistics stay as they were, as they do where a forward pass fails.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    kept = [
        (norm.momentum, {name: value.clone() for name, value in norm.named_buffers(recurse=False)}) for norm in norms
    ]
    iterator = iter(batches)
    first = next(iterator, None)
    if first is None:
        raise ValueError("batches: expected at least one, found none")
    try:
        with eval_mode(model):
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None
                norm.train()
            for batch in itertools.chain([first], iterator):
                model(_images(batch))
            for norm in norms:
                for statistic in (norm.running_mean, norm.running_var):
                    assert statistic is not None, "norms that track running statistics"
                    statistic.copy_(world.sum(statistic) / world.size)
    except BaseException:
        for norm, (_, before) in zip(norms, kept, strict=True):
            for name, value in before.items():
                getattr(norm, name).copy_(value)
        raise
    finally:
        for norm, (momentum, _) in zip(norms, kept, strict=True):
            norm.momentum = momentum


def _images(batch: Any) -> Tensor:
    images: Tensor = batch[0] if isinstance(batch, tuple | list) else getattr(batch, "images", batch)
    return images
