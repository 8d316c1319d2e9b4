"""``gazenas export``: one verified ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt
from numpy.typing import NDArray

from gazenas.commands._common import make_parser, print_table, use_device
from gazenas.counting import count_macs, count_params
from gazenas.data.people import check_unseen
from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.data.synthetic.head import build_head
from gazenas.data.synthetic.person import sample_person
from gazenas.data.synthetic.rendering import render
from gazenas.data.synthetic.scene import sample_scene
from gazenas.errors import InputError
from gazenas.export.onnx import BATCHES, LIMITS, export_onnx
from gazenas.faces.contract import contract_of
from gazenas.faces.face_models import FACE_MODELS, MESH, with_frame
from gazenas.models.zoo import GazeModel, load_model


def _parse(argv: list[str]) -> Namespace:
    parser = make_parser(
        "export",
        "Writes a model as one ONNX file, verified against PyTorch in degrees; a file that fails is not left behind.",
    )
    parser.add_argument(
        "--model", type=str, required=True, help="run folder, arch.json with weights beside it, or shipped name"
    )
    parser.add_argument(
        "--out",
        type=str,
        required=True,
        help="ONNX file to write; one that exists is replaced once the new one is verified",
    )
    parser.add_argument("--user", type=str, default="", help="a person's file by 'gazenas calibrate --save', baked in")
    parser.add_argument("--precision", type=Literal["fp32", "fp16"], default="fp32", help="of weights and arithmetic")
    parser.add_argument(
        "--channel_multiple",
        type=PositiveInt,
        default=1,
        help="fill the channels of each kernel size and hidden layer up to a multiple, such as 8, with zeros: the same "
        "answers with more MACs; on x86 files are as fast without it, 'gazenas benchmark' tells for other machines",
    )
    parser.add_argument(
        "--data", type=str, default="", help="data folder whose test faces are compared on; rendered faces without it"
    )
    parser.add_argument(
        "--face_model",
        type=str,
        default="",
        help=f"with which the training images were normalized: {', '.join(FACE_MODELS)}, or a file; 'gazenas predict' "
        "then refuses another",
    )
    parser.add_argument("--images", type=int, default=256, help="how many faces are compared")
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="of the faces drawn or rendered")
    return parser.parse_args(argv)


def run(argv: list[str]) -> None:
    """Runs the verb."""
    arguments = _parse(argv)
    use_device("cpu", 0)
    network = load_model(arguments.model, user=arguments.user or None)
    out = Path(arguments.out)
    if out.suffix != ".onnx" or not out.parent.is_dir():
        raise InputError(f"--out: expected FILE.onnx in an existing folder, found {arguments.out}")
    if arguments.images < 1:
        raise InputError(f"--images: expected at least 1, found {arguments.images}")
    faces = _faces(arguments.model, arguments.data, arguments.images, arguments.seed, network.input_size)
    multiple = arguments.channel_multiple
    model = arguments.face_model
    report = export_onnx(
        network,
        out,
        faces,
        precision=arguments.precision,
        channel_multiple=multiple,
        face_model=contract_of(with_frame(MESH, model)) if model else "",
    )
    whole = f"every kernel size and hidden layer a multiple of {multiple} channels or full"
    faces_of = "test" if arguments.data else "rendered"
    filled = [["filled up", f"{_size(report.network)}, {whole}"]] if multiple > 1 else []
    print_table(
        f"export: {out}",
        ["", ""],
        [
            ["size", f"{report.size:,} bytes, {report.size / count_params(network):.2f} a parameter"],
            ["network", _size(network)],
            *filled,
            ["precision", arguments.precision],
            ["mean difference from PyTorch", f"{report.mean:.6f}\u00b0"],
            ["largest difference", f"{report.worst:.6f}\u00b0 (at most {LIMITS[arguments.precision]}\u00b0 allowed)"],
            [
                "compared on",
                f"{report.images} {faces_of} faces at batch {', '.join(map(str, BATCHES))}",
            ],
        ],
    )


def _size(network: GazeModel) -> str:
    return f"{count_macs(network, network.input_size) / 1e6:.2f} M MACs, {count_params(network):,} parameters"


def _faces(model: str, data: str, count: int, seed: int, size: int) -> NDArray[np.uint8]:
    """``(N, S, S, 3)`` RGB faces to compare on."""
    rng = np.random.default_rng(seed)
    if data:
        folder = open_data(Path(data), Reading())
        folder.expect_size(size, "the model")
        split = folder.split("test")
        check_unseen(
            model, folder, ["test"], advice="compare on another folder, or leave out --data for rendered faces"
        )
        return split.images(np.sort(rng.choice(len(split), min(count, len(split)), replace=False)))
    heads = [build_head(sample_person(rng)) for _ in range(4)]
    return np.stack([render(heads[index % len(heads)], sample_scene(rng), size) for index in range(count)])
