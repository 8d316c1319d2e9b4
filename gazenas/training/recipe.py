"""What the recipes of a search and of a fine-tuning have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from torch import nn
from torch.optim import Optimizer

from gazenas.data.augmentation import AUGMENTATIONS
from gazenas.errors import InputError, did_you_mean
from gazenas.training.loop import AMPS
from gazenas.training.optimizers import OPTIMIZERS, make_optimizer
from gazenas.training.schedules import SCHEDULES, Decay, LearningRate


@dataclass(frozen=True)
class TrainingRecipe:
    """What the recipes of a search and of a fine-tuning have in common; the defaults of both stand here.

    The verbs make a flag of every field: its help is the text below, its name the field's or ``flag`` of its metadata,
    and ``one_of`` of its metadata are the words that it may have.

    Attributes:
        epochs: passes over the training people.
        batch_size: images a step, all processes together.
        optimizer: what makes steps of gradients.
        lr: the largest learning rate.
        schedule: of the learning rate: onecycle rises over a tenth of the run and falls to nearly 0 by its end, cosine
            falls to 0, exp multiplies by decay every decay_every epochs, steps after each of milestones, plateau after
            decay_every epochs without a better validation error; all but the first begin with a short rise.
        decay: exp, steps, plateau: factor on the learning rate.
        decay_every: exp: epochs between two factors; plateau: epochs without a better validation error.
        milestones: steps: epochs after which the factor applies, such as [10, 15].
        weight_decay: of weights; without a number 0.05 with muon and adamw, which decay them apart from the gradient,
            and 1e-5 with the others, which add it to the gradient. Importance factors have none.
        average: limit of the weight average's decay, such as 0.9999; 0 for no average, so that the trained weights are
            kept.
        amp: arithmetic of the forward pass in training: none, or bf16 with the last layer in float32, which is faster
            where the processor has it.
        augment: what changes training images, labels kept true: none, plain (mirror and brightness), strong (color,
            blur, noise, shifts and cutouts as well), or real (plain, and the scale, shift and roll that found landmarks
            scatter by).
    """

    epochs: int = 12
    batch_size: int = 64
    optimizer: str = field(default="muon", metadata={"one_of": OPTIMIZERS})
    lr: float = 3e-3
    schedule: str = field(default="onecycle", metadata={"one_of": SCHEDULES})
    decay: float = 0.85
    decay_every: int = 1
    milestones: tuple[int, ...] = ()
    weight_decay: float | None = None
    average: float = 0.0
    amp: str = field(default="none", metadata={"one_of": AMPS})
    augment: str = field(default="plain", metadata={"one_of": AUGMENTATIONS})

    def learning_rate(self, epoch_steps: int) -> LearningRate:
        """The learning rate over the whole run, of ``epoch_steps`` steps an epoch."""
        numbers = Decay(
            lr=self.lr,
            steps=self.epochs * epoch_steps,
            factor=self.decay,
            every=self.decay_every,
            milestones=self.milestones,
        )
        return LearningRate(self.schedule, numbers)

    def make_optimizer(
        self,
        network: nn.Module,
        importances: Sequence[nn.Parameter] = (),
        importance_lr: float = 0.0,
        *,
        follows: bool = False,
    ) -> Optimizer:
        """The optimizer of the network's weights and, apart from them, of its importance factors, whose rate stays or
        follows the weights'."""
        return make_optimizer(
            self.optimizer,
            network,
            lr=self.lr,
            weight_decay=self.weight_decay,
            importances=importances,
            importance_lr=importance_lr,
            follows=follows,
        )

    def faults(self) -> list[str]:
        """What is out of range, a sentence each."""
        found = [
            *not_above_zero(self, "epochs", "batch_size", "lr", "decay", "decay_every"),
            *(below_zero(self, "weight_decay") if self.weight_decay is not None else ()),
            *_unknown(self),
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


def _unknown(recipe: TrainingRecipe) -> list[str]:
    """The same for those that are none of the words that they may be."""
    known = {each.name: each.metadata["one_of"] for each in fields(recipe) if "one_of" in each.metadata}
    return [
        f"{name}: expected one of {', '.join(words)}, found {getattr(recipe, name)!r}"
        + did_you_mean(str(getattr(recipe, name)), words)
        for name, words in known.items()
        if getattr(recipe, name) not in words
    ]


def refuse(faults: list[str]) -> None:
    """Raises InputError where there are faults of a recipe, all at once."""
    if faults:
        raise InputError("recipe: " + "; ".join(faults))
