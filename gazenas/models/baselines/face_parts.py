"""What networks with several inputs get of one normalized face: the face and both eyes, each at its own size.

Normalization puts eyes at the same place in every image: with ETH-XGaze's camera, at 224 pixels, about 50 to either
side of the middle and 32 above it. So a comparator that wants eye crops cuts them itself, and needs no other data.
"""

from __future__ import annotations

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

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(N, 3, S, S)`` to the face ``(N, 3, h, w)`` and the eyes at the image's left and right, ``(N, 3, h', w')``
        each."""
        line = images[:, :, self.top : self.top + self.height]
        eyes = [self._resized(line[..., left : left + self.width], self.eye) for left in self.lefts]
        return self._resized(images, self.face), eyes[0], eyes[1]

    def _resized(self, part: Tensor, size: tuple[int, int]) -> Tensor:
        if tuple(part.shape[2:]) == size:
            return part
        return F.interpolate(part, size=size, mode="bilinear", align_corners=False)
