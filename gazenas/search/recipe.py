"""How a search trains, in plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

from gazenas.optimization import TrainingRecipe, below_zero, not_above_zero, refuse, unknown
from gazenas.search.costs import COSTS
from gazenas.search.importance import IMPORTANCES

PRESSURES = ("proximal", "l1")
PROXIMAL = ("adamw", "adam")  # the optimizers whose metric the proximal step knows
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
    "augment": "plain",
    "penalty_weight": 1e-5,
    "penalty_warm_up": 0.5,
    "pressure": "l1",
    "importance": "alpha",
    "importance_lr": 1e-3,
}


@dataclass(frozen=True)
class SearchRecipe(TrainingRecipe):
    """How a search trains; the command line's words for it are the fields' names.

    Attributes:
        penalty_weight: lambda, of the penalty with normalised unit costs; 0 for none.
        penalty_warm_up: share of the search over which lambda rises linearly.
        cost: what the penalty weighs units by.
        pressure: how the penalty acts: ``proximal``, a soft threshold after the optimizer's step, or ``l1``, by gradient.
        importance: what ranks the units, a key of ``IMPORTANCES``.
        importance_lr: learning rate of importance factors, the same throughout; 0 derives it from the planned number of steps.
        shrink_every: epochs between shrinks.
        threshold: importances at or below it are removed.
        shrink_macs: without a budget, a shrink waits until so many MACs would go.
        recalibration: batches that re-estimate BatchNorm statistics after a shrink and, of an average, after an epoch.
    """

    penalty_weight: float = 0.0
    penalty_warm_up: float = 0.25
    cost: str = "macs"
    pressure: str = "proximal"
    importance: str = "taylor"
    importance_lr: float = 0.0
    shrink_every: int = 1
    threshold: float = 1e-3
    shrink_macs: float = 1e6
    recalibration: int = 10

    def check(self) -> None:
        """Raises InputError where a value is out of range, all at once."""
        faults = [
            *self.faults(),
            *not_above_zero(self, "shrink_every", "recalibration"),
            *below_zero(self, "penalty_weight", "penalty_warm_up", "threshold", "importance_lr", "shrink_macs"),
            *unknown(self, {"cost": COSTS, "pressure": PRESSURES, "importance": IMPORTANCES}),
        ]
        if self.penalty_weight and self.pressure == "proximal" and self.optimizer not in PROXIMAL:
            faults.append(
                f"pressure: expected l1 with a penalty and optimizer {self.optimizer}, found 'proximal', which goes by the second "
                f"moments that {' and '.join(PROXIMAL)} keep"
            )
        refuse(faults)
