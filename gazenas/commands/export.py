"""``gazenas export``: one verified ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt, PositiveInt
from numpy.typing import NDArray

from gazenas.commands._common import add_split_seed, console, expect_gaze, make_parser, print_table, use_device
from gazenas.counting import count_macs, count_params
from gazenas.data.dataset import GazeFolder
from gazenas.data.people import check_unseen
from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.data.synthetic.head import build_head
from gazenas.data.synthetic.person import sample_person
from gazenas.data.synthetic.rendering import render
from gazenas.data.synthetic.scene import sample_scene
from gazenas.errors import InputError
from gazenas.export.onnx import BATCHES, LIMITS, export_onnx, with_metadata
from gazenas.faces.contract import KEY, TRAINED_ON, contract_of, trained_on
from gazenas.faces.face_models import FACE_MODELS, MESH, with_frame
from gazenas.models.zoo import GazeModel, load_model
from gazenas.tasks.task import UNITS
from gazenas.training.loop import expect_images_alone

REFERENCE_IMAGES = 2000  # faces of validation people on which the loss of an int8 file is measured, at most


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
    folder = None
    if arguments.data:
        folder = open_data(Path(arguments.data), Reading(split_seed=arguments.split_seed, needs=network.task.keys))
    faces = _faces(arguments, network.input_size, folder)
    if arguments.precision in LIMITS:
        rows = _write_float(arguments, network, out, faces)
    else:
        rows = _write_rounded(arguments, network, out, faces, folder)
    table = [["network", _size(network)], ["precision", arguments.precision], *rows]
    faces_of = "test" if arguments.data else "rendered"
    compared = f"{len(faces)} {faces_of} faces at batch {', '.join(map(str, BATCHES))}"
    print_table(f"export: {out}", ["", ""], [*table, ["compared on", compared]])


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
    parser.add_argument(
        "--precision",
        type=Literal["fp32", "fp16", "int8", "int8-weights"],
        default="fp32",
        help="fp32; fp16; int8, weights and maps, calibrated on training faces of --data, or as the run was trained "
        "('finetune --quantize'); int8-weights, a quarter of the bytes and float arithmetic",
    )
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
    parser.add_argument(
        "--max_loss",
        type=NonNegativeFloat,
        default=0.1,
        help="int8: degrees that the mean error on validation people of --data may grow by",
    )
    parser.add_argument(
        "--calibration_images",
        type=PositiveInt,
        default=300,
        help="int8: faces of training people over which ranges are recorded",
    )
    parser.add_argument("--reduce_range", action="store_true", help="int8: 7-bit weights, for CPUs without VNNI")
    add_split_seed(parser)
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="of the faces drawn or rendered")
    arguments: Namespace = parser.parse_args(argv)
    return arguments


def _write_float(arguments: Namespace, network: GazeModel, out: Path, faces: NDArray[np.uint8]) -> list[list[str]]:
    """Writes the file; rows of the table."""
    sign = UNITS[network.task.error_unit][0]
    multiple, precision = arguments.channel_multiple, arguments.precision
    notes = _contract(arguments)
    report = export_onnx(network, out, faces, precision=precision, channel_multiple=multiple, notes=notes)
    whole = f"every kernel size and hidden layer a multiple of {multiple} channels or full"
    filled = [["filled up", f"{_size(report.network)}, {whole}"]] if multiple > 1 else []
    return [
        ["size", _bytes(report.size, network)],
        *filled,
        ["mean difference from PyTorch", f"{report.mean:.6f}{sign}"],
        ["largest difference", f"{report.worst:.6f}{sign} (at most {LIMITS[precision]}{sign} allowed)"],
    ]


def _write_rounded(
    arguments: Namespace, network: GazeModel, out: Path, faces: NDArray[np.uint8], folder: GazeFolder | None
) -> list[list[str]]:
    """Writes a file of fewer bits; rows of the table."""
    from gazenas.compression.precision import ROUNDED_LIMITS, int8_of_run, int8_weights, trained_ranges, write_rounded
    from gazenas.export.timing import describe_machine

    precision = arguments.precision
    expect_gaze(network, f"--precision {precision}")
    expect_images_alone(network, f"the faces that --precision {precision} is judged on")
    if arguments.channel_multiple > 1:
        raise InputError(f"--channel-multiple: expected 1 with --precision {precision}, which fills up no channels")
    ranges = trained_ranges(arguments.model)
    if precision == "int8-weights":
        data, how = int8_weights(network)
    elif ranges is not None:
        data, how = int8_of_run(network, ranges)
    else:
        data, how = _calibrated(arguments, network, folder)
    data = with_metadata(data, _contract(arguments))
    report = write_rounded(data, how, out, network=network, images=faces, precision=precision)
    return [
        ["size", _bytes(report.size, network)],
        ["made by", report.how],
        ["mean difference from PyTorch", f"{report.mean:.3f}\u00b0"],
        ["95% of differences", f"{report.most:.3f}\u00b0 (at most {ROUNDED_LIMITS[precision]}\u00b0 allowed)"],
        ["largest difference", f"{report.worst:.3f}\u00b0"],
        ["of it saturated products", f"{report.saturation:.3f}\u00b0 in 95%"],
        ["machine", describe_machine(1)["processor"]],
    ]


def _calibrated(arguments: Namespace, network: GazeModel, folder: GazeFolder | None) -> tuple[bytes, str]:
    """An int8 file whose ranges are of training people of ``--data``, and how it was made."""
    from gazenas.compression.faces import calibration_faces, validation_reference
    from gazenas.compression.int8 import quantize_int8
    from gazenas.export.onnx import onnx_bytes

    if folder is None:
        raise InputError(
            "--precision int8: expected --data, on whose training people ranges are recorded, found none; a run of "
            "'gazenas finetune --quantize int8' needs no faces, --precision int8-weights neither"
        )
    check_unseen(arguments.model, folder, ["val"], advice="losses are measured on people whom nobody trained on")
    calibration, source = calibration_faces(folder, arguments.calibration_images, arguments.seed)
    found = quantize_int8(
        validation_reference(folder, onnx_bytes(network), REFERENCE_IMAGES, arguments.seed),
        calibration,
        max_loss=arguments.max_loss,
        reduce_range=arguments.reduce_range,
        source=source,
        say=console.print,
    )
    loss = f"{found.judged.loss:+.3f}\u00b0 on {found.judged.images} validation faces"
    return found.model, f"{found.scheme}; {source}; {loss}"


def _contract(arguments: Namespace) -> dict[str, str]:
    """What the file says of what the network was trained on, and of the face model that these images were normalized
    with where somebody said it."""
    notes = {TRAINED_ON: trained_on(arguments.model)}
    if arguments.face_model:
        notes[KEY] = contract_of(with_frame(MESH, arguments.face_model))
    return notes


def _bytes(size: int, network: GazeModel) -> str:
    return f"{size:,} bytes, {size / count_params(network):.2f} a parameter"


def _size(network: GazeModel) -> str:
    return f"{count_macs(network, network.input_size) / 1e6:.2f} M MACs, {count_params(network):,} parameters"


def _faces(arguments: Namespace, size: int, folder: GazeFolder | None) -> NDArray[np.uint8]:
    """``(N, S, S, 3)`` RGB faces to compare on."""
    rng, count = np.random.default_rng(arguments.seed), arguments.images
    if folder is not None:
        folder.expect_size(size, "the model")
        split = folder.split("test")
        advice = "compare on another folder, or leave out --data for rendered faces"
        check_unseen(arguments.model, folder, ["test"], advice=advice)
        return split.images(np.sort(rng.choice(len(split), min(count, len(split)), replace=False)))
    heads = [build_head(sample_person(rng)) for _ in range(4)]
    return np.stack([render(heads[index % len(heads)], sample_scene(rng), size) for index in range(count)])
