"""Distillation: a student also learns from a trained network's answers, which may be wrong.

The task's loss measures both terms, so that they have one unit and the weight means a share. What the kinds differ in
is how much each row's teacher counts, by the errors of student and teacher on that row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from gazenas.data.loader import Batch
from gazenas.data.people import People, check_unseen, trained_people
from gazenas.errors import InputError
from gazenas.models.weights import weights_hash
from gazenas.models.zoo import GazeModel, load_model
from gazenas.training.job import Job
from gazenas.training.loop import Losses

TRUSTED = 0.9  # of a batch, by the teacher's own error, where outliers are rejected
ADVICE = (
    "a teacher tells the student what it knows of them: draw people as its run did (--split-seed), or take another "
    "teacher"
)


def plain_share(student: Tensor, teacher: Tensor) -> Tensor:
    """Every answer counts alike (Hinton et al., 2015, without a temperature, which numbers have no use for)."""
    return torch.ones_like(teacher)


def bounded_share(student: Tensor, teacher: Tensor) -> Tensor:
    """An answer counts where the student is further from the truth than the teacher.

    The bound is that of Chen et al. (NeurIPS 2017), who then pull to the truth; here the pull is to the teacher's
    answer, since the other term pulls to the truth already.
    """
    return (student > teacher).to(teacher.dtype)


def weighted_share(student: Tensor, teacher: Tensor) -> Tensor:
    """An answer counts the less the further it is from the truth, the worst of a batch not at all (the attentive
    imitation loss of Saputra et al., ICCV 2019)."""
    return 1 - teacher / teacher.max().clamp_min(torch.finfo(teacher.dtype).tiny)


def trimmed_share(student: Tensor, teacher: Tensor) -> Tensor:
    """The tenth of a batch on which the teacher is worst is rejected, the rest counts alike (outlier rejection, after
    Takamoto et al., 2020)."""
    return (teacher <= torch.quantile(teacher, TRUSTED)).to(teacher.dtype)


# By name: (N,) shares between 0 and 1 from each row's loss of the student and of the teacher, both (N,).
DISTILLATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "plain": plain_share,
    "bounded": bounded_share,
    "weighted": weighted_share,
    "trimmed": trimmed_share,
}


class Teacher:
    """A trained network that a student learns from.

    Args:
        network: frozen here, and kept in eval mode.
        model: the name or path that it came from, for records.
        distillation: a key of ``DISTILLATIONS``.
        weight: share of the teacher's term, from 0 to 1; the loss against the truth has the rest.
        people: whom it was trained on, by the fingerprint of their data set; empty where nothing says.

    Raises:
        InputError: where the kind is unknown or the weight out of range.
    """

    def __init__(
        self, network: GazeModel, model: str, *, distillation: str, weight: float, people: People | None = None
    ) -> None:
        if distillation not in DISTILLATIONS:
            raise InputError(f"--distillation: expected one of {', '.join(DISTILLATIONS)}, found {distillation!r}")
        if not 0 <= weight <= 1:
            raise InputError(f"--distill-weight: expected 0 to 1, found {weight}")
        self.network = network.requires_grad_(False).eval()
        self.model, self.distillation, self.weight = model, distillation, weight
        self.people: People = people or {}
        self.hash = weights_hash(network)

    def check_student(self, student: GazeModel) -> None:
        """Raises InputError where the student is of another task or takes images of another size."""
        if student.task is not self.network.task:
            raise InputError(
                f"--teacher: {self.model} is of the task {self.network.task.name}, the student of "
                f"{student.task.name}: expected a teacher of the same task"
            )
        if student.input_size != self.network.input_size:
            raise InputError(
                f"--teacher: {self.model} takes images of {self.network.input_size} pixels, the student of "
                f"{student.input_size}: expected one size; choose another teacher, or train one at {student.input_size}"
            )

        if set(student.inputs) != set(self.network.inputs):
            named = [" and ".join(network.inputs) or "nothing" for network in (self.network, student)]
            raise InputError(
                f"--teacher: {self.model} takes {named[0]} besides images, the student {named[1]}: expected the same"
            )

    def mix(self, losses: Losses, output: Any, batch: Batch, loss: Callable[[Tensor, Tensor], Tensor]) -> Losses:
        """The parts of a student's loss, scaled to make room, and the teacher's term as ``teacher``.

        Args:
            losses: against the truth.
            output: the student's in training mode, ``(N, outputs)``, or a tuple that begins with that.
            batch: what was answered.
            loss: the task's, a scalar from predictions and true values.

        Raises:
            InputError: where the teacher answers another question.
        """
        prediction = (output[0] if isinstance(output, tuple) else output).float()
        with torch.no_grad():
            answers: Tensor = self.network(batch.images, **batch.more).float()
        if answers.shape != prediction.shape:
            raise InputError(
                f"--teacher: {self.model} answers {tuple(answers.shape[1:])} numbers an image, the student "
                f"{tuple(prediction.shape[1:])}: expected a teacher of the same task"
            )
        by_row = torch.vmap(loss)
        with torch.no_grad():
            errors = [by_row(each[:, None], batch.labels[:, None]) for each in (prediction, answers)]
            shares = DISTILLATIONS[self.distillation](*errors)
        apart = by_row(prediction[:, None], answers[:, None])
        kept = {name: (1 - self.weight) * part for name, part in losses.items()}
        return kept | {"teacher": self.weight * (shares * apart).mean()}

    def record(self) -> Mapping[str, Any]:
        """For ``summary.json``: which network, and how it taught."""
        return {
            "model": self.model,
            "weights": self.hash,
            "fingerprint": self.network.architecture().fingerprint(),
            "distillation": self.distillation,
            "weight": self.weight,
        }


def load_teacher(model: str, job: Job, *, distillation: str, weight: float) -> Teacher | None:
    """The teacher of a run; None for an empty name.

    Args:
        model: what ``gazenas.models.zoo.load_model`` takes.
        job: the student's; a teacher of unknown training people is noted there.
        distillation, weight: as in :class:`Teacher`.

    Raises:
        InputError: where there is no such network, or it was trained on people of this run's val or test.
    """
    if not model:
        return None
    network = load_model(model)
    if check_unseen(model, job.folder, ("val", "test"), advice=ADVICE) is None:
        job.folder.notes.append(f"teacher {model}: nothing says whom it was trained on")
    placed = network.to(job.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Teacher(placed, model, distillation=distillation, weight=weight, people=trained_people(model))
