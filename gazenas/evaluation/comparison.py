"""Any mix of networks measured alike: one recipe, the same seeds and people, one counter, latencies in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from gazenas.counting import count_macs, count_params
from gazenas.data.dataset import GazeFolder, GazeSplit
from gazenas.errors import InputError
from gazenas.evaluation.errors import evaluate_predictions
from gazenas.export.onnx import onnx_bytes
from gazenas.export.runtime import GazeEstimator
from gazenas.files import safe_name
from gazenas.models.zoo import GazeModel, build_model, find_model, load_model
from gazenas.training.finetuning import FinetuneRecipe
from gazenas.training.loop import predict_faces
from gazenas.training.subruns import Run, Surroundings, finetune

ROWS = 128  # images predicted at once


@dataclass(frozen=True)
class Contender:
    """One of those that are compared.

    Attributes:
        name: short and unique among them.
        source: what the person gave.
        kind: ``onnx``, ``trained``, or ``fresh``, which is trained here.
        input_size: side of its images.
    """

    name: str
    source: str
    kind: str
    input_size: int


@dataclass
class Result:
    """What was measured of a contender; errors in degrees, one entry a seed where it was trained here, else one."""

    contender: Contender
    params: int | None
    macs: int | None
    errors: list[float] = field(default_factory=list)
    people: list[dict[str, float]] = field(default_factory=list)

    def mean(self) -> float | None:
        """Over seeds."""
        return float(np.mean(self.errors)) if self.errors else None

    def spread(self) -> float | None:
        """Standard deviation over seeds; None for fewer than two."""
        return float(np.std(self.errors, ddof=1)) if len(self.errors) > 1 else None


def contenders(sources: Sequence[str], *, retrain: bool, input_size: int) -> list[Contender]:
    """What each name, folder or file is.

    Args:
        sources: as the person gave them.
        retrain: whether networks that come with weights are trained here from fresh ones all the same.
        input_size: of what is trained here; 0 for each one's own.

    Raises:
        InputError: where one is unknown, or none is left to train an ONNX file from.
    """
    twice = [source for number, source in enumerate(sources) if source in sources[:number]]
    if twice:
        raise InputError(f"{twice[0]}: was given twice")
    found: list[Contender] = []
    for source in sources:
        path = Path(source)
        if path.suffix == ".onnx":
            if not path.is_file():
                raise InputError(f"{source}: no such ONNX file")
            kind, size = "onnx", GazeEstimator(path).input_size
        else:
            has_weights = find_model(source).has_weights and path.suffix != ".json"
            kind = "trained" if has_weights and not retrain else "fresh"
            size = load_model(source).input_size if kind == "trained" else _build(source, input_size).input_size
        name = _short(source, [each.name for each in found])
        found.append(Contender(name, source, kind, size))
    return found


def _short(source: str, taken: Sequence[str]) -> str:
    """The end of a path, longer where another one ends alike; also the name of its run folder and ONNX file."""
    parts = Path(source).parts
    for count in range(1, len(parts) + 1):
        name = safe_name("-".join(parts[-count:]).removesuffix(".json"))
        if name not in taken:
            return name
    return safe_name(f"{source}-{len(taken)}")


def _build(source: str, input_size: int) -> GazeModel:
    return build_model(source, input_size=input_size or None)


def count(contender: Contender) -> tuple[int | None, int | None]:
    """Parameters and MACs; for an ONNX file those that its metadata says, None where it says nothing."""
    if contender.kind == "onnx":
        metadata = GazeEstimator(contender.source).metadata
        return tuple(int(metadata[key]) if key in metadata else None for key in ("params", "macs"))  # type: ignore[return-value]
    network = _network(contender)
    return count_params(network), count_macs(network, network.input_size)


def _network(contender: Contender) -> GazeModel:
    if contender.kind == "trained":
        return load_model(contender.source)
    return _build(contender.source, contender.input_size).eval()


def write_onnx(contender: Contender, path: Path) -> None:
    """Its ONNX file, for size, latency and memory; where it is trained here, with fresh weights, which cost the
    same."""
    if contender.kind == "onnx":
        path.write_bytes(Path(contender.source).read_bytes())
        return
    torch.manual_seed(0)
    path.write_bytes(onnx_bytes(_network(contender)))


def is_onnx(path: Path) -> bool:
    """Whether a file is whole."""
    try:
        onnx.load(str(path))
    except Exception:  # onnx raises protobuf's own types for a damaged file
        return False
    return True


def measure_as_it_is(contender: Contender, split: GazeSplit, result: Result) -> None:
    """Adds the error of a file or a trained network on a labeled split."""
    answer: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    if contender.kind == "onnx":
        answer = GazeEstimator(contender.source)
    else:
        network = load_model(contender.source)

        def answer(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
            return predict_faces(network, faces)

    rows = np.arange(len(split))
    parts = [answer(split.images(rows[begin : begin + ROWS])) for begin in range(0, len(rows), ROWS)]
    _add(result, np.concatenate(parts), split)


def train(
    contender: Contender, folder: GazeFolder, recipe: FinetuneRecipe, seeds: Sequence[int], surroundings: Surroundings
) -> Result:
    """Trains fresh weights once a seed, each run gone on with where it stopped, and measures each on the test people.

    Raises:
        StoppedError: after a signal, everything saved.
    """
    result = Result(contender, *count(contender))
    test = folder.split("test")
    for seed in seeds:
        part = Run(
            surroundings.out / "runs" / contender.name / f"seed{seed}",
            "compare",
            lambda: _build(contender.source, contender.input_size),
            recipe,
            {"source": contender.source, "seed": seed, **_plain(recipe)},
        )
        own = replace(surroundings, seed=seed)
        predictions = finetune(part, folder, own, lambda run, found: run.write_predictions(test, found))
        _add(result, predictions, test)
    return result


def _plain(recipe: FinetuneRecipe) -> dict[str, Any]:
    return {key: list(v) if isinstance(v, tuple) else v for key, v in vars(recipe).items()}


def _add(result: Result, predictions: NDArray[np.float32], split: GazeSplit) -> None:
    evaluation = evaluate_predictions(predictions, split)
    result.errors.append(evaluation.mean)
    result.people.append({name: mean for name, (mean, _) in evaluation.people.items()})
