"""Optimizers and learning rates: against torch's schedulers and the formulas, gone on with in the middle, through a
shrink."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from gazenas.errors import InputError
from gazenas.models.network import Network
from gazenas.search.recipe import PAPER_RECIPE, SearchRecipe
from gazenas.search.regularization import proximal_step
from gazenas.search.shrinking import shrink
from gazenas.training.checkpoint import load_checkpoint, save_checkpoint
from gazenas.training.finetuning import PAPER_RECIPE as FINETUNE_PAPER
from gazenas.training.finetuning import FinetuneRecipe
from gazenas.training.optimizers import OPTIMIZERS
from gazenas.training.recipe import TrainingRecipe
from gazenas.training.schedules import SCHEDULES, WARM_UP_STEPS

EPOCHS, STEPS = 6, 20  # a run of 120 steps: longer than the rise
ERRORS = [9.0, 8.0, 8.5, 8.0, 8.2, 7.0]  # the third and the fourth epoch are not better than the second
MILESTONES = (2, 4)


def recipe_of(schedule: str, **more: float) -> TrainingRecipe:
    return TrainingRecipe(
        epochs=EPOCHS,
        lr=0.01,
        schedule=schedule,
        decay=0.5,
        decay_every=2,
        milestones=MILESTONES,
        **more,  # type: ignore[arg-type]
    )


def one_number() -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.0)


def rates(recipe: TrainingRecipe, leave_at: int = -1) -> Iterator[float]:
    """The optimizer's rate at each step of a run, which goes on from a saved state before step ``leave_at``."""
    rate, optimizer = recipe.learning_rate(STEPS), one_number()
    for step in range(EPOCHS * STEPS):
        if step == leave_at:
            state, rate = rate.state(), recipe.learning_rate(STEPS)
            rate.load_state(state)
            optimizer = one_number()
        if step % STEPS == 0 or step == leave_at:
            rate.apply(optimizer)
        yield optimizer.param_groups[0]["lr"]
        rate.after_step(optimizer)
        if (step + 1) % STEPS == 0:
            rate.after_epoch(optimizer, ERRORS[step // STEPS])


def torchs(schedule: str) -> Iterator[float]:
    """The same of torch's scheduler over a plain loop."""
    total, optimizer = EPOCHS * STEPS, torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.01)
    scheduler: torch.optim.lr_scheduler.LRScheduler = (
        torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=total, pct_start=0.1, cycle_momentum=False)
        if schedule == "onecycle"
        else torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    )
    for _ in range(total):
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()


def by_formula(schedule: str) -> Iterator[float]:
    epochs = {
        "exp": [1, 1, 0.5, 0.5, 0.25, 0.25],
        "steps": [1, 1, 0.5, 0.5, 0.25, 0.25],
        "plateau": [1, 1, 1, 1, 0.5, 0.5],
    }[schedule]
    return (0.01 * factor for factor in epochs for _ in range(STEPS))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_rate_is_torchs_at_every_step(schedule: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(rates(recipe_of(schedule)))
    expected = list(torchs(schedule) if schedule in ("onecycle", "cosine") else by_formula(schedule))
    if schedule != "onecycle":
        expected = [rate * min(1, (step + 1) / WARM_UP_STEPS) for step, rate in enumerate(expected)]
    assert found == pytest.approx(expected, rel=1e-9)
    assert len(set(expected)) > 2


def test_one_cycle_is_its_formula() -> None:
    """A rise over a tenth of the steps from 1/25, a fall to 1/25 of 1/10000, both half a cosine."""
    last, top = EPOCHS * STEPS - 1, 0.1 * EPOCHS * STEPS - 1
    for step, rate in enumerate(rates(recipe_of("onecycle"))):
        low, share = (1 / 25, 1 - step / top) if step <= top else (1 / 25e4, (step - top) / (last - top))
        assert rate == pytest.approx(0.01 * (low + (1 - low) * (1 + math.cos(math.pi * share)) / 2), rel=1e-6)


@pytest.mark.parametrize("steps", range(1, 25))
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_short_runs_have_finite_positive_rates(schedule: str, steps: int) -> None:
    rate, optimizer = TrainingRecipe(epochs=1, schedule=schedule, milestones=(1,)).learning_rate(steps), one_number()
    rate.apply(optimizer)
    for _ in range(steps):
        assert 0 < optimizer.param_groups[0]["lr"] <= TrainingRecipe.lr
        rate.after_step(optimizer)
    rate.after_epoch(optimizer, 1.0)


@pytest.mark.parametrize("leave_at", [0, 7, 60, 80, 119])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_run_goes_on_exactly(schedule: str, leave_at: int, tmp_path: Path) -> None:
    assert list(rates(recipe_of(schedule), leave_at)) == list(rates(recipe_of(schedule)))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_checkpoints_hold_it(schedule: str, tmp_path: Path) -> None:
    rate, optimizer = recipe_of(schedule).learning_rate(STEPS), one_number()
    for _ in range(3):
        rate.after_step(optimizer)
    rate.after_epoch(optimizer, 1.0)
    save_checkpoint(tmp_path, {"rate": rate.state()})
    state, _ = load_checkpoint(tmp_path)
    assert state is not None
    assert state["rate"] == rate.state()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_a_number_weights_decay_more_where_that_is_apart_from_the_gradient(name: str) -> None:
    """Adam and its kin scale the gradient with the decay in it to whole steps."""
    layer = torch.nn.Linear(3, 3)
    optimizer = TrainingRecipe(optimizer=name, lr=0.01).make_optimizer(layer)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.05 if name in ("muon", "adamw") else 1e-5}
    given = TrainingRecipe(optimizer=name, weight_decay=0.0).make_optimizer(layer)
    assert {group["weight_decay"] for group in given.param_groups} == {0.0}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_factors_keep_their_rate_and_never_decay(name: str, micro_net: Network) -> None:
    """Also through a shrink, which replaces parameters."""
    recipe = TrainingRecipe(epochs=2, optimizer=name, weight_decay=0.1, lr=0.01)
    optimizer, rate = recipe.make_optimizer(micro_net, micro_net.importances(), 0.005), recipe.learning_rate(4)
    for step in range(8):
        rate.apply(optimizer)
        matrices, weights, factors = optimizer.param_groups
        assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.1, 0.0]
        assert factors["lr"] == 0.005
        assert {id(p) for p in factors["params"]} == {id(alpha) for alpha in micro_net.importances()}
        optimizer.zero_grad()
        micro_net.train()(torch.randn(2, 3, 32, 32)).abs().sum().backward()
        optimizer.step()
        rate.after_step(optimizer)
        if step == 3:
            with torch.no_grad():
                micro_net.importances()[0][0] = 0.0
            assert shrink(micro_net, 0.0, optimizer=optimizer).units == 1
    assert weights["lr"] == matrices["lr"] == pytest.approx(0.01 / 25e4, rel=1e-6)


def test_factors_may_follow_the_weights_rate(micro_net: Network) -> None:
    recipe = TrainingRecipe(epochs=2, optimizer="adam", schedule="exp", decay=0.5, lr=0.01)
    optimizer, rate = (
        recipe.make_optimizer(micro_net, micro_net.importances(), 0.02, follows=True),
        recipe.learning_rate(4),
    )
    seen = []
    for _ in range(3):
        for _ in range(WARM_UP_STEPS):
            rate.after_step(optimizer)
        seen.append([group["lr"] for group in optimizer.param_groups])
        rate.after_epoch(optimizer, 1.0)
    assert seen == [pytest.approx([0.01 * fall, 0.01 * fall, 0.02 * fall]) for fall in (1, 0.5, 0.25)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_decay_is_decoupled_only_with_adamw(name: str) -> None:
    """Where the gradient is 0, AdamW, and Muon for what is no matrix, take lr x decay of a weight; the others make
    the decay a gradient."""
    layer = nn.Linear(1, 1, bias=False)
    before = float(layer.weight.detach())
    optimizer = TrainingRecipe(optimizer=name, weight_decay=0.1, lr=0.01).make_optimizer(layer)
    layer.weight.grad = torch.zeros_like(layer.weight)
    optimizer.step()
    change, slope = float(layer.weight.detach()) - before, 0.1 * before
    # First steps: Adam moves by lr whatever the size, RMSprop by lr / sqrt(1 - 0.99), SGD with Nesterov's momentum by
    # 1.9 x lr x slope.
    sign = math.copysign(0.01, -before)
    expected = {
        "muon": -0.01 * slope,
        "adamw": -0.01 * slope,
        "adam": sign,
        "rmsprop": 10 * sign,
        "sgd": -1.9 * 0.01 * slope,
    }
    assert change == pytest.approx(expected[name], rel=1e-3)


def test_the_proximal_step_is_the_same_under_adamw() -> None:
    found = []
    for kind in (torch.optim.Adam, torch.optim.AdamW):
        alpha = torch.tensor([1.0, 0.02, -0.5])
        optimizer = kind([alpha], lr=0.01, weight_decay=0.0)
        for _ in range(3):
            alpha.grad = torch.tensor([0.1, -0.2, 0.3])
            optimizer.step()
            proximal_step([alpha], [torch.ones(3)], 0.1, optimizer)
        found.append(alpha)
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("fault", "more"),
    [
        ("optimizer: expected one of muon, adamw, adam, rmsprop, sgd, found 'lion'", {"optimizer": "lion"}),
        ("schedule: expected one of onecycle, cosine, exp, plateau, steps, found 'fast'", {"schedule": "fast"}),
        ("augment: expected one of none, plain, strong, real, found 'wild'", {"augment": "wild"}),
        ("milestones: expected at least one epoch", {"schedule": "steps"}),
        ("average: expected at least 0 and less than 1, found 1.0", {"average": 1.0}),
        ("lr: expected more than 0, found nan", {"lr": float("nan")}),
        ("weight_decay: expected at least 0, found -1", {"weight_decay": -1.0}),
        ("epochs: expected more than 0, found 0", {"epochs": 0}),
    ],
)
@pytest.mark.parametrize("kind", [SearchRecipe, FinetuneRecipe])
def test_what_is_out_of_range_is_refused(
    kind: type[SearchRecipe] | type[FinetuneRecipe], fault: str, more: dict[str, object]
) -> None:
    with pytest.raises(InputError) as refused:
        kind(**more).check()  # type: ignore[arg-type]
    assert fault in str(refused.value)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_proximal_penalty_wants_adams_moments(optimizer: str) -> None:
    SearchRecipe(optimizer=optimizer).check()
    SearchRecipe(optimizer=optimizer, penalty_weight=1e-4, regularizer="l1").check()
    pressed = SearchRecipe(optimizer=optimizer, penalty_weight=1e-4)
    if optimizer in ("muon", "adam", "adamw"):
        pressed.check()
    else:
        with pytest.raises(InputError, match=f"regularizer: expected l1 with a penalty and optimizer {optimizer}"):
            pressed.check()


def test_the_papers_recipes_leave_nothing_of_training_to_defaults() -> None:
    """But for what their schedule does not use."""
    shared = set(TrainingRecipe.__dataclass_fields__) - {"milestones"}
    assert shared <= set(PAPER_RECIPE)
    assert shared <= set(FINETUNE_PAPER)
    SearchRecipe(**PAPER_RECIPE).check()  # type: ignore[arg-type]
    FinetuneRecipe(**FINETUNE_PAPER).check()  # type: ignore[arg-type]
