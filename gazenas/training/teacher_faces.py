"""More faces to train on, which nobody labeled: a teacher's answers are taken for the truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gazenas.data.dataset import GazeFolder, join
from gazenas.data.people import merged, people_record
from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError
from gazenas.tasks.gaze import GAZE
from gazenas.training.distillation import Teacher
from gazenas.training.job import Job
from gazenas.training.loop import predict_split


def add_teacher_faces(job: Job, teacher: Teacher, place: str) -> None:
    """The people of another folder join the job's training people, with the teacher's answers as their gaze.

    What labels they have is not looked at; ``data check`` and the rest of the run see the job's own data only.

    Args:
        job: whose ``folder`` is replaced by one with more training images.
        teacher: of gaze; whoever is tested on the student later is told of these people as well.
        place: a data folder in any known layout; all its splits are taken.

    Raises:
        InputError: where the images have another size, or the folder holds the very people of the job's data.
    """
    if teacher.network.task is not GAZE:
        raise InputError(f"--teacher-faces: expected a teacher of gaze, found one of {teacher.network.task.name}")
    more = open_data(Path(place), Reading(needs=()))
    more.expect_size(teacher.network.input_size, f"--teacher {teacher.model}")
    if more.fingerprint == job.folder.fingerprint:
        raise InputError(
            f"--teacher-faces: {more.folder} holds the people of --data, of whom some are validated and tested: "
            "expected other people"
        )
    faces = join("train", list(more.splits.values()))
    answers = predict_split(teacher.network, faces, device=job.device, workers=job.workers)
    faces = replace(
        faces,
        people=[f"{more.folder.name}/{person}" for person in faces.people],
        gaze=job.world.take(answers),
    )
    own = job.folder.split("train")
    note = f"{len(faces):,} images of {len(faces.people)} people of {more.folder} have the answers of {teacher.model}"
    job.folder = replace(
        job.folder,
        splits=job.folder.splits | {"train": join("train", [own, faces])},
        notes=[*job.folder.notes, note],
        parts=job.folder.parts,
    )
    teacher.people = merged(teacher.people, {more.fingerprint: _everybody(more)})


def _everybody(folder: GazeFolder) -> list[str]:
    return sorted({person for names in people_record(folder)["names"].values() for person in names})
