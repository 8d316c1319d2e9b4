"""Protocols as a person runs them: on every kind of folder, killed and gone on with, and their tables checked from
the CSV files."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gazenas.__main__ import main
from gazenas.commands.protocol import threads_of_each
from gazenas.data import dataset
from gazenas.data.dataset import GazeSplit
from gazenas.data.readers import open_data
from gazenas.evaluation.protocols.folds import PROTOCOLS, Fold, Settings
from gazenas.evaluation.protocols.runs import fold_path
from gazenas.evaluation.verb_processes import VerbError, VerbProcesses
from gazenas.models.build import full_architecture
from gazenas.models.zoo import load_model, load_space
from gazenas.training.loop import predict_faces
from tests.data.layouts import WRITERS, Faces
from tests.running import MICRO, begin, run_bad

FLAGS = ("--folds", "--device", "--threads")
TRAIN = ("--epochs", "1", "--batch-size", "8", "--threads", "1")


@pytest.fixture(scope="module")
def sources(few_faces: Faces, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every layout, an architecture to fine-tune, and a model that has been."""
    root = tmp_path_factory.mktemp("sources")
    for name, write in WRITERS.items():
        if name not in ("photos", "collected"):
            write(root / name, few_faces)
    full_architecture(load_space(MICRO)).save(root / "arch.json")
    words = ["--arch", str(root / "arch.json"), "--data", str(root / "ethxgaze"), *TRAIN]
    assert main(["finetune", *words, "--out", str(root / "model")]) == 0
    return root


def protocol(name: str, sources: Path, layout: str, out: Path, *more: str) -> list[str]:
    arch = [] if "--model" in more else ["--arch", str(sources / "arch.json"), *TRAIN]
    return ["protocol", name, *arch, "--data", str(sources / layout), "--out", str(out), *more]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def wait_until(done: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.05)


def error_of(row: dict[str, str]) -> float:
    """Degrees between the two directions of a row of predictions_test.csv, by the angle's own formula."""
    pitch, yaw, true_pitch, true_yaw = (float(row[k]) for k in ("pitch", "yaw", "true_pitch", "true_yaw"))
    turned = math.cos(pitch) * math.cos(true_pitch) * math.cos(yaw - true_yaw)
    return math.degrees(math.acos(min(1.0, turned + math.sin(pitch) * math.sin(true_pitch))))


def check_tables(out: Path) -> None:
    """folds.csv, people.csv and summary.json follow from the written predictions and from nothing else."""
    summary, folds, everyone = json.loads((out / "summary.json").read_text()), [], {}
    for fold in rows_of(out / "folds.csv"):
        rows = rows_of(out / "folds" / fold["fold"] / "predictions_test.csv")
        errors = [error_of(row) for row in rows]
        assert int(fold["images"]) == len(rows)
        assert float(fold["mean_deg"]) == pytest.approx(sum(errors) / len(errors), abs=2e-3)
        folds.append(sum(errors) / len(errors))
        for row, value in zip(rows, errors, strict=True):
            everyone.setdefault(row["person"], []).append(value)
    for row in rows_of(out / "people.csv"):
        mine = everyone.pop(row["person"])
        assert float(row["mean_deg"]) == pytest.approx(sum(mine) / len(mine), abs=2e-3)
        everyone[row["person"]] = mine
    assert {row["person"] for row in rows_of(out / "people.csv")} == set(everyone)
    pooled = [value for values in everyone.values() for value in values]
    assert summary["mean_over_folds_deg"] == pytest.approx(np.mean(folds), abs=2e-3)
    assert summary["mean_over_images_deg"] == pytest.approx(np.mean(pooled), abs=2e-3)
    if len(folds) > 1:
        assert summary["std_over_folds_deg"] == pytest.approx(np.std(folds, ddof=1), abs=2e-3)
    low, high = summary["interval_95_deg"]
    assert low - 2e-3 <= summary["mean_over_images_deg"] <= high + 2e-3


@pytest.mark.parametrize(
    ("name", "layout", "more", "folds"),
    [
        ("ethxgaze", "ethxgaze", (), 1),
        ("ethxgaze-person", "ethxgaze", ("--labeled", "5"), 1),
        ("mpiifacegaze", "mpiifacegaze", (), 5),
        ("mpiifacegaze", "mpiifacegaze-mat", ("--folds", "0,3"), 2),
        ("eyediap", "eyediap", ("--select", "val"), 4),
        ("rtgene", "rtgene", (), 3),
        ("gaze360", "gaze360", ("--select", "val"), 1),
        ("gaze360", "gaze360-mat", (), 1),
        ("cross", "mpiifacegaze", ("--test-data", "OTHER/eyediap"), 1),
        ("held-out", "table", ("--people", "2"), 3),
        ("familiar", "table", ("--people", "2", "--batches", "session"), 1),
        ("held-out", "table", ("--people", "2", "--model", "OTHER/model"), 3),
    ],
)
def test_end_to_end(name: str, layout: str, more: tuple[str, ...], folds: int, sources: Path, tmp_path: Path) -> None:
    words = [word.replace("OTHER", str(sources)) for word in more]
    assert main(protocol(name, sources, layout, tmp_path, *words)) == 0
    check_tables(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["folds_done"] == folds == len(rows_of(tmp_path / "folds.csv"))
    assert summary["group"] == ("recording" if layout.startswith("gaze360") else "person")
    assert summary["frame"] == {"gaze360": "none", "gaze360-mat": "none", "mpiifacegaze-mat": "SR"}.get(
        layout, "SR" if name == "mpiifacegaze" else "R"
    )
    for fold in (tmp_path / "folds").iterdir():
        sides = json.loads((fold / "fold.json").read_text())
        shared = set(sides["train_people"]) & {*sides["test_people"], *sides["val_people"]}
        assert bool(shared) == bool(sides["known"])
        assert ("--select" in more) == bool(sides["val_people"])
        trained = rows_of(fold / "metrics.csv") if "--model" not in more else []
        assert all((row["val_error_deg"] != "") == ("--select" in more) for row in trained)


def test_the_paper_s_folds_begin_with_the_search_s_weights(sources: Path, tmp_path: Path) -> None:
    """A run folder's own, by RMSprop, whatever the defaults; an arch.json alone still means fresh weights."""
    words = ["protocol", "held-out", "--data", str(sources / "table"), "--folds", "0", "--allow-seen-people", *TRAIN]
    words += ["--people", "2", "--lr", "1e-12"]
    for recipe, begins_with_them in (("paper", True), ("short", False)):
        out = tmp_path / recipe
        assert main([*words, "--arch", str(sources / "model"), "--recipe", recipe, "--out", str(out)]) == 0
        (fold,) = (out / "folds").iterdir()
        assert (json.loads((out / "protocol.json").read_text())["optimizer"] == "rmsprop") == begins_with_them
        kept, began = (load_file(path / "weights.safetensors") for path in (fold, sources / "model"))
        filters = [name for name, tensor in began.items() if tensor.dim() == 4]
        same = [torch.allclose(kept[name], began[name], atol=1e-4) for name in filters]
        assert all(same) if begins_with_them else not any(same)


def test_subsets_follow_from_the_predictions(sources: Path, tmp_path: Path) -> None:
    assert main(protocol("gaze360", sources, "gaze360", tmp_path)) == 0
    rows = rows_of(tmp_path / "folds" / "test" / "predictions_test.csv")
    subsets = json.loads((tmp_path / "summary.json").read_text())["subsets"]
    for name, limit in (("all", 180), ("|yaw| <= 90", 90), ("|yaw| <= 20", 20)):
        errors = [error_of(row) for row in rows if abs(math.degrees(float(row["true_yaw"]))) <= limit]
        assert subsets[name]["images"] == len(errors)
        if errors:
            assert subsets[name]["mean_deg"] == pytest.approx(sum(errors) / len(errors), abs=2e-3)


def test_the_leaderboard_s_file_is_in_the_split_s_order(
    published_folder: Path, sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two unlabeled people in an order that is not the alphabet's; each line is the network's answer to that image."""
    split = json.loads((published_folder / "train_test_split.json").read_text())
    first = split["train"].pop()
    shutil.move(published_folder / "train" / first, published_folder / "test" / first)
    split["test"] = sorted([first, *split["test"]], reverse=True)
    (published_folder / "train_test_split.json").write_text(json.dumps(split))
    with h5py.File(published_folder / "test" / first, "a") as file:
        del file["face_gaze"]
    words = ["--model", str(sources / "model"), "--data", str(published_folder), "--out", str(tmp_path / "out")]
    assert main(["protocol", "ethxgaze", *words]) == 0
    lines = [
        [float(x) for x in line.split(",")] for line in (tmp_path / "out" / "leaderboard.txt").read_text().splitlines()
    ]
    expected = []
    for name in split["test"]:
        with h5py.File(published_folder / "test" / name) as file:
            faces = dataset.Faces(file["face_patch"][:][..., ::-1].copy())
            expected.append(predict_faces(load_model(sources / "model"), faces))
    np.testing.assert_allclose(lines, np.concatenate(expected), atol=2e-6)
    said = " ".join(capsys.readouterr().out.split())
    assert "not measured" in said
    assert "test has no labels: 32 predictions" in said
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["mean_over_folds_deg"] is None


@pytest.fixture(scope="module")
def whole(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    out = tmp_path_factory.mktemp("whole")
    assert main(protocol("rtgene", sources, "rtgene", out)) == 0
    return out


def assert_same_tables(one: Path, other: Path) -> None:
    results = [f"folds/fold{n}/{name}" for n in (1, 2, 3) for name in ("weights.safetensors", "predictions_test.csv")]
    for name in ("folds.csv", "people.csv", *results):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize(
    ("point", "count"),
    [
        ("fold.json", "1"),
        ("new-last.pt", "4"),
        ("folds.csv", "1"),
        pytest.param("fold.json", "2", marks=pytest.mark.slow),
        pytest.param("predictions_test.csv", "2", marks=pytest.mark.slow),
    ],
)
def test_killed_between_and_within_folds(point: str, count: str, whole: Path, sources: Path, tmp_path: Path) -> None:
    """The same command again ends in the tables of an undisturbed run, and does no finished fold again."""
    command = protocol("rtgene", sources, "rtgene", tmp_path / "killed", "--save-minutes", "0")
    process = begin(command, point, count)
    process.wait(600)
    assert process.returncode == -signal.SIGKILL
    done = {
        path: path.stat().st_mtime_ns
        for path in tmp_path.glob("killed/folds/*/weights.safetensors")
        if (path.parent / "fold.json").exists()
    }
    assert main(command) == 0
    for path, when in done.items():
        assert path.stat().st_mtime_ns == when
    assert_same_tables(whole, tmp_path / "killed")


def test_folds_may_come_in_any_order(whole: Path, sources: Path, tmp_path: Path) -> None:
    for folds in ("2", "0", "0,1,2"):
        assert main(protocol("rtgene", sources, "rtgene", tmp_path / "apart", "--folds", folds)) == 0
    assert_same_tables(whole, tmp_path / "apart")


def test_the_seed_draws_the_groups(sources: Path) -> None:
    opened = open_data(sources / "table")
    drawn = [PROTOCOLS["held-out"].folds(opened, Settings(seed=seed, people=2))[0] for seed in (0, 0, 1)]
    hashes = [[fold.test.fingerprint() for fold in folds] for folds in drawn]
    assert hashes[0] == hashes[1] != hashes[2]


def test_bad_input_is_named(sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(protocol("held-out", sources, "table", tmp_path / "begun", "--folds", "0")) == 0
    capsys.readouterr()
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    table = sources / "table"
    cases = {
        "unknown name 'mpii'": ["protocol", "mpii"],
        "expected either --arch, to fine-tune, or --model": ["protocol", "rtgene", "--data", str(table), "--out", "x"],
        "--folds: expected 0 to 4, found 5": protocol("held-out", sources, "table", tmp_path / "a", "--folds", "5"),
        "--folds: expected numbers such as 0,3": protocol("held-out", sources, "table", tmp_path / "a", "--folds", "x"),
        "epochs was 1, is 2": protocol("held-out", sources, "table", tmp_path / "begun", "--epochs", "2"),
        "protocol was 'held-out', is 'familiar'": protocol("familiar", sources, "table", tmp_path / "begun"),
        "found thesis.txt": protocol("held-out", sources, "table", full),
        "expected --test-data": protocol("cross", sources, "table", tmp_path / "a"),
        "in frame R, ": protocol("cross", sources, "table", tmp_path / "a", "--test-data", str(sources / "gaze360")),
        "labels in frame R, ": protocol(
            "gaze360", sources, "gaze360", tmp_path / "a", "--model", str(sources / "model")
        ),
        "expected at least 2 groups of people": protocol("rtgene", sources, "table", tmp_path / "a"),
        "more than 200 labeled images": protocol("ethxgaze-person", sources, "ethxgaze", tmp_path / "a"),
        "--format: expected auto or one of": protocol("rtgene", sources, "rtgene", tmp_path / "a", "--format", "mat"),
        "no.json: no such file": ["protocol", "rtgene", "--arch", "no.json", "--data", str(table), "--out", "x"],
    }
    for message, arguments in cases.items():
        assert message in run_bad(arguments, capsys), arguments
    assert not (tmp_path / "a").exists() or not any((tmp_path / "a").iterdir())
    assert (full / "thesis.txt").read_text() == "mine"
    assert [path.name for path in full.iterdir()] == ["thesis.txt"]


def test_folds_are_spread_over_devices(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices get every other fold each, and half of the cores; what they leave undone, here everything, is done
    afterwards."""
    started: list[list[str]] = []

    def fail(self: VerbProcesses, words: list[str], log: Path | None = None) -> None:
        started.append(words)
        raise VerbError("lost its device")

    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("gazenas.commands.protocol.VerbProcesses.run", fail)
    monkeypatch.setattr("gazenas.commands.protocol.usable_cores", lambda: 8)
    # with this process's threads
    monkeypatch.setattr("gazenas.commands.protocol.use_device", lambda *words, **more: "cpu")
    assert main([*protocol("rtgene", sources, "rtgene", tmp_path), "--threads", "0"]) == 0
    last = [{flag: words[len(words) - words[::-1].index(flag)] for flag in FLAGS} for words in started]
    assert sorted(last, key=lambda each: each["--device"]) == [
        {"--folds": "0,2", "--device": "cuda:0", "--threads": "4"},
        {"--folds": "1", "--device": "cuda:1", "--threads": "4"},
    ]
    assert all(words[:2] == ["protocol", "rtgene"] for words in started)
    assert len(rows_of(tmp_path / "folds.csv")) == 3


def test_processes_that_share_the_cores_want_no_more_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, processes, workers, threads in product((1, 2, 7, 64), (1, 2, 3, 8), (0, 1, 4), (0, 1, 5, 100)):
        monkeypatch.setattr("gazenas.commands.protocol.usable_cores", lambda cores=cores: cores)
        each = threads_of_each(processes, threads, workers)
        assert each >= 1
        assert not threads or each <= threads
        if processes * (1 + workers) > cores:
            assert each == 1
            continue
        assert processes * (each + workers) <= cores
        if not threads:  # and none idles that each could have had
            assert processes * (each + 1 + workers) > cores


# Runs a verb as if there were two devices, both of them the CPU.
TWO_DEVICES = """
import sys
from gazenas.commands import protocol
devices = protocol._devices
protocol._devices = lambda arguments: ["cpu", "cpu"] if arguments.device == "auto" else devices(arguments)
from gazenas.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def children_of(process: subprocess.Popen[str]) -> list[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}")
    return [int(pid) for entry in path.parent.glob("*/children") for pid in entry.read_text().split()]


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")")[-1].split()[0] != "Z"


@pytest.mark.slow
def test_a_signal_ends_every_process_and_nothing_is_lost(sources: Path, tmp_path: Path) -> None:
    """Told to stop, it has both its processes save what they have, and leaves none behind."""
    long = [*protocol("rtgene", sources, "rtgene", tmp_path / "out"), "--epochs", "500"]
    process = subprocess.Popen(
        [sys.executable, "-c", TWO_DEVICES, *long],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = [tmp_path / "out" / "folds" / name / "metrics.csv" for name in ("fold1", "fold2")]
    wait_until(lambda: all(path.exists() for path in metrics) or process.poll() is not None, seconds=240)
    children = children_of(process)
    assert len(children) == 2, process.communicate()[1]
    process.send_signal(signal.SIGTERM)
    process.wait(120)
    left = [pid for pid in children if is_alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
    said = process.communicate()[1]
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "the same command again goes on with it" in said
    assert all((path.parent / "checkpoint").exists() for path in metrics)
    assert not (tmp_path / "out" / "folds" / "fold3").exists()


def test_a_fold_stays_inside_the_folder_whatever_it_is_called(tmp_path: Path) -> None:
    """Names of people and of folders come from tables of others."""
    hostile = [
        "../../escaped",
        "/etc",
        "..",
        ".",
        "",
        "a/b",
        "a\\b",
        "a\0b",
        "x" * 500,
        "con\n",
        "~",
        "-rf *",
        "....",
        "a_b",
    ]
    empty = GazeSplit(
        "test", [], np.zeros(0, np.int64), None, None, 32, lambda rows: np.zeros((0, 32, 32, 3), np.uint8)
    )
    paths = [fold_path(tmp_path, Fold(name, empty, empty)) for name in hostile]
    assert len({path.name for path in paths}) == len(hostile)
    for path in paths:
        assert path.resolve().parent == (tmp_path / "folds").resolve()
        path.mkdir(parents=True)
    for name in ("fold1", "p00", "Cluster0", "mpiifacegaze-to-rtgene", "M\u00fcller.2_b"):
        assert fold_path(tmp_path, Fold(name, empty, empty)) == tmp_path / "folds" / name
