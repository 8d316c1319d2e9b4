"""The folds of a protocol as trials, and their predictions added up to one table."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gazenas.data.dataset import GazeFolder
from gazenas.data.people import people_record
from gazenas.errors import InputError
from gazenas.evaluation.errors import bootstrap_interval
from gazenas.evaluation.experiment import Floats, TrainingOptions, Trial, finetune, keep_settings
from gazenas.evaluation.protocols.folds import Fold
from gazenas.files import safe_name, write_aside, write_json, write_records
from gazenas.gaze import angular_error
from gazenas.models.zoo import GazeModel
from gazenas.training.finetuning import FinetuneRecipe
from gazenas.training.run_folder import RunFolder

DONE = "fold.json"
SETTINGS = "protocol.json"


def fold_path(out: Path, fold: Fold) -> Path:
    """The run folder of a fold, inside ``out`` whatever people are called."""
    return out / "folds" / safe_name(fold.name)


def check_settings(out: Path, config: dict[str, Any]) -> None:
    """Records what must stay the same from the first fold to the last.

    Raises:
        InputError: where the folder holds folds of other settings, naming those that differ.
    """
    path = out / SETTINGS
    out.mkdir(parents=True, exist_ok=True)
    strangers = sorted(entry.name for entry in out.iterdir() if not entry.name.startswith("."))
    if strangers and SETTINGS not in strangers and not path.exists():  # another process may have written it just now
        raise InputError(f"{out}: expected an empty folder or one of this protocol, found {', '.join(strangers[:3])}")
    keep_settings(path, config)


def hashes_of(fold: Fold) -> dict[str, str]:
    """What says which rows are on either side."""
    return {"train_hash": fold.train.fingerprint(), "test_hash": fold.test.fingerprint()}


def finetuned_fold(
    fold: Fold,
    folder: GazeFolder,
    build: Callable[[], GazeModel],
    recipe: FinetuneRecipe,
    *,
    out: Path,
    seed: int,
    config: dict[str, Any],
    options: TrainingOptions,
) -> Trial:
    """A trial that fine-tunes on a fold's training side and predicts its test side.

    Args:
        fold: proven to share nobody.
        folder: the data set, for its frame and size.
        build: makes the network to begin with.
        recipe: its ``keep`` is ``last``, or ``best`` where the fold has ``val``.
        out: of the protocol.
        seed: of everything drawn.
        config: what must not change between a beginning and its end.
        options: what may.
    """
    splits = {"train": fold.train, "test": fold.test} | ({} if fold.val is None else {"val": fold.val})
    own = replace(folder, splits=splits, notes=[], parts={})

    record = people_record(own)

    def train() -> None:
        _announce(fold, options)
        finetune(
            fold_path(out, fold),
            own,
            build,
            recipe,
            verb="protocol",
            seed=seed,
            config=config,
            options=options,
            finish=lambda run, predictions: _finish(fold, run, predictions, config, record),
        )

    return _trial(fold, out, seed, train)


def evaluated_fold(
    fold: Fold,
    predict: Callable[[Fold], Floats],
    *,
    out: Path,
    seed: int,
    config: dict[str, Any],
    options: TrainingOptions,
) -> Trial:
    """A trial that trains nothing: ``predict`` gives a model's answers to a fold's test side."""

    def train() -> None:
        _announce(fold, options)
        with RunFolder(fold_path(out, fold), "protocol", resume=True) as run:
            run.resolve_config(config)
            _finish(fold, run, predict(fold), config)

    return _trial(fold, out, seed, train)


def _trial(fold: Fold, out: Path, seed: int, train: Callable[[], object]) -> Trial:
    return Trial(fold.name, seed, fold_path(out, fold), train, record=DONE, fixed=hashes_of(fold))


def _announce(fold: Fold, options: TrainingOptions) -> None:
    sides = f"{len(fold.train):,} images to train on, {len(fold.test):,} to test"
    options.progress.say(f"fold {fold.name}: {sides}")


def _finish(
    fold: Fold, run: RunFolder, predictions: Floats, config: dict[str, Any], data: dict[str, Any] | None = None
) -> None:
    """Writes the predictions and, last, the file that says that the fold is done; ``data`` is whom its network was
    trained on."""
    run.write_predictions(fold.test, predictions)
    values = {
        "name": fold.name,
        **hashes_of(fold),
        "train_people": fold.train.people,
        "val_people": [] if fold.val is None else fold.val.people,
        "test_people": fold.test.people,
        "train_images": len(fold.train),
        "test_images": len(fold.test),
        "known": fold.known,
        "config": config,
        "data": data,
    }
    write_json(run.path / DONE, values)


def read_predictions(path: Path) -> Floats:
    """``(N, 2)`` pitch and yaw of a fold's ``predictions_test.csv``, by which the tables are made."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(float(row["pitch"]), float(row["yaw"])) for row in csv.DictReader(file)]
    return np.array(rows, np.float32).reshape(-1, 2)


def report(out: Path, folds: Sequence[Fold]) -> dict[str, Any]:
    """Errors of the folds that are done, in degrees, from their written predictions; writes ``folds.csv`` and
    ``people.csv``.

    Returns:
        ``folds`` and ``people`` as rows, ``mean_over_folds_deg``, ``mean_over_images_deg``, ``std_over_folds_deg``,
        ``interval_95_deg`` (bootstrap over people), ``subsets``; errors are None where nothing is labeled.
    """
    rows: list[dict[str, Any]] = []
    people: dict[str, list[Floats]] = {}
    subsets: dict[str, list[Floats]] = {}
    for fold in folds:
        path = fold_path(out, fold)
        if not (path / DONE).exists():
            continue
        predictions = read_predictions(path / "predictions_test.csv")
        row: dict[str, Any] = {"fold": fold.name, "people": len(fold.test.people), "images": len(fold.test)}
        if fold.test.gaze is not None:
            errors = angular_error(predictions, fold.test.gaze)
            row |= {"mean_deg": float(errors.mean()), "median_deg": float(np.median(errors))}
            for number, person in enumerate(fold.test.people):
                people.setdefault(person, []).append(errors[fold.test.person == number])
            for name, mask in fold.subsets.items():
                subsets.setdefault(name, []).append(errors[mask])
        rows.append(row | hashes_of(fold))
    pooled = {person: np.concatenate(parts) for person, parts in people.items()}
    table = [{"person": p, "images": len(e), "mean_deg": float(e.mean())} for p, e in sorted(pooled.items())]
    write_records(out / "folds.csv", rows)
    write_records(out / "people.csv", table)
    joined = {name: np.concatenate(parts) for name, parts in subsets.items()}
    return {
        "folds": rows,
        "people": table,
        "subsets": {n: {"images": len(e), "mean_deg": float(e.mean()) if len(e) else None} for n, e in joined.items()},
        **_summary([row["mean_deg"] for row in rows if "mean_deg" in row], list(pooled.values())),
    }


def _summary(means: list[float], people: list[Floats]) -> dict[str, Any]:
    if not means:
        return dict.fromkeys(("mean_over_folds_deg", "std_over_folds_deg", "mean_over_images_deg", "interval_95_deg"))
    sums, counts = np.array([part.sum() for part in people]), np.array([len(part) for part in people])
    return {
        "mean_over_folds_deg": float(np.mean(means)),
        "std_over_folds_deg": float(np.std(means, ddof=1)) if len(means) > 1 else None,
        "mean_over_images_deg": float(sums.sum() / counts.sum()),
        "interval_95_deg": list(bootstrap_interval(sums, counts)),
    }


def write_leaderboard(path: Path, predictions: Floats) -> None:
    """One ``pitch,yaw`` line in radians a row, in the order of the test list and of the rows as stored."""
    lines = "".join(f"{pitch:.6f},{yaw:.6f}\n" for pitch, yaw in predictions.tolist())
    with write_aside(path) as aside:
        aside.write_text(lines, encoding="utf-8")
