"""What a network predicts, one task a file: loss, error, and what the simplest predictors reach.

``TASKS`` maps the names that ``--task`` takes to tasks; a new one is one file and one line here.
"""

from gazenas.errors import InputError, did_you_mean
from gazenas.tasks.eye_landmarks import EYE_LANDMARKS
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.head_pose import HEAD_POSE
from gazenas.tasks.screen_point import SCREEN_POINT
from gazenas.tasks.task import Task

TASKS: dict[str, Task] = {
    "gaze": GAZE,
    "head_pose": HEAD_POSE,
    "eye_landmarks": EYE_LANDMARKS,
    "screen_point": SCREEN_POINT,
}


def find_task(name: str, where: str = "--task") -> Task:
    """A task by its name.

    Raises:
        InputError: where there is none of that name.
    """
    if name not in TASKS:
        raise InputError(f"{where}: expected one of {', '.join(TASKS)}, found {name!r}{did_you_mean(name, TASKS)}")
    return TASKS[name]
