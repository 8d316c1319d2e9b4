"""Milliseconds by lookup table: kits, tables, the sum over a network, and bad files."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import gazenas
from gazenas.architecture import InputError, SearchSpace
from gazenas.export.timing import measure_kit
from gazenas.models.builders import build_supernet, full_architecture
from gazenas.ops import OPS
from gazenas.search import unit_groups
from gazenas.search.budget import empty_widths, ms_resource
from gazenas.search.costs.latency import LatencyTable, latency, measured_counts
from gazenas.search.latency_kit import (
    block_models,
    cache_folder,
    machine_table,
    network_key,
    space_models,
    whole_networks,
    write_kit,
)

TOOL = Path(gazenas.__file__).parents[1] / "tools" / "measure_latency.py"


@pytest.fixture
def kit(micro_space: SearchSpace, tmp_path: Path) -> Path:
    """A few of the space's models, among them a whole network."""
    path = tmp_path / "kit.zip"
    models = list(space_models(micro_space).items())
    write_kit(dict([*models[:12], models[-1]]), path)
    return path


def made_up(space: SearchSpace, path: Path) -> Path:
    """A table whose milliseconds follow a simple rule: a thousandth a unit, and one a path."""
    ms = {key: 0.001 * float(key.rsplit(" x ", 1)[1]) + 1.0 for key in space_models(space) if " x " in key}
    ms |= {key: 0.5 for key in space_models(space) if key.startswith("squeeze")}
    ms |= {"nothing": 0.0} | {network_key(space, which): 20.0 for which in whole_networks(space)}
    ms |= {network_key(space, "empty"): 3.0}
    path.write_text(json.dumps({"format": 2, "machine": {}, "ms": ms}))
    return path


def test_a_kit_is_measured_without_torch(kit: Path, tmp_path: Path) -> None:
    """By the tool as a board runs it: neither torch nor onnx can be imported."""
    block = "import sys, runpy; sys.modules['torch'] = sys.modules['onnx'] = None; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", block, str(TOOL), "--kit", str(kit), "--out", str(tmp_path / "table.json")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    table = json.loads((tmp_path / "table.json").read_text())
    assert LatencyTable.load(tmp_path / "table.json").ms == table["ms"]
    assert set(table["machine"]) >= {"processor", "onnxruntime", "threads"}
    assert all(ms > 0 for ms in table["ms"].values())
    with zipfile.ZipFile(kit) as archive:
        assert len(table["ms"]) == len(json.loads(archive.read("kit.json"))["models"])


def test_what_is_no_kit_is_said(tmp_path: Path) -> None:
    (tmp_path / "kit.zip").write_text("x")
    with pytest.raises(ValueError, match="expected a kit"):
        measure_kit(tmp_path / "kit.zip")


def test_the_table_agrees_with_whole_networks(micro_space: SearchSpace, tmp_path: Path) -> None:
    network = build_supernet(micro_space)
    resource = ms_resource(network, str(made_up(micro_space, tmp_path / "table.json")))
    assert resource.total(network, empty_widths(network)) == pytest.approx(3.0)
    wholes = {which: arch.kept for which, arch in whole_networks(micro_space).items() if which != "empty"}
    sums = [resource.total(network, kept) for kept in wholes.values()]
    assert sum(sums) == pytest.approx(20.0 * len(wholes))
    assert resource.checks == pytest.approx([ms / 20.0 for ms in sums])
    assert max(resource.checks) == resource.checks[list(wholes).index("full")] > 1 > min(resource.checks)


def test_whole_networks_differ_and_fill_lanes(micro_space: SearchSpace) -> None:
    wholes = whole_networks(micro_space)
    full = full_architecture(micro_space)
    assert wholes["full"] == full
    assert len({arch.fingerprint() for arch in wholes.values()}) == len(wholes)
    for arch in wholes.values():
        for block, operators in arch.kept.items():
            for operator, groups in operators.items():
                for group, count in groups.items():
                    assert count % OPS[operator].lanes == 0 or count == full.kept[block][operator][group]


def test_groups_are_measured_in_whole_lanes(micro_space: SearchSpace) -> None:
    for spec in micro_space.blocks():
        for operator, settings in spec.operators.items():
            for group, full in OPS[operator].full_widths(spec.in_channels, **settings).items():
                counts = measured_counts(spec, operator, group)
                assert (counts[0], counts[-1]) == (1, full)
                assert all(count % OPS[operator].lanes == 0 for count in counts[1:-1])


def test_unit_costs_follow_the_table(micro_space: SearchSpace, tmp_path: Path) -> None:
    table = LatencyTable.load(made_up(micro_space, tmp_path / "table.json"))
    network = build_supernet(micro_space)
    for group in unit_groups(network):
        widths = group.block.widths()
        cost = latency(group.site, group.operator, group.group, widths, table=table)
        assert cost == pytest.approx(0.001, rel=0.01)
        alone = {name: dict.fromkeys(groups, 0) for name, groups in widths.items()}
        alone[group.operator][group.group] = 1  # the last unit takes the path and squeeze-and-excite along
        assert latency(group.site, group.operator, group.group, alone, table=table) == pytest.approx(1.501, rel=0.01)


def test_the_cache_is_filled_once_and_by_what_is_missing(
    micro_space: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    spec = micro_space.blocks()[0]
    first = machine_table(block_models(spec, 8, squeeze=2))
    (path,) = cache_folder().glob("latency-*.json")
    again = machine_table(block_models(spec, 8, squeeze=2))
    assert again.ms == first.ms
    more = machine_table(block_models(spec, 4, squeeze=2))
    assert set(more.ms) > set(first.ms)
    assert all(more.ms[key] == value for key, value in first.ms.items())
    assert json.loads(path.read_text())["ms"] == more.ms


def test_bad_tables(micro_space: SearchSpace, tmp_path: Path) -> None:
    network, path = build_supernet(micro_space), tmp_path / "table.json"
    with pytest.raises(InputError, match="No such file"):
        ms_resource(network, str(path))
    for text in ("not json", "[]", '{"ms": 3}', '{"ms": {"a": "b"}}'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"--latency-table: .*table\.json: expected a table"):
            ms_resource(network, str(path))
    path.write_text('{"format": 7, "ms": {}}')
    with pytest.raises(InputError, match="expected format 2, found 7"):
        ms_resource(network, str(path))
    path.write_text('{"format": 2, "ms": {}}')
    with pytest.raises(InputError, match="lacks"):
        ms_resource(network, str(path))
    assert full_architecture(micro_space).fingerprint() in network_key(micro_space, "full")
