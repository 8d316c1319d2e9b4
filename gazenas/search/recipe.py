"""How a search trains, in plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

from gazenas.architecture import InputError
from gazenas.search.costs import COSTS
from gazenas.search.importance import IMPORTANCES

PRESSURES = ("proximal", "l1")
PAPER_RECIPE = {
    "epochs": 50,
    "batch_size": 369,
    "lr": 1e-3,
    "decay": 0.97,
    "decay_every": 5,
    "penalty_weight": 1e-5,
    "penalty_warm_up": 0.5,
    "pressure": "l1",
    "importance": "alpha",
    "importance_lr": 1e-3,
}


@dataclass(frozen=True)
class SearchRecipe:
    """How a search trains; the command line's words for it are the fields' names.

    Attributes:
        epochs: passes over the training people.
        batch_size: images a step, all processes together.
        lr: Adam's step size for weights.
        decay, decay_every: ``lr`` is multiplied by ``decay`` every ``decay_every`` epochs.
        weight_decay: of weights; importance factors have none.
        average: limit of the weight average's decay.
        penalty_weight: lambda, of the penalty with normalised unit costs.
        penalty_warm_up: share of the search over which lambda rises linearly.
        cost: what the penalty weighs units by.
        pressure: how the penalty acts: ``proximal``, a soft threshold after the optimizer's step, or ``l1``, by gradient.
        importance: what ranks the units, a key of ``IMPORTANCES``.
        importance_lr: step size of importance factors; 0 derives it from the planned number of steps.
        shrink_every: epochs between shrinks.
        threshold: importances at or below it are removed.
        shrink_macs: without a budget, a shrink waits until so many MACs would go.
        recalibration: batches that re-estimate BatchNorm statistics after a shrink and, of the average, after an epoch.
    """

    epochs: int = 12
    batch_size: int = 64
    lr: float = 2e-3
    decay: float = 0.97
    decay_every: int = 1
    weight_decay: float = 1e-5
    average: float = 0.9999
    penalty_weight: float = 3e-4
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
            f"{name}: expected more than 0, found {getattr(self, name)}"
            for name in ("epochs", "batch_size", "lr", "decay", "decay_every", "shrink_every", "recalibration")
            if not getattr(self, name) > 0
        ]
        faults += [
            f"{name}: expected at least 0, found {getattr(self, name)}"
            for name in (
                "weight_decay",
                "penalty_weight",
                "penalty_warm_up",
                "threshold",
                "importance_lr",
                "shrink_macs",
            )
            if not getattr(self, name) >= 0
        ]
        faults += [
            f"{name}: expected one of {', '.join(choices)}, found {getattr(self, name)!r}"
            for name, choices in (("cost", COSTS), ("pressure", PRESSURES), ("importance", IMPORTANCES))
            if getattr(self, name) not in choices
        ]
        if not 0 <= self.average < 1:
            faults.append(f"average: expected at least 0 and less than 1, found {self.average}")
        if faults:
            raise InputError("recipe: " + "; ".join(faults))
