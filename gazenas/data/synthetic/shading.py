"""What light does to a surface, for whoever draws a part of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gazenas.data.arrays import Floats
from gazenas.data.synthetic.scene import DISTANCE, Scene


@dataclass(frozen=True)
class Lit:
    """A scene's lights and camera position, turned into the head frame once an image."""

    origin: Floats
    rotation: Floats
    light: Floats
    fill: Floats
    scene: Scene

    def shade(self, albedo: Floats, normal: Floats) -> Floats:
        """``(n, 3)`` light leaving ``(n, 3)`` albedos with ``(n, 3)`` unit normals, Lambert's law."""
        main = np.maximum(normal @ self.light, 0)[:, None] * self.scene.light_color.astype(np.float32)
        second = np.maximum(normal @ self.fill, 0)[:, None] * self.scene.fill_color.astype(np.float32)
        lit: Floats = albedo * (main + second + self.scene.ambient.astype(np.float32))
        return lit


def light_head(scene: Scene) -> Lit:
    """The lights of a scene as the head has them."""
    rotation = scene.rotation
    return Lit(
        origin=(rotation.T @ np.array([0, 0, -DISTANCE])).astype(np.float32),
        rotation=rotation.astype(np.float32),
        light=(rotation.T @ scene.light).astype(np.float32),
        fill=(rotation.T @ scene.fill).astype(np.float32),
        scene=scene,
    )
