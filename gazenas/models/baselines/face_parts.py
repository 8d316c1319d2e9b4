"""What networks with several inputs get of one face: the face and both eyes, each at its own size.

Normalization puts eyes at the same place in every image: with ETH-XGaze's camera, at 224 pixels, about 50 to either
side of the middle and 32 above it. So a comparator that wants eye crops cuts them itself, and needs no other data.
Where faces are not normalized, boxes of the eyes say where they are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LINE, APART = 80 / 224, 50 / 224  # of the side: the eyes' height from the top, each one's distance from the middle


class FaceParts(nn.Module):
    """Cuts a face and two eyes out of an image; has no weights.

    Args:
        side: of the image in pixels.
        face: height and width of the face that it gives.
        eye: of the eyes.
        eye_width: of what is cut for an eye, as a share of the image's side.
    """

    def __init__(self, *, side: int, face: tuple[int, int], eye: tuple[int, int], eye_width: float) -> None:
        super().__init__()
        self.face, self.eye = face, eye
        self.width = max(2, round(eye_width * side))
        self.height = max(2, round(self.width * eye[0] / eye[1]))
        self.top = max(0, round(LINE * side - self.height / 2))
        lefts = (round(side / 2 + way * APART * side - self.width / 2) for way in (-1, 1))
        self.lefts = [max(0, min(side - self.width, left)) for left in lefts]

    def forward(self, images: Tensor, eye_boxes: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """``(N, 3, S, S)`` to the face ``(N, 3, h, w)`` and the eyes at the image's left and right, ``(N, 3, h', w')``
        each; from around the middles of ``(N, 8)`` boxes and as wide as these, where they are given."""
        if eye_boxes is not None:
            left, right = (self._cut(images, boxes) for boxes in eye_boxes.chunk(2, 1))
            return self._resized(images, self.face), left, right
        line = images[:, :, self.top : self.top + self.height]
        eyes = [self._resized(line[..., left : left + self.width], self.eye) for left in self.lefts]
        return self._resized(images, self.face), eyes[0], eyes[1]

    def _cut(self, images: Tensor, boxes: Tensor) -> Tensor:
        """One eye out of each image, bilinear, with edge pixels repeated outside."""
        height, width = self.eye
        (left, top, right, bottom) = (each[:, None] for each in (2 * boxes - 1).unbind(1))  # the image from -1 to 1
        half = (right - left) / 2
        across, down = (
            (torch.arange(count, device=boxes.device, dtype=boxes.dtype) * 2 + 1 - count) / count
            for count in (width, height)
        )
        x, y = (left + right) / 2 + half * across, (top + bottom) / 2 + half * height / width * down
        grid = torch.stack([x[:, None].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)], 3)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _resized(self, part: Tensor, size: tuple[int, int]) -> Tensor:
        if tuple(part.shape[2:]) == size:
            return part
        return F.interpolate(part, size=size, mode="bilinear", align_corners=False)
