"""``gazenas evaluate``: angular errors of a model on a split."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt
from numpy.typing import NDArray

from gazenas.commands._common import add_split_seed, console, make_parser, print_table, recorded_config, use_device
from gazenas.counting import count_macs, count_params
from gazenas.data.dataset import GazeFolder, GazeSplit
from gazenas.data.people import check_unseen
from gazenas.data.readers import open_data
from gazenas.data.readers.reading import Reading
from gazenas.errors import InputError
from gazenas.evaluation.errors import Evaluation, evaluate_predictions
from gazenas.files import nearest_file
from gazenas.models.zoo import find_model, load_model
from gazenas.report.predictions import draw_prediction_plots
from gazenas.tasks import TASKS, find_task
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import Task
from gazenas.training.loop import predict_split
from gazenas.training.run_folder import RunFolder

if TYPE_CHECKING:
    from gazenas.export.runtime import GazeEstimator

ADVICE = (
    "test on others (--split test), draw people as the run did (--split-seed), "
    "or give --allow-seen-people, and the result says so"
)


def _parse(argv: list[str]) -> Namespace:
    parser = make_parser("evaluate", "Measures angular errors of a model on a split of a data folder.")
    parser.add_argument(
        "--model",
        type=str,
        required=True,
        help="run folder, arch.json with weights beside it, shipped name, or ONNX file",
    )
    parser.add_argument(
        "--user", type=str, default="", help="a person's file by 'gazenas calibrate --save'; not for ONNX"
    )
    parser.add_argument("--data", type=str, required=True, help="data folder in ETH-XGaze's layout")
    parser.add_argument("--split", type=str, default="test", help="train, val or test")
    parser.add_argument("--out", type=str, required=True, help="folder to write")
    add_split_seed(parser, "--seed")
    parser.add_argument(
        "--allow_seen_people",
        "--allow-seen-people",
        action="store_true",
        help="measure on people that the model was trained on as well; the output says so",
    )
    parser.add_argument(
        "--device", type=str, default="auto", help="cpu, cuda, cuda:N, or auto: a GPU where there is one"
    )
    parser.add_argument("--threads", type=NonNegativeInt, default=0, help="CPU threads, 0 for one a usable core")
    parser.add_argument("--overwrite", action="store_true", help="replace an evaluation in --out")
    return parser.parse_args(argv)


def run(argv: list[str]) -> None:
    """Runs the verb."""
    arguments = _parse(argv)
    begun = time.monotonic()
    device = use_device(arguments.device, arguments.threads)
    task = _task_of(arguments.model)
    folder = open_data(Path(arguments.data), Reading(split_seed=arguments.split_seed, needs=task.keys))
    split = folder.split(arguments.split)
    seen = check_unseen(arguments.model, folder, [split.name], allow=arguments.allow_seen_people, advice=ADVICE)
    with RunFolder(Path(arguments.out), "evaluate", overwrite=arguments.overwrite) as run:
        predictions, size = _predict(arguments.model, folder, split, device, arguments.user)
        for note in [*folder.notes, *_about_people(arguments.model, split, seen)]:
            console.print(note)
        run.resolve_config(recorded_config(arguments))
        path = run.write_predictions(split, predictions, task)
        evaluation = None if task.labels(split) is None else evaluate_predictions(predictions, split, task)
        error = None if evaluation is None else evaluation.mean
        summary = {
            "verb": "evaluate",
            **({} if task is GAZE else {"task": task.name}),
            **size,
            "split": split.name,
            task.key("test_error"): error if split.name == "test" else None,
            task.key("val_error"): error if split.name == "val" else None,
            # A data set that is only tested on has nobody to take a mean of but those who are tested.
            **task.reference_errors(folder.splits.get("train", split), split),
            "seconds": round(time.monotonic() - begun, 1),
            "seed": arguments.split_seed,
            "seen_people": seen,
            "errors": None if evaluation is None else evaluation.to_dict(),
        }
        run.write_summary(summary)
        draw_prediction_plots(split, predictions, run.path / "plots", task)
    if evaluation is None:
        console.print(f"the {split.name} files carry no labels: no error; {len(split):,} predictions are in {path}")
    else:
        title = f"evaluate: {arguments.model} on {split.name}, {len(split):,} images of {len(split.people)} people"
        _print_evaluation(title, evaluation, summary)
    console.print(f"predictions, summary and plots are in {run.path}")


def _about_people(model: str, split: GazeSplit, seen: list[str] | None) -> list[str]:
    """What is to be said about people that the model may have been trained on."""
    if seen is None:
        return [
            f"nothing says whom {model} was trained on: whether the people of {split.name} are new to it is not known"
        ]
    if not seen:
        return []
    return [
        f"{model} was trained on {len(seen)} of the {len(split.people)} people of {split.name}: the error says nothing "
        "about new ones"
    ]


def _print_evaluation(title: str, evaluation: Evaluation, summary: Mapping[str, Any]) -> None:
    task = evaluation.task
    people = [[name, str(count), task.show(mean)] for name, (mean, count) in evaluation.people.items()]
    print_table("per person", ["person", "images", "mean"], people)
    low, high = evaluation.interval
    rows = {
        "mean": task.show(evaluation.mean),
        "95% interval over people (bootstrap)": f"{task.show(low)} to {task.show(high)}",
        "median": task.show(evaluation.median),
        **{f"{each}th percentile": task.show(value) for each, value in evaluation.percentiles.items()},
        **{each.title: task.show(evaluation.measures[word]) for word, each in task.measures.items()},
        **{each.title: task.show(summary[task.key(word)]) for word, each in task.references.items()},
    }
    print_table(title, [task.error_name, ""], [list(row) for row in rows.items()])


def _predict(
    model: str, folder: GazeFolder, split: GazeSplit, device: str, user: str
) -> tuple[NDArray[np.float32], dict[str, object]]:
    """Predictions for a split in order, and what is known of the model's size."""
    if model.endswith((".onnx", ".onnx.xz")):
        if user:
            raise InputError("--user: an ONNX file has its person baked in; 'gazenas export --user' does it")
        return _predict_onnx(model, folder, split)
    network = load_model(model, user=user or None).to(device)
    folder.expect_size(network.input_size, f"{model}")
    size = {
        "macs": count_macs(network, network.input_size),
        "params": count_params(network),
        "input_size": network.input_size,
        "fingerprint": network.architecture().fingerprint(),
    }
    return predict_split(network, split, device=device), size


def _estimator(model: str) -> GazeEstimator:
    from gazenas.export.runtime import GazeEstimator  # needs an extra that other models do not

    if not Path(model).is_file():
        raise InputError(f"--model: no such file: {model}{nearest_file(Path(model))}")
    try:
        return GazeEstimator(model)
    except Exception as error:  # onnxruntime's own exception types are not importable stably
        raise InputError(f"{model}: expected an ONNX file written by 'gazenas export': {error}") from error


def _task_of(model: str) -> Task:
    """What a model predicts, by its file."""
    if not model.endswith((".onnx", ".onnx.xz")):
        return TASKS[getattr(find_model(model).described, "task", GAZE.name)]
    return find_task(_estimator(model).task, f"{model}: task")


def _predict_onnx(model: str, folder: GazeFolder, split: GazeSplit) -> tuple[NDArray[np.float32], dict[str, object]]:
    from gazenas.evaluation.file_answers import predict_file  # needs an extra that other models do not

    estimator = _estimator(model)
    folder.expect_size(estimator.input_size, model)
    answers = predict_file(estimator, split, model, f"{folder.folder}: {split.name}")
    metadata = estimator.metadata
    size = {
        "macs": int(metadata["macs"]),
        "params": int(metadata["params"]),
        "input_size": estimator.input_size,
        "fingerprint": metadata["fingerprint"],
    }
    return answers, size
