"""Heads turn multi-resolution maps into gaze, one a file.

``HEADS`` maps the ``kind`` of a search space's head to classes; a new head is one file and one line here.
"""

from gazenas.models.heads.flatten import FlattenHead
from gazenas.models.heads.head import Head
from gazenas.models.heads.linear import LinearHead
from gazenas.models.heads.mrft import MRFTHead
from gazenas.models.heads.spatial_softmax import SpatialSoftmaxHead
from gazenas.models.heads.vit import ViTHead

HEADS: dict[str, type[Head]] = {
    "mrft": MRFTHead,
    "linear": LinearHead,
    "vit": ViTHead,
    "flatten": FlattenHead,
    "spatial_softmax": SpatialSoftmaxHead,
}

__all__ = ["HEADS", "Head"]
