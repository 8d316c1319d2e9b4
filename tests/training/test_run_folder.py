"""Run folders: what they refuse, what a resumed run may change, and overwriting that is killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gazenas.errors import InputError, StoppedError
from gazenas.training.run_folder import RunFolder


def test_run_folder_refuses_what_it_would_harm(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no run"):
        RunFolder(tmp_path / "notes", "search", overwrite=True)
    assert (tmp_path / "notes" / "thesis.txt").read_text() == "mine"
    with RunFolder(tmp_path / "run", "search") as run:
        run.resolve_config({"epochs": 3, "out": "a"})
        with pytest.raises(InputError, match="another process"), RunFolder(tmp_path / "run", "search", resume=True):
            pass
    with pytest.raises(InputError, match="--resume goes on with it, --overwrite"):
        RunFolder(tmp_path / "run", "search")
    with RunFolder(tmp_path / "run", "search", resume=True) as run:
        with pytest.raises(InputError, match="--epochs was 3, is 4"):
            run.resolve_config({"epochs": 4, "out": "b", "recorded": {}})
        assert run.resolve_config({"epochs": 3, "out": "b"})["out"] == "a"
    with pytest.raises(InputError, match="holds a run of 'search', not of 'finetune'"):
        RunFolder(tmp_path / "run", "finetune", overwrite=True)


def test_overwriting_waits_until_all_is_well(tmp_path: Path) -> None:
    with RunFolder(tmp_path, "search") as run:
        run.resolve_config({"epochs": 3})
        run.write_summary({"old": True})
    with RunFolder(tmp_path, "search", overwrite=True) as run:
        assert (tmp_path / "summary.json").exists()
        run.resolve_config({"epochs": 4})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["config.yaml", "log.txt"]


def old_run(path: Path) -> None:
    with RunFolder(path, "search") as run:
        run.resolve_config({"epochs": 3})
        run.write_summary({"old": True})
        (path / "checkpoint").mkdir()
        (path / "checkpoint" / "last.pt").write_text("weights")
        (path / "arch.json").write_text("{}")


def contents(path: Path) -> dict[str, str]:
    files = (entry for entry in path.rglob("*") if entry.is_file() and entry.name != "log.txt")
    return {str(entry.relative_to(path)): entry.read_text() for entry in files}


@pytest.mark.parametrize("again", ["resume", "overwrite"])
@pytest.mark.parametrize("kill", range(12))
def test_an_overwriting_that_is_killed_leaves_the_whole_run_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: int, again: str
) -> None:
    """Before each change of the file system in turn: both flags go on, with all of the old run or without any of it."""
    out = tmp_path / "run"
    old_run(out)
    before, count = contents(out), iter(range(100))

    class KilledError(BaseException):
        pass

    def changing(name: str) -> None:
        change = getattr(os, name)

        def counted(*words: object, **more: object) -> object:
            if next(count) == kill:
                monkeypatch.undo()
                raise KilledError
            return change(*words, **more)

        monkeypatch.setattr(os, name, counted)

    with pytest.raises(KilledError), RunFolder(out, "search", overwrite=True) as run:
        for name in ("mkdir", "rename", "replace", "unlink", "rmdir"):
            changing(name)
        run.resolve_config({"epochs": 4})
    if again == "overwrite":
        with RunFolder(out, "search", overwrite=True) as run:
            run.resolve_config({"epochs": 4})
        assert contents(out) == {"config.yaml": "epochs: 4\nrecorded:\n  verb: search\n"}
    else:
        with RunFolder(out, "search", resume=True):
            assert contents(out) in (before, {})


def test_a_run_goes_on_with_another_torch_and_says_so(tmp_path: Path) -> None:
    recorded = {"memory_format": "channels_last", "torch": "2.6.0"}
    with RunFolder(tmp_path, "search") as run:
        run.resolve_config({"epochs": 3, "batch_size": 8, "recorded": recorded})
        assert run.notes == []
    with RunFolder(tmp_path, "search", resume=True) as run:
        run.resolve_config({"epochs": 3, "batch_size": 8, "recorded": recorded | {"torch": "2.13.0"}})
        assert len(run.notes) == 1
        assert "torch was '2.6.0' when the run began, is '2.13.0' now: it goes on" in run.notes[0]
        with pytest.raises(InputError, match=r"begun otherwise: --batch-size was 8, is 4; use another --out"):
            run.resolve_config({"epochs": 3, "batch_size": 4, "recorded": recorded})


def test_settings_that_nobody_typed_are_not_called_flags(tmp_path: Path) -> None:
    with RunFolder(tmp_path, "protocol") as run:
        run.resolve_config({"train_hash": "a"})
        with pytest.raises(InputError, match=r"begun otherwise: train_hash was 'a', is 'b'"):
            run.resolve_config({"train_hash": "b"})


def test_what_ended_a_run_is_in_its_log(tmp_path: Path) -> None:
    for error in (
        StoppedError(15, "stopped by a signal"),
        InputError("--lr: too large"),
        RuntimeError("out of memory"),
    ):
        with pytest.raises(type(error)), RunFolder(tmp_path, "search"):
            raise error
    log = (tmp_path / "log.txt").read_text()
    assert "stopped by a signal" in log
    assert "--lr: too large" in log
    assert log.count("Traceback") == 1
    assert log.endswith("RuntimeError: out of memory\n")
