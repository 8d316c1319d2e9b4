"""``gazenas collect``: a page on this machine that takes a person's pictures at dots, and shows where they look."""

from __future__ import annotations

import signal
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt

from gazenas.commands._common import console, make_parser, print_table, use_device
from gazenas.data.normalization.cameras import read_camera
from gazenas.data.readers.collected import DOTS, SCREEN
from gazenas.errors import InputError
from gazenas.faces import FINDERS
from gazenas.faces.contract import check_face_model, trained_on
from gazenas.faces.live.newest import LiveGaze
from gazenas.faces.live.page import CollectPage, Wishes, page_files
from gazenas.faces.live.plan import GRIDS, check_dots
from gazenas.faces.live.server import LocalServer
from gazenas.faces.live.storage import Collection, plain_name
from gazenas.faces.predictor import GazePredictor, make_finder
from gazenas.faces.screen import read_screen
from gazenas.faces.smoothing import SMOOTHINGS

HIGHEST_PORT = 65535


def _parse(argv: list[str]) -> Namespace:
    parser = make_parser(
        "collect",
        "Serves a page to this machine alone: dots on the full screen, a picture of the webcam at each press of the "
        "space bar, stored in OUT and nowhere else; with --model live gaze as well. The same command goes on with "
        "a session that was left. What it leaves is read by data check, data normalize and screen.",
    )
    parser.add_argument("out", type=str, help="folder to fill, a new one or one of collect")
    parser.add_argument("--person", type=str, default="", help="who is before the camera; asked on the page without it")
    parser.add_argument(
        "--session", type=str, default="", help="name of the measurement; the last unfinished one, or a new one"
    )
    parser.add_argument("--pictures", type=PositiveInt, default=100, help="of a new measurement")
    parser.add_argument(
        "--dots",
        type=NonNegativeInt,
        default=0,
        help=f"of a grid that is gone through again and again: {', '.join(map(str, GRIDS))}; 0 puts each anywhere",
    )
    parser.add_argument("--model", type=str, default="", help="run folder, shipped name or ONNX file for live gaze")
    parser.add_argument("--user", type=str, default="", help="a person's file by 'gazenas calibrate --save'")
    parser.add_argument("--smooth", type=str, default="one-euro", help=f"of live gaze: {', '.join(SMOOTHINGS)}")
    parser.add_argument(
        "--any_face_model", action="store_true", help="also where the network was trained with another face model"
    )
    parser.add_argument(
        "--screen", type=str, default="", help="JSON file by 'gazenas screen'; without it the page asks for the width"
    )
    parser.add_argument("--camera", type=str, default="", help="JSON file with matrix and distortion; else assumed")
    parser.add_argument("--finder", type=str, default="mediapipe-near", help=f"{', '.join(FINDERS)}, or module:name")
    parser.add_argument("--finder_files", type=str, default="", help="folder with the finder's networks")
    parser.add_argument("--port", type=NonNegativeInt, default=0, help="of the page's address; 0 for a free one")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument("--device", type=str, default="cpu", help="of the gaze network: cpu, cuda, cuda:N, or auto")
    parser.add_argument("--threads", type=NonNegativeInt, default=1, help="CPU threads, 0 for one a usable core")
    arguments = parser.parse_args(argv)
    check_dots(arguments.dots)
    for word in ("person", "session"):
        if arguments[word]:
            plain_name(arguments[word], f"--{word}")
    if arguments.port > HIGHEST_PORT:
        raise InputError(f"--port: expected 0 to {HIGHEST_PORT}, found {arguments.port}")
    if not arguments.model and (arguments.user or arguments.any_face_model):
        raise InputError("--user, --any-face-model: expected with --model, found without it")
    return arguments


def run(argv: list[str]) -> None:
    """Runs the verb."""
    arguments = _parse(argv)
    files = arguments.finder_files or None
    collection = Collection(
        Path(arguments.out),
        make_finder(arguments.finder, Path(files) if files else None, False),
        camera=read_camera(Path(arguments.camera)) if arguments.camera else None,
        screen=read_screen(Path(arguments.screen)) if arguments.screen else None,
        total=arguments.pictures,
        dots=arguments.dots,
    )
    with closing(collection), _live(arguments, collection) as live:
        page = CollectPage(collection, live, Wishes(arguments.person, arguments.session))
        with LocalServer(page_files(), page.actions(), arguments.port) as server:
            _serve(server, arguments.open)
    _print(collection, arguments.out)


@contextmanager
def _live(arguments: Namespace, collection: Collection) -> Iterator[LiveGaze | None]:
    """Live gaze where a model was given, with a finder of its own: pictures are taken beside it."""
    if not arguments.model:
        yield None
        return
    predictor = GazePredictor(
        arguments.model,
        finder=arguments.finder,
        finder_files=arguments.finder_files or None,
        camera=collection.camera,
        user=arguments.user or None,
        device=use_device(arguments.device, arguments.threads),
        smooth=arguments.smooth,
        max_faces=1,
        confidence=False,
    )
    metadata = predictor.estimator.metadata
    note = check_face_model(metadata, predictor.face_model, refuse=not arguments.any_face_model)
    for line in (trained_on(arguments.model, metadata), note):
        if line:
            console.print(line)
    with closing(LiveGaze(predictor)) as live:
        yield live


def _serve(server: LocalServer, show: bool) -> None:
    """Until Ctrl-C, or the signal that asks a process to end."""
    console.print(f"open this address in a browser on this machine: {server.url}")
    console.print("it is a key: whoever on this machine has it can see the page; Ctrl-C ends it, and it is void")

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop) if threading.current_thread() is threading.main_thread() else None
    if show:
        webbrowser.open(server.url)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass  # its end: every picture was stored when it was taken
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _print(collection: Collection, out: str) -> None:
    """What is stored, and what reads it."""
    people = collection.people()
    rows = [[each["person"], each["session"], f"{each['taken']} of {each['total']}"] for each in people]
    print_table(f"stored in {out}", ["person", "session", "pictures"], rows)
    if not people:
        return
    folder = Path(out) / people[-1]["person"] / people[-1]["session"]
    console.print(
        f"'gazenas data check {out}' looks at it, 'gazenas data normalize {out} --out DATA' makes what finetune and "
        f"calibrate read; 'gazenas predict {folder} --model MODEL --out LOOKS' and 'gazenas screen --predictions LOOKS "
        f"--dots {folder / DOTS} --out {folder / SCREEN} ...' solve where the screen stands; 'rm -r {folder.parent}' "
        "deletes a person"
    )
