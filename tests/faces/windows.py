"""An opencv with windows that is stood in for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class Screen(SimpleNamespace):
    """What ``FrameWindow`` uses of opencv: keys are pressed in turn, then the window is closed."""

    WINDOW_AUTOSIZE = WND_PROP_VISIBLE = INTER_AREA = 1

    def __init__(self, *keys: int, framework: str = "QT") -> None:
        super().__init__(keys=list(keys), shown=[], framework=framework, open=False)

    def currentUIFramework(self) -> str:  # noqa: N802
        return str(self.framework)

    def namedWindow(self, title: str, flags: int) -> None:  # noqa: N802
        self.open = True

    def imshow(self, title: str, pixels: Any) -> None:
        self.shown.append(pixels)

    def waitKey(self, wait: int) -> int:  # noqa: N802
        if self.keys:
            return int(self.keys.pop(0))
        self.open = False
        return -1

    def getWindowProperty(self, title: str, which: int) -> float:  # noqa: N802
        return float(self.open)

    def destroyWindow(self, title: str) -> None:  # noqa: N802
        self.open = False

    def resize(self, pixels: Any, size: None, fx: float, fy: float, interpolation: int) -> Any:
        return pixels[:: round(1 / fy), :: round(1 / fx)]
