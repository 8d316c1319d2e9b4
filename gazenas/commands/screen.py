"""``gazenas screen``: where a screen stands before its camera, typed or solved from dots that somebody looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jsonargparse import Namespace

from gazenas.commands._common import console, make_parser, print_table
from gazenas.errors import InputError
from gazenas.faces.dots import read_looks
from gazenas.faces.screen import (
    PlacedScreen,
    errors_mm,
    guess_screen,
    held_out_errors,
    middle_errors,
    solve_screen,
    write_screen,
)


def _parse(argv: list[str]) -> Namespace:
    parser = make_parser(
        "screen",
        "Writes where a screen stands before its camera, for 'gazenas predict --screen': as typed, or the most "
        "probable place by dots that somebody looked at, with a constant error of their gaze; then with the error on "
        "dots that were left out.",
    )
    parser.add_argument("--size_mm", type=list[float], required=True, help="width and height: [531, 299]")
    parser.add_argument("--pixels", type=list[int], required=True, help="width and height: [1920, 1080]")
    parser.add_argument(
        "--offset",
        type=list[float],
        default=[0.0, 10.0, 0.0],
        help="mm from the camera to the middle of the top edge: to the person's right, down, toward the person",
    )
    parser.add_argument("--tilt", type=float, default=0.0, help="degrees that its upper edge leans away")
    parser.add_argument("--predictions", type=str, default="", help="folder that 'gazenas predict' wrote, of the dots")
    parser.add_argument("--dots", type=str, default="", help="CSV file: source or frame, then x and y in pixels")
    parser.add_argument("--out", type=str, required=True, help="JSON file to write")
    arguments = parser.parse_args(argv)
    for flag, count in (("size_mm", 2), ("pixels", 2), ("offset", 3)):
        numbers = arguments[flag]
        if len(numbers) != count or not np.isfinite(numbers).all() or (flag != "offset" and min(numbers) <= 0):
            raise InputError(f"--{flag.replace('_', '-')}: expected {count} numbers above 0, found {numbers}")
    if bool(arguments.predictions) != bool(arguments.dots):
        raise InputError("--dots: expected with --predictions, and the other way around")
    if not abs(arguments.tilt) < 90:
        raise InputError(f"--tilt: expected less than 90 degrees, found {arguments.tilt}")
    if not Path(arguments.out).parent.is_dir() or Path(arguments.out).suffix != ".json":
        raise InputError(f"--out: expected FILE.json in an existing folder, found {arguments.out}")
    return arguments


def run(argv: list[str]) -> None:
    """Runs the verb."""
    arguments = _parse(argv)
    out = Path(arguments.out)
    pixels = (arguments.pixels[0], arguments.pixels[1])
    guess = guess_screen(arguments.size_mm, pixels, arguments.offset, float(np.radians(arguments.tilt)))
    if not arguments.dots:
        write_screen(out, guess, {"known_from": "typed"})
        console.print(f"the screen as typed is in {out}; its error is not measured: --predictions and --dots do it")
        return
    looks = read_looks(Path(arguments.predictions), Path(arguments.dots))
    left_out = held_out_errors(guess, looks)
    placed = solve_screen(guess, looks)
    means = {
        "held_out_mm": float(np.mean(left_out)),
        "typed_mm": float(np.mean(errors_mm(guess, looks))),
        "middle_mm": float(np.mean(middle_errors(guess, looks))),
    }
    dots = len(np.unique([look.dot for look in looks], axis=0))
    finite = {name: value if np.isfinite(value) else None for name, value in means.items()}
    write_screen(out, placed, {"known_from": "dots", "dots": dots, "looks": len(looks), **finite})
    _print(guess, placed, means, dots, len(looks))
    console.print(f"the solved screen is in {out}; 'gazenas predict --screen {out}' writes where gazes meet it")


def _print(guess: PlacedScreen, placed: PlacedScreen, means: dict[str, float], dots: int, looks: int) -> None:
    side = float(guess.screen.pixel.mean())
    names = {
        "held_out_mm": "solved, on dots that were left out",
        "typed_mm": "as typed",
        "middle_mm": "always the middle of the dots",
    }
    rows = [[text, f"{means[name]:.0f}", f"{means[name] / side:.0f}"] for name, text in names.items()]
    print_table(f"screen: {looks} looks at {dots} dots, mean error", ["", "mm", "pixels"], rows)
    turn = guess.screen.rotation.T @ placed.screen.rotation
    angle = np.rad2deg(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    corner = np.round(placed.screen.translation).astype(int).tolist()
    pitch, yaw = np.rad2deg(placed.bias)
    console.print(
        f"top left corner {corner} mm in the camera's frame, turned by {angle:.1f} degrees from the typed one; "
        f"added to gaze: pitch {pitch:.1f}, yaw {yaw:.1f} degrees"
    )
