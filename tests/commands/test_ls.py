"""``gazenas ls``: everything registered is there, and what is said of it is what it is."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from gazenas.__main__ import main
from gazenas.commands import ls
from gazenas.counting import count_macs, count_params
from gazenas.data.readers import DATASETS
from gazenas.files import read_csv
from gazenas.models.baselines import BASELINES
from gazenas.models.zoo import build_subnet, list_subnets, load_space
from gazenas.tasks import TASKS
from tests.running import run_bad


def test_shipped_models_have_the_sizes_that_are_listed() -> None:
    titles, rows = ls.models()
    listed = {row[0]: dict(zip(titles, row, strict=True)) for row in rows}
    assert set(listed) == {*list_subnets(), *BASELINES}
    for name in list_subnets():
        network = build_subnet(name)
        assert listed[name]["MACs"] == f"{count_macs(network, network.input_size):,}"
        assert listed[name]["parameters"] == f"{count_params(network):,}"
        assert listed[name]["input"] == f"{network.input_size} pixels"
        assert float(listed[name]["error"].split()[0]) < 20
    assert all(row[-1] for row in rows)


@pytest.mark.parametrize("name", ls.LICENSES)
def test_every_license_is_written(name: str) -> None:
    """A line for each that is listed and no other, and a license for each: a new model or data set needs one."""
    titles, rows = ls.listed(name)
    assert titles[-1] == "license"
    assert {line["name"] for line in read_csv(ls.LICENSES[name])} == {row[0] for row in rows}
    assert all(row[-1] for row in rows)


def test_everything_registered_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls"]) == 0
    said = capsys.readouterr().out
    for name in (*DATASETS, *TASKS, "gazenas_fast_tiny"):
        assert name in said
    assert main(["ls", "--spaces", "--csv", str(tmp_path / "spaces.csv")]) == 0
    with (tmp_path / "spaces.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            assert row["input"] == f"{load_space(row['space']).input_size} pixels"
    assert "--csv: expected one of --models, --spaces, --datasets, --tasks, found 4" in run_bad(
        ["ls", "--csv", str(tmp_path / "x.csv")], capsys
    )
