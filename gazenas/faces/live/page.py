"""What the page can ask for: begin a measurement, keep a picture, take one back, delete, live gaze."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from gazenas.errors import InputError
from gazenas.faces.live.newest import LiveGaze
from gazenas.faces.live.server import Action, File, RefusedError, Request
from gazenas.faces.live.storage import Collection, place_screen

FILES = {"": "page.html", "page.js": "page.js", "camera.js": "camera.js", "page.css": "page.css"}
TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
GONE = 10.0  # seconds without a word, after which a page counts as closed
LIVE_WIDTH = 640  # pixels of a frame that is asked about, where the camera is assumed


def page_files() -> dict[str, File]:
    """The page and what belongs to it, by name."""
    folder = files("gazenas.faces.live")
    return {name: (TYPES[file.rsplit(".", 1)[1]], folder.joinpath(file).read_bytes()) for name, file in FILES.items()}


@dataclass(frozen=True)
class Wishes:
    """What was said on the command line: prefilled on the page."""

    person: str = ""
    session: str = ""


class CollectPage:
    """The actions of the page; one page at a time.

    Args:
        collection: where pictures go.
        live: for live gaze; None where no model was given.
        wishes: to begin with.
    """

    def __init__(self, collection: Collection, live: LiveGaze | None = None, wishes: Wishes | None = None) -> None:
        self.collection, self.live, self.wishes = collection, live, wishes or Wishes()
        self._tab, self._seen = "", 0.0
        self._turn = threading.Lock()

    def actions(self) -> dict[str, Action]:
        """By name."""
        own: dict[str, Action] = {
            "begin": self._begin,
            "picture": self._picture,
            "undo": lambda request: self.collection.undo(),
            "delete": self._delete,
            "look": self._look,
            "frame": self._frame,
            "alive": lambda request: {},
        }
        return {"claim": self._claim, "leave": self._leave} | {name: self._of_tab(act) for name, act in own.items()}

    def _of_tab(self, act: Action) -> Action:
        """The action, for the page alone that has claimed this server."""

        def checked(request: Request) -> Mapping[str, Any]:
            with self._turn:
                if not request.tab or request.tab != self._tab:
                    raise RefusedError(HTTPStatus.CONFLICT, "another tab or window goes on with this; close this one")
                self._seen = time.monotonic()
            return act(request)

        return checked

    def _claim(self, request: Request) -> Mapping[str, Any]:
        """The page that asks is the one from now on, unless another one is open and is not to be ended."""
        if not request.tab:
            raise InputError("expected the name of a tab, found none")
        with self._turn:
            alive = self._tab not in ("", request.tab) and time.monotonic() - self._seen < GONE
            if alive and not request.values().get("take"):
                raise RefusedError(HTTPStatus.CONFLICT, "another tab or window is open with this page")
            self._tab, self._seen = request.tab, time.monotonic()
        screen = self.collection.screen
        return {
            "folder": str(self.collection.folder.resolve()),
            "people": self.collection.people(),
            "person": self.wishes.person,
            "session": self.wishes.session,
            "total": self.collection.total,
            "live": self.live is not None,
            "live_width": 0 if self.collection.camera else LIVE_WIDTH,
            "screen_mm": None if screen is None else (screen.screen.pixel * screen.pixels).round().tolist(),
        }

    def _leave(self, request: Request) -> Mapping[str, Any]:
        with self._turn:
            if request.tab == self._tab:
                self._tab = ""
        return {}

    def _begin(self, request: Request) -> Mapping[str, Any]:
        values = request.values()
        return self.collection.begin(
            values.get("person"), values.get("session") or "", *_screen(values.get("pixels"), values.get("width"))
        )

    def _picture(self, request: Request) -> Mapping[str, Any]:
        try:
            dot = [float(request.query[axis]) for axis in "xy"]
        except (KeyError, ValueError) as error:
            raise InputError(f"expected the dot's x and y, found {dict(request.query)}") from error
        return self.collection.add(request.body, dot)

    def _delete(self, request: Request) -> Mapping[str, Any]:
        values = request.values()
        self.collection.delete(values.get("person"), values.get("session"))
        return {"people": self.collection.people()}

    def _look(self, request: Request) -> Mapping[str, Any]:
        """Live gaze begins: where the screen is, if that is known."""
        live, values = self._live(), request.values()
        given = self.collection.screen
        pixels, width = _screen(values.get("pixels"), values.get("width"))
        live.screen = place_screen(given, pixels, width) if given or width else None
        return {"screen": live.screen is not None}

    def _frame(self, request: Request) -> Mapping[str, Any]:
        return self._live().ask(request.body) or {"late": True}

    def _live(self) -> LiveGaze:
        if self.live is None:
            raise InputError("expected --model, whose gaze is shown, found none")
        return self.live


def _screen(pixels: Any, width: Any) -> tuple[list[int], float]:
    """Pixels and mm as the page says them; what is wrong with them is said by whoever needs them."""
    sides = pixels if isinstance(pixels, list) else []
    return sides, width if isinstance(width, int | float) else 0.0
