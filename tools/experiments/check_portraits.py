"""Prints where networks say that the people on portraits look, and how far answers move with the patch.

    python tools/experiments/check_portraits.py --pictures FILE... -- MODEL...

The largest face of each picture is found and normalized as ``gazenas predict`` does it. The first row is iris
geometry's. Each network is asked as it is and with every ``--average``; the last columns are the mean angle to the
camera over all pictures given, which is the error where everybody looks into it, and the mean change of the answer in
degrees where the patch is shifted by 2%, scaled by 5% and rolled by 3 degrees, the worst direction of each.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from gazenas.data.arrays import Floats
from gazenas.data.normalization.cameras import assume_camera
from gazenas.data.normalization.geometry import Target, view_face
from gazenas.data.normalization.patch import warp_image
from gazenas.data.pictures import read_photo
from gazenas.errors import InputError
from gazenas.evaluation.robustness import PATCH_CHANGES
from gazenas.faces.averaging import AVERAGES, AveragedEstimator
from gazenas.faces.estimators import load_estimator
from gazenas.faces.face_models import MESH
from gazenas.faces.iris import iris_gaze
from gazenas.faces.mediapipe import far_finder
from gazenas.faces.pose import pose_face
from gazenas.gaze import angular_error


def moved(direction: tuple[float, float, float, float], size: int) -> Floats:
    """``(3, 3)`` change of positions in a patch: rows and columns as shares of the side, factor, radians."""
    rows, columns, factor, radians = direction
    middle, cosine, sine = size / 2 - 0.5, factor * math.cos(radians), factor * math.sin(radians)
    about = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])
    back, out = np.eye(3), np.eye(3)
    back[:2, 2], out[:2, 2] = -middle, (middle + columns * size, middle + rows * size)
    return out @ about @ back


def look(path: Path, size: int) -> tuple[dict[str, list[NDArray[np.uint8]]], Floats]:
    """Patches of a picture's largest face by change, and iris geometry's answer in radians.

    Raises:
        InputError: where there is no face.
    """
    pixels, film_focal = read_photo(path)
    height, width = pixels.shape[:2]
    camera = assume_camera(width, height, film_focal)
    faces = sorted(far_finder(irises=True)(pixels, ()), key=lambda face: -float(face.box[2] * face.box[3]))
    if not faces:
        raise InputError(f"{path}: expected a face, found none")
    rotation, translation = pose_face(faces[0], MESH, camera, width, height)
    target = Target(size, 960.0 * size / 224, 600.0)
    view = view_face(camera, rotation, MESH.center(rotation, translation), target)
    iris = iris_gaze(faces[0], MESH, camera, rotation, translation)
    assert iris is not None, "the finder looked for them"
    patches = {
        change: [
            warp_image(pixels, camera, replace(view, warp=moved(direction, size) @ view.warp), target)
            for direction in directions
        ]
        for change, directions in PATCH_CHANGES.items()
    }
    return patches, view.gaze(iris)


def said(angles: Floats) -> list[str]:
    """Pitch and yaw in degrees, a text a picture, and the mean angle to the camera."""
    off = angular_error(angles, np.zeros_like(angles))
    return [*(f"{pitch:.0f}, {yaw:.0f}" for pitch, yaw in np.degrees(angles)), f"{np.mean(off):.1f}"]


def main() -> int:
    """Prints three rows a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="run folders, names of shipped subnets, ONNX files")
    parser.add_argument("--pictures", type=Path, nargs="+", required=True, help="of one person each")
    arguments = parser.parse_args()
    changes = list(PATCH_CHANGES)[1:]
    table = Table("network", *(path.stem for path in arguments.pictures), "mean", *changes)
    try:
        for index, name in enumerate(arguments.models):
            network = load_estimator(name)
            looks = [look(path, network.input_size) for path in arguments.pictures]
            if not index:
                table.add_row("iris geometry", *said(np.stack([iris for _, iris in looks])))
            averaged = {f"  {way}": AveragedEstimator(network, moves) for way, moves in AVERAGES.items()}
            for label, ask in ({name: network} | averaged).items():
                first = ask(np.stack([patches["as it is"][0] for patches, _ in looks]))
                worst = []
                for change in changes:
                    rows = [np.stack(each) for each in zip(*(patches[change] for patches, _ in looks), strict=True)]
                    worst.append(max(float(np.mean(angular_error(ask(row), first))) for row in rows))
                table.add_row(label, *said(first), *(f"{value:.1f}" for value in worst))
    except InputError as error:
        parser.error(str(error))
    Console(width=200).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
