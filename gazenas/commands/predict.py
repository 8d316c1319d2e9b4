"""``gazenas predict``: where the people in photos and films look."""

from __future__ import annotations

import json
import logging
import sys
import time
from argparse import BooleanOptionalAction
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt
from rich.console import Console

from gazenas.commands._common import console, make_parser, print_table, use_device
from gazenas.data.normalization.cameras import read_camera
from gazenas.errors import InputError
from gazenas.faces import FINDERS
from gazenas.faces.confidence import MEANING
from gazenas.faces.contract import check_face_model, trained_on
from gazenas.faces.drawing import draw_gazes
from gazenas.faces.face import BoxFinder
from gazenas.faces.face_models import FACE_MODELS
from gazenas.faces.frame import Frame
from gazenas.faces.landmark_file import KnownFaces
from gazenas.faces.predictor import FaceGaze, GazePredictor
from gazenas.faces.records import PredictionFolder, Record, records_of
from gazenas.faces.screen import PlacedScreen, read_screen
from gazenas.faces.smoothing import SMOOTHINGS
from gazenas.faces.sources import CAMERA, PHOTOS, Source, open_source
from gazenas.faces.window import FrameWindow

SHOWN_ROWS, SHOWN_CAMERAS = 20, 3


def _parse(argv: list[str]) -> Namespace:
    parser = make_parser(
        "predict",
        "Finds the faces in an image, a folder or a pattern of images, a film or a camera's pictures, and says where "
        "they look: predictions.csv and predictions.jsonl (a row a face and frame), annotated pictures or a film, "
        "summary.json. The default finder's networks are other people's and fetched once, on first use.",
    )
    parser.add_argument("source", type=str, help="image, folder, pattern in quotes, film, or a camera's number")
    parser.add_argument(
        "--model", type=str, required=True, help="run folder, arch.json, shipped name, or ONNX file that is asked"
    )
    parser.add_argument("--out", type=str, required=True, help="folder to write")
    parser.add_argument("--user", type=str, default="", help="a person's file by 'gazenas calibrate --save'")
    parser.add_argument(
        "--camera", type=str, default="", help="JSON file with matrix and distortion; else EXIF's lens, else assumed"
    )
    parser.add_argument("--finder", type=str, default="mediapipe", help=f"{', '.join(FINDERS)}, or module:name")
    parser.add_argument("--finder_files", type=str, default="", help="folder with the finder's networks")
    parser.add_argument(
        "--landmarks", type=str, default="", help="CSV file of landmarks, no finder is asked; or of boxes"
    )
    parser.add_argument(
        "--face_model", type=str, default="", help=f"{', '.join(FACE_MODELS)}, or a file of 6 points; the finder's"
    )
    parser.add_argument(
        "--any_face_model", action="store_true", help="also where the network was trained with another face model"
    )
    parser.add_argument("--screen", type=str, default="", help="JSON file by 'gazenas screen': where gazes meet it")
    parser.add_argument("--smooth", type=str, default="none", help=f"of films, by face: {', '.join(SMOOTHINGS)}")
    parser.add_argument("--with", type=str, default="", help="iris: draws and writes iris geometry's answer as well")
    parser.add_argument(
        "--average",
        type=Literal["none", "mirror", "moves"],
        default="none",
        help="the mean of more questions, nearer and steadier on photos: mirror, about the mirrored patch as well, in "
        "twice the network's time; moves, about both as they are and moved four ways, in ten times",
    )
    parser.add_argument(
        "--confidence", action=BooleanOptionalAction, default=True, help="how sure: twice more of the network's time"
    )
    parser.add_argument("--max_faces", type=NonNegativeInt, default=0, help="in a frame, the largest; 0 for all")
    parser.add_argument("--every", type=PositiveInt, default=1, help="only each n-th frame")
    parser.add_argument("--frames", type=NonNegativeInt, default=0, help="at most so many; 0 for all")
    parser.add_argument("--draw", action=BooleanOptionalAction, default=True, help="write pictures or a film")
    parser.add_argument(
        "--show", action="store_true", help="a window with the annotated frames; q ends all, any other key a photo"
    )
    parser.add_argument("--json", type=str, default="", help="-: a line of JSON a face on standard output, as it comes")
    parser.add_argument("--overwrite", action="store_true", help="replace a prediction in --out")
    parser.add_argument("--device", type=str, default="cpu", help="of the gaze network: cpu, cuda, cuda:N, or auto")
    parser.add_argument("--threads", type=NonNegativeInt, default=1, help="CPU threads, 0 for one a usable core")
    arguments = parser.parse_args(argv)
    for flag, known in (("with", ("", "iris")), ("json", ("", "-")), ("smooth", tuple(SMOOTHINGS))):
        if arguments[flag] not in known:
            named = ", ".join(word for word in known if word)
            raise InputError(f"--{flag}: expected {named}, found {arguments[flag]!r}")
    return arguments


def run(argv: list[str]) -> None:
    """Runs the verb."""
    arguments = _parse(argv)
    say = Console(stderr=True, soft_wrap=True, highlight=False) if arguments.json else console
    with _said(say):
        folder = PredictionFolder(Path(arguments.out), overwrite=arguments.overwrite)
        known = _known(arguments)
        window = FrameWindow("gazenas predict: q ends it") if arguments.show else None
        camera = read_camera(Path(arguments.camera)) if arguments.camera else None
        screen = read_screen(Path(arguments.screen)) if arguments.screen else None
        source = open_source(arguments.source)
        try:
            if source.kind == PHOTOS and arguments.smooth != "none":
                raise InputError("--smooth: expected with a film or a camera, found it with photos")
            predictor = GazePredictor(
                arguments.model,
                finder=known if known is not None and not known.boxes else arguments.finder,
                finder_files=arguments.finder_files or None,
                camera=camera,
                face_model=arguments.face_model,
                user=arguments.user or None,
                device=use_device(arguments.device, arguments.threads),
                smooth=arguments.smooth,
                max_faces=arguments.max_faces,
                irises=bool(arguments["with"]),
                average=arguments.average,
                confidence=arguments.confidence,
            )
            if known is not None and known.boxes and not isinstance(predictor.finder, BoxFinder):
                raise InputError(
                    f"--landmarks: {arguments.landmarks} has boxes alone, within which {arguments.finder} cannot look: "
                    f"expected --finder {' or '.join(FINDERS)}, or landmarks in the file"
                )
            note = check_face_model(
                predictor.estimator.metadata, predictor.face_model, refuse=not arguments.any_face_model
            )
            for line in (trained_on(arguments.model, predictor.estimator.metadata), note):
                if line:
                    say.print(line)
            if source.kind == CAMERA and not arguments.frames:
                say.print(
                    f"{arguments.source}: until Ctrl-C, after which everything is written (--frames ends it, too)"
                )
            with folder, window or nullcontext():
                frames = source.frames(every=arguments.every, most=arguments.frames)
                placed = known.placed(frames) if known else frames
                summary = _predict(arguments, predictor, source, placed, folder, screen, window)
        finally:
            source.close()
    for line in summary["cameras"][:SHOWN_CAMERAS]:
        say.print(line)
    if len(summary["cameras"]) > SHOWN_CAMERAS:
        say.print(f"... and {len(summary['cameras']) - SHOWN_CAMERAS} cameras more, in summary.json")
    if not arguments.json:
        _print(summary["seen"], sum(summary["rows"].values()), arguments.out)


def _known(arguments: Namespace) -> KnownFaces | None:
    """The faces of --landmarks.

    Raises:
        InputError: where there is no such file, or it has no irises and these are asked for.
    """
    known = KnownFaces(Path(arguments.landmarks)) if arguments.landmarks else None
    if arguments["with"] and known is not None and not known.boxes:
        raise InputError("--with iris: expected with a finder, found it with landmarks, which have no irises")
    return known


def _predict(
    arguments: Namespace,
    predictor: GazePredictor,
    source: Source,
    frames: Iterator[Frame],
    folder: PredictionFolder,
    screen: PlacedScreen | None,
    window: FrameWindow | None,
) -> dict[str, Any]:
    """Every frame in turn; what ``summary.json`` says, and what is said."""
    counts: Counter[str] = Counter()
    cameras: set[str] = set()
    seen: list[Record] = []
    begun, number = time.monotonic(), 0
    try:
        for frame, answers in _answered(predictor, source, frames):
            records = records_of(frame, answers, screen)
            counts.update(record["status"] for record in records)
            number += 1
            folder.write(records)
            seen += records[: max(0, SHOWN_ROWS - len(seen))]
            if arguments.json:
                sys.stdout.writelines(json.dumps(record) + "\n" for record in records)
                sys.stdout.flush()
            if frame.image is None:
                continue
            camera = predictor.camera_of(frame)
            cameras.add(_about_camera(arguments.camera, frame, camera.matrix[0, 0]))
            if not (arguments.draw or window):
                continue
            drawn = draw_gazes(frame.image, camera, answers)
            if arguments.draw and source.kind == PHOTOS:
                folder.draw_picture(drawn, frame.source)
            elif arguments.draw:
                folder.draw_frame(drawn, source.fps / arguments.every)
            if window and not window.show(drawn, stays=source.kind == PHOTOS):
                break
    except KeyboardInterrupt:
        if source.kind != CAMERA:
            raise  # a camera has no other end
    seconds = time.monotonic() - begun
    summary = _about(arguments, predictor, source) | {
        "cameras": sorted(cameras),
        "frames": number,
        "rows": dict(counts),
        "seconds": round(seconds, 3),
        "frames_per_second": round(number / max(seconds, 1e-9), 2),
    }
    folder.finish(summary)
    return summary | {"seen": seen}


def _about(arguments: Namespace, predictor: GazePredictor, source: Source) -> dict[str, Any]:
    """What ``summary.json`` says of who was asked about what."""
    known = isinstance(predictor.finder, KnownFaces)
    return {
        "verb": "predict",
        "source": arguments.source,
        "kind": source.kind,
        "model": arguments.model,
        "input_size": predictor.estimator.input_size,
        "trained_on": trained_on(arguments.model, predictor.estimator.metadata),
        "confidence": MEANING if arguments.confidence else "",
        "finder": arguments.landmarks if known else arguments.finder,
        "boxes": "" if known else arguments.landmarks,
        "face_model": {"name": predictor.face_model.name, "fingerprint": predictor.face_model.fingerprint},
    }


def _answered(
    predictor: GazePredictor, source: Source, frames: Iterator[Frame]
) -> Iterator[tuple[Frame, list[FaceGaze]]]:
    """Frames with their answers: photos one by one without memory, the frames of a film one after another."""
    if source.kind == PHOTOS:
        for frame in frames:
            yield from zip([frame], predictor.stream([frame]), strict=True)
        return
    given: list[Frame] = []

    def noted() -> Iterator[Frame]:
        for frame in frames:
            given[:] = [frame]
            yield frame

    for answers in predictor.stream(noted()):
        yield given[0], answers


def _about_camera(path: str, frame: Frame, focal: float) -> str:
    """Where the camera of a frame was known from."""
    assert frame.image is not None, "only of frames that can be read"
    if path:
        return f"camera: {path}"
    if frame.film_focal:
        return f"camera: focal length {focal:.0f} pixels, by EXIF ({frame.film_focal:g} mm on 35-mm film)"
    return (
        f"camera: focal length {focal:.0f} pixels, assumed: the longer side (--camera FILE); "
        "a wrong one changes distance in proportion, head pitch by some degrees, and gaze with them"
    )


def _print(records: list[Record], count: int, out: str) -> None:
    """The first rows, in degrees."""
    iris = any(record["iris_pitch"] is not None for record in records)
    angles = ("pitch", "yaw", *(("iris_pitch", "iris_yaw") if iris else ()))
    rows = []
    for record in records:
        cells = ["" if record[key] is None else f"{57.29578 * record[key]:.1f}\u00b0" for key in angles]
        far = "" if record["distance"] is None else f"{record['distance']:.0f}"
        face = "" if record["face"] is None else str(record["face"])
        status = f"{record['status']}: {record['reason']}" if record["reason"] else record["status"]
        rows.append([f"{record['source']} {record['frame']}", face, *cells, far, status])
    titles = ["pitch", "yaw", *(("by iris: pitch", "yaw") if iris else ())]
    title = "gaze" if count == len(records) else f"gaze: the first {len(records)} of {count} rows"
    print_table(title, ["source, frame", "face", *titles, "mm away", "status"], rows)
    console.print(f"up is positive pitch, the image's left positive yaw; predictions and summary.json are in {out}")


@contextmanager
def _said(say: Console) -> Iterator[None]:
    """What the library warns of, such as files that it fetches, is printed."""

    class Printing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say.print(record.getMessage())

    log, handler = logging.getLogger("gazenas.faces"), Printing()
    log.addHandler(handler)
    log.propagate, before = False, log.propagate
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = before
