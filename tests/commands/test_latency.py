"""``gazenas latency``: a table here, a kit for elsewhere, and what is said of wrong words."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pytest

from gazenas.__main__ import VERBS, main
from gazenas.costs.latency.cost import latency_by_table
from gazenas.costs.latency.table import LatencyTable
from gazenas.models.zoo import load_space
from tests.running import MICRO_CHAIN, run_bad


def test_a_kit_is_written_here_and_measured_into_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kit, out = tmp_path / "kit.zip", tmp_path / "table.json"
    assert main(["latency", "--space", str(MICRO_CHAIN), "--write-kit", str(kit)]) == 0
    assert "python kit.zip --out table.json" in " ".join(capsys.readouterr().out.split())
    with zipfile.ZipFile(kit) as archive:
        names = {entry["key"] for entry in json.loads(archive.read("kit.json"))["models"]}
    assert main(["latency", "--kit", str(kit), "--out", str(out)]) == 0
    assert set(LatencyTable.load(out).ms) == names
    assert latency_by_table(str(out), load_space(MICRO_CHAIN)).channel_multiple in (4, 8, 16)
    assert "latency" in VERBS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "table.json"], "expected either --space or --kit, found neither"),
        (["--space", "gazenas", "--kit", "kit.zip", "--out", "t.json"], "expected either --space or --kit, found both"),
        (["--space", "gazenas"], "expected either --out for a table or --write-kit for a kit, found neither"),
        (["--kit", "kit.zip", "--write-kit", "other.zip"], "--write-kit: expected --space"),
        (["--space", "gazenas_none", "--out", "t.json"], "gazenas_none"),
        (["--kit", "no/such/kit.zip", "--out", "t.json"], "--kit: .*no/such/kit.zip"),
    ],
)
def test_wrong_words(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(said, " ".join(run_bad(["latency", *words], capsys).split()))


def test_what_is_no_kit_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kit = tmp_path / "kit.zip"
    with zipfile.ZipFile(kit, "w") as archive:
        archive.writestr("kit.json", "[]")
    for name in (kit, tmp_path / "text.zip"):
        if name != kit:
            name.write_text("no zip file")
        said = run_bad(["latency", "--kit", str(name), "--out", str(tmp_path / "table.json")], capsys)
        assert f"--kit: {name}: expected a kit of 'gazenas latency --write-kit'" in " ".join(said.split())
    assert not (tmp_path / "table.json").exists()
