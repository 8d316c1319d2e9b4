"""Networks learn: by the default recipe, the error falls far below that of always answering the mean, in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gazenas.data.loader import normalize
from gazenas.data.readers import open_data
from gazenas.models.baselines.handmade import handmade
from gazenas.models.zoo import GazeModel, build_supernet
from gazenas.tasks.gaze import gaze_loss, mean_error, mean_predictor_error
from gazenas.training.recipe import TrainingRecipe
from tests.running import MICRO_CHAIN

MOST = 0.6  # of the mean predictor's error; 0.11 to 0.36 were reached in these steps


def made(name: str) -> GazeModel:
    """A small network with fresh weights."""
    return build_supernet(MICRO_CHAIN) if name == "chain" else handmade(channels=(8, 12, 16), hidden=16, input_size=32)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["chain", "handmade"])
def test_better_than_the_mean_on_its_own_faces(name: str, seed: int, data_folder: Path) -> None:
    split = open_data(data_folder).split("train")
    assert split.gaze is not None
    images, gaze = normalize(torch.from_numpy(split.images(np.arange(len(split))))), torch.from_numpy(split.gaze)
    torch.manual_seed(seed)
    network, recipe, steps = made(name), TrainingRecipe(epochs=16, augment="none"), len(split) // 16
    optimizer, rate = recipe.make_optimizer(network), recipe.learning_rate(steps)
    rate.apply(optimizer)
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(split))[: 16 * steps].split(16):
            loss = gaze_loss(network(images[rows]), gaze[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.after_step(optimizer)
    with torch.no_grad():
        error = mean_error(network.eval()(images).numpy(), split.gaze)
    reference = mean_predictor_error(split.gaze, split.gaze)
    assert reference is not None
    assert error < MOST * reference, (error, reference)
