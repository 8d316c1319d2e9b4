"""``gazenas compress``: a trained network as a file that a small device holds, nothing lost beyond what is allowed."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np
from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeFloat, PositiveInt

from gazenas.commands._arguments import add_teacher_arguments, add_training_arguments
from gazenas.commands._common import (
    console,
    degrees,
    expect_gaze,
    make_parser,
    print_table,
    recorded_config,
    use_device,
)
from gazenas.commands._recipes import add_recipe
from gazenas.commands._stage_runs import PRUNE_BUDGETS, train_stage
from gazenas.compression.faces import calibration_faces, validation_reference
from gazenas.compression.gate import GAINS, Reference, check_gate, median_latencies
from gazenas.compression.pipeline import STAGES, StageResult, StageSettings, check_stages, run_stages, write_stage
from gazenas.compression.plan import coded_sizes, plans_for, run_plans
from gazenas.compression.pruning import PruneRecipe
from gazenas.costs import COSTS
from gazenas.costs.budget import parse_amount
from gazenas.counting import count_macs, count_params
from gazenas.data.dataset import GazeFolder
from gazenas.data.people import check_unseen, trained_people
from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError
from gazenas.export.onnx import onnx_bytes
from gazenas.export.timing import describe_machine
from gazenas.files import write_records
from gazenas.models.zoo import GazeModel, load_model
from gazenas.report.compression import draw_compression
from gazenas.report.page import write_report
from gazenas.training.loop import expect_images_alone
from gazenas.training.run_folder import RunFolder

ADVICE = "losses are measured on people whom the network never saw: take the data and --split-seed of its run"
DEFAULT_STAGES = "quantize,code"
EPOCHS, LR = 6, 1e-3  # of each stage that trains: the network is trained already


def run(argv: list[str]) -> None:
    """Runs the verb."""
    arguments = _parse(argv)
    begun = time.monotonic()
    use_device("cpu", arguments.threads)
    must_be = [word for word in arguments.must_be.split(",") if word]
    if not set(must_be) <= set(GAINS):
        raise InputError(f"--must-be: expected some of {', '.join(GAINS)}, found {arguments.must_be!r}")
    network = load_model(arguments.model)
    expect_images_alone(network, "the faces that files are judged on")
    expect_gaze(network, "compress")
    folder = open_data(Path(arguments.data), Reading(split_seed=arguments.split_seed))
    folder.expect_size(network.input_size, arguments.model)
    check_unseen(arguments.model, folder, ["val", "test"], advice=ADVICE)
    opened = RunFolder(Path(arguments.out), "compress", resume=arguments.resume, overwrite=arguments.overwrite)
    with opened as output:
        reference, settings = _prepared(arguments, folder, onnx_bytes(network))
        stages = _stages(arguments, network, reference, settings, output)
        ms = _milliseconds(stages, network.input_size)
        check_gate(stages[-1].judged, max_loss=settings.max_loss, must_be=must_be, ms=[ms[0], ms[-1]])
        output.resolve_config(recorded_config(arguments))
        files = {stage.suffix: stage for stage in stages[1:]}  # the last of each kind
        paths = [write_stage(stage, output.path) for stage in files.values()]
        rows = [stage.row() | {"ms": round(each, 4)} for stage, each in zip(stages, ms, strict=True)]
        write_records(output.path / "stages.csv", rows)
        draw_compression(rows, output.plot_path("compression"))
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
                "ms": ms[-1],
                "float_ms": ms[0],
                "machine": describe_machine(1),
                "stages": rows,
                "began_with": trained_people(arguments.model),
                "seconds": round(time.monotonic() - begun, 1),
                "seed": arguments.seed,
                "fingerprint": network.architecture().fingerprint(),
            }
        )
        write_report([output.path], output.path / "report.html")
    _print(arguments.out, stages, ms, test)
    names = ", ".join(path.name for path in paths)
    console.print(f"{names}, stages.csv, summary.json, report.html and plots/compression.png are in {arguments.out}")


def _parse(argv: list[str]) -> Namespace:
    parser = make_parser(
        "compress",
        "Makes a trained network's file smaller, stage by stage. Ranges come from training people, losses from "
        "validation people; what loses more than --max-loss is refused and no file is written. With --target-size "
        "alone the stages are chosen: the gentlest that fit.",
    )
    parser.add_argument("model", type=str, help="run folder, arch.json with weights beside it, or shipped name")
    parser.add_argument(
        "--stages",
        type=str,
        default="",
        help=f"in order, of {', '.join(STAGES)}; {DEFAULT_STAGES} without it. prune removes channels, distill trains "
        "on with --teacher, quantize calibrates or, with --quantize, trains",
    )
    parser.add_argument("--target_size", type=str, default="", help="bytes of the coded file, such as 100k")
    for word in PRUNE_BUDGETS:
        parser.add_argument(f"--target_{word}", type=str, default="", help=f"prune: {word} that are left, or 40%%")
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
    add_training_arguments(parser)
    add_teacher_arguments(parser)
    add_recipe(parser, PruneRecipe)
    parser.set_defaults({"epochs": EPOCHS, "lr": LR})
    arguments: Namespace = parser.parse_args(argv)
    if arguments.dry_run:
        raise InputError("--dry-run: compress says its plan and sizes as it begins; expected a run, found a dry one")
    return arguments


def _prepared(arguments: Namespace, folder: GazeFolder, model: bytes) -> tuple[Reference, StageSettings]:
    """Validation faces to judge on, training faces to calibrate on."""
    reference = validation_reference(folder, model, arguments.images, arguments.seed)
    calibration, source = calibration_faces(folder, arguments.calibration_images, arguments.seed)
    settings = StageSettings(
        calibration=calibration,
        source=source,
        max_loss=arguments.max_loss,
        reduce_range=arguments.reduce_range,
        quantize=arguments.quantize,
        train=partial(train_stage, arguments),
        say=console.print,
    )
    return reference, settings


def _stages(
    arguments: Namespace, network: GazeModel, reference: Reference, settings: StageSettings, output: RunFolder
) -> list[StageResult]:
    """What the stages that were asked for left, or those that a size needs."""
    size = arguments.target_size
    target = 0
    if size:
        target = int(parse_amount(size, len(reference.model), "--target-size", COSTS["size"]))
    names = [word.strip() for word in (arguments.stages or DEFAULT_STAGES).split(",") if word.strip()]
    check_stages(names)
    chosen = bool(target) and not arguments.stages
    if chosen or settings.quantize != "none" or {"prune", "distill"} & set(names):
        output.resolve_config(recorded_config(arguments))  # what is trained is kept, and --resume goes on
    if chosen:
        plans = plans_for(coded_sizes(network, settings.calibration), count_params(network), target)
        return run_plans(plans, arguments.model, reference, settings, target)[1]
    stages = run_stages(names, arguments.model, reference, settings)
    if target and stages[-1].judged.size > target:
        found = stages[-1].judged
        raise InputError(
            f"--target-size: these stages leave {found.size:,} bytes at {found.loss:+.3f} degrees, {target:,} are "
            "asked for; without --stages they are chosen; nothing was written"
        )
    return stages


def _milliseconds(stages: list[StageResult], side: int) -> list[float]:
    """Of a single image on one thread, all files in turns; coding changes a file's bytes alone."""
    models = list(dict.fromkeys(stage.model for stage in stages))
    taken = dict(zip(models, median_latencies(models, side), strict=True))
    return [taken[stage.model] for stage in stages]


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
            f"{each:.3f}",
            stage.how,
        ]
        for stage, each in zip(stages, ms, strict=True)
    ]
    columns = ["stage", "bytes", "of the float file", "error on val", "deviation: mean / 95% / worst", "ms", "how"]
    print_table(f"compress: {out}", columns, rows)
    print_table(
        "float and compressed",
        ["", "float", "compressed"],
        [
            ["milliseconds, one thread, in turns", f"{ms[0]:.3f}", f"{ms[-1]:.3f}"],
            ["test error", *map(degrees, test)],
            ["95% of changes by saturated products", "none", f"{stages[-1].judged.saturation:.2f}\u00b0"],
            ["machine", *2 * [describe_machine(1)["processor"]]],
        ],
    )
