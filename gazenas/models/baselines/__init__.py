"""Published comparators and hand-made rivals, one a file.

``BASELINES`` maps names to builders, each called with ``input_size``; a new one is one file and one line here.
``SCALABLE`` are builders that also take numbers, which their ``arch.json`` keeps as ``settings``; by name with their
widths, ``handmade@24-28-36-56``.
"""

from collections.abc import Callable, Mapping
from functools import partial

from gazenas.models.baselines.backbones import SOURCES, backbone
from gazenas.models.baselines.baseline import Baseline, BaselineSpec
from gazenas.models.baselines.binned import hopenet, hopenet_on, l2cs
from gazenas.models.baselines.ca_net import ca_net
from gazenas.models.baselines.capsules import gazecapture_capsules
from gazenas.models.baselines.dilated_net import dilated_net
from gazenas.models.baselines.full_face import full_face
from gazenas.models.baselines.gaze360 import gaze360
from gazenas.models.baselines.gazecapture import (
    gazecapture,
    gazecapture_ghost,
    gazecapture_reconstruction,
    gazecapture_shuffle,
)
from gazenas.models.baselines.gazetr import gazetr_hybrid
from gazenas.models.baselines.handmade import (
    handmade,
    handmade_mobile,
    handmade_window,
    named_handmade,
    named_mobile,
)
from gazenas.models.baselines.itracker import itracker
from gazenas.models.baselines.rt_gene import rt_gene

BASELINES: dict[str, Callable[..., Baseline]] = {
    "gazetr-hybrid": gazetr_hybrid,
    "full-face": full_face,
    "gaze360": gaze360,
    "gaze360-7": partial(gaze360, frames=7),
    "rt-gene": rt_gene,
    "dilated-net": dilated_net,
    "ca-net": ca_net,
    "itracker": itracker,
    "l2cs": l2cs,
    "hopenet": hopenet,
    "hopenet-cbam": partial(hopenet_on, "hopenet-cbam", "cbam-resnet50"),
    "hopenet-shufflenetv2": partial(hopenet_on, "hopenet-shufflenetv2", "shufflenetv2"),
    "gazecapture": gazecapture,
    "gazecapture-ghost": gazecapture_ghost,
    "gazecapture-shuffle": gazecapture_shuffle,
    "gazecapture-reconstruction": gazecapture_reconstruction,
    "gazecapture-capsules": gazecapture_capsules,
    **{name: partial(backbone, name) for name in SOURCES},
    "handmade-5m": partial(named_handmade, "handmade-5m", (16, 20, 28, 40), 64),
    "handmade-9m": partial(named_handmade, "handmade-9m", (24, 28, 36, 56), 64),
    "handmade-18m": partial(named_handmade, "handmade-18m", (32, 40, 52, 76), 64),
    "handmade-280m": partial(named_handmade, "handmade-280m", (32, 48, 48, 80, 112), 224),
    "handmade-mobile-9m": partial(named_mobile, "handmade-mobile-9m", (24, 24, 48, 96), 64),
}
SCALABLE: dict[str, Callable[..., Baseline]] = {
    "handmade": handmade,
    "handmade-mobile": handmade_mobile,
    "handmade-window": handmade_window,
}
OPTIONS: Mapping[str, tuple[str, ...]] = {  # what may follow a name behind @, as squeezenet@until=9 or squeezenet@9
    **dict.fromkeys(SOURCES, ("until", "dropout")),
    **dict.fromkeys(SCALABLE, ("channels",)),
    "handmade-window": ("channels", "activation"),
    "gazecapture-ghost": ("kernel", "ratio"),
    **dict.fromkeys(("rt-gene", "dilated-net", "ca-net", "itracker"), ("inputs",)),
}

__all__ = ["BASELINES", "OPTIONS", "SCALABLE", "SOURCES", "Baseline", "BaselineSpec"]
