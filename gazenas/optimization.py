"""How weights move: what a search and a fine-tuning share of their recipes, optimizers by name, and learning rates over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from gazenas.architecture import InputError
from gazenas.data.augmentation import AUGMENTATIONS
from gazenas.engine import AMPS
from gazenas.muon import Muon
from gazenas.ops.depthwise import DepthwiseConv2d

Groups = list[dict[str, Any]]
RISE = 0.1  # share of one cycle over which the learning rate rises
WARM_UP_STEPS = 50  # over which it rises under the other schedules


@dataclass(frozen=True)
class TrainingRecipe:
    """What the recipes of a search and of a fine-tuning have in common; the defaults of both stand here.

    Attributes:
        epochs: passes over the training people.
        batch_size: images a step, all processes together.
        optimizer: a key of ``OPTIMIZERS``.
        lr: the largest learning rate.
        schedule: a key of ``SCHEDULES``: ``onecycle`` rises over a tenth of the run and falls to nearly 0 by its end, ``cosine``
            falls to 0, ``exp`` multiplies by ``decay`` every ``decay_every`` epochs, ``steps`` after each of ``milestones``,
            ``plateau`` after ``decay_every`` epochs without a better validation error. All but the first begin with a short rise.
        decay, decay_every, milestones: see ``schedule``.
        weight_decay: of weights; decoupled with ``muon`` and ``adamw``. Importance factors have none.
        average: limit of the weight average's decay; 0 for no average, so that the trained weights themselves are kept.
        augment: a key of ``AUGMENTATIONS``: ``none``, ``plain`` (mirror and brightness), ``strong`` (color, blur, noise, shifts
            and cutouts as well), or ``real`` (``plain``, and the scale, shift and roll that found landmarks scatter by).
        amp: a key of ``AMPS``: ``none``, or ``bf16`` for a forward pass in bfloat16 with the last layer in float32.
    """

    epochs: int = 12
    batch_size: int = 64
    optimizer: str = "muon"
    lr: float = 3e-3
    schedule: str = "onecycle"
    decay: float = 0.85
    decay_every: int = 1
    milestones: tuple[int, ...] = ()
    weight_decay: float = 1e-4
    average: float = 0.0
    augment: str = "plain"
    amp: str = "none"

    def faults(self) -> list[str]:
        """What is out of range, a sentence each."""
        found = [
            *not_above_zero(self, "epochs", "batch_size", "lr", "decay", "decay_every"),
            *below_zero(self, "weight_decay"),
            *unknown(self, {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "augment": AUGMENTATIONS, "amp": AMPS}),
        ]
        if self.schedule == "steps" and not self.milestones:
            found.append("milestones: expected at least one epoch with schedule steps, found none")
        if not 0 <= self.average < 1:
            found.append(f"average: expected at least 0 and less than 1, found {self.average}")
        return found


def not_above_zero(recipe: object, *names: str) -> list[str]:
    """A sentence for each of a recipe's fields that is not more than 0."""
    values = {name: getattr(recipe, name) for name in names}
    return [f"{name}: expected more than 0, found {value}" for name, value in values.items() if not value > 0]


def below_zero(recipe: object, *names: str) -> list[str]:
    """The same for those that are not at least 0."""
    values = {name: getattr(recipe, name) for name in names}
    return [f"{name}: expected at least 0, found {value}" for name, value in values.items() if not value >= 0]


def unknown(recipe: object, choices: Mapping[str, Any]) -> list[str]:
    """The same for those that are none of the words in ``choices``."""
    return [
        f"{name}: expected one of {', '.join(known)}, found {getattr(recipe, name)!r}"
        for name, known in choices.items()
        if getattr(recipe, name) not in known
    ]


def refuse(faults: list[str]) -> None:
    """Raises InputError where there are faults of a recipe, all at once."""
    if faults:
        raise InputError("recipe: " + "; ".join(faults))


OPTIMIZERS: dict[str, Callable[[Groups, float], Optimizer]] = {
    "muon": Muon,
    "adamw": lambda groups, lr: AdamW(groups, lr=lr, fused=True),
    "adam": lambda groups, lr: Adam(groups, lr=lr, fused=True),
    "rmsprop": lambda groups, lr: RMSprop(groups, lr=lr),
    "sgd": lambda groups, lr: SGD(groups, lr=lr, momentum=0.9, nesterov=True),
}


def make_optimizer(
    recipe: TrainingRecipe, network: nn.Module, importances: Sequence[nn.Parameter] = (), importance_lr: float = 0.0
) -> Optimizer:
    """The recipe's optimizer: matrices, other weights, then importance factors with a learning rate of their own and no decay."""
    special = {id(alpha) for alpha in importances}
    inner = {id(weight) for weight in _inner_weights(network)}
    weights = [parameter for parameter in network.parameters() if id(parameter) not in special]
    matrices = [weight for weight in weights if id(weight) in inner]
    others = [weight for weight in weights if id(weight) not in inner]
    groups: Groups = [
        {"params": chosen, "weight_decay": recipe.weight_decay, "matrices": chosen is matrices, "scheduled": True}
        for chosen in (matrices, others)
    ]
    if importances:
        groups.append(
            {
                "params": list(importances),
                "weight_decay": 0.0,
                "lr": importance_lr,
                "matrices": False,
                "scheduled": False,
            }
        )
    return OPTIMIZERS[recipe.optimizer](groups, recipe.lr)


def _inner_weights(network: nn.Module) -> list[Tensor]:
    """Weights of dense convolutions but the first, which sees pixels.

    Linear layers are left out: of attention and its feed-forward they diverge at a step size that suits convolutions. It goes by what a layer is and not by its size, which a shrink changes: a run that goes on must find the same groups.
    """
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    dense = [layer for layer in convolutions[1:] if layer.groups == 1 and not isinstance(layer, DepthwiseConv2d)]
    return [layer.weight for layer in dense]


def one_cycle(optimizer: Optimizer, recipe: TrainingRecipe, steps: int) -> LRScheduler:
    """Smith and Topin's (2018), as cosines; a rise has at least two steps, without which torch's divides by zero."""
    steps = max(steps, 2)
    return OneCycleLR(optimizer, recipe.lr, total_steps=steps, pct_start=max(RISE, 2 / steps), cycle_momentum=False)


def plateau(optimizer: Optimizer, recipe: TrainingRecipe, steps: int) -> LRScheduler:
    """Falls after ``decay_every`` epochs in a row of which none was better than the best so far."""
    return ReduceLROnPlateau(optimizer, factor=recipe.decay, patience=recipe.decay_every - 1, threshold=0.0, eps=0.0)


SCHEDULES: dict[str, Callable[[Optimizer, TrainingRecipe, int], LRScheduler]] = {
    "onecycle": one_cycle,
    "cosine": lambda optimizer, recipe, steps: CosineAnnealingLR(optimizer, steps),
    "exp": lambda optimizer, recipe, steps: StepLR(optimizer, recipe.decay_every, recipe.decay),
    "plateau": plateau,
    "steps": lambda optimizer, recipe, steps: MultiStepLR(optimizer, list(recipe.milestones), recipe.decay),
}
BY_STEP = ("onecycle", "cosine")  # the others move once an epoch


class LearningRate:
    """The weights' learning rate as training goes on.

    torch's scheduler moves the rate of an optimizer that holds a single number and trains nothing. So a shrink may replace
    the parameters of the real optimizer, and the importance factors' rate stays as it is.

    Args:
        recipe: says which schedule.
        epoch_steps: of the real optimizer, an epoch.
    """

    def __init__(self, recipe: TrainingRecipe, epoch_steps: int) -> None:
        self.recipe, self.last = recipe, recipe.epochs * epoch_steps - 1
        self.steps = 0
        self._carrier = SGD([torch.zeros(1)], lr=recipe.lr)
        self._scheduler = SCHEDULES[recipe.schedule](self._carrier, recipe, recipe.epochs * epoch_steps)
        self._carrier.step()  # without a gradient it does nothing; a scheduler warns where its optimizer never steps

    @property
    def scheduled(self) -> float:
        """What the schedule says for the next step, the first rise left out; at the end of the run, what it said for the last."""
        return float(self._carrier.param_groups[0]["lr"])

    def apply(self, optimizer: Optimizer) -> None:
        """Gives the weights' parameter groups of ``optimizer`` the rate of its next step."""
        rise = 1.0 if self.recipe.schedule == "onecycle" else min(1.0, (self.steps + 1) / WARM_UP_STEPS)
        for group in optimizer.param_groups:
            if group.get("scheduled", True):
                group["lr"] = self.scheduled * rise

    def after_step(self, optimizer: Optimizer) -> None:
        """To be called after each step of ``optimizer``, which it prepares for the next one."""
        if self.recipe.schedule in BY_STEP and self.steps < self.last:
            self._scheduler.step()
        self.steps += 1
        self.apply(optimizer)

    def after_epoch(self, optimizer: Optimizer, error: float) -> None:
        """To be called after each epoch with the validation error, by which ``plateau`` goes."""
        if isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(error)
        elif self.recipe.schedule not in BY_STEP:
            self._scheduler.step()
        self.apply(optimizer)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"steps": self.steps, "scheduled": self.scheduled, "scheduler": self._scheduler.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on where :meth:`state` was taken, with the same recipe."""
        self.steps = state["steps"]
        self._carrier.param_groups[0]["lr"] = state["scheduled"]
        self._scheduler.load_state_dict(state["scheduler"])
