"""Faces with their gaze, drawn on the image that they were found in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from gazenas.data.arrays import Floats
from gazenas.data.normalization.geometry import Camera
from gazenas.faces.frame import Pixels
from gazenas.faces.predictor import FaceGaze

ARROW = 120.0  # mm along the gaze, whose projection is drawn
NETWORK, IRIS, BOX, FAILED = "#ef4444", "#38bdf8", "#facc15", "#a1a1aa"


def draw_gazes(image: Pixels, camera: Camera, answers: Sequence[FaceGaze]) -> Pixels:
    """The image with a box a face, and arrows from its center to the projection of a point along its gaze: red by the
    network, blue by iris geometry.

    Args:
        image: ``(H, W, 3)`` RGB.
        camera: that took it.
        answers: of its faces.
    """
    picture = Image.fromarray(np.ascontiguousarray(image))
    pen = ImageDraw.Draw(picture)
    width = max(1, round(max(picture.size) / 400))
    for answer in answers:
        left, top, wide, high = (float(value) for value in answer.face.box)
        box = (left, top, left + max(wide, 1), top + max(high, 1))
        pen.rectangle(box, outline=FAILED if answer.gaze is None else BOX, width=width)
        said = f"{answer.face.id}"
        if answer.gaze is not None:
            center = answer.gaze.view.center
            _arrow(pen, camera, center, answer.gaze.direction, NETWORK, 2 * width)
            if answer.gaze.iris is not None:
                _arrow(pen, camera, center, answer.gaze.view.to_camera(answer.gaze.iris), IRIS, width)
            pitch, yaw = np.rad2deg(answer.gaze.angles)
            said += f": pitch {pitch:.0f}\u00b0 yaw {yaw:.0f}\u00b0"
        size = max(11, 6 * width)
        place = (left + 2, max(0.0, top - 1.3 * size))
        pen.text(place, said, fill=BOX, font_size=size, stroke_width=max(1, width), stroke_fill="black")
    return np.asarray(picture, np.uint8)


def arrow_ends(camera: Camera, origin: Floats, direction: Floats) -> Floats | None:
    """``(2, 2)`` image positions of a face center and of the point ``ARROW`` along its gaze; None where that is behind
    the camera."""
    points = np.stack([origin, origin + ARROW * direction])
    return camera.project(points) if points[:, 2].min() > 1.0 else None


def _arrow(pen: ImageDraw.ImageDraw, camera: Camera, origin: Floats, direction: Floats, color: str, width: int) -> None:
    ends = arrow_ends(camera, origin, direction)
    if ends is None:
        return
    start, end = ends
    pen.line([tuple(start), tuple(end)], fill=color, width=width)
    along = end - start
    length = float(np.hypot(*along))
    head = min(5.0 * width, 0.5 * length)
    radius = 1.5 * width
    pen.ellipse((start[0] - radius, start[1] - radius, start[0] + radius, start[1] + radius), fill=color)
    if length > 1:
        unit = along / length
        side = np.array([-unit[1], unit[0]])
        corners = [end, end - head * unit + 0.5 * head * side, end - head * unit - 0.5 * head * side]
        pen.polygon([tuple(corner) for corner in corners], fill=color)
