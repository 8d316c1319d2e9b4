"""Where a head is, from points seen in one image: Gauss-Newton with Levenberg's damping on the reprojection error."""

from __future__ import annotations

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.data.normalization.geometry import Camera
from gazenas.errors import InputError

# Rotation vectors to begin at besides the weak-perspective one, where points are few and the solution may be mirrored.
STARTS = ((0, 0, 0), (0.4, 0, 0), (-0.4, 0, 0), (0, 0.6, 0), (0, -0.6, 0), (0, 0, 0.5), (0, 0, -0.5))
MANY = 12  # points from which one start is enough, unless they are flat
FLAT = 0.15  # least over middle extent of points that count as flat
STEPS, SETTLED = 60, 1e-10  # at most, and the relative gain below which no more are taken
FARTHEST = 1e6  # pixels from an image's corner, beyond which nothing is a landmark
NEAREST = 1.0  # mm before the camera: where points behind it are taken to be while a pose is searched

Pose = tuple[Floats, Floats]


def solve_pose(camera: Camera, landmarks: Floats, model: Floats, *, weights: Floats | None = None) -> Pose:
    """Head rotation ``(3, 3)`` and translation ``(3,)`` in mm under which a model is seen at landmarks (PnP).

    The weighted sum of squared distances in pixels is minimized, from the weak-perspective solution, and from several
    rotations of faces that look toward the camera where points are few or nearly in a plane.

    Args:
        camera: the real one.
        landmarks: ``(n, 2)`` image positions, n at least 4.
        model: ``(n, 3)`` the same points in the head frame, mm.
        weights: ``(n,)`` of the squared distances, above 0; equal ones without it.

    Raises:
        InputError: where shapes differ, a number is not finite, or no pose in front of the camera explains the
            landmarks.
    """
    if landmarks.shape != (len(model), 2) or len(model) < 4:
        raise InputError(
            f"expected as many landmarks as model points, at least 4, found {landmarks.shape} and {model.shape}"
        )
    if not np.isfinite(landmarks).all():
        raise InputError("expected finite landmarks, found others")
    if np.ptp(landmarks, axis=0).max() < 1e-3 or np.abs(landmarks).max() > FARTHEST:
        width, far = np.ptp(landmarks, axis=0).max(), np.abs(landmarks).max()
        raise InputError(
            f"expected landmarks of a face, found them {width:g} pixels apart, up to {far:g} from the corner"
        )
    model, landmarks = np.asarray(model, np.float64), np.asarray(landmarks, np.float64)
    roots = np.ones(len(model)) if weights is None else np.sqrt(np.asarray(weights, np.float64))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a lens that no pose explains; said below
        rays = camera.rays(landmarks)[:, :2]
        if not np.isfinite(rays).all():  # how it bends cannot be undone there
            rays = Camera(camera.matrix, np.zeros(0)).rays(landmarks)[:, :2]
        found = [_refined(camera, landmarks, model, roots, start) for start in _starts(rays, model)]
    cost, rotation, translation = min(found, key=lambda each: each[0])
    if not np.isfinite(cost) or (model @ rotation.T + translation)[:, 2].min() <= 0:
        raise InputError(
            "found no head pose in front of the camera that explains the landmarks; are they in the model's order?"
        )
    return rotation, translation


def rotation_matrix(vector: Floats) -> Floats:
    """``(3, 3)`` of a rotation vector ``(3,)`` (Rodrigues' formula)."""
    angle = float(np.sqrt(vector @ vector))
    cross = _crosses(vector[None])[0]
    if angle < 1e-8:
        near: Floats = np.eye(3) + cross
        return near
    turned: Floats = np.eye(3) + np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * cross @ cross
    return turned


def _crosses(vectors: Floats) -> Floats:
    """``(n, 3, 3)`` matrices by which a cross product with each of ``(n, 3)`` vectors is a product."""
    cross = np.zeros((len(vectors), 3, 3))
    x, y, z = vectors.T
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -z, y, -x
    cross[:, 1, 0], cross[:, 2, 0], cross[:, 2, 1] = z, -y, x
    return cross


def _starts(rays: Floats, model: Floats) -> list[Pose]:
    """Poses to begin at: the weak-perspective one, and where points are few or flat those of ``STARTS``."""
    middle, seen = model.mean(0), rays.mean(0)
    extents = np.linalg.svd(model - middle, compute_uv=False)
    affine = np.linalg.lstsq(model - middle, rays - seen, rcond=1e-3)[0].T  # (2, 3): scale times rows of a rotation
    scale = float(np.linalg.norm(affine, axis=1).mean())
    left, sizes, right = np.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    turns = [np.stack([rows[0], rows[1], np.cross(rows[0], rows[1])])] if sizes[1] > 1e-12 else []
    if len(model) < MANY or extents[2] < FLAT * extents[1] or not turns:
        turns += [rotation_matrix(np.array(start, np.float64)) for start in STARTS]
        spread = np.sqrt(((rays - seen) ** 2).sum(1).mean() / ((model[:, :2] - middle[:2]) ** 2).sum(1).mean())
        scale = max(float(spread), 1e-12)
    depth = 1 / scale
    return [(turn, np.array([*(seen * depth), depth]) - turn @ middle) for turn in turns]


def _refined(
    camera: Camera, landmarks: Floats, model: Floats, roots: Floats, start: Pose
) -> tuple[float, Floats, Floats]:
    """Cost, rotation and translation at the minimum that damped Gauss-Newton steps reach."""
    rotation, translation = start
    turned = model @ rotation.T
    residuals = _residuals(camera, landmarks, roots, turned + translation)
    cost, damping = float(residuals @ residuals), 1e-3
    for _ in range(STEPS):
        jacobian = _jacobian(camera, roots, turned, turned + translation)
        if not (np.isfinite(cost) and np.isfinite(jacobian).all()):
            return np.inf, rotation, translation
        square, slope = jacobian.T @ jacobian, jacobian.T @ residuals
        gained = 0.0
        while damping < 1e12:
            try:
                step = np.linalg.solve(square + damping * np.diag(np.diag(square) + 1e-12), -slope)
            except np.linalg.LinAlgError:  # no direction makes a difference: more damping gives it one
                damping *= 10
                continue
            rotation_next = rotation_matrix(step[:3]) @ rotation
            turned_next = model @ rotation_next.T
            residuals_next = _residuals(camera, landmarks, roots, turned_next + translation + step[3:])
            cost_next = float(residuals_next @ residuals_next)
            if cost_next <= cost:
                gained = cost - cost_next
                rotation, translation, turned = rotation_next, translation + step[3:], turned_next
                residuals, cost, damping = residuals_next, cost_next, damping / 10
                break
            damping *= 10
        if gained <= SETTLED * cost:
            break
    return cost, rotation, translation


def _residuals(camera: Camera, landmarks: Floats, roots: Floats, points: Floats) -> Floats:
    """``(2 n,)`` weighted distances in pixels of points in the camera frame from their landmarks."""
    safe = np.concatenate([points[:, :2], np.maximum(points[:, 2:], NEAREST)], 1)
    off: Floats = ((camera.project(safe) - landmarks) * roots[:, None]).ravel()
    return off


def _jacobian(camera: Camera, roots: Floats, turned: Floats, points: Floats) -> Floats:
    """``(2 n, 6)`` derivatives of :func:`_residuals`: by a small rotation applied last, then by the translation."""
    depth = np.maximum(points[:, 2], NEAREST)
    flat = points[:, :2] / depth[:, None]
    by_point = np.zeros((len(points), 2, 3))
    by_point[:, 0, 0] = by_point[:, 1, 1] = 1 / depth
    by_point[:, :, 2] = -flat / depth[:, None]
    by_point = camera.matrix[:2, :2] @ _bending(camera, flat) @ by_point * roots[:, None, None]
    joined: Floats = np.concatenate([by_point @ -_crosses(turned), by_point], 2).reshape(-1, 6)
    return joined


def _bending(camera: Camera, flat: Floats) -> Floats:
    """``(n, 2, 2)`` derivatives of :meth:`Camera.distort` at ``(n, 2)`` positions."""
    if not camera.distortion.size:
        return np.broadcast_to(np.eye(2), (len(flat), 2, 2))
    k1, k2, p1, p2, k3 = np.concatenate([camera.distortion, np.zeros(5)])[:5]
    x, y = flat.T
    r2 = x * x + y * y
    radial, change = 1 + r2 * (k1 + r2 * (k2 + r2 * k3)), k1 + r2 * (2 * k2 + 3 * r2 * k3)
    mixed = 2 * x * y * change + 2 * p1 * x + 2 * p2 * y
    across = radial + 2 * x * x * change + 2 * p1 * y + 6 * p2 * x
    down = radial + 2 * y * y * change + 6 * p1 * y + 2 * p2 * x
    bends: Floats = np.stack([np.stack([across, mixed], -1), np.stack([mixed, down], -1)], 1)
    return bends
