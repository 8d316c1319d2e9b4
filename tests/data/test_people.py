"""Who validates is a matter of its own, runs remember whom they were trained on, and nobody of them is tested
unnoticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gazenas.__main__ import main
from gazenas.data.dataset import hold_out_test, join
from gazenas.data.people import check_unseen, data_fingerprint, merged, people_record, trained_people
from gazenas.data.preparation import prepare
from gazenas.data.readers import DATASETS, open_data
from gazenas.data.readers.reading import Reading
from gazenas.data.synthetic.generation import generate
from gazenas.errors import InputError
from gazenas.evaluation.protocols.runs import check_settings
from gazenas.training.run_folder import RunFolder
from tests.data.layouts import WRITERS, Faces
from tests.running import run_bad

ONCE = ("--epochs", "1", "--batch-size", "8", "--threads", "1")


@pytest.mark.parametrize("layout", [name for name in DATASETS if name in WRITERS])
def test_a_data_set_is_known_again(layout: str, few_faces: Faces, tmp_path: Path) -> None:
    """In another folder, at another size, split otherwise, prepared; not with a label or a row changed."""
    WRITERS[layout](tmp_path / "one" / "data", few_faces)
    opened = open_data(tmp_path / "one" / "data")
    shutil.copytree(tmp_path / "one" / "data", tmp_path / "two")
    assert opened.fingerprint == open_data(tmp_path / "two", Reading(size=24)).fingerprint
    prepare(opened, tmp_path / "copy")
    assert open_data(tmp_path / "copy").fingerprint == opened.fingerprint
    parts = list(opened.splits.values())
    computed = layout != "collected"  # which is known by a name of its own, so that pictures may be added
    if computed and all(part.gaze is not None for part in parts):
        pool = join("all", parts)
        halves = {name: pool.at(np.flatnonzero(pool.person % 2 == rest)) for rest, name in enumerate(("a", "b"))}
        assert data_fingerprint(halves) == opened.fingerprint
    split = next(part for part in parts if part.gaze is not None)
    assert split.gaze is not None
    for other in (
        replace(split, gaze=split.gaze + np.float32(1e-4)),
        split.at(np.arange(1, len(split))),
        replace(split, people=[f"{person}!" for person in split.people]),
    ):
        assert data_fingerprint({"train": split}) != data_fingerprint({"train": other})


def test_split_order_and_signs_do_not_matter(data_folder: Path, few_faces: Faces, tmp_path: Path) -> None:
    plain = open_data(data_folder)
    turned = open_data(data_folder, Reading(order="yaw,pitch", flip="yaw"))
    assert turned.fingerprint == plain.fingerprint
    WRITERS["table"](tmp_path, few_faces)
    table = open_data(tmp_path)
    assert hold_out_test(table, 2, seed=1).fingerprint == table.fingerprint


def test_rendered_folders_of_other_seeds_are_other_people(data_folder: Path, tmp_path: Path) -> None:
    generate(tmp_path / "faces", subjects=5, per_subject=16, size=32, seed=4, workers=2)
    one, other = open_data(data_folder), open_data(tmp_path / "faces")
    assert one.split("train").people == other.split("train").people
    assert one.fingerprint != other.fingerprint


def test_drawn_validation_people_do_not_matter_for_the_fingerprint(published_folder: Path) -> None:
    opened = [open_data(published_folder, Reading(split_seed=seed)) for seed in range(6)]
    assert len({tuple(folder.split("val").people) for folder in opened}) > 1
    assert len({folder.fingerprint for folder in opened}) == 1


def write_run(folder: Path, name: str, values: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(values))


def test_whom_a_model_was_trained_on(data_folder: Path, tmp_path: Path) -> None:
    """From the run folder, a file in it, a folder inside, a fold; with everybody of the weights before."""
    opened = open_data(data_folder)
    names = opened.split("train").people
    write_run(tmp_path / "run", "summary.json", {"data": people_record(opened), "began_with": {"other": ["anna"]}})
    (tmp_path / "run" / "family" / "40pc").mkdir(parents=True)
    (tmp_path / "run" / "weights.safetensors").touch()
    expected = {opened.fingerprint: names, "other": ["anna"]}
    for path in (
        tmp_path / "run",
        tmp_path / "run" / "weights.safetensors",
        tmp_path / "run" / "family" / "40pc" / "arch.json",
    ):
        path.touch()
        assert trained_people(path) == expected
    write_run(tmp_path / "fold", "fold.json", {"data": people_record(opened)})
    assert trained_people(tmp_path / "fold") == {opened.fingerprint: names}
    write_run(tmp_path / "older", "summary.json", {"data": {"people": {"train": 3}}})
    write_run(tmp_path / "tested", "fold.json", {"data": None})
    for unknown in ("gazenas-tiny-9m", "", tmp_path / "older", tmp_path / "tested", tmp_path):
        assert trained_people(unknown) is None
    assert merged({"a": ["x", "y"]}, {"a": ["y", "z"], "b": []}) == {"a": ["x", "y", "z"], "b": []}


def test_people_are_refused_by_name_within_their_data_set(data_folder: Path, tmp_path: Path) -> None:
    opened = open_data(data_folder)
    run = tmp_path / "run"
    write_run(run, "summary.json", {"data": people_record(opened)})
    assert check_unseen(run, opened, ["val", "test"], advice="go on") == []
    with pytest.raises(InputError, match=r"trained on 3 of the 3 people of train \(subject0000, .*: go on"):
        check_unseen(run, opened, ["val", "train"], advice="go on")
    assert check_unseen(run, opened, ["train"], advice="", allow=True) == opened.split("train").people
    other = replace(opened, fingerprint="another")
    assert check_unseen(run, other, ["train"], advice="go on") == []


@pytest.fixture
def train_on(published_folder: Path, found: Path, tmp_path: Path) -> Callable[..., Path]:
    """Fine-tunes on the published folder; gives the run."""

    def train(name: str, *more: str) -> Path:
        words = ["finetune", "--arch", str(found / "arch.json"), "--data", str(published_folder), *ONCE]
        assert main([*words, "--out", str(tmp_path / name), *more]) == 0
        return tmp_path / name

    return train


def names_of(run: Path) -> dict[str, list[str]]:
    values: dict[str, Any] = json.loads((run / "summary.json").read_text())
    names: dict[str, list[str]] = values["data"]["names"]
    assert values["data"]["people"] == {name: len(people) for name, people in names.items()}
    return names


def test_runs_remember_their_people_and_refuse_them(
    train_on: Callable[..., Path],
    published_folder: Path,
    found: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, other = train_on("zero"), train_on("seed", "--seed", "3")
    assert names_of(first) == names_of(other)
    (held,) = names_of(first)["val"]
    seed = next(
        s for s in range(20) if open_data(published_folder, Reading(split_seed=s)).split("val").people != [held]
    )
    moved = train_on("moved", "--split-seed", str(seed))
    assert held in names_of(moved)["train"]
    words = ["evaluate", "--data", str(published_folder), "--split", "val", "--out", str(tmp_path / "e")]
    said = run_bad([*words, "--model", str(moved)], capsys)
    assert f"was trained on 1 of the 1 people of val ({held})" in said
    assert "--split-seed" in said
    assert not (tmp_path / "e").exists()
    assert main([*words, "--model", str(moved), "--allow-seen-people"]) == 0
    assert "the error says nothing about new ones" in capsys.readouterr().out
    assert json.loads((tmp_path / "e" / "summary.json").read_text())["seen_people"] == [held]
    assert main([*words, "--model", str(moved), "--split-seed", str(seed), "--overwrite"]) == 0
    assert json.loads((tmp_path / "e" / "summary.json").read_text())["seen_people"] == []

    weights = ["--weights", str(moved / "weights.safetensors")]
    tune = ["finetune", "--arch", str(found / "arch.json"), "--data", str(published_folder), *ONCE, *weights]
    assert f"people of val ({held})" in run_bad([*tune, "--out", str(tmp_path / "no")], capsys)
    again = train_on("again", *weights, "--allow-seen-people")
    summary = json.loads((again / "summary.json").read_text())
    assert any(held in note and "was trained on people of val or test" in note for note in summary["data"]["notes"])
    assert trained_people(again) == {
        summary["data"]["fingerprint"]: sorted({*names_of(moved)["train"], *names_of(again)["train"]})
    }


def test_export_compares_on_people_who_are_new(
    tuned: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(data_folder, tmp_path / "data")
    split = json.loads((tmp_path / "data" / "train_test_split.json").read_text())
    file = split["train"].pop()
    shutil.move(tmp_path / "data" / "train" / file, tmp_path / "data" / "test" / file)
    split["test"].append(file)
    (tmp_path / "data" / "train_test_split.json").write_text(json.dumps(split))
    words = ["export", "--model", str(tuned), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "x.onnx")]
    said = run_bad(words, capsys)
    assert f"trained on 1 of the 2 people of test ({Path(file).stem})" in said
    assert not (tmp_path / "x.onnx").exists()


def test_a_protocol_refuses_weights_of_people_that_it_tests(
    tuned: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["protocol", "held-out", "--model", str(tuned), "--data", str(data_folder), "--out", str(tmp_path / "out")]
    assert "subject000" in run_bad(words, capsys)
    assert main([*words, "--allow-seen-people"]) == 0
    assert "was trained on people who are tested: subject0000, subject0001, subject0002" in capsys.readouterr().out


@pytest.mark.parametrize("seed", [0, 3])
def test_older_runs_go_on_with_the_people_that_they_began_with(seed: int, tmp_path: Path) -> None:
    """They drew people by the seed of everything."""
    config = {"data": "faces", "seed": seed, "recorded": {}}
    with RunFolder(tmp_path / "run", "finetune") as run:
        run.resolve_config(config)
    check_settings(tmp_path / "protocol", config)
    with RunFolder(tmp_path / "run", "finetune", resume=True) as run:
        run.resolve_config(config | {"split_seed": seed, "allow_seen_people": False})
        with pytest.raises(InputError, match=f"--split-seed was {seed}, is 9"):
            run.resolve_config(config | {"split_seed": 9})
    check_settings(tmp_path / "protocol", config | {"split_seed": seed})
    with pytest.raises(InputError, match=f"split_seed was {seed}, is 9"):
        check_settings(tmp_path / "protocol", config | {"split_seed": 9})


def test_old_spellings_of_choices_are_read(few_faces: Faces, tmp_path: Path) -> None:
    WRITERS["mpiifacegaze-mat"](tmp_path / "data", few_faces)
    prepare(open_data(tmp_path / "data"), tmp_path / "out")
    story = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert story["choices"]["colors"] == "BGR"
    story["choices"]["colours"] = story["choices"].pop("colors")
    (tmp_path / "out" / "dataset.json").write_text(json.dumps(story))
    assert open_data(tmp_path / "out").choices["colors"] == "BGR"
    assert "colours" not in open_data(tmp_path / "out").choices
