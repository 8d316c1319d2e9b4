"""``gazenas data normalize``: photos with known cameras become a data folder of normalized faces."""

from __future__ import annotations

from pathlib import Path

from jsonargparse.typing import PositiveFloat, PositiveInt

from gazenas.commands._common import console, counting_bar, make_parser
from gazenas.data.normalization.geometry import Target
from gazenas.data.preparation import prepare
from gazenas.data.readers.collected import FILE as COLLECTED
from gazenas.data.readers.collected import open_collected
from gazenas.data.readers.photos import FILE, open_photos


def normalize_photos(argv: list[str]) -> None:
    """Runs the action."""
    parser = make_parser(
        "data normalize",
        f"Warps the faces of the photos that {FILE} lists, or that 'gazenas collect' left, into ETH-XGaze's normalized "
        "view and writes them, with gaze, head pose, rotation and landmarks, as a data folder. Gaze is rotated, not "
        "scaled (frame R).",
    )
    parser.add_argument(
        "folder", type=str, help=f"folder with {FILE} (docs/preparing.md says what that holds), or one of collect"
    )
    parser.add_argument("--out", type=str, required=True, help="data folder to write")
    parser.add_argument("--size", type=PositiveInt, default=224, help="side of the patches in pixels")
    parser.add_argument(
        "--focal", type=PositiveFloat, default=960.0, help="focal length of the virtual camera in pixels"
    )
    parser.add_argument(
        "--distance", type=PositiveFloat, default=600.0, help="of the face from the virtual camera in mm"
    )
    parser.add_argument(
        "--leave_out", "--leave-out", action="store_true", help="finish without the photos that cannot be used"
    )
    arguments = parser.parse_args(argv)
    target = Target(arguments.size, arguments.focal, arguments.distance)
    folder = Path(arguments.folder)
    source = (open_collected if (folder / COLLECTED).is_file() else open_photos)(folder, target=target)
    for note in source.notes:
        console.print(note)
    with counting_bar("normalizing", len(source.split("all"))) as done:
        prepare(source, Path(arguments.out), leave_out=arguments.leave_out, on_rows=done)
    console.print(f"{len(source.split('all'))} faces are in {arguments.out}")
