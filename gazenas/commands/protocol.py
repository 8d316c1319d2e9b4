"""``gazenas protocol``: fine-tunes and tests as a data set's users do, and prints the table that a paper prints."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt

from gazenas.commands._arguments import add_pretrained_argument, begin_with
from gazenas.commands._common import (
    RichProgress,
    add_device_arguments,
    add_reading_arguments,
    console,
    degrees,
    expect_gaze,
    make_parser,
    print_table,
    reading_of,
    usable_cores,
    use_device,
)
from gazenas.commands._recipes import add_recipe, parse_with_recipe, recipe_of
from gazenas.data.dataset import GazeFolder, plural
from gazenas.data.people import check_unseen
from gazenas.data.readers import open_data
from gazenas.errors import InputError
from gazenas.evaluation.adaptation import report_adaptation
from gazenas.evaluation.experiment import TrainingOptions, run_trials
from gazenas.evaluation.protocols.folds import PROTOCOLS, Fold, Settings, hold_out_validation
from gazenas.evaluation.protocols.runs import (
    DONE,
    check_settings,
    evaluated_fold,
    finetuned_fold,
    fold_path,
    read_predictions,
    report,
    write_leaderboard,
)
from gazenas.evaluation.verb_processes import VerbError, VerbProcesses
from gazenas.files import read_json, write_json
from gazenas.models.zoo import GazeModel, build_model, find_model, load_model
from gazenas.training.finetuning import RECIPES, FinetuneRecipe
from gazenas.training.loop import predict_split
from gazenas.training.signals import Interruption

SEEN_ADVICE = (
    "start from weights of other people (--arch without --weights), or give --allow-seen-people, and the result says so"
)


def run(argv: list[str]) -> None:
    """Runs the verb: its first argument is the protocol."""
    names = "\n".join(f"  {name:16} {protocol.about}" for name, protocol in PROTOCOLS.items())
    if not argv or argv[0] in ("-h", "--help"):
        console.print(
            f"usage: gazenas protocol NAME [arguments]; gazenas protocol NAME --help explains them\n\n{names}"
        )
        return
    if argv[0] not in PROTOCOLS:
        raise InputError(f"protocol: unknown name {argv[0]!r}: expected one of {', '.join(PROTOCOLS)}")
    arguments = _parse(argv[0], argv[1:])
    begun = time.monotonic()
    device = use_device(arguments.device, arguments.threads, arguments.workers, deterministic=arguments.deterministic)
    folder, folds, notes = _folds(argv[0], arguments)
    out = Path(arguments.out)
    config = _config(argv[0], arguments, folder)
    chosen = _chosen(arguments.folds, folds)
    check_settings(out, config)
    for note in [*folder.notes, *notes]:
        console.print(note)
    devices = _devices(arguments)[: len(chosen)]
    if len(devices) > 1:
        _spread(argv, chosen, devices, arguments)
    _run_folds(arguments, folder, [folds[number] for number in chosen], config, device)
    adapted = _adapted(out, folds[0], arguments, device) if argv[0] == "familiar" else []
    _conclude(argv[0], out, folder, folds, [*folder.notes, *notes], arguments, begun, adapted)


def _parse(name: str, argv: list[str]) -> Namespace:
    parser = make_parser(f"protocol {name}", f"{PROTOCOLS[name].about[0].upper()}{PROTOCOLS[name].about[1:]}.")
    parser.add_argument(
        "--arch", type=str, default="", help="arch.json, run folder or shipped name: fine-tuned on every fold"
    )
    parser.add_argument(
        "--input_size", "--input-size", type=int, default=0, help="side of the images; 0 for the network's own"
    )
    parser.add_argument(
        "--weights",
        type=str,
        default="",
        help="safetensors to begin every fold with; without it fresh ones, or those of --arch with --recipe paper",
    )
    add_pretrained_argument(parser)
    parser.add_argument(
        "--model", type=str, default="", help="run folder or shipped name: evaluated on every fold, not trained"
    )
    parser.add_argument(
        "--allow_seen_people",
        "--allow-seen-people",
        action="store_true",
        help="test people that --model or --weights were trained on as well; the output says so",
    )
    parser.add_argument("--data", type=str, required=True, help="data folder in any known layout")
    parser.add_argument("--test_data", "--test-data", type=str, default="", help="cross: the data set to test on")
    parser.add_argument(
        "--out", type=str, required=True, help="folder to write; the same command again goes on with it"
    )
    parser.add_argument(
        "--folds", type=str, default="", help="numbers of folds to run now, such as 0,3; all without it"
    )
    _add_fold_arguments(parser)
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="of everything drawn but people")
    add_device_arguments(parser)
    parser.add_argument(
        "--recipe",
        type=Literal["short", "paper"],
        default="short",
        help="which defaults to begin with; the paper's folds begin with the weights of --arch where it has any",
    )
    add_recipe(parser, FinetuneRecipe, leave_out=("keep",))
    add_reading_arguments(parser)
    arguments = parse_with_recipe(parser, argv, FinetuneRecipe, RECIPES)
    if bool(arguments.arch) == bool(arguments.model):
        raise InputError("expected either --arch, to fine-tune, or --model, to evaluate; found both or neither")
    if arguments.recipe == "paper" and arguments.arch and not arguments.weights:
        own = find_model(arguments.arch).weights
        arguments.weights = "" if own is None else str(own)
    return arguments


def _add_fold_arguments(parser: ArgumentParser) -> None:
    """How people are drawn into folds, and what is kept and answered in each."""
    parser.add_argument("--people", type=PositiveInt, default=1, help="held-out, familiar: how many are held out")
    parser.add_argument("--labeled", type=PositiveInt, default=200, help="ethxgaze-person: labeled images of a person")
    parser.add_argument(
        "--session_images",
        "--session-images",
        type=PositiveInt,
        default=50,
        help="familiar: images of a session from which BatchNorm statistics are estimated, for one of three ways to "
        "answer",
    )
    parser.add_argument(
        "--select",
        type=Literal["last", "val"],
        default="last",
        help="a fold's epoch: the last, or the one that validates best on people held out of the training side",
    )


def _folds(name: str, arguments: Namespace) -> tuple[GazeFolder, list[Fold], list[str]]:
    """The data set at the network's size, and proven folds."""
    network = _network(arguments)
    reading = reading_of(arguments, network.input_size)
    if name == "mpiifacegaze" and reading.frame == "auto" and (Path(arguments.data) / "Label").is_dir():
        reading = replace(reading, frame="SR")  # the data set's own numbers are printed in its own frame
    folder = open_data(Path(arguments.data), reading, arguments.format)
    other = open_data(Path(arguments.test_data), replace(reading, frame="auto")) if arguments.test_data else None
    settings = Settings(arguments.split_seed, arguments.people, arguments.labeled, other)
    folds, notes = PROTOCOLS[name].folds(folder, settings)
    if arguments.select == "val" and arguments.arch:
        folds = [hold_out_validation(fold, arguments.split_seed) for fold in folds]
    else:
        folds = [replace(fold, val=None) for fold in folds]
    source = arguments.model or arguments.weights
    seen: set[str] = set()
    for fold in folds:
        fold.prove(folder.group)
        tested = replace(other or folder, splits={"test": fold.test}, parts={})
        seen |= set(check_unseen(source, tested, ["test"], advice=SEEN_ADVICE, allow=arguments.allow_seen_people) or ())
    if seen:
        notes = [*notes, f"{source} was trained on people who are tested: {', '.join(sorted(seen))}"]
    _refuse_other_frame(arguments.model, other or folder)
    return folder, folds, notes


def _network(arguments: Namespace) -> GazeModel:
    if arguments.model:
        network = load_model(arguments.model)
        expect_gaze(network, "protocol")
        return network
    torch.manual_seed(arguments.seed)
    network = build_model(arguments.arch, weights=arguments.weights or None, input_size=arguments.input_size or None)
    expect_gaze(network, "protocol")
    begin_with(network, arguments)
    return network


def _refuse_other_frame(model: str, folder: GazeFolder) -> None:
    """Refuses a model whose run says that it was trained in another frame."""
    path = Path(model) / "summary.json"
    if not model or not path.is_file():
        return
    frame = read_json(path).get("data", {}).get("frame", folder.frame)
    if frame != folder.frame:
        raise InputError(f"{model} was trained on labels in frame {frame}, {folder.folder} is in frame {folder.frame}")


def _config(name: str, arguments: Namespace, folder: GazeFolder) -> dict[str, Any]:
    """What must stay the same from a fold's beginning to its end."""
    free = (
        "config",
        "recorded",
        "recipe",
        "out",
        "folds",
        "device",
        "threads",
        "workers",
        "save_minutes",
        "allow_seen_people",
    )
    values = {key: value for key, value in arguments.as_dict().items() if key not in free}
    values = {key: value for key, value in values.items() if value or key != "pretrained"}  # newer than some folders
    values |= {"protocol": name, "frame": folder.frame, "choices": folder.choices}
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _chosen(words: str, folds: list[Fold]) -> list[int]:
    try:
        numbers = [int(word) for word in words.split(",")] if words else list(range(len(folds)))
    except ValueError:
        raise InputError(f"--folds: expected numbers such as 0,3, found {words!r}") from None
    wrong = [number for number in numbers if not 0 <= number < len(folds)]
    if wrong:
        raise InputError(f"--folds: expected 0 to {len(folds) - 1}, found {wrong[0]}")
    return numbers


def _devices(arguments: Namespace) -> list[str]:
    """Every GPU, where trainings are free to be on any."""
    free = arguments.device == "auto" and arguments.arch
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] if free else []


def _spread(argv: list[str], chosen: Sequence[int], devices: Sequence[str], arguments: Namespace) -> None:
    """Runs folds in a process a device; what they leave undone is done afterwards, which says why.

    Raises:
        StoppedError: after a signal, everything saved and every process ended.
    """
    threads = str(threads_of_each(len(devices), arguments.threads, arguments.workers))
    with VerbProcesses() as processes, ThreadPoolExecutor(len(devices)) as pool:
        ended = []
        for number, device in enumerate(devices):
            share = ",".join(str(fold) for fold in chosen[number :: len(devices)])
            own = ["--folds", share, "--device", device, "--threads", threads]
            ended.append(pool.submit(processes.run, ["protocol", *argv, *own]))
        for each in ended:
            with suppress(VerbError):
                each.result()


def threads_of_each(processes: int, threads: int, workers: int) -> int:
    """Threads for each of some processes that share this one's cores, so that all of them together do not want more
    than there are.

    Args:
        processes: how many there are.
        threads: as the person gave them for one process; 0 for as many as there are cores for.
        workers: loader processes of each, which keep a core each.
    """
    share = max(1, usable_cores() // processes - workers)
    return min(threads, share) if threads else share


def _run_folds(
    arguments: Namespace, folder: GazeFolder, folds: list[Fold], config: dict[str, Any], device: str
) -> None:
    recipe = recipe_of(arguments, FinetuneRecipe)
    recipe = replace(recipe, keep="best" if arguments.select == "val" else "last")
    with Interruption() as interruption, RichProgress() as progress:
        options = TrainingOptions(device, arguments.workers, arguments.save_minutes, progress, interruption)
        common: dict[str, Any] = {
            "out": Path(arguments.out),
            "seed": arguments.seed,
            "config": config,
            "options": options,
        }
        if arguments.arch:
            build = partial(_network, arguments)
            trials = [finetuned_fold(fold, folder, build, recipe, **common) for fold in folds]
        else:
            answers = _predictor(arguments, device)
            trials = [evaluated_fold(fold, answers, **common) for fold in folds]
        for trial in trials:
            if trial.is_finished():
                progress.say(f"fold {trial.name}: done before")
        run_trials(trials)


def _predictor(arguments: Namespace, device: str) -> Callable[[Fold], Any]:
    network = _network(arguments).to(device)

    def answers(fold: Fold) -> Any:
        return predict_split(network, fold.test, device=device, workers=arguments.workers)

    return answers


def _conclude(
    name: str,
    out: Path,
    folder: GazeFolder,
    folds: list[Fold],
    notes: list[str],
    arguments: Namespace,
    begun: float,
    adapted: list[dict[str, Any]],
) -> None:
    """Tables, ``summary.json``, and a file for the leaderboard where the test side has no labels."""
    found = report(out, folds)
    summary = {
        "verb": "protocol",
        "protocol": name,
        "dataset": folder.dataset,
        "group": folder.group,
        "frame": folder.frame,
        "folds_done": len(found["folds"]),
        "folds_of_protocol": len(folds),
        "notes": notes,
        "known": folds[0].known,
        "seed": arguments.seed,
        "pretrained": arguments.pretrained or None,
        "select": arguments.select if arguments.arch else "evaluated as it is",
        "seconds_of_last_call": round(time.monotonic() - begun, 1),
    }
    write_json(out / "summary.json", summary | found | ({"adapted": adapted} if adapted else {}))
    _print(name, folder.group, found, len(folds))
    if adapted:
        _print_adapted(adapted)
    for known in sorted({fold.known for fold in folds if fold.known}):
        console.print(known)
    first = fold_path(out, folds[0])
    if name == "ethxgaze" and folds[0].test.gaze is None and (first / DONE).exists():
        write_leaderboard(out / "leaderboard.txt", read_predictions(first / "predictions_test.csv"))
        images = f"{len(folds[0].test):,} predictions for the leaderboard"
        console.print(f"test has no labels: {images} are in {out / 'leaderboard.txt'}")
    console.print(f"predictions of every fold, folds.csv, people.csv and summary.json are in {out}")


def _adapted(out: Path, fold: Fold, arguments: Namespace, device: str) -> list[dict[str, Any]]:
    """Errors by whose statistics BatchNorms go, once the fold is done."""
    path = fold_path(out, fold)
    if not (path / DONE).exists():
        return []
    network = load_model(path) if arguments.arch else _network(arguments)
    network = network.to(device).eval()
    return report_adaptation(out, fold, network, images=arguments.session_images, seed=arguments.seed)


def _print_adapted(rows: Sequence[Mapping[str, Any]]) -> None:
    subsets = list(dict.fromkeys(row["subset"] for row in rows))
    by_way: dict[str, list[str]] = {}
    for row in rows:
        by_way.setdefault(row["statistics"], []).append(f"{degrees(row['mean_deg'])} ({row['images']:,})")
    table = [[way, *cells] for way, cells in by_way.items()]
    print_table("mean error and images, by whose BatchNorm statistics", ["statistics", *subsets], table)


def _print(name: str, group: str, found: dict[str, Any], of: int) -> None:
    """Errors by person where there are any, by fold, and in all."""
    if found["people"]:
        rows = [[row["person"], f"{row['images']:,}", degrees(row["mean_deg"])] for row in found["people"]]
        print_table(f"protocol {name}: by {group}", [group, "images", "mean"], rows)
    folds = found["folds"]
    numbers = [[row["fold"], str(row["people"]), f"{row['images']:,}", degrees(row.get("mean_deg"))] for row in folds]
    hashes = [[row["train_hash"], row["test_hash"]] for row in folds]
    title = f"protocol {name}: {len(folds)} of {of} folds"
    columns = ["fold", plural(group), "images", "mean", "train split", "test split"]
    print_table(title, columns, [left + right for left, right in zip(numbers, hashes, strict=True)])
    interval = found["interval_95_deg"]
    if interval is None:
        return
    several = len(found["people"]) > 1
    totals = {
        "mean over folds": degrees(found["mean_over_folds_deg"]),
        "standard deviation over folds": degrees(found["std_over_folds_deg"]),
        "mean over images": degrees(found["mean_over_images_deg"]),
        f"95% interval over {plural(group)} (bootstrap)": f"{degrees(interval[0])} to {degrees(interval[1])}"
        if several
        else f"not measured: one {group}",
    } | {f"{key} ({value['images']:,} images)": degrees(value["mean_deg"]) for key, value in found["subsets"].items()}
    print_table("in all", ["angular error", ""], [list(row) for row in totals.items()])
