"""A photograph or a film to faces, and to where they look."""

from collections.abc import Callable

from gazenas.faces.face import Finder
from gazenas.faces.mediapipe import far_finder, near_finder

# By name, what makes a finder of a folder of files (None: the default one) and of whether irises are wanted.
FINDERS: dict[str, Callable[..., Finder]] = {
    "mediapipe": far_finder,
    "mediapipe-near": near_finder,
}
