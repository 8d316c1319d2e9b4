"""What training verbs take besides their recipes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt, PositiveFloat

from gazenas.commands._common import add_device_arguments, add_split_seed
from gazenas.costs import Quantity, budgets, tables
from gazenas.errors import InputError
from gazenas.models.pretrained import load_pretrained
from gazenas.models.zoo import GazeModel
from gazenas.search.targets import Targets
from gazenas.training.distillation import DISTILLATIONS, Teacher, load_teacher
from gazenas.training.job import Job
from gazenas.training.teacher_faces import add_teacher_faces


def add_training_arguments(parser: ArgumentParser) -> None:
    """What every training verb takes besides its recipe."""
    parser.add_argument("--data", type=str, required=True, help="data folder in ETH-XGaze's layout")
    parser.add_argument("--out", type=str, required=True, help="run folder to write")
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="of everything drawn but people")
    add_split_seed(parser)
    add_device_arguments(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in --out; from the beginning where nothing was saved yet",
    )
    parser.add_argument("--overwrite", action="store_true", help="remove the run in --out and start again")
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="print the resolved recipe, sizes, memory and hours; train nothing",
    )


def add_pretrained_argument(parser: ArgumentParser) -> None:
    """A file of somebody else's weights, for whoever has one."""
    parser.add_argument(
        "--pretrained",
        type=str,
        default="",
        metavar="FILE",
        help="weights of others, such as ImageNet's, as safetensors or saved by torch: those that fit by name and "
        "shape are laid under fresh ones; the summary says which file and how many",
    )


def begin_with(network: GazeModel, arguments: Namespace) -> dict[str, Any]:
    """Lays the weights of ``--pretrained`` under a network; what the summary says of it, nothing without it.

    Raises:
        InputError: where the file does not fit, or ``--weights`` is given as well.
    """
    if not arguments.pretrained:
        return {}
    if arguments.weights:
        raise InputError("--pretrained: expected no --weights, which leave nothing fresh, found both")
    return {"pretrained": load_pretrained(network, Path(arguments.pretrained)).record()}


def add_validation_argument(parser: ArgumentParser) -> None:
    """Who validates, for people who want to train on everybody."""
    parser.add_argument(
        "--validation",
        type=str,
        default="",
        metavar="DIR",
        help="data folder whose test people (val where those carry no labels) validate, or none for nobody: all people "
        "of train and val of --data are then trained on; without it val of --data, or a tenth that is drawn, validates",
    )


def add_trial_arguments(parser: ArgumentParser) -> None:
    """For people with much data or little time."""
    parser.add_argument(
        "--hours",
        type=NonNegativeFloat,
        default=0.0,
        help="that the whole run may take: --epochs is then what fits, by the first steps as they are timed; 0 goes by "
        "--epochs",
    )
    parser.add_argument(
        "--fraction",
        type=PositiveFloat,
        default=1.0,
        help="part of the training images to train on, such as 0.05 for a trial, the same part of each person's, drawn "
        "by --seed",
    )


def add_budget_arguments(parser: ArgumentParser, about: Callable[[Quantity], str]) -> None:
    """A ``--target-WORD`` for every quantity that a budget can be of, and a ``--NAME-table`` where it needs one.

    Args:
        parser: of the verb.
        about: what a budget's help says.
    """
    for word, quantity in budgets().items():
        parser.add_argument(f"--target_{word}", type=str, default="", help=about(quantity))
    for name, table in tables().items():
        parser.add_argument(f"--{name}_table", type=str, default="", help=table.help)


def targets_of(arguments: Namespace, family: tuple[str, ...] = ()) -> Targets:
    """The budgets that :func:`add_budget_arguments` and ``--channel-multiple`` gave."""
    return Targets(
        {word: arguments[f"target_{word}"] for word in budgets()},
        family=family,
        tables={name: arguments[f"{name}_table"] for name in tables()},
        channel_multiple=arguments.channel_multiple,
    )


def add_following_arguments(parser: ArgumentParser) -> None:
    """How a run can be followed, besides on the terminal."""
    parser.add_argument(
        "--tensorboard", action="store_true", help="write curves for TensorBoard into tensorboard/ of the run folder"
    )
    parser.add_argument(
        "--log_json",
        type=str,
        default="",
        metavar="FILE",
        help="write one JSON object a line and epoch or event, for machines; - for standard output, and what people "
        "read then goes to standard error",
    )


def add_teacher_arguments(parser: ArgumentParser) -> None:
    """What a training verb may learn from besides true gaze."""
    parser.add_argument(
        "--teacher",
        type=str,
        default="",
        help="run folder or shipped name of a trained network whose answers are learned as well; none without it",
    )
    parser.add_argument(
        "--distillation",
        type=str,
        default="bounded",
        metavar=f"{{{','.join(DISTILLATIONS)}}}",
        help="which of the teacher's answers count: plain, all; bounded, where it is nearer to the truth than the "
        "student; weighted, the less the further it is from the truth; trimmed, all but the tenth of a batch on which "
        "it is worst",
    )
    parser.add_argument(
        "--distill_weight",
        type=NonNegativeFloat,
        default=0.5,
        help="share of the teacher's term in the loss, 0 to 1",
    )
    parser.add_argument(
        "--teacher_faces",
        type=str,
        default="",
        metavar="DIR",
        help="data folder of more faces to train on, whose labels are not looked at: the teacher's answers are taken "
        "for the truth; 'gazenas synth' renders as many as are wanted",
    )


def teacher_of(arguments: Namespace, job: Job) -> Teacher | None:
    """The teacher that was asked for, if one was; faces that it answers have joined the job's."""
    teacher = load_teacher(
        arguments.teacher, job, distillation=arguments.distillation, weight=float(arguments.distill_weight)
    )
    if arguments.teacher_faces:
        if teacher is None:
            raise InputError("--teacher-faces: expected --teacher, whose answers these faces get, found none")
        add_teacher_faces(job, teacher, arguments.teacher_faces)
    return teacher
