"""What speaks for or against a convention of gaze labels: a network's answers, head poses, facial landmarks.

Each source compares the labels under every convention of :data:`gazenas.data.readers.convention.CONVENTIONS`; how sure
it is comes from drawing rows with replacement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gazenas.data.arrays import Floats
from gazenas.data.readers.convention import CONVENTIONS
from gazenas.gaze import angles_to_vectors, angular_error

DRAWS = 400
SURE = 0.99
LEAST_CORRELATION = 0.3  # of both angles together, below which there is nothing to go by
LEAST_GAIN = 0.85  # of the error of a constant answer, which a network must undercut
EYE_CORNERS, NOSE_TIP = (36, 39, 42, 45), 30  # iBUG 300-W


@dataclass(frozen=True)
class Evidence:
    """The convention that labels fit best, how sure that is, and in what words.

    ``best`` is None where the source says nothing.
    """

    source: str
    best: str | None
    sure: float
    text: str

    @property
    def decided(self) -> bool:
        """Whether it is sure enough to count."""
        return self.best is not None and self.sure >= SURE


def _draw(score: Callable[[NDArray[np.int64]], dict[str, float]], count: int) -> tuple[str, float, dict[str, float]]:
    """The convention with the highest score, the share of draws in which it stays so, and the scores."""
    everything = score(np.arange(count))
    best = max(everything, key=lambda name: everything[name])
    rng = np.random.default_rng(0)
    wins = 0
    for _ in range(DRAWS):
        drawn = score(rng.integers(count, size=count))
        wins += max(drawn, key=lambda name: drawn[name]) == best
    return best, wins / DRAWS, everything


def from_network(labels: Floats, predictions: Floats) -> Evidence:
    """Compares ``(N, 2)`` labels with a network's answers: which convention leaves the smallest error."""
    errors = {name: angular_error(undo(labels), predictions) for name, undo in CONVENTIONS.items()}
    best, sure, _ = _draw(lambda rows: {name: -float(e[rows].mean()) for name, e in errors.items()}, len(labels))
    turned = CONVENTIONS[best](labels)
    # Directions, not angles: far to the side equal angles are not equal turns.
    center = angles_to_vectors(turned).mean(0)
    constant = float(angular_error(np.broadcast_to(center, (len(turned), 3)), turned).mean())
    error, read = float(errors[best].mean()), float(errors["as read"].mean())
    other = "" if best == "as read" else f" and {read:.1f} as read"
    off = f"{error:.1f} degrees off with labels {best}{other}, a constant answer {constant:.1f}"
    text = f"a network trained on rendered faces is {off}"
    if error > LEAST_GAIN * constant:
        return Evidence("network", None, sure, f"{text}: it says nothing about these faces")
    return Evidence("network", best, sure, f"{text} ({100 * sure:.0f}% sure)")


def from_head(labels: Floats, head: Floats, source: str) -> Evidence:
    """Compares ``(N, 2)`` labels with where heads turn: eyes follow heads, so both angles correlate."""
    if len(labels) < 8 or (np.std(head, 0) < 1e-3).any() or (np.std(labels, 0) < 1e-6).any():
        return Evidence(source, None, 0.0, f"{source}: too few rows or hardly any turn")

    def score(rows: NDArray[np.int64]) -> dict[str, float]:
        with np.errstate(invalid="ignore", divide="ignore"):
            table = np.nan_to_num(np.corrcoef(labels[rows].T, head[rows].T))
        found = {}
        for name in CONVENTIONS:
            first, second = (1, 0) if "swapped" in name else (0, 1)
            pitch = table[first, 2] * (-1 if "sign of pitch" in name else 1)
            yaw = table[second, 3] * (-1 if "sign of yaw" in name else 1)
            found[name] = float(pitch + yaw)
        return found

    best, sure, scores = _draw(score, len(labels))
    other = "" if best == "as read" else f", as read {scores['as read'] / 2:.2f}"
    text = f"gaze correlates with {source} best with labels {best}: {scores[best] / 2:.2f}{other}"
    if scores[best] < LEAST_CORRELATION:
        return Evidence(source, None, sure, f"{text}: too little to go by")
    return Evidence(source, best, sure, f"{text} ({100 * sure:.0f}% sure)")


def head_from_landmarks(points: NDArray[np.floating[Any]]) -> Floats:
    """Signed measures of ``(pitch, yaw)`` of heads from ``(N, 68, 2)`` landmarks: where the nose tip lies under the
    eyes.

    They grow with the angles and are not angles.
    """
    eyes = points[:, EYE_CORNERS]
    middle = eyes.mean(1)
    width = np.linalg.norm(eyes[:, 3] - eyes[:, 0], axis=1, keepdims=True)
    shift = (middle - points[:, NOSE_TIP]) / np.maximum(width, 1e-6)
    turned: Floats = np.stack([shift[:, 1], shift[:, 0]], 1)
    return turned


def redness(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """``(N,)`` how much more red than blue the middle of RGB faces is, relative to both: skin is redder, whatever its
    tone."""
    size = images.shape[1]
    middle = images[:, size // 4 : 3 * size // 4, size // 4 : 3 * size // 4].reshape(len(images), -1, 3).mean(1)
    share: NDArray[np.float64] = (middle[:, 0] - middle[:, 2]) / np.maximum(middle[:, 0] + middle[:, 2], 1)
    return share
