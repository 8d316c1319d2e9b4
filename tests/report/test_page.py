"""The page about runs: what it says is what the files say, nothing comes from elsewhere, hostile names stay text."""

from __future__ import annotations

import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gazenas.__main__ import main
from gazenas.counting import count_macs
from gazenas.models.zoo import load_model
from gazenas.report.svg import bar_rows, line_chart
from tests.running import run_bad


class Reader(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def test_a_page_says_what_the_files_say(found: Path, tuned: Path, tmp_path: Path) -> None:
    out = tmp_path / "two.html"
    assert main(["report", str(found), str(tuned), "--out", str(out)]) == 0
    page = out.read_text()
    read = Reader(page)
    for run in (found, tuned):
        summary = json.loads((run / "summary.json").read_text())
        assert f"{summary['test_error_deg']:.2f}\u00b0" in read.text
        assert f"{summary['macs']:,}" in read.text
        with (run / "metrics.csv").open(newline="") as file:
            last = list(csv.DictReader(file))[-1]
        assert f"{float(last['gaze_val_loss']):.3g} at epoch {int(last['epoch']) + 1}" in read.text
        assert f"{float(last['val_error_deg']):.3g} at epoch {int(last['epoch']) + 1}" in read.text
    parts = load_model(found).parts()
    told = [int(each.replace(",", "")) for each in re.findall(r"([\d,]+) MACs", read.text)]
    widths = load_model(found).widths()
    assert {part.macs(widths) for name, part in parts.items() if name not in ("stem", "head")} - {0} <= set(told)
    assert sum(part.macs(widths) for part in parts.values()) <= count_macs(load_model(found), 32)
    people = {row["person"] for row in csv.DictReader((tuned / "predictions_test.csv").open(newline=""))}
    assert all(person in read.text for person in people)


def test_nothing_comes_from_elsewhere(tuned: Path) -> None:
    """Written at the end of the run itself; no script, no address, everything a keyboard or a reader needs."""
    page = (tuned / "report.html").read_text()
    read = Reader(page)
    assert len(page) < 5e6
    assert "//" not in re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page)
    names = {tag for tag, _ in read.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "form"}
    assert {"main", "h1", "h2", "title"} <= names
    for tag, attributes in read.tags:
        assert not any(key.startswith("on") for key in attributes)
        assert tag != "img" or (attributes["alt"] and (attributes["src"] or "").startswith("data:image/png"))
        assert tag != "svg" or (attributes["role"] == "img" and attributes["aria-label"])
    assert "lang" in dict(read.tags)["html"]


def test_hostile_words_stay_words(tuned: Path, tmp_path: Path) -> None:
    run = tmp_path / "<b>run"
    shutil.copytree(tuned, run)
    (run / "config.yaml").write_text("out: '<script>alert(1)</script>'\n")
    assert main(["report", str(run), "--out", str(tmp_path / "page.html")]) == 0
    read = Reader((tmp_path / "page.html").read_text())
    assert not {"script", "b"} & {tag for tag, _ in read.tags}
    assert "<script>alert(1)</script>" in read.text


def test_charts() -> None:
    chart = line_chart({"a": [(1, 2.0), (2, float("nan")), (3, 4.0)], "b<": []}, x="epoch", y="error & more")
    read = Reader(chart)
    circles = [attributes for tag, attributes in read.tags if tag == "circle"]
    assert len(circles) == 2
    assert float(circles[0]["cx"] or 0) < float(circles[1]["cx"] or 0)
    assert float(circles[0]["cy"] or 0) > float(circles[1]["cy"] or 0)  # up is more
    assert "a: 4 at epoch 3" in read.text
    assert line_chart({"a": []}, x="x", y="y") == ""
    low, high = (line_chart({"a": [(1, 1.0), (4, most)]}, x="epoch", y="y", up_to=9.0) for most in (2.0, 9.0))
    heights = [next(a["cy"] for tag, a in Reader(each).tags if tag == "circle") for each in (low, high)]
    assert heights[0] == heights[1]  # of the same value, on the same axis
    numbers = re.findall(r'text-anchor="middle">([\d.]+)</text>', low)
    assert {"1", "2", "3", "4"} <= set(numbers)
    assert not [each for each in numbers if "." in each]
    bars = Reader(bar_rows([("p<1", 1.0, 4.0, "1 of 4"), ("none", 0.0, 0.0, "0 of 0")]))
    styles = [attributes["style"] for tag, attributes in bars.tags if tag == "span"]
    assert styles == ["width:25.0%", "width:0.0%"]
    assert "p<1" in bars.text


def test_bad_input(tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run_bad(["report", str(tmp_path), "--out", str(tmp_path / "page.html")], capsys)
    assert "expected the folder of a finished run with its summary.json" in said
    assert "--out: expected FILE.html" in run_bad(["report", str(tuned), "--out", str(tmp_path / "page.txt")], capsys)
    assert not list(tmp_path.iterdir())
