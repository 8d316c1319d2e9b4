"""``gazenas prune``: weights, channels or layers of a trained network leave, and what is left trains on."""

from __future__ import annotations

from typing import Any

from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt

from gazenas.commands._arguments import (
    add_budget_arguments,
    add_following_arguments,
    add_teacher_arguments,
    add_training_arguments,
    targets_of,
    teacher_of,
)
from gazenas.commands._common import make_parser
from gazenas.commands._recipes import add_recipe, recipe_of
from gazenas.commands._training import TrainingVerb, run_training
from gazenas.compression.channels import CHANNEL_SCORES, SUBNET_SCORES
from gazenas.compression.pruning import PRUNINGS, PruneRecipe, PruneTarget, Pruning
from gazenas.compression.weights import SCOPES
from gazenas.counting import count_macs, count_params
from gazenas.data.people import check_unseen, trained_people
from gazenas.models.zoo import load_model
from gazenas.report.curves import draw_finetuning
from gazenas.training.job import Job
from gazenas.training.run_folder import RunFolder

ADVICE = "draw people as that run did (--split-seed), or give --allow-seen-people, and the result says so"


def run(argv: list[str]) -> None:
    """Runs the verb."""
    run_pruning(parse_pruning(argv))


def run_pruning(arguments: Namespace) -> None:
    """Prunes with parsed arguments, of :func:`parse_pruning`."""
    recipe, target = recipe_of(arguments, PruneRecipe), _target(arguments)
    network = load_model(arguments.model)

    def begin(job: Job) -> Pruning:
        seen = check_unseen(
            arguments.model, job.folder, ("val", "test"), advice=ADVICE, allow=bool(arguments.allow_seen_people)
        )
        if seen:
            job.folder.notes.append(f"{arguments.model} was trained on people of val or test: {', '.join(seen)}")
        return Pruning(recipe, network, arguments.kind, target, job, teacher=teacher_of(arguments, job))

    verb = TrainingVerb(
        "prune",
        begin=begin,
        sizes=_sizes,
        draw=_draw,
        task=network.task,
        extra={"began_with": trained_people(arguments.model)},
    )
    run_training(verb, arguments)


def parse_pruning(argv: list[str]) -> Namespace:
    """The verb's arguments."""
    parser = make_parser(
        "prune",
        "Makes a trained network smaller and trains what is left; of the epochs after the last round the one that "
        "validates best is kept. The result is an ordinary network in a run folder.",
    )
    parser.add_argument("model", type=str, help="run folder, arch.json with weights beside it, or shipped name")
    parser.add_argument(
        "--kind",
        type=str,
        required=True,
        metavar=f"{{{','.join(PRUNINGS)}}}",
        help="what leaves: weights, single numbers that become zero, which a coded file alone gains by; channels, "
        "removed together with everything that is coupled to them; layers, all behind one",
    )
    add_budget_arguments(
        parser, lambda quantity: f"channels: {quantity.unit} that are left, or a percentage of the network's"
    )
    parser.add_argument(
        "--channel_multiple",
        type=NonNegativeInt,
        default=0,
        help="channels: the number that leaves together, such as 8, since a runtime computes as many at once; 0 for "
        "the search space's, and 1 of a comparator",
    )
    parser.add_argument(
        "--importance",
        type=str,
        default="taylor",
        help=f"channels: what ranks them, of {', '.join(SUBNET_SCORES)} for networks of gazenas, of "
        f"{', '.join(CHANNEL_SCORES)} for comparators",
    )
    parser.add_argument("--amount", type=NonNegativeFloat, default=0.0, help="weights: the share that becomes zero")
    parser.add_argument(
        "--threshold", type=NonNegativeFloat, default=0.0, help="weights: absolute value at or below which they do"
    )
    parser.add_argument(
        "--scope",
        type=str,
        default="global",
        metavar=f"{{{','.join(SCOPES)}}}",
        help="weights: global compares absolute values of all layers, layer takes the same share of each, lamp "
        "compares squares over what their layer would have left",
    )
    parser.add_argument("--until", type=str, default="", help="layers: the last one, such as 9 of squeezenet")
    parser.add_argument(
        "--allow_seen_people",
        "--allow-seen-people",
        action="store_true",
        help="validate and test on people that the network was trained on as well; the output says so",
    )
    add_training_arguments(parser)
    add_following_arguments(parser)
    add_teacher_arguments(parser)
    add_recipe(parser, PruneRecipe)
    arguments: Namespace = parser.parse_args(argv)
    return arguments


def _target(arguments: Namespace) -> PruneTarget:
    return PruneTarget(
        amount=float(arguments.amount),
        threshold=float(arguments.threshold),
        scope=arguments.scope,
        targets=targets_of(arguments),
        importance=arguments.importance,
        until=arguments.until,
    )


def _draw(pruning: Pruning, run: RunFolder) -> None:
    if pruning.clock.rows:
        draw_finetuning(pruning.clock.rows, pruning.best_epoch(), run.plot_path("prune"), pruning.task)


def _sizes(pruning: Pruning) -> dict[str, str]:
    before: dict[str, Any] = pruning.before
    network = pruning.network
    macs = count_macs(network, network.input_size)
    return {
        "before": f"{before['macs'] / 1e6:.2f} M MACs, {before['params']:,} parameters",
        "asked": pruning.way.story(),
        "network": f"{macs / 1e6:.2f} M MACs, {count_params(network):,} parameters",
    }
