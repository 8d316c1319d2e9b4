"""Milliseconds by lookup table: kits, tables, the sum over a network, and bad files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from gazenas.commands.latency import write_board_kit
from gazenas.costs.latency.cost import latency, latency_by_table
from gazenas.costs.latency.measurement import (
    Models,
    machine_table,
    network_key,
    part_models,
    space_models,
    whole_networks,
)
from gazenas.costs.latency.table import PAIRS, LatencyTable, measured_counts, multiple_key
from gazenas.costs.widths import empty_widths
from gazenas.counting import count_macs
from gazenas.errors import InputError
from gazenas.export.timing import measure_kit
from gazenas.files import cache_folder
from gazenas.models.build import full_architecture
from gazenas.models.parts import leaving_together
from gazenas.models.zoo import build_subnet, build_supernet, load_space
from gazenas.ops.channels import ALIGNED
from gazenas.search import unit_groups
from gazenas.search.shrinking import shrink
from gazenas.search.targets import Targets, make_plan, quantity_of
from gazenas.space.search_space import SearchSpace, StageSpec
from gazenas.training.processes import World
from tests.running import MICRO, MICRO_CHAIN, MICRO_STREAMS
from tests.training.test_distributed import finish, start


@pytest.fixture
def kit(micro_space: SearchSpace, tmp_path: Path) -> Path:
    """A few of the space's models, among them a whole network."""
    path = tmp_path / "kit.zip"
    models = list(space_models(micro_space).items())
    write_board_kit(dict([*models[:12], models[-1]]), path)
    return path


def made_up(space: SearchSpace, path: Path) -> Path:
    """A table whose milliseconds follow a simple rule: a thousandth a unit, and one a path."""
    ms = {key: 0.001 * float(key.rsplit(" x ", 1)[1]) + 1.0 for key in space_models(space) if " x " in key}
    ms |= {key: 0.5 for key in space_models(space) if key.startswith("squeeze")}
    ms |= {multiple_key(count): 1.0 for counts in PAIRS.values() for count in counts}
    ms |= {"nothing": 0.0} | {network_key(space, which): 20.0 for which in whole_networks(space)}
    ms |= {network_key(space, "empty"): 3.0}
    path.write_text(json.dumps({"format": 3, "machine": {}, "ms": ms}))
    return path


def test_a_kit_is_measured_without_torch(kit: Path, tmp_path: Path) -> None:
    """As a board runs it: alone in a folder, with a Python that can import nothing else than numpy and onnxruntime."""
    block = (
        "import sys, runpy; sys.path = [p for p in sys.path if p]; "
        "sys.modules |= dict.fromkeys(['torch', 'onnx', 'jsonargparse', 'rich', 'einops', 'safetensors']); "
        "sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally: assert 'kit.zip' in sys.modules['gazenas.export.timing'].__file__, 'not the one in the kit'"
    )
    command = [sys.executable, "-c", block, str(kit), "--out", str(tmp_path / "table.json")]
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=bare)
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
    resource = latency_by_table(str(made_up(micro_space, tmp_path / "table.json")), micro_space).of(network)
    assert resource.floor(network) == pytest.approx(3.0)
    wholes = {which: arch.kept for which, arch in whole_networks(micro_space).items() if which != "empty"}
    sums = [resource.total(network, kept) for kept in wholes.values()]
    assert sum(sums) == pytest.approx(20.0 * len(wholes))
    assert resource.checks == pytest.approx([ms / 20.0 for ms in sums])
    assert max(resource.checks) == resource.checks[list(wholes).index("full")] > 1 > min(resource.checks)


@pytest.mark.parametrize("name", [MICRO, MICRO_STREAMS, MICRO_CHAIN])
def test_whole_networks_differ_and_come_in_multiples(name: Path) -> None:
    space = load_space(name)
    wholes = whole_networks(space)
    full = full_architecture(space)
    assert wholes["full"] == full
    assert len({arch.fingerprint() for arch in wholes.values()}) == len(wholes)
    for arch in wholes.values():
        build_subnet(arch)
        for block, operators in arch.kept.items():
            for operator, groups in operators.items():
                for group, count in groups.items():
                    most, together = full.kept[block][operator][group], leaving_together(operator, ALIGNED)
                    assert count % together == 0 or count in (most, space.least_stream_width)


def test_groups_are_measured_in_multiples() -> None:
    for operator in ("mixconv", "tokens"):
        for full in (3, 8, 20, 64):
            counts = measured_counts(operator, full)
            assert (counts[0], counts[-1]) == (1, full)
            assert all(count % leaving_together(operator, ALIGNED) == 0 for count in counts[1:-1])


def by_rule(models: Models) -> dict[str, float]:
    """Milliseconds of plain convolutions that follow a rule which is linear in channels in and out; other models take
    5."""
    ms = {}
    for key in models:
        found = re.fullmatch(r"conv (\d+) /(\d+) @(\d+)x\d+: (\d+)>(\d+)", key)
        ms[key] = 5.0
        if found:
            kernel, stride, side, before, after = map(int, found.groups())
            ms[key] = 1e-6 * kernel**2 * (side // stride) ** 2 * before * after
    return ms | {"nothing": 0.0}


def test_milliseconds_of_a_chain_are_the_sum_over_its_convolutions() -> None:
    """At widths between the grid's points too, since the rule is linear along each axis; the smallest of them is
    eight."""
    stages = (StageSpec((40,), (1,), 2), StageSpec((72,), (2,), 2))
    space = replace(load_space(MICRO_CHAIN), stem=(24,), stages=stages, least_stream_width=8)
    network = build_supernet(space)
    table = LatencyTable(by_rule(space_models(space)), "rule")
    for index, group in enumerate(unit_groups(network)):
        group.alpha.data[13 + index % 4 :] = 0
    shrink(network, 0.0)
    parts, widths = network.parts(), network.widths()
    found = sum(table.part(part, widths) for part in parts.values())
    convolutions = count_macs(network, 32) - 2 * 8  # the head's last layer is the same in all
    assert found == pytest.approx(1e-6 * convolutions, rel=1e-2)
    before = {group.name: float(group.cost(partial(latency, table=table))[0]) for group in unit_groups(network)}
    for group in unit_groups(network):
        assert before[group.name] == pytest.approx(1e-6 * float(group.cost()[0]), rel=2e-2), group.name


def test_the_channel_multiple_is_what_was_measured() -> None:
    def table(smaller_of_16: float, smaller_of_8: float) -> LatencyTable:
        ms = {
            multiple_key(48): 1.0,
            multiple_key(24): 1.0,
            multiple_key(40): smaller_of_16,
            multiple_key(20): smaller_of_8,
        }
        return LatencyTable(ms, "made up")

    assert table(0.99, 0.99).channel_multiple == 16
    assert table(0.72, 0.99).channel_multiple == 8
    assert table(0.72, 0.72).channel_multiple == 4


def test_unit_costs_follow_the_table(micro_space: SearchSpace, tmp_path: Path) -> None:
    table = LatencyTable.load(made_up(micro_space, tmp_path / "table.json"))
    network = build_supernet(micro_space)
    for group in unit_groups(network):
        assert float(group.cost(partial(latency, table=table))[0]) == pytest.approx(0.001, rel=0.01)
        alone = empty_widths(network)
        alone[group.key.owner][group.key.operator][group.key.group] = (
            1  # the last unit takes the path and squeeze-and-excite along
        )
        saved = [
            latency(network.parts()[group.key.owner], widths, table=table) for widths in (alone, empty_widths(network))
        ]
        assert saved[0] - saved[1] == pytest.approx(1.501, rel=0.01)


def test_the_cache_is_filled_once_and_by_what_is_missing(
    micro_space: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    parts = build_supernet(micro_space).parts()
    one, other = (parts[f"stage1.{name}"] for name in ("fusion.branch1.from1", "parallel.branch1.block1"))
    first = machine_table(part_models(one, searched=False))
    (path,) = cache_folder().glob("latency-*.json")
    again = machine_table(part_models(one, searched=False))
    assert again.ms == first.ms
    more = machine_table(part_models(other, searched=False))
    assert set(more.ms) > set(first.ms)
    assert all(more.ms[key] == value for key, value in first.ms.items())
    assert json.loads(path.read_text())["ms"] == more.ms


def test_bad_tables(micro_space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    with pytest.raises(InputError, match="No such file"):
        latency_by_table(str(path), micro_space)
    for text in ("not json", "[]", '{"ms": 3}', '{"ms": {"a": "b"}}'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"--latency-table: .*table\.json: expected a table"):
            latency_by_table(str(path), micro_space)
    path.write_text('{"format": 7, "ms": {}}')
    with pytest.raises(InputError, match="expected format 3, found 7"):
        latency_by_table(str(path), micro_space)
    path.write_text('{"format": 3, "ms": {}}')
    with pytest.raises(InputError, match="lacks"):
        latency_by_table(str(path), micro_space)
    assert full_architecture(micro_space).fingerprint() in network_key(micro_space, "full")


# Two processes without a table: each would measure milliseconds of its own.
TOGETHER = """
import json, os, sys
from pathlib import Path
import gazenas.costs.latency.measurement as measurement
from gazenas.training.processes import joined
rank, out = os.environ["RANK"], Path(sys.argv[1])
def measure(kit, *, threads, on_model):
    (out / f"measured{rank}").touch()
    for done in range(4):
        on_model(done, 4)
    return {"ms": {"multiple 8": 1.0 + int(rank), "nothing": 0.0}}
measurement.measure_kit = measure
measurement.write_kit = lambda models, path, *, on_model: None
measurement.BEAT_SECONDS = 0.0
with joined("cpu") as world:
    table = measurement.machine_table({"multiple 8": None, "nothing": None}, world)
    (out / f"taken{rank}").write_text(json.dumps(table.ms))
"""


def test_of_several_processes_one_measures_and_all_take_its_table(tmp_path: Path) -> None:
    for status, _, said in finish(start(2, ["-c", TOGETHER, str(tmp_path)], XDG_CACHE_HOME=str(tmp_path))):
        assert status == 0, said
    assert [path.name for path in tmp_path.glob("measured*")] == ["measured0"]
    tables = [json.loads((tmp_path / f"taken{rank}").read_text()) for rank in range(2)]
    assert tables[0] == tables[1] == {"multiple 8": 1.0, "nothing": 0.0}


@dataclass(frozen=True)
class Second(World):
    """Rank 1 of two, to which rank 0 sends signs of life and then a table."""

    sent: list[tuple[dict[str, float], str] | None] = field(default_factory=list)

    def take(self, value: object) -> object:
        assert value is None
        return self.sent.pop(0)


def test_a_plan_and_a_cost_go_by_the_table_of_rank_0(
    micro_space: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    ms = LatencyTable.load(made_up(micro_space, tmp_path / "table.json")).ms
    network = build_supernet(micro_space)
    plan = make_plan(Targets({"ms": "60%"}), network, Second(1, 2, "cpu", [None, None, (ms, "rank 0")]))
    (resource,) = plan.resources
    given = latency_by_table(str(tmp_path / "table.json"), micro_space).of(network)
    assert resource.total(network, network.widths()) == given.total(network, network.widths())
    cost = quantity_of("latency", {}, micro_space, Second(1, 2, "cpu", [(ms, "rank 0")])).amount
    assert all(float(group.cost(cost)[0]) == pytest.approx(0.001, rel=0.01) for group in unit_groups(network))
    assert not (tmp_path / "empty").exists()
