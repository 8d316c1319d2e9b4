"""Any mix of networks measured alike: one recipe, the same seeds and people, one counter, latencies in one process."""

from __future__ import annotations

import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from gazenas.counting import count_macs, count_params
from gazenas.data.dataset import GazeFolder, GazeSplit
from gazenas.errors import InputError
from gazenas.evaluation.errors import evaluate_predictions
from gazenas.evaluation.experiment import Floats, Record, TrainingOptions, Trial, finetune
from gazenas.evaluation.file_answers import predict_file
from gazenas.export.onnx import onnx_bytes
from gazenas.export.runtime import GazeEstimator
from gazenas.files import nearest_file, safe_name
from gazenas.models.zoo import GazeModel, build_model, find_model, load_model
from gazenas.tasks import find_task
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import Task
from gazenas.training.finetuning import FinetuneRecipe
from gazenas.training.loop import predict_split
from gazenas.training.run_folder import RunFolder


@dataclass(frozen=True)
class Candidate:
    """One of those that are compared.

    Attributes:
        name: short and unique among them.
        source: what the person gave.
        kind: ``onnx``, ``trained``, or ``fresh``, which is trained here.
        input_size: side of its images.
        task: what it predicts.
    """

    name: str
    source: str
    kind: str
    input_size: int
    task: Task = GAZE


def candidates(sources: Sequence[str], *, retrain: bool, input_size: int, task: str = "") -> list[Candidate]:
    """What each name, folder or file is; all of one task.

    Args:
        sources: as the person gave them.
        retrain: whether networks that come with weights are trained here from fresh ones all the same.
        input_size: of what is trained here; 0 for each one's own.
        task: what networks that are trained here predict; empty for what their ``arch.json`` says, which is gaze for a
            name.

    Raises:
        InputError: where one is unknown, none is left to train an ONNX file from, or they predict different things.
    """
    twice = [source for number, source in enumerate(sources) if source in sources[:number]]
    if twice:
        raise InputError(f"{twice[0]}: was given twice")
    found: list[Candidate] = []
    for source in sources:
        path = Path(source)
        if path.suffix == ".onnx" or path.name.endswith(".onnx.xz"):
            if not path.is_file():
                raise InputError(f"{source}: no such ONNX file{nearest_file(path)}")
            try:
                estimator = GazeEstimator(path)
            except ValueError as error:
                raise InputError(str(error)) from error
            kind, size, predicted = "onnx", estimator.input_size, find_task(estimator.task, f"{source}: task")
        else:
            has_weights = find_model(source).has_weights and path.suffix != ".json"
            kind = "trained" if has_weights and not retrain else "fresh"
            network = load_model(source) if kind == "trained" else _build(source, input_size, task)
            size, predicted = network.input_size, network.task
        if found and predicted is not found[0].task:
            raise InputError(
                f"compare: expected networks of one task, found {found[0].task.name} in {found[0].source} and "
                f"{predicted.name} in {source}; --task says what those by name are trained for"
            )
        name = _short(source, [each.name for each in found])
        found.append(Candidate(name, source, kind, size, predicted))
    return found


def _short(source: str, taken: Sequence[str]) -> str:
    """The end of a path, longer where another one ends alike; also the name of its run folder and ONNX file."""
    parts = Path(source).parts
    for count in range(1, len(parts) + 1):
        name = safe_name("-".join(parts[-count:]).removesuffix(".json"))
        if name not in taken:
            return name
    return safe_name(f"{source}-{len(taken)}")


def _build(source: str, input_size: int, task: str) -> GazeModel:
    return build_model(source, input_size=input_size or None, task=task or None)


def count(candidate: Candidate) -> tuple[int | None, int | None]:
    """Parameters and MACs; for an ONNX file those that its metadata says, None where it says nothing."""
    if candidate.kind == "onnx":
        metadata = GazeEstimator(candidate.source).metadata
        return tuple(int(metadata[key]) if key in metadata else None for key in ("params", "macs"))  # type: ignore[return-value]
    network = _network(candidate)
    return count_params(network), count_macs(network, network.input_size)


def _network(candidate: Candidate) -> GazeModel:
    if candidate.kind == "trained":
        return load_model(candidate.source)
    return _build(candidate.source, candidate.input_size, candidate.task.name).eval()


def write_onnx(candidate: Candidate, path: Path) -> None:
    """Its ONNX file, for size, latency and memory; where it is trained here, with fresh weights, which cost the
    same."""
    if candidate.kind == "onnx":
        data = Path(candidate.source).read_bytes()
        path.write_bytes(lzma.decompress(data) if candidate.source.endswith(".xz") else data)
        return
    torch.manual_seed(0)
    path.write_bytes(onnx_bytes(_network(candidate)))


def is_onnx(path: Path) -> bool:
    """Whether a file is whole."""
    try:
        onnx.load(str(path))
    except Exception:  # onnx raises protobuf's own types for a damaged file
        return False
    return True


def measure_as_it_is(candidate: Candidate, split: GazeSplit) -> Record:
    """The record of a file or a trained network on a labeled split; its ``seed`` is None, its ``answers`` are ``(N,
    outputs)`` of its task."""
    if candidate.kind == "onnx":
        answers = predict_file(GazeEstimator(candidate.source), split, candidate.source, split.name)
    else:
        answers = predict_split(load_model(candidate.source), split)
    return {"name": candidate.name, "seed": None, "answers": answers, **_errors(answers, split, candidate.task)}


def deviations(records: Sequence[Record], task: Task = GAZE) -> dict[str, tuple[float, float, float]]:
    """By name, how far the answers of each are from those of the first: mean, 95th percentile, largest, as the task
    measures errors.

    Args:
        records: of :func:`measure_as_it_is`, on the same images; others are left out.
        task: of all.
    """
    found = [record for record in records if "answers" in record]
    apart = {
        record["name"]: task.error(record["answers"].astype(np.float64), found[0]["answers"].astype(np.float64))
        for record in found[1:]
        if len(record["answers"]) == len(found[0]["answers"])
    }
    return {
        name: (float(each.mean()), float(np.percentile(each, 95)), float(each.max())) for name, each in apart.items()
    }


def fresh_trials(
    candidate: Candidate,
    folder: GazeFolder,
    recipe: FinetuneRecipe,
    seeds: Sequence[int],
    out: Path,
    options: TrainingOptions,
) -> list[Trial]:
    """A trial a seed, each of fresh weights and measured on the test people.

    Args:
        candidate: of kind ``fresh``.
        folder: with a labeled ``test``.
        recipe: how all are trained.
        seeds: one a trial.
        out: of the comparison; run folders are ``runs/NAME/seedN`` in it.
        options: where and how.
    """
    hashes = {f"{side}_hash": folder.split(side).fingerprint() for side in ("train", "test")}
    return [_fresh_trial(candidate, folder, recipe, seed, out, options, hashes) for seed in seeds]


def _fresh_trial(
    candidate: Candidate,
    folder: GazeFolder,
    recipe: FinetuneRecipe,
    seed: int,
    out: Path,
    options: TrainingOptions,
    hashes: Mapping[str, str],
) -> Trial:
    path = out / "runs" / safe_name(candidate.name) / f"seed{seed}"
    task, test = candidate.task, folder.split("test")
    config = {"source": candidate.source, "seed": seed, **_plain(recipe)}
    if task is not GAZE:
        config["task"] = task.name

    def train() -> None:
        finetune(
            path,
            folder,
            partial(_build, candidate.source, candidate.input_size, task.name),
            recipe,
            verb="compare",
            seed=seed,
            config=config,
            options=options,
            finish=finish,
        )

    def finish(run: RunFolder, predictions: Floats) -> None:
        run.write_predictions(test, predictions, task)
        own = {"verb": "compare", "name": candidate.name, **config, **hashes}
        run.write_summary(own | _errors(predictions, test, task))

    return Trial(candidate.name, seed, path, train, fixed={**config, **hashes})


def _plain(recipe: FinetuneRecipe) -> dict[str, Any]:
    return {key: list(v) if isinstance(v, tuple) else v for key, v in vars(recipe).items()}


def _errors(predictions: Floats, split: GazeSplit, task: Task) -> Record:
    """Mean error over images, and by person."""
    evaluation = evaluate_predictions(predictions, split, task)
    return {
        task.key("error"): evaluation.mean,
        "people": {name: mean for name, (mean, _) in evaluation.people.items()},
    }
