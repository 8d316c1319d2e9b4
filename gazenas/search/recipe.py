"""How a search trains, in plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gazenas.costs import COSTS
from gazenas.search.importance import IMPORTANCES
from gazenas.training.recipe import TrainingRecipe, below_zero, not_above_zero, refuse

REGULARIZERS = ("proximal", "l1")
IMPORTANCE_SCHEDULES = ("constant", "weights")
IMPORTANCE_SCALES = ("pinned", "free")
PROXIMAL = ("muon", "adamw", "adam")  # the optimizers whose metric the proximal step knows
PAPER_RECIPE = {
    "epochs": 50,
    "batch_size": 369,
    "optimizer": "adam",
    "lr": 1e-3,
    "schedule": "exp",
    "decay": 0.97,
    "decay_every": 5,
    "weight_decay": 1e-5,
    "average": 0.9999,
    "augment": "none",
    "amp": "none",
    "penalty_weight": 1e-5,
    "penalty_warm_up": 0.0,
    "cost": "paper",
    "regularizer": "l1",
    "importance": "alpha",
    "importance_lr": 1e-3,
    "importance_schedule": "weights",
    "importance_scale": "free",
    "shrink_from": 0.0,
    "shrink_until": 1.0,
    "shrink_every": 5.0,
    "start_at": 0.0,
    "keep_stream": 0.0,
    "keep_block": 0.0,
    "shrink_at_most": 1.0,
    "press": 0.75,
    "shrink_macs": 0.0,
}
RECIPES: Mapping[str, Mapping[str, Any]] = {"short": {}, "paper": PAPER_RECIPE}  # what differs from the defaults


@dataclass(frozen=True)
class SearchRecipe(TrainingRecipe):
    """How a search trains, besides what every training has.

    Attributes:
        penalty_weight: weight of the penalty with unit costs normalized by their mean; 0 for none.
        penalty_warm_up: share of the search over which lambda rises linearly.
        cost: what the penalty weighs units by.
        regularizer: how the penalty acts: proximal, a soft threshold after the optimizer's step, or l1, by gradient.
        importance: what ranks the units.
        importance_lr: largest learning rate of importance factors; 0 derives it from the planned steps.
        importance_schedule: of that rate: constant, or weights, as the weights' rate goes.
        importance_scale: pinned, where each epoch begins with the largest factor of every path at 1, the function
            unchanged; free, where factors keep what the penalty took, also of paths whose scale BatchNorm cancels.
        shrink_from: share of the search after which shrinks begin.
        shrink_until: share of the search after which the budget is met, or without one the last shrink is done.
        shrink_every: epochs between shrinks, or a part of one.
        start_at: how many times its budget the supernet takes at most, thinned alike everywhere before it is trained;
            of several budgets one, where keeping to all would undercut another; 0 for all that the space offers.
        keep_stream: share of what a stream's channels began with that stays, where the budget can be met so.
        keep_block: share of what every other unit group began with that stays, where the budget can be met so: late
            layers have hardly learned when units are ranked.
        shrink_at_most: share of a unit group that may leave at once, where the budget can be met so.
        press: share of the time between two shrinks over which the factors of the units that leave next are pressed to
            zero; 0 chooses them when they leave and removes them as they are.
        threshold: importances at or below it are removed.
        shrink_macs: without a budget, a shrink waits until so many MACs would go.
        recalibration: batches that re-estimate BatchNorm statistics after a shrink and, of an average, after an epoch.
    """

    penalty_weight: float = field(default=0.0, metadata={"flag": "lambda"})
    penalty_warm_up: float = field(default=0.25, metadata={"flag": "lambda_warm_up"})
    cost: str = field(default="macs", metadata={"one_of": COSTS})
    regularizer: str = field(default="proximal", metadata={"one_of": REGULARIZERS})
    importance: str = field(default="taylor", metadata={"one_of": IMPORTANCES})
    importance_lr: float = 0.0
    importance_schedule: str = field(default="constant", metadata={"one_of": IMPORTANCE_SCHEDULES})
    importance_scale: str = field(default="pinned", metadata={"one_of": IMPORTANCE_SCALES})
    shrink_from: float = 0.04
    shrink_until: float = 0.25
    shrink_every: float = 0.5
    start_at: float = 2.0
    keep_stream: float = 0.6
    keep_block: float = 0.25
    shrink_at_most: float = 0.5
    press: float = 0.0
    threshold: float = 1e-3
    shrink_macs: float = 1e6
    recalibration: int = 10

    def check(self) -> None:
        """Raises InputError where a value is out of range, all at once."""
        faults = [
            *self.faults(),
            *not_above_zero(self, "shrink_every", "recalibration"),
            *below_zero(self, "penalty_weight", "penalty_warm_up", "threshold", "importance_lr", "shrink_macs"),
        ]
        if not 0 <= self.shrink_from <= self.shrink_until <= 1:
            faults.append(
                f"shrink_until: expected shrink_from to 1, found {self.shrink_until}, "
                f"with shrink_from {self.shrink_from}"
            )
        if not 0 < self.shrink_at_most <= 1:
            faults.append(f"shrink_at_most: expected more than 0 and at most 1, found {self.shrink_at_most}")
        faults += [
            f"{name}: expected 0 to 1, found {getattr(self, name)}"
            for name in ("press", "keep_stream", "keep_block")
            if not 0 <= getattr(self, name) <= 1
        ]
        if self.start_at and self.start_at <= 1:
            faults.append(f"start_at: expected more than 1, or 0 for the whole space, found {self.start_at}")
        if self.penalty_weight and self.regularizer == "proximal" and self.optimizer not in PROXIMAL:
            faults.append(
                f"regularizer: expected l1 with a penalty and optimizer {self.optimizer}, found 'proximal', "
                f"which goes by the second moments that {' and '.join(PROXIMAL)} keep"
            )
        refuse(faults)
