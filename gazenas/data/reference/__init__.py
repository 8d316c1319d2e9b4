"""A small network trained on rendered faces alone, by which the sign and order of real labels can be told.

``summary.json`` is that of the run which trained it. Its error on real faces is not measured.
"""

from __future__ import annotations

from importlib.resources import as_file, files

from gazenas.models.builders import GazeModel, load_model


def reference_network() -> GazeModel:
    """The network, in eval mode; it takes 64-pixel faces."""
    with as_file(files(__name__)) as folder:
        return load_model(str(folder))
