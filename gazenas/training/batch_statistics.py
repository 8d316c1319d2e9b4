"""Answers of a network whose BatchNorms go by the images that are answered together, not by stored statistics.

"A Novel Way to Use Batch Normalization" (Towards Data Science, 2022) trains with batches of one session and answers a
session's images the same way, so that the normalization takes the person, the light and the place away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gazenas.data.dataset import GazeSplit
from gazenas.training.loop import predict_faces

SESSION_BATCH = 32  # images of a session that are answered together, as in the source


@contextmanager
def own_statistics(network: nn.Module) -> Iterator[None]:
    """Inside the block every BatchNorm goes by the batch that it sees; stored statistics stay as they are."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.track_running_stats, norm.running_mean, norm.running_var) for norm in norms]
    for norm in norms:  # without stored statistics a BatchNorm takes the batch's also in eval mode
        norm.track_running_stats, norm.running_mean, norm.running_var = False, None, None
    try:
        yield
    finally:
        for norm, (tracked, mean, variance) in zip(norms, before, strict=True):
            norm.track_running_stats, norm.running_mean, norm.running_var = tracked, mean, variance


def session_batches(split: GazeSplit, size: int = SESSION_BATCH) -> list[NDArray[np.int64]]:
    """Rows of a split in batches of one session each (of one person where sessions are unknown), as equal as they can
    be and of at most ``size`` where that leaves each at least two rows."""
    found = []
    for rows in split.rows_by_group(by_session=True):
        found += np.array_split(rows, max(1, min(-(-len(rows) // size), len(rows) // 2)))
    return found


def predict_by_session(
    network: nn.Module, split: GazeSplit, size: int = SESSION_BATCH, *, inputs: Sequence[str] = ()
) -> NDArray[np.float32]:
    """``(N, outputs)`` for a split in order, each batch of a session on its own statistics.

    Args:
        network: in eval mode, left as it is.
        split: of the images.
        size: of a batch.
        inputs: what the network takes besides images, names of ``INPUTS``.
    """
    parts = session_batches(split, size)
    with own_statistics(network):
        answers = [predict_faces(network, split.faces(rows, inputs), size) for rows in parts]
    everything = np.empty((len(split), answers[0].shape[1]), np.float32)
    everything[np.concatenate(parts)] = np.concatenate(answers)
    return everything
