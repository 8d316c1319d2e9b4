"""The leaderboard's programs, with verbs that only leave known numbers: rows, resuming, failing, the page."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from gazenas.__main__ import main as gazenas
from gazenas.counting import count_macs
from gazenas.evaluation.verb_processes import VerbProcesses
from gazenas.export import footprint
from gazenas.models.zoo import build_model
from tests.tools.loading import Verbs, call_tool, load_tool, rows_of

BOARD, PAGE = "experiments/leaderboard.py", "experiments/leaderboard_page.py"
MS = 0.25


def leave_run(verb: str, first: str, flags: dict[str, str]) -> None:
    """What the verbs of a row leave."""
    if verb == "synth":
        Path(first).mkdir(parents=True)
        (Path(first) / "train_test_split.json").write_text("{}")
    elif verb == "export":
        Path(flags["--out"]).write_bytes(b"onnx")
    else:
        out = Path(flags["--out"])
        out.mkdir(parents=True)
        macs = 1_000_000 * (1 + len(out.name))
        numbers = {"macs": macs, "params": 7, "test_error_deg": 9.0 + int(flags.get("--seed", 0)), "seconds": 60.0}
        (out / "summary.json").write_text(json.dumps(numbers))


@pytest.fixture
def verbs(monkeypatch: pytest.MonkeyPatch) -> Verbs:
    def latency(files: Mapping[str, object], *, threads: int, repeats: int) -> dict[str, np.ndarray]:
        assert threads == 1
        return {name: np.array([MS + 1.0, MS, MS + 2.0]) for name in files}

    verbs = Verbs(leave_run)
    monkeypatch.setattr(VerbProcesses, "run", staticmethod(verbs))
    monkeypatch.setattr(footprint, "interleaved_latency", latency)
    return verbs


def test_rows_cover_spaces_rivals_and_comparators() -> None:
    rows = load_tool(BOARD).all_rows()
    by_kind = {kind: {row.name for row in rows if row.kind == kind} for kind in ("space", "rival", "comparator")}
    assert len(by_kind["space"]) >= 3
    assert len(by_kind["rival"]) >= 3
    assert len(by_kind["comparator"]) >= 6
    assert len({row.key for row in rows}) == len(rows)


@pytest.mark.parametrize("row", [row for row in load_tool(BOARD).all_rows() if row.kind == "rival"])
def test_a_rival_spends_its_budget(row: object) -> None:
    budget = float(row.budget.removesuffix("M")) * 1e6  # type: ignore[attr-defined]
    network = build_model(row.words[2])  # type: ignore[attr-defined]
    assert 0.98 * budget <= count_macs(network, 64) <= budget


def test_a_row_a_run_resumed_and_failing_alone(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", tmp_path / "board", "--jobs", "1", "--epochs", "2"]
    verbs.bad = "squeezenet"
    assert call_tool(BOARD, monkeypatch, *words, "--rows", "squeezenet*") == 1
    assert capsys.readouterr().err.count("squeezenet ended with status 1") == 2  # seeds
    rows = rows_of(tmp_path / "board" / "leaderboard.csv")
    assert tuple(rows[0]) == load_tool(BOARD).COLUMNS
    assert [(row["name"], row["seed"], row["ms"]) for row in rows] == [("squeezenet@9", seed, str(MS)) for seed in "01"]
    assert {(row["design"], row["license"]) for row in rows} == {("Iandola 2016", "MIT (pytorchcv)")}
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\d", row["date"]) and row["commit"] for row in rows)
    verbs.bad, verbs.run = "", []
    assert call_tool(BOARD, monkeypatch, *words, "--rows", "squeezenet*") == 0
    assert [run[0] for run in verbs.run] == 2 * ["finetune", "export"]  # what was finished is kept
    assert len(rows_of(tmp_path / "board" / "leaderboard.csv")) == 4
    verbs.run = []
    assert call_tool(BOARD, monkeypatch, *words, "--rows", "squeezenet*") == 0
    assert not verbs.run
    assert call_tool(BOARD, monkeypatch, *words[:-1], "3") == 2
    assert "epochs was 2, is 3; use another --out" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        call_tool(BOARD, monkeypatch, *words, "--rows", "nobody")
    assert "found 'nobody'" in capsys.readouterr().err


def test_the_page_of_all_rows(verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board, docs = tmp_path / "board", tmp_path / "docs"
    assert call_tool(BOARD, monkeypatch, "--out", board, "--jobs", "1") == 0
    rows = rows_of(board / "leaderboard.csv")
    own = [row for row in rows if row["kind"] == "shipped"]
    assert own
    assert {row["seed"] for row in own} == {""}
    assert all("--resume" in row["command"] for row in rows if row["kind"] != "shipped")
    assert call_tool(PAGE, monkeypatch, board / "leaderboard.csv", "--docs", docs) == 0
    text = (docs / "leaderboard.md").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[2].startswith("**The best of each kind at equal MACs.")
    assert max(len(line) for line in lines if not line.startswith("|")) <= 120
    assert len(text.split()) <= 1500
    for row in rows:
        assert f"| `{row['name']}` |" in text
    assert "| 9.50\u00b0 | 0.71\u00b0 | 60 |" in text
    assert {path.name for path in (docs / "pictures").iterdir()} == {"leaderboard_macs.png", "leaderboard_ms.png"}
    assert (docs / "leaderboard.csv").read_bytes() == (board / "leaderboard.csv").read_bytes()
    assert "A trial" not in text
    before = (docs / "leaderboard.md").read_bytes()
    assert call_tool(PAGE, monkeypatch, docs / "leaderboard.csv", "--docs", docs) == 0  # of its own rows
    assert (docs / "leaderboard.md").read_bytes() == before


def test_rows_that_are_not_timed_make_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text("kind,name,ms\nspace,gazenas_tiny,\n")
    assert call_tool(PAGE, monkeypatch, tmp_path / "rows.csv", "--docs", tmp_path) == 2
    assert "no milliseconds of gazenas_tiny" in capsys.readouterr().err


@pytest.mark.slow
def test_a_row_by_its_own_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands in the file, once its run is gone."""
    monkeypatch.chdir(tmp_path)
    small = ("--epochs", 1, "--subjects", 3, "--per-subject", 12, "--seeds", 1, "--jobs", 1, "--repeats", 2)
    assert call_tool(BOARD, monkeypatch, "--rows", "handmade-window-4.5M", *small) == 0
    (row,) = rows_of(Path("board/leaderboard.csv"))
    run = Path("board/runs/handmade-window-4.5M-seed0")
    weights = (run / "weights.safetensors").read_bytes()
    run.rename("before")
    assert gazenas(shlex.split(row["command"])[1:]) == 0
    assert (run / "weights.safetensors").read_bytes() == weights
