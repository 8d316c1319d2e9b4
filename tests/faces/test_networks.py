"""What surrounds other people's networks: squares, letter boxes, anchors; the networks themselves are stood in for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gazenas.faces import networks
from gazenas.faces.networks import Detector, Iris, Mesh, square_around

Array = NDArray[Any]


class Stand:
    """In for a network: remembers its square, gives what it is told."""

    size = 128

    def __init__(self, *outputs: Array) -> None:
        self.outputs, self.seen = [output.astype(np.float32) for output in outputs], np.zeros(0)

    def __call__(self, square: Array, low: float = 0.0) -> list[Array]:
        self.seen = square
        return self.outputs


def with_stand(monkeypatch: pytest.MonkeyPatch, kind: Any, stand: Stand) -> Any:
    monkeypatch.setattr(networks, "LiteNetwork", lambda path: stand)
    return kind(Path("nothing"))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [0.0, 0.7, -2.0])
def test_squares_are_turned_and_scaled(angle: float, mirrored: bool) -> None:
    """The middle is the center; along its x axis a whole side is gone, in the direction of the angle."""
    matrix = square_around(np.array([30.0, 40.0]), 50.0, angle, 10, mirrored=mirrored)

    def seen(x: float, y: float) -> Array:
        there: Array = matrix @ np.array([x, y, 1.0])
        return there[:2] / there[2]

    np.testing.assert_allclose(seen(4.5, 4.5), [30, 40])
    along = 50 * np.array([np.cos(angle), np.sin(angle)])
    np.testing.assert_allclose(seen(9.5, 4.5) - seen(-0.5, 4.5), -along if mirrored else along, atol=1e-9)
    np.testing.assert_allclose(seen(4.5, 9.5) - seen(4.5, -0.5), [-along[1], along[0]], atol=1e-9)


def test_detections_come_back_through_the_letter_box(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two anchors see one face, another anchor sees a second one; boxes are averaged by score. A network of 128 pixels
    reads 80 rows where an image fills 75 of them: five cells of 16 pixels, ten of 8."""
    cells = 10 * 16 * 2, 5 * 8 * 6
    raw, logits = np.zeros((sum(cells), 16)), np.full(sum(cells), -9.0)
    first, second = 2 * (16 * 4 + 5), cells[0] + 6 * (8 * 3 + 2)  # of cell (5, 4) of 16 x 10 and (2, 3) of 8 x 5
    raw[first, :4], logits[first] = [0, 0, 32, 32], 3.0
    raw[first + 1, :4], logits[first + 1] = [4, 0, 32, 32], 1.0
    raw[second, :4], logits[second] = [0, 0, 16, 16], 2.0
    raw[first, 4:6] = [-8, -4]
    image = np.zeros((70, 120, 3), np.uint8)
    stand = Stand(raw.ravel(), logits)
    found = with_stand(monkeypatch, Detector, stand)(image)
    assert stand.seen.shape == (80, 128, 3)
    scale, top = 120 / 128, 2  # the image fills the width, between two bands
    share = 1 / (1 + np.exp(-1.0)) / (1 / (1 + np.exp(-1.0)) + 1 / (1 + np.exp(-3.0)))
    middles = [(5.5 * 8 + 4 * share, 4.5 * 8), (2.5 * 16, 3.5 * 16)]
    assert [score for _, score, _ in found] == pytest.approx([1 / (1 + np.exp(-3.0)), 1 / (1 + np.exp(-2.0))])
    for (box, _, _), (x, y) in zip(found, middles, strict=True):
        np.testing.assert_allclose(box[:2] + box[2:] / 2, [x * scale - 0.5, (y - top) * scale - 0.5], atol=1e-4)
    assert found[0][0][2] == pytest.approx(32 * scale)
    key = found[0][2][0]
    expected = np.array([5.5 * 8 - 8 * (1 - share), 4.5 * 8 - 4 * (1 - share) - top]) * scale - 0.5
    np.testing.assert_allclose(key, expected, atol=1e-4)


def test_an_image_without_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    anchors = 2 * 16 * 2 + 1 * 8 * 6
    stand = Stand(np.zeros(anchors * 16), np.full(anchors, -100.0))
    assert with_stand(monkeypatch, Detector, stand)(np.full((1, 5000, 3), 9, np.uint8)) == []
    assert stand.seen.shape == (16, 128, 3)


def test_mesh_points_come_back_into_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bright spot of the image is where the network's square has it, and a point there leads back to the spot."""
    image = np.zeros((200, 300, 3), np.uint8)
    image[119:122, 159:162] = 255
    points = np.zeros((468, 3))
    stand = Stand(points.ravel(), np.array([20.0]))
    mesh = with_stand(monkeypatch, Mesh, stand)
    mesh(image, np.array([150.0, 110.0]), 80.0, 0.5)
    rows, columns = np.nonzero(stand.seen[..., 0] > 200)
    points[7, :2] = columns.mean() + 0.5, rows.mean() + 0.5
    stand.outputs[0] = points.ravel().astype(np.float32)
    landmarks, score = mesh(image, np.array([150.0, 110.0]), 80.0, 0.5)
    np.testing.assert_allclose(landmarks[7], [160, 120], atol=0.1)
    assert score > 0.999


@pytest.mark.parametrize("mirrored", [False, True])
def test_irises_come_back_into_the_image(monkeypatch: pytest.MonkeyPatch, mirrored: bool) -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[99:102, 129:132] = 255
    stand = Stand(np.zeros(213), np.zeros(15))
    iris = with_stand(monkeypatch, Iris, stand)
    corners = np.array([110.0, 104.0]), np.array([150.0, 96.0])
    iris(image, *corners, mirrored=mirrored)
    rows, columns = np.nonzero(stand.seen[..., 0] > 200)
    stand.outputs[1][:2] = columns.mean() + 0.5, rows.mean() + 0.5
    np.testing.assert_allclose(iris(image, *corners, mirrored=mirrored), [130, 100], atol=0.1)
