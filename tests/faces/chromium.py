"""A headless Chromium with a fake camera, driven over its DevTools protocol by a pipe: no package, no port."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"),
)
# Chromium reads commands from file 3 and answers into file 4.
SHIM = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for pipe, number in zip(pipes, (3, 4)):
    os.dup2(pipe, number)
    os.close(pipe)
os.execv(sys.argv[3], sys.argv[3:])
"""
KEYS = {" ": ("Space", 32), "Backspace": ("Backspace", 8), "Escape": ("Escape", 27), "Enter": ("Enter", 13)}


def find_chromium() -> str | None:
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Chromium:
    """One page. A fake camera that plays a film of raw frames; without one, it is refused."""

    def __init__(self, folder: Path, film: Path | None = None, size: tuple[int, int] = (1280, 720)) -> None:
        program = find_chromium()
        assert program, "looked for before"
        self.size = size
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"] if film else []
        camera += [f"--use-file-for-fake-video-capture={film}"] if film else ["--deny-permission-prompts"]
        here, there = os.pipe(), os.pipe()
        words = [program, *FLAGS, *camera, f"--user-data-dir={folder}", f"--window-size={size[0]},{size[1]}"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", SHIM, str(here[0]), str(there[1]), *words, "about:blank"],
            pass_fds=(here[0], there[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(here[0])
        os.close(there[1])
        self._to, self._from = os.fdopen(here[1], "wb", 0), os.fdopen(there[0], "rb", 0)
        self._number, self._session, self._read = 0, "", b""
        self.console: list[str] = []
        self.requests: list[str] = []  # addresses, of whatever kind
        self.dialogs = 0
        (page, *_) = [each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page"]
        self.attach(page["targetId"])

    def attach(self, target: str) -> str:
        """Goes on with another tab; gives the one before."""
        before, self._session = self._session, ""
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.show(*self.size)
        return before

    def new_tab(self, url: str) -> str:
        """Opens a tab and goes on in it; gives the session of the one before."""
        before, self._session = self._session, ""
        target = self.call("Target.createTarget", url=url)["targetId"]
        self._session = before
        return self.attach(target)

    def back_to(self, session: str) -> None:
        self._session = session
        self.call("Page.bringToFront")

    def show(self, width: int, height: int, *, dark: bool = False, media: str = "") -> None:
        """A screen of that size that the page fills, light or dark; as on paper where ``media`` is ``print``."""
        metrics = {"width": width, "height": height, "screenWidth": width, "screenHeight": height}
        self.call("Emulation.setDeviceMetricsOverride", **metrics, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def call(self, method: str, **params: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        self._to.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _receive(self) -> Any:
        while b"\0" not in self._read:
            more = self._from.read(1 << 16)
            if not more:
                raise ConnectionError("Chromium has ended")
            self._read += more
        message, self._read = self._read.split(b"\0", 1)
        answer = json.loads(message)
        if answer.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
            self.console.append(json.dumps(answer["params"]))
        if answer.get("method") == "Network.requestWillBeSent":
            self.requests.append(answer["params"]["request"]["url"])
        if answer.get("method") == "Page.javascriptDialogOpening":
            self.dialogs += 1
            self._number += 1
            accept = {"id": self._number, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
            self._to.write(json.dumps(accept | {"sessionId": answer["sessionId"]}).encode() + b"\0")
        return answer

    def evaluate(self, expression: str) -> Any:
        given = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in given, given
        return given["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 20.0) -> Any:
        """The first value of an expression that counts as true; one that fails, as while a page is loaded, does not."""
        until = time.monotonic() + seconds
        tried = f"(() => {{ try {{ return {expression} }} catch {{ return null }} }})()"
        while not (value := self._value(tried)):
            if time.monotonic() > until:
                raise TimeoutError(f"{expression}: {self._value('document.body.innerText')}; {self.console}")
            time.sleep(0.03)
        return value

    def _value(self, expression: str) -> Any:
        """None where the page goes away meanwhile."""
        try:
            return self.evaluate(expression)
        except AssertionError:
            return None

    def press(self, key: str) -> None:
        code, number = KEYS.get(key, ("", 0))
        text = {" ": " ", "Enter": "\r"}.get(key, "")
        words = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **words)
        self.call("Input.dispatchKeyEvent", type="keyUp", **words)

    def write(self, field: str, text: str) -> None:
        """Types into an input field in place of what is there."""
        self.evaluate(f"document.getElementById('{field}').value = ''; document.getElementById('{field}').focus()")
        self.call("Input.insertText", text=text)

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def print(self, path: Path) -> None:
        """A PDF file on A4 sheets."""
        sheet = {"paperWidth": 8.27, "paperHeight": 11.69}  # inches
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", **sheet)["data"]))

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._to.write(b'{"id": 0, "method": "Browser.close"}\0')
            self.process.wait(20)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        for pipe in (self._to, self._from):
            pipe.close()


def write_film(path: Path, frames: Sequence[Any], fps: int) -> None:
    """Raw frames ``(H, W, 3)`` RGB as a ``.y4m`` file, which Chromium's fake camera plays again and again."""
    height, width = frames[0].shape[:2]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            from PIL import Image

            bright, blue, red = Image.fromarray(frame).convert("YCbCr").split()
            file.write(b"FRAME\n" + bright.tobytes())
            for plane in (blue, red):
                file.write(plane.reduce(2).tobytes())
