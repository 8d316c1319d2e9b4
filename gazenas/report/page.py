"""A page about runs: one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml

from gazenas.errors import InputError
from gazenas.files import nearest_file, read_csv, read_json, write_aside
from gazenas.models.build import build_network, full_architecture
from gazenas.report.architecture import group_label
from gazenas.report.svg import bar_rows, line_chart
from gazenas.space.architecture import Architecture
from gazenas.tasks import find_task
from gazenas.tasks.gaze import GAZE
from gazenas.tasks.task import Task

# Of summary.json: what the first table shows, in which words and how; errors as their task has it.
SHOWN = {
    "verb": ("verb", "{}"),
    "test_error": ("test error", ""),
    "val_error": ("validation error", ""),
    "mean_predictor_error": ("always the mean", ""),
    "head_pose_error": ("best linear from head pose", ""),
    "macs": ("MACs", "{:,.0f}"),
    "params": ("parameters", "{:,.0f}"),
    "ms": ("ms", "{:.3f}"),
    "seconds": ("seconds", "{:,.0f}"),
    "seed": ("seed", "{}"),
    "fingerprint": ("architecture", "{}"),
}
# Of metrics.csv: what is drawn over the epochs, where a run has it.
CURVES = {
    "loss": "training loss",
    "val_loss": "validation loss",
    "val_error": "validation error",
    "macs": "MACs",
    "penalty": "lambda x penalty",
    "lr": "learning rate",
}
LOSSES = ("loss", "val_loss")  # which share an axis
PICTURES = {"predictions.png": True, "extremes.png": True, "importances.png": False, "compression.png": True}
TITLES = {
    "predictions.png": "Faces, true and predicted gaze",
    "extremes.png": "Best and worst faces",
    "importances.png": "Importance factors",
    "compression.png": "Error against size and time",
}
BIN = 10  # degrees of true gaze


def write_report(folders: Sequence[Path], path: Path) -> None:
    """Writes the page.

    Args:
        folders: of runs; several are laid side by side.
        path: of the HTML file.

    Raises:
        InputError: where a folder holds no finished run.
    """
    runs = [_run(folder, name) for folder, name in zip(folders, _names(folders), strict=True)]
    keys = [key for key in SHOWN if any(_value(run, key) is not None for run in runs)]
    for run in runs:
        run["cells"] = [_cell(_value(run, key), SHOWN[key][1], run["task"]) for key in keys]
    curves = {key: _points(runs, key) for key in CURVES}
    most = max((value for key in LOSSES for points in curves[key].values() for _, value in points), default=0.0)
    titles = CURVES | {"val_error": f"{CURVES['val_error']} ({_units(runs)})"}
    charts = [
        {"title": title, "svg": _curve(curves[key], title, most if key in LOSSES else 0.0)}
        for key, title in titles.items()
    ]
    text = files("gazenas.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(text).render(
        title=f"gazenas: {', '.join(run['name'] for run in runs)}",
        lead=_lead(runs),
        columns=[SHOWN[key][0] for key in keys],
        charts=[chart for chart in charts if chart["svg"]],
        runs=runs,
    )
    with write_aside(path) as aside:
        aside.write_text(page, encoding="utf-8")


def _names(folders: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    count = 1
    while count < max(map(len, parts)) and len({each[-count:] for each in parts}) < len(parts):
        count += 1
    return ["/".join(each[-count:]) for each in parts]


def _run(folder: Path, name: str) -> dict[str, Any]:
    """What the page says of a run."""
    if not (folder / "summary.json").is_file():
        raise InputError(
            f"{folder}: expected the folder of a finished run with its summary.json, found none{nearest_file(folder)}"
        )
    summary = read_json(folder / "summary.json")
    task = find_task(summary.get("task", GAZE.name))
    predictions = _table(folder / "predictions_test.csv")
    errors = _errors(predictions, task)
    pictures = [
        {"title": TITLES[file], "source": f"plots/{file}", "data": _embedded(folder / "plots" / file), "open": shown}
        for file, shown in PICTURES.items()
        if (folder / "plots" / file).is_file()
    ]
    return {
        "name": name,
        "summary": summary,
        "task": task,
        "story": _story(summary),
        "metrics": _table(folder / "metrics.csv"),
        "stages": _table(folder / "stages.csv"),
        "architecture": _architecture(folder / "arch.json"),
        "people": _people(predictions, errors, task),
        "angles": _angles(predictions, errors) if task is GAZE else [],
        "pictures": pictures,
        "config": _config(folder / "config.yaml"),
    }


def _lead(runs: Sequence[Mapping[str, Any]]) -> str:
    """The answer, in a sentence a run."""
    said = []
    for run in runs:
        error = _value(run, "test_error")
        found = "no error, since the test files carry no labels" if error is None else run["task"].show(error)
        said.append(f"{run['name']}: {found} on people that it never saw")
    return "; ".join(said) + "."


def _story(summary: Mapping[str, Any]) -> str:
    """What a run was, in words."""
    parts = [f"A run of gazenas {summary.get('verb', '')}"]
    if summary.get("target_macs"):
        parts.append(f"to {summary['target_macs']:,} MACs")
    if summary.get("control"):
        parts.append(f"({summary['control']})")
    data = summary.get("data") or {}
    people = data.get("people") or {}
    if people:
        parts.append("on people: " + ", ".join(f"{count} for {name}" for name, count in people.items()))
    notes = data.get("notes") or []
    return " ".join(parts) + ". " + " ".join(f"Note: {note}." for note in notes)


def _value(run: Mapping[str, Any], key: str) -> Any:
    """Of a run's summary, where errors are called by the task's unit as well."""
    summary = run["summary"]
    return summary.get(key, summary.get(run["task"].key(key)))


def _cell(value: Any, form: str, task: Task) -> str:
    if value is None:
        return ""
    return form.format(value) if form else task.show(value)


def _table(path: Path) -> list[dict[str, str]]:
    return read_csv(path) if path.is_file() else []


def _config(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return dict(found or {})


def _units(runs: Sequence[Mapping[str, Any]]) -> str:
    """Of the errors of all of them; several where their tasks differ."""
    return " or ".join(dict.fromkeys(run["task"].error_word for run in runs))


def _points(runs: Sequence[Mapping[str, Any]], key: str) -> dict[str, list[tuple[float, float]]]:
    """One quantity over the epochs, a list a run; a run that lacks it keeps its color."""
    series = {}
    for run in runs:
        task = run["task"]
        names = (key, f"{task.name}_{key}", task.key(key))
        rows = [(row["epoch"], next((row[name] for name in names if row.get(name)), "")) for row in run["metrics"]]
        series[run["name"]] = [(int(epoch) + 1.0, float(value)) for epoch, value in rows if value]
    return series


def _curve(series: Mapping[str, Sequence[tuple[float, float]]], title: str, up_to: float) -> str:
    """The same as a chart; empty where there is nothing but zeros."""
    something = any(value for points in series.values() for _, value in points)
    return line_chart(series, x="epoch", y=title, up_to=up_to) if something else ""


def _errors(rows: Sequence[Mapping[str, str]], task: Task) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The task's error of each prediction with true values; empty without these."""
    columns = [*task.outputs, *(f"true_{name}" for name in task.outputs)]
    if not rows or not set(columns) <= set(rows[0]):
        return np.zeros(0)
    values = np.array([[float(row[name]) for name in columns] for row in rows], np.float32)
    count = len(task.outputs)
    return np.asarray(task.error(values[:, :count], values[:, count:]), np.float64)


def _people(rows: Sequence[Mapping[str, str]], errors: np.ndarray[Any, np.dtype[np.float64]], task: Task) -> str:
    """Mean error by person, the worst first."""
    if not len(errors):
        return ""
    names = np.array([row["person"] for row in rows])
    means = {name: float(errors[names == name].mean()) for name in dict.fromkeys(names)}
    order = sorted(means, key=lambda name: -means[name])
    most = means[order[0]]
    counts = {name: int((names == name).sum()) for name in order}
    return bar_rows([(n, means[n], most, f"{task.show(means[n])} over {counts[n]} images") for n in order])


def _angles(rows: Sequence[Mapping[str, str]], errors: np.ndarray[Any, np.dtype[np.float64]]) -> list[dict[str, str]]:
    """Mean error against true pitch and yaw, in bins."""
    charts = []
    for key, word in (("true_yaw", "yaw"), ("true_pitch", "pitch")) if len(errors) else ():
        bins = np.floor(np.rad2deg([float(row[key]) for row in rows]) / BIN)
        points = [(BIN * (each + 0.5), float(errors[bins == each].mean())) for each in np.unique(bins)]
        svg = line_chart({"mean error": points}, x=f"true {word} in degrees", y="error in degrees")
        charts.append({"title": f"Error in degrees against {word}", "svg": svg})
    return charts


def _architecture(path: Path) -> str:
    """Every part of the network with its units and what it takes; empty for a comparator."""
    if not path.is_file() or "space" not in read_json(path):
        return ""
    arch = Architecture.load(path)
    network, full = build_network(arch, importance=False), full_architecture(arch.space)
    widths, parts = network.widths(), network.parts()
    rows = []
    for name, operators in arch.kept.items():
        cost = f"; {parts[name].macs(widths):,} MACs" if name in parts else ""
        for operator, groups in operators.items():
            for group, count in groups.items():
                offered = full.kept[name][operator][group]
                words = f"{count} of {offered} {group_label(group)}{cost}"
                rows.append((name, float(count), float(offered), words))
        if not any(operators.values()) and cost:
            rows.append((name, 1.0, 1.0, f"nothing to choose{cost}"))
    return bar_rows(rows)


def _embedded(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
