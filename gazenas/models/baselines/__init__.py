"""Published comparators, one a file.

``BASELINES`` maps names to builders, each called with ``input_size``; a new one is one file and one line here.
"""

from collections.abc import Callable
from functools import partial

from gazenas.models.baselines.backbones import SOURCES, backbone
from gazenas.models.baselines.baseline import Baseline, BaselineSpec
from gazenas.models.baselines.binned import hopenet, l2cs
from gazenas.models.baselines.full_face import full_face
from gazenas.models.baselines.gaze360 import gaze360
from gazenas.models.baselines.gazecapture import (
    gazecapture,
    gazecapture_ghost,
    gazecapture_reconstruction,
    gazecapture_shuffle,
)
from gazenas.models.baselines.gazetr import gazetr_hybrid

BASELINES: dict[str, Callable[..., Baseline]] = {
    "gazetr-hybrid": gazetr_hybrid,
    "full-face": full_face,
    "gaze360": gaze360,
    "gaze360-7": partial(gaze360, frames=7),
    "l2cs": l2cs,
    "hopenet": hopenet,
    "gazecapture": gazecapture,
    "gazecapture-ghost": gazecapture_ghost,
    "gazecapture-shuffle": gazecapture_shuffle,
    "gazecapture-reconstruction": gazecapture_reconstruction,
    **{name: partial(backbone, name) for name in SOURCES},
}

__all__ = ["BASELINES", "Baseline", "BaselineSpec"]
