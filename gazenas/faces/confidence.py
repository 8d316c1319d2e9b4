"""How sure an answer is: by how far it moves with its patch.

Landmarks are off by some hundredths of a face, so that a patch is never quite where it should be. A network that is
asked about the patch, and about its mirror image a little beside itself, and says nearly the same, has seen what it
knows; one whose answers disagree has not, or was shown a face that was placed badly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gazenas.data.arrays import Floats
from gazenas.faces.averaging import MIRRORED, SHIFT, moved_by, shift_of
from gazenas.faces.estimators import Estimator
from gazenas.gaze import angular_error

PROBES = ((1, -1), (-1, 1))  # SHIFTs down and to the right by which the mirrored patch is moved
HALF = 3.0  # degrees of disagreement at which confidence is a half
MEANING = (
    f"{HALF:g} / ({HALF:g} + d), d the mean angle in degrees between the answer and those about the mirrored patch "
    f"moved by {SHIFT:.0%} of its side, {len(PROBES)} ways"
)


def ask_with_confidence(estimator: Estimator, patches: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """``(N, 2)`` angles in radians, and ``(N,)`` confidence, above 0 and at most 1, as ``MEANING`` says.

    It takes three times the network's time. What an answer without numbers is worth is no number, either.

    Args:
        estimator: that is asked, about everything at once.
        patches: ``(N, S, S, 3)`` RGB.
    """
    shift = shift_of(patches)
    moved = [moved_by(patches[:, :, ::-1], shift * down, shift * right) for down, right in PROBES]
    answers = estimator(np.concatenate([patches, *moved])).astype(np.float64)
    angles, others = answers[: len(patches)], answers[len(patches) :].reshape(len(PROBES), len(patches), 2)
    apart = np.stack([angular_error(angles, each * MIRRORED) for each in others]).mean(0)
    return angles, HALF / (HALF + apart)
