"""``gazenas compress``: a trained network as a file that a small device holds, nothing lost beyond what is allowed."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt, PositiveInt
from numpy.typing import NDArray

from gazenas.commands._common import (
    add_split_seed,
    console,
    degrees,
    expect_gaze,
    make_parser,
    print_table,
    recorded_config,
    use_device,
)
from gazenas.compression.gate import GAINS, Reference, check_gate, median_latencies
from gazenas.compression.pipeline import STAGES, StageResult, StageSettings, run_stages, write_stage
from gazenas.counting import count_macs, count_params
from gazenas.data.dataset import GazeFolder, GazeSplit
from gazenas.data.loader import normalize
from gazenas.data.people import check_unseen
from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError
from gazenas.export.onnx import onnx_bytes
from gazenas.export.timing import describe_machine
from gazenas.files import write_records
from gazenas.models.zoo import load_model
from gazenas.training.run_folder import RunFolder

ADVICE = "losses are measured on people whom the network never saw: take the data and --split-seed of its run"


def run(argv: list[str]) -> None:
    """Runs the verb."""
    arguments = _parse(argv)
    begun = time.monotonic()
    use_device("cpu", 0)
    must_be = [word for word in arguments.must_be.split(",") if word]
    if not set(must_be) <= set(GAINS):
        raise InputError(f"--must-be: expected some of {', '.join(GAINS)}, found {arguments.must_be!r}")
    network = load_model(arguments.model)
    expect_gaze(network, "compress")
    folder = open_data(Path(arguments.data), Reading(split_seed=arguments.split_seed))
    folder.expect_size(network.input_size, arguments.model)
    check_unseen(arguments.model, folder, ["val", "test"], advice=ADVICE)
    with RunFolder(Path(arguments.out), "compress", overwrite=arguments.overwrite) as output:
        reference, settings = _prepared(arguments, folder, onnx_bytes(network))
        stages = run_stages([word.strip() for word in arguments.stages.split(",")], reference, settings)
        ms = median_latencies([stages[0].model, stages[-1].model], network.input_size)
        check_gate(stages[-1].judged, max_loss=settings.max_loss, must_be=must_be, ms=ms)
        output.resolve_config(recorded_config(arguments))
        paths = [write_stage(stage, output.path) for stage in stages[1:]]
        write_records(output.path / "stages.csv", [stage.row() for stage in stages])
        test = _test_errors(folder, stages)
        output.write_summary(
            {
                "verb": "compress",
                "macs": count_macs(network, network.input_size),
                "params": count_params(network),
                "input_size": network.input_size,
                "val_error_deg": stages[-1].judged.error,
                "test_error_deg": test[1],
                "float_test_error_deg": test[0],
                "ms": ms[1],
                "float_ms": ms[0],
                "machine": describe_machine(1),
                "stages": [stage.row() for stage in stages],
                "seconds": round(time.monotonic() - begun, 1),
                "seed": arguments.seed,
                "fingerprint": network.architecture().fingerprint(),
            }
        )
    _print(arguments.out, stages, ms, test)
    console.print(f"{', '.join(path.name for path in paths)}, stages.csv and summary.json are in {arguments.out}")


def _parse(argv: list[str]) -> Namespace:
    parser = make_parser(
        "compress",
        "Makes a trained network's file smaller, stage by stage. Ranges come from training people, losses from "
        "validation people; what loses more than --max-loss is refused and nothing is written.",
    )
    parser.add_argument("model", type=str, help="run folder, arch.json with weights beside it, or shipped name")
    parser.add_argument("--data", type=str, required=True, help="data folder in ETH-XGaze's layout")
    parser.add_argument("--out", type=str, required=True, help="run folder to write")
    parser.add_argument("--stages", type=str, default="quantize,code", help=f"in order, of {', '.join(STAGES)}")
    parser.add_argument(
        "--max_loss",
        type=NonNegativeFloat,
        default=0.3,
        help="degrees that the mean error on validation people may grow by",
    )
    parser.add_argument("--must_be", type=str, default="smaller", help=f"what else is asked for, of {', '.join(GAINS)}")
    parser.add_argument(
        "--calibration_images",
        type=PositiveInt,
        default=300,
        help="faces of training people over which ranges are recorded",
    )
    parser.add_argument(
        "--images", type=PositiveInt, default=2000, help="faces of validation people on which losses are measured"
    )
    parser.add_argument("--reduce_range", action="store_true", help="7-bit weights, for CPUs without VNNI")
    add_split_seed(parser)
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="of the faces drawn")
    parser.add_argument("--overwrite", action="store_true", help="replace a run in --out")
    arguments: Namespace = parser.parse_args(argv)
    return arguments


def _prepared(arguments: Namespace, folder: GazeFolder, model: bytes) -> tuple[Reference, StageSettings]:
    """Validation faces to judge on, training faces to calibrate on."""
    train, val = folder.split("train"), folder.split("val")
    if val.gaze is None:
        raise InputError(f"{arguments.data}: val: expected labeled faces, found faces without labels")
    rows = _rows(val, arguments.images, arguments.seed)
    reference = Reference(model, val.images(rows), val.gaze[rows])
    faces = train.images(_rows(train, arguments.calibration_images, arguments.seed))
    settings = StageSettings(
        calibration=normalize(torch.from_numpy(faces)).numpy(),
        source=f"{len(faces)} faces of {len(train.people)} training people of {folder.folder.name}",
        max_loss=arguments.max_loss,
        reduce_range=arguments.reduce_range,
        say=console.print,
    )
    return reference, settings


def _rows(split: GazeSplit, count: int, seed: int) -> NDArray[np.int64]:
    """Some rows of a split, drawn and in order."""
    drawn = np.random.default_rng(seed).choice(len(split), min(count, len(split)), replace=False)
    return np.sort(drawn)


def _test_errors(folder: GazeFolder, stages: list[StageResult]) -> tuple[float | None, float | None]:
    """Mean errors of the first and the last stage on the test people, where these have labels."""
    split = folder.splits.get("test")
    if split is None or split.gaze is None:
        return None, None
    faces = split.images(np.arange(len(split)))
    judged = Reference(stages[0].model, faces, split.gaze).judge(stages[-1].model)
    return judged.float_error, judged.error


def _print(out: str, stages: list[StageResult], ms: list[float], test: tuple[float | None, float | None]) -> None:
    rows = [
        [
            stage.name,
            f"{stage.judged.size:,}",
            f"{stage.judged.size / stage.judged.float_size:.2f}",
            degrees(stage.judged.error),
            f"{stage.judged.deviation_mean:.2f} / {stage.judged.deviation_95:.2f} / {stage.judged.deviation_worst:.2f}",
            stage.how,
        ]
        for stage in stages
    ]
    columns = ["stage", "bytes", "of the float file", "error on val", "deviation: mean / 95% / worst", "how"]
    print_table(f"compress: {out}", columns, rows)
    print_table(
        "float and compressed",
        ["", "float", "compressed"],
        [["milliseconds, one thread, in turns", *(f"{each:.3f}" for each in ms)], ["test error", *map(degrees, test)]],
    )
