"""Who validates a training: people held out of the data, people of another folder, or nobody."""

from __future__ import annotations

from dataclasses import replace

from gazenas.data.dataset import GazeFolder, join, plural
from gazenas.data.people import people_record
from gazenas.errors import InputError
from gazenas.tasks.task import Task

NONE = "none"  # in place of a folder: nobody validates


def train_on_everybody(folder: GazeFolder, other: GazeFolder | None, task: Task) -> GazeFolder:
    """A folder whose people of ``train`` and ``val`` are all trained on.

    Args:
        folder: its splits are left as they are.
        other: whose ``test`` people validate, or ``val`` where the labels of ``test`` are unknown; None for nobody.
        task: whose labels these people need.

    Raises:
        InputError: where those who validate have images of another size, labels in another frame or none, or are
            trained on.
    """
    train = join("train", [folder.splits[name] for name in ("train", "val") if name in folder.splits])
    splits = {name: split for name, split in folder.splits.items() if name != "val"} | {"train": train}
    who = f"all {len(train.people)} {plural(folder.group)} are trained on"
    if other is None:
        return replace(folder, splits=splits, notes=[*folder.notes, f"--validation none: {who}, nobody validates"])
    if (other.size, other.frame) != (folder.size, folder.frame):
        raise InputError(
            f"--validation: expected images of {folder.size} pixels and labels in frame {folder.frame}, as in "
            f"{folder.folder}, found {other.size} and {other.frame} in {other.folder}"
        )
    labeled = [name for name in ("test", "val") if name in other.splits and task.labels(other.splits[name]) is not None]
    if not labeled:
        raise InputError(f"--validation: expected {task.name} labels of test or val people in {other.folder}")
    val = other.splits[labeled[0]]
    known = set(people_record(replace(folder, splits={"train": train}))["names"]["train"])
    both = sorted(known & set(people_record(other)["names"][labeled[0]]))
    if both and other.fingerprint == folder.fingerprint:
        raise InputError(
            f"--validation: {len(both)} {plural(folder.group)} of {labeled[0]} of {other.folder} are trained on "
            f"({', '.join(both[:6])}): name another folder, or none"
        )
    note = (
        f"--validation: {who}; the {len(val.people)} {plural(other.group)} of {labeled[0]} of {other.folder} validate"
    )
    return replace(folder, splits=splits | {"val": replace(val, name="val")}, notes=[*folder.notes, note])
