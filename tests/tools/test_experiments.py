"""The programs of ``tools/experiments`` that train many runs, with verbs that only leave known numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gazenas.evaluation.verb_processes import VerbProcesses
from tests.tools.loading import Verbs, call_tool, load_tool, rows_of

ROWS, CONTROLS = "experiments/compare_rows.py", "experiments/search_against_controls.py"
COMPRESSION, TASK_TABLES = "experiments/compression_tables.py", "experiments/task_tables.py"


def leave_runs(verb: str, first: str, flags: dict[str, str]) -> None:
    """What the verbs of a table leave."""
    if "--control" in flags:
        for number, kind in enumerate(("found", "scratch", "handmade")):
            leave(Path(flags["--out"]) / f"seed{flags['--seed']}" / kind, int(flags["--seed"]), number, 12)
        leave(Path(flags["--out"]), 0, 0, 0)
    elif verb == "calibrate":
        Path(flags["--out"]).mkdir(parents=True)
        after = {"bias": {"9": 1.0}, "affine": {"9": 1.5}}
        record = {"verb": "calibrate", "before_cm": 2.0, "after_cm": after}
        (Path(flags["--out"]) / "summary.json").write_text(json.dumps(record))
    elif verb in ("search", "finetune", "prune", "compress", "evaluate"):
        leave(Path(flags["--out"]), int(flags.get("--seed", 0)), 3 * (verb == "finetune"), 4)


def leave(out: Path, seed: int, number: int, epochs: int) -> None:
    """A finished run."""
    out.mkdir(parents=True, exist_ok=True)
    names = [f"{word}_error_{unit}" for word in ("val", "test", "mean_predictor") for unit in ("deg", "cm")]
    errors = dict.fromkeys(names, 7.0 + seed + number / 10)
    sizes = {"macs": 1000 + number, "params": 10, "seconds": 60.5 / (1 + number), "fingerprint": out.name}
    stages = [{"stage": name, "how": name, "size": 10, "ms": 0.1} for name in ("float", "quantize", "code")]
    own = {"verb": "compress" if out.name.endswith("int8") else "finetune", "float_test_error_deg": 7.0}
    (out / "summary.json").write_text(json.dumps({"seed": seed, **errors, **sizes, **own, "stages": stages}))
    (out / "metrics.csv").write_text("epoch\n" + "0\n" * epochs)


@pytest.fixture
def verbs(monkeypatch: pytest.MonkeyPatch) -> Verbs:
    verbs = Verbs(leave_runs)
    monkeypatch.setattr(VerbProcesses, "run", staticmethod(verbs))
    return verbs


def test_rows_of_the_paper(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A searched row is a search and a fine-tuning, the rest a fine-tuning; one that fails stops no other and is done
    again."""
    words = ["--data", "faces", "--out", str(tmp_path), "--rows", "gazenas_tiny", "ghostnet"]
    verbs.bad = "ghostnet"
    assert call_tool(ROWS, monkeypatch, *words) == 1
    assert "ghostnet ended with status 1" in capsys.readouterr().err
    assert [(row["row"], row["seed"]) for row in rows_of(tmp_path / "rows.csv")] == [
        ("gazenas_tiny", "0"),
        ("gazenas_tiny", "1"),
    ]
    verbs.bad, verbs.run = "", []
    assert call_tool(ROWS, monkeypatch, *words) == 0
    assert [run[0] for run in verbs.run] == ["finetune", "finetune"]  # what was finished is kept
    rows = rows_of(tmp_path / "rows.csv")
    assert tuple(rows[0]) == load_tool(ROWS).COLUMNS
    assert [(row["row"], row["seed"]) for row in rows] == [
        (name, seed) for name in ("gazenas_tiny", "ghostnet") for seed in "01"
    ]
    assert [float(row["test_error_deg"]) for row in rows] == pytest.approx([7.3, 8.3, 7.3, 8.3])
    tuned = 60.5 / 4
    assert [float(row["seconds"]) for row in rows] == pytest.approx([60.5 + tuned] * 2 + [tuned] * 2, abs=0.06)
    assert "7.80\u00b0" in capsys.readouterr().out
    assert (tmp_path / "rows.png").exists()
    assert call_tool(ROWS, monkeypatch, *words, "--epochs", "20") == 2
    assert "epochs was '10', is '20'; use another --out" in capsys.readouterr().err


def test_searches_against_controls(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row a budget, kind and seed; the rival at the search's seconds trains for as many passes as fill them."""
    words = ["--out", str(tmp_path), "--budgets", "9M,18M", "--seeds", "2", "--equal-seconds", "--epochs", "12"]
    assert call_tool(CONTROLS, monkeypatch, *words) == 0
    longer = [run[run.index("--epochs") + 1] for run in verbs.run if run[0] == "finetune"]
    assert longer == [str(round(12 * (60.5 / 1) / (60.5 / 3)))] * 4
    assert all(run[-2:] == ["--epochs", "12"] for run in verbs.run if run[0] == "search")
    rows = rows_of(tmp_path / "controls.csv")
    assert tuple(rows[0]) == load_tool(CONTROLS).COLUMNS
    kinds = ("found", "scratch", "handmade", "handmade, equal seconds")
    assert [(row["budget"], row["network"]) for row in rows] == [
        (budget, kind) for budget in ("9M", "18M") for kind in kinds for _ in range(2)
    ]
    said = " ".join(capsys.readouterr().out.split())
    assert "7.50\u00b0" in said
    assert "+0.20\u00b0" in said  # the rival above the search of the same seed
    verbs.run = []
    before = (tmp_path / "controls.csv").read_bytes()
    assert call_tool(CONTROLS, monkeypatch, *words) == 0
    assert not any(run[0] in ("search", "finetune") for run in verbs.run)
    assert (tmp_path / "controls.csv").read_bytes() == before
    assert call_tool(CONTROLS, monkeypatch, *words[:-1], "13") == 2
    assert "use another --out" in capsys.readouterr().err


def test_tables_of_compression(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row a way and seed; what several rows begin with is trained once; a second call trains nothing."""
    words = ["--data", "faces", "--out", str(tmp_path), "--tables", "weights,distill,int8", "--epochs", "4"]
    assert call_tool(COMPRESSION, monkeypatch, *words) == 0
    assert len([run for run in verbs.run if run[:3] == ["finetune", "--arch", "squeezenet"]]) == 2 * 3
    rows = rows_of(tmp_path / "weights.csv")
    assert len(rows) == 7 * 2 * 2
    assert {row["row"] for row in rows} >= {"40% of weights, as it is", "40% of weights, 3 epochs after"}
    assert "below 0.001, as it is" in {row["row"] for row in rows}
    students = [row["row"] for row in rows_of(tmp_path / "distill.csv") if row["seed"] == "0"]
    assert students[:3] == ["mobilenetv2", "squeezenet", "squeezenet@9"]
    assert "squeezenet@9, bounded from squeezenet" in students
    taught = [run for run in verbs.run if "--teacher" in run]
    assert all(
        Path(run[run.index("--teacher") + 1]).parent.name == f"seed{run[run.index('--seed') + 1]}" for run in taught
    )
    verbs.run = []
    assert call_tool(COMPRESSION, monkeypatch, *words) == 0
    assert not verbs.run
    assert call_tool(COMPRESSION, monkeypatch, *words[:-1], "5") == 2
    assert "epochs was '4', is '5'; use another --out" in capsys.readouterr().err


def test_tables_of_tasks(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row a network and seed beside the references; nine dots where a person has a screen; kept where finished."""
    words = ["--out", str(tmp_path), "--tasks", "head_pose,screen_point", "--seeds", "2"]
    assert call_tool(TASK_TABLES, monkeypatch, *words) == 0
    assert [run[0] for run in verbs.run].count("synth") == 2
    assert [run[0] for run in verbs.run].count("search") == 4  # each leaves the rival behind
    small = ("squeezenet@9, step 3e-3", "squeezenet@9, step 1e-3")
    networks = ("found", "handmade", *small, "found, its exported file")
    for task, sign in (("head_pose", "deg"), ("screen_point", "cm")):
        rows = rows_of(tmp_path / f"{task}.csv")
        assert [(row["network"], row["seed"]) for row in rows] == [(name, seed) for name in networks for seed in "01"]
        assert {f"test_error_{sign}", f"mean_predictor_error_{sign}"} <= set(rows[0])
    assert [row["bias"] for row in rows if row["network"] == "handmade"] == ["1.0", "1.0"]
    adapted = [run for run in verbs.run if run[0] == "calibrate"]
    assert len(adapted) == 4 * 2
    assert all("--draw spread" in " ".join(run) for run in adapted)
    said = " ".join(capsys.readouterr().out.split())
    assert "always answering the training mean: 7.50 cm" in said
    verbs.run = []
    assert call_tool(TASK_TABLES, monkeypatch, *words) == 0
    assert {run[0] for run in verbs.run} <= {"synth"}
    assert call_tool(TASK_TABLES, monkeypatch, *words, "--epochs", "11") == 2
    assert "use another --out" in capsys.readouterr().err
