"""The programs of ``tools/experiments`` that train many runs, with verbs that only leave known numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gazenas.evaluation.verb_processes import VerbProcesses
from tests.tools.loading import Verbs, call_tool, load_tool, rows_of

ROWS, CONTROLS = "experiments/compare_rows.py", "experiments/search_against_controls.py"
COMPRESSION, TASK_TABLES = "experiments/compression_tables.py", "experiments/task_tables.py"
PAPER, GAZECAPTURE = "experiments/paper_tables.py", "experiments/gazecapture_tables.py"


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
    elif verb == "protocol":
        Path(flags["--out"]).mkdir(parents=True)
        record = {"mean_over_folds_deg": 5.0 + int(flags["--seed"]), "std_over_folds_deg": None, "folds_done": 3}
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


def test_tables_of_the_paper(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row a method, data set and seed; what is trained on ETH-XGaze once serves every data set; a data set may come
    later, and what could not be begun is left out."""

    def write(verb: str, first: str, flags: dict[str, str]) -> None:
        leave_runs(verb, first, flags)
        if verb == "benchmark":
            words = verbs.run[-1]
            models = [Path(word).name for word in words[1 : next(i for i, w in enumerate(words) if w[:2] == "--")]]
            Path(flags["--out"]).mkdir(parents=True, exist_ok=True)
            ms = {"one thread": {name: {"median": 2.5} for name in models}}
            (Path(flags["--out"]) / "summary.json").write_text(json.dumps({"ms": ms}))

    verbs.write = write
    words = ["--out", str(tmp_path), "--rows", "gazenas,gazetr-hybrid,ca-net,cadse", "--seeds", "2"]
    words += ["--xgaze", "xgaze", "--gaze360", "gaze360", "--amp", "bf16"]
    verbs.bad = str(tmp_path / "starts" / "seed1" / "gazenas")
    assert call_tool(PAPER, monkeypatch, *words) == 1
    assert "seed1/gazenas ended with status 1" in capsys.readouterr().err
    assert not any(run[0] == "protocol" and verbs.bad in run for run in verbs.run)
    search = next(run for run in verbs.run if run[0] == "search")
    assert "--space gazenas --target-macs 280M --target-params 1.027M --data xgaze --validation none" in " ".join(
        search
    )
    assert all(
        " ".join(run).count("--recipe paper") == 1 and "bf16" in run for run in verbs.run if run[0] != "benchmark"
    )
    verbs.bad, verbs.run = "", []
    assert call_tool(PAPER, monkeypatch, *words, "--eyediap", "eyediap") == 0
    begun = [run[0] for run in verbs.run]
    assert begun.count("search") == 1
    assert begun.count("protocol") == 1 + 3 * 2
    start = str(tmp_path / "starts" / "seed0" / "gazenas")
    assert any(run[:4] == ["protocol", "eyediap", "--arch", start] for run in verbs.run)
    rows = rows_of(tmp_path / "errors.csv")
    assert [(row["row"], row["dataset"], row["seed"]) for row in rows] == [
        (name, dataset, seed)
        for dataset in ("gaze360", "eyediap")
        for name in ("ca-net", "gazetr-hybrid", "gazenas")
        for seed in "01"
    ]
    assert {row["row"]: row["params"] for row in rows} == {"ca-net": "29050181", "gazetr-hybrid": "10", "gazenas": "10"}
    assert len(rows_of(tmp_path / "sizes.csv")) == 3
    said = " ".join(capsys.readouterr().out.split())
    assert "5.50\u00b0 (10.52\u00b0)" in said
    assert "(10.70\u00b0)" in said  # CADSE's, as printed
    assert (tmp_path / "figure1.png").exists()
    assert call_tool(PAPER, monkeypatch, *words, "--eyediap", "elsewhere") == 2
    assert "data was 'eyediap', is 'elsewhere'; use another --out" in capsys.readouterr().err


def test_tables_of_the_paper_without_its_largest_data_set(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is searched without ETH-XGaze, and no budget is named where lambda decides."""
    words = ["--out", str(tmp_path), "--rows", "gazenas", "--free", "--small"]
    assert call_tool(PAPER, monkeypatch, *words, "--rtgene", "rtgene") == 0
    assert verbs.run == []
    assert "without --xgaze these are left out: gazenas" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        call_tool(PAPER, monkeypatch, *words)
    assert "expected a data folder" in capsys.readouterr().err
    verbs.bad = "gazenas_tiny"
    assert call_tool(PAPER, monkeypatch, *words, "--xgaze", "xgaze") == 1
    assert not (tmp_path / "errors.csv").exists()
    assert verbs.run[0][:3] == ["search", "--space", "gazenas_tiny"]
    assert "--target-macs" not in verbs.run[0]


def test_figures_of_the_gazecapture_report(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row a network and seed, runs that two figures show trained once, all runs of a figure on one page."""
    words = ["--out", str(tmp_path), "--seeds", "2", "--epochs", "3"]
    assert call_tool(GAZECAPTURE, monkeypatch, *words) == 0
    begun = [run[0] for run in verbs.run]
    assert begun.count("finetune") == 2 * (5 + 3 + 4 + 2)  # Ghost at its usual numbers is in every figure
    assert (begun.count("synth"), begun.count("report"), begun.count("benchmark")) == (1, 4, 1)
    steps = rows_of(tmp_path / "steps.csv")
    assert [row["lr"] for row in steps] == ["0.0001", "0.0001", "0.0005", "0.0005", "0.001", "0.001", "0.002", "0.002"]
    assert {row["network"] for row in rows_of(tmp_path / "kernels.csv")} >= {"gazecapture-ghost@kernel=1-3-5-7"}
    page = next(run for run in verbs.run if run[0] == "report")
    assert len(page) == 1 + 2 * 5 + 2
    assert str(tmp_path / "runs" / "seed1" / "gazecapture-capsules") in page
    assert "7.80 cm" in " ".join(capsys.readouterr().out.split())
    verbs.run = []
    assert call_tool(GAZECAPTURE, monkeypatch, *words, "--figures", "steps") == 0
    assert [run[0] for run in verbs.run if run[0] != "synth"] == ["report"]
    assert call_tool(GAZECAPTURE, monkeypatch, *words[:-1], "4") == 2
    assert "epochs was '3', is '4'; use another --out" in capsys.readouterr().err


def test_imagenet_weights_of_the_paper_s_comparators(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file named as its method is laid under it; methods without one begin fresh."""
    (tmp_path / "files").mkdir()
    file = tmp_path / "files" / "ca-net.pth"
    file.touch()
    words = ["--out", str(tmp_path / "out"), "--rows", "ca-net,rt-gene", "--gaze360", "gaze360", "--eyediap", "eyediap"]
    verbs.bad = "benchmark"
    assert call_tool(PAPER, monkeypatch, *words, "--pretrained", str(file.parent)) == 2
    told = {run[3]: run[run.index("--pretrained") + 1] for run in verbs.run if "--pretrained" in run}
    assert told == {"ca-net": str(file)}
    assert "benchmark ended with status 1" in capsys.readouterr().err
    assert len(rows_of(tmp_path / "out" / "errors.csv")) == 4
    asked = {tuple(run[1:4:2]) for run in verbs.run if run[0] == "protocol"}  # head poses, where they are known
    assert asked == {
        *(("gaze360", name) for name in ("ca-net", "rt-gene")),
        *(("eyediap", name) for name in ("ca-net", "rt-gene@head_pose")),
    }
